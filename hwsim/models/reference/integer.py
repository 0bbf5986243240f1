"""The integer network in NumPy, exact: the standard that the hardware must meet bit for bit.

Feature maps are codes of shape (N, C, H, W) in the dtype of their `hwsim.network.IntegerTensor`.
Matrix products run in floating point where every partial sum is proven to be an exact integer
there, and in int64 where it is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from hwsim.network.integer import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    IntegerLayer,
    IntegerNetwork,
    IntegerTensor,
    Midrange,
    Mul,
    Pad,
    Pool,
    Shuffle,
    Table,
    log_index,
)

from .floating import neighbour_sums

__all__ = ["accumulators", "layer_output", "run"]

# Images of one chunk are chosen so that the unfolded input of a convolution takes about this many
# elements.
_CHUNK_ELEMENTS = 1 << 23


def run(
    network: IntegerNetwork, codes: np.ndarray, keep: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Run a network on codes of its input.

    Parameters
    ----------
    network : IntegerNetwork
    codes : ndarray of int, (N, C, H, W)
        Codes of ``network.input`` (`IntegerTensor.quantize` makes them).
    keep : names of tensors, optional
        Tensors to return besides the outputs; all of them unless given.

    Returns
    -------
    dict of tensor name to ndarray of codes, (N, C, H, W)

    Raises
    ------
    ValueError
        If the codes have another shape or do not lie in the range of the input, or ``keep`` has an
        unknown name.
    TypeError
        If the codes are not integers.
    """
    values = {network.input.name: _checked(codes, network.input)}
    wanted = set(network.tensors) if keep is None else set(keep)
    unknown = sorted(wanted - set(network.tensors))
    if unknown:
        raise ValueError(f"keep must name tensors of {network.name}, not {', '.join(unknown)}")
    wanted |= {tensor.name for tensor in network.outputs}
    last_use = {name: index for index, layer in enumerate(network.layers) for name in layer.inputs}
    for index, layer in enumerate(network.layers):
        values[layer.output] = layer_output(
            layer, [values[name] for name in layer.inputs], network.tensors
        )
        for name in layer.inputs:
            if name not in wanted and last_use[name] == index:
                values.pop(name, None)
    return {name: value for name, value in values.items() if name in wanted}


def layer_output(
    layer: IntegerLayer, inputs: Iterable[np.ndarray], tensors: Mapping[str, IntegerTensor]
) -> np.ndarray:
    """Output codes of one layer.

    Parameters
    ----------
    layer : IntegerLayer
    inputs : arrays of codes, (N, C, H, W)
        One for each of ``layer.inputs``.
    tensors : mapping of name to IntegerTensor
        Holds the layer's inputs and its output.

    Returns
    -------
    ndarray of codes, (N, C, H, W), in the dtype of the output tensor
    """
    sources = [tensors[name] for name in layer.inputs]
    output = tensors[layer.output]
    arrays = [_checked(array, source) for array, source in zip(inputs, sources, strict=True)]
    match layer:
        case Conv() | Dense() | Add() | Mul() | LRN():
            result = layer.requantize.apply(accumulators(layer, arrays, tensors))
        case Pool(kind="max"):
            result = _windows(layer, arrays[0], output, fill=sources[0].minimum).max(axis=(4, 5))
        case Pool():
            result = _requantize_by_count(layer, accumulators(layer, arrays, tensors), sources[0])
        case Concat():
            result = np.concatenate(arrays, axis=1)
        case Shuffle():
            result = arrays[0][:, list(layer.order)]
        case Midrange():
            wide = arrays[0].astype(np.int64)
            result = (wide.max(axis=1, keepdims=True) + wide.min(axis=1, keepdims=True)) >> 1
        case Table():
            result = layer.table[arrays[0].astype(np.int64) - sources[0].minimum]
        case Pad():
            result = _pad(arrays[0], layer.pads, layer.mode, layer.value)
        case _:
            raise TypeError(f"layer must be an integer layer, not {type(layer).__name__}")
    return result.reshape(len(result), *output.shape).astype(output.dtype)


def accumulators(
    layer: Conv | Dense | Pool | Add | Mul | LRN,
    inputs: Iterable[np.ndarray],
    tensors: Mapping[str, IntegerTensor],
) -> np.ndarray:
    """Return what a layer requantizes, int64, (N, C, H, W). Arguments as in `layer_output`."""
    sources = [tensors[name] for name in layer.inputs]
    output = tensors[layer.output]
    first, *rest = inputs
    match layer:
        case Conv():
            return _convolve(layer, first, sources[0], output)
        case Dense():
            dtype = _exact_dtype(layer, sources[0])
            flat = first.reshape(len(first), -1).astype(dtype)
            total = (flat @ layer.weights.T.astype(dtype)).astype(np.int64) + layer.bias
            return total.reshape(len(first), *output.shape)
        case Pool(kind="average" | "sum"):
            steps = first.astype(np.int64) - sources[0].zero_point
            return _windows(layer, steps, output, fill=0).sum(axis=(4, 5))
        case Add():
            terms = [
                (array.astype(np.int64) - source.zero_point) * multiplier
                for array, source, multiplier in zip(
                    (first, *rest), sources, layer.multipliers, strict=True
                )
            ]
            return terms[0] + terms[1]
        case Mul():
            factors = [
                array.astype(np.int64) - source.zero_point
                for array, source in zip((first, *rest), sources, strict=True)
            ]
            return factors[0] * factors[1]
        case LRN():
            steps = first.astype(np.int64) - sources[0].zero_point
            axes = (2, 3) if layer.within else (1,)
            sums = neighbour_sums(steps * steps, axes, layer.size, (layer.size - 1) // 2)
            return steps * layer.table[log_index(sums, layer.precision)]
    raise TypeError(f"layer must be one with an accumulator, not {type(layer).__name__}")


def _checked(codes, tensor):
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"codes of {tensor.name} must be integers, not {codes.dtype}")
    if codes.ndim != 4 or codes.shape[1:] != tensor.shape:
        expected = ", ".join(map(str, tensor.shape))
        raise ValueError(
            f"codes of {tensor.name} must have the shape (N, {expected}), not {codes.shape}"
        )
    if codes.dtype != tensor.dtype or tensor.bits not in (8, 16):
        if codes.size and (codes.min() < tensor.minimum or codes.max() > tensor.maximum):
            raise ValueError(
                f"codes of {tensor.name} must lie in [{tensor.minimum}, {tensor.maximum}], "
                f"not [{codes.min()}, {codes.max()}]"
            )
        codes = codes.astype(tensor.dtype)
    return codes


def _exact_dtype(layer, tensor):
    """Return the fastest dtype that holds every partial sum exactly: float32 up to 2**24."""
    bound = max(abs(end) for end in layer.accumulator_bounds(tensor))
    return np.float32 if bound <= 1 << 24 else np.float64 if bound <= 1 << 53 else np.int64


def _pad(codes, pads, mode, value):
    top, left, bottom, right = pads
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    return (
        np.pad(codes, widths, mode="edge")
        if mode == "edge"
        else np.pad(codes, widths, constant_values=value)
    )


def _windows(layer, maps, output, fill):
    """View of padded maps, (N, C, out height, out width, kernel height, kernel width).

    Taps outside the map read ``fill``, or in mode "edge" the nearest pixel.
    """
    kernel = layer.weights.shape[2:] if isinstance(layer, Conv) else layer.kernel
    reach = [
        (out - 1) * stride + (taps - 1) * dilation + 1
        for out, stride, taps, dilation in zip(
            output.shape[1:], layer.strides, kernel, layer.dilations, strict=True
        )
    ]
    top, left, bottom, right = layer.pads
    height, width = maps.shape[2:]
    # With ceil_mode the last windows reach beyond the padding, and without it they may stop short
    # of it.
    bottom, right = max(bottom, reach[0] - height - top), max(right, reach[1] - width - left)
    padded = _pad(maps, (top, left, bottom, right), getattr(layer, "mode", "constant"), fill)
    rows, columns = padded.strides[2:]
    return np.lib.stride_tricks.as_strided(
        padded,
        shape=(*padded.shape[:2], *output.shape[1:], *kernel),
        strides=(
            *padded.strides[:2],
            rows * layer.strides[0],
            columns * layer.strides[1],
            rows * layer.dilations[0],
            columns * layer.dilations[1],
        ),
        writeable=False,
    )


def _convolve(layer, codes, source, output):
    dtype = _exact_dtype(layer, source)
    groups = layer.groups
    channels, per_group, *kernel = layer.weights.shape
    # (groups, out channels of a group, taps of a group)
    weights = layer.weights.reshape(groups, channels // groups, -1).astype(dtype)
    pixels = output.shape[1] * output.shape[2]
    taps = per_group * kernel[0] * kernel[1]
    result = np.empty((len(codes), channels, pixels), np.int64)
    step = max(1, _CHUNK_ELEMENTS // (groups * taps * pixels))
    for start in range(0, len(codes), step):
        chunk = codes[start : start + step].astype(dtype)
        windows = _windows(layer, chunk, output, fill=source.zero_point)
        if channels == groups and per_group == 1:
            result[start : start + step] = _each_channel(windows, weights).reshape(
                len(chunk), channels, pixels
            )
            continue
        # (N, C, OH, OW, KH, KW) to (N, groups, taps of a group, pixels)
        unfolded = windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(chunk), groups, taps, pixels)
        result[start : start + step] = (weights @ unfolded).reshape(len(chunk), channels, pixels)
    result += layer.bias[:, None]
    return result.reshape(len(codes), *output.shape)


def _each_channel(windows, weights):
    """Sums of a depthwise convolution, tap by tap: nothing is unfolded."""
    kernel = windows.shape[4:]
    weights = weights.reshape(-1, 1, 1, *kernel)
    total = np.zeros(windows.shape[:4], weights.dtype)
    for tap in np.ndindex(kernel):
        total += windows[..., *tap] * weights[..., *tap]
    return total


def _requantize_by_count(layer, sums, source):
    """Requantize the sums of a pool, each with the multiplier of its window's count."""
    if layer.kind == "sum" or len(layer.counts) == 1:
        return layer.requantize.apply(sums)
    counts = layer.window_counts(source, sums.shape[2:])
    multiplier, shift = layer.requantize.multiplier, layer.requantize.shift
    result = np.empty_like(sums)
    for index, count in enumerate(layer.counts):
        here = counts == count
        single = replace(layer.requantize, multiplier=multiplier[[index]], shift=shift[[index]])
        result[:, :, here] = single.apply(sums[:, :, here])
    return result
