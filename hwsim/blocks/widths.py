"""Widths of intermediate values."""

__all__ = ["signed_bits"]


def signed_bits(low, high):
    """Bits of the narrowest two's complement number that holds all integers from ``low`` to ``high``."""
    return max(int(high).bit_length(), int(-1 - low).bit_length()) + 1
