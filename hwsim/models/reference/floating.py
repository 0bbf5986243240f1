"""ONNX operators in NumPy, for floating-point numbers and for whatever integers they accept.

Every function takes the attributes of a `hwsim.network.Layer` and the input arrays (None for an
input that is left out), and returns an array, or a tuple where the operator has more outputs.
Feature maps are (N, C, spatial...), with any number of spatial axes. Loops run over the taps of a
kernel, never over positions. LRN without a bias, in ONNX 0 / 0 for zeros among zeros, gives 0 there
as with any bias above 0.
"""

import math
from typing import Literal

import numpy as np

from hwsim.network.operators import OPERATORS
from hwsim.network.windows import output_size, span

__all__ = ["FLOATING", "convolve"]

# Columns of an im2col matrix are built for so many images at once that it stays below this number
# of elements.
COLUMN_ELEMENTS = 1 << 24


def pad_maps(maps, attributes, value):
    """Feature maps with the window's padding, and with what ceil mode adds beyond it.

    Returns the padded maps and the output's spatial shape.
    """
    geometry = [attributes[name] for name in ("kernel", "strides", "dilations")]
    rank = len(geometry[0])
    pads = attributes["pads"]
    widths, output = [(0, 0), (0, 0)], []
    for axis, (kernel, stride, dilation) in enumerate(zip(*geometry, strict=True)):
        size, begin, end = maps.shape[axis + 2], pads[axis], pads[axis + rank]
        count = output_size(
            size, kernel, stride, dilation, begin, end, attributes.get("ceil_mode", False)
        )
        beyond = (count - 1) * stride + span(kernel, dilation) - (size + begin + end)
        widths.append((begin, end + max(beyond, 0)))
        output.append(count)
    if any(begin or end for begin, end in widths):
        maps = np.pad(maps, widths, constant_values=value)
    return maps, tuple(output)


def taps(maps, attributes, output):
    """For each tap, in row-major order: a view with what it reads at each output position."""
    for tap in np.ndindex(*attributes["kernel"]):
        index = (
            slice(t * dilation, t * dilation + (count - 1) * stride + 1, stride)
            for t, dilation, stride, count in zip(
                tap, attributes["dilations"], attributes["strides"], output, strict=True
            )
        )
        yield maps[(slice(None), slice(None), *index)]


def convolve(attributes, maps, weights):
    """Cross-correlation of (N, C, spatial...) with (M, C / group, kernel...).

    By im2col and matrix product. The result has the arrays' dtype. In float64 it is exact for
    integers as long as sums stay below 2**53.
    """
    maps, output = pad_maps(maps, attributes, 0)
    count, channels = maps.shape[:2]
    group, size = attributes["group"], math.prod(attributes["kernel"])
    matrix = weights.reshape(group, weights.shape[0] // group, weights.shape[1] * size)
    positions = math.prod(output)
    result = np.empty((count, group, matrix.shape[1], positions), maps.dtype)
    step = max(1, COLUMN_ELEMENTS // max(channels * size * positions, 1))
    for start in range(0, count, step):
        part = maps[start : start + step]
        columns = np.empty((len(part), channels, size, *output), maps.dtype)
        for index, values in enumerate(taps(part, attributes, output)):
            columns[:, :, index] = values
        columns = columns.reshape(len(part), group, -1, positions)
        np.matmul(matrix, columns, out=result[start : start + step])
    return result.reshape(count, weights.shape[0], *output)


def channelwise(values, rank):
    """Values per channel in a shape that broadcasts against (N, C, ...) of ``rank`` axes."""
    return values.reshape(-1, *(1,) * (rank - 2))


def _wide(dtype):
    """Dtype in which sums are formed: half precision has too few bits for them."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _conv(attributes, maps, weights, bias=None):
    wide = _wide(maps.dtype)
    result = convolve(attributes, maps.astype(wide, copy=False), weights.astype(wide, copy=False))
    if bias is not None:
        result += channelwise(bias, result.ndim)
    return result.astype(maps.dtype, copy=False)


def _max_pool(attributes, maps):
    lowest = -np.inf if maps.dtype.kind == "f" else np.iinfo(maps.dtype).min
    padded, output = pad_maps(maps, attributes, lowest)
    views = taps(padded, attributes, output)
    best = next(views).copy()
    for view in views:
        np.maximum(best, view, out=best)
    return best


def max_pool_indices(attributes, maps):
    """Index of each maximum in the flattened input; the first one where there are several."""
    spatial = maps.shape[2:]
    order: Literal["C", "F"] = "F" if attributes["storage_order"] else "C"
    places = np.arange(math.prod(spatial)).reshape((1, 1, *spatial), order=order)
    places, output = pad_maps(places, attributes, -1)
    padded, _ = pad_maps(maps, attributes, 0)
    best = np.zeros((*maps.shape[:2], *output), maps.dtype)
    found = np.full(best.shape, -1, np.int64)
    for view, place in zip(
        taps(padded, attributes, output), taps(places, attributes, output), strict=True
    ):
        better = (place >= 0) & ((found < 0) | (view > best))
        best = np.where(better, view, best)
        found = np.where(better, place, found)
    first = np.arange(math.prod(maps.shape[:2])).reshape(*maps.shape[:2], *(1,) * len(spatial))
    return found + first * math.prod(spatial)


def sum_pool(attributes, maps):
    """Sum over each window."""
    padded, output = pad_maps(maps.astype(_wide(maps.dtype), copy=False), attributes, 0)
    return sum(taps(padded, attributes, output)).astype(maps.dtype, copy=False)


def average_pool(attributes, maps):
    """Average over each window.

    The padding counts if ``count_include_pad``; what ceil mode adds beyond it never does.
    """
    wide = _wide(maps.dtype)
    total = sum_pool(attributes, maps.astype(wide, copy=False))
    counted = np.ones((1, 1, *maps.shape[2:]), wide)
    if attributes["count_include_pad"]:
        pads, rank = attributes["pads"], len(attributes["kernel"])
        sides = [(pads[axis], pads[axis + rank]) for axis in range(rank)]
        counted = np.pad(counted, [(0, 0), (0, 0), *sides], constant_values=1)
        attributes = {**attributes, "pads": (0,) * 2 * rank}
    counted, _ = pad_maps(counted, attributes, 0)
    counts = sum(taps(counted, attributes, total.shape[2:]))
    return (total / counts).astype(maps.dtype, copy=False)


def global_average_pool(attributes, maps):
    """Average over all positions."""
    return maps.mean(
        axis=tuple(range(2, maps.ndim)), keepdims=True, dtype=_wide(maps.dtype)
    ).astype(maps.dtype)


def _global_max_pool(attributes, maps):
    return maps.max(axis=tuple(range(2, maps.ndim)), keepdims=True)


def _gemm(attributes, a, b, c=None):
    product = (a.T if attributes["trans_a"] else a) @ (b.T if attributes["trans_b"] else b)
    result = product if attributes["alpha"] == 1 else attributes["alpha"] * product
    if c is not None:
        result = result + (c if attributes["beta"] == 1 else attributes["beta"] * c)
    return result.astype(a.dtype, copy=False)


def _clip(attributes, x):
    for bound, limit in ((attributes["minimum"], np.maximum), (attributes["maximum"], np.minimum)):
        if bound is not None:
            x = limit(x, np.asarray(bound, x.dtype))
    return x


def sigmoid(x):
    """Logistic function, without overflow."""
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + power), power / (1 + power)).astype(x.dtype, copy=False)


def neighbour_sums(values, axes, size, before):
    """Sums over ``size`` neighbours along each of ``axes``, the first ``before`` places ahead."""
    for axis in axes:
        moved = np.moveaxis(values, axis, 0)
        widths = [(before, size - 1 - before)] + [(0, 0)] * (values.ndim - 1)
        padded = np.pad(moved, widths)
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)
        values = np.moveaxis(windows.sum(axis=-1), 0, axis)
    return values


def lrn_axes(attributes, rank):
    """Axes of an LRN's neighbourhood in feature maps of ``rank`` axes, and how many are in it."""
    axes = range(2, rank) if attributes["within"] else (1,)
    return axes, attributes["size"] ** len(axes)


def _lrn(attributes, x):
    size = attributes["size"]
    axes, members = lrn_axes(attributes, x.ndim)
    total = neighbour_sums(x * x, axes, size, (size - 1) // 2)
    scale = attributes["bias"] + attributes["alpha"] / members * total
    scale[(scale >= 0) & (x == 0)] = 1
    return (x / scale ** attributes["beta"]).astype(x.dtype, copy=False)


def _batch_normalization(attributes, x, scale, bias, mean, variance):
    scale, bias, mean, variance = (
        channelwise(values, x.ndim) for values in (scale, bias, mean, variance)
    )
    return ((x - mean) / np.sqrt(variance + attributes["epsilon"]) * scale + bias).astype(
        x.dtype, copy=False
    )


def softmax(attributes, x):
    """Exponentials divided by their sum, over one axis or over all from it on."""
    axis = attributes["axis"]
    rows = x.reshape(math.prod(x.shape[:axis]), -1) if attributes["flatten"] else x
    axis = 1 if attributes["flatten"] else axis
    powers = np.exp(rows - rows.max(axis=axis, keepdims=True))
    return (powers / powers.sum(axis=axis, keepdims=True)).reshape(x.shape)


def _pad(attributes, x):
    rank = x.ndim
    pads = [(attributes["pads"][axis], attributes["pads"][axis + rank]) for axis in range(rank)]
    kept = tuple(
        slice(max(-begin, 0), size - max(-end, 0))
        for (begin, end), size in zip(pads, x.shape, strict=True)
    )
    widths = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    value = {"constant_values": attributes["value"]} if attributes["mode"] == "constant" else {}
    return np.pad(x[kept], widths, attributes["mode"], **value)


def _reshape(attributes, x):
    shape = attributes["shape"]
    # More images than the network was imported for: see `hwsim.network.batch`.
    return x.reshape(shape if x.size == math.prod(shape) else (-1, *shape[1:]))


FLOATING = {
    **{
        op: operator.evaluate
        for op, operator in OPERATORS.items()
        if operator.evaluate and not operator.only_constant
    },
    "AveragePool": average_pool,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Conv": _conv,
    "Dropout": lambda attributes, x: (x, np.ones(x.shape, np.bool_)),
    "Gemm": _gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "LRN": _lrn,
    "MatMul": lambda attributes, a, b: np.matmul(a, b),
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Relu": lambda attributes, x: np.maximum(x, x.dtype.type(0)),
    "Reshape": _reshape,
    "Sigmoid": lambda attributes, x: sigmoid(x),
    "Softmax": softmax,
    "SumPool": sum_pool,
    "Tanh": lambda attributes, x: np.tanh(x),
}
"""Operator name to function."""
