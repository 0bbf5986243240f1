"""Rounding and requantization against exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.network.fixed_point import (
    MAXIMUM_SHIFT,
    MINIMUM_PRECISION_BITS,
    MULTIPLIER_BITS,
    Requantize,
    common_multipliers,
    round_half_even_shift,
)

accumulators = st.integers(-(1 << 40), 1 << 40)
multipliers = st.integers(0, (1 << MULTIPLIER_BITS) - 1)
shifts = st.integers(0, MAXIMUM_SHIFT)
factors = st.floats(2.0**-28, 2.0**16)


@given(st.integers(-(1 << 62), (1 << 62) - 1), shifts)
@example(1, 1)
@example(-1, 1)
@example(3, 1)
@example(-3, 1)
@example((1 << 46) + 1, 47)
def test_shift_rounds_half_to_even(value, shift):
    # Python rounds a Fraction to nearest with ties to even.
    assert round_half_even_shift(value, shift) == round(Fraction(value, 1 << shift))


@given(accumulators, multipliers, shifts, st.integers(-128, 127))
def test_requantize_is_exact(accumulator, multiplier, shift, zero_point):
    rescale = Requantize(np.array([multiplier]), np.array([shift]), zero_point, -128, 127)
    exact = round(Fraction(accumulator * multiplier, 1 << shift)) + zero_point
    assert rescale.apply(np.array([[accumulator]])) == min(max(exact, -128), 127)


@given(st.lists(accumulators, min_size=1, max_size=5), st.data())
def test_requantize_per_channel(row, data):
    count = len(row)
    m = data.draw(st.lists(multipliers, min_size=count, max_size=count))
    s = data.draw(st.lists(shifts, min_size=count, max_size=count))
    rescale = Requantize(np.array(m), np.array(s), 3, -100, 90)
    exact = [
        min(max(round(Fraction(a * b, 1 << c)) + 3, -100), 90)
        for a, b, c in zip(row, m, s, strict=True)
    ]
    maps = np.array(row).reshape(1, count, 1, 1)
    assert rescale.apply(maps).reshape(-1).tolist() == exact
    assert rescale.apply(maps.reshape(1, 1, 1, count), axis=3).reshape(-1).tolist() == exact
    assert rescale.uniform_shift == (len(set(s)) == 1)


@given(factors)
def test_one_scale_fills_the_multiplier(scale):
    rescale = Requantize.from_scales([scale], zero_point=0, minimum=-128, maximum=127)
    (multiplier,), (shift,) = rescale.multiplier.tolist(), rescale.shift.tolist()
    assert multiplier >= 1 << (MULTIPLIER_BITS - 1)
    assert abs(Fraction(multiplier, 1 << shift) - Fraction(scale)) <= Fraction(1, 2 << shift)


@given(st.lists(factors, min_size=1, max_size=8))
def test_scales_per_channel_keep_their_precision(scales):
    rescale = Requantize.from_scales(scales, zero_point=0, minimum=-128, maximum=127)
    for m, s, scale in zip(
        rescale.multiplier.tolist(), rescale.shift.tolist(), scales, strict=True
    ):
        error = abs(Fraction(m, 1 << s) - Fraction(scale))
        assert error <= Fraction(scale) / (1 << MINIMUM_PRECISION_BITS)


@given(st.lists(st.floats(2.0**-8, 2.0**-3), min_size=1, max_size=8))
def test_scales_close_to_each_other_share_a_shift(scales):
    # MULTIPLIER_BITS - MINIMUM_PRECISION_BITS = 5 binary places lie between the extremes.
    rescale = Requantize.from_scales(scales, zero_point=0, minimum=-128, maximum=127)
    assert rescale.uniform_shift


def test_scale_next_below_a_power_of_two_does_not_overflow():
    scale = math.nextafter(0.25, 0)
    rescale = Requantize.from_scales([scale], zero_point=0, minimum=-128, maximum=127)
    assert Fraction(int(rescale.multiplier[0]), 1 << int(rescale.shift[0])) == Fraction(1, 4)


def test_scale_zero_gives_the_zero_point():
    rescale = Requantize.from_scales([0.0, 0.5], zero_point=7, minimum=-128, maximum=127)
    assert rescale.apply(np.array([[1 << 30, 4]])).tolist() == [[7, 9]]


@given(factors, factors)
def test_common_multipliers_round_to_nearest(first, second):
    found, shift = common_multipliers([first, second])
    assert (1 << (MULTIPLIER_BITS - 1)) <= max(found) < 1 << MULTIPLIER_BITS
    for multiplier, scale in zip(found.tolist(), (first, second), strict=True):
        assert abs(Fraction(multiplier, 1 << shift) - Fraction(scale)) <= Fraction(1, 2 << shift)


@pytest.mark.parametrize("make", [common_multipliers, lambda s: Requantize.from_scales(s, **_ANY)])
@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([-0.5], "scales must be finite and not negative, not [-0.5]"),
        ([math.inf], "scales must be finite and not negative, not [inf]"),
        ([0.5, math.nan], "scales must be finite and not negative, not [0.5, nan]"),
        ([131072.0], "scales must stay below 2**17, not 131072.0"),
    ],
)
def test_impossible_scales(make, scales, message):
    with pytest.raises(ValueError) as caught:
        make(scales)
    assert str(caught.value) == message


_ANY = {"zero_point": 0, "minimum": -128, "maximum": 127}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([1, 2], [3], 0, 0, 1),
            "multiplier and shift must have the same shape, not (2,) and (1,)",
        ),
        (([1 << 17], [3], 0, 0, 1), "multiplier must lie in [0, 2**17), not [131072]"),
        (([-1], [3], 0, 0, 1), "multiplier must lie in [0, 2**17), not [-1]"),
        (([1], [48], 0, 0, 1), "shift must lie in [0, 47], not [48]"),
        (([1], [-1], 0, 0, 1), "shift must lie in [0, 47], not [-1]"),
        (([1], [1], 0, 5, 4), "minimum must not exceed maximum, not 5 > 4"),
    ],
)
def test_impossible_requantize(arguments, message):
    multiplier, shift, *rest = arguments
    with pytest.raises(ValueError) as caught:
        Requantize(np.array(multiplier), np.array(shift), *rest)
    assert str(caught.value) == message
