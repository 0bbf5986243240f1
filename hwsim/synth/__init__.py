"""Yosys and nextpnr runs, their reports as data; see ``docs/synthesis.md``."""

from .result import Synthesis
from .run import synthesize

__all__ = ["Synthesis", "synthesize"]
