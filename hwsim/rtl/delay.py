"""A delay line in memory that moves only when told to."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.checks import check_integer, check_positive

from .unit import advance

__all__ = ["Delay"]


class Delay(wiring.Component):
    """``o[k]`` is what ``i[k]`` was ``steps`` steps ago.

    A step is a clock cycle in which ``en`` is high.

    A ring of ``steps - 1`` entries, the register at its output, and another one behind it, because
    block RAM is slow to show what it has read. Every step overwrites the oldest entry and reads the
    second oldest, never the one that it writes: block RAM does not say what is read then. What lies
    in the ring survives a reset: whoever reads it must know from when on it is meaningful.

    Parameters
    ----------
    width : int
        Bits.
    steps : int
        At least 3.
    lines : int
        Values side by side.

    Members
    -------
    en : in
    i : in, array of ``lines``
    o : out, array of ``lines``
    """

    def __init__(self, width, steps, lines=1):
        check_positive("width", width)
        check_integer("steps", steps, 3)
        check_positive("lines", lines)
        self._steps = steps
        super().__init__({"en": In(1), "i": In(width).array(lines), "o": Out(width).array(lines)})

    @property
    def steps(self):
        return self._steps

    def elaborate(self, platform):
        m = Module()
        depth = self.steps - 1
        m.submodules.ring = ring = Memory(shape=len(Cat(self.i)), depth=depth, init=[])
        write, read = ring.write_port(), ring.read_port()
        newest = Signal(range(depth))
        index = Signal(range(depth), init=1)
        last = Signal(len(read.data), name="last", reset_less=True)
        with m.If(self.en):
            advance(m, index, depth)
            m.d.sync += [newest.eq(index), last.eq(read.data)]
        m.d.comb += [
            write.en.eq(self.en),
            write.addr.eq(newest),
            write.data.eq(Cat(self.i)),
            read.en.eq(self.en),
            read.addr.eq(index),
            Cat(self.o).eq(last),
        ]
        return m
