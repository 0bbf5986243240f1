"""The systolic accelerator: all its parts, connected."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import ENGINES

from .buffer import Buffer
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
    start : in
        Begins the program at ``address``; ignored while one runs.
    address : in
    busy : out
    finished : out
        A pulse at the end of a program.
    memory : out, AXI4
        For constants and feature maps.
    program : out, AXI4
        For instructions; its channels for writing are idle.
    results : stream of codes
        What the vector unit writes to the buffer, for whoever watches; always ready.
    """

    def __init__(self, config):
        self._config = config
        self._vector = VectorUnit(config)
        self.results = stream.Signature(
            self._vector.signature.members["write_data"].shape, always_ready=True
        ).create()
        super().__init__(
            {
                "start": In(1),
                "address": In(config.address_bits),
                "busy": Out(1),
                "finished": Out(1),
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
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.reader = reader = Reader(config)
        m.submodules.matrix = matrix = MatrixEngine(config)
        m.submodules.vector = vector = self._vector
        m.submodules.writer = writer = Writer(config)
        m.submodules.buffer = buffer = Buffer(config)
        engines = dict(zip(ENGINES, (reader, matrix, vector, writer), strict=True))
        for name, engine in engines.items():
            wiring.connect(m, getattr(sequencer, name), engine.i)
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
            sequencer.start.eq(self.start),
            sequencer.address.eq(self.address),
            sequencer.done.eq(Cat(engine.done for engine in engines.values())),
            self.busy.eq(sequencer.busy),
            self.finished.eq(sequencer.finished),
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
            buffer.feed_words.eq(matrix.feed_words),
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


class Autostart(wiring.Component):
    """An accelerator that runs a program once, from the first cycle on."""

    def __init__(self, config, address):
        self.accelerator = Accelerator(config)
        self.over = Signal()
        self._address = address
        super().__init__({"memory": Out(memory_port(config)), "program": Out(program_port(config))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        started = Signal()
        m.d.sync += started.eq(1)
        with m.If(accelerator.finished):
            m.d.sync += self.over.eq(1)
        m.d.comb += [accelerator.start.eq(~started), accelerator.address.eq(self._address)]
        for name in ("memory", "program"):
            wiring.connect(m, getattr(accelerator, name), wiring.flipped(getattr(self, name)))
        return m
