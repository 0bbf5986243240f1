"""Units that move beats about and leave their codes alone: fork, concat, resize."""

from dataclasses import dataclass, replace

import numpy as np

from .checks import check_integer, check_positive
from .stream import Frame
from .timing import Actor
from .unit import UnitConfig

__all__ = ["ConcatConfig", "ForkConfig", "ResizeConfig"]


@dataclass(frozen=True, kw_only=True)
class ForkConfig(UnitConfig):
    """One stream in, the same stream out ``outputs`` times; each output ends in a queue of its own.

    A beat enters when every queue has room for it. One beat per cycle; latency 0.

    Parameters
    ----------
    frame : Frame
    outputs : int
        At least 2.
    """

    frame: Frame
    outputs: int

    def __post_init__(self):
        check_integer("outputs", self.outputs, 2)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """What each output carries."""
        return self.frame

    @property
    def interval(self):
        """Cycles per frame in steady state: its beats."""
        return self.frame.beats

    def actors(self, name):
        """One actor that issues into several edges, one for each output."""
        every = np.ones(self.frame.beats, bool)
        return (Actor(name, every.astype(np.int64), {"i": every}, every),)


@dataclass(frozen=True, kw_only=True)
class ConcatConfig(UnitConfig):
    """Channels of several maps one after another, pixel by pixel. One beat per cycle; latency 0.

    Parameters
    ----------
    frames : tuple of Frame
        At least 2, for the ports ``i0``, ``i1``, ...; they differ in the number of channels only.
    """

    frames: tuple[Frame, ...]

    def __post_init__(self):
        object.__setattr__(self, "frames", tuple(self.frames))
        if len(self.frames) < 2:
            raise ValueError(f"frames must be at least 2, not {len(self.frames)}")
        for frame in self.frames[1:]:
            for name in ("height", "width", "lanes", "bits", "signed"):
                mine, first = getattr(frame, name), getattr(self.frames[0], name)
                if mine != first:
                    raise ValueError(f"frames must agree in {name}, not {first} and {mine}")

    @property
    def inputs(self):
        """Ports ``i0``, ``i1``, ..."""
        return {f"i{k}": frame for k, frame in enumerate(self.frames)}

    @property
    def output(self):
        """All channels, the first port's first."""
        return replace(self.frames[0], channels=sum(frame.channels for frame in self.frames))

    @property
    def interval(self):
        """Cycles per frame in steady state: the beats of all inputs."""
        return self.output.beats

    def actors(self, name):
        """One actor that takes from one port at a time."""
        groups = [frame.groups for frame in self.frames]
        port = np.tile(
            np.repeat(np.arange(len(groups)), groups), self.output.height * self.output.width
        )
        takes = {f"i{k}": port == k for k in range(len(groups))}
        return (Actor(name, np.ones(len(port), np.int64), takes, np.ones(len(port), bool)),)


@dataclass(frozen=True, kw_only=True)
class ResizeConfig(UnitConfig):
    """The same map in wider or narrower beats.

    The narrower side moves one beat per cycle; latency 0.

    Parameters
    ----------
    frame : Frame
    lanes : int
        Channels per output beat; divides the channels, and is a multiple or a divisor of
        ``frame.lanes``.
    """

    frame: Frame
    lanes: int

    def __post_init__(self):
        check_positive("lanes", self.lanes)
        if self.lanes % self.frame.lanes and self.frame.lanes % self.lanes:
            raise ValueError(
                f"lanes must be a multiple or a divisor of {self.frame.lanes}, not {self.lanes}"
            )
        replace(self.frame, lanes=self.lanes)  # refuses lanes that do not divide the channels

    @property
    def widens(self):
        """Whether output beats are wider than input beats."""
        return self.lanes > self.frame.lanes

    @property
    def factor(self):
        """Narrow beats in a wide one."""
        return max(self.lanes, self.frame.lanes) // min(self.lanes, self.frame.lanes)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """The map in beats of ``lanes`` channels."""
        return replace(self.frame, lanes=self.lanes)

    @property
    def interval(self):
        """Cycles per frame in steady state: beats of the narrower side."""
        return max(self.frame.beats, self.output.beats)

    def actors(self, name):
        """One actor with an action for each narrow beat."""
        every = np.ones(self.interval, bool)
        last = np.arange(1, self.interval + 1) % self.factor == 0
        takes, puts = (every, last) if self.widens else (last, every)
        return (Actor(name, every.astype(np.int64), {"i": takes}, puts, reads={"i": every}),)
