"""The cycle of everything in a program, against the RTL."""

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode
from hwsim.blocks.systolic.program_timing import CAUSES, program_timing
from hwsim.blocks.systolic.timing import Memory
from tests.rtl.systolic.program_bench import (
    check_timing,
    random_case,
    random_instructions,
    random_memory,
    random_systolic,
    run_instructions,
    run_program,
)


@pytest.mark.parametrize("seed", range(3))
def test_programs_of_networks(seed):
    program, codes = random_case(seed)
    rng = np.random.default_rng(seed)
    memory, program_memory = random_memory(rng), random_memory(rng)
    cycles, _ = run_program(program, codes, memory, program_memory)
    timing = program_timing(
        program.config,
        memory,
        program.instructions,
        program_memory=program_memory,
        address=program.address,
    )
    where = f"seed {seed}, {program.config}, {memory}, {program_memory}"
    check_timing(cycles, timing, program.instructions, where)


@pytest.mark.parametrize("seed", range(3))
def test_random_instructions(seed):
    check_instructions(seed, 40)


def check_instructions(seed, count):
    rng = np.random.default_rng(seed)
    config, memory, program_memory = random_systolic(rng), random_memory(rng), random_memory(rng)
    instructions = random_instructions(rng, config, count)
    image = np.zeros(1 << 15, np.uint8)
    cycles, _ = run_instructions(config, instructions, memory, program_memory, image)
    timing = program_timing(
        config, memory, instructions, program_memory=program_memory, address=len(image)
    )
    where = f"seed {seed}, {config}, {memory}, {program_memory}"
    check_timing(cycles, timing, instructions, where)


def test_program_of_one_convolution():
    """Every latency of the matrix engine and the vector unit, added up."""
    config = Systolic(rows=4, cols=4, buffer_bytes=1 << 12)
    program = [
        Instruction(Opcode.READ_WEIGHTS, 1, fields={"words": 12}),
        Instruction(Opcode.CONVOLVE, 1, fields={"folds": 3, "pixels": 7}),
        Instruction(
            Opcode.ACTIVATE, 1, (0, 1, 0, 0), {"width": 7, "height": 1, "channels": 4, "uniform": 1}
        ),
        Instruction(Opcode.HALT, 0, (1, 1, 1, 0)),
    ]
    timing = program_timing(config, Memory(read_latency=10), program)
    # 16 beats an instruction: the request in cycle 1, its data in cycles 11 to 26, dispatched in
    # cycle 27, taken in cycle 28.
    assert timing.dispatched.tolist()[:3] == [27, 43, 59]
    assert timing.taken.tolist()[:2] == [28, 44]
    # The request in cycle 29, words in cycles 40 to 51.
    assert timing.done[0] == 51
    # The weights of the first fold are there, those of the others by the time that they are needed:
    # taps from cycle 45 on, pixels from 49 on. The last one in cycle 48 + 21; in 5 cycles it is at
    # the array, whose latency is 10, and its sums can be read from the fourth cycle after that on.
    assert timing.started[1] == 45
    assert timing.done[1] == 48 + 21 + 5 + 10 + 2
    assert timing.offered[2] == timing.taken[2] == timing.done[1] + 1
    assert timing.done[2] == timing.taken[2] + 6 + 14
    assert timing.cycles == timing.done[2] + 1
    (layer,) = timing.layers
    assert (layer.first, layer.last, layer.cycles) == (28, timing.done[2], timing.cycles)
    assert (layer.busy, layer.bytes_read, layer.bytes_written) == (21, 48, 0)
    # The first one could have been at the array in cycle 0.
    assert layer.stalls == dict.fromkeys(CAUSES, 0) | {"program": 45}


@pytest.mark.parametrize("seed", range(10, 16))
def test_layers_divide_the_time(seed):
    """Of the array: what is not between folds or at work is before the first or after the last."""
    program, _ = random_case(seed)
    memory = random_memory(np.random.default_rng(seed))
    timing = program.timing(memory)
    assert program.cycles(memory) == timing.cycles
    assert sum(layer.cycles for layer in timing.layers) == timing.cycles
    used = sum(layer.array_cycles for layer in timing.layers)
    last = max(k for k, i in enumerate(program.instructions) if i.opcode == Opcode.CONVOLVE)
    assert used < timing.done[last]
    for layer in timing.layers:
        assert min(layer.busy, *layer.stalls.values()) >= 0
        mine = [i for i in program.instructions if i.layer == layer.layer]
        for opcodes, count in (
            ({1, 2, 3, 4}, layer.bytes_read),
            ({Opcode.WRITE_ACTIVATIONS}, layer.bytes_written),
        ):
            words = sum(i["words"] for i in mine if i.opcode in opcodes)
            assert count == words * program.config.axi_bytes


def test_instructions_that_wait_for_ever():
    config = Systolic(rows=4, cols=4, buffer_bytes=1 << 12)
    program = [
        Instruction(Opcode.CONVOLVE, fields={"folds": 1, "pixels": 7}),
        Instruction(Opcode.HALT, after=(0, 1, 0, 0)),
    ]
    with pytest.raises(ValueError, match=r"^instruction 0, CONVOLVE, waits for ever$"):
        program_timing(config, Memory(), program)
