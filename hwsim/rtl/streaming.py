"""The streaming pipeline in hardware, and the design object that people hold."""

import re
from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.streaming import StreamingPlan

from .factory import make_unit
from .unit import beat_layout
from .verilog import RESERVED, convert

__all__ = ["AxiTop", "Design", "Pipeline"]

# Names of modules and files are made of several; tools look up files by at most 127 characters.
LONGEST_NAME = 40


class Pipeline(wiring.Component):
    """All units of a plan, connected.

    Parameters
    ----------
    plan : StreamingPlan

    Members
    -------
    i : stream
        Images, beats of ``plan.input``.
    o : stream
        Results, beats of ``plan.output``.
    maps : dict of str to stream
        For each layer's output tensor the stream that carries it (for observation in simulation).
    """

    def __init__(self, plan):
        self._plan = plan
        self._units = {stage.name: make_unit(stage, plan.network) for stage in plan.stages}
        self.maps = {
            stage.layer.output: self._units[stage.name].o
            for stage in plan.stages
            if stage.layer is not None
        }
        self._names = _instance_names(self._units)
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(plan.input))),
                "o": Out(stream.Signature(beat_layout(plan.output))),
            }
        )

    @property
    def plan(self):
        return self._plan

    def elaborate(self, platform):
        m = Module()
        for stage in self.plan.stages:
            unit = m.submodules[self._names[stage.name]] = self._units[stage.name]
            for port, (source, output) in zip(stage.config.inputs, stage.inputs, strict=True):
                if source:
                    # A stage with several outputs numbers them.
                    name = "o" if len(self._stage(source).queues) == 1 else f"o{output}"
                    wiring.connect(m, getattr(self._units[source], name), getattr(unit, port))
                else:
                    wiring.connect(m, wiring.flipped(self.i), getattr(unit, port))
        wiring.connect(m, wiring.flipped(self.o), self._units[self.plan.stages[-1].name].o)
        return m

    def _stage(self, name):
        return next(stage for stage in self.plan.stages if stage.name == name)


class AxiTop(wiring.Component):
    """A pipeline between two AXI4-Stream ports (ARM IHI 0051A).

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready
        Images, one beat of ``plan.input`` per transfer, lane 0 in the lowest bits. Frames follow
        one another; their length is fixed, so that no TLAST is needed.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast
        Results, one beat of ``plan.output`` per transfer; TLAST marks the last beat of a frame.
    """

    def __init__(self, plan):
        self._plan = plan
        super().__init__(
            {
                "s_axis_tdata": In(_byte_width(plan.input)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(_byte_width(plan.output)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipeline = pipeline = Pipeline(self._plan)
        beats = self._plan.output.beats
        position = Signal(range(beats))
        m.d.comb += [
            Value.cast(pipeline.i.payload).eq(self.s_axis_tdata),
            pipeline.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(pipeline.i.ready),
            self.m_axis_tdata.eq(Value.cast(pipeline.o.payload)),
            self.m_axis_tvalid.eq(pipeline.o.valid),
            pipeline.o.ready.eq(self.m_axis_tready),
            self.m_axis_tlast.eq(position == beats - 1),
        ]
        with m.If(self.m_axis_tvalid & self.m_axis_tready):
            m.d.sync += position.eq(position + 1)
            with m.If(self.m_axis_tlast):
                m.d.sync += position.eq(0)
        return m


@dataclass(frozen=True, eq=False)
class Design:
    """A network as hardware.

    Members
    -------
    plan : StreamingPlan
        What was decided, and how long it takes.
    """

    plan: StreamingPlan

    @property
    def network(self):
        """The `IntegerNetwork` that the design computes."""
        return self.plan.network

    @property
    def name(self):
        """Name of the top module."""
        return _identifier(self.network.name)

    def units(self):
        """The stages of the plan by the names that their units have in the Verilog."""
        names = _instance_names(stage.name for stage in self.plan.stages)
        return {names[stage.name]: stage for stage in self.plan.stages}

    def component(self):
        """A new Amaranth component (`Pipeline`) of the design, for simulation."""
        return Pipeline(self.plan)

    def cycles(self, images=1):
        """Cycles for ``images`` back to back, from the first beat in to the last beat out."""
        return self.plan.cycles(images)

    @cached_property
    def verilog(self):
        """`hwsim.rtl.verilog.Verilog` with AXI4-Stream ports."""
        return convert(AxiTop(self.plan), self.name, self._header())

    def write_verilog(self, directory):
        """Write the Verilog and its memory contents to ``directory``.

        Returns the paths, the top first.
        """
        return self.verilog.write(directory)

    def _header(self):
        plan = self.plan
        lines = [
            f"Streaming pipeline for the network {_printable(self.network.name)}.",
            "",
            "Interface: clk, rst (synchronous, active high, first of all), AXI4-Stream s_axis "
            "(images) and m_axis (results).",
            f"  s_axis: {_describe(plan.input)}",
            f"  m_axis: {_describe(plan.output)}, TLAST on the last",
            "  Verilog knows neither signed ports nor structs: codes lie side by side in TDATA, "
            "lane 0 in the lowest bits,",
            "  two's complement where signed.",
            f"Timing: {plan.cycles(1)} cycles from the first beat of an image to the last beat of "
            "its result,",
            f"  {plan.interval} cycles per image with images back to back.",
            f"Multipliers: {plan.multipliers}, {100 * plan.utilization:.1f} % of their cycles "
            "useful.",
            "Stages (unit, cycles per image, multipliers, queue depths):",
        ]
        width = max(len(stage.name) for stage in plan.stages)
        for stage in plan.stages:
            unit = type(stage.config).__name__.removesuffix("Config")
            depths = ", ".join(str(queue.depth) for queue in stage.queues)
            lines.append(
                f"  {_printable(stage.name):{width}}  {unit:10}  {stage.config.interval:8}  "
                f"{stage.config.multipliers:5}  {depths}"
            )
        return "\n".join(lines)


def _byte_width(frame):
    """Bits of a beat, rounded up to whole bytes."""
    return -(-frame.lanes * frame.bits // 8) * 8


def _describe(frame):
    kind = f"{'signed' if frame.signed else 'unsigned'} {frame.bits}-bit"
    return (
        f"{frame.height} x {frame.width} pixels of {frame.channels} {kind} channels, {frame.lanes} "
        "per beat, "
        f"{frame.beats} beats per image"
    )


def _instance_names(names):
    """For each name a plain identifier of its own."""
    chosen = {}
    taken = set()
    for name in names:
        plain, number = _identifier(name), 1
        candidate = plain
        while candidate in taken:
            number += 1
            candidate = f"{plain}_{number}"
        taken.add(candidate)
        chosen[name] = candidate
    return chosen


def _identifier(name):
    """A plain Verilog identifier that resembles ``name``."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII)[:LONGEST_NAME].strip("_") or "network"
    return f"n_{plain}" if plain[0].isdigit() or plain in RESERVED else plain


def _printable(name):
    """A name from a file, in one line of a comment."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
