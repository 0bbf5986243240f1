"""Widths hold their bounds, and no bit more."""

import pytest

from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.widths import check_accumulator, signed_bits


@pytest.mark.parametrize(
    "low, high, bits",
    [
        (0, 0, 1),
        (-1, 0, 1),
        (-4, -3, 3),
        (3, 4, 4),
        (0, 1, 2),
        (-128, 127, 8),
        (-129, 0, 9),
        (0, 128, 9),
        (-16384, 16384, 16),
    ],
)
def test_signed_bits(low, high, bits):
    assert signed_bits(low, high) == bits
    assert -(1 << (bits - 1)) <= low <= high < 1 << (bits - 1)


def test_accumulator_is_too_narrow():
    config = RequantizeConfig(accumulator_bits=15)
    check_accumulator(config, -16384, 16383)
    with pytest.raises(ValueError, match=r"^accumulator_bits must be at least 16, not 15$"):
        check_accumulator(config, -16384, 16384)
