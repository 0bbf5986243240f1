"""Hardware that trains: wide sums, rounding to codes, and pools that remember the winner."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .array import ArrayConfig
from .checks import check_integer, check_positive
from .queue import QueueConfig

__all__ = ["NOISE_BITS", "TrainingConfig", "noise_offset"]

# Bits of the random number of a lane; the largest shift, of which it decides every bit.
NOISE_BITS = 32


def noise_offset(lane):
    """What sets the random numbers of a lane apart: an odd number of `NOISE_BITS` bits."""
    return (2 * lane + 1) * 0x9E3779B9 & ((1 << NOISE_BITS) - 1)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training unit of ``rows`` × ``cols`` multiply-accumulate operations per cycle.

    Parameters
    ----------
    rows, cols : int
        Of the output-stationary array; ``cols`` is also the lanes of rounding and pools.
    bits : int
        Width of weights, activations, gradients: two's complement.
    accumulator_bits : int
        Width of a sum.
    taps : int
        The most values in a pool's window.

    Members
    -------
    array : ArrayConfig
    depth : int
        The most products that a sum holds, whatever they are.
    round_latency : int
        Cycles from sums to codes.
    queue : QueueConfig
        Of codes, so long that the array never waits for itself.
    """

    rows: int = 16
    cols: int = 16
    bits: int = 16
    accumulator_bits: int = 48
    taps: int = 16

    round_latency = 4

    def __post_init__(self):
        check_positive("taps", self.taps)
        check_integer("bits", self.bits, 2)
        if self.bits > NOISE_BITS:
            raise ValueError(f"bits must be at most {NOISE_BITS}, not {self.bits}")
        if self.accumulator_bits > 62:
            raise ValueError(f"accumulator_bits must be at most 62, not {self.accumulator_bits}")
        _ = self.array

    @cached_property
    def array(self):
        """The array's configuration."""
        return ArrayConfig(
            rows=self.rows,
            cols=self.cols,
            dataflow="output-stationary",
            activation_bits=self.bits,
            weight_bits=self.bits,
            accumulator_bits=self.accumulator_bits,
        )

    @property
    def depth(self):
        """The most products that a sum holds, whatever they are."""
        return ((1 << (self.accumulator_bits - 1)) - 1) >> (2 * self.bits - 2)

    @cached_property
    def queue(self):
        """Of codes: those of the folds that are on their way while another one ends."""
        return QueueConfig(self.array.latency + 4 * self.rows + self.round_latency + 4)

    def fold_steps(self, length):
        """Steps of a fold of ``length`` products, with zeros behind them if need be."""
        check_positive("length", length)
        if length > self.depth:
            raise ValueError(f"a sum must have at most {self.depth} products, not {length}")
        return max(length, self.rows)

    def product_folds(self, rows, depth, cols):
        """Products in each sum, for each fold of a (rows, depth) by (depth, cols) product."""
        return [depth] * (-(-rows // self.rows) * -(-cols // self.cols))

    def combine_folds(self, count):
        """The same for ``p x + q y`` of ``count`` pairs: each fold has a tile of each."""
        return [2 * self.rows] * -(-count // (self.rows * self.cols))

    def cycles(self, lengths: Sequence[int]):
        """Cycles of folds back to back: from the beat that loads the noise to the last codes."""
        steps = [self.fold_steps(length) for length in lengths]
        queue = self.queue.latency
        return 1 + self.array.cycles(steps) + self.round_latency + queue

    def pool_cycles(self, windows, taps):
        """Cycles of a pool over ``windows`` of ``taps`` values, from the first to the last."""
        return windows * taps + 1

    def route_cycles(self, windows, taps):
        """Cycles of its gradient, from the first window to the last value."""
        return windows * taps + 1
