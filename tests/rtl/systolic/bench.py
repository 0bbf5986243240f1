# amaranth: UnusedElaboratable=no
"""Parts of the systolic accelerator with ports that the engines of the simulator can drive."""

import random

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.config import BUFFER_READ_LATENCY, Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode, decode, encode
from hwsim.rtl.systolic.dma import Reader, Writer, memory_port
from hwsim.rtl.systolic.instruction import INSTRUCTION
from hwsim.rtl.unit import delay

CYCLE = unsigned(32)
# An instruction and the first cycle in which it is offered.
TIMED = data.StructLayout({"cycle": CYCLE, "word": INSTRUCTION})


def always(**fields):
    """Signature of a stream that never waits."""
    layout = data.StructLayout({name: unsigned(bits) for name, bits in fields.items()})
    return stream.Signature(layout, always_ready=True)


def timed(cycle, instruction):
    """Beat of a stream of `TIMED`."""
    return cycle | int.from_bytes(encode(instruction), "little") << 32


def untimed(word):
    """An `Instruction` of an integer."""
    return decode(word.to_bytes(64, "little"))


class Bench(wiring.Component):
    """A part, and a counter of cycles."""

    def start(self):
        m = Module()
        self.now = Signal(CYCLE)
        m.d.sync += self.now.eq(self.now + 1)
        return m

    def free(self, m, port, signal, arrived, words):
        """Free tiles in given cycles; not before they have arrived."""
        waiting = Signal(16)
        m.d.comb += [
            port.ready.eq((port.payload <= self.now) & (waiting >= words)),
            signal.eq(port.valid & port.ready),
        ]
        m.d.sync += waiting.eq(waiting + arrived - Mux(signal, words, 0))

    def offer(self, m, port, target):
        due = Signal()
        m.d.comb += [
            due.eq(self.now >= port.payload.cycle),
            target.valid.eq(port.valid & due),
            target.payload.eq(port.payload.word),
            port.ready.eq(target.ready & due),
        ]

    def connect(self, m, part, *channels):
        for channel in channels:
            mine, theirs = getattr(self.bus, channel), getattr(part, channel)
            into, out = (mine, theirs) if channel in ("r", "b") else (theirs, mine)
            m.d.comb += [
                out.valid.eq(into.valid),
                out.payload.eq(into.payload),
                into.ready.eq(out.ready),
            ]

    def emit(self, m, port, valid, **fields):
        m.d.comb += port.valid.eq(valid)
        m.d.comb += [port.payload[name].eq(value) for name, value in fields.items()]


class ReaderBench(Bench):
    def __init__(self, config):
        self.config = config
        word = 8 * config.axi_bytes
        super().__init__(
            {
                "i": In(stream.Signature(TIMED)),
                "bus": Out(memory_port(config)),
                "weights_freed": In(stream.Signature(CYCLE)),
                "parameters_freed": In(stream.Signature(CYCLE)),
                "load": Out(always(data=word, address=24)),
                "weights": Out(always(data=word)),
                "parameters": Out(always(data=word)),
                "table": Out(always(data=word, first=1, number=2)),
                "done": Out(always(error=1)),
            }
        )

    def elaborate(self, platform):
        m = self.start()
        m.submodules.reader = reader = Reader(self.config)
        self.offer(m, self.i, reader.i)
        self.connect(m, reader, "ar", "r")
        for name in ("weight", "parameter"):
            self.free(
                m,
                getattr(self, f"{name}s_freed"),
                getattr(reader, f"{name}_freed"),
                getattr(reader, f"{name}_enable"),
                getattr(self.config, f"{name}_words"),
            )
        self.emit(
            m, self.load, reader.load_enable, data=reader.load_data, address=reader.load_address
        )
        self.emit(m, self.weights, reader.weight_enable, data=reader.weight_data)
        self.emit(m, self.parameters, reader.parameter_enable, data=reader.parameter_data)
        self.emit(
            m,
            self.table,
            reader.table_enable,
            data=reader.table_data,
            first=reader.table_first,
            number=reader.table_number,
        )
        self.emit(m, self.done, reader.done, error=reader.error)
        return m


class WriterBench(Bench):
    """The buffer holds, in each word, its number times an odd constant."""

    FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(TIMED)),
                "bus": Out(memory_port(config)),
                "done": Out(always(error=1)),
            }
        )

    @classmethod
    def word(cls, config, address):
        """Of the buffer at an address."""
        number = address // config.axi_bytes
        return number * cls.FACTOR % (1 << 8 * config.axi_bytes)

    def elaborate(self, platform):
        m = self.start()
        m.submodules.writer = writer = Writer(self.config)
        self.offer(m, self.i, writer.i)
        self.connect(m, writer, "aw", "w", "b")
        shift = (self.config.axi_bytes - 1).bit_length()
        word = Signal(8 * self.config.axi_bytes)
        m.d.comb += word.eq(writer.store_address[shift:] * self.FACTOR)
        with m.If(~writer.store_enable):
            m.d.comb += word.eq(0)
        m.d.comb += writer.store_data.eq(delay(m, word, BUFFER_READ_LATENCY, "stored"))
        self.emit(m, self.done, writer.done, error=writer.error)
        return m


def random_config(rng):
    """A small configuration."""
    sides = rng.choice([1, 2, 3, 4, 6, 8]), rng.choice([1, 2, 3, 4, 6, 8])
    banks = 1 << (max(sides) - 1).bit_length()
    return Systolic(
        rows=sides[0],
        cols=sides[1],
        buffer_bytes=1 << 12,
        axi_bits=rng.choice([0, 8 * rng.choice([b for b in (1, 2, 4, 8) if b <= banks])]),
        weight_tiles=rng.randint(2, 4),
        parameter_tiles=rng.randint(2, 4),
        burst_beats=rng.choice([1, 2, 4, 8, 16]),
        outstanding=rng.randint(2, 8),
        queue_depth=rng.randint(2, 8),
        address_bits=rng.choice([16, 32]),
    )


def random_reads(rng, config, count, size):
    """Instructions for the reader, in a memory of ``size`` bytes."""
    reads = []
    width = config.axi_bytes
    for _ in range(count):
        opcode = rng.choice([Opcode.READ_ACTIVATIONS, Opcode.READ_WEIGHTS] * 2 + READS)
        words = rng.choice([1, 2, 3, rng.randint(1, 60)])
        if opcode == Opcode.READ_WEIGHTS:
            words = config.weight_words * rng.randint(1, 5)
        if opcode == Opcode.READ_PARAMETERS:
            words = config.parameter_words * rng.randint(1, 4)
        fields = {"address": width * rng.randrange(size // width - words), "words": words}
        if opcode == Opcode.READ_ACTIVATIONS:
            fields["buffer"] = width * rng.randrange((1 << 24) // width)
        if opcode == Opcode.READ_TABLE:
            fields["table"] = rng.randrange(4)
        reads.append(Instruction(opcode, fields=fields))
    return reads


READS = [
    Opcode.READ_ACTIVATIONS,
    Opcode.READ_WEIGHTS,
    Opcode.READ_PARAMETERS,
    Opcode.READ_TABLE,
]


def random_memory(rng):
    """Options that `AxiMemory` and `Memory` share."""
    return {
        "read_latency": rng.choice([1, 2, 3, rng.randint(4, 40)]),
        "write_latency": rng.choice([1, 2, 3, rng.randint(4, 40)]),
        "outstanding_reads": rng.randint(1, 8),
        "outstanding_writes": rng.randint(1, 8),
    }


def generator(seed):
    return random.Random(seed)
