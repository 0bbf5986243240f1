"""Systolic arrays: widths, latency, and the cycles of folds back to back."""

from collections.abc import Sequence
from dataclasses import dataclass

from .checks import check_integer, check_positive
from .widths import signed_bits

__all__ = ["DATAFLOWS", "ArrayConfig"]

DATAFLOWS = ("weight-stationary", "output-stationary")
MAXIMUM_SIZE = 256
MAXIMUM_BITS = 32
PACKED_BITS = 8  # of operands of which a DSP48, 25 × 18 bits, multiplies two pairs at once


@dataclass(frozen=True, kw_only=True)
class ArrayConfig:
    """An array of ``rows`` × ``cols`` multiply-accumulate operations per cycle.

    A fold is the work between two changes of what is stationary. Weight-stationary: one set of
    ``rows`` × ``cols`` weights and the vectors of activations that meet it, each of them with one
    result per column. Output-stationary: a tile of ``rows`` × ``cols`` results, each of them the
    sum over the steps of the fold.

    Parameters
    ----------
    rows, cols : int
        1 to 256.
    dataflow : str
        ``"weight-stationary"`` or ``"output-stationary"``.
    activation_bits, weight_bits : int
        1 to 32.
    activation_signed, weight_signed : bool
        Whether they are two's complement.
    depth : int
        The most steps of a fold of an output-stationary array; 0 where `accumulator_bits` says what
        suffices.
    accumulator_bits : int
        Width of a sum, two's complement; 0 for the narrowest that holds every sum of ``rows``
        products (weight-stationary) or of ``depth`` (output-stationary).
    operand_registers : int
        0 or 1: registers before a multiplier, of its own.
    product_registers : int
        0 to 2: registers between multiplier and adder, the first of the multiplier's own.
    packed : bool
        One multiplier of 25 × 18 bits, that of a DSP48, serves two neighbouring columns.

    Members
    -------
    columns_per_element : int
        2 if packed, else 1.
    element_cols : int
        Processing elements in a row.
    elements : int
        Processing elements, and multipliers.
    product_latency : int
        Cycles from operands to their product.
    latency : int
        Cycles from activations to results. Weight-stationary: vector to result. Output-stationary:
        last step of a fold to the first row of results, which is that of the array's last row; the
        others follow in the cycles after it.
    """

    rows: int
    cols: int
    dataflow: str = "weight-stationary"
    activation_bits: int = 8
    weight_bits: int = 8
    activation_signed: bool = True
    weight_signed: bool = True
    depth: int = 0
    accumulator_bits: int = 0
    operand_registers: int = 1
    product_registers: int = 2
    packed: bool = False

    def __post_init__(self):
        _check_range("rows", self.rows, 1, MAXIMUM_SIZE)
        _check_range("cols", self.cols, 1, MAXIMUM_SIZE)
        if self.dataflow not in DATAFLOWS:
            raise ValueError(f"dataflow must be {' or '.join(DATAFLOWS)}, not {self.dataflow!r}")
        _check_range("activation_bits", self.activation_bits, 1, MAXIMUM_BITS)
        _check_range("weight_bits", self.weight_bits, 1, MAXIMUM_BITS)
        for name in ("activation_signed", "weight_signed", "packed"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        check_integer("depth", self.depth, 0)
        check_integer("accumulator_bits", self.accumulator_bits, 0)
        _check_range("operand_registers", self.operand_registers, 0, 1)
        _check_range("product_registers", self.product_registers, 0, 2)
        if self.packed:
            self._check_packed()
        self._set_accumulator()

    def _check_packed(self):
        if self.cols % 2:
            raise ValueError(f"cols must be even in a packed array, not {self.cols}")
        for name in ("activation_bits", "weight_bits"):
            if getattr(self, name) > PACKED_BITS:
                raise ValueError(
                    f"{name} must be at most {PACKED_BITS} in a packed array, "
                    f"not {getattr(self, name)}"
                )

    def _set_accumulator(self):
        if not self.output_stationary:
            if self.depth:
                raise ValueError(
                    "depth must be 0 in a weight-stationary array, which sums over its rows, "
                    f"not {self.depth}"
                )
            terms, sums = self.rows, f"{self.rows} rows"
        elif self.depth:
            terms, sums = self.depth, f"{self.depth} steps"
        elif self.accumulator_bits:
            terms, sums = 1, "one step"
        else:
            raise ValueError("an output-stationary array needs depth or accumulator_bits")
        needed = signed_bits(*(terms * bound for bound in self.product_bounds))
        if not self.accumulator_bits:
            object.__setattr__(self, "accumulator_bits", needed)
        if self.accumulator_bits < needed:
            raise ValueError(
                f"accumulator_bits must be at least {needed} for {sums}, "
                f"not {self.accumulator_bits}"
            )

    @property
    def output_stationary(self):
        """Whether results stay in place, and not weights."""
        return self.dataflow == "output-stationary"

    @property
    def product_bounds(self):
        """Smallest and largest product."""
        ends = [
            activation * weight
            for activation in _bounds(self.activation_bits, self.activation_signed)
            for weight in _bounds(self.weight_bits, self.weight_signed)
        ]
        return min(ends), max(ends)

    @property
    def columns_per_element(self):
        """Columns that a processing element serves."""
        return 2 if self.packed else 1

    @property
    def element_cols(self):
        """Processing elements in a row."""
        return self.cols // self.columns_per_element

    @property
    def elements(self):
        """Processing elements."""
        return self.rows * self.element_cols

    @property
    def product_latency(self):
        """Cycles from operands to their product."""
        return self.operand_registers + self.product_registers

    @property
    def latency(self):
        """Cycles from activations to results."""
        return self.rows + self.element_cols - 1 + self.product_latency + self.output_stationary

    def fold_cycles(self, length):
        """Cycles from one fold to the next.

        Parameters
        ----------
        length : int
            Vectors of the fold (weight-stationary), or its steps (output-stationary).
        """
        check_positive("length", length)
        if self.depth and length > self.depth:
            raise ValueError(f"length must be at most {self.depth}, the depth, not {length}")
        return max(length, self.rows)

    def cycles(self, lengths: Sequence[int]):
        """Cycles of folds back to back, from the first operand to the last result inclusive.

        Parameters
        ----------
        lengths : sequence of int
            As of `fold_cycles`, for each fold.
        """
        if not len(lengths):
            return 0
        folds = [self.fold_cycles(length) for length in lengths]
        if self.output_stationary:
            # The first fold has no results before it to wait for; each leaves in `rows` cycles.
            return lengths[0] + sum(folds[1:]) + self.latency + self.rows - 1
        # The first weights, then all vectors; nothing waits for weights after the last ones.
        return self.rows + sum(folds[:-1]) + lengths[-1] + self.latency


def _check_range(name, value, lowest, highest):
    check_integer(name, value, lowest)
    if value > highest:
        raise ValueError(f"{name} must be at most {highest}, not {value}")


def _bounds(bits, signed):
    """Smallest and largest operand."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
