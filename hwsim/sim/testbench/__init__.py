"""Testbenches in Python on the compiled engine.

`Simulator` steps a design and reads and sets its signals. It is also a simulator in the sense of
`amaranth.sim`: a testbench that was written for Amaranth's own, ``async def testbench(ctx)``, runs
on it unchanged, within the limits that ``docs/testbench.md`` names.
"""

from .model import UnknownSignalError
from .simulator import Simulator

__all__ = ["Simulator", "UnknownSignalError"]
