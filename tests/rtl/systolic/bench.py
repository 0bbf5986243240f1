# amaranth: UnusedElaboratable=no
"""Parts of the systolic accelerator with ports that the engines of the simulator can drive."""

import random
from itertools import accumulate

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic import isa
from hwsim.blocks.systolic.config import BUFFER_READ_LATENCY, Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode, decode, encode
from hwsim.rtl.systolic.control import Control, control_port
from hwsim.rtl.systolic.dma import Reader, Writer, memory_port
from hwsim.rtl.systolic.instruction import INSTRUCTION, layout
from hwsim.rtl.systolic.sequencer import Sequencer, program_port
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
    """A part, and a counter of cycles; in one of them there may be a reset."""

    reset_cycle = None

    def add(self, m, name, part):
        fragment = part
        if self.reset_cycle is not None:
            fragment = ResetInserter(self.now == self.reset_cycle)(part)
        m.submodules[name] = fragment
        return part

    def start_up(self):
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

    def connect(self, m, part, *channels, bus=None):
        bus = self.bus if bus is None else bus
        for channel in channels:
            mine, theirs = getattr(bus, channel), getattr(part, channel)
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
        m = self.start_up()
        reader = self.add(m, "reader", Reader(self.config))
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


# The buffer holds, in each word, its number times this.
FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835


def word_of_buffer(config, address):
    number = address // config.axi_bytes
    return number * FACTOR % (1 << 8 * config.axi_bytes)


def buffer_word(m, config, writer):
    """What the buffer answers."""
    shift = (config.axi_bytes - 1).bit_length()
    word = Signal(8 * config.axi_bytes)
    with m.If(writer.store_enable):
        m.d.comb += word.eq(writer.store_address[shift:] * FACTOR)
    return delay(m, word, BUFFER_READ_LATENCY, "stored")


class WriterBench(Bench):
    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(TIMED)),
                "bus": Out(memory_port(config)),
                "done": Out(always(error=1)),
            }
        )

    def elaborate(self, platform):
        m = self.start_up()
        m.submodules.writer = writer = Writer(self.config)
        self.offer(m, self.i, writer.i)
        self.connect(m, writer, "aw", "w", "b")
        m.d.comb += writer.store_data.eq(buffer_word(m, self.config, writer))
        self.emit(m, self.done, writer.done, error=writer.error)
        return m


class FakeEngine(wiring.Component):
    """Takes an instruction, is busy for as many cycles as its layer says, and is done."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(INSTRUCTION)), "done": Out(1)})

    def elaborate(self, platform):
        m = Module()
        layer = data.View(layout(Opcode.HALT), self.i.payload).layer
        left = Signal.like(layer)
        m.d.comb += [self.i.ready.eq(left == 0), self.done.eq(left == 1)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += left.eq(layer)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return m


class FakeTiming:
    """The same on paper."""

    def __init__(self):
        self.taken, self.done = [], []

    def offer(self, cycle, instruction):
        self.taken.append(max([cycle, *(last + 1 for last in self.done[-1:])]))
        self.done.append(self.taken[-1] + instruction.layer)

    def advance(self):
        return False


class SequencerBench(Bench):
    """Programs start in given cycles, but not before the last one has finished."""

    def __init__(self, config):
        self.config = config
        self.sequencer = Sequencer(config)
        start = data.StructLayout({"cycle": CYCLE, "address": config.address_bits})
        super().__init__(
            {
                "start": In(stream.Signature(start)),
                "bus": Out(program_port(config)),
                "finished": Out(always(error=1)),
            }
        )

    def elaborate(self, platform):
        m = self.start_up()
        sequencer = self.add(m, "sequencer", self.sequencer)
        self.connect(m, sequencer, "ar", "r")
        for number, name in enumerate(isa.ENGINES):
            engine = self.add(m, name, FakeEngine())
            wiring.connect(m, getattr(sequencer, name), engine.i)
            m.d.comb += sequencer.done[number].eq(engine.done)
        m.d.comb += [
            sequencer.address.eq(self.start.payload.address),
            self.start.ready.eq((self.now >= self.start.payload.cycle) & ~sequencer.busy),
            sequencer.start.eq(self.start.valid & self.start.ready),
        ]
        # The address stays until it is needed.
        kept = Signal(self.config.address_bits)
        with m.If(sequencer.start):
            m.d.sync += kept.eq(self.start.payload.address)
        with m.If(sequencer.busy):
            m.d.comb += sequencer.address.eq(kept)
        self.emit(m, self.finished, sequencer.finished, error=sequencer.error)
        return m


def random_program(rng, count):
    """Instructions for all engines that wait for earlier ones, and for all of them at the end."""
    program, counts = [], [0] * 4
    longest = rng.choice([3, 20, 60])
    for _ in range(count):
        opcode = rng.choice([opcode for opcode in Opcode if opcode != Opcode.HALT])
        after = tuple(
            max(0, number - rng.randint(0, 6)) * rng.choice([0, 0, 1]) for number in counts
        )
        program.append(Instruction(opcode, rng.randint(1, longest), after, {}))
        counts[opcode.engine] += 1
    return [*program, Instruction(Opcode.HALT, after=tuple(counts))]


class MachineBench(Bench):
    """Control, sequencer, reader and writer. Tiles are freed `KEPT` cycles after they came."""

    KEPT = 7

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "control": In(control_port()),
                "irq": Out(1),
                "program": Out(program_port(config)),
                "bus": Out(memory_port(config)),
                "load": Out(always(data=8 * config.axi_bytes, address=24)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.control = control = Control(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.reader = reader = Reader(config)
        m.submodules.writer = writer = Writer(config)
        m.submodules.matrix = matrix = FakeEngine()
        m.submodules.vector = vector = FakeEngine()
        for name, engine in zip(isa.ENGINES, (reader, matrix, vector, writer), strict=True):
            wiring.connect(m, getattr(sequencer, name), engine.i)
        self.connect(m, reader, "ar", "r")
        self.connect(m, writer, "aw", "w", "b")
        self.connect(m, sequencer, "ar", "r", bus=self.program)
        wiring.connect(m, wiring.flipped(self.control), control.bus)
        m.d.comb += [
            sequencer.start.eq(control.start),
            sequencer.address.eq(control.address),
            sequencer.done.eq(Cat(e.done for e in (reader, matrix, vector, writer))),
            *(
                getattr(control, name).eq(getattr(sequencer, name))
                for name in ("busy", "finished", "active", "waiting")
            ),
            control.error.eq(sequencer.error | reader.error | writer.error),
            control.done.eq(sequencer.done),
            control.read.eq(self.bus.r.valid & self.bus.r.ready),
            control.written.eq(self.bus.w.valid & self.bus.w.ready),
            self.irq.eq(control.irq),
            writer.store_data.eq(buffer_word(m, config, writer)),
        ]
        for name in ("weight", "parameter"):
            words = getattr(config, f"{name}_words")
            enable = getattr(reader, f"{name}_enable")
            count = Signal(range(words))
            last = Signal()
            m.d.comb += last.eq(enable & (count == words - 1))
            with m.If(enable):
                m.d.sync += count.eq(Mux(last, 0, count + 1))
            m.d.comb += getattr(reader, f"{name}_freed").eq(delay(m, last, self.KEPT, name))
        self.emit(
            m, self.load, reader.load_enable, data=reader.load_data, address=reader.load_address
        )
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


def random_writes(rng, config, count):
    """Instructions for the writer; no two of them to the same place."""
    width = config.axi_bytes
    words = [rng.choice([1, 2, 3, rng.randint(1, 60)]) for _ in range(count)]
    gaps = [rng.randint(0, 3) for _ in range(count)]
    places = [*accumulate(map(sum, zip(words, gaps, strict=True)), initial=0)][:-1]
    writes = [
        Instruction(
            Opcode.WRITE_ACTIVATIONS,
            fields={
                "address": width * place,
                "words": number,
                "buffer": width * rng.randrange((1 << 24) // width),
            },
        )
        for place, number in zip(places, words, strict=True)
    ]
    rng.shuffle(writes)
    return writes


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
