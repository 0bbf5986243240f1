"""Local response normalization, across channels or within a channel."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwsim.network.fixed_point import MULTIPLIER_BITS
from hwsim.network.integer import IntegerTensor, largest_square_sum, log_index

from .checks import check_integer, check_positive
from .requantize import RequantizeConfig, product_latency
from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig
from .widths import check_accumulator, signed_bits
from .window import WindowConfig

__all__ = ["LRNConfig"]


@dataclass(frozen=True, kw_only=True)
class LRNConfig(UnitConfig):
    """Each code times a factor from a table, by the sum of squares near it. A beat per cycle.

    The arithmetic is that of `hwsim.network.integer.LRN`.

    Parameters
    ----------
    frame : Frame
    size : int
        Of the neighbourhood: channels, or pixels along either side of a square.
    within : bool
        Whether it lies within the channel.
    precision : int
        Of the index; the table has ``2**precision`` entries from one power of two to the next.
    zero_point : int
        Of the input.
    factor_bits : int
        Of an entry of the table.
    requantize : RequantizeConfig
        Of the product, with a multiplier of 1.

    Members
    -------
    window : WindowConfig
        A square of pixels; or a row of beats, where a pixel counts as a row of ``frame.groups``.
    largest : int
        The largest sum of squares.
    entries : int
        Of the table.
    """

    TREE_LEVELS = 2  # between registers
    SQUARE_LATENCY = 2  # code less zero point, square
    LOOKUP_LATENCY = 4  # dropped bits, index, read of the table, its register

    frame: Frame
    size: int
    within: bool = False
    precision: int
    zero_point: int = 0
    factor_bits: int = MULTIPLIER_BITS
    requantize: RequantizeConfig

    def __post_init__(self):
        check_positive("size", self.size)
        check_integer("precision", self.precision, 0)
        check_positive("factor_bits", self.factor_bits)
        frame = self.frame
        if not frame.minimum <= self.zero_point <= frame.maximum:
            raise ValueError(
                f"zero_point must lie in [{frame.minimum}, {frame.maximum}], not {self.zero_point}"
            )
        if self.requantize.multiplier_bits:
            raise ValueError("requantize must have the multiplier 1: the table carries the scale")

    @classmethod
    def for_layer(cls, layer, frame, tensor, output):
        """The unit of a `hwsim.network.integer.LRN` between two `IntegerTensor`."""
        return cls(
            frame=frame,
            size=layer.size,
            within=layer.within,
            precision=layer.precision,
            zero_point=tensor.zero_point,
            factor_bits=max(int(layer.table.max()).bit_length(), MULTIPLIER_BITS),
            requantize=RequantizeConfig.of(
                layer.requantize,
                accumulator_bits=signed_bits(*layer.accumulator_bounds(tensor)),
                bits=output.bits,
                signed=output.signed,
            ),
        )

    def check(self, table):
        """Refuse (ValueError) a table of another length, or one whose products overflow."""
        if table.shape != (self.entries,):
            raise ValueError(f"table must have the shape ({self.entries},), not {table.shape}")
        highest = (1 << self.factor_bits) - 1
        if table.min() < 0 or table.max() > highest:
            raise ValueError(
                f"table must hold factors in [0, {highest}], not [{table.min()}, {table.max()}]"
            )
        ends = [
            (code - self.zero_point) * int(table.max())
            for code in (self.frame.minimum, self.frame.maximum)
        ]
        check_accumulator(self.requantize, *ends)

    @property
    def reach(self):
        """Neighbours before and after, as ONNX has it."""
        return (self.size - 1) // 2, self.size // 2

    @cached_property
    def window(self):
        """What is near, in one cycle; outside the map it is the zero point, whose square is 0."""
        frame = self.frame
        if self.within:
            top, bottom = (min(reach, frame.height - 1) for reach in self.reach)
            left, right = (min(reach, frame.width - 1) for reach in self.reach)
        else:
            pixels, groups, lanes = frame.height * frame.width, frame.groups, frame.lanes
            frame = replace(frame, height=pixels, width=groups, channels=lanes)
            top = bottom = 0
            left, right = (min(-(-reach // lanes), groups - 1) for reach in self.reach)
        return WindowConfig(
            frame=frame,
            kernel=(top + 1 + bottom, left + 1 + right),
            pads=(top, left, bottom, right),
            pad_value=self.zero_point,
        )

    @property
    def centre(self):
        """Tap of the window that holds the beat itself."""
        top, left, _, _ = self.window.pads
        return top * self.window.kernel[1] + left

    def neighbours(self, lane):
        """(tap, lane) of each code of the window that counts for a lane."""
        if self.within:
            return [(tap, lane) for tap in range(self.window.taps)]
        lanes, (before, after) = self.frame.lanes, self.reach
        at = self.centre * lanes + lane
        end = self.window.taps * lanes
        return [
            divmod(place, lanes) for place in range(max(at - before, 0), min(at + after + 1, end))
        ]

    @cached_property
    def largest(self):
        """The largest sum of squares."""
        frame = self.frame
        tensor = IntegerTensor("", frame.shape, 1.0, self.zero_point, frame.bits, frame.signed)
        return largest_square_sum(tensor, self.size, self.within)

    @property
    def entries(self):
        """Entries of the table."""
        return int(log_index(self.largest, self.precision)) + 1

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """The same map, normalized."""
        return replace(self.frame, bits=self.requantize.bits, signed=self.requantize.signed)

    @cached_property
    def tree_latency(self):
        """Cycles of the sum of the lane with the most neighbours."""
        most = max(len(self.neighbours(lane)) for lane in range(self.frame.lanes))
        return tree_latency(most, self.TREE_LEVELS)

    @property
    def product_latency(self):
        """Cycles of the product: one where a multiplier takes the factor."""
        if self.factor_bits <= MULTIPLIER_BITS:
            return 1
        return product_latency(self.frame.bits + 1, self.factor_bits)

    @property
    def latency(self):
        """Squares, their sum, the factor, the product and the requantization."""
        arithmetic = self.SQUARE_LATENCY + self.LOOKUP_LATENCY + self.product_latency
        return arithmetic + self.tree_latency + self.requantize.latency

    @property
    def interval(self):
        """Cycles per frame in steady state: its beats, the steps of the window."""
        return self.window.interval

    def actors(self, name):
        """The window, and the normalization of a beat in a cycle."""
        every = np.ones(self.output.beats, bool)
        return (
            *self.window.actors(f"{name}_window"),
            Actor(name, every.astype(np.int64), {"i": every}, every),
        )
