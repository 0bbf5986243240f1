"""Pooling that remembers its winners, and gradients of pools, as streams."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd, prod

import numpy as np

from .backward_conv import SpreadConfig, full_pads
from .checks import check_positive
from .pool import KINDS, PoolConfig
from .queue import QueueConfig
from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig
from .widths import signed_bits
from .window import WindowConfig

__all__ = ["GlobalPoolGradientConfig", "MaxPoolConfig", "PoolGradientConfig"]

# Bits of the reciprocal of the largest number of taps that windows divide by.
RECIPROCAL_BITS = 16


def _winner_bits(pool):
    return max(1, (pool.window.taps - 1).bit_length())


def _reciprocal_point(count):
    """Bits behind the point of a reciprocal of at most `RECIPROCAL_BITS`, and no less than half."""
    return RECIPROCAL_BITS - 2 + count.bit_length()


def _reciprocal(count, point):
    """Rounded to nearest."""
    return ((2 << point) + count) // (2 * count)


def _check_taps(pool):
    if not np.outer(*pool.tap_counts).all():
        raise ValueError(f"pads must leave a tap of each window on the map, not {pool.pads}")


@dataclass(frozen=True, kw_only=True)
class MaxPoolConfig(UnitConfig):
    """Maximum pooling that says which tap won. All lanes of a window in one cycle.

    Parameters
    ----------
    frame, kernel, strides, dilations, pads, ceil_mode
        As of `PoolConfig`.
    maps : int
        Maps whose winners there is memory for.

    Members
    -------
    pool : PoolConfig
        The pool without winners.
    window : WindowConfig
        Its codes have a bit more, which is 1 on the map: padding loses against any code.
    winners : Frame
        Of port ``w``: taps in row-major order.
    memory : QueueConfig
        Of port ``w``.
    """

    frame: Frame
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil_mode: bool = False
    maps: int = 1

    def __post_init__(self):
        check_positive("maps", self.maps)
        _check_taps(self.pool)

    @cached_property
    def pool(self):
        """The pool without winners."""
        return PoolConfig(
            frame=self.frame,
            kind="max",
            kernel=self.kernel,
            strides=self.strides,
            dilations=self.dilations,
            pads=self.pads,
            ceil_mode=self.ceil_mode,
        )

    @cached_property
    def window(self):
        """Of codes in offset binary with a bit above them that is 1 on the map."""
        marked = replace(self.frame, bits=self.frame.bits + 1, signed=False)
        return replace(self.pool.window, frame=marked, pad_value=0)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """Maxima."""
        return self.pool.output

    @property
    def winners(self):
        """Of port ``w``."""
        return replace(self.output, bits=_winner_bits(self.pool), signed=False)

    @property
    def memory(self):
        """Of port ``w``: room for ``maps`` maps, and no less than port ``o`` needs."""
        return QueueConfig(max(self.maps * self.winners.beats, self.queue.depth))

    @property
    def latency(self):
        """The tree of comparisons."""
        return self.pool.tree_latency

    @property
    def interval(self):
        """Cycles per frame in the steady state: the steps of the window."""
        return self.window.interval

    def actors(self, name):
        """The window, and the reduction of each window in a cycle."""
        return self.pool.actors(name)


@dataclass(frozen=True, kw_only=True)
class PoolGradientConfig(UnitConfig):
    """Gradient of a pool for its input: at each pixel the sum over the windows that read it.

    Of a maximum, of the windows that it won. Of an average, each window's gradient is multiplied by
    the reciprocal of what it divided by, in steps of ``2**-reciprocal_point``. A beat per cycle.

    Parameters
    ----------
    frame : Frame
        The map that the pool reads, signed; the gradients have the same codes and lanes.
    kind, kernel, strides, dilations, pads, ceil_mode, count_include_pad
        As of `PoolConfig`; the pads smaller than the kernel.

    Members
    -------
    pool : PoolConfig
        A pool by maximum of the same geometry.
    gradients, winners : Frame
        Of port ``i``, and for a maximum of port ``w``.
    counts : tuple of int
        Numbers that windows divide by, ascending; () unless it is an average.
    reciprocals : tuple of int
        For each of the counts.
    reciprocal_point : int
        0 unless it is an average.
    """

    TREE_LEVELS = 2  # between registers

    frame: Frame
    kind: str
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f'kind must be "max", "average" or "sum", not {self.kind!r}')
        if not self.frame.signed:
            raise ValueError("frame must be of signed numbers")
        _check_taps(self.pool)
        _ = self.window

    @cached_property
    def pool(self):
        """A pool by maximum of the same geometry."""
        return PoolConfig(
            frame=self.frame,
            kind="max",
            kernel=self.kernel,
            strides=self.strides,
            dilations=self.dilations,
            pads=self.pads,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    @property
    def gradients(self):
        """Of port ``i``."""
        return self.pool.output

    @property
    def winners(self):
        """Of port ``w``."""
        return replace(self.gradients, bits=_winner_bits(self.pool), signed=False)

    @cached_property
    def counts(self):
        """Numbers that windows divide by, ascending."""
        if self.kind != "average":
            return ()
        return tuple(np.unique(np.outer(*self.pool.tap_counts)).tolist())

    @property
    def reciprocal_point(self):
        """Bits behind the point of a reciprocal."""
        return _reciprocal_point(self.counts[-1]) if self.kind == "average" else 0

    @property
    def reciprocals(self):
        """For each of the counts, rounded to nearest."""
        return tuple(_reciprocal(count, self.reciprocal_point) for count in self.counts)

    @property
    def code_bits(self):
        """Of a window's gradient, multiplied by its reciprocal."""
        return self.frame.bits + max((r.bit_length() for r in self.reciprocals), default=0)

    @cached_property
    def spread(self):
        """Zeros between the gradients, which carry their winners in the bits above."""
        bits = self.code_bits + (self.winners.bits if self.kind == "max" else 0)
        return SpreadConfig(frame=replace(self.gradients, bits=bits), strides=self.strides)

    @cached_property
    def window(self):
        """The windows that read a pixel."""
        spread, reach = self.spread.output, self.pool.window.reach
        shape = (self.frame.height, self.frame.width)
        return WindowConfig(
            frame=spread,
            kernel=self.kernel,
            dilations=self.dilations,
            pads=full_pads(shape, (spread.height, spread.width), self.pads, reach),
        )

    @property
    def inputs(self):
        """Port ``i``; for a maximum also ``w``."""
        ports = {"i": self.gradients}
        return ports | {"w": self.winners} if self.kind == "max" else ports

    @property
    def overlap(self):
        """The most windows that read a pixel."""
        return prod(
            -(-k // (s // gcd(s, d)))
            for k, s, d in zip(self.kernel, self.strides, self.dilations, strict=True)
        )

    @property
    def output(self):
        """Sums, as wide as they can be."""
        most = self.overlap << (self.code_bits - 1)
        return replace(self.frame, bits=signed_bits(-most, most - 1))

    @property
    def latency(self):
        """For a maximum the winners' selection; the adder tree."""
        return (self.kind == "max") + tree_latency(self.window.taps, self.TREE_LEVELS)

    @property
    def interval(self):
        """Cycles per frame in the steady state: the steps of the window."""
        return self.window.interval

    def actors(self, name):
        """Zeros inserted, the window, and the sum of each window in a cycle."""
        (spread,) = self.spread.actors(f"{name}.spread")
        every = np.ones(self.output.beats, bool)
        return (
            replace(spread, takes=dict.fromkeys(self.inputs, spread.takes["i"])),
            *self.window.actors(f"{name}.window"),
            Actor(f"{name}.sum", every.astype(np.int64), {"i": every}, every),
        )


@dataclass(frozen=True, kw_only=True)
class GlobalPoolGradientConfig(UnitConfig):
    """Gradient of an average or sum over a whole map: each pixel gets it. A beat per cycle.

    Parameters
    ----------
    frame : Frame
        The map, signed.
    kind : str
        "average" or "sum".

    Members
    -------
    reciprocal, reciprocal_point : int
        What an average's gradient is multiplied by, in steps of ``2**-reciprocal_point``; 1 and 0
        for a sum.
    """

    frame: Frame
    kind: str

    def __post_init__(self):
        if self.kind not in ("average", "sum"):
            raise ValueError(f'kind must be "average" or "sum", not {self.kind!r}')
        if not self.frame.signed:
            raise ValueError("frame must be of signed numbers")

    @property
    def pixels(self):
        """Of a map."""
        return self.frame.height * self.frame.width

    @property
    def reciprocal_point(self):
        """Bits behind the point of the reciprocal."""
        return _reciprocal_point(self.pixels) if self.kind == "average" else 0

    @property
    def reciprocal(self):
        """Of the number of pixels."""
        return _reciprocal(self.pixels, self.reciprocal_point) if self.kind == "average" else 1

    @property
    def inputs(self):
        """Port ``i``, a vector."""
        return {"i": replace(self.frame, height=1, width=1)}

    @property
    def output(self):
        """Products."""
        low, high = (end * self.reciprocal for end in (self.frame.minimum, self.frame.maximum))
        return replace(self.frame, bits=signed_bits(low, high))

    @property
    def latency(self):
        """A register, the product."""
        return 2

    @property
    def interval(self):
        """Cycles per frame in the steady state: its beats."""
        return self.frame.beats

    def actors(self, name):
        """One actor; it takes beats for the first pixel."""
        every = np.ones(self.frame.beats, bool)
        first = np.arange(len(every)) < self.frame.groups
        return (Actor(name, every.astype(np.int64), {"i": first}, every),)
