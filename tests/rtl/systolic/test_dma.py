# amaranth: UnusedElaboratable=no
"""Reader and writer: what they move, in which cycle, and that they keep to the rules of AXI4."""

from itertools import accumulate

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode
from hwsim.blocks.systolic.timing import Memory, ReaderTiming, WriterTiming
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.engine import Stimulus
from hwsim.sim.stimulus.axi import AxiMemory

from .bench import (
    ReaderBench,
    WriterBench,
    generator,
    random_config,
    random_memory,
    random_reads,
    random_writes,
    timed,
    word_of_buffer,
)

SIZE = 1 << 13
ENGINES = {"amaranth": amaranth_engine.run, "compiled": compiled_engine.run}


def random_offers(rng, count):
    """Cycles in which instructions come, in bunches."""
    return list(accumulate(rng.choice([0, 0, 1, rng.randint(2, 60)]) for _ in range(count)))


def predict(rng, config, memory, reads, offers):
    """`ReaderTiming` of instructions, with tiles freed at random times."""
    reader = ReaderTiming(config, Memory(**memory))
    for cycle, read in zip(offers, reads, strict=True):
        reader.offer(cycle, read)
    queues = (
        (reader.weights, reader.weights_freed, config.weight_words),
        (reader.parameters, reader.parameters_freed, config.parameter_words),
    )
    while reader.advance():
        for words, freed, tile in queues:
            while tile * (len(freed) + 1) <= len(words):
                cycle = words[tile * (len(freed) + 1) - 1] + 1
                cycle += rng.choice([0, 1, rng.randint(0, 50)])
                freed.append(max([cycle, *(last + 1 for last in freed[-1:])]))
    assert len(reader.done) == len(reads)
    return reader


def run_reads(
    engine, config, memory, reads, offers, reader, content, *, stalls=0.0, seed=0, reset_cycle=None
):
    bench = ReaderBench(config)
    bench.reset_cycle = reset_cycle
    bus = AxiMemory(name="dram", signature=bench.bus.signature, size=SIZE, stalls=stalls, **memory)
    stimulus = Stimulus(
        {
            "i": [timed(*pair) for pair in zip(offers, reads, strict=True)],
            "weights_freed": np.array(reader.weights_freed, np.int64).reshape(-1, 1),
            "parameters_freed": np.array(reader.parameters_freed, np.int64).reshape(-1, 1),
        },
        {
            "load": len(reader.activations),
            "weights": len(reader.weights),
            "parameters": len(reader.parameters),
            "table": len(reader.tables),
            "done": len(reads),
        },
        agents={"bus": bus},
        buffers=bus.buffers(np.frombuffer(content, np.uint8)),
        seed=seed,
        patience=2000,
        limit=200_000,
    )
    return engine(bench, stimulus)


def expected_reads(config, reads, content):
    """Packed beats of each output."""
    width = config.axi_bytes
    bits = 8 * width
    beats = {"load": [], "weights": [], "parameters": [], "table": []}
    for read in reads:
        for k in range(read["words"]):
            start = read["address"] + k * width
            word = int.from_bytes(content[start : start + width], "little")
            match read.opcode:
                case Opcode.READ_ACTIVATIONS:
                    address = (read["buffer"] + k * width) % (1 << 24)
                    beats["load"].append(word | address << bits)
                case Opcode.READ_WEIGHTS:
                    beats["weights"].append(word)
                case Opcode.READ_PARAMETERS:
                    beats["parameters"].append(word)
                case _:
                    beats["table"].append(word | (k == 0) << bits | read["table"] << bits + 1)
    return beats | {"done": [0] * len(reads)}


def check_reads(seed, engine, *, count, stalls=0.0):
    rng = generator(seed)
    config, memory = random_config(rng), random_memory(rng)
    reads = random_reads(rng, config, count, SIZE)
    content = rng.randbytes(SIZE)
    offers = random_offers(rng, count)
    reader = predict(rng, config, memory, reads, offers)
    recording = run_reads(
        engine, config, memory, reads, offers, reader, content, stalls=stalls, seed=seed
    )
    where = f"seed {seed}, {config}, {memory}"
    for name, beats in expected_reads(config, reads, content).items():
        assert recording.outputs[name].payloads == beats, (name, where)
    if stalls:
        return
    assert recording.inputs["i"].cycles.tolist() == reader.taken, where
    assert recording.outputs["done"].cycles.tolist() == reader.done, where
    for name, words in (
        ("load", reader.activations),
        ("weights", reader.weights),
        ("parameters", reader.parameters),
        ("table", reader.tables),
    ):
        assert recording.outputs[name].cycles.tolist() == [*words], (name, where)


@pytest.mark.parametrize("seed", range(8))
def test_reads(seed):
    check_reads(seed, compiled_engine.run, count=40)


@pytest.mark.parametrize("seed", range(100, 103))
def test_reads_from_a_memory_that_stalls(seed):
    check_reads(seed, compiled_engine.run, count=40, stalls=0.3)


def test_reads_on_the_amaranth_engine():
    check_reads(200, amaranth_engine.run, count=6)


SMALL = Systolic(rows=4, cols=4, buffer_bytes=1 << 12, address_bits=16)


def test_reads_back_to_back():
    """Once data come, a word comes in each cycle, however short the instructions."""
    reads = [
        Instruction(Opcode.READ_ACTIVATIONS, fields={"address": 4 * k, "words": 3, "buffer": 4 * k})
        for k in range(30)
    ]
    memory = {"read_latency": 8, "outstanding_reads": 8}
    reader = predict(generator(1), SMALL, memory, reads, [0] * 30)
    assert [*reader.activations] == [*range(10, 100)]
    recording = run_reads(compiled_engine.run, SMALL, memory, reads, [0] * 30, reader, bytes(SIZE))
    # Taken in cycle 0, requested in cycle 1, on the port in cycle 9.
    assert recording.outputs["load"].cycles.tolist() == [*range(10, 100)]


def test_room_for_weights():
    """Four tiles are fetched; the fifth when the first is freed."""
    tile = SMALL.weight_words
    read = Instruction(Opcode.READ_WEIGHTS, fields={"words": 5 * tile})
    reader = ReaderTiming(SMALL, Memory())
    reader.offer(0, read)
    assert reader.advance()
    assert (len(reader.weights), reader.done) == (4 * tile, [])
    assert not reader.advance()
    reader.weights_freed.append(100)
    assert reader.advance()
    # A request in cycle 101.
    assert reader.weights[4 * tile] == 103
    assert reader.done == [102 + tile]


def test_reset_of_the_reader():
    """Queues of weights and parameters are empty again."""
    rng = generator(2)
    reads = [
        Instruction(opcode, fields={"words": 4 * words})
        for opcode, words in (
            (Opcode.READ_WEIGHTS, SMALL.weight_words),
            (Opcode.READ_PARAMETERS, SMALL.parameter_words),
        )
    ]
    before, after = (ReaderTiming(SMALL, Memory()) for _ in range(2))
    offers = [0, 0, 1000, 1000]
    for reader, start in ((before, 0), (after, 1000)):
        for read in reads:
            reader.offer(start, read)
        assert reader.advance()
        assert len(reader.done) == 2
    both = ReaderTiming(SMALL, Memory())
    for name in ("weights", "parameters"):
        for reader in (before, after):
            for run in getattr(reader, name).runs:
                getattr(both, name).add(*run)
    both.done = before.done + after.done
    content = rng.randbytes(SIZE)
    recording = run_reads(
        compiled_engine.run, SMALL, {}, reads * 2, offers, both, content, reset_cycle=900
    )
    for name in ("weights", "parameters", "done"):
        assert recording.outputs[name].cycles.tolist() == [*getattr(both, name)]


@pytest.mark.parametrize("part", [ReaderTiming, WriterTiming])
def test_timing_of_no_words(part):
    opcode = Opcode.READ_TABLE if part is ReaderTiming else Opcode.WRITE_ACTIVATIONS
    timing = part(SMALL, Memory())
    timing.offer(0, Instruction(opcode))
    with pytest.raises(ValueError, match=rf"^{opcode.name} must have at least one word$"):
        timing.advance()


def test_memory_without_latency():
    with pytest.raises(ValueError, match=r"^read_latency must be a positive integer, not 0$"):
        Memory(read_latency=0)


def test_writes_back_to_back():
    """A word in each cycle, however short the instructions."""
    writer = WriterTiming(SMALL, Memory(write_latency=3, outstanding_writes=8))
    for k in range(30):
        fields = {"address": 12 * k, "words": 3}
        writer.offer(0, Instruction(Opcode.WRITE_ACTIVATIONS, fields=fields))
    writer.advance()
    # Taken in cycle 0, read from the buffer in cycle 1, in the queue in cycle 5.
    assert [*writer.sent] == [*range(5, 95)]
    assert writer.done[0] == 7 + 3 + 1


def check_writes(seed, engine, *, count, stalls=0.0):
    rng = generator(seed)
    config, memory = random_config(rng), random_memory(rng)
    writes, offers = random_writes(rng, config, count), random_offers(rng, count)
    writer = WriterTiming(config, Memory(**memory))
    for cycle, write in zip(offers, writes, strict=True):
        writer.offer(cycle, write)
    assert writer.advance()
    assert not writer.advance()

    width = config.axi_bytes
    content = bytearray(rng.randbytes(SIZE * width))
    bench = WriterBench(config)
    bus = AxiMemory(
        name="dram", signature=bench.bus.signature, size=len(content), stalls=stalls, **memory
    )
    words = sum(write["words"] for write in writes)
    stimulus = Stimulus(
        {"i": [timed(*pair) for pair in zip(offers, writes, strict=True)]},
        {"done": count},
        probes={"w": (bench.bus.w, words)},
        agents={"bus": bus},
        buffers=bus.buffers(np.frombuffer(content, np.uint8)),
        seed=seed,
        patience=2000,
        limit=200_000,
    )
    recording = engine(bench, stimulus)
    for write in writes:
        for k in range(write["words"]):
            word = word_of_buffer(config, (write["buffer"] + k * width) % (1 << 24))
            start = write["address"] + k * width
            content[start : start + width] = word.to_bytes(width, "little")
    where = f"seed {seed}, {config}, {memory}"
    assert bytes(bus.content(recording.buffers)) == content, where
    assert recording.outputs["done"].payloads == [0] * count, where
    if not stalls:
        assert recording.inputs["i"].cycles.tolist() == writer.taken, where
        assert recording.probes["w"].cycles.tolist() == [*writer.sent], where
        assert recording.outputs["done"].cycles.tolist() == writer.done, where


@pytest.mark.parametrize("seed", range(8))
def test_writes(seed):
    check_writes(seed, compiled_engine.run, count=40)


@pytest.mark.parametrize("seed", range(100, 103))
def test_writes_to_a_memory_that_stalls(seed):
    check_writes(seed, compiled_engine.run, count=40, stalls=0.3)


def test_writes_on_the_amaranth_engine():
    check_writes(200, amaranth_engine.run, count=6)
