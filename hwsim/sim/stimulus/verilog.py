"""Modules written in Verilog, as components."""

from functools import cached_property

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from hwsim.sim.compiled.verilog import rtlil_of_verilog

__all__ = ["VerilogModule", "axi_stream"]


def axi_stream(shape, *, last=False):
    """Signature of an AXI4-Stream port (ARM IHI 0051): TDATA, and TLAST if ``last``."""
    fields = {"data": shape, "last": 1} if last else {"data": shape}
    return stream.Signature(data.StructLayout(fields))


class VerilogModule(wiring.Component):
    """A synchronous module written in Verilog, for use in the compiled engine and in designs.

    Parameters
    ----------
    files : list of path
    top : str
        Name of the module.
    ports : dict of str to Member
        Its interfaces, by the prefix of their names in Verilog, and its other ports. What belongs
        to a stream ``s`` with a payload of the fields ``data`` and ``last`` is ``s_tvalid``,
        ``s_tready``, ``s_tdata``, ``s_tlast`` (see `axi_stream`); a payload without fields is
        ``s_tdata``. What belongs to the channel ``aw`` of an interface ``m`` is ``m_awvalid``,
        ``m_awaddr`` and so on. Outputs of the module that nobody names are left open.
    clock, reset : str
        Names of these ports; ``reset`` may be None.
    reset_low : bool
        Whether the reset is active when low.
    reset_cycles : int
        For how long engines reset it before a run, unless it has no reset.

    Members
    -------
    ...
        Those of ``ports``.
    """

    def __init__(
        self, *, files, top, ports, clock="clk", reset="rst", reset_low=False, reset_cycles=2
    ):
        self.files = [*files]
        self.top = top
        self._clock = clock
        self._reset = reset
        self._reset_low = reset_low
        self.reset_cycles = 0 if reset is None else reset_cycles
        super().__init__(ports)

    @cached_property
    def _rtlil(self):
        return rtlil_of_verilog(self.files, self.top)

    def elaborate(self, platform):
        """An instance; the platform learns the text of the module."""
        modules = getattr(platform, "modules", None)
        if modules is not None:
            modules[self.top] = self._rtlil
        ports = [("i", self._clock, ClockSignal())]
        if self._reset is not None:
            reset = ResetSignal(allow_reset_less=True)
            ports.append(("i", self._reset, ~reset if self._reset_low else reset))
        for path, member, value in self.signature.flatten(self):
            direction = "i" if member.flow is In else "o"
            for name, part in _verilog_names(path, value):
                if len(part):
                    ports.append((direction, name, part))
        m = Module()
        m.submodules.module = Instance(self.top, *ports)
        return m


def _verilog_names(path, value):
    """Names in Verilog of a port, and what of it they are."""
    if len(path) == 1:
        return [(path[0], Value.cast(value))]
    *channel, last = path
    prefix = f"{channel[0]}_{'t' if len(channel) == 1 else channel[1]}"
    if last != "payload":
        return [(prefix + last, value)]
    if isinstance(value, data.View) and isinstance(value.shape(), data.StructLayout):
        return [(prefix + field, Value.cast(value[field])) for field, _ in value.shape()]
    return [(f"{prefix}data", Value.cast(value))]
