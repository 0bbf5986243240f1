"""Real values on their way to codes, for `hwsim.network.lower`.

A `Real` knows how its numbers follow from codes, and becomes codes itself once the scale and zero
point of a QuantizeLinear (or of a QOperator's output) are known. In between it may be bounded
(Relu, Clip), pooled, padded, joined or reshaped; all of these commute with quantization, which is
monotonic, so that no rounding is added or lost.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, product, repeat
from typing import Any

import numpy as np

from .fixed_point import MULTIPLIER_BITS, Requantize, common_multipliers
from .integer import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    IntegerTensor,
    Mul,
    Pad,
    Pool,
    Shuffle,
    Table,
    largest_square_sum,
    log_index,
)
from .network import Layer, NetworkError
from .operators import refuse

__all__ = [
    "Average",
    "Codes",
    "Concatenated",
    "Constant",
    "Dequantized",
    "ElementProduct",
    "FloatInput",
    "Format",
    "Function",
    "Host",
    "Maximum",
    "Normalized",
    "Padded",
    "Product",
    "Real",
    "Shuffled",
    "Sum",
]

INT32 = np.iinfo(np.int32)
# Table entries of an LRN per octave of the sum of squares are 2**precision to twice as many. What a
# table may add to the error, in output steps: more with the largest precision that the systolic
# accelerator has.
LRN_ERROR = 0.5
LRN_ERRORS = {7: 1.0}
LRN_PRECISIONS = range(4, 11)


@dataclass(frozen=True)
class Format:
    """How codes stand for numbers."""

    scale: float
    zero_point: int
    bits: int
    signed: bool

    @classmethod
    def of(cls, tensor):
        """Return the format of an `IntegerTensor`."""
        return cls(tensor.scale, tensor.zero_point, tensor.bits, tensor.signed)

    def tensor(self, name, shape):
        """Make an `IntegerTensor` in this format."""
        return IntegerTensor(name, shape, self.scale, self.zero_point, self.bits, self.signed)


@dataclass(frozen=True, eq=False)
class Codes:
    """An integer tensor in the model's shape, with the batch axis and perhaps flattened."""

    tensor: IntegerTensor
    shape: tuple[int, ...]

    @property
    def format(self):
        """How the codes stand for numbers."""
        return Format.of(self.tensor)


@dataclass(frozen=True, eq=False)
class Constant:
    """A dequantized constant: ``steps * scale``.

    steps: int, codes minus zero point. scale: (1,), or (n,) for the n indices on ``axis``.
    """

    steps: np.ndarray
    scale: np.ndarray
    axis: int | None

    @property
    def real(self):
        """The numbers, float64."""
        shape = [1] * self.steps.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        return self.steps * self.scale.reshape(shape)


@dataclass(frozen=True, eq=False)
class Real:
    """A real value that is not quantized yet.

    layer: which makes it. shape: the model's. maps: (C, H, W). low, high: bounds from Relu and
    Clip.
    """

    layer: Layer
    shape: tuple[int, ...]
    maps: tuple[int, int, int]
    low: float = field(default=-math.inf, kw_only=True)
    high: float = field(default=math.inf, kw_only=True)

    def clip(self, low, high):
        """Return the value bounded; as in ONNX Clip the upper bound wins."""
        return replace(self, low=min(max(self.low, low), high), high=min(max(self.high, low), high))

    def exact(self):
        """Return the format in which the value is a set of codes without rounding, or None."""
        return None

    def emit(self, lowering, output):
        """Add the integer layers that make the codes of ``output``; return the tensor they made.

        That is ``output``, or one that was there and has the same codes.
        """
        raise NotImplementedError

    def bounds(self, output):
        """Return the smallest and the largest code of ``output``, saturation included."""
        low, high = output.quantize(np.array([self.low, self.high]))
        return int(low), int(high)

    def requantize(self, scales, output):
        """Return the `Requantize` into ``output`` for an accumulator that counts ``scales``."""
        low, high = self.bounds(output)
        factors = np.asarray(scales) / output.scale
        try:
            return Requantize.from_scales(
                factors, zero_point=output.zero_point, minimum=low, maximum=high
            )
        except ValueError as error:
            raise NetworkError(f"{self.layer.op} '{self.layer.name}': {error}") from None


class FloatInput(Real):
    """The network's float input."""

    def clip(self, low, high):
        """Refuse a bound: the input of the integer network is quantized as it is."""
        what = "a bound of the network's input in float"
        refuse(self.layer.op, self.layer.name, what, "QuantizeLinear before it")

    def emit(self, lowering, output):
        """Make ``output`` the input of the integer network."""
        return lowering.set_input(output)


class Host(Real):
    """What a float layer makes that can only stand at the end, or what follows it."""


@dataclass(frozen=True, eq=False)
class Dequantized(Real):
    """The numbers that codes stand for."""

    codes: Codes

    def clip(self, low, high):
        """Return the value bounded, which takes a table."""
        return self.function.clip(low, high)

    def exact(self):
        """Return the format of the codes."""
        return self.codes.format

    def emit(self, lowering, output):
        """Use the codes as they are, or change their scale by a table."""
        if self.exact() == Format.of(output):
            return self.codes.tensor
        return self.function.emit(lowering, output)

    @property
    def function(self):
        """The same as a function of the codes."""
        return Function(self.layer, self.shape, self.maps, self.codes, lambda real: real)


@dataclass(frozen=True, eq=False)
class Function(Real):
    """A function of one code, computed on float32 numbers."""

    codes: Codes
    function: Callable[[np.ndarray], np.ndarray]

    def emit(self, lowering, output):
        """Add a `Table`."""
        source = self.codes.tensor
        real = self.function(source.dequantize(np.arange(source.minimum, source.maximum + 1)))
        table = output.quantize(np.minimum(np.maximum(real, self.low), self.high))
        return lowering.add(Table, self.layer, (source,), output, table=table)


@dataclass(frozen=True, eq=False)
class Product(Real):
    """Convolution or matrix product.

    weights: int, (out, ...). scale: what a step of the accumulator stands for, (out,). bias: in
    such steps, (out,). geometry: fields of `Conv`; None for a matrix product.
    """

    codes: Codes
    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    geometry: dict[str, Any] | None

    def plus(self, addend):
        """Return the value with a constant added, (1,) or (out,); None behind a bound."""
        if (self.low, self.high) != (-math.inf, math.inf):
            return None
        return replace(self, bias=self.bias + addend / self.scale)

    def emit(self, lowering, output):
        """Add a `Conv` or `Dense`."""
        source, weights = self.codes.tensor, self.weights
        bits = max(2, _signed_bits(weights.min()), _signed_bits(weights.max()))
        # Saturated to 32 bits, as a bias is in ONNX; the correction for the zero point may add one.
        bias = np.clip(np.rint(self.bias), INT32.min, INT32.max).astype(np.int64)
        sums = weights.reshape(len(weights), -1).sum(axis=1, dtype=np.int64)
        fields = {
            "weights": weights.astype(np.int8 if bits <= 8 else np.int32),
            "bias": bias - source.zero_point * sums,
            "requantize": self.requantize(self.scale, output),
            "weight_bits": bits,
        }
        if self.geometry is None:
            return lowering.add(Dense, self.layer, (source,), output, **fields)
        return lowering.add(Conv, self.layer, (source,), output, **fields, **self.geometry)


def _signed_bits(number):
    """Width of a number in two's complement."""
    number = int(number)
    return (number if number >= 0 else ~number).bit_length() + 1


@dataclass(frozen=True, eq=False)
class Average(Real):
    """Average or sum pool. geometry: fields of `Pool`, its kind among them."""

    codes: Codes
    geometry: dict[str, Any]

    def emit(self, lowering, output):
        """Add a `Pool`."""
        source = self.codes.tensor
        window = Pool("", (), "", **self.geometry)
        every = window.window_counts(source, output.shape[1:])
        counts = np.unique(every) if window.kind == "average" else np.array([1])
        if counts[0] == 0:
            given = f"pads = {list(window.pads)} with a window wholly in the padding"
            refuse(self.layer.op, self.layer.name, given, "smaller pads")
        fields = {
            "counts": tuple(counts.tolist()),
            "requantize": self.requantize(source.scale / counts, output),
        }
        return lowering.add(Pool, self.layer, (source,), output, **fields, **self.geometry)


@dataclass(frozen=True, eq=False)
class Sum(Real):
    """Sum of two feature maps of one shape."""

    first: Codes
    second: Codes

    def emit(self, lowering, output):
        """Add an `Add`."""
        sources = (self.first.tensor, self.second.tensor)
        try:
            multipliers, shift = common_multipliers([s.scale / output.scale for s in sources])
        except ValueError as error:
            raise NetworkError(f"{self.layer.op} '{self.layer.name}': {error}") from None
        low, high = self.bounds(output)
        fields = {
            "multipliers": tuple(multipliers.tolist()),
            "requantize": Requantize(
                np.array([1]), np.array([shift]), output.zero_point, low, high
            ),
        }
        return lowering.add(Add, self.layer, sources, output, **fields)


@dataclass(frozen=True, eq=False)
class ElementProduct(Real):
    """Product of two feature maps; the second may have one number per channel."""

    first: Codes
    second: Codes

    def emit(self, lowering, output):
        """Add a `Mul`."""
        sources = (self.first.tensor, self.second.tensor)
        requantize = self.requantize([sources[0].scale * sources[1].scale], output)
        return lowering.add(Mul, self.layer, sources, output, requantize=requantize)


@dataclass(frozen=True, eq=False)
class Normalized(Real):
    """Local response normalization. attributes: those of the operator LRN."""

    codes: Codes
    attributes: Mapping[str, Any]

    def emit(self, lowering, output):
        """Add an `LRN` with the smallest table that adds little enough to the error.

        Where none of `LRN_PRECISIONS` does, only results that do not saturate count, and precision
        and width of the factors have no limit: at the latest a table with all sums will do.
        """
        source = self.codes.tensor
        low, high = self.bounds(output)
        tries = chain(product([False], LRN_PRECISIONS), zip(repeat(True), count(LRN_PRECISIONS[0])))
        for saturates, precision in tries:
            table, shift, error = self.table(source, output, precision, saturates)
            if error <= LRN_ERRORS.get(precision, LRN_ERROR):
                break
        fields = {
            "size": self.attributes["size"],
            "within": self.attributes["within"],
            "precision": precision,
            "table": table,
            "requantize": Requantize(
                np.array([1]), np.array([shift]), output.zero_point, low, high
            ),
        }
        return lowering.add(LRN, self.layer, (source,), output, **fields)

    def table(self, source, output, precision, saturates):
        """Return the integer factors, their shift, and by how many output steps they may be off.

        An entry is midway between the exact factors of the smallest and the largest sum of squares
        that share it. What a factor is off counts as often as the largest code that such a sum
        allows.

        A factor of ``highest`` stands for larger ones, by which any code but 0 exceeds it, too, and
        codes that exceed it with all factors of an entry do not count. It is what `MULTIPLIER_BITS`
        hold, or if ``saturates`` the range of the output codes. The factors then have as many bits
        as it takes for their last place to be off by at most a quarter of a step.
        """
        within = self.attributes["within"]
        largest = largest_square_sum(source, self.attributes["size"], within)
        index = np.arange(int(log_index(largest, precision)) + 1)
        dropped = np.maximum((index >> precision) - 1, 0)
        first = (index - (dropped << precision)) << dropped
        last = np.minimum(first + (1 << dropped) - 1, largest)
        highest = output.maximum - output.minimum if saturates else (1 << MULTIPLIER_BITS) - 1
        rescale = source.scale / output.scale
        ends = [np.minimum(self.factor(sums, source) * rescale, highest) for sums in (first, last)]
        middle = (ends[0] + ends[1]) / 2
        factors, shift = common_multipliers(middle)
        reach = max(abs(code - source.zero_point) for code in (source.minimum, source.maximum))
        if saturates:
            shift = max(shift, (2 * reach - 1).bit_length())
            factors = np.rint(np.ldexp(middle, shift)).astype(np.int64)
        off = np.max([np.abs(np.ldexp(factors, -shift) - end) for end in ends], axis=0)
        with np.errstate(divide="ignore"):
            codes = np.min([np.sqrt(last), highest / np.minimum(*ends)], axis=0)
        return factors, shift, float((off * np.minimum(codes, reach)).max())

    def factor(self, sums, source):
        """Return the exact factor, float64, for sums of squares of codes; it may be infinite."""
        alpha, beta, bias, size = (self.attributes[n] for n in ("alpha", "beta", "bias", "size"))
        members = size**2 if self.attributes["within"] else size
        with np.errstate(divide="ignore", over="ignore"):
            return (bias + alpha / members * source.scale**2 * sums) ** -beta


@dataclass(frozen=True, eq=False)
class Joined(Real):
    """What passes codes of ``operands`` through in their format: max pool, pad, concat, shuffle."""

    operands: tuple[Real, ...]

    def clip(self, low, high):
        """Return the value with its operands bounded."""
        return replace(self, operands=tuple(operand.clip(low, high) for operand in self.operands))

    def exact(self):
        """Return the format of the operands, if they have one."""
        formats = {operand.exact() for operand in self.operands}
        return formats.pop() if len(formats) == 1 else None

    def sources(self, lowering, output):
        """Return the tensors of the operands, in the format of ``output``."""
        return tuple(
            lowering.emit(
                operand, Format.of(output), lowering.unique(f"{output.name}_input_{index}")
            )
            for index, operand in enumerate(self.operands)
        )


@dataclass(frozen=True, eq=False)
class Maximum(Joined):
    """Max pool. geometry: fields of `Pool`."""

    geometry: dict[str, Any]

    def emit(self, lowering, output):
        """Add a `Pool`, and a `Table` behind it where the scale changes."""
        form = self.exact()
        if form not in (None, Format.of(output)):
            # Behind the pool there are fewer values to change than before it.
            pooled = lowering.emit(self, form, lowering.unique(f"{output.name}_input"))
            codes = Codes(pooled, self.shape)
            return Dequantized(self.layer, self.shape, self.maps, codes).emit(lowering, output)
        sources = self.sources(lowering, output)
        return lowering.add(Pool, self.layer, sources, output, kind="max", **self.geometry)


@dataclass(frozen=True, eq=False)
class Concatenated(Joined):
    """Concatenation of channels."""

    def emit(self, lowering, output):
        """Add a `Concat`."""
        return lowering.add(Concat, self.layer, self.sources(lowering, output), output)


@dataclass(frozen=True, eq=False)
class Shuffled(Joined):
    """Channels in another order. order: the channel of the operand for each of the result."""

    order: tuple[int, ...]

    def emit(self, lowering, output):
        """Add a `Shuffle`."""
        sources = self.sources(lowering, output)
        return lowering.add(Shuffle, self.layer, sources, output, order=self.order)


@dataclass(frozen=True, eq=False)
class Padded(Joined):
    """Padding with the edge or a number. pads: (top, left, bottom, right)."""

    pads: tuple[int, int, int, int]
    mode: str
    value: float

    def clip(self, low, high):
        """Return the value with its operand and the number bounded."""
        return replace(super().clip(low, high), value=min(max(self.value, low), high))

    def exact(self):
        """Return the format of the operand, if the number has a code in it."""
        form = super().exact()
        if form is None or self.mode == "edge":
            return form
        tensor = form.tensor("", self.maps)
        same = tensor.dequantize(tensor.quantize(self.value)) == np.float32(self.value)
        return form if same else None

    def emit(self, lowering, output):
        """Add a `Pad`."""
        fields = {
            "pads": self.pads,
            "mode": self.mode,
            "value": int(output.quantize(self.value)) if self.mode == "constant" else 0,
        }
        sources = self.sources(lowering, output)
        return lowering.add(Pad, self.layer, sources, output, **fields)
