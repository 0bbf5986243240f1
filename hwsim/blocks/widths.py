"""Widths of intermediate values."""

__all__ = ["check_accumulator", "signed_bits"]


def signed_bits(low, high):
    """Bits of the narrowest two's complement number that holds ``low`` to ``high``."""
    return max(max(int(high), 0).bit_length(), (-1 - min(int(low), -1)).bit_length()) + 1


def check_accumulator(requantize, low, high):
    """Refuse (ValueError) a `RequantizeConfig` whose accumulator is too narrow for a range."""
    needed = signed_bits(low, high)
    if requantize.accumulator_bits < needed:
        raise ValueError(
            f"accumulator_bits must be at least {needed}, not {requantize.accumulator_bits}"
        )
