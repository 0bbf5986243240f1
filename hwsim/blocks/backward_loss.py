"""Gradients of losses, as streams: cross-entropy of a softmax, and root mean square error."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp, isqrt

import numpy as np

from .checks import check_integer
from .queue import QueueConfig
from .stream import Frame
from .timing import Actor
from .unit import UnitConfig
from .widths import signed_bits

__all__ = ["CrossEntropyGradientConfig", "RmseGradientConfig"]

# Bits of the entries of two tables; an exponential is the product of an entry of each.
COARSE_BITS = 24
FINE_BITS = 17
# Bits of the index of the finer one, at most: its entries fill a block RAM.
FINE_INDEX_BITS = 9
# Cycles in which rows are given back: the read of the memory.
GATHER_LATENCY = 1
PRODUCT_LATENCY = 2


class _LossConfig(UnitConfig):
    """What both have in common."""

    frame: Frame
    gradient_point: int

    def _check(self):
        check_integer("gradient_point", self.gradient_point, 1)
        if self.frame.lanes != 1 or not self.frame.signed:
            raise ValueError("frame must be of signed numbers, one lane")

    @property
    def interval(self):
        """Cycles per frame in the steady state: its beats."""
        return self.frame.beats

    @property
    @abstractmethod
    def drain(self):
        """Cycles from the last code of a frame to its last gradient, if nothing waits."""


def _gather(name, length, repeats, takes):
    """A row comes in, and is given back when it is complete: two actors."""
    every = np.ones(length, bool)
    last = np.arange(length) == length - 1
    actions = every.astype(np.int64)
    return (
        Actor(f"{name}_in", actions, takes, last, repeats=repeats),
        Actor(f"{name}_out", actions, {"i": last}, every, {"i": every}, repeats=repeats),
    )


def _through(edge, queue, latency):
    """An edge through a pipeline and a queue."""
    return replace(edge, capacity=queue.depth, forward=latency + queue.latency, backward=1)


@dataclass(frozen=True, kw_only=True)
class CrossEntropyGradientConfig(_LossConfig):
    """Gradient of the cross-entropy of a softmax over the channels of each pixel, for its input.

    ``softmax(x) - [channel = label]``, of the sum of the losses, not their mean. A code per cycle::

        e = exp(x - maximum)          product of two table entries, rounded to ``COARSE_BITS``
        o = e / sum of e - [channel = label]        rounded to nearest

    A pixel's exponentials begin when its last code, and with it the maximum, is there; its
    quotients when the sum is.

    Parameters
    ----------
    frame : Frame
        Logits, signed, one lane.
    point : int
        Of the logits: one counts ``2**-point``; at least 2.
    gradient_point : int
        Of the result.

    Members
    -------
    labels : Frame
        Of port ``t``: a beat for each pixel.
    coarse, fine : ndarray of int64
        Exponentials of ``-k 2**(fine_index_bits - point)``, whose last is 0 if not all are
        needed, and of ``-k 2**-point``. The first has all bits 1: the factor cancels.
    fine_index_bits, sum_bits : int
        Of the index of `fine`, and of a sum of exponentials.
    error : float
        By how much a result may be off, as a number.
    """

    frame: Frame
    point: int
    gradient_point: int = 14

    def __post_init__(self):
        self._check()
        check_integer("point", self.point, 2)
        if self.frame.bits < 2:
            raise ValueError(f"frame must have at least 2 bits, not {self.frame.bits}")

    @property
    def labels(self):
        """Of port ``t``: a beat for each pixel."""
        bits = max(1, (self.frame.channels - 1).bit_length())
        return replace(self.frame, channels=1, bits=bits, signed=False)

    @property
    def fine_index_bits(self):
        """Of a difference, those that the finer table is read by; its entries are above 0.6."""
        return min(self.point - 1, FINE_INDEX_BITS, self.frame.bits - 1)

    def _exponentials(self, bits, entries, point):
        """Exponentials of ``-k 2**-point`` in ``bits`` bits."""
        powers = np.exp(-np.ldexp(np.arange(entries, dtype=float), -point))
        return np.rint(((1 << bits) - 1) * powers).astype(np.int64)

    @cached_property
    def coarse(self):
        """By the upper bits of a difference; what lies beyond the table is 0."""
        index_bits = self.frame.bits - self.fine_index_bits
        # exp(-18) is less than half a step.
        reach = 18 << (self.point - self.fine_index_bits)
        entries = min(1 << index_bits, reach + 1)
        return self._exponentials(COARSE_BITS, entries, self.point - self.fine_index_bits)

    @cached_property
    def fine(self):
        """By the lower bits of a difference."""
        return self._exponentials(FINE_BITS, 1 << self.fine_index_bits, self.point)

    @property
    def sum_bits(self):
        """Of a sum of exponentials."""
        return (self.frame.channels * ((1 << COARSE_BITS) - 1)).bit_length()

    @cached_property
    def error(self):
        """By how much a result may be off, as a number.

        An entry is at most half a step off, and so is the product. An exponential e is then off by
        ``relative * e + absolute``, with ``absolute`` for what does not shrink with it; and the
        quotient by the error of its numerator, and as much of it as the sum may be off.
        """
        relative = 0.5 / (((1 << FINE_BITS) - 1) * exp(-(len(self.fine) - 1) / 2**self.point))
        absolute = 2 * 0.5 / ((1 << COARSE_BITS) - 2**8)
        sums = self.frame.channels * absolute
        growth = (1 + sums) / (1 - relative)  # of the true sum beside that of the entries
        return 2 * relative * growth + sums + absolute + 2.0 ** -(self.gradient_point + 1)

    @property
    def inputs(self):
        """Port ``i``, logits; port ``t``, labels."""
        return {"i": self.frame, "t": self.labels}

    @property
    def output(self):
        """From -1 to 1."""
        one = 1 << self.gradient_point
        return replace(self.frame, bits=signed_bits(-one, one))

    @property
    def exponential_latency(self):
        """From a code given back: difference, index, entries, their register; product, rounding."""
        return GATHER_LATENCY + 4 + PRODUCT_LATENCY + 1

    @property
    def exponential_queue(self):
        """Of exponentials."""
        return QueueConfig(self.exponential_latency + 2)

    @property
    def latency(self):
        """From an exponential given back: a cycle for each bit of the quotient, the rounding."""
        return GATHER_LATENCY + (self.gradient_point + 2) + 1

    @property
    def drain(self):
        """Twice a pixel's codes, and the pipelines behind them."""
        exponentials = self.exponential_latency + self.exponential_queue.latency
        return 2 * self.frame.channels + exponentials + self.latency + self.queue.latency

    def actors(self, name):
        """A pixel's codes until the maximum is known, its exponentials until the sum is."""
        channels, pixels = self.frame.channels, self.frame.height * self.frame.width
        every = np.ones(channels, bool)
        first = np.arange(channels) == 0
        return (
            *_gather(f"{name}.maximum", channels, pixels, {"i": every, "t": first}),
            *_gather(f"{name}.sum", channels, pixels, {"i": every}),
        )

    def chain(self, name):
        """The exponentials pass through a queue."""
        actors, (first, second, third) = super().chain(name)
        second = _through(second, self.exponential_queue, self.exponential_latency)
        return actors, (first, second, third)


@dataclass(frozen=True, kw_only=True)
class RmseGradientConfig(_LossConfig):
    """Gradient of the root mean square error of a frame, for its values.

    With d the difference of values and targets, ``d / sqrt(n sum of d²)`` over all n codes of the
    frame, exactly, rounded to nearest; 0 where all d are. The loss of a batch of vectors is that of
    a frame whose rows they are. A code per cycle.

    Parameters
    ----------
    frame : Frame
        Values and targets, signed, one lane; their point is of no importance.
    gradient_point : int
        Of the result, which is at most ``n**-0.5``.

    Members
    -------
    square_bits, total_bits : int
        Of d², and of n times their sum.
    quotient_point, quotient_bits : int
        Bits behind the point of ``d² / (n sum of d²)``, and all that are not always 0.
    root_bits : int
        Of its root, ``gradient_point + 1`` of which are behind the point.
    """

    frame: Frame
    gradient_point: int = 14

    def __post_init__(self):
        self._check()
        if not self.root_bits:
            raise ValueError(
                f"gradient_point must be higher for {self.frame.beats} codes than "
                f"{self.gradient_point}: all gradients are 0"
            )

    @property
    def largest(self):
        """Square of the largest difference."""
        return ((1 << self.frame.bits) - 1) ** 2

    @property
    def square_bits(self):
        """Of d²."""
        return self.largest.bit_length()

    @property
    def total_bits(self):
        """Of n times the sum of d²."""
        return (self.frame.beats**2 * self.largest).bit_length()

    @property
    def quotient_point(self):
        """Bits behind the point of ``d² / (n sum of d²)``: two for each of the root."""
        return 2 * (self.gradient_point + 1)

    @property
    def _largest_quotient(self):
        return (1 << self.quotient_point) // self.frame.beats

    @property
    def quotient_bits(self):
        """Of the largest quotient, 1 / n."""
        return self._largest_quotient.bit_length()

    @property
    def root_bits(self):
        """Of its root."""
        return isqrt(self._largest_quotient).bit_length()

    @property
    def inputs(self):
        """Port ``i``, values; port ``t``, targets."""
        return {"i": self.frame, "t": self.frame}

    @property
    def output(self):
        """Either sign."""
        most = (isqrt(self._largest_quotient) + 1) >> 1
        return replace(self.frame, bits=signed_bits(-most, most))

    @property
    def square_latency(self):
        """Difference, square."""
        return 1 + PRODUCT_LATENCY

    @property
    def square_queue(self):
        """Of squares."""
        return QueueConfig(self.square_latency + 2)

    @property
    def latency(self):
        """From a square given back: n times the sum, a cycle for each bit, the rounding."""
        denominator = GATHER_LATENCY + PRODUCT_LATENCY + 1
        return denominator + self.quotient_bits + self.root_bits + 1

    @property
    def drain(self):
        """All codes of the frame, and the pipelines before and behind them."""
        squares = self.square_latency + self.square_queue.latency
        return squares + self.frame.beats + self.latency + self.queue.latency

    def actors(self, name):
        """Differences, and a frame's squares until their sum is known."""
        every = np.ones(self.frame.beats, bool)
        takes = {"i": every, "t": every}
        return (
            Actor(f"{name}.difference", every.astype(np.int64), takes, every),
            *_gather(f"{name}.sum", self.frame.beats, 1, {"i": every}),
        )

    def chain(self, name):
        """The squares pass through a queue."""
        actors, (first, second) = super().chain(name)
        return actors, (_through(first, self.square_queue, self.square_latency), second)
