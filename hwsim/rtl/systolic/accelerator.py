"""The systolic accelerator: all its parts, connected."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import ENGINES

from .buffer import Buffer
from .control import Control, control_port
from .dma import Reader, Writer, memory_port
from .matrix import MatrixEngine
from .sequencer import Sequencer, program_port
from .vector import VectorUnit

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """A systolic accelerator; see ``docs/systolic.md``.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    control : in, AXI4-Lite
        See `Control`.
    irq : out
        A program has finished.
    memory : out, AXI4
        For constants and feature maps.
    program : out, AXI4
        For instructions; its channels for writing are idle.
    results, begun, finished : streams, always ready
        For whoever watches: what the vector unit writes to the buffer; start and end of a program.
    """

    # Names of its parts.
    PARTS = ("control", "sequencer", "reader", "matrix", "vector", "writer", "buffer")

    def __init__(self, config):
        self._config = config
        self._vector = VectorUnit(config)
        self.results = stream.Signature(
            self._vector.signature.members["write_data"].shape, always_ready=True
        ).create()
        event = stream.Signature(1, always_ready=True)
        self.begun, self.finished = event.create(), event.create()
        super().__init__(
            {
                "control": In(control_port()),
                "irq": Out(1),
                "memory": Out(memory_port(config)),
                "program": Out(program_port(config)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.control = control = Control(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.reader = reader = Reader(config)
        m.submodules.matrix = matrix = MatrixEngine(config)
        m.submodules.vector = vector = self._vector
        m.submodules.writer = writer = Writer(config)
        m.submodules.buffer = buffer = Buffer(config)
        engines: dict[str, Any] = dict(zip(ENGINES, (reader, matrix, vector, writer), strict=True))
        for name, engine in engines.items():
            wiring.connect(m, getattr(sequencer, name), engine.i)
        wiring.connect(m, wiring.flipped(self.control), control.bus)
        for channel in ("ar", "r"):
            wiring.connect(
                m, getattr(reader, channel), wiring.flipped(getattr(self.memory, channel))
            )
            wiring.connect(
                m, getattr(sequencer, channel), wiring.flipped(getattr(self.program, channel))
            )
        for channel in ("aw", "w", "b"):
            wiring.connect(
                m, getattr(writer, channel), wiring.flipped(getattr(self.memory, channel))
            )
        m.d.comb += [
            self.irq.eq(control.irq),
            sequencer.start.eq(control.start),
            sequencer.address.eq(control.address),
            sequencer.done.eq(Cat(engine.done for engine in engines.values())),
            self.begun.valid.eq(control.start),
            self.finished.valid.eq(sequencer.finished),
            control.busy.eq(sequencer.busy),
            control.finished.eq(sequencer.finished),
            control.error.eq(sequencer.error | reader.error | writer.error),
            control.active.eq(sequencer.active),
            control.waiting.eq(sequencer.waiting),
            control.done.eq(sequencer.done),
            control.starved.eq(matrix.starved),
            control.read.eq(self.memory.r.valid & self.memory.r.ready),
            control.written.eq(self.memory.w.valid & self.memory.w.ready),
            self.program.b.ready.eq(1),
            # Memory to where its contents are needed.
            buffer.load_enable.eq(reader.load_enable),
            buffer.load_address.eq(reader.load_address),
            buffer.load_data.eq(reader.load_data),
            matrix.weight_enable.eq(reader.weight_enable),
            matrix.weight_data.eq(reader.weight_data),
            reader.weight_freed.eq(matrix.weight_freed),
            vector.parameter_enable.eq(reader.parameter_enable),
            vector.parameter_data.eq(reader.parameter_data),
            reader.parameter_freed.eq(vector.parameter_freed),
            vector.table_enable.eq(reader.table_enable),
            vector.table_data.eq(reader.table_data),
            vector.table_first.eq(reader.table_first),
            vector.table_number.eq(reader.table_number),
            buffer.store_enable.eq(writer.store_enable),
            buffer.store_address.eq(writer.store_address),
            writer.store_data.eq(buffer.store_data),
            # Codes and sums.
            buffer.feed_places.eq(matrix.feed_places),
            buffer.feed_enable.eq(matrix.feed_enable),
            matrix.feed_codes.eq(buffer.feed_codes),
            matrix.read_row.eq(vector.sum_address),
            matrix.read_half.eq(vector.sum_half),
            vector.sums.eq(matrix.sums),
            buffer.read_address.eq(vector.read_address),
            buffer.read_enable.eq(vector.read_enable),
            vector.read_data.eq(buffer.read_codes),
            buffer.write_address.eq(vector.write_address),
            buffer.write_codes.eq(vector.write_data),
            buffer.write_count.eq(vector.write_count),
            self.results.valid.eq(vector.write_count != 0),
            self.results.payload.eq(vector.write_data),
        ]
        return m
