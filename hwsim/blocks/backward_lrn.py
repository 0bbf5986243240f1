"""Gradient of local response normalization, across channels or within one, as a stream."""

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

__all__ = ["LrnGradientConfig", "LrnTable"]

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
class LrnGradientConfig(UnitConfig):
    """Gradient of ``y = x s**-beta``, ``s = bias + alpha / n * sum of x²``, for x.

    The sum is over n neighbours: ``size`` channels (ONNX's LRN), or within the channel a square of
    ``size`` x ``size`` pixels (``hwsim.LRNWithin``)::

        dx = d s**-beta - x sum(d x slope),   slope = 2 alpha beta / n * s**(-beta - 1)

    where the sum is over the places whose s has x in it. ``d x slope``, what a place gives to the
    others, is rounded to ``SHARE_BITS``, to nearest with ties to even; the rest is exact but for
    the powers, which come from tables.

    A code per cycle. Across channels, which come one after another, a pixel is a row of them, over
    which a window slides.

    Parameters
    ----------
    frame : Frame
        Of d and x: signed, one lane.
    size, alpha, beta, bias
        As of ONNX's LRN; none of them 0.
    within : bool
        Whether the neighbours lie within the channel.
    point : int
        Of the codes x: one counts ``2**-point``.
    precision : int
        A table has ``2**precision`` entries for each octave of the sum of squares.

    Members
    -------
    scale, slope : LrnTable
        ``s**-beta`` and the slope.
    share_shift : int
        Bits by which ``d x slope`` is rounded.
    sum_point : int
        Of the sums that leave, beside that of d.
    pairs, shares : Frame
        What the two windows slide over: d and, in the bits above, x; ``d s**-beta``, x, and what
        a place gives to the others, lowest first.
    """

    TREE_LEVELS = 2  # between registers
    # Cycles from sums of squares to what the tables say: octave, index, read, register.
    LOOKUP_LATENCY = 4
    PRODUCT_LATENCY = 2

    frame: Frame
    size: int
    alpha: float
    beta: float
    bias: float
    within: bool = False
    point: int
    precision: int = 7

    def __post_init__(self):
        check_positive("size", self.size)
        check_positive("precision", self.precision)
        if self.frame.lanes != 1 or not self.frame.signed:
            raise ValueError("frame must be of signed numbers, one lane")
        for name in ("alpha", "beta", "bias"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.output.bits > WIDEST_SUM:
            raise ValueError(f"sums must have at most {WIDEST_SUM} bits, not {self.output.bits}")

    @property
    def members(self):
        """Neighbours, n."""
        return self.size**2 if self.within else self.size

    @cached_property
    def ends(self):
        """Least and largest sum of squares of each entry of a table: two arrays of int64."""
        precision = self.precision
        largest = self.windows[0].taps * self.frame.minimum**2
        index = np.arange(int(log_index(largest, precision)) + 1)
        dropped = np.maximum((index >> precision) - 1, 0)
        first = (index - (dropped << precision)) << dropped
        return first, np.minimum(first + (1 << dropped) - 1, largest)

    def _table(self, factor, exponent):
        """`LrnTable` of ``factor * s**exponent``."""
        step = self.alpha / self.members * 2.0 ** (-2 * self.point)
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
        """What x was multiplied by."""
        return self._table(1.0, -self.beta)

    @cached_property
    def slope(self):
        """How the scale of a place depends on another."""
        return self._table(2 * self.alpha * self.beta / self.members, -self.beta - 1)

    @cached_property
    def share_shift(self):
        """Bits by which ``d x slope`` is rounded, so that it fits: x² is part of the sum."""
        reach = np.minimum(np.sqrt(self.ends[1].astype(float)), -self.frame.minimum)
        most = int(np.ceil((reach * self.slope.codes).max())) * -self.frame.minimum
        return max(0, signed_bits(-most, most) + 1 - SHARE_BITS)

    @property
    def _share_point(self):
        return self.slope.point + 2 * self.point - self.share_shift

    @property
    def sum_point(self):
        """Of the sums that leave, beside that of d."""
        return max(self.scale.point, self._share_point)

    @property
    def lifts(self):
        """Bits by which ``d s**-beta`` and ``x sum(...)`` are multiplied to have one point."""
        return self.sum_point - self.scale.point, self.sum_point - self._share_point

    def _map(self, bits):
        """What a window slides over, of so many bits.

        Across channels it has the pixels as rows and one channel.
        """
        frame = replace(self.frame, bits=bits, signed=False)
        if self.within:
            return frame
        return replace(frame, height=frame.height * frame.width, width=frame.channels, channels=1)

    @property
    def pairs(self):
        """D and, in the bits above, x."""
        return self._map(2 * self.frame.bits)

    @property
    def shares(self):
        """``d s**-beta``, x, and what a place gives to the others; lowest first."""
        return self._map(2 * self.frame.bits + TABLE_BITS + SHARE_BITS)

    @cached_property
    def windows(self):
        """Over `pairs`; and over `shares`, where the places are whose s has x in it.

        They are no larger than the map.
        """
        pairs, before, after = self.pairs, (self.size - 1) // 2, self.size // 2
        left, right = (min(reach, pairs.width - 1) for reach in (before, after))
        top, bottom = (
            min(reach, pairs.height - 1) if self.within else 0 for reach in (before, after)
        )
        kernel = (top + 1 + bottom, left + 1 + right)
        return (
            WindowConfig(frame=pairs, kernel=kernel, pads=(top, left, bottom, right)),
            WindowConfig(frame=self.shares, kernel=kernel, pads=(bottom, right, top, left)),
        )

    @property
    def centres(self):
        """Tap of either window that holds the place itself."""
        centre = self.windows[0].pads[0] * self.windows[0].kernel[1] + self.windows[0].pads[1]
        return centre, self.windows[0].taps - 1 - centre

    @property
    def inputs(self):
        """Port ``i``, d; port ``x``, what was normalized."""
        return {"i": self.frame, "x": self.frame}

    @property
    def output(self):
        """Sums."""
        code = -self.frame.minimum
        first = (code * int(self.scale.codes.max())) << self.lifts[0]
        second = ((self.windows[0].taps * code) << (SHARE_BITS - 1)) << self.lifts[1]
        return replace(self.frame, bits=signed_bits(-first - second, first + second))

    @property
    def tree_latency(self):
        """Of a sum over neighbours."""
        return tree_latency(self.windows[0].taps, self.TREE_LEVELS)

    @property
    def lookup_latency(self):
        """Cycles from a window to what the tables say: squares, their sum, the look-up."""
        return 1 + self.tree_latency + self.LOOKUP_LATENCY

    @property
    def share_latency(self):
        """Cycles from a window of pairs to a share: it is late; look-up, two products, rounding."""
        return WindowConfig.LATE + self.lookup_latency + 2 * self.PRODUCT_LATENCY + 1

    @property
    def share_queue(self):
        """Between the two windows."""
        return QueueConfig(self.share_latency + 2)

    @property
    def latency(self):
        """Of the second half: a late window, the sum of shares, a product, a difference."""
        return WindowConfig.LATE + self.tree_latency + self.PRODUCT_LATENCY + 1

    @property
    def interval(self):
        """Cycles per frame in the steady state: the steps of a window, its beats."""
        return self.windows[0].interval

    def actors(self, name):
        """A window and what follows from it, twice."""
        every = np.ones(self.output.beats, bool)
        halves = []
        for window, half in zip(self.windows, ("share", "sum"), strict=True):
            halves += window.actors(f"{name}.{half}_window")
            halves.append(Actor(f"{name}.{half}", every.astype(np.int64), {"i": every}, every))
        first = halves[0]
        takes = dict.fromkeys(self.inputs, first.takes["i"])
        reads = dict.fromkeys(self.inputs, first.reads["i"])
        return (replace(first, takes=takes, reads=reads), *halves[1:])

    def chain(self, name):
        """The shares pass through a queue."""
        actors, (first, second, third) = super().chain(name)
        queue = self.share_queue
        forward = self.share_latency + queue.latency
        second = replace(second, capacity=queue.depth, forward=forward, backward=1)
        return actors, (first, second, third)
