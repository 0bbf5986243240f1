"""A delay line in memory that moves only when told to."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.checks import check_integer, check_positive

from .unit import advance

__all__ = ["Delay"]


class Delay(wiring.Component):
    """``o`` is what ``i`` was ``steps`` steps ago; a step is a clock cycle in which ``en`` is high.

    A ring of ``steps - 1`` entries, of which every step reads the oldest and overwrites it, and an output register. What
    lies in the ring survives a reset: whoever reads it must know from when on it is meaningful.

    Parameters
    ----------
    width : int
        Bits.
    steps : int
        At least 2.

    Members
    -------
    en, i : in
    o : out
    """

    def __init__(self, width, steps):
        check_positive("width", width)
        check_integer("steps", steps, 2)
        self._steps = steps
        super().__init__({"en": In(1), "i": In(width), "o": Out(width)})

    @property
    def steps(self):
        return self._steps

    def elaborate(self, platform):
        m = Module()
        depth = self.steps - 1
        m.submodules.ring = ring = Memory(shape=len(self.i), depth=depth, init=[])
        write, read = ring.write_port(), ring.read_port()
        index = Signal(range(depth))
        with m.If(self.en):
            advance(m, index, depth)
        m.d.comb += [
            write.en.eq(self.en),
            write.addr.eq(index),
            write.data.eq(self.i),
            read.en.eq(self.en),
            read.addr.eq(index),
            self.o.eq(read.data),
        ]
        return m
