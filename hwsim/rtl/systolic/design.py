"""A network on a systolic accelerator: the design object that people hold."""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.timing import LATENCY, usual_memory
from hwsim.compiler.program import Program
from hwsim.rtl.verilog import Verilog, convert

from .accelerator import Accelerator
from .control import control_port
from .dma import memory_port
from .sequencer import program_port

__all__ = ["AxiAccelerator", "SystolicDesign"]

# Port names in Verilog: that of the accelerator, its prefix, whether it manages its bus.
_PORTS = (
    ("control", "s_axil", False),
    ("memory", "m_axi", True),
    ("program", "m_axi_program", True),
)


class AxiAccelerator(wiring.Component):
    """An accelerator whose ports have the names of AXI (ARM IHI 0022).

    Parameters
    ----------
    config : Systolic

    Members
    -------
    s_axil_... : AXI4-Lite
    m_axi_..., m_axi_program_... : AXI4
    irq : out
    """

    def __init__(self, config):
        self._config = config
        self._signals = {}  # port -> (path in the accelerator, whether it leaves)
        members = {"irq": Out(1)}
        signatures = {
            "control": control_port(),
            "memory": memory_port(config),
            "program": program_port(config),
        }
        for port, prefix, manages in _PORTS:
            for channel, member in signatures[port].members.items():
                leaves = (member.flow == Out) == manages
                payload = member.signature.members["payload"].shape
                fields = {name: field.shape for name, field in payload if field.width}
                for name, shape in {"valid": 1, "ready": 1, **fields}.items():
                    out = leaves != (name == "ready")
                    flat = f"{prefix}_{channel}{name}"
                    members[flat] = (Out if out else In)(shape)
                    self._signals[flat] = (port, channel, name, out)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = Accelerator(self._config)
        m.d.comb += self.irq.eq(accelerator.irq)
        for flat, (port, channel, name, out) in self._signals.items():
            stream = getattr(getattr(accelerator, port), channel)
            signal = getattr(stream, name) if name in ("valid", "ready") else stream.payload[name]
            mine = getattr(self, flat)
            m.d.comb += mine.eq(signal) if out else signal.eq(mine)
        return m


@dataclass(frozen=True, eq=False)
class SystolicDesign:
    """A network as a program for a systolic accelerator.

    Members
    -------
    program : Program
    """

    program: Program

    @property
    def network(self):
        """The `IntegerNetwork` that the design computes."""
        return self.program.network

    @property
    def config(self):
        """The `Systolic` configuration."""
        return self.program.config

    @property
    def name(self):
        """Name of the top module."""
        return f"systolic_{self.config.rows}x{self.config.cols}"

    def component(self):
        """A new Amaranth component (`Accelerator`), for simulation."""
        return Accelerator(self.config)

    def cycles(self, images=1, memory_latency=LATENCY):
        """Cycles for ``images`` one after the other, each from start to end of the program.

        memory_latency : cycles from a request to memory to the first beat of its answer.
        """
        return images * self.program.cycles(usual_memory(self.config, memory_latency))

    @cached_property
    def verilog(self) -> Verilog:
        """`hwsim.rtl.verilog.Verilog` with AXI ports; the same for all networks."""
        return convert(AxiAccelerator(self.config), self.name, self._header())

    def write_verilog(self, directory):
        """Write the Verilog to ``directory``. Returns the paths, the top first."""
        return self.verilog.write(directory)

    def _header(self):
        config = self.config
        return "\n".join(
            [
                f"Systolic accelerator, {config.rows} x {config.cols} elements, "
                "weight-stationary, int8.",
                "",
                "Interface: clk, rst (synchronous, active high, first of all);",
                "  s_axil: AXI4-Lite, registers (see docs/systolic.md);",
                "  irq: a program has finished;",
                f"  m_axi: AXI4, {8 * config.axi_bytes} bits, weights and feature maps;",
                f"  m_axi_program: AXI4, {8 * config.program_bytes} bits, instructions.",
                f"Unified buffer: {config.buffer_bytes} bytes in {config.sections} sections of "
                f"{config.banks} banks; accumulators: 2 x {config.accumulator_rows} rows; "
                f"pools: {config.pool_columns} columns.",
            ]
        )
