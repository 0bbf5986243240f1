# amaranth: UnusedElaboratable=no
"""Control, sequencer and DMA together: programs that move data, and what the counters say."""

from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

from hwsim.blocks.systolic import registers
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import BYTES, ENGINES, Instruction, Opcode, encode
from hwsim.blocks.systolic.timing import Memory, ReaderTiming, SequencerTiming, WriterTiming
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.engine import Stimulus, StreamError
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
        limit=200_000,
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


@pytest.mark.parametrize("seed", range(6))
def test_machine(seed):
    """Every counter is what the timing functions say."""
    check_machine(seed, compiled_engine.run, count=60)


@pytest.mark.parametrize("seed", range(100, 103))
def test_machine_with_memories_that_stall(seed):
    check_machine(seed, compiled_engine.run, count=40, stalls=0.3)


def test_machine_on_the_amaranth_engine():
    check_machine(200, amaranth_engine.run, count=6, runs=1)


CONFIG = Systolic(rows=4, cols=4, buffer_bytes=1 << 12)


def run_steps(engine, steps, programs=()):
    """What each step read."""
    recording, _ = run_script(engine, CONFIG, {}, bytes(SIZE), programs, steps)
    return np.ravel(recording.buffers["script.result"]).tolist()


@pytest.mark.parametrize("engine", [amaranth_engine, compiled_engine])
def test_registers(engine):
    """Bytes that are not written stay; what is not kept reads as 0."""
    program, interrupt = OFFSET["program"], OFFSET["interrupt"]
    results = run_steps(
        engine.run,
        [
            (Access.WRITE, program, 0x12345678),
            (Access.READ, program),
            (Access.WRITE, program, 0xAABBCCDD, 0b0101),
            (Access.READ, program),
            (Access.READ, interrupt),
            (Access.WRITE, interrupt, 0xFFFFFFFF),
            (Access.WRITE, interrupt, 0, 0b1110),
            (Access.READ, interrupt),
            (Access.WRITE, OFFSET["control"], 1, 0b1110),
            (Access.READ, OFFSET["status"]),
        ],
    )
    assert [results[k] for k in (1, 3, 4, 7, 9)] == [0x12345678, 0x12BB56DD, 0, 1, 0]


@pytest.mark.parametrize(
    "step",
    [
        (Access.READ, OFFSET["control"]),
        (Access.READ, 0x10),
        (Access.READ, OFFSET["bytes_written"] + 8),
        (Access.WRITE, OFFSET["cycles"], 0),
        (Access.WRITE, 0xFC, 0),
    ],
)
def test_access_to_what_is_not_there(step):
    with pytest.raises(StreamError, match=r"^script got an error as the answer to an access, in"):
        run_steps(compiled_engine.run, [step])


def test_interrupt_and_status():
    """An error stays until it is cleared, and so does the end of a program."""
    status, control = OFFSET["status"], OFFSET["control"]
    halt = [Instruction(Opcode.HALT)]
    outside = (
        Instruction(Opcode.READ_TABLE, fields={"address": 1 << 20, "words": 1}),
        Instruction(Opcode.HALT, after=(1, 0, 0, 0)),
    )
    steps = [
        (Access.WRITE, control, 1),
        (Access.POLL, status, FINISHED, FINISHED),
        (Access.READ, status),
        (Access.WRITE, status, ERROR),
        (Access.READ, status),
        (Access.WRITE, OFFSET["interrupt"], 1),
        (Access.INTERRUPT,),  # comes at once
        (Access.WRITE, status, FINISHED),
        (Access.READ, status),
        (Access.WRITE, OFFSET["program"], 2 * BYTES),
        (Access.WRITE, control, 1),
        (Access.INTERRUPT,),
        (Access.READ, status),
        (Access.READ, OFFSET["read_completed"]),
    ]
    results = run_steps(compiled_engine.run, steps, [(0, outside), (2 * BYTES, halt)])
    assert [results[k] for k in (2, 4, 8, 12, 13)] == [FINISHED | ERROR, FINISHED, 0, FINISHED, 0]


def test_high_word_of_a_counter():
    """It is that of the time when the low word was read."""
    component = MachineBench(CONFIG)
    cycles = OFFSET["cycles"]
    steps = [(Access.READ, cycles), (Access.READ, cycles + 4)] * 2
    script = RegisterScript(name="script", signature=component.control.signature.flip())
    stimulus = Stimulus({}, {}, agents={"control": script}, buffers=script.buffers(steps))
    run = compiled_engine.Run(component, stimulus)
    checkpoint = run.simulation.checkpoint()
    (name,) = (key for key in checkpoint.states if key.endswith("control.cycles"))
    view = checkpoint.states[name]
    view[...] = np.frombuffer(((7 << 32) | 5).to_bytes(8, "little"), np.uint8)
    run.simulation.restore(checkpoint)
    run.advance(1000)
    results = np.ravel(run.recording().buffers["script.result"]).tolist()
    assert results == [5, 7, 5, 7]


def test_table_of_registers():
    """The documentation shows what the hardware has."""
    text = (Path(__file__).parents[3] / "docs" / "systolic.md").read_text()
    assert registers.table() in text
    spans = sorted((r.offset, r.offset + r.bits // 8) for r in registers.REGISTERS.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert spans[-1][1] <= 1 << registers.ADDRESS_BITS
