"""NumPy reference of all operators, in floating point and in exact integers."""

from .execute import run

__all__ = ["run"]
