"""Checks that configuration objects share; each raises with the offending value in the message."""

__all__ = ["check_divides", "check_integer", "check_positive"]


def check_integer(name, value, minimum):
    """``value`` is an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < minimum:
        kind = "a positive integer" if minimum == 1 else f"an integer of at least {minimum}"
        raise ValueError(f"{name} must be {kind}, not {value}")


def check_positive(name, value):
    """``value`` is an integer of at least 1."""
    check_integer(name, value, 1)


def check_divides(name, value, whole_name, whole):
    """``value`` divides ``whole``."""
    if whole % value:
        raise ValueError(f"{name} must divide {whole_name} ({whole}), not {value}")
