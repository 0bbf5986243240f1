"""Image filters: pictures of 8-bit codes in and out, as integer networks.

A filter has up to three steps, in this order: colour to grey, a kernel, a reduction of blocks. Each
becomes an integer layer, so that the reference runs it and hardware is built from it like from any
other network.

A kernel's real coefficients become integers under a power of two, the scale of the mapping folded
in::

    weights = coefficients * scale * 2**fraction_bits, to integers
    output  = clip(floor(sum(weights * pixels) / 2**fraction_bits) + offset, 0, 255)

Each weight is rounded to nearest; but where the sum of the exact values is an integer, as for
kernels that keep the brightness (1) or find edges (0), it is preserved: all are rounded down, and
those with the largest remainders go up, among equals those next to the centre.

Sums and averages of blocks are mapped in the same way, by a multiplier that is rounded up::

    output = clip(floor(sum(pixels) * multiplier / 2**shift) + offset, 0, 255)
"""

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property, partial

import numpy as np

from .fixed_point import MAXIMUM_SHIFT, MULTIPLIER_BITS, Requantize
from .integer import Conv, IntegerNetwork, IntegerTensor, Midrange, Pool
from .kernels import KERNELS
from .windows import arithmetic, left_out, output_size

__all__ = [
    "BLOCKS",
    "BORDERS",
    "GREYS",
    "MAPPINGS",
    "FixedKernel",
    "ImageFilter",
    "fix_kernel",
    "parse_kernel",
]

BORDERS = ("valid", "zero", "edge", "full")
# Weights of red, green and blue; None for the middle between the largest and the smallest.
GREYS = {"average": (1 / 3, 1 / 3, 1 / 3), "lightness": None, "luminosity": (0.21, 0.72, 0.07)}
BLOCKS = ("average", "max", "sum")
MAPPINGS = ("clamp", "signed")

WEIGHT_BITS = 16
FRACTION_BITS = 12  # unless fewer are exact, or do not fit, or more are needed
LARGEST_KERNEL = 31
# 31 x 31 weights, each off by less than 1, are then off by less than a step: 961 * 255 < 2**18.
LARGEST_FRACTION_BITS = 18
# Averages up to this size are exact with multipliers of `MULTIPLIER_BITS`.
LARGEST_BLOCK = 16
LARGEST_CODE = 255


@dataclass(frozen=True, eq=False)
class FixedKernel:
    """A kernel in fixed point.

    Members
    -------
    weights : ndarray of int64, (height, width)
    fraction_bits : int
    weight_bits : int
        Two's complement, as wide as the weights need.
    error_bound : float
        Most by which ``sum(weights * pixels) / 2**fraction_bits`` can differ from the real sum, in
        steps of the output, for any 8-bit pixels: 255 times the sum of the weights' errors. Below 1
        the output differs by at most one step from the real sum rounded down.
    """

    weights: np.ndarray
    fraction_bits: int
    weight_bits: int
    error_bound: float


def fix_kernel(coefficients, fraction_bits=None):
    """The fixed point form of coefficients, (height, width); see the module's text.

    Parameters
    ----------
    fraction_bits : int, optional
        Unless given, as few as represent the coefficients exactly, at most 12; where those leave an
        ``error_bound`` of 1 or more, as few as do not, at most 18; and never more than let the
        weights fit 16 bits.

    Raises
    ------
    ValueError
        For coefficients that do not fit.
    """
    coefficients = np.asarray(coefficients, np.float64)
    limit = (1 << (WEIGHT_BITS - 1)) - 1
    largest = np.abs(coefficients).max()
    if fraction_bits is not None:
        if not _fits(largest, fraction_bits, limit):
            bound = limit / 2**fraction_bits
            raise ValueError(
                f"coefficients with {fraction_bits} fraction bits must lie in "
                f"[-{bound:g}, {bound:g}], not reach {largest:g}"
            )
        return _fixed(coefficients, fraction_bits)
    if largest > limit:
        raise ValueError(f"coefficients must lie in [-{limit}, {limit}], not reach {largest:g}")
    fitting = [f for f in range(LARGEST_FRACTION_BITS + 1) if _fits(largest, f, limit)]
    usual = [f for f in fitting if f <= FRACTION_BITS]
    for bits in usual:
        if (np.ldexp(coefficients, bits) % 1 == 0).all():
            return _fixed(coefficients, bits)
    for bits in fitting[len(usual) - 1 :]:
        fixed = _fixed(coefficients, bits)
        if fixed.error_bound < 1:
            break
    return fixed


def _fits(largest, fraction_bits, limit):
    return math.ceil(math.ldexp(largest, fraction_bits)) <= limit


def _fixed(coefficients, fraction_bits):
    """`FixedKernel` with so many fraction bits."""
    weights = _rounded(np.ldexp(coefficients, fraction_bits)).astype(np.int64)
    error = math.fsum(np.abs(np.ldexp(weights.astype(float), -fraction_bits) - coefficients).flat)
    return FixedKernel(weights, fraction_bits, _bits(weights), LARGEST_CODE * error)


def _bits(weights):
    """Width that weights need, two's complement."""
    low, high = min(int(weights.min()), 0), max(int(weights.max()), 0)
    return max(high.bit_length(), (-1 - low).bit_length()) + 1


def _rounded(values):
    """Integers near ``values``, (height, width), with the same sum where that is an integer."""
    total = math.fsum(values.flat)
    if abs(total - round(total)) > 1e-6:
        return np.rint(values)
    # What is an integer but for the error of float arithmetic counts as one.
    near = np.where(np.abs(values - np.rint(values)) < 1e-9, np.rint(values), values)
    floor = np.floor(near)
    missing = round(total) - int(floor.sum())
    rows, columns = (np.abs(np.arange(n) - (n - 1) / 2) for n in values.shape)
    distance = np.add.outer(rows**2, columns**2).ravel()
    remainder = np.round((near - floor).ravel(), 9)
    order = np.lexsort((distance, -remainder))
    floor.flat[order[:missing]] += 1
    return floor


@dataclass(frozen=True, kw_only=True)
class ImageFilter:
    """A filter: grey, then a kernel, then blocks; each step may be left out, but not all.

    Parameters
    ----------
    kernel : str, or tuple of tuple of float, optional
        A name in `KERNELS`, or rows of coefficients, of up to 31 x 31; even sizes too. Each channel
        is filtered on its own.
    border : str
        "valid": windows within the picture; "zero": an output as large as the picture (at stride
        1), black around it; "edge": the same, the nearest pixel around it; "full": all windows that
        touch the picture, black around it. For a kernel of even size "zero" and "edge" add one more
        row at the bottom, and column at the right.
    stride : int
        Of the kernel, along both axes.
    rotate : bool
        Rotate the kernel by 180 degrees: a convolution instead of a correlation.
    map : str
        How the sums of the kernel, or where there is none the sums or averages of blocks, become
        codes: "clamp" takes them as they are, "signed" makes 128 of 0, and scales by the power of
        two with which none leaves 0 to 255.
    scale : float, optional
    offset : int, optional
        Instead of those of ``map``.
    fraction_bits : int, optional
        Of the kernel, 0 to 18; see `fix_kernel`.
    grey : str, optional
        "average" of red, green and blue; "lightness", the middle between the largest and the
        smallest; "luminosity", 0.21, 0.72 and 0.07 of them. All rounded down.
    block : str, optional
        "average" (rounded down), "max" or "sum" (held at 255) of blocks of ``size`` x ``size``.
    size : int
        Of a block; 1 to 16.
    strict : bool
        Refuse pictures of which a stride, or blocks, leave rows or columns out.
    """

    kernel: str | tuple[tuple[float, ...], ...] | None = None
    border: str = "zero"
    stride: int = 1
    rotate: bool = False
    map: str = "clamp"
    scale: float | None = None
    offset: int | None = None
    fraction_bits: int | None = None
    grey: str | None = None
    block: str | None = None
    size: int = 2
    strict: bool = False

    def __post_init__(self):
        for name, accepted in (("border", BORDERS), ("map", MAPPINGS)):
            _check_choice(name, getattr(self, name), accepted)
        if self.grey is not None:
            _check_choice("grey", self.grey, tuple(GREYS))
        if self.block is not None:
            _check_choice("block", self.block, BLOCKS)
        _check_range("stride", self.stride, 1, 1 << 16)
        _check_range("size", self.size, 1, LARGEST_BLOCK)
        if self.fraction_bits is not None:
            _check_range("fraction_bits", self.fraction_bits, 0, LARGEST_FRACTION_BITS)
        if self.offset is not None:
            _check_range("offset", self.offset, -(1 << 15), (1 << 15) - 1)
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a positive number, not {self.scale}")
        if self.kernel is None and self.grey is None and self.block is None:
            raise ValueError("a filter needs a kernel, grey or block, and none is given")
        for step, members in _MEMBERS.items():
            for name in members:
                if getattr(self, step) is None and getattr(self, name) != _DEFAULTS[name]:
                    raise ValueError(f"{name} goes with a {step}, and none is given")
        if self.kernel is None and self.block in (None, "max"):
            for name in ("map", "scale", "offset"):
                if getattr(self, name) != _DEFAULTS[name]:
                    raise ValueError(
                        f"{name} goes with a kernel, or a block average or sum, and none is given"
                    )
        if self.kernel is not None:
            if not isinstance(self.kernel, str):
                object.__setattr__(self, "kernel", _check_rows(self.kernel))
            elif self.kernel not in KERNELS:
                names = ", ".join(KERNELS)
                raise ValueError(f"there is no kernel {self.kernel!r}; kernels are {names}")
            _ = self.fixed

    @property
    def name(self):
        """A few words for the filter, such as ``grey_sobel-x``."""
        kernel = self.kernel if isinstance(self.kernel, str) else self.kernel and "kernel"
        steps = (
            self.grey,
            kernel,
            self.block and f"{self.block}-of-{self.size}x{self.size}",
        )
        return "_".join(step for step in steps if step)

    @cached_property
    def coefficients(self):
        """Of the kernel as it is applied, float64, (height, width)."""
        given = (
            KERNELS[self.kernel].coefficients
            if isinstance(self.kernel, str)
            else np.array(self.kernel, np.float64)
        )
        return given[::-1, ::-1] if self.rotate else given

    @cached_property
    def applied_scale(self):
        """What sums are multiplied by."""
        if self.scale is not None:
            return float(self.scale)
        if self.map == "clamp":
            return 1.0
        least, most = self._extremes
        scale = 1.0
        while scale < 1 << 15 and _is_signed_code(most * scale * 2, least * scale * 2):
            scale *= 2
        while not _is_signed_code(most * scale, least * scale):
            scale /= 2
        return scale

    @property
    def _extremes(self):
        """The least and the largest sum, or average, before it is scaled."""
        if self.kernel is None:
            return 0, LARGEST_CODE * (self.size**2 if self.block == "sum" else 1)
        signs = (np.minimum(self.coefficients, 0), np.maximum(self.coefficients, 0))
        return tuple(LARGEST_CODE * math.fsum(part.flat) for part in signs)

    @property
    def applied_offset(self):
        """What is added to sums that were rounded down."""
        if self.offset is not None:
            return self.offset
        return 128 if self.map == "signed" else 0

    @cached_property
    def fixed(self):
        """`FixedKernel`, the scale folded in."""
        return fix_kernel(self.coefficients * self.applied_scale, self.fraction_bits)

    @property
    def pads(self):
        """(top, left, bottom, right) of the kernel."""
        height, width = (n - 1 for n in self.coefficients.shape)
        if self.border == "valid":
            return (0, 0, 0, 0)
        if self.border == "full":
            return (height, width, height, width)
        return (height // 2, width // 2, height - height // 2, width - width // 2)

    def network(self, shape):
        """The `IntegerNetwork` for pictures of ``shape``, (channels, height, width).

        Raises
        ------
        ValueError
            If the picture is too small, or colour is missing; in strict mode if rows or columns are
            left out.
        """
        steps = _Steps(self.name, shape)
        if self.grey is not None:
            steps.add(partial(_grey, self.grey))
        if self.kernel is not None:
            steps.add(self._convolution)
        if self.block is not None:
            steps.add(partial(_blocks, self.block, self.size, self._block_mapping))
        if self.strict and (notes := self.left_out(shape)):
            raise ValueError(f"in strict mode strides must fit, but {notes[0]}")
        return steps.network()

    def left_out(self, shape):
        """What strides leave out of a picture of ``shape``: one sentence for each axis and step."""
        size = tuple(shape[1:])
        notes = []
        for stride, kernel, pads in self._windows:
            sizes = []
            for axis, what in enumerate(("rows", "columns")):
                geometry = (size[axis], kernel[axis], stride, 1, pads[axis], pads[axis + 2])
                rest = left_out(*geometry)
                if rest:
                    padded = size[axis] + pads[axis] + pads[axis + 2]
                    notes.append(
                        f"a stride of {stride} leaves {rest} of {padded} {what} out: "
                        f"{arithmetic(*geometry)}"
                    )
                sizes.append(output_size(*geometry))
            size = tuple(sizes)
        return notes

    @property
    def _block_mapping(self):
        """`Requantize` of the sums of blocks; None for a maximum."""
        if self.block == "max":
            return None
        factor = Fraction(1, self.size**2 if self.block == "average" else 1)
        most = LARGEST_CODE * self.size**2
        if self.kernel is not None:  # whose sums the mapping is for
            return _scaled(factor, most)
        return _scaled(factor * Fraction(self.applied_scale), most, self.applied_offset)

    @property
    def _windows(self):
        """(stride, kernel, pads) of each step that has windows."""
        if self.kernel is not None:
            yield self.stride, self.coefficients.shape, self.pads
        if self.block is not None:
            yield self.size, (self.size, self.size), (0, 0, 0, 0)

    def _convolution(self, source, output):
        kernel = self.fixed.weights.shape
        size = _output_shape(source.shape, kernel, self.stride, self.pads, "kernel")
        channels = source.shape[0]
        weights = np.broadcast_to(self.fixed.weights, (channels, 1, *kernel))
        return (channels, *size), _conv(
            "kernel",
            source,
            output,
            weights,
            _shift(self.fixed.fraction_bits, self.applied_offset),
            stride=self.stride,
            pads=self.pads,
            groups=channels,
            mode="edge" if self.border == "edge" else "constant",
        )


def _grey(kind, source, output):
    channels, height, width = source.shape
    if channels != 3:
        raise ValueError(f"grey needs a picture in colour, with 3 channels, not {channels}")
    shape = (1, height, width)
    weights = GREYS[kind]
    if weights is None:
        return shape, Midrange("grey", (source.name,), output)
    if kind == "average":
        codes, requantize = np.ones(3, np.int64), _scaled(Fraction(1, 3), 3 * LARGEST_CODE)
    else:
        fixed = fix_kernel([weights])
        codes, requantize = fixed.weights, _shift(fixed.fraction_bits)
    return shape, _conv("grey", source, output, codes.reshape(1, 3, 1, 1), requantize)


def _blocks(kind, size, requantize, source, output):
    block, pads = (size, size), (0, 0, 0, 0)
    shape = _output_shape(source.shape, block, size, pads, "block")
    counts: dict[str, tuple[int, ...]] = {"max": (), "sum": (1,), "average": (size**2,)}
    layer = Pool(
        "block",
        (source.name,),
        output,
        kind,
        block,
        block,
        (1, 1),
        pads,
        counts=counts[kind],
        requantize=requantize,
    )
    return (source.shape[0], *shape), layer


# What goes with a step.
_MEMBERS = {
    "kernel": ("border", "stride", "rotate", "fraction_bits"),
    "block": ("size",),
}
_DEFAULTS = {field.name: field.default for field in fields(ImageFilter)}


class _Steps:
    """Layers one after another, between tensors of 8-bit codes without sign."""

    def __init__(self, name, shape):
        self.name = name
        self.tensors = [_tensor("image", shape)]
        self.layers = []

    def add(self, step):
        """Add what ``step(tensor, name of the output)`` returns, (shape of the output, layer)."""
        name = f"map{len(self.tensors)}"
        shape, layer = step(self.tensors[-1], name)
        self.tensors.append(_tensor(name, shape))
        self.layers.append(layer)

    def network(self):
        first, *_, last = self.tensors
        by_name = {tensor.name: tensor for tensor in self.tensors}
        return IntegerNetwork(self.name, first, (last,), tuple(self.layers), by_name)


def _tensor(name, shape):
    channels, height, width = map(int, shape)
    return IntegerTensor(name, (channels, height, width), 1.0, 0, 8, signed=False)


def _conv(
    name,
    source,
    output,
    weights,
    requantize,
    *,
    stride=1,
    pads=(0, 0, 0, 0),
    groups=1,
    mode="constant",
):
    return Conv(
        name,
        (source.name,),
        output,
        weights,
        np.zeros(len(weights), np.int64),
        strides=(stride, stride),
        dilations=(1, 1),
        pads=pads,
        groups=groups,
        requantize=requantize,
        weight_bits=_bits(weights),
        mode=mode,
    )


def _requantize(multiplier, shift, offset=0):
    return Requantize(
        np.array([multiplier]), np.array([shift]), offset, 0, LARGEST_CODE, rounding="floor"
    )


def _shift(bits, offset=0):
    return _requantize(1, bits, offset)


def _scaled(factor, most, offset=0):
    """``floor(n * factor) + offset`` for integers n up to ``most``; the factor is a `Fraction`.

    The multiplier m is rounded up, so that what is exact stays so. With the factor p / q, ``n * m
    >> s`` is ``n * p // q`` where ``n * (m * q - p * 2**s) < 2**s``: the fewest bits with which
    that holds for all n, else the most that fit, which can make the result one larger.
    """
    # With the largest multiplier 0 stays 0, and all else is held at 255, whatever the offset.
    factor = min(factor, Fraction((1 << MULTIPLIER_BITS) - 1))
    for shift in range(MAXIMUM_SHIFT + 1):
        multiplier = math.ceil(factor * (1 << shift))
        if multiplier >= 1 << MULTIPLIER_BITS:
            break
        found = _requantize(multiplier, shift, offset)
        if most * (multiplier * factor.denominator - (factor.numerator << shift)) < 1 << shift:
            break
    return found


def _output_shape(shape, kernel, stride, pads, what):
    size = shape[1:]
    result = tuple(
        output_size(size[axis], kernel[axis], stride, 1, pads[axis], pads[axis + 2])
        for axis in (0, 1)
    )
    if 0 in result:
        raise ValueError(
            f"a {what} of {kernel[0]} x {kernel[1]} does not fit a picture of "
            f"{size[0]} x {size[1]} pixels"
        )
    return result


def _is_signed_code(most, least):
    return math.floor(most) <= 127 and math.floor(least) >= -128


def _check_choice(name, value, accepted):
    if value not in accepted:
        names = f"{', '.join(accepted[:-1])} or {accepted[-1]}"
        raise ValueError(f"{name} must be {names}, not {value!r}")


def _check_range(name, value, low, high):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in {low} to {high}, not {value}")


def parse_kernel(text):
    """Rows of coefficients from text.

    Rows stand in lines or between semicolons, numbers between spaces or commas; a number may be a
    fraction, 1/9.
    """
    rows = [row.replace(",", " ").split() for row in text.replace(";", "\n").splitlines()]
    rows = [row for row in rows if row]
    try:
        table = tuple(tuple(float(Fraction(number)) for number in row) for row in rows)
    except (ValueError, ZeroDivisionError, OverflowError):
        table = ()
    if not table:
        raise ValueError(
            "coefficients must be rows of numbers, such as '0 -1 0; -1 5 -1; 0 -1 0', "
            f"not {text[:60]!r}"
        )
    return table


def _check_rows(rows):
    """Rows of a kernel as a tuple of tuples of float."""
    try:
        table = tuple(tuple(float(c) for c in row) for row in rows)
    except (TypeError, ValueError):
        raise ValueError(f"a kernel must be a name or rows of numbers, not {rows!r}") from None
    widths = {len(row) for row in table}
    if len(widths) != 1 or not max(widths):
        raise ValueError("the rows of a kernel must have equally many numbers, at least one")
    if len(table) > LARGEST_KERNEL or max(widths) > LARGEST_KERNEL:
        raise ValueError(
            f"a kernel must have at most {LARGEST_KERNEL} x {LARGEST_KERNEL} coefficients, "
            f"not {len(table)} x {max(widths)}"
        )
    if not all(math.isfinite(c) for row in table for c in row):
        raise ValueError("the coefficients of a kernel must be finite")
    return table
