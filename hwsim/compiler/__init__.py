"""The compiler of the systolic accelerator: from an integer network to a program."""

from .compile import compile_network
from .program import Program

__all__ = ["Program", "compile_network"]
