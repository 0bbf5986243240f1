"""The systolic accelerator's layers in a table, and its programs in SimPy."""

from types import SimpleNamespace

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode
from hwsim.blocks.systolic.program_timing import program_timing
from hwsim.blocks.systolic.timing import Memory
from hwsim.compiler import compile_network
from hwsim.models.dataflow.systolic import layer_table
from hwsim.models.dataflow.systolic_simulation import SharedMemory, run
from hwsim.validation.networks import NetworkBuilder
from tests.networks import nngen_network
from tests.rtl.systolic.program_bench import (
    random_case,
    random_instructions,
    random_memory,
    random_systolic,
    run_program,
)


def test_table_of_layers():
    program = compile_network(nngen_network(), Systolic(rows=16, cols=16))
    timing = program.timing(Memory(read_latency=20))
    table = layer_table(program, timing).set_index("op")
    assert table.index.tolist() == ["Conv", "Pool", "Dense"]
    assert table.cycles.sum() == timing.cycles
    assert table.macs.tolist() == [32 * 32 * 27 * 16, 0, 4096 * 10]
    conv, pool, dense = (table.loc[op] for op in table.index)
    # 27 of 32 rows in two folds; 10 of 16 columns, and a pixel in the time of 16 rows.
    assert conv.limit == 27 / 32
    assert dense.limit == 10 / 16 / 16
    for row in (conv, dense):
        stalls = sum(row[name] for name in table.columns if name.startswith("stall"))
        assert row.utilization == row.macs / 256 / row.array_cycles
        assert 0 < row.utilization <= row.limit
        assert stalls < row.array_cycles
    assert np.isnan(pool.limit)
    assert np.isnan(pool.utilization)
    assert conv.scale_sim_cycles == 2 * (16 + 1024 + 16 + 16 - 2) - 1
    assert table.bytes_read.sum() >= 3 * 32 * 32 + 27 * 16 + 4096 * 10
    assert table.bytes_written.sum() >= 10


def check_equal(program, seed):
    rng = np.random.default_rng(seed)
    memory, program_memory = random_memory(rng), random_memory(rng)
    exact = program_timing(
        program.config,
        memory,
        program.instructions,
        program_memory=program_memory,
        address=program.address,
    )
    found = run(program, SharedMemory(memory=memory), program_memory=program_memory)
    for name in ("dispatched", "offered", "taken", "started", "done"):
        assert getattr(found, name).tolist() == getattr(exact, name).tolist(), (name, seed)
    assert found.cycles == exact.cycles
    assert found.layers == exact.layers


@pytest.mark.parametrize("seed", range(20))
def test_fixed_latency_is_exact(seed):
    check_equal(random_case(seed)[0], seed)


@pytest.mark.parametrize("seed", range(20))
def test_fixed_latency_is_exact_for_random_instructions(seed):
    check_equal(random_program(seed), seed)


def random_program(seed):
    rng = np.random.default_rng(seed)
    config = random_systolic(rng)
    instructions = random_instructions(rng, config, 50)
    return SimpleNamespace(config=config, instructions=instructions, address=1 << 15)


# Over 64 programs it was 0.015; see docs/systolic.md.
LARGEST_ERROR = 0.02


@pytest.mark.parametrize("seed", range(2))
def test_shared_memory_that_stalls(seed):
    """Against the RTL: chance has its part in both."""
    program, codes = random_case(seed)
    rng = np.random.default_rng(seed)
    memory, program_memory = random_memory(rng), random_memory(rng)
    traffic = {"bandwidth": (1, 2), "total_bandwidth": True, "stalls": 0.2}
    cycles, _ = run_program(program, codes, memory, program_memory, seed=seed, **traffic)
    shared = SharedMemory(memory=memory, **traffic)
    found = [run(program, shared, program_memory=program_memory, seed=k).cycles for k in range(5)]
    assert np.mean(found) == pytest.approx(cycles["finished"][0], rel=LARGEST_ERROR)


def slow_program():
    """Weights for folds of few pixels: the memory limits."""
    b = NetworkBuilder(np.random.default_rng(0), (64, 4, 4))
    network = b.build(b.conv(b.input, 64, (1, 1)))
    return compile_network(network, Systolic(rows=8, cols=8))


def test_what_slows_the_memory_down():
    program = slow_program()
    memory = Memory(read_latency=10, outstanding_reads=8)
    alone = run(program, SharedMemory(memory=memory), program_memory=memory).cycles
    assert alone == program.cycles(memory)

    def cycles(program_memory=memory, **options):
        shared = SharedMemory(memory=memory, **options)
        return run(program, shared, program_memory=program_memory).cycles

    beats = sum(i["words"] for i in program.instructions)
    quarter = cycles(bandwidth=(1, 4), total_bandwidth=True)
    assert quarter >= 4 * beats
    assert alone < cycles(bandwidth=(1, 2)) < cycles(bandwidth=(1, 3)) < quarter
    assert alone < cycles(spread=200)
    assert alone < cycles(stalls=0.5)
    assert alone < cycles(other_burst=64, other_interval=100)
    assert alone <= cycles(program_memory=None)
    assert cycles(stalls=0.5) == cycles(stalls=0.5)


def test_shared_memory_refuses():
    text = "bandwidth must be beats and cycles, up to one beat in a cycle, not (3, 2)"
    with pytest.raises(ValueError) as error:
        SharedMemory(bandwidth=(3, 2))
    assert str(error.value) == text
    with pytest.raises(ValueError, match=r"^stalls must lie in \[0, 1\), not 1$"):
        SharedMemory(stalls=1)
    with pytest.raises(ValueError, match=r"^spread must be an integer of at least 0, not -1$"):
        SharedMemory(spread=-1)


def test_instructions_that_wait_for_ever():
    program = SimpleNamespace(
        config=Systolic(rows=4, cols=4, buffer_bytes=1 << 12),
        instructions=[
            Instruction(Opcode.CONVOLVE, fields={"folds": 1, "pixels": 7}),
            Instruction(Opcode.HALT, after=(0, 1, 0, 0)),
        ],
        address=0,
    )
    with pytest.raises(ValueError, match=r"^instruction 0, CONVOLVE, waits for ever$"):
        run(program, SharedMemory(other_burst=4, other_interval=16))
