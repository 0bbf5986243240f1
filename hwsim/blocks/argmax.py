"""The channel with the largest code."""

from dataclasses import dataclass

import numpy as np

from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig

__all__ = ["ArgmaxConfig"]


@dataclass(frozen=True, kw_only=True)
class ArgmaxConfig(UnitConfig):
    """Index of the largest channel of each pixel, the lowest where several are equal.

    As `numpy.argmax` along axis 1. One beat per cycle.

    Parameters
    ----------
    frame : Frame
    """

    TREE_LEVELS = 1  # between registers: a level is a comparison and a choice

    frame: Frame

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """One unsigned index per pixel."""
        bits = max((self.frame.channels - 1).bit_length(), 1)
        return Frame(self.frame.height, self.frame.width, 1, 1, bits, signed=False)

    @property
    def tree_latency(self):
        """Cycles that the lanes of a beat take to become one."""
        return tree_latency(self.frame.lanes, self.TREE_LEVELS)

    @property
    def latency(self):
        """The tree, and a comparison with the pixel's beats before."""
        return self.tree_latency + (self.frame.groups > 1)

    @property
    def interval(self):
        """Cycles per frame in steady state: the beats of the input."""
        return self.frame.beats

    @property
    def put_interval(self):
        """Beats per pixel."""
        return self.frame.groups

    def actors(self, name):
        """One actor; the last beat of each pixel puts."""
        every = np.ones(self.frame.beats, bool)
        last = np.arange(1, self.frame.beats + 1) % self.frame.groups == 0
        return (Actor(name, every.astype(np.int64), {"i": every}, last),)
