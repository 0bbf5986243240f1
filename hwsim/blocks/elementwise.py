"""Units that work on each code on its own: table, add, multiply."""

from dataclasses import dataclass, replace

import numpy as np

from .checks import check_positive
from .stream import Frame
from .timing import Actor
from .unit import UnitConfig

__all__ = ["TableConfig"]


@dataclass(frozen=True, kw_only=True)
class TableConfig(UnitConfig):
    """Any function of one code, by table. One beat per cycle; latency 1.

    Parameters
    ----------
    frame : Frame
    output_bits : int
    output_signed : bool
    """

    frame: Frame
    output_bits: int = 8
    output_signed: bool = True

    def __post_init__(self):
        check_positive("output_bits", self.output_bits)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """The same map with the codes that the table holds."""
        return replace(self.frame, bits=self.output_bits, signed=self.output_signed)

    @property
    def latency(self):
        """The read of the memory."""
        return 1

    @property
    def interval(self):
        """Cycles per frame in steady state: its beats."""
        return self.frame.beats

    def actors(self, name):
        """One actor; every beat in is a beat out."""
        every = np.ones(self.frame.beats, bool)
        return (Actor(name, every.astype(np.int64), {"i": every}, every),)
