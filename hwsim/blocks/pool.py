"""Pooling: sliding window and reduction, and the reduction of a whole map."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwsim.network.windows import output_size, span

from .requantize import RequantizeConfig
from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig
from .widths import check_accumulator, signed_bits
from .window import WindowConfig

__all__ = ["GlobalPoolConfig", "PoolConfig"]

KINDS = ("max", "average", "sum")


def _check(config, taps):
    if config.kind not in KINDS:
        raise ValueError(f'kind must be "max", "average" or "sum", not {config.kind!r}')
    if (config.kind == "max") != (config.requantize is None):
        given = "none" if config.requantize is None else "one"
        raise ValueError(
            f"requantize must be given unless kind is max, not {given} for {config.kind}"
        )
    frame, zero_point = config.frame, config.zero_point
    if not frame.minimum <= zero_point <= frame.maximum:
        raise ValueError(
            f"zero_point must lie in [{frame.minimum}, {frame.maximum}], not {zero_point}"
        )
    if config.requantize:
        low, high = (
            taps * (code - config.zero_point)
            for code in (config.frame.minimum, config.frame.maximum)
        )
        check_accumulator(config.requantize, low, high)


def _requantize(layer, tensor, output):
    if layer.requantize is None:
        return None
    return RequantizeConfig.of(
        layer.requantize,
        accumulator_bits=signed_bits(*layer.accumulator_bounds(tensor)),
        bits=output.bits,
        signed=output.signed,
    )


def _codes(config):
    """The input frame with the codes of the output."""
    if config.requantize is None:
        return config.frame
    return replace(config.frame, bits=config.requantize.bits, signed=config.requantize.signed)


@dataclass(frozen=True, kw_only=True)
class PoolConfig(UnitConfig):
    """Pooling over a sliding window, all lanes of a window in one cycle.

    Parameters
    ----------
    frame : Frame
    kind : str
        "max", "average" or "sum".
    kernel, strides, dilations, pads, ceil_mode, count_include_pad
        As in `hwsim.network.integer.Pool`.
    zero_point : int
        Of the input; what a sum subtracts from each code.
    requantize : RequantizeConfig, optional
        Of the sum; None for a maximum.

    Members
    -------
    window : WindowConfig
    counts : tuple of int
        Numbers of taps that windows divide by, ascending; (1,) for a sum, () for a maximum.
    """

    TREE_LEVELS = 1  # between registers

    frame: Frame
    kind: str
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = False
    zero_point: int = 0
    requantize: RequantizeConfig | None = None

    def __post_init__(self):
        _check(self, self.window.taps)
        if 0 in self.counts:
            raise ValueError(f"pads must leave a tap of each window on the map, not {self.pads}")

    @classmethod
    def for_layer(cls, layer, frame, tensor, output):
        """The unit of a `hwsim.network.integer.Pool` between two `IntegerTensor`."""
        return cls(
            frame=frame,
            kind=layer.kind,
            kernel=layer.kernel,
            strides=layer.strides,
            dilations=layer.dilations,
            pads=layer.pads,
            ceil_mode=layer.ceil_mode,
            count_include_pad=layer.count_include_pad,
            zero_point=tensor.zero_point,
            requantize=_requantize(layer, tensor, output),
        )

    @cached_property
    def window(self):
        """The sliding window; in ceil mode padded so far that the last windows fit."""
        top, left, bottom, right = self.pads
        if self.ceil_mode:
            bottom, right = self._reach_beyond(0), self._reach_beyond(1)
        return WindowConfig(
            frame=self.frame,
            kernel=self.kernel,
            strides=self.strides,
            dilations=self.dilations,
            pads=(top, left, bottom, right),
            pad_value=self.frame.minimum if self.kind == "max" else self.zero_point,
        )

    def _reach_beyond(self, axis):
        """Positions behind the map that the last window reaches in ceil mode."""
        size = (self.frame.height, self.frame.width)[axis]
        begin, end = self.pads[axis], self.pads[axis + 2]
        kernel, stride, dilation = self.kernel[axis], self.strides[axis], self.dilations[axis]
        windows = output_size(size, kernel, stride, dilation, begin, end, ceil_mode=True)
        return max((windows - 1) * stride + span(kernel, dilation) - size - begin, 0)

    @cached_property
    def tap_counts(self):
        """Taps counted along each output row and each output column: two int arrays."""
        counts = []
        for axis, size in enumerate((self.frame.height, self.frame.width)):
            begin, end = (
                (self.pads[axis], self.pads[axis + 2]) if self.count_include_pad else (0, 0)
            )
            first = np.arange(self.window.shape[axis]) * self.strides[axis] - self.pads[axis]
            taps = first[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            counts.append(((taps >= -begin) & (taps < size + end)).sum(axis=1))
        return tuple(counts)

    @cached_property
    def counts(self):
        """Numbers of taps that windows divide by, ascending."""
        if self.kind == "max":
            return ()
        if self.kind == "sum":
            return (1,)
        return tuple(np.unique(np.outer(*self.tap_counts)).tolist())

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """One beat for each window and group of channels."""
        height, width = self.window.shape
        return replace(_codes(self), height=height, width=width)

    @property
    def tree_latency(self):
        """Cycles of the reduction; a sum adds the zero points of all taps as a term of its own."""
        return tree_latency(
            self.window.taps + (self.kind != "max" and self.zero_point != 0), self.TREE_LEVELS
        )

    @property
    def latency(self):
        """The window's, the reduction's and, unless it is a maximum, the requantization's."""
        scaling = self.requantize.latency if self.requantize else 0
        return WindowConfig.LATE + self.tree_latency + scaling

    @property
    def interval(self):
        """Cycles per frame in steady state: the steps of the window."""
        return self.window.interval

    def actors(self, name):
        """The window, and the reduction of each window in a cycle."""
        every = np.ones(self.output.beats, bool)
        return (
            *self.window.actors(f"{name}_window"),
            Actor(name, every.astype(np.int64), {"i": every}, every),
        )


@dataclass(frozen=True, kw_only=True)
class GlobalPoolConfig(UnitConfig):
    """Pooling over the whole map. One beat per cycle; results leave as the last pixel comes in.

    Parameters
    ----------
    frame : Frame
    kind : str
        "max", "average" or "sum".
    zero_point : int
        Of the input; what a sum subtracts from each code.
    requantize : RequantizeConfig, optional
        Of the sum; None for a maximum.
    """

    ACCUMULATE_LATENCY = 2  # input register, result register

    frame: Frame
    kind: str
    zero_point: int = 0
    requantize: RequantizeConfig | None = None

    def __post_init__(self):
        _check(self, self.pixels)

    @classmethod
    def for_layer(cls, layer, frame, tensor, output):
        """The unit of a `hwsim.network.integer.Pool` whose kernel is the whole map."""
        return cls(
            frame=frame,
            kind=layer.kind,
            zero_point=tensor.zero_point,
            requantize=_requantize(layer, tensor, output),
        )

    @property
    def pixels(self):
        """Terms of each reduction."""
        return self.frame.height * self.frame.width

    @property
    def counts(self):
        """As in `PoolConfig`."""
        return {"max": (), "sum": (1,), "average": (self.pixels,)}[self.kind]

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """A vector."""
        return replace(_codes(self), height=1, width=1)

    @property
    def latency(self):
        """The accumulator and, unless it is a maximum, the requantization."""
        return self.ACCUMULATE_LATENCY + (self.requantize.latency if self.requantize else 0)

    @property
    def interval(self):
        """Cycles per frame in steady state: its beats."""
        return self.frame.beats

    @property
    def put_interval(self):
        """Results follow each other at the rate of beats, or of frames where a beat is a pixel."""
        return 1 if self.frame.groups > 1 else self.pixels

    def actors(self, name):
        """One actor; the beats of the last pixel put."""
        every = np.ones(self.frame.beats, bool)
        last = np.arange(self.frame.beats) >= self.frame.beats - self.frame.groups
        return (Actor(name, every.astype(np.int64), {"i": every}, last),)
