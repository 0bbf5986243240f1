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


@pytest.mark.parametrize("seed", range(4))
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


@pytest.mark.parametrize("seed", range(4))
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
