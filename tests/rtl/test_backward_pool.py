# amaranth: UnusedElaboratable=no
"""Pools with winners and gradients of pools: exact, in the cycles that configurations state."""

import numpy as np
import pytest

from hwsim.blocks.backward_pool import (
    GlobalPoolGradientConfig,
    MaxPoolConfig,
    PoolGradientConfig,
)
from hwsim.blocks.pool import PoolConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward import GRADIENTS
from hwsim.models.reference.backward_units import max_pool, pool_gradient
from hwsim.rtl.backward_pool import GlobalPoolGradient, MaxPool, PoolGradient

SEEDS = range(16)


def draw_geometry(rng):
    """A frame and the parameters of a pool that leaves a tap of each window on it."""
    while True:
        lanes, groups = (int(n) for n in rng.integers(1, 3, 2))
        frame = Frame(*(int(n) for n in rng.integers(1, 7, 2)), lanes * groups, lanes, 16)
        kernel, strides, dilations = (
            tuple(int(n) for n in rng.integers(1, high, 2)) for high in (4, 4, 3)
        )
        pads = tuple(int(rng.integers(0, kernel[k % 2])) for k in range(4))
        geometry = dict(
            frame=frame,
            kernel=kernel,
            strides=strides,
            dilations=dilations,
            pads=pads,
            ceil_mode=bool(rng.integers(2)),
        )
        try:
            counts = PoolConfig(kind="max", **geometry).tap_counts
        except ValueError:  # the kernel does not fit
            continue
        if np.outer(*counts).all():
            return geometry


def draw_maps(rng, frame, count):
    """Maps with many equal values, the first of the lowest code alone."""
    maps = rng.integers(-2, 3, (count, *frame.shape)) * 10000
    maps[rng.random(maps.shape) < 0.2] = frame.minimum
    maps[rng.random(maps.shape) < 0.1] = frame.maximum
    maps[0] = frame.minimum
    return maps


@pytest.mark.parametrize("seed", SEEDS)
def test_max_pool(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    config = MaxPoolConfig(maps=int(rng.integers(1, frames + 1)), **draw_geometry(rng))
    maps = draw_maps(rng, config.frame, frames)
    maxima, winners = max_pool(config, maps)
    transfers = check_unit(
        MaxPool(config),
        {"i": maps},
        maxima,
        seed=seed,
        reset=True,
        more={"w": (config.winners, winners)},
    )
    assert np.array_equal(
        transfers["w"].cycles - transfers["o"].cycles,
        np.full(winners.size // config.frame.lanes, config.memory.latency - config.queue.latency),
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["max", "average", "sum"])
def test_pool_gradient(check_unit, kind, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    geometry = draw_geometry(rng)
    config = PoolGradientConfig(kind=kind, count_include_pad=bool(rng.integers(2)), **geometry)
    dy = draw_maps(rng, config.gradients, frames)
    inputs, winners = {"i": dy}, None
    if kind == "max":
        maps = draw_maps(rng, config.frame, frames)
        winners = inputs["w"] = max_pool(MaxPoolConfig(**geometry), maps)[1]
    expected = pool_gradient(config, winners, dy)
    check_unit(PoolGradient(config), inputs, expected, seed=seed, reset=True)
    attributes = {
        **{name: geometry[name] for name in ("kernel", "strides", "dilations", "pads")},
        "ceil_mode": config.ceil_mode,
        "count_include_pad": config.count_include_pad,
    }
    if kind == "max":
        (gradient,) = GRADIENTS["MaxPool"](attributes, (maps,), None, dy)
        assert np.array_equal(expected, gradient)
    if kind == "average":
        shape = np.zeros(expected.shape)
        (gradient,) = GRADIENTS["AveragePool"](attributes, (shape,), None, dy.astype(float))
        # A reciprocal is wrong by at most half a step.
        bound = config.overlap * (1 << 15) * 2.0 ** (-1 - config.reciprocal_point)
        assert np.abs(expected * 2.0**-config.reciprocal_point - gradient).max() <= bound


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["average", "sum"])
def test_global_pool_gradient(check_unit, kind, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    config = GlobalPoolGradientConfig(frame=draw_geometry(rng)["frame"], kind=kind)
    dy = draw_maps(rng, config.inputs["i"], frames)
    shape = (frames, *config.frame.shape)
    expected = np.broadcast_to(dy * config.reciprocal, shape)
    check_unit(GlobalPoolGradient(config), {"i": dy}, expected, seed=seed, reset=True)
    error = abs(config.reciprocal * 2.0**-config.reciprocal_point * config.pixels - 1)
    assert kind == "sum" or error <= 2.0**-15


@pytest.mark.parametrize("seed", range(5))
def test_maximum_of_a_whole_map(check_unit, seed):
    """A window as large as the map; with its strides gradients are no wider than codes."""
    rng = np.random.default_rng(seed)
    frame = draw_geometry(rng)["frame"]
    size = (frame.height, frame.width)
    pool = MaxPoolConfig(frame=frame, kernel=size, strides=size)
    config = PoolGradientConfig(frame=frame, kind="max", kernel=size, strides=size)
    assert config.output == frame
    maps, dy = draw_maps(rng, frame, 2), draw_maps(rng, config.gradients, 2)
    maxima, winners = max_pool(pool, maps)
    more = {"w": (pool.winners, winners)}
    check_unit(MaxPool(pool), {"i": maps}, maxima, seed=seed, reset=True, more=more)
    (expected,) = GRADIENTS["GlobalMaxPool"]({}, (maps,), None, dy)
    inputs = {"i": dy, "w": winners}
    check_unit(PoolGradient(config), inputs, expected, seed=seed, reset=True)


def test_windows_of_padding_alone():
    frame = Frame(2, 2, 1, 1, 16)
    with pytest.raises(ValueError) as error:
        MaxPoolConfig(frame=frame, kernel=(2, 2), pads=(3, 0, 0, 0))
    assert str(error.value) == ("pads must leave a tap of each window on the map, not (3, 0, 0, 0)")


def test_wrong_kind():
    with pytest.raises(ValueError, match=r'^kind must be "max", "average" or "sum", not \'min\'$'):
        PoolGradientConfig(frame=Frame(2, 2, 1, 1, 16), kind="min", kernel=(2, 2))


def test_unsigned_gradients():
    with pytest.raises(ValueError, match=r"^frame must be of signed numbers$"):
        PoolGradientConfig(frame=Frame(2, 2, 1, 1, 16, False), kind="sum", kernel=(2, 2))
