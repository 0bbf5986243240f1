# amaranth: UnusedElaboratable=no
"""Gradients of losses: exact, in the stated cycles, within the stated error."""

import numpy as np
import pytest

from hwsim.blocks.backward_loss import CrossEntropyGradientConfig, RmseGradientConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward import cross_entropy, root_mean_square_error
from hwsim.models.reference.backward_loss import cross_entropy_gradient, rmse_gradient
from hwsim.rtl.backward_loss import CrossEntropyGradient, RmseGradient

SEEDS = range(16)


def draw_frame(rng, bits):
    height, width, channels = (int(rng.integers(1, high)) for high in (4, 4, 13))
    return Frame(height, width, channels, 1, bits)


def draw_codes(rng, frame, count):
    """Codes of all magnitudes; of several maps the first holds both extremes."""
    codes = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
    codes >>= rng.integers(0, frame.bits, (count, 1, 1, 1))
    if count > 1:
        codes[0] = rng.choice([frame.minimum, frame.maximum], frame.shape)
    return codes


def float_cross_entropy(config, logits, labels):
    """Gradient of the sum of the losses, in float64."""
    rows = np.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1])
    _, gradient = cross_entropy(np.ldexp(rows.astype(float), -config.point), labels.reshape(-1))
    shape = (len(logits), *logits.shape[2:], -1)
    return np.moveaxis((gradient * len(rows)).reshape(shape), -1, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_cross_entropy(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    config = CrossEntropyGradientConfig(
        frame=draw_frame(rng, int(rng.choice([2, 4, 8, 12, 16, 30]))),
        point=int(rng.integers(2, 15)),
        gradient_point=int(rng.integers(1, 17)),
    )
    assert config.drain == config.cycles() - config.frame.beats
    logits = draw_codes(rng, config.frame, frames)
    labels = rng.integers(0, config.frame.channels, (frames, *config.labels.shape))
    expected = cross_entropy_gradient(config, logits, labels)
    inputs = {"i": logits, "t": labels}
    check_unit(CrossEntropyGradient(config), inputs, expected, seed=seed, reset=True)
    found = np.ldexp(expected.astype(float), -config.gradient_point)
    exact = float_cross_entropy(config, logits, labels)
    assert np.abs(found - exact).max() <= config.error


@pytest.mark.parametrize("seed", SEEDS)
def test_rmse(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    config = RmseGradientConfig(
        frame=draw_frame(rng, int(rng.choice([1, 4, 8, 16]))),
        gradient_point=int(rng.integers(4, 20)),
    )
    assert config.drain == config.cycles() - config.frame.beats
    values, targets = (draw_codes(rng, config.frame, frames) for _ in range(2))
    values[-1, :, :, : seed % 4] = targets[-1, :, :, : seed % 4]
    expected = rmse_gradient(config, values, targets)
    inputs = {"i": values, "t": targets}
    check_unit(RmseGradient(config), inputs, expected, seed=seed, reset=True)
    for k in range(frames):
        _, exact = root_mean_square_error(values[k].astype(float), targets[k].astype(float))
        found = np.ldexp(expected[k].astype(float), -config.gradient_point)
        assert np.abs(found - exact).max() <= 2.0 ** -(config.gradient_point + 1) * (1 + 1e-9)


@pytest.mark.parametrize(("classes", "steps"), [(10, 0.72), (1000, 1.69)])
def test_error_of_classes(classes, steps):
    """As the documentation says."""
    config = CrossEntropyGradientConfig(frame=Frame(1, 1, classes, 1, 16), point=10)
    assert (len(config.coarse), len(config.fine)) == (37, 512)
    assert steps - 0.01 < config.error * 2**14 < steps


def test_differences_from_float():
    """As the documentation says: logits of all spreads."""
    config = CrossEntropyGradientConfig(frame=Frame(1, 1, 10, 1, 16), point=10)
    rng = np.random.default_rng(0)
    different = 0
    for spread in (0.3, 1, 3, 8):
        logits = np.rint(rng.normal(0, spread, (500, 10, 1, 1)) * 2**10).astype(np.int64)
        labels = rng.integers(0, 10, (500, 1, 1, 1))
        exact = np.rint(float_cross_entropy(config, logits, labels) * 2**14)
        found = cross_entropy_gradient(config, logits, labels)
        assert np.abs(found - exact).max() <= 1
        different += np.count_nonzero(found != exact)
    assert different == 33


def test_gradient_of_equal_frames():
    """The root has no derivative there."""
    config = RmseGradientConfig(frame=Frame(2, 1, 3, 1, 16))
    codes = np.full((1, *config.frame.shape), config.frame.minimum)
    assert not rmse_gradient(config, codes, codes).any()


@pytest.mark.parametrize(
    ("kind", "members", "message"),
    [
        (CrossEntropyGradientConfig, {"point": 1}, "point must be an integer of at least 2, not 1"),
        (
            CrossEntropyGradientConfig,
            {"point": 4, "frame": Frame(1, 1, 4, 1, 1)},
            "frame must have at least 2 bits, not 1",
        ),
        (
            CrossEntropyGradientConfig,
            {"point": 4, "frame": Frame(1, 1, 4, 2, 16)},
            "frame must be of signed numbers, one lane",
        ),
        (
            RmseGradientConfig,
            {"frame": Frame(1, 1, 4, 1, 16, False)},
            "frame must be of signed numbers, one lane",
        ),
        (
            RmseGradientConfig,
            {"gradient_point": 0},
            "gradient_point must be a positive integer, not 0",
        ),
        (
            RmseGradientConfig,
            {"frame": Frame(3, 3, 2, 1, 16), "gradient_point": 1},
            "gradient_point must be higher for 18 codes than 1: all gradients are 0",
        ),
    ],
)
def test_wrong(kind, members, message):
    with pytest.raises(ValueError) as error:
        kind(**({"frame": Frame(1, 1, 4, 1, 16)} | members))
    assert str(error.value) == message
