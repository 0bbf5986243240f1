"""ReLU that remembers where it was open, and gradients of ReLU, sigmoid and tanh, as streams."""

from dataclasses import dataclass, replace

import numpy as np

from .checks import check_integer, check_positive
from .queue import QueueConfig
from .stream import Frame
from .timing import Actor
from .unit import UnitConfig
from .widths import signed_bits

__all__ = ["ActivationGradientConfig", "ReluConfig"]

ACTIVATIONS = ("relu", "sigmoid", "tanh")


@dataclass(frozen=True, kw_only=True)
class ReluConfig(UnitConfig):
    """``max(x, 0)``, and a mask that says where ``x > 0``. One beat per cycle; latency 1.

    Parameters
    ----------
    frame : Frame
        Signed.
    maps : int
        Maps whose masks there is memory for.

    Members
    -------
    mask : Frame
        Of port ``m``.
    memory : QueueConfig
        Of port ``m``.
    """

    frame: Frame
    maps: int = 1

    def __post_init__(self):
        check_positive("maps", self.maps)
        if not self.frame.signed:
            raise ValueError("frame must be of signed numbers")

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """Codes of the same kind."""
        return self.frame

    @property
    def mask(self):
        """Of port ``m``: a bit per code."""
        return replace(self.frame, bits=1, signed=False)

    @property
    def memory(self):
        """Of port ``m``: room for ``maps`` maps, and no less than port ``o`` needs."""
        return QueueConfig(max(self.maps * self.mask.beats, self.queue.depth))

    @property
    def latency(self):
        """A register."""
        return 1

    @property
    def interval(self):
        """Cycles per frame in the steady state: its beats."""
        return self.frame.beats

    def actors(self, name):
        """One actor; every beat in is a beat out."""
        every = np.ones(self.frame.beats, bool)
        return (Actor(name, every.astype(np.int64), {"i": every}, every),)


@dataclass(frozen=True, kw_only=True)
class ActivationGradientConfig(UnitConfig):
    """Gradient of an activation for its input, from that for its output. One beat per cycle.

    ::

        relu       d where the mask is 1, else 0
        sigmoid    d y (one - y)
        tanh       d (one - y) (one + y)         exact products, with one = 2**point

    Parameters
    ----------
    frame : Frame
        The gradients, signed.
    kind : str
        "relu", "sigmoid" or "tanh".
    point : int
        Of the activation's output y: a code counts ``2**-point``. None for a ReLU.

    Members
    -------
    outputs : Frame
        Of port ``y``: the activation's output, or the mask of a ReLU.
    """

    frame: Frame
    kind: str
    point: int | None = None

    def __post_init__(self):
        if self.kind not in ACTIVATIONS:
            raise ValueError(f'kind must be "relu", "sigmoid" or "tanh", not {self.kind!r}')
        if not self.frame.signed:
            raise ValueError("frame must be of signed numbers")
        if self.kind == "relu":
            if self.point is not None:
                raise ValueError(f"point must be None for relu, not {self.point}")
            return
        check_integer("point", self.point, 0)

    @property
    def outputs(self):
        """Of port ``y``."""
        return replace(self.frame, bits=1, signed=False) if self.kind == "relu" else self.frame

    @property
    def inputs(self):
        """Port ``i``, the gradients; port ``y``."""
        return {"i": self.frame, "y": self.outputs}

    @property
    def factors(self):
        """Least and largest value of the two factors, for all codes y: two pairs."""
        low, high, one = self.frame.minimum, self.frame.maximum, 1 << (self.point or 0)
        left = (low, high) if self.kind == "sigmoid" else (one + low, one + high)
        return left, (one - high, one - low)

    @property
    def output(self):
        """Codes for a ReLU; else products, whose point is that of the gradients and twice y's."""
        if self.kind == "relu":
            return self.frame
        (a, b), (c, d) = self.factors
        slopes = [x * y for x in (a, b) for y in (c, d)]
        ends = [s * code for s in slopes for code in (self.frame.minimum, self.frame.maximum)]
        return replace(self.frame, bits=signed_bits(min(ends), max(ends)))

    @property
    def latency(self):
        """A register for a ReLU; else factors, slopes (twice), products (twice)."""
        return 1 if self.kind == "relu" else 5

    @property
    def interval(self):
        """Cycles per frame in the steady state: its beats."""
        return self.frame.beats

    def actors(self, name):
        """One actor; a beat of each in is a beat out."""
        every = np.ones(self.frame.beats, bool)
        return (Actor(name, every.astype(np.int64), {"i": every, "y": every}, every),)
