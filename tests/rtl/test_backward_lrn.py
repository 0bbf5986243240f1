# amaranth: UnusedElaboratable=no
"""Gradient of normalization: exact, in the stated cycles, within the stated error."""

import numpy as np
import pytest

from hwsim.blocks.backward_lrn import LrnGradientConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward import GRADIENTS
from hwsim.models.reference.backward_units import lrn_gradient
from hwsim.models.reference.floating import lrn_axes, neighbour_sums
from hwsim.network.integer import log_index
from hwsim.rtl.backward_lrn import LrnGradient

SEEDS = range(12)
ALEXNET = dict(size=5, alpha=1e-4, beta=0.75, bias=1.0, point=9)


def draw(seed, within):
    rng = np.random.default_rng(seed)
    sides, channels = rng.integers(1, 7 if within else 4, 2), rng.integers(1, 4 if within else 9)
    frame = Frame(*sides.tolist(), int(channels), 1, 16)
    members = dict(
        size=int(rng.integers(1, 7)),
        alpha=float(rng.choice([1e-4, 0.05, 1.0])),
        beta=float(rng.choice([0.5, 0.75, 1.0])),
        bias=float(rng.choice([1.0, 2.0])),
        point=int(rng.choice([6, 9, 12])),
        precision=int(rng.integers(3, 8)),
    )
    members = ALEXNET if seed == 0 else members
    return rng, LrnGradientConfig(frame=frame, within=within, **members)


def draw_codes(rng, frame, count):
    """Codes of all magnitudes; the first map's are the lowest."""
    codes = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
    codes >>= rng.integers(0, 16, codes.shape)
    codes[0] = frame.minimum
    return codes


def floats(config, x, dy, sums):
    """The float gradient, that of the unit as float, and x as float."""
    names = ("size", "alpha", "beta", "bias", "within")
    attributes = {name: getattr(config, name) for name in names}
    value = np.ldexp(x.astype(float), -config.point)
    (exact,) = GRADIENTS["LRN"](attributes, (value,), None, dy.astype(float))
    return exact, np.ldexp(sums.astype(float), -config.sum_point), value


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("within", [False, True])
def test_lrn_gradient(check_unit, within, seed):
    frames = 1 + seed % 3
    rng, config = draw(seed, within)
    dy, x = (draw_codes(rng, config.frame, frames) for _ in range(2))
    expected = lrn_gradient(config, x, dy)
    check_unit(LrnGradient(config), {"i": dy, "x": x}, expected, seed=seed, reset=True)
    # Against the float gradient: what the tables may be off, and half a step of each share.
    exact, found, value = floats(config, x, dy, expected)
    size, before, after = config.size, (config.size - 1) // 2, config.size // 2
    axes, _ = lrn_axes({"within": within, "size": size}, x.ndim)
    index = log_index(neighbour_sums(x * x, axes, size, before), config.precision)
    step = np.ldexp(1.0, config.share_shift - config.slope.point - config.point)
    shares = np.abs(dy * value) * config.slope.error[index] + step / 2
    bound = np.abs(dy) * config.scale.error[index]
    bound += np.abs(value) * neighbour_sums(shares, axes, size, after)
    assert (np.abs(found - exact) <= bound * (1 + 1e-9) + 1e-9).all()


CIFAR = ALEXNET | dict(size=3, alpha=5e-5, within=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("members", "frame", "entries"),
    [(ALEXNET, Frame(8, 8, 96, 1, 16), 3361), (CIFAR, Frame(16, 16, 32, 1, 16), 3473)],
)
def test_error_of_networks(members, frame, entries, seed):
    """Relative to the largest gradient, as the documentation says."""
    config = LrnGradientConfig(frame=frame, **members)
    assert len(config.scale.codes) == entries
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(2, *frame.shape)) * 6000).astype(np.int64).clip(0, 32767)
    dy = (rng.normal(size=x.shape) * 6000).astype(np.int64).clip(-32768, 32767)
    exact, found, _ = floats(config, x, dy, lrn_gradient(config, x, dy))
    assert np.abs(found - exact).max() / np.abs(exact).max() < 1e-4


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"frame": Frame(1, 1, 4, 2, 16)}, "frame must be of signed numbers, one lane"),
        ({"bias": 0.0}, "bias must be above 0, not 0.0"),
        ({"alpha": 0.0}, "alpha must be above 0, not 0.0"),
    ],
)
def test_wrong(members, message):
    with pytest.raises(ValueError) as error:
        LrnGradientConfig(**({"frame": Frame(1, 1, 4, 1, 16)} | ALEXNET | members))
    assert str(error.value) == message
