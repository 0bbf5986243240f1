"""A systolic accelerator that starts by itself."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hwsim.blocks.systolic.registers import REGISTERS
from hwsim.rtl.systolic.dma import memory_port
from hwsim.rtl.systolic.sequencer import program_port

__all__ = ["Autostart"]


class Autostart(wiring.Component):
    """Runs a program once, soon after reset.

    Parameters
    ----------
    accelerator : Accelerator
    address : int
        Of the program.

    Members
    -------
    memory, program : out, AXI4
    over : Signal
        The program has come to its end.
    """

    def __init__(self, accelerator, address):
        self.accelerator = accelerator
        self.over = Signal()
        self._address = address
        config = accelerator.config
        super().__init__({"memory": Out(memory_port(config)), "program": Out(program_port(config))})

    def elaborate(self, platform):
        """Connect the accelerator, and write two of its registers."""
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        for name in ("memory", "program"):
            wiring.connect(m, getattr(accelerator, name), wiring.flipped(getattr(self, name)))
        # Two writes to registers.
        bus = accelerator.control
        second, written = Signal(), Signal()
        m.d.comb += [
            bus.aw.valid.eq(~written),
            bus.w.valid.eq(~written),
            bus.aw.payload.addr.eq(REGISTERS["program"].offset),
            bus.w.payload.data.eq(self._address),
            bus.w.payload.strb.eq(~0),
            bus.b.ready.eq(1),
        ]
        with m.If(second):
            m.d.comb += [
                bus.aw.payload.addr.eq(REGISTERS["control"].offset),
                bus.w.payload.data.eq(1),
            ]
        with m.If(bus.aw.valid & bus.aw.ready):
            m.d.sync += [second.eq(1), written.eq(second)]
        with m.If(accelerator.finished.valid):
            m.d.sync += self.over.eq(1)
        return m
