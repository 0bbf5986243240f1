"""A training accelerator: its sizes, its instructions, and the cycles that they take.

A program is words of 40 bits: the number of a register, the lowest 8 bits, and a value of 32 for
it. Registers keep their values. Writing the first, ``run``, starts an operation, of which the value
says the kind and the modes, see `MODES`; the next word is read when its last result is there.

An operation is a nest of loops, which gives a step per cycle. Each of its addresses, and the other
counters, begin with a base and change by a *jump* when a level of the nest advances: the level's
stride, less what the levels inside have added. Level 0 is the innermost.
"""

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .array import ArrayConfig
from .backward_loss import CrossEntropyGradientConfig, RmseGradientConfig
from .checks import check_integer, check_positive
from .stream import Frame

__all__ = [
    "ARGUMENT_POINT",
    "BITS",
    "COORDINATE_BITS",
    "FUNCTION_SHIFT",
    "INDEX_BITS",
    "LEVELS",
    "MODES",
    "MOST_FUNCTIONS",
    "NOISE_BITS",
    "OUTPUT_POINT",
    "PLAIN",
    "REGISTER_BITS",
    "SIZES",
    "TO_LEVELS",
    "VALUE_BITS",
    "VALUE_POINT",
    "Bank",
    "Command",
    "Curve",
    "Kind",
    "Tap",
    "TrainingConfig",
    "jumps",
    "loss_gradient",
    "noise_offset",
]

# Width of weights, feature maps, gradients: two's complement.
BITS = 16
# Bits of the random number of a lane; the largest shift, of which it decides every bit.
NOISE_BITS = 32
# Loops of the steps of an operation, and of its results.
LEVELS, TO_LEVELS = 7, 5
# Of the place in a map: signed.
COORDINATE_BITS = 12
# Of a function's table: bits of the index, the upper ones of an argument with a code of
# 2**-ARGUMENT_POINT; sigmoid and tanh have codes of 2**-VALUE_POINT.
INDEX_BITS, ARGUMENT_POINT, VALUE_POINT = 10, 12, 14
# Bits of what an argument differs from the middle of its entry, times two factors of a slope, that
# are behind those of a value.
FUNCTION_SHIFT = ARGUMENT_POINT + VALUE_POINT
# Members of a configuration that say how large a memory is.
SIZES = ("parameters", "maps", "deltas", "marks", "table", "program", "slots")
# Of a word of a program.
REGISTER_BITS, VALUE_BITS = 8, 32


class Bank(IntEnum):
    """Memories, by the upper bits of an address."""

    PARAMETERS = 0
    MAPS = 1
    DELTAS = 2
    FLAGS = 3
    PROGRAM = 4
    TAPS = 5
    FUNCTIONS = 6
    SLOPES = 7


class Command(IntEnum):
    """What the host may ask for."""

    WRITE = 0
    READ = 1
    START = 2


class Kind(IntEnum):
    """Of an operation."""

    HALT = 0
    PRODUCT = 1
    POOL = 2
    ROUTE = 3
    FUNCTION = 4
    SLOPE = 5
    LOSS = 6


class Tap(IntEnum):
    """What an entry of the table of taps stands for."""

    VALUE = 0
    ONE = 1
    ZERO = 2


# Modes of an operation and their bits, the lowest first.
MODES = {
    "kind": 3,
    "diagonal": 1,  # the rows get p and q times a unit matrix in turn, and nothing from memory
    "taps_a": 1,  # the table of taps counts for the rows' operand,
    "taps_w": 1,  # for that of the columns
    "turn_a": 1,  # tiles of an operand are transposed
    "turn_w": 1,
    "relu": 1,
    "stochastic": 1,
    "load": 1,  # random numbers begin anew
    "edges": 1,  # outside of the map there is nothing: zero in a sum, no value in a window
    "clip": 1,  # products become `bound` at most; a window's maximum counts if it is below
    "curve": 3,  # number of the table; 0 is sigmoid, 1 tanh, and the slope of others has a table
}
# The first table whose slope has one, too: then a gradient is multiplied by a word.
PLAIN = 2
MOST_FUNCTIONS = 1 << MODES["curve"]


def noise_offset(lane):
    """What sets the random numbers of a lane apart: an odd number of `NOISE_BITS` bits."""
    return (2 * lane + 1) * 0x9E3779B9 & ((1 << NOISE_BITS) - 1)


# The highest point of outputs, and that to which the cross-entropy lifts them.
OUTPUT_POINT = 14


def loss_gradient(loss, batch, classes):
    """Configuration of the unit that makes gradients of outputs, (batch, classes).

    Those of the cross-entropy are of the sum of the images' losses, with a point of 14; those of
    the root mean square error, of all outputs together, with the highest point that fits.
    """
    frame = Frame(batch, 1, classes, 1, BITS)
    if loss == "cross-entropy":
        frame = replace(frame, bits=BITS + OUTPUT_POINT)
        return CrossEntropyGradientConfig(frame=frame, point=OUTPUT_POINT)
    if loss != "rmse":
        raise ValueError(f"loss must be cross-entropy or rmse, not {loss!r}")
    # The largest is a root of 1 / (batch classes).
    point = ((batch * classes) << (2 * BITS - 2)) - 1
    return RmseGradientConfig(frame=frame, gradient_point=math.isqrt(point).bit_length() - 1)


class Curve(NamedTuple):
    """A function that there is a table for.

    Members
    -------
    name : str
        "Sigmoid"; "Tanh"; for LRN "Power", ``(bias (1 + x))**-beta``, and "Slope", its derivative;
        that is for x of 0 or more.
    bias, beta : float
    """

    name: str
    bias: float = 1.0
    beta: float = 1.0

    @property
    def point(self):
        """Of values: a code counts ``2**-point``."""
        if self.name in ("Sigmoid", "Tanh"):
            return VALUE_POINT
        # Of the power and two derivatives, with one bit to spare.
        largest = self.bias**-self.beta * max(1, self.beta * (1 + self.beta))
        return BITS - 2 - math.frexp(largest)[1]

    def tables(self):
        """Values, and slopes where they do not follow from these: for the middle of each entry.

        Two arrays of int64, in the order of memory.
        """
        step = BITS - INDEX_BITS
        index = np.arange(1 << INDEX_BITS)
        signed = index - (index >> (INDEX_BITS - 1) << INDEX_BITS)
        x = np.ldexp((signed << step) + (1 << (step - 1)), -ARGUMENT_POINT)
        if self.name == "Sigmoid":
            found = 1 / (1 + np.exp(-x)), 0 * x
        elif self.name == "Tanh":
            found = np.tanh(x), 0 * x
        else:
            base, beta = 1 + np.maximum(x, 0), self.beta
            powers = [self.bias**-beta * base ** (-beta - k) for k in range(3)]
            derivatives = powers[0], -beta * powers[1], beta * (beta + 1) * powers[2]
            found = derivatives[:2] if self.name == "Power" else derivatives[1:]
        return [np.rint(np.ldexp(part, self.point)).astype(np.int64) for part in found]


def jumps(strides, counts):
    """What is added when a level advances, from strides and counts of all levels."""
    found, inside = [], 0
    for stride, count in zip(strides, counts, strict=True):
        found.append(stride - inside)
        inside += (count - 1) * stride
    return found


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training accelerator with an array of ``lanes`` × ``lanes`` elements.

    Parameters
    ----------
    lanes : int
        Rows and columns of the output-stationary array, codes of a word of memory, images of a
        word of a feature map; 4 or more.
    accumulator_bits : int
        Width of a sum.
    taps : int
        The most values in a pool's window.
    parameters, maps, deltas : int
        Words of the memories for weights, velocities and their gradients; for feature maps; for
        the gradients of these.
    marks : int
        Words of the memory for the winners of pools.
    table : int
        Entries of the table of taps.
    program : int
        Words.
    slots : int
        Results of which it is remembered whether codes were bounded, or all small.
    functions : int
        Tables, those of sigmoid and tanh first; 0 where there is no hardware for functions, or 2
        to 8.
    loss : str
        "cross-entropy" or "rmse".
    batch, classes : int
        Images of a step, and outputs of each.

    Members
    -------
    array : ArrayConfig
    gradient : CrossEntropyGradientConfig or RmseGradientConfig
        Of the outputs.
    depth : int
        The most products that a sum holds, whatever they are.
    address_bits : int
    registers : dict of str to dict of str to int
    """

    lanes: int = 16
    accumulator_bits: int = 48
    taps: int = 16
    parameters: int = 1 << 14
    maps: int = 1 << 14
    deltas: int = 1 << 14
    marks: int = 1 << 12
    table: int = 1 << 11
    program: int = 1 << 12
    slots: int = 64
    functions: int = 0
    loss: str = "cross-entropy"
    batch: int = 16
    classes: int = 10

    round_latency = 4
    # Look-up, factors, two products of two cycles each, a sum; rounding.
    function_latency = 7 + round_latency
    # From a step to its operands.
    operand_latency = 4

    def __post_init__(self):
        check_integer("lanes", self.lanes, 4)
        for name in ("taps", "batch", "classes", *SIZES):
            check_positive(name, getattr(self, name))
        check_integer("functions", self.functions, 0)
        if self.functions == 1 or self.functions > MOST_FUNCTIONS:
            raise ValueError(f"functions must be 0, or 2 to {MOST_FUNCTIONS}, not {self.functions}")
        if self.accumulator_bits > 62:
            raise ValueError(f"accumulator_bits must be at most 62, not {self.accumulator_bits}")
        _ = self.array, self.gradient

    @cached_property
    def array(self):
        """The array's configuration."""
        return ArrayConfig(
            rows=self.lanes,
            cols=self.lanes,
            dataflow="output-stationary",
            activation_bits=BITS,
            weight_bits=BITS,
            accumulator_bits=self.accumulator_bits,
        )

    @cached_property
    def gradient(self):
        """The configuration of the unit for the loss."""
        return loss_gradient(self.loss, self.batch, self.classes)

    @property
    def depth(self):
        """The most products that a sum holds, whatever they are."""
        return ((1 << (self.accumulator_bits - 1)) - 1) >> (2 * BITS - 2)

    @property
    def winner_bits(self):
        """Bits of the number of a tap in a pool's window."""
        return max(1, (self.taps - 1).bit_length())

    @property
    def offset_bits(self):
        """Bits of an address below those of the bank."""
        sizes = ((getattr(self, name) - 1).bit_length() for name in SIZES)
        return max(4, INDEX_BITS + self.curve_bits if self.functions else 0, *sizes)

    @property
    def curve_bits(self):
        """Bits of the number of a table."""
        return max(1, (self.functions - 1).bit_length())

    @property
    def address_bits(self):
        """Bits of an address."""
        return self.offset_bits + 3

    def address(self, bank, offset=0):
        """Of a word."""
        return (bank << self.offset_bits) + offset

    @cached_property
    def tap_fields(self):
        """Bits of the fields of an entry of the table of taps, the lowest first.

        What is added to an address and to the place in the map, and a `Tap`.
        """
        return {
            "delta": self.address_bits,
            "y": COORDINATE_BITS,
            "x": COORDINATE_BITS,
            "tap": 2,
        }

    @cached_property
    def registers(self):
        """Registers of a program and their bits, by who needs them, in the order of their numbers.

        ``run``; those of the steps, of the arithmetic, and of the results.
        """
        address, offset = self.address_bits, self.offset_bits
        steps = {f"count_{level}": offset for level in range(LEVELS)}  # less one
        bases = {"a": address, "w": address, "k": offset}
        for name, bits in (bases | {"y": COORDINATE_BITS, "x": COORDINATE_BITS}).items():
            steps |= {name: bits} | {f"{name}_{level}": bits for level in range(LEVELS)}
        steps |= {
            "fold": (LEVELS - 1).bit_length(),  # levels of a sum, less one
            "height": COORDINATE_BITS,
            "width": COORDINATE_BITS,
        }
        numbers = {"one": BITS, "p": BITS, "q": BITS, "shift": 6, "seed": NOISE_BITS}
        numbers |= {"bound": BITS}
        results = {f"to_count_{level}": offset for level in range(TO_LEVELS)}
        results |= {"to": address} | {f"to_{level}": address for level in range(TO_LEVELS)}
        results |= {
            "limit": offset,  # rows that are written; 0 for all
            "kept": self.lanes.bit_length(),  # lanes that are; the others become 0
            "slot": max(1, (self.slots - 1).bit_length()),
        }
        run = {"run": sum(MODES.values())}
        return {"run": run, "steps": steps, "numbers": numbers, "results": results}

    @cached_property
    def _places(self):
        """Number and bits of each register."""
        every = [item for group in self.registers.values() for item in group.items()]
        return {name: (number, bits) for number, (name, bits) in enumerate(every)}

    def word(self, register, value):
        """Of a program."""
        number, bits = self._places[register]
        return number | (int(value) & ((1 << bits) - 1)) << REGISTER_BITS

    def operation_cycles(self, kind, steps):
        """From one word of the program that starts an operation to the word behind it."""
        cycles = steps + self.operand_latency + 2
        if kind is Kind.PRODUCT:
            # Through the transposers and the array; the rows of the last fold; rounding.
            cycles += self.lanes + self.array.latency + self.lanes - 1 + self.round_latency - 1
        elif kind in (Kind.FUNCTION, Kind.SLOPE):
            cycles += self.function_latency - 1
        elif kind is Kind.LOSS:
            # A register in front of the unit.
            cycles += self.gradient.drain
        return cycles
