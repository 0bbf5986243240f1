# amaranth: UnusedElaboratable=no
"""Reader and writer: what they move, in which cycle, and that they keep to the rules of AXI4."""

from itertools import accumulate

import numpy as np
import pytest

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
    timed,
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


def run_reads(engine, config, memory, reads, offers, reader, content, *, stalls=0.0, seed=0):
    bench = ReaderBench(config)
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


@pytest.mark.parametrize("seed", range(12))
def test_reads(seed):
    check_reads(seed, compiled_engine.run, count=40)


@pytest.mark.parametrize("seed", range(100, 103))
def test_reads_from_a_memory_that_stalls(seed):
    check_reads(seed, compiled_engine.run, count=40, stalls=0.3)


def test_reads_on_the_amaranth_engine():
    check_reads(200, amaranth_engine.run, count=6)


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
    )
    recording = engine(bench, stimulus)
    for write in writes:
        for k in range(write["words"]):
            word = WriterBench.word(config, (write["buffer"] + k * width) % (1 << 24))
            start = write["address"] + k * width
            content[start : start + width] = word.to_bytes(width, "little")
    where = f"seed {seed}, {config}, {memory}"
    assert bytes(bus.content(recording.buffers)) == content, where
    assert recording.outputs["done"].payloads == [0] * count, where
    if not stalls:
        assert recording.inputs["i"].cycles.tolist() == writer.taken, where
        assert recording.probes["w"].cycles.tolist() == [*writer.sent], where
        assert recording.outputs["done"].cycles.tolist() == writer.done, where


@pytest.mark.parametrize("seed", range(12))
def test_writes(seed):
    check_writes(seed, compiled_engine.run, count=40)


@pytest.mark.parametrize("seed", range(100, 103))
def test_writes_to_a_memory_that_stalls(seed):
    check_writes(seed, compiled_engine.run, count=40, stalls=0.3)


def test_writes_on_the_amaranth_engine():
    check_writes(200, amaranth_engine.run, count=6)
