# amaranth: UnusedElaboratable=no
"""Rounding and update: exact, in the cycles that their configurations state."""

import numpy as np
import pytest

from hwsim.blocks.backward_update import (
    CombineConfig,
    RoundingConfig,
    UpdateConfig,
    rounding_word,
)
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward_units import combine, rounding
from hwsim.rtl.backward_update import Combine, Rounding, Update

SEEDS = range(9)


def draw_frame(rng, bits):
    lanes, groups = (int(n) for n in rng.integers(1, 4, 2))
    return Frame(*(int(n) for n in rng.integers(1, 5, 2)), lanes * groups, lanes, bits)


def draw_codes(rng, frame, count):
    """Codes of all magnitudes, some of them extreme."""
    codes = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
    codes >>= rng.integers(0, frame.bits, codes.shape)
    codes[rng.random(codes.shape) < 0.1] = frame.minimum
    return codes


def draw_words(rng, count):
    """Settings of frames: nearest and stochastic by turns, also with the extreme shifts."""
    shifts = rng.choice([0, 1, 14, 31, 32, int(rng.integers(33))], count)
    seeds = [None if rng.random() < 0.5 else int(rng.integers(1, 1 << 32)) for _ in range(count)]
    return np.array([rounding_word(int(s), seed) for s, seed in zip(shifts, seeds, strict=True)])


def column(words):
    return words.reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_rounding(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    bits = int(rng.choice([17, 33, 48, 62]))
    config = RoundingConfig(frame=draw_frame(rng, bits))
    sums, words = draw_codes(rng, config.frame, frames), draw_words(rng, frames)
    expected = rounding(config, sums, words)
    check_unit(Rounding(config), {"i": sums, "s": column(words)}, expected, seed=seed, reset=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_combine(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    config = CombineConfig(frame=draw_frame(rng, 16))
    x, y = (draw_codes(rng, config.frame, frames) for _ in range(2))
    factors, words = rng.integers(-(1 << 15), 1 << 15, (frames, 2)), draw_words(rng, frames)
    factors[0] = -(1 << 15)
    expected = combine(config, x, y, factors, words)
    inputs = {"i0": x, "i1": y, "f": factors.reshape(-1, 2, 1, 1), "s": column(words)}
    check_unit(Combine(config), inputs, expected, seed=seed, reset=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_update(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    config = UpdateConfig(frame=draw_frame(rng, 16))
    inputs = {port: draw_codes(rng, config.frame, frames) for port in "gvw"}
    factors = rng.integers(-(1 << 15), 1 << 15, (2, frames, 2))
    words = [draw_words(rng, frames) for _ in range(2)]
    for line, pair, word in zip("vw", factors, words, strict=True):
        inputs |= {f"{line}f": pair.reshape(-1, 2, 1, 1), f"{line}s": column(word)}
    velocities = combine(config.combine, inputs["v"], inputs["g"], factors[0], words[0])
    weights = combine(config.combine, inputs["w"], velocities, factors[1], words[1])
    check_unit(
        Update(config),
        inputs,
        weights,
        seed=seed,
        reset=True,
        more={"vo": (config.frame, velocities)},
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((33,), "shift must be at most 32, not 33"),
        ((-1,), "shift must be an integer of at least 0, not -1"),
        ((3, 1 << 32), "seed must be less than 2**32, not 4294967296"),
    ],
)
def test_wrong_word(arguments, message):
    with pytest.raises(ValueError) as error:
        rounding_word(*arguments)
    assert str(error.value) == message


def test_sums_that_are_too_wide():
    with pytest.raises(ValueError, match=r"^sums must have at most 62 bits, not 63$"):
        RoundingConfig(frame=Frame(1, 1, 1, 1, 63))


def test_unsigned_sums():
    with pytest.raises(ValueError, match=r"^frame must be of signed numbers$"):
        CombineConfig(frame=Frame(1, 1, 1, 1, 16, False))


def test_codes_of_another_width():
    with pytest.raises(ValueError, match=r"^frame must be of 16 bits, not of 8$"):
        UpdateConfig(frame=Frame(1, 1, 1, 1, 8))
