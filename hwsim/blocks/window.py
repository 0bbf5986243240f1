"""Sliding window over a raster stream: geometry, and what happens in which step."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .checks import check_integer, check_positive
from .stream import Frame
from .timing import Actor, Edge
from .unit import UnitConfig

__all__ = ["WindowConfig"]


@dataclass(frozen=True, kw_only=True)
class WindowConfig(UnitConfig):
    """A sliding window: for each output position, the kernel's taps side by side.

    The unit works in steps on a grid of ``rows`` x ``columns`` pixels of ``frame.groups`` beats
    each: the map itself, and more only where padding exceeds the kernel's reach. A step on the map
    takes a beat into the delay lines; a window leaves in the step that brings its bottom right tap.
    Taps outside the map are replaced on the way out, so that padding takes no steps. The last
    windows of a frame leave in the first steps of the next, or in steps of their own if none waits.

    Parameters
    ----------
    frame : Frame
        The map that arrives.
    kernel, strides, dilations : (int, int)
        Along height and width.
    pads : (int, int, int, int)
        Top, left, bottom, right.
    pad_value : int
        The code that a tap outside the map reads, in mode "constant".
    mode : str
        "constant", or "edge": a tap outside the map reads the nearest pixel of the map.

    Members
    -------
    shape : (int, int)
        Height and width of the output.
    rows, columns : int
        The grid of steps.
    first, last : int
        Steps, counted from the start of a frame, in which its first and its last window leave.
    steps : int
        Steps of a frame; also its interval.
    tail : int
        Steps after a frame's own in which windows of it still leave.
    """

    LATE = 2  # cycles that a window follows its handshake, where what takes it counts on that

    frame: Frame
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    mode: str = "constant"

    def __post_init__(self):
        for name, size in (("kernel", 2), ("strides", 2), ("dilations", 2), ("pads", 4)):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != size:
                raise ValueError(f"{name} must be a tuple of {size} integers, not {values!r}")
            for value in values:
                check_integer(name, value, 0) if name == "pads" else check_positive(name, value)
        check_integer("pad_value", self.pad_value, self.frame.minimum)
        if self.pad_value > self.frame.maximum:
            raise ValueError(
                f"pad_value must be a code of at most {self.frame.maximum}, not {self.pad_value}"
            )
        if self.mode not in ("constant", "edge"):
            raise ValueError(f'mode must be "constant" or "edge", not {self.mode!r}')
        if min(self._free) < 0:
            height = self.frame.height + self.pads[0] + self.pads[2]
            width = self.frame.width + self.pads[1] + self.pads[3]
            raise ValueError(
                f"kernel spans {self.reach[0] + 1} x {self.reach[1] + 1} pixels, "
                f"more than the padded map's {height} x {width}"
            )
        if self.mode == "edge":
            if self.dilations != (1, 1):
                raise ValueError(f"dilations must be (1, 1) in mode edge, not {self.dilations}")
            if (
                max(self.pads[0], self.pads[2]) > self.reach[0]
                or max(self.pads[1], self.pads[3]) > self.reach[1]
            ):
                raise ValueError(
                    f"pads must be smaller than the kernel {self.kernel} in mode edge, "
                    f"not {self.pads}"
                )

    @property
    def reach(self):
        """Pixels from a kernel's first tap to its last, along height and width."""
        return tuple((k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def _free(self):
        """Positions of the kernel along height and width, less one, at stride 1."""
        top, left, bottom, right = self.pads
        return (
            self.frame.height + top + bottom - self.reach[0] - 1,
            self.frame.width + left + right - self.reach[1] - 1,
        )

    @cached_property
    def shape(self):
        """(height, width) of the output."""
        return tuple(
            free // stride + 1 for free, stride in zip(self._free, self.strides, strict=True)
        )

    @property
    def taps(self):
        """Pixels in a window."""
        return self.kernel[0] * self.kernel[1]

    @cached_property
    def lead(self):
        """Rows and columns of the grid before the map: where padding exceeds the kernel's reach."""
        return tuple(
            max(0, pad - reach) for pad, reach in zip(self.pads[:2], self.reach, strict=True)
        )

    @cached_property
    def span(self):
        """Rows and columns from the first window's to the last one's."""
        return tuple(
            (size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)
        )

    @cached_property
    def columns(self):
        """Columns of the grid: enough for the map and for a row of windows."""
        return max(self.lead[1] + self.frame.width, self.span[1] + 1)

    @cached_property
    def first(self):
        """Step of a frame in which its first window leaves."""
        down, right = (
            r - p + a for r, p, a in zip(self.reach, self.pads[:2], self.lead, strict=True)
        )
        return (down * self.columns + right) * self.frame.groups

    @cached_property
    def rows(self):
        """Rows of the grid: enough for the map, all windows, and the first to leave within them."""
        steps_per_row = self.columns * self.frame.groups
        return max(
            self.lead[0] + self.frame.height, self.span[0] + 1, self.first // steps_per_row + 1
        )

    @property
    def steps(self):
        """Steps of a frame."""
        return self.rows * self.columns * self.frame.groups

    @property
    def last(self):
        """Step, from the start of a frame, in which its last window leaves."""
        return self.first + (self.span[0] * self.columns + self.span[1] + 1) * self.frame.groups - 1

    @property
    def tail(self):
        """Steps after a frame's own until its last window has left."""
        return max(0, self.last + 1 - self.steps)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @cached_property
    def output(self):
        """A beat: the window of one group of channels, as (kernel row, kernel column, lane)."""
        height, width = self.shape
        channels, lanes = self.taps * self.frame.channels, self.taps * self.frame.lanes
        return Frame(height, width, channels, lanes, self.frame.bits, self.frame.signed)

    @property
    def interval(self):
        """Cycles per frame in the steady state: its steps."""
        return self.interval_held(1)

    def interval_held(self, cycles):
        """Cycles per frame in the steady state if each window is held for so many ``cycles``.

        A window leaves as soon as the one before it has been held long enough, and not before the
        steps between the two are done: the sum of the longer of the two over all windows, the first
        of the next frame included.
        """
        groups, (height, width) = self.frame.groups, self.shape
        per_group = groups - 1
        next_column = (self.strides[1] - 1) * groups + 1
        next_row = (self.strides[0] * self.columns - self.span[1] - 1) * groups + 1
        next_frame = self.steps - (self.last - self.first)
        return (
            height * width * per_group * max(1, cycles)
            + height * (width - 1) * max(next_column, cycles)
            + (height - 1) * max(next_row, cycles)
            + max(next_frame, cycles)
        )

    def actors(self, name):
        """One actor; each of its actions is a step."""
        groups = self.frame.groups
        inside = np.zeros((self.rows, self.columns, groups), bool)
        (y, x), frame = self.lead, self.frame
        inside[y : y + frame.height, x : x + frame.width] = True
        takes = inside.reshape(-1)
        reads = takes.copy()
        reads[0] = True  # a frame does not start before its first beat waits
        leaves = np.zeros(self.steps + self.tail, bool)
        pixels = np.add.outer(
            np.arange(0, self.span[0] + 1, self.strides[0]) * self.columns,
            np.arange(0, self.span[1] + 1, self.strides[1]),
        )
        leaves[self.first + np.add.outer(pixels * groups, np.arange(groups))] = True
        return (
            Actor(
                name,
                np.ones(self.steps, np.int64),
                {"i": takes},
                leaves[: self.steps],
                {"i": reads},
                leaves[self.steps :],
            ),
        )

    def output_edge(self, producer, consumer, port="i", queue=None):
        """The window register; there is no output queue."""
        return Edge(producer, consumer, port, capacity=1, forward=1, backward=0)
