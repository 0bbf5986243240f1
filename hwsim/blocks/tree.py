"""Balanced trees: how many register stages a reduction takes."""

__all__ = ["tree_latency"]


def tree_latency(terms, levels):
    """Cycles of a balanced binary tree over ``terms`` values.

    It is registered after each ``levels`` levels and after the last.
    """
    return -(-(terms - 1).bit_length() // levels)
