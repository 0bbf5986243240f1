# amaranth: UnusedElaboratable=no
"""Normalization and its gradient: exact, in the stated cycles, within the stated error."""

import numpy as np
import pytest

from hwsim.blocks.backward_lrn import LrnConfig, LrnGradientConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward import GRADIENTS
from hwsim.models.reference.backward_units import lrn, lrn_gradient
from hwsim.models.reference.floating import FLOATING
from hwsim.network.integer import log_index
from hwsim.rtl.backward_lrn import Lrn, LrnGradient

SEEDS = range(8)
ALEXNET = dict(size=5, alpha=1e-4, beta=0.75, bias=1.0, point=9)


def draw(seed):
    rng = np.random.default_rng(seed)
    frame = Frame(*(int(n) for n in rng.integers(1, 4, 2)), int(rng.integers(1, 9)), 1, 16)
    members = dict(
        size=int(rng.integers(1, 7)),
        alpha=float(rng.choice([1e-4, 0.05, 1.0])),
        beta=float(rng.choice([0.5, 0.75, 1.0])),
        bias=float(rng.choice([1.0, 2.0])),
        point=int(rng.choice([6, 9, 12])),
        precision=int(rng.integers(3, 8)),
    )
    return rng, LrnConfig(frame=frame, **(ALEXNET if seed == 0 else members))


def draw_codes(rng, frame, count):
    """Codes of all magnitudes; the first map's are the lowest."""
    codes = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
    codes >>= rng.integers(0, 16, codes.shape)
    codes[0] = frame.minimum
    return codes


def attributes(config):
    return {name: getattr(config, name) for name in ("size", "alpha", "beta", "bias")}


def neighbours(values, config, before):
    after = config.size - 1 - before
    padded = np.pad(values, [(0, 0), (before, after), (0, 0), (0, 0)])
    return sum(padded[:, k : k + values.shape[1]] for k in range(config.size))


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_lrn(check_unit, seed, frames):
    rng, config = draw(seed)
    x = draw_codes(rng, config.frame, frames)
    expected = lrn(config, x)
    check_unit(Lrn(config), {"i": x}, expected, seed=seed, reset=1 + 7 * seed)
    exact = FLOATING["LRN"](attributes(config), np.ldexp(x.astype(float), -config.point))
    index = log_index(neighbours(x * x, config, config.before), config.precision)
    bound = np.ldexp(np.abs(x) * config.scale.error[index], -config.point)
    found = np.ldexp(expected.astype(float), -config.point - config.scale.point)
    assert (np.abs(found - exact) <= bound + 1e-12 * np.abs(exact)).all()


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_lrn_gradient(check_unit, seed, frames):
    rng, config = draw(seed)
    gradient = LrnGradientConfig(lrn=config)
    dy, x = (draw_codes(rng, config.frame, frames) for _ in range(2))
    expected = lrn_gradient(gradient, x, dy)
    check_unit(LrnGradient(gradient), {"i": dy, "x": x}, expected, seed=seed, reset=1 + 7 * seed)
    # Against the float gradient: what the tables may be off, and half a step of each share.
    value = np.ldexp(x.astype(float), -config.point)
    (exact,) = GRADIENTS["LRN"](attributes(config), (value,), None, dy.astype(float))
    index = log_index(neighbours(x * x, config, config.before), config.precision)
    step = np.ldexp(1.0, gradient.share_shift - gradient.slope.point - config.point)
    shares = np.abs(dy * value) * gradient.slope.error[index] + step / 2
    shared = neighbours(shares, config, config.size - 1 - config.before)
    bound = np.abs(dy) * config.scale.error[index] + np.abs(value) * shared
    found = np.ldexp(expected.astype(float), -gradient.point)
    assert (np.abs(found - exact) <= bound * (1 + 1e-9) + 1e-9).all()


def test_error_of_alexnet():
    """Relative to the largest gradient, with the error that is stated."""
    config = LrnConfig(frame=Frame(8, 8, 96, 1, 16), **ALEXNET)
    gradient = LrnGradientConfig(lrn=config)
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(2, 96, 8, 8)) * 6000).astype(np.int64).clip(0, 32767)
    dy = (rng.normal(size=x.shape) * 6000).astype(np.int64).clip(-32768, 32767)
    value = np.ldexp(x.astype(float), -config.point)
    (exact,) = GRADIENTS["LRN"](attributes(config), (value,), None, dy.astype(float))
    found = np.ldexp(lrn_gradient(gradient, x, dy).astype(float), -gradient.point)
    assert np.abs(found - exact).max() / np.abs(exact).max() < 1e-4


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"frame": Frame(1, 1, 4, 2, 16)}, "frame must be of signed numbers, one lane"),
        (
            {"bias": 0.0},
            "bias must be above 0, alpha and beta not below, not 0.0, 0.0001 and 0.75",
        ),
    ],
)
def test_wrong(members, message):
    with pytest.raises(ValueError) as error:
        LrnConfig(**({"frame": Frame(1, 1, 4, 1, 16)} | ALEXNET | members))
    assert str(error.value) == message


def test_gradient_of_a_constant_scale():
    config = LrnConfig(frame=Frame(1, 1, 4, 1, 16), **(ALEXNET | {"alpha": 0.0}))
    with pytest.raises(ValueError, match=r"^alpha and beta must be above 0 for a gradient$"):
        LrnGradientConfig(lrn=config)
