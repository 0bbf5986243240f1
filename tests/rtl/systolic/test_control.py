# amaranth: UnusedElaboratable=no
"""Control, sequencer and DMA together: programs that move data, and what the counters say."""

from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest

from hwsim.blocks.systolic import registers
from hwsim.blocks.systolic.isa import BYTES, ENGINES, Opcode, encode
from hwsim.blocks.systolic.timing import Memory, ReaderTiming, SequencerTiming, WriterTiming
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.engine import Stimulus
from hwsim.sim.stimulus.axi import Access, AxiMemory, RegisterScript

from .bench import (
    FakeTiming,
    MachineBench,
    generator,
    random_config,
    random_memory,
    random_program,
    random_reads,
    random_writes,
    word_of_buffer,
)

SIZE = 1 << 13
OFFSET = {name: register.offset for name, register in registers.REGISTERS.items()}
BUSY, FINISHED, ERROR = (1 << bit for bit in (registers.BUSY, registers.FINISHED, registers.ERROR))


class FreeingReader(ReaderTiming):
    """Tiles are freed a number of cycles after their last word."""

    def __init__(self, config, memory):
        super().__init__(config, memory)
        self._queues = (
            (self.weights, self.weights_freed, config.weight_words),
            (self.parameters, self.parameters_freed, config.parameter_words),
        )

    def advance(self):
        progress = super().advance()
        for words, freed, tile in self._queues:
            while tile * (len(freed) + 1) <= len(words):
                freed.append(words[tile * (len(freed) + 1) - 1] + MachineBench.KEPT)
        return progress


def draw_program(rng, config, count):
    """Random dependencies, transfers with addresses; the upper half of memory is written to."""
    program = random_program(rng, count)
    numbers = [sum(i.opcode.engine == engine for i in program) for engine in (0, 3)]
    reads = iter(random_reads(rng, config, numbers[0], SIZE))
    writes = iter(random_writes(rng, config, numbers[1]))
    for k, instruction in enumerate(program):
        if instruction.opcode.engine == 0:
            other = next(reads)
        elif instruction.opcode.engine == 3:
            other = next(writes)
            address = other["address"] + SIZE
            other = replace(other, fields=other.fields | {"address": address})
        else:
            continue
        program[k] = replace(instruction, opcode=other.opcode, fields=other.fields)
    return program


def predict(config, memory, program, address):
    """The counters, by name."""
    memory = Memory(**memory)
    reader, writer = FreeingReader(config, memory), WriterTiming(config, memory)
    engines = [reader, FakeTiming(), FakeTiming(), writer]
    sequencer = SequencerTiming(config, memory, program, engines, address=address)
    while any([part.advance() for part in (sequencer, *engines)]):
        pass
    counters = {"cycles": sequencer.finished}
    dispatched = [[] for _ in ENGINES]
    for cycle, instruction in zip(sequencer.dispatched, program, strict=False):
        dispatched[instruction.opcode.engine].append(cycle)
    for name, engine, left, offered in zip(
        ENGINES, engines, dispatched, sequencer.offered, strict=True
    ):
        heads = np.maximum(left, [-1, *engine.taken[:-1]][: len(left)]) + 1
        counters[f"{name}_waiting"] = int(np.sum(np.subtract(offered, heads)))
        changes = np.zeros(sequencer.finished + 2, int)
        np.add.at(changes, np.array(engine.taken, int) + 1, 1)
        np.add.at(changes, np.array(engine.done, int) + 1, -1)
        counters[f"{name}_active"] = int(np.count_nonzero(np.cumsum(changes)))
        counters[f"{name}_completed"] = len(engine.done)
    words = [
        sum(i["words"] for i in program if i.opcode.engine == engine) * config.axi_bytes
        for engine in (0, 3)
    ]
    return counters | {"bytes_read": words[0], "bytes_written": words[1]}


def run_script(engine, config, memory, content, programs, steps, *, stalls=0.0, seed=0, loads=0):
    """Recording of a script; ``programs`` are pairs (address, instructions)."""
    bench = MachineBench(config)
    code = np.zeros(SIZE, np.uint8)
    for address, program in programs:
        text = b"".join(map(encode, program))
        code[address : address + len(text)] = np.frombuffer(text, np.uint8)
    rom = AxiMemory(
        name="rom",
        signature=bench.program.signature,
        size=SIZE,
        writable=False,
        stalls=stalls,
        **memory,
    )
    dram = AxiMemory(
        name="dram", signature=bench.bus.signature, size=len(content), stalls=stalls, **memory
    )
    script = RegisterScript(
        name="script", signature=bench.control.signature.flip(), interrupt=bench.irq
    )
    stimulus = Stimulus(
        {},
        {"load": loads},
        agents={"program": rom, "bus": dram, "control": script},
        buffers=rom.buffers(code)
        | dram.buffers(np.frombuffer(content, np.uint8))
        | script.buffers(steps),
        seed=seed,
        patience=4000,
    )
    recording = engine(bench, stimulus)
    return recording, bytes(dram.content(recording.buffers))


def check_machine(seed, engine, *, count, runs=2, stalls=0.0):
    rng = generator(seed)
    config, memory = replace(random_config(rng), address_bits=32), random_memory(rng)
    content = bytearray(rng.randbytes(SIZE) + bytes(SIZE * config.axi_bytes))
    programs = [draw_program(rng, config, rng.randint(1, count)) for _ in range(runs)]
    lengths = [BYTES * len(program) for program in programs]
    addresses = [*accumulate(lengths, initial=BYTES * rng.randint(0, 3))][:-1]
    counters = [name for name in registers.COUNTERS for _ in range(2)]
    steps, expected = [(Access.WRITE, OFFSET["interrupt"], 1)], [None]
    for program, address in zip(programs, addresses, strict=True):
        want = predict(config, memory, program, address)
        steps += [
            (Access.WRITE, OFFSET["program"], address),
            (Access.WRITE, OFFSET["control"], 1),
            (Access.WRITE, OFFSET["control"], 1),  # without effect
            (Access.READ, OFFSET["status"]),
            (Access.INTERRUPT,),
            (Access.READ, OFFSET["status"]),
            *((Access.READ, OFFSET[name] + 4 * (k % 2)) for k, name in enumerate(counters)),
            (Access.WAIT, 500),
        ]
        exact = {} if stalls else want
        for name in (n for n in want if n.endswith("completed") or n.startswith("bytes")):
            exact[name] = want[name]
        expected += [None, None, None, BUSY, None, FINISHED]
        expected += [0 if k % 2 else exact.get(name) for k, name in enumerate(counters)]
        expected += [None]
    loads = [
        (read["buffer"] + k * config.axi_bytes, read["address"] + k * config.axi_bytes)
        for program in programs
        for read in program
        if read.opcode == Opcode.READ_ACTIVATIONS
        for k in range(read["words"])
    ]
    recording, after = run_script(
        engine,
        config,
        memory,
        bytes(content),
        zip(addresses, programs, strict=True),
        steps,
        stalls=stalls,
        seed=seed,
        loads=len(loads),
    )
    where = f"seed {seed}, {config}, {memory}"
    results = np.ravel(recording.buffers["script.result"]).tolist()
    for step, result, want in zip(steps, results, expected, strict=True):
        assert want is None or result == want, (step, where)
    width = config.axi_bytes
    assert recording.outputs["load"].payloads == [
        int.from_bytes(content[source : source + width], "little")
        | (place % (1 << 24)) << 8 * width
        for place, source in loads
    ], where
    for write in (i for p in programs for i in p if i.opcode == Opcode.WRITE_ACTIVATIONS):
        for k in range(write["words"]):
            start = write["address"] + k * width
            word = word_of_buffer(config, (write["buffer"] + k * width) % (1 << 24))
            content[start : start + width] = word.to_bytes(width, "little")
    assert after == content, where


@pytest.mark.parametrize("seed", range(10))
def test_machine(seed):
    """Every counter is what the timing functions say."""
    check_machine(seed, compiled_engine.run, count=60)


@pytest.mark.parametrize("seed", range(100, 103))
def test_machine_with_memories_that_stall(seed):
    check_machine(seed, compiled_engine.run, count=40, stalls=0.3)


def test_machine_on_the_amaranth_engine():
    check_machine(200, amaranth_engine.run, count=6, runs=1)
