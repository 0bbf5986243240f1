"""`Programs`: near the cycles of compiled programs, on accelerators drawn at random."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

import hwsim
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.timing import usual_memory
from hwsim.compiler.compile import compile_network
from hwsim.data import bundled
from hwsim.models.dataflow.systolic_simulation import SharedMemory
from hwsim.models.dataflow.systolic_simulation import run as run_program
from hwsim.models.programs import Programs, supply
from hwsim.models.quantization import random_integer_network
from hwsim.network.lower import lower
from hwsim.networks import network as known
from tests.compiler.networks import random_config, random_network

SEED = 20
SQUEEZENET = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
SIZES = (2, 4, 6, 8, 12, 14, 16, 24, 32, 64)


def trained(name):
    with np.load(bundled(f"{name}/images.npz")) as data:
        images = data["images"][:32].astype(np.float32) / 255
    return lower(hwsim.quantize(hwsim.load(bundled(f"{name}/{name}.onnx")), calibration=images))


NETWORKS = {
    "digits": (lambda: trained("digits"), 24),
    "lenet5": (lambda: trained("lenet5"), 24),
    "cifar10": (lambda: random_integer_network(known("cifar10")), 16),
    "squeezenet": (lambda: random_integer_network(hwsim.load(SQUEEZENET)), 6),
}


def draw(rng, count):
    """Sizes of accelerators, an array (4, count)."""
    rows, cols = rng.choice(SIZES, (2, count))
    return np.stack([rows, cols, 1 << rng.integers(13, 22, count), 1 << rng.integers(5, 13, count)])


def compiled(network, sizes):
    """The program, or None where the compiler refuses."""
    names = ("rows", "cols", "buffer_bytes", "accumulator_rows")
    config = Systolic(**dict(zip(names, map(int, sizes), strict=True)))
    try:
        return compile_network(network, config)
    except ValueError:
        return None


def test_near_the_cycles_of_programs():
    rng = np.random.default_rng(SEED)
    cycles, moved = [], []
    for name, (make, count) in NETWORKS.items():
        network, sizes = make(), draw(rng, count)
        found = Programs(network).run(*sizes)
        for k, point in enumerate(sizes.T):
            program = compiled(network, point)
            assert (program is None) == bool(np.isnan(found.cycles[k])), (name, point)
            if program is not None:
                timing = program.timing()
                total = sum(layer.bytes_read + layer.bytes_written for layer in timing.layers)
                cycles.append(abs(found.cycles[k] / timing.cycles - 1))
                moved.append(abs(found.bytes[k] / total - 1))
    print(SEED, len(cycles), np.quantile(cycles, (0.5, 0.9, 1)), np.quantile(moved, (0.5, 0.9)))
    assert len(cycles) > 50
    # Seen are 1 % and 6 %; the goal is 5 % in the middle.
    assert np.median(cycles) <= 0.05
    assert np.quantile(cycles, 0.9) <= 0.15
    assert np.median(moved) <= 0.05


def test_near_events_where_memory_is_slow():
    network = trained("lenet5")
    errors = []
    for size, share in ((8, Fraction(1, 2)), (16, Fraction(1, 4)), (16, Fraction(3, 4))):
        program = compiled(network, (size, size, 65536, 256))
        config = program.config
        shared = SharedMemory(
            memory=usual_memory(config),
            bandwidth=(share.numerator, share.denominator),
            total_bandwidth=True,
        )
        found = Programs(network).run(size, size, 65536, 256, float(share) * config.axi_bytes)
        errors.append(abs(float(found.cycles[0]) / run_program(program, shared).cycles - 1))
    print(errors)
    assert max(errors) <= 0.15


@pytest.mark.parametrize("seed", range(12))
def test_any_network(seed):
    """Maps of a few pixels, between layers that are rare: not near, but there."""
    network, config = random_network(seed), random_config(seed)
    sizes = config.rows, config.cols, config.buffer_bytes, config.accumulator_rows
    found = Programs(network).run(*sizes)
    if compiled(network, sizes) is not None:
        assert 0 < found.cycles[0] < np.inf
        assert found.bytes[0] > 0


def test_points_do_not_depend_on_one_another():
    programs = Programs(trained("digits"))
    sizes = draw(np.random.default_rng(SEED), 40)
    whole = programs.run(*sizes).cycles
    alone = [programs.run(*sizes[:, [k]]).cycles[0] for k in range(40)]
    assert np.array_equal(whole, alone, equal_nan=True)


def test_what_is_too_small():
    programs = Programs(trained("lenet5"))
    assert np.isnan(programs.run([4, 4], [4, 4], [1024, 64], [16, 64]).cycles).all()
    assert programs.problem(1024, 16) == "rows of 28 pixels need more than 16 accumulator rows"
    assert programs.problem(64, 64) == ("strips of a row need 1,000 bytes of buffer, more than 64")


@pytest.mark.parametrize(("size", "cycles"), [(4, 9), (16, 22), (64, 64)])
def test_supply(size, cycles):
    # As programs with so many folds of a pixel take: see `near_the_cycles`.
    assert int(supply(size, size, 144)) == cycles
