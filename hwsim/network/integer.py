"""The network as hardware runs it: fused integer layers with every constant folded.

`hwsim.network.lower` makes an `IntegerNetwork` from a quantized `Network`;
`hwsim.models.reference.integer` runs it in NumPy, `hwsim.blocks` plans hardware for it and
`hwsim.rtl` builds that. Shapes here have no batch axis: ``(C, H, W)``; a vector is ``(C, 1, 1)``.
Flatten, Reshape, Identity and Dropout have vanished; ReLU and Clip are bounds of the layer before
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .fixed_point import Requantize
from .network import Network

__all__ = [
    "LRN",
    "Add",
    "Concat",
    "Conv",
    "Dense",
    "IntegerLayer",
    "IntegerNetwork",
    "IntegerTensor",
    "Midrange",
    "Mul",
    "Pad",
    "Pool",
    "Shuffle",
    "Table",
    "largest_square_sum",
    "log_index",
]


@dataclass(frozen=True)
class IntegerTensor:
    """A quantized feature map: ``real = scale * (code - zero_point)``, codes of ``bits`` bits."""

    name: str
    shape: tuple[int, int, int]
    scale: float
    zero_point: int
    bits: int = 8
    signed: bool = True

    @property
    def minimum(self):
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self):
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def dtype(self):
        """NumPy dtype that stores the codes: the smallest that holds ``bits`` bits."""
        width = next(width for width in (8, 16, 32) if self.bits <= width)
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")

    def quantize(self, real):
        """Return the codes of real values of any shape, by the rule of ONNX QuantizeLinear.

        The quotient is float32, rounded to nearest with ties to even, then the zero point is added
        and the sum saturates.

        Raises
        ------
        ValueError
            If a value is not a number.
        """
        with np.errstate(over="ignore"):
            quotient = np.asarray(real, np.float32) / np.float32(self.scale)
        if np.isnan(quotient).any():
            raise ValueError(f"real values of {self.name} must be numbers, not NaN")
        # Saturating first is the same and keeps infinities out of the conversion to integers.
        steps = np.rint(
            np.clip(quotient, self.minimum - self.zero_point, self.maximum - self.zero_point)
        )
        return (steps.astype(np.int64) + self.zero_point).astype(self.dtype)

    def dequantize(self, codes):
        """Return the real values, float32, of codes of any shape, as ONNX DequantizeLinear."""
        steps = np.asarray(codes).astype(np.int64) - self.zero_point
        return steps.astype(np.float32) * np.float32(self.scale)


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """What all layers share: a unique name and the names of input and output tensors."""

    name: str
    inputs: tuple[str, ...]
    output: str


def _weighted_sum_bounds(weights, bias, tensor):
    """Return (minimum, maximum) of all partial sums of ``bias + sum(weights * codes)``."""
    weights = weights.reshape(len(weights), -1)
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    lowest, highest = min(tensor.minimum, 0), max(tensor.maximum, 0)
    low = positive * lowest + negative * highest + np.minimum(bias, 0)
    high = positive * highest + negative * lowest + np.maximum(bias, 0)
    return int(low.min()), int(high.max())


def _offset_bounds(tensor, factor):
    """Return (minimum, maximum) of ``(code - zero point) * factor``, zero included."""
    ends = [(code - tensor.zero_point) * factor for code in (tensor.minimum, tensor.maximum)]
    return min(0, *ends), max(0, *ends)


@dataclass(frozen=True, eq=False)
class Conv(IntegerLayer):
    """2-D convolution (cross-correlation, as in ONNX) of codes.

    The output is ``requantize(bias + sum(weights * codes))``. Outside the map a tap reads the
    input's zero point, or in ``mode`` "edge" the nearest pixel; ``bias`` holds the zero-point
    correction.

    weights: int, (out channels, in channels / groups, kernel height, kernel width). bias: int64,
    (out channels,). pads: (top, left, bottom, right).
    """

    weights: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int
    requantize: Requantize
    weight_bits: int = 8
    mode: str = "constant"

    def accumulator_bounds(self, tensor):
        """Return (minimum, maximum) of the accumulator, whatever the codes of the input ``tensor``.

        They hold for every output channel and every partial sum, bias and products being summed in
        any order, and zero lies between them.
        """
        return _weighted_sum_bounds(self.weights, self.bias, tensor)


@dataclass(frozen=True, eq=False)
class Dense(IntegerLayer):
    """Matrix-vector product over the flattened input.

    weights: int, (out, C * H * W), columns in C, H, W order. bias: int64, (out,), with the
    zero-point correction.
    """

    weights: np.ndarray
    bias: np.ndarray
    requantize: Requantize
    weight_bits: int = 8

    def accumulator_bounds(self, tensor):
        """Return (minimum, maximum) of the accumulator, whatever the codes of the input ``tensor``.

        They hold for every output channel and every partial sum, bias and products being summed in
        any order, and zero lies between them.
        """
        return _weighted_sum_bounds(self.weights, self.bias, tensor)


@dataclass(frozen=True, eq=False)
class Pool(IntegerLayer):
    """Pooling. ``kind``: "max", "average" or "sum". Global pooling has the kernel (H, W).

    pads: (top, left, bottom, right), as in the model. ceil_mode: as in ONNX; taps beyond the padded
    map are ignored. Max: a tap outside the map is ignored; ``requantize`` is None: input and output
    share scale and zero point. Average: ``requantize(sum(codes - zero_point of the input))`` with
    one multiplier per number of taps counted: ``requantize.multiplier[counts.index(n)]``; with
    count_include_pad taps in the padding count (not those beyond it). Sum: the same with the single
    count ``(1,)``, i.e. without division.
    """

    kind: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    ceil_mode: bool = False
    count_include_pad: bool = False
    counts: tuple[int, ...] = ()
    requantize: Requantize | None = None

    def accumulator_bounds(self, tensor):
        """Return (minimum, maximum) of any partial sum; for a max pool those of the codes."""
        if self.kind == "max":
            return tensor.minimum, tensor.maximum
        return _offset_bounds(tensor, self.kernel[0] * self.kernel[1])

    def window_counts(self, tensor, size):
        """Return the number of taps that an average pool counts in each window.

        tensor: the input. size: (height, width) of the output and of the returned ndarray of int.
        """
        counts = []
        for axis in (0, 1):
            length, begin, end = tensor.shape[1 + axis], self.pads[axis], self.pads[2 + axis]
            low, high = (
                (0, length + begin + end) if self.count_include_pad else (begin, begin + length)
            )
            starts = np.arange(size[axis]) * self.strides[axis]
            positions = starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            counts.append(((positions >= low) & (positions < high)).sum(axis=1))
        return counts[0][:, None] * counts[1]


@dataclass(frozen=True, eq=False)
class Add(IntegerLayer):
    """``requantize((a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1])``, shapes equal.

    ``requantize`` has multiplier 1: the two integer ``multipliers`` carry the scales under its
    shift.
    """

    multipliers: tuple[int, int]
    requantize: Requantize

    def accumulator_bounds(self, first, second):
        """Return (minimum, maximum) of the sum and of either term, whatever the inputs' codes."""
        terms = [
            _offset_bounds(t, m) for t, m in zip((first, second), self.multipliers, strict=True)
        ]
        return sum(low for low, _ in terms), sum(high for _, high in terms)


@dataclass(frozen=True, eq=False)
class Mul(IntegerLayer):
    """``requantize((a - zero_a) * (b - zero_b))``; the second shape is equal, or (C, 1, 1)."""

    requantize: Requantize

    def accumulator_bounds(self, first, second):
        """Return (minimum, maximum) of the product, whatever the inputs' codes; zero included."""
        ends = [
            bound
            for code in (first.minimum, first.maximum)
            for bound in _offset_bounds(second, code - first.zero_point)
        ]
        return min(ends), max(ends)


def log_index(sums, precision):
    """Return the index of sums in a table whose entries are wider for larger sums.

    Sums below ``2**(precision + 1)`` are their own index. Above, the bits below the leading
    ``precision + 1`` are dropped, so that ``2**precision`` entries lie between one power of two and
    the next. The index never decreases and leaves no entry out.

    sums: int of at least 0, below 2**53, or an array of such. Returns int64 of the same shape.
    """
    sums = np.asarray(sums, np.int64)
    # frexp gives the number of bits.
    dropped = np.maximum(np.frexp(sums.astype(np.float64))[1] - 1 - precision, 0).astype(np.int64)
    return (dropped << precision) + (sums >> dropped)


def largest_square_sum(tensor, size, within=False):
    """Return the largest sum of ``(code - zero_point)**2`` over a neighbourhood of an `LRN`."""
    reach = max(abs(code - tensor.zero_point) for code in (tensor.minimum, tensor.maximum))
    channels, height, width = tensor.shape
    members = min(size, height) * min(size, width) if within else min(size, channels)
    return members * reach**2


@dataclass(frozen=True, eq=False)
class LRN(IntegerLayer):
    """Local response normalization: each code is scaled by what is near it.

    ``requantize((x - zero_point) * table[log_index(s, precision)])``, where ``s`` is the sum of
    ``(x - zero_point)**2`` over the channels ``c - (size - 1) // 2`` to ``c + size // 2`` that
    exist; or ``within`` the channel over such rows and columns. ``requantize`` has multiplier 1:
    the ``table`` carries the scales under its shift.

    table: int64, for each index up to that of `largest_square_sum` a number that is not negative;
    between codes of 8 bits it has at most `hwsim.network.fixed_point.MULTIPLIER_BITS` bits.
    """

    size: int
    precision: int
    table: np.ndarray
    requantize: Requantize
    within: bool = False

    def accumulator_bounds(self, tensor):
        """Return (minimum, maximum) of the product, whatever the codes of the input ``tensor``."""
        return _offset_bounds(tensor, int(self.table.max()))


@dataclass(frozen=True, eq=False)
class Shuffle(IntegerLayer):
    """Channels in another order: channel ``i`` of the output is ``order[i]`` of the input.

    Input and output share scale and zero point.
    """

    order: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Concat(IntegerLayer):
    """Channels of the inputs one after another.

    All share scale and zero point: where they do not in the model, a `Table` comes before.
    """


@dataclass(frozen=True, eq=False)
class Midrange(IntegerLayer):
    """The middle between a pixel's smallest and largest channel, rounded down; one channel.

    Input and output share scale and zero point.
    """


@dataclass(frozen=True, eq=False)
class Table(IntegerLayer):
    """Any function of one code: ``table[code - minimum code]``.

    Sigmoid, tanh, a ReLU alone, a change of scale. table: (2**bits of the input,), output codes.
    """

    table: np.ndarray


@dataclass(frozen=True, eq=False)
class Pad(IntegerLayer):
    """Padding on its own.

    pads: (top, left, bottom, right). mode: "constant" or "edge". value: a code.
    """

    pads: tuple[int, int, int, int]
    mode: str = "constant"
    value: int = 0


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Integer layers in topological order with one input and one or more outputs.

    ``host`` is the network of the float layers after the last integer one (DequantizeLinear,
    Softmax), which stay with the host; None where there are none. Its inputs carry the names of
    ``outputs``; ``tail`` lists its layers. ``output_shapes`` maps the names of outputs to the
    shapes that the model gives them, batch axis included.
    """

    name: str
    input: IntegerTensor
    outputs: tuple[IntegerTensor, ...]
    layers: tuple[IntegerLayer, ...]
    tensors: dict[str, IntegerTensor]
    host: Network | None = None
    output_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def tail(self):
        """Float layers that stay with the host, a tuple of Layer."""
        return self.host.layers if self.host else ()
