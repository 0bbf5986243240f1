"""Real values on their way to codes, for `hwsim.network.lower`.

A `Real` knows how its numbers follow from codes, and becomes codes itself once the scale and zero point of a QuantizeLinear (or
of a QOperator's output) are known. In between it may be bounded (Relu, Clip), pooled, padded, joined or reshaped; all of these
commute with quantization, which is monotonic, so that no rounding is added or lost.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from .fixed_point import Requantize, common_multipliers
from .integer import Add, Concat, Conv, Dense, IntegerTensor, Mul, Pad, Pool, Table
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
    "Padded",
    "Product",
    "Real",
    "Sum",
]

INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Format:
    """How codes stand for numbers."""

    scale: float
    zero_point: int
    bits: int
    signed: bool

    def tensor(self, name, shape):
        return IntegerTensor(name, shape, self.scale, self.zero_point, self.bits, self.signed)


@dataclass(frozen=True, eq=False)
class Codes:
    """An integer tensor as the model sees it: with a shape that has the batch axis and may be flattened."""

    tensor: IntegerTensor
    shape: tuple[int, ...]

    @property
    def format(self):
        tensor = self.tensor
        return Format(tensor.scale, tensor.zero_point, tensor.bits, tensor.signed)


@dataclass(frozen=True, eq=False)
class Constant:
    """A dequantized constant: ``(codes - zero point) * scale``; ``axis`` of the scale, or None."""

    steps: np.ndarray
    scale: np.ndarray
    axis: int | None

    @property
    def real(self):
        shape = [1] * self.steps.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        return self.steps * self.scale.reshape(shape)


@dataclass(frozen=True, eq=False)
class Real:
    """A real value that is not yet quantized. ``shape``: the model's; ``maps``: (C, H, W) of the integer tensor."""

    layer: Layer
    shape: tuple[int, ...]
    maps: tuple[int, int, int]
    low: float = field(default=-math.inf, kw_only=True)
    high: float = field(default=math.inf, kw_only=True)

    def clip(self, low, high):
        """The value bounded. As ONNX Clip: the upper bound wins."""
        return replace(self, low=min(max(self.low, low), high), high=min(max(self.high, low), high))

    def bounds(self, output):
        """Smallest and largest code of the tensor ``output``."""
        low, high = output.quantize(np.array([self.low, self.high]))
        return int(low), int(high)

    def requantize(self, scales, output):
        low, high = self.bounds(output)
        try:
            return Requantize.from_scales(
                scales, zero_point=output.zero_point, minimum=low, maximum=high
            )
        except ValueError as error:
            raise NetworkError(f"{self.layer.op} '{self.layer.name}': {error}") from None

    def emit(self, lowering, output):
        """Add the integer layers that put codes into the tensor ``output``; return the tensor they are in."""
        raise NotImplementedError

    def exact(self):
        """The format in which the value is a set of codes without rounding, or None."""
        return None


class FloatInput(Real):
    """The network's float input."""

    def clip(self, low, high):
        refuse(
            self.layer.op,
            self.layer.name,
            "a float computation before the first QuantizeLinear",
            "QuantizeLinear",
        )

    def emit(self, lowering, output):
        return lowering.set_input(replace(output, shape=self.maps))


class Host(Real):
    """The output of a float layer that can only stand at the end (``layer``), or what follows it."""

    def clip(self, low, high):
        return self


@dataclass(frozen=True, eq=False)
class Dequantized(Real):
    """The numbers that codes stand for."""

    codes: Codes

    def clip(self, low, high):
        return Function(self.layer, self.shape, self.maps, self.codes, lambda real: real).clip(
            low, high
        )

    def emit(self, lowering, output):
        if self.exact() == lowering.format(output):
            return self.codes.tensor
        return Function(self.layer, self.shape, self.maps, self.codes, lambda real: real).emit(
            lowering, output
        )

    def exact(self):
        return self.codes.format


@dataclass(frozen=True, eq=False)
class Function(Real):
    """A function of one code, applied to float32 numbers."""

    codes: Codes
    function: Callable

    def emit(self, lowering, output):
        source = self.codes.tensor
        real = self.function(source.dequantize(np.arange(source.minimum, source.maximum + 1)))
        table = output.quantize(np.minimum(np.maximum(real, self.low), self.high))
        return lowering.add(Table, self.layer, (source,), output, table=table)


@dataclass(frozen=True, eq=False)
class Product(Real):
    """Convolution or matrix product. ``weights``: int, (out, ...); ``bias``: float or int, in units of ``scale``.

    ``scale``: what one step of the accumulator stands for, (out,). ``geometry``: strides, dilations, pads and groups of a
    convolution, None for a matrix product.
    """

    codes: Codes
    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    geometry: dict | None

    def emit(self, lowering, output):
        source = self.codes.tensor
        weights = self.weights.astype(np.int64)
        correction = source.zero_point * weights.reshape(len(weights), -1).sum(axis=1)
        bits = max(2, int(weights.max()).bit_length() + 1, int(~weights.min()).bit_length() + 1)
        constants = {
            "weights": weights.astype(np.int8 if bits <= 8 else np.int16),
            "bias": np.clip(np.rint(self.bias), INT32.min, INT32.max).astype(np.int64) - correction,
            "requantize": self.requantize(self.scale / output.scale, output),
            "weight_bits": bits,
        }
        if self.geometry is None:
            return lowering.add(Dense, self.layer, (source,), output, **constants)
        return lowering.add(Conv, self.layer, (source,), output, **constants, **self.geometry)

    def plus(self, addend):
        """With a constant added, one number per output channel; None where a bound comes in between."""
        if (self.low, self.high) != (-math.inf, math.inf):
            return None
        return replace(self, bias=self.bias + addend / self.scale)


@dataclass(frozen=True, eq=False)
class Average(Real):
    """Average pool with the window ``geometry``."""

    codes: Codes
    geometry: dict

    def emit(self, lowering, output):
        source = self.codes.tensor
        draft = Pool("", (), "", kind="average", **self.geometry)
        counts = tuple(
            int(count) for count in np.unique(draft.window_counts(source, output.shape[1:]))
        )
        if counts[0] == 0:
            pads = list(self.geometry["pads"])
            refuse(
                self.layer.op,
                self.layer.name,
                f"pads = {pads} with a window wholly in the padding",
                "smaller pads",
            )
        scales = source.scale / (output.scale * np.array(counts))
        constants = {"counts": counts, "requantize": self.requantize(scales, output)}
        return lowering.add(
            Pool, self.layer, (source,), output, kind="average", **self.geometry, **constants
        )


@dataclass(frozen=True, eq=False)
class Sum(Real):
    """Sum of two feature maps of one shape."""

    first: Codes
    second: Codes

    def emit(self, lowering, output):
        sources = (self.first.tensor, self.second.tensor)
        try:
            multipliers, shift = common_multipliers(
                [source.scale / output.scale for source in sources]
            )
        except ValueError as error:
            raise NetworkError(f"{self.layer.op} '{self.layer.name}': {error}") from None
        low, high = self.bounds(output)
        requantize = Requantize(np.array([1]), np.array([shift]), output.zero_point, low, high)
        pair = tuple(int(multiplier) for multiplier in multipliers)
        return lowering.add(
            Add, self.layer, sources, output, multipliers=pair, requantize=requantize
        )


@dataclass(frozen=True, eq=False)
class ElementProduct(Real):
    """Product of two feature maps; the second may have one number per channel."""

    first: Codes
    second: Codes

    def emit(self, lowering, output):
        sources = (self.first.tensor, self.second.tensor)
        scale = sources[0].scale * sources[1].scale / output.scale
        return lowering.add(
            Mul, self.layer, sources, output, requantize=self.requantize([scale], output)
        )


@dataclass(frozen=True, eq=False)
class Joined(Real):
    """What passes codes through: max pool, pad and concat. Its format is that of its ``operands``."""

    operands: tuple[Real, ...]

    def clip(self, low, high):
        return replace(self, operands=tuple(operand.clip(low, high) for operand in self.operands))

    def exact(self):
        formats = {operand.exact() for operand in self.operands}
        return formats.pop() if len(formats) == 1 else None

    def sources(self, lowering, output):
        """Tensors of the operands, in the format of ``output``."""
        form = lowering.format(output)
        return tuple(
            lowering.emit(operand, form, lowering.unique(f"{output.name}_input_{index}"))
            for index, operand in enumerate(self.operands)
        )


@dataclass(frozen=True, eq=False)
class Maximum(Joined):
    """Max pool with the window ``geometry``."""

    geometry: dict

    def emit(self, lowering, output):
        form = self.exact()
        if form not in (None, lowering.format(output)):
            # A change of scale behind the pool handles fewer values than one before it.
            pooled = lowering.emit(self, form, lowering.unique(f"{output.name}_input"))
            behind = Dequantized(self.layer, self.shape, self.maps, Codes(pooled, self.shape))
            return behind.emit(lowering, output)
        sources = self.sources(lowering, output)
        return lowering.add(Pool, self.layer, sources, output, kind="max", **self.geometry)


@dataclass(frozen=True, eq=False)
class Concatenated(Joined):
    """Concatenation of channels."""

    def emit(self, lowering, output):
        return lowering.add(Concat, self.layer, self.sources(lowering, output), output)


@dataclass(frozen=True, eq=False)
class Padded(Joined):
    """Padding with the edge or a number."""

    pads: tuple[int, int, int, int]
    mode: str
    value: float

    def clip(self, low, high):
        return replace(super().clip(low, high), value=min(max(self.value, low), high))

    def exact(self):
        form = super().exact()
        if form is None or self.mode == "edge":
            return form
        tensor = form.tensor("", self.maps)
        return (
            form
            if tensor.dequantize(tensor.quantize(self.value)) == np.float32(self.value)
            else None
        )

    def emit(self, lowering, output):
        value = int(output.quantize(self.value)) if self.mode == "constant" else 0
        sources = self.sources(lowering, output)
        return lowering.add(
            Pad, self.layer, sources, output, pads=self.pads, mode=self.mode, value=value
        )
