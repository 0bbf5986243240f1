# amaranth: UnusedElaboratable=no
"""The sequencer: order, waits, and the cycle of everything."""

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import BYTES, ENGINES, Instruction, Opcode, encode
from hwsim.blocks.systolic.timing import Memory, SequencerTiming
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.engine import Stimulus
from hwsim.sim.stimulus.axi import AxiMemory

from .bench import (
    FakeTiming,
    SequencerBench,
    generator,
    random_config,
    random_memory,
    random_program,
)

SIZE = 1 << 15


def count_instructions(programs):
    """For each engine."""
    return [
        sum(i.opcode.engine == number for _, _, program in programs for i in program)
        for number in range(len(ENGINES))
    ]


def run_programs(
    engine, config, memory, programs, *, stalls=0.0, seed=0, reset_cycle=None, counts=None
):
    """``programs`` are (cycle, address, instructions); a reset ends the first.

    ``counts`` are the instructions of each engine to wait for, if not all.
    """
    bench = SequencerBench(config)
    bench.reset_cycle = reset_cycle
    bus = AxiMemory(
        name="rom",
        signature=bench.bus.signature,
        size=SIZE,
        writable=False,
        stalls=stalls,
        **memory,
    )
    content = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
    for _, address, program in programs:
        code = b"".join(map(encode, program))
        content[address : address + len(code)] = np.frombuffer(code, np.uint8)
    stimulus = Stimulus(
        {"start": [cycle | address << 32 for cycle, address, _ in programs]},
        {"finished": len(programs) - (reset_cycle is not None)},
        probes={
            name: (getattr(bench.sequencer, name), count)
            for name, count in zip(ENGINES, counts or count_instructions(programs), strict=True)
        },
        agents={"bus": bus},
        buffers=bus.buffers(content),
        seed=seed,
        patience=2000,
        limit=200_000,
    )
    return engine(bench, stimulus)


def predict(config, memory, cycle, address, program):
    engines = [FakeTiming() for _ in ENGINES]
    sequencer = SequencerTiming(
        config, Memory(**memory), program, engines, address=address, start=cycle
    )
    while sequencer.advance():
        pass
    return sequencer, engines


def check_programs(seed, engine, *, count, programs=3, stalls=0.0, gap=1000):
    rng = generator(seed)
    config, memory = random_config(rng), random_memory(rng)
    todo, finished, taken = [], [], [[] for _ in ENGINES]
    cycle, address = rng.randint(0, 20), 0
    for _ in range(programs):
        address += BYTES * rng.randint(0, 40)
        program = random_program(rng, rng.randint(0, count))
        sequencer, engines = predict(config, memory, cycle, address, program)
        todo.append((cycle, address, program))
        finished.append(sequencer.finished)
        for cycles, one in zip(taken, engines, strict=True):
            cycles += one.taken
        cycle = sequencer.finished + gap
        address += BYTES * len(program)
    recording = run_programs(engine, config, memory, todo, stalls=stalls, seed=seed)
    where = f"seed {seed}, {config}, {memory}"
    assert recording.outputs["finished"].payloads == [0] * programs, where
    for number, name in enumerate(ENGINES):
        words = [
            int.from_bytes(encode(instruction), "little")
            for _, _, program in todo
            for instruction in program
            if instruction.opcode.engine == number
        ]
        assert recording.probes[name].payloads == words, (name, where)
    if stalls or gap < 100:
        return
    assert recording.inputs["start"].cycles.tolist() == [cycle for cycle, _, _ in todo], where
    assert recording.outputs["finished"].cycles.tolist() == finished, where
    for name, cycles in zip(ENGINES, taken, strict=True):
        assert recording.probes[name].cycles.tolist() == cycles, (name, where)


@pytest.mark.parametrize("seed", range(8))
def test_programs(seed):
    check_programs(seed, compiled_engine.run, count=70)


@pytest.mark.parametrize("seed", range(100, 104))
def test_programs_that_follow_at_once(seed):
    """What was fetched beyond the last one's end is still on its way."""
    check_programs(seed, compiled_engine.run, count=20, programs=6, gap=1)


@pytest.mark.parametrize("seed", range(200, 203))
def test_programs_from_a_memory_that_stalls(seed):
    check_programs(seed, compiled_engine.run, count=40, stalls=0.3, gap=1)


def test_programs_on_the_amaranth_engine():
    check_programs(300, amaranth_engine.run, count=8, programs=2, gap=100)


SMALL = Systolic(rows=4, cols=4, buffer_bytes=1 << 12, burst_beats=4, address_bits=16)


def test_latencies():
    """A beat of four bytes: an instruction has 16 of them, in four bursts."""
    first = Instruction(Opcode.READ_WEIGHTS, layer=5)
    second = Instruction(Opcode.CONVOLVE, layer=40, after=(1, 0, 0, 0))
    program = [first, second, Instruction(Opcode.HALT, after=(1, 1, 0, 0))]
    recording = run_programs(compiled_engine.run, SMALL, {"read_latency": 10}, [(3, 64, program)])
    # A request in cycle 4, its data in cycles 14 to 29, dispatched in cycle 30.
    assert recording.probes["read"].cycles.tolist() == [31]
    # Completed in cycle 36, before the second one is there.
    assert recording.probes["matrix"].cycles.tolist() == [14 + 32 + 1]
    assert recording.outputs["finished"].cycles.tolist() == [47 + 40 + 1]


@pytest.mark.parametrize("engine", [amaranth_engine, compiled_engine])
def test_program_outside_the_memory(engine):
    """The first instruction is carried out, and the program ends at the second."""
    program = [Instruction(Opcode.READ_WEIGHTS, layer=20)]
    again = [Instruction(Opcode.HALT)]
    recording = run_programs(
        engine.run, SMALL, {}, [(0, SIZE - BYTES, program), (0, 0, again), (0, SIZE, [])]
    )
    assert recording.outputs["finished"].payloads == [1, 0, 1]


@pytest.mark.parametrize("opcode", [10, 15])
def test_unknown_instruction(opcode):
    """It ends the program, whatever it waits for."""
    config = SMALL
    bench = SequencerBench(config)
    bus = AxiMemory(name="rom", signature=bench.bus.signature, size=BYTES, writable=False)
    content = np.full(BYTES, 0xF0 | opcode, np.uint8)
    stimulus = Stimulus(
        {"start": [0]}, {"finished": 1}, agents={"bus": bus}, buffers=bus.buffers(content)
    )
    recording = compiled_engine.run(bench, stimulus)
    assert recording.outputs["finished"].payloads == [1]
    assert recording.outputs["finished"].cycles.tolist() == [1 + 1 + 16]


def test_reset():
    """Nothing is left of a program that was cut short."""
    rng = generator(400)
    first = random_program(rng, 12)
    # It cannot go on, and fetches nothing any more.
    first.insert(5, Instruction(Opcode.CONVOLVE, layer=1, after=(0, 0, 0, 1 << 19)))
    second = random_program(rng, 30)
    memory = {"read_latency": 5}
    programs = [(0, 0, first), (1100, 2048, second)]
    stuck, before = predict(SMALL, memory, *programs[0])
    sequencer, after = predict(SMALL, memory, *programs[1])
    assert stuck.finished is None
    taken = [a.taken + b.taken for a, b in zip(before, after, strict=True)]
    counts = [len(cycles) for cycles in taken]
    recording = run_programs(
        compiled_engine.run, SMALL, memory, programs, reset_cycle=1000, counts=counts
    )
    assert recording.outputs["finished"].cycles.tolist() == [sequencer.finished]
    for name, cycles in zip(ENGINES, taken, strict=True):
        assert recording.probes[name].cycles.tolist() == cycles, name
