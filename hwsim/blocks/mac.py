"""Folded multiply-accumulate: foldings, cycle counts, and where each weight lies."""

from dataclasses import dataclass

import numpy as np

from .checks import check_divides, check_positive
from .requantize import RequantizeConfig
from .stream import Frame
from .timing import Actor
from .tree import tree_latency
from .unit import UnitConfig
from .widths import signed_bits
from .words import pack

__all__ = ["MacConfig"]


@dataclass(frozen=True, kw_only=True)
class MacConfig(UnitConfig):
    """Dot products of a stream of vectors with constant weights, folded in time.

    A vector is what one output position needs: ``taps`` pixels of all input channels. It arrives in
    one or more beats of ``taps`` x lanes codes. For each beat, ``pe`` output channels at a time,
    ``simd`` products of each are added per cycle; partial sums wait for the vector's next beat in
    an accumulator for each output channel, so that no beat is needed twice.

    Beats of fewer channels than a convolution group has add up over several beats; beats of several
    whole groups yield the output channels of all of them.

    Parameters
    ----------
    frame : Frame
        The vectors: one pixel for each output position, ``taps`` x input channels.
    out_channels : int
    simd : int
        Products per output channel in a cycle; divides the part of a dot product that a beat holds.
    pe : int
        Output channels at a time, and lanes of the output; divides the output channels that a beat
        contributes to.
    taps : int
        Pixels in a vector.
    groups : int
        Groups of the convolution.
    weight_bits : int
        Width of a weight, two's complement.
    accumulator_bits : int, optional
        Width of an accumulator. By default (0) that of ``requantize``, or else enough for all
        codes and weights and a bias as large as the sum of products.
    requantize : RequantizeConfig, optional
        Without it the accumulators are the output codes.
    loadable : bool
        Whether weights, biases and multipliers can be overwritten.
    fixed : bool
        Whether the weights are constants of the logic instead of a memory, so that synthesis makes
        shifts and sums of products, or nothing; where a vector takes a single cycle.
    late : int
        Cycles that the codes of a vector follow its handshake.

    Members
    -------
    blocks : int
        Parts of a vector with output channels of their own.
    beats : int
        Beats in a block.
    outputs : int
        Groups of ``pe`` output channels in a block.
    slices : int
        Cycles per beat and group of output channels.
    hold : int
        Cycles that a beat is held.
    """

    TREE_LEVELS = 1  # of the adder tree, between registers

    frame: Frame
    out_channels: int
    simd: int
    pe: int
    taps: int = 1
    groups: int = 1
    weight_bits: int = 8
    accumulator_bits: int = 0
    requantize: RequantizeConfig | None = None
    loadable: bool = False
    fixed: bool = False
    late: int = 0

    def __post_init__(self):
        for name in ("out_channels", "simd", "pe", "taps", "groups", "weight_bits"):
            check_positive(name, getattr(self, name))
        check_divides("taps", self.taps, "the lanes of the vectors", self.frame.lanes)
        check_divides("groups", self.groups, "the input channels", self.channels)
        check_divides("groups", self.groups, "out_channels", self.out_channels)
        if self.channels_per_group % self.lanes and self.lanes % self.channels_per_group:
            raise ValueError(
                f"lanes must be a divisor or a multiple of the channels per group "
                f"({self.channels_per_group}), not {self.lanes}"
            )
        check_divides("simd", self.simd, "the products per beat and output channel", self.dot)
        check_divides(
            "pe", self.pe, "the output channels per beat", self.out_channels // self.blocks
        )
        if self.fixed and (self.loadable or self.blocks * self.beats * self.hold > 1):
            raise ValueError(
                "fixed must be False for weights that are loaded or that change from cycle to cycle"
            )
        if self.accumulator_bits == 0:
            wide = (
                self.worst_case_bits
                if self.requantize is None
                else self.requantize.accumulator_bits
            )
            object.__setattr__(self, "accumulator_bits", wide)
        check_positive("accumulator_bits", self.accumulator_bits)
        if (
            self.requantize is not None
            and self.requantize.accumulator_bits != self.accumulator_bits
        ):
            raise ValueError(
                f"requantize must take {self.accumulator_bits} accumulator bits, not "
                f"{self.requantize.accumulator_bits}"
            )

    @property
    def lanes(self):
        """Input channels in a beat."""
        return self.frame.lanes // self.taps

    @property
    def channels(self):
        """Input channels."""
        return self.frame.channels // self.taps

    @property
    def channels_per_group(self):
        """Input channels that an output channel depends on."""
        return self.channels // self.groups

    @property
    def dot_channels(self):
        """Input channels of one output channel in a beat."""
        return min(self.lanes, self.channels_per_group)

    @property
    def dot(self):
        """Products of one output channel in a beat."""
        return self.taps * self.dot_channels

    @property
    def groups_per_beat(self):
        """Whole groups of the convolution in a beat, at least one."""
        return self.lanes // self.dot_channels

    @property
    def blocks(self):
        """Parts of a vector with output channels of their own."""
        return self.groups // self.groups_per_beat

    @property
    def beats(self):
        """Beats in a block."""
        return self.channels_per_group // self.dot_channels

    @property
    def outputs(self):
        """Groups of ``pe`` output channels in a block."""
        return self.out_channels // self.blocks // self.pe

    @property
    def slices(self):
        """Cycles per beat and group of output channels."""
        return self.dot // self.simd

    @property
    def hold(self):
        """Cycles that a beat is held."""
        return self.outputs * self.slices

    @property
    def entries(self):
        """Groups of ``pe`` partial sums that wait at a time.

        One if each output is finished before the next.
        """
        return self.outputs if self.beats > 1 else 1

    @property
    def positions(self):
        """Vectors per frame."""
        return self.frame.height * self.frame.width

    @property
    def worst_case_bits(self):
        """Bits of the largest sum of products and of a bias as large."""
        code = max(self.frame.maximum, -self.frame.minimum)
        most = (self.taps * self.channels_per_group * code) << self.weight_bits  # twice the sum
        return signed_bits(-most, most)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """One pixel for each vector."""
        codes = (
            (self.accumulator_bits, True)
            if self.requantize is None
            else (self.requantize.bits, self.requantize.signed)
        )
        return Frame(self.frame.height, self.frame.width, self.out_channels, self.pe, *codes)

    @property
    def tree_latency(self):
        """Cycles of the adder tree."""
        return tree_latency(self.simd, self.TREE_LEVELS)

    @property
    def product_latency(self):
        """Cycles from the issue to products.

        Operands, chosen in two cycles beside the weights that leave their memory, those of each
        multiplier, products; with fixed weights operands and products alone.
        """
        return self.late + (2 if self.fixed else 4)

    @property
    def latency(self):
        """Products, adder tree, accumulators, and requantization."""
        scaling = 0 if self.requantize is None else self.requantize.latency
        return self.product_latency + self.tree_latency + 1 + scaling

    @property
    def macs(self):
        """One for each weight and vector."""
        return self.positions * self.out_channels * self.channels_per_group * self.taps

    @property
    def multipliers(self):
        """``simd * pe``."""
        return self.simd * self.pe

    @property
    def put_interval(self):
        """Outputs follow each other at least ``slices`` cycles apart."""
        return self.slices

    @property
    def interval(self):
        """Cycles per frame in the steady state: each beat is held for ``hold`` cycles."""
        return self.frame.beats * self.hold

    def actors(self, name):
        """One actor: an action for each beat but a block's last; one for each output of that."""
        last = self.outputs
        duration = np.array([self.hold] * (self.beats - 1) + [self.slices] * last, np.int64)
        takes = np.array([True] * (self.beats - 1) + [False] * (last - 1) + [True])
        puts = np.array([False] * (self.beats - 1) + [True] * last)
        count = self.positions * self.blocks
        reads = np.ones(count * len(puts), bool)
        return (
            Actor(
                name,
                np.tile(duration, count),
                {"i": np.tile(takes, count)},
                np.tile(puts, count),
                {"i": reads},
            ),
        )

    @property
    def weight_word_bits(self):
        """Width of the weights of a cycle."""
        return self.multipliers * self.weight_bits

    def weight_words(self, weights):
        """The weights of each cycle of a vector, as integers.

        Output channel outermost within a word.

        Parameters
        ----------
        weights : ndarray of int, (out_channels, channels_per_group, ...)
            ``taps`` weights along the last axes.
        """
        weights = self.in_word_order(weights)
        limit = 1 << (self.weight_bits - 1)
        if weights.min() < -limit or weights.max() >= limit:
            raise ValueError(
                f"weights must lie in [{-limit}, {limit - 1}], "
                f"not [{weights.min()}, {weights.max()}]"
            )
        return pack(weights, self.weight_bits)

    def in_word_order(self, weights):
        """As `weight_words`, the weights of each word side by side: (words, multipliers)."""
        weights = np.asarray(weights, np.int64)
        size = (self.out_channels, self.channels_per_group)
        if weights.shape[:2] != size or weights.size != size[0] * size[1] * self.taps:
            raise ValueError(
                f"weights must have the shape {size} with {self.taps} taps, not {weights.shape}"
            )
        parts = weights.reshape(
            self.blocks, self.outputs, self.pe, self.beats, self.dot_channels, self.taps
        )
        # To (blocks, beats, outputs, pe, dot product), which is then cut into slices.
        dots = parts.transpose(0, 3, 1, 2, 5, 4).reshape(-1, self.pe, self.slices, self.simd)
        return dots.transpose(0, 2, 1, 3).reshape(-1, self.multipliers)

    def bias_words(self, bias):
        """The biases of each group of ``pe`` output channels, as integers.

        bias: int, (out_channels,).
        """
        bias = np.asarray(bias, np.int64)
        if bias.shape != (self.out_channels,):
            raise ValueError(f"bias must have the shape ({self.out_channels},), not {bias.shape}")
        wide = signed_bits(bias.min(), bias.max())
        if wide > self.accumulator_bits:
            raise ValueError(f"bias must fit {self.accumulator_bits} bits, not {wide}")
        return pack(bias.reshape(-1, self.pe), self.accumulator_bits)

    def factor_words(self, requantize):
        """The multipliers of each group of ``pe`` output channels, as integers."""
        if self.requantize is None:
            if requantize is not None:
                raise ValueError("requantize must be None as configured")
            return [0] * (self.out_channels // self.pe)
        factors = np.broadcast_to(self.requantize.factors(requantize), self.out_channels)
        return pack(factors.reshape(-1, self.pe), self.requantize.factor_bits)

    def load_words(self, weights, bias, requantize):
        """Beats of the port ``w`` of a loadable unit: weights, then biases beside multipliers."""
        shift = self.pe * self.accumulator_bits
        channels = zip(self.bias_words(bias), self.factor_words(requantize), strict=True)
        return self.weight_words(weights) + [low | high << shift for low, high in channels]

    @property
    def load_bits(self):
        """Width of a beat of the port ``w``."""
        factor_bits = 0 if self.requantize is None else self.requantize.factor_bits
        return max(self.weight_word_bits, self.pe * (self.accumulator_bits + factor_bits))

    def check_accumulator(self, weights, bias):
        """Refuse (ValueError) weights and biases whose results may not fit the accumulator."""
        weights = np.asarray(weights, np.int64).reshape(self.out_channels, -1)
        ends = np.stack([weights * self.frame.minimum, weights * self.frame.maximum])
        low = (ends.min(axis=0).sum(axis=1) + bias).min()
        high = (ends.max(axis=0).sum(axis=1) + bias).max()
        if (bits := signed_bits(low, high)) > self.accumulator_bits:
            raise ValueError(
                f"accumulator_bits must be at least {bits} for these weights, "
                f"not {self.accumulator_bits}"
            )
