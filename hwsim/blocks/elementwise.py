"""Units that work on each code on its own: table, add, multiply."""

from dataclasses import dataclass, replace

import numpy as np

from .checks import check_positive
from .requantize import RequantizeConfig
from .stream import Frame
from .timing import Actor
from .unit import UnitConfig
from .widths import signed_bits

__all__ = ["AddConfig", "MulConfig", "TableConfig"]


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

    @classmethod
    def for_layer(cls, layer, frame, tensor, output):
        """The unit of a `hwsim.network.integer.Table` between two `IntegerTensor`."""
        return cls(frame=frame, output_bits=output.bits, output_signed=output.signed)

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


@dataclass(frozen=True, kw_only=True)
class _PairConfig(UnitConfig):
    """What units of two maps share: a result of each pair of codes, requantized."""

    ARITHMETIC_LATENCY = 0  # cycles before the requantization

    frames: tuple[Frame, Frame]
    requantize: RequantizeConfig

    def _check_same(self, *names):
        if len(self.frames) != 2:
            raise ValueError(f"frames must be two, not {len(self.frames)}")
        for name in names:
            first, second = (getattr(frame, name) for frame in self.frames)
            if first != second:
                raise ValueError(f"frames must agree in {name}, not {first} and {second}")

    @classmethod
    def for_layer(cls, layer, frames, tensors, output):
        """The unit of an integer layer (`hwsim.network.integer`) of two `IntegerTensor`."""
        requantize = RequantizeConfig.of(
            layer.requantize,
            accumulator_bits=signed_bits(*layer.accumulator_bounds(*tensors)),
            bits=output.bits,
            signed=output.signed,
        )
        return cls(frames=tuple(frames), requantize=requantize)

    @property
    def inputs(self):
        """Ports ``i0`` and ``i1``."""
        return {"i0": self.frames[0], "i1": self.frames[1]}

    @property
    def output(self):
        """The results."""
        return replace(self.frames[0], bits=self.requantize.bits, signed=self.requantize.signed)

    @property
    def latency(self):
        """The arithmetic, and the requantization."""
        return self.ARITHMETIC_LATENCY + self.requantize.latency

    @property
    def interval(self):
        """Cycles per frame in steady state: its beats."""
        return self.output.beats

    def actors(self, name):
        """One actor; each beat of the first input is a beat out."""
        every = np.ones(self.output.beats, bool)
        second = np.arange(len(every)) < self.frames[1].beats
        return (Actor(name, every.astype(np.int64), {"i0": every, "i1": second}, every),)


@dataclass(frozen=True, kw_only=True)
class AddConfig(_PairConfig):
    """Weighted sum of two maps, requantized. One beat from each per cycle.

    Parameters
    ----------
    frames : (Frame, Frame)
        For the ports ``i0`` and ``i1``; they agree in shape and lanes.
    requantize : RequantizeConfig
        Of the sum.
    """

    ARITHMETIC_LATENCY = 4  # operands, products, less zero points, sum

    def __post_init__(self):
        self._check_same("height", "width", "channels", "lanes")


@dataclass(frozen=True, kw_only=True)
class MulConfig(_PairConfig):
    """Product of two maps, or of a map and a vector that holds for all its pixels, requantized.

    One beat per cycle. A vector comes in with the first pixel and is kept for the others.

    Parameters
    ----------
    frames : (Frame, Frame)
        For the ports ``i0`` and ``i1``; they agree in channels and lanes, and in height and width
        unless the second is 1 x 1.
    requantize : RequantizeConfig
        Of the product.
    """

    ARITHMETIC_LATENCY = 2  # operands, product

    def __post_init__(self):
        self._check_same("channels", "lanes")
        if (self.frames[1].height, self.frames[1].width) != (1, 1):
            self._check_same("height", "width")

    @property
    def broadcast(self):
        """Whether the second input is a vector for several pixels."""
        return self.frames[1].beats != self.frames[0].beats
