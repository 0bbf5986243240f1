"""The middle between a pixel's smallest and largest channel."""

from dataclasses import dataclass, replace

import numpy as np

from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig

__all__ = ["MidrangeConfig"]


@dataclass(frozen=True, kw_only=True)
class MidrangeConfig(UnitConfig):
    """The middle between a pixel's smallest and largest channel, rounded down. A pixel per cycle.

    Parameters
    ----------
    frame : Frame
        All channels of a pixel in one beat.
    """

    TREE_LEVELS = 2  # between registers: a level is a comparison and a choice

    frame: Frame

    def __post_init__(self):
        if self.frame.groups != 1:
            raise ValueError(
                f"lanes must be all {self.frame.channels} channels of a pixel, "
                f"not {self.frame.lanes}"
            )

    @classmethod
    def for_layer(cls, layer, frame, tensor, output):
        """The unit of a `hwsim.network.integer.Midrange` between two `IntegerTensor`."""
        return cls(frame=frame)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """One channel."""
        return replace(self.frame, channels=1, lanes=1)

    @property
    def latency(self):
        """The trees of comparisons, and the sum of their results."""
        return tree_latency(self.frame.lanes, self.TREE_LEVELS) + 1

    @property
    def interval(self):
        """Cycles per frame in steady state: its pixels."""
        return self.frame.beats

    def actors(self, name):
        """One actor, an action for each pixel."""
        every = np.ones(self.frame.beats, bool)
        return (Actor(name, every.astype(np.int64), {"i": every}, every),)
