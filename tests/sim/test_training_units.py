"""The hardware that trains equals its integer reference, in value and in cycles."""

from itertools import pairwise

import numpy as np
import pytest

from hwsim.blocks.training import TrainingConfig
from hwsim.models.reference.training import Reference, noise, round_codes
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.training import Simulated

SEEDS = range(6)
LIMIT = 1 << 15


def draw(rng):
    rows, cols = (int(n) for n in rng.integers(1, 7, 2))
    return TrainingConfig(rows=rows, cols=cols, taps=int(rng.integers(1, 10)))


def codes(rng, *shape, spread=False):
    """Codes, some of them extreme; ``spread`` over all magnitudes."""
    drawn = rng.integers(-LIMIT, LIMIT, shape)
    if spread:
        drawn >>= rng.integers(0, 16, shape)
    drawn[rng.random(shape) < 0.1] = -LIMIT
    return drawn


def pair(config, **options):
    return Simulated(config, **options), Reference(config)


def both(units, method, *arguments, **options):
    """The result of both, which must be equal."""
    found, expected = (getattr(unit, method)("work", *arguments, **options) for unit in units)
    assert np.array_equal(found, expected)
    return expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stochastic", [False, True])
def test_product(seed, stochastic):
    rng = np.random.default_rng(seed)
    units = pair(draw(rng))
    for shift in (0, 1, 14, 31, 32, int(rng.integers(33))):
        m, k, n = (int(v) for v in rng.integers(1, 20, 3))
        a, b = codes(rng, m, k, spread=shift < 14), codes(rng, k, n, spread=shift < 14)
        options = {"seed": int(rng.integers(1, 2**32))} if stochastic else {}
        both(units, "product", a, b, shift=shift, relu=bool(rng.integers(2)), **options)
        assert units[0].cycles == units[1].cycles


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stochastic", [False, True])
def test_combine(seed, stochastic):
    rng = np.random.default_rng(seed)
    units = pair(draw(rng))
    count = int(rng.integers(1, 100))
    p, q = (int(v) for v in codes(rng, 2))
    options = {"seed": int(rng.integers(1, 2**32))} if stochastic else {}
    both(units, "combine", codes(rng, count), p, codes(rng, count), q, shift=14, **options)
    assert units[0].cycles == units[1].cycles


@pytest.mark.parametrize("seed", SEEDS)
def test_pool_and_route(seed):
    rng = np.random.default_rng(seed)
    config = draw(rng)
    units = pair(config)
    count = int(rng.integers(1, 40))
    # Few different values: the first of equal ones has to win.
    windows = rng.integers(-2, 3, (count, config.taps))
    value, winner, positive = both(units, "pool", windows)
    assert (value == windows.max(axis=1)).all()
    dy = codes(rng, count)
    for relu in (False, True):
        routed = both(units, "route", dy, winner, positive, config.taps, relu=relu)
        gone = (value <= 0) & relu
        assert (routed.sum(axis=1) == np.where(gone, 0, dy)).all()
    assert units[0].cycles == units[1].cycles


@pytest.mark.parametrize("run", [compiled_engine.run, amaranth_engine.run])
def test_with_stalls(run):
    """Sources and sinks that wait change cycles, and nothing else."""
    rng = np.random.default_rng(5)
    config = TrainingConfig(rows=3, cols=2, taps=4)
    units = pair(config, run=run, stalls=0.4, seed=2)
    a, b = codes(rng, 30, 2), codes(rng, 2, 4)
    both(units, "product", a, b, shift=12, seed=77)
    _, winner, positive = both(units, "pool", codes(rng, 21, 4))
    both(units, "route", codes(rng, 21), winner, positive, 4, relu=True)
    assert units[0].cycles["work"] > units[1].cycles["work"]


def test_stochastic_rounding_is_fair():
    """The mean of n roundings of a fraction p is within 6 standard deviations of p."""
    count = 1 << 16
    random = noise(0x1234567, count // 16, 16).reshape(-1)
    for fraction in (1, 77, 128, 255):
        ups = round_codes(np.full(count, 5 * 256 + fraction), 8, 16, random) - 5
        assert set(np.unique(ups)) <= {0, 1}
        p = fraction / 256
        assert abs(ups.mean() - p) < 6 * np.sqrt(p * (1 - p) / count)


def test_noise_by_steps():
    """Leaps end where single steps do."""
    found = noise(99, 200, 3)
    for row, following in pairwise(found):
        for state, expected in zip(row, following, strict=True):
            x = int(state)
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            assert x == expected


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"rows": 0}, "rows must be a positive integer, not 0"),
        ({"taps": 0}, "taps must be a positive integer, not 0"),
        ({"bits": 33}, "bits must be at most 32, not 33"),
        ({"accumulator_bits": 63}, "accumulator_bits must be at most 62, not 63"),
        ({"accumulator_bits": 20}, "accumulator_bits must be at least 32 for one step, not 20"),
    ],
)
def test_init_wrong(members, message):
    with pytest.raises(ValueError) as raised:
        TrainingConfig(**members)
    assert str(raised.value) == message


def test_too_deep():
    config = TrainingConfig(accumulator_bits=34)
    assert config.depth == 7
    with pytest.raises(ValueError, match=r"^a sum must have at most 7 products, not 8$"):
        Reference(config).product("", np.ones((1, 8), int), np.ones((8, 1), int), shift=0)
