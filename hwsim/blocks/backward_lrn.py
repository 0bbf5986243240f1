"""Local response normalization across channels and its gradient, as streams, for training."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hwsim.network.integer import log_index

from .checks import check_positive
from .queue import QueueConfig
from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig
from .widths import signed_bits
from .window import WindowConfig

__all__ = ["LrnConfig", "LrnGradientConfig", "LrnTable"]

# Bits of an entry of a table, and of what a channel gives to the gradients beside it.
TABLE_BITS = 16
SHARE_BITS = 24
WIDEST_SUM = 62


class LrnTable(NamedTuple):
    """A function of the sum of squares, by its `log_index`.

    Members
    -------
    codes : ndarray of int64
        The function midway between the least and the largest sum of an entry, in steps of
        ``2**-point``.
    point : int
    error : ndarray of float64
        By how much it may be off, for each entry.
    """

    codes: np.ndarray
    point: int
    error: np.ndarray


@dataclass(frozen=True, kw_only=True)
class LrnConfig(UnitConfig):
    """``x (bias + alpha / size * sum of x²)**-beta``, the sum over neighbouring channels.

    A code per cycle: channels come one after another, so that a pixel is a row of them, over which
    a window slides.

    Parameters
    ----------
    frame : Frame
        Signed, one lane.
    size, alpha, beta, bias
        As of ONNX's LRN; bias above 0.
    point : int
        Of the codes x: one counts ``2**-point``.
    precision : int
        A table has ``2**precision`` entries for each octave of the sum of squares.

    Members
    -------
    window : WindowConfig
    scale : LrnTable
        What x is multiplied by.
    """

    TREE_LEVELS = 2  # between registers
    # Cycles from sums of squares to what the tables say: octave, index, read.
    LOOKUP_LATENCY = 3
    PRODUCT_LATENCY = 2

    frame: Frame
    size: int
    alpha: float
    beta: float
    bias: float
    point: int
    precision: int = 7

    def __post_init__(self):
        check_positive("size", self.size)
        check_positive("precision", self.precision)
        if self.frame.lanes != 1 or not self.frame.signed:
            raise ValueError("frame must be of signed numbers, one lane")
        if self.bias <= 0 or self.alpha < 0 or self.beta < 0:
            raise ValueError(
                f"bias must be above 0, alpha and beta not below, not {self.bias}, {self.alpha} "
                f"and {self.beta}"
            )

    @property
    def before(self):
        """Channels before its own that a window has."""
        return (self.size - 1) // 2

    @property
    def rows(self):
        """The frame with its pixels as rows of a map of one channel."""
        frame = self.frame
        return Frame(frame.height * frame.width, frame.channels, 1, 1, frame.bits)

    @cached_property
    def window(self):
        """Over the channels of a pixel."""
        pads = (0, self.before, 0, self.size - 1 - self.before)
        return WindowConfig(frame=self.rows, kernel=(1, self.size), pads=pads)

    @cached_property
    def ends(self):
        """Least and largest sum of squares of each entry of a table: two arrays of int64."""
        precision = self.precision
        largest = min(self.size, self.frame.channels) * self.frame.minimum**2
        index = np.arange(int(log_index(largest, precision)) + 1)
        dropped = np.maximum((index >> precision) - 1, 0)
        first = (index - (dropped << precision)) << dropped
        return first, np.minimum(first + (1 << dropped) - 1, largest)

    def table(self, factor, exponent):
        """`LrnTable` of ``factor * (bias + alpha / size * sum)**exponent``."""
        step = self.alpha / self.size * 2.0 ** (-2 * self.point)
        ends = [factor * (self.bias + step * sums) ** exponent for sums in self.ends]
        middle = (ends[0] + ends[1]) / 2
        point = TABLE_BITS - int(np.frexp(middle.max())[1])
        if np.rint(np.ldexp(middle.max(), point)) >= 1 << TABLE_BITS:
            point -= 1
        codes = np.rint(np.ldexp(middle, point)).astype(np.int64)
        error = np.max([np.abs(np.ldexp(codes.astype(float), -point) - e) for e in ends], axis=0)
        return LrnTable(codes, point, error)

    @cached_property
    def scale(self):
        """What x is multiplied by."""
        return self.table(1.0, -self.beta)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """Products, whose point is that of x and of the table."""
        return replace(self.frame, bits=self.frame.bits + TABLE_BITS)

    @property
    def lookup_latency(self):
        """Cycles from a window to what the tables say: squares, their sum, the look-up."""
        return 1 + tree_latency(self.size, self.TREE_LEVELS) + self.LOOKUP_LATENCY

    @property
    def latency(self):
        """The look-up, the product."""
        return self.lookup_latency + self.PRODUCT_LATENCY

    @property
    def interval(self):
        """Cycles per frame in the steady state: the steps of the window."""
        return self.window.interval

    def actors(self, name):
        """The window, and a product for each."""
        every = np.ones(self.output.beats, bool)
        return (
            *self.window.actors(f"{name}.window"),
            Actor(f"{name}.scale", every.astype(np.int64), {"i": every}, every),
        )


@dataclass(frozen=True, kw_only=True)
class LrnGradientConfig(UnitConfig):
    """Gradient of `LrnConfig` for its input. A code per cycle.

    With s what is raised to a power::

        dx = d s**-beta - x sum(d x slope),   slope = 2 alpha beta / size * s**(-beta - 1)

    where the sum is over the channels that read x. What each of them gives to the sum is rounded to
    ``SHARE_BITS``, to nearest with ties to even; the rest is exact.

    Parameters
    ----------
    lrn : LrnConfig

    Members
    -------
    slope : LrnTable
    share_shift : int
        Bits by which ``d x slope`` is rounded.
    point : int
        Of the sums that leave, beside that of the gradients.
    """

    TREE_LEVELS = LrnConfig.TREE_LEVELS

    lrn: LrnConfig

    def __post_init__(self):
        if self.lrn.alpha == 0 or self.lrn.beta == 0:
            raise ValueError("alpha and beta must be above 0 for a gradient")
        if self.output.bits > WIDEST_SUM:
            raise ValueError(f"sums must have at most {WIDEST_SUM} bits, not {self.output.bits}")

    @cached_property
    def slope(self):
        """How the scale of a channel depends on another."""
        lrn = self.lrn
        return lrn.table(2 * lrn.alpha * lrn.beta / lrn.size, -lrn.beta - 1)

    @cached_property
    def share_shift(self):
        """Bits by which ``d x slope`` is rounded, so that it fits: x**2 is part of the sum."""
        reach = np.minimum(np.sqrt(self.lrn.ends[1].astype(float)), -self.lrn.frame.minimum)
        most = int(np.ceil((reach * self.slope.codes).max())) * -self.lrn.frame.minimum
        return max(0, signed_bits(-most, most) + 1 - SHARE_BITS)

    @property
    def point(self):
        """Of the sums that leave, beside that of the gradients."""
        return max(self.lrn.scale.point, self._share_point)

    @property
    def _share_point(self):
        return self.slope.point + 2 * self.lrn.point - self.share_shift

    @property
    def lifts(self):
        """Bits by which ``d s**-beta`` and ``x sum(...)`` are multiplied to have one point."""
        return self.point - self.lrn.scale.point, self.point - self._share_point

    @property
    def pairs(self):
        """Rows of gradients and, in the bits above them, codes x."""
        rows = self.lrn.rows
        return replace(rows, bits=2 * rows.bits, signed=False)

    @property
    def shares(self):
        """Rows of ``d s**-beta``, codes x, and what a channel gives to others; lowest first."""
        rows = self.lrn.rows
        return replace(rows, bits=self.lrn.output.bits + rows.bits + SHARE_BITS, signed=False)

    @cached_property
    def windows(self):
        """Over `pairs`, and over `shares`, where the channels are that read a code."""
        lrn, before = self.lrn, self.lrn.before
        pads = (0, lrn.size - 1 - before, 0, before)
        return (
            replace(lrn.window, frame=self.pairs),
            WindowConfig(frame=self.shares, kernel=(1, lrn.size), pads=pads),
        )

    @property
    def inputs(self):
        """Port ``i``, gradients; port ``x``, what was normalized."""
        return {"i": self.lrn.frame, "x": self.lrn.frame}

    @property
    def output(self):
        """Sums."""
        lrn = self.lrn
        code = -lrn.frame.minimum
        first = (code * int(lrn.scale.codes.max())) << self.lifts[0]
        second = ((lrn.size * code) << (SHARE_BITS - 1)) << self.lifts[1]
        return replace(lrn.frame, bits=signed_bits(-first - second, first + second))

    @property
    def share_latency(self):
        """Cycles from a window of pairs to a share: look-up, two products, rounding."""
        return self.lrn.lookup_latency + 2 * self.lrn.PRODUCT_LATENCY + 1

    @property
    def share_queue(self):
        """Between the two windows."""
        depth = self.share_latency + 2
        return QueueConfig(depth if not QueueConfig(depth).registered else depth + 1)

    @property
    def latency(self):
        """Of the second half: the sum of shares, a product, a difference."""
        return tree_latency(self.lrn.size, self.TREE_LEVELS) + self.lrn.PRODUCT_LATENCY + 1

    @property
    def interval(self):
        """Cycles per frame in the steady state: the steps of a window."""
        return self.windows[0].interval

    def actors(self, name):
        """A window and what follows from it, twice."""
        every = np.ones(self.output.beats, bool)
        halves = []
        for window, half in zip(self.windows, ("share", "sum"), strict=True):
            (first,) = window.actors(f"{name}.{half}_window")
            second = Actor(f"{name}.{half}", every.astype(np.int64), {"i": every}, every)
            halves += [first, second]
        halves[0] = replace(
            halves[0],
            takes=dict.fromkeys(self.inputs, halves[0].takes["i"]),
            reads=dict.fromkeys(self.inputs, halves[0].reads["i"]),
        )
        return tuple(halves)

    def chain(self, name):
        """The shares pass through a queue."""
        actors, (first, second, third) = super().chain(name)
        queue = self.share_queue
        second = replace(
            second,
            capacity=queue.depth,
            forward=self.share_latency + queue.latency,
            backward=1,
        )
        return actors, (first, second, third)
