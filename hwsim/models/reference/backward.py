"""Gradients of operators in NumPy: what `hwsim.models.reference.floating` computes, backwards.

Every function takes the attributes of a `hwsim.network.Layer`, the input arrays (None for an input
that is left out), the output and the gradient of the loss for the output, and returns a tuple: the
gradient for each input, None where there is none. Feature maps are (N, C, spatial...).

The gradient of a convolution for its input is the full correlation of the output's gradient with
the rotated kernel, that for its weights the correlation of input and output gradient (Dumoulin and
Visin, "A guide to convolution arithmetic for deep learning", 2016). Convolutions, matrix products,
pools by maximum or sum, ReLU, additions and whatever only moves data use nothing but additions and
products; on arrays of int64 they are exact.
"""

import math

import numpy as np

from hwsim.network.windows import span

from .floating import (
    average_pool,
    channelwise,
    convolve,
    lrn_axes,
    max_pool_indices,
    neighbour_sums,
    pad_maps,
    sum_pool,
    taps,
)

__all__ = [
    "GRADIENTS",
    "LOSSES",
    "conv_input_gradient",
    "conv_weight_gradient",
    "cross_entropy",
    "root_mean_square_error",
    "scatter",
    "sum_pool_gradient",
]


# ---------------------------------------------------------------------------------------- products


def conv_input_gradient(attributes, shape, weights, dy):
    """Gradient of a convolution for its input.

    Parameters
    ----------
    attributes : mapping
        ``kernel``, ``strides``, ``dilations``, ``pads``, ``group``.
    shape : tuple of int
        Of the input, (N, C, spatial...).
    weights : ndarray, (M, C / group, kernel...)
    dy : ndarray, (N, M, output...)

    Returns
    -------
    ndarray of ``shape``
    """
    rank, group = dy.ndim - 2, attributes["group"]
    strides, pads = attributes["strides"], attributes["pads"]
    # Zeros between the gradients that a stride keeps apart.
    spread = np.zeros(
        (
            *dy.shape[:2],
            *((n - 1) * s + 1 for n, s in zip(dy.shape[2:], strides, strict=True)),
        ),
        dy.dtype,
    )
    spread[(slice(None), slice(None), *(slice(None, None, s) for s in strides))] = dy
    # Output channels become input channels of the rotated kernel.
    rotated = np.flip(weights, tuple(range(2, rank + 2)))
    rotated = rotated.reshape(group, -1, *rotated.shape[1:]).swapaxes(1, 2)
    rotated = rotated.reshape(-1, *rotated.shape[2:])
    reach = [
        span(k, d) - 1 for k, d in zip(attributes["kernel"], attributes["dilations"], strict=True)
    ]
    full = convolve(
        {**attributes, "strides": (1,) * rank, "pads": (*reach, *reach)},
        spread,
        np.ascontiguousarray(rotated),
    )
    # What the padding would get is cut away; what no window reads gets nothing.
    dx = np.zeros(shape, full.dtype)
    here, there = [slice(None)] * 2, [slice(None)] * 2
    for size, begin, length in zip(shape[2:], pads[:rank], full.shape[2:], strict=True):
        count = max(min(size, length - begin), 0)
        here.append(slice(0, count))
        there.append(slice(begin, begin + count))
    dx[tuple(here)] = full[tuple(there)]
    return dx


def conv_weight_gradient(attributes, maps, dy):
    """Gradient of a convolution for its weights, (M, C / group, kernel...), over all images."""
    padded, output = pad_maps(maps, attributes, 0)
    group, count = attributes["group"], len(maps)
    positions = math.prod(output)
    left = dy.reshape(count, group, -1, positions)
    parts = []
    for view in taps(padded, attributes, output):
        right = view.reshape(count, group, -1, positions).swapaxes(2, 3)
        parts.append(np.matmul(left, right).sum(axis=0))
    gradient = np.stack(parts, axis=-1)
    return gradient.reshape(-1, gradient.shape[2], *attributes["kernel"])


def _all_but(axis, rank):
    return tuple(k for k in range(rank) if k != axis)


def _conv(attributes, inputs, y, dy):
    maps, weights = inputs[:2]
    gradients = [
        conv_input_gradient(attributes, maps.shape, weights, dy),
        conv_weight_gradient(attributes, maps, dy),
    ]
    if len(inputs) > 2:
        gradients.append(None if inputs[2] is None else dy.sum(axis=_all_but(1, dy.ndim)))
    return tuple(gradients)


def _gemm(attributes, inputs, y, dy):
    a, b = inputs[:2]
    left = a.T if attributes["trans_a"] else a
    right = b.T if attributes["trans_b"] else b
    scaled = dy if attributes["alpha"] == 1 else attributes["alpha"] * dy
    da, db = scaled @ right.T, left.T @ scaled
    gradients = [
        da.T if attributes["trans_a"] else da,
        db.T if attributes["trans_b"] else db,
    ]
    if len(inputs) > 2:
        beta = attributes["beta"]
        gradients.append(
            None
            if inputs[2] is None
            else _unbroadcast(dy if beta == 1 else beta * dy, inputs[2].shape)
        )
    return tuple(gradients)


def _matmul(attributes, inputs, y, dy):
    a, b = inputs
    left = a if a.ndim > 1 else a[None]
    right = b if b.ndim > 1 else b[:, None]
    if a.ndim == 1:
        dy = np.expand_dims(dy, -1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        dy = np.expand_dims(dy, -1)
    da = _unbroadcast(np.matmul(dy, right.swapaxes(-1, -2)), left.shape)
    db = _unbroadcast(np.matmul(left.swapaxes(-1, -2), dy), right.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


def _unbroadcast(dy, shape):
    """``dy``, summed over the axes on which ``shape`` was repeated."""
    extra = dy.ndim - len(shape)
    dy = dy.sum(axis=tuple(range(extra)))
    repeated = tuple(k for k, size in enumerate(shape) if size == 1 != dy.shape[k])
    return dy.sum(axis=repeated, keepdims=True)


# ------------------------------------------------------------------------------------------- pools


def scatter(attributes, shape, parts, dtype):
    """Add for each tap what it read to where it read it; (N, C, spatial...) of ``shape``."""
    padded, output = pad_maps(np.zeros(shape, dtype), attributes, 0)
    for view, part in zip(taps(padded, attributes, output), parts, strict=True):
        view += part
    begins = attributes["pads"][: len(shape) - 2]
    kept = (slice(b, b + size) for b, size in zip(begins, shape[2:], strict=True))
    return padded[(slice(None), slice(None), *kept)]


def sum_pool_gradient(attributes, shape, dy):
    """Gradient of the sum over each window for its input of ``shape``: each value gets all."""
    return scatter(attributes, shape, [dy] * math.prod(attributes["kernel"]), dy.dtype)


def _average_pool(attributes, inputs, y, dy):
    (maps,) = inputs
    # An average of ones over a map that is 1 inside and 0 beside it, divided by the share of it
    # that lies inside, is how many values were counted.
    ones = np.ones((1, 1, *maps.shape[2:]), dy.dtype)
    share = dy * average_pool(attributes, ones) / sum_pool(attributes, ones)
    return (sum_pool_gradient(attributes, maps.shape, share),)


def _sum_pool(attributes, inputs, y, dy):
    return (sum_pool_gradient(attributes, inputs[0].shape, dy),)


def _max_pool(attributes, inputs, y, dy):
    """The gradient goes to the winner: the first tap, in row-major order, with the maximum."""
    (maps,) = inputs
    winners = max_pool_indices({**attributes, "storage_order": 0}, maps)
    dx = np.zeros(maps.size, dy.dtype)
    np.add.at(dx, winners.reshape(-1), dy.reshape(-1))
    return (dx.reshape(maps.shape),)


def _global_average_pool(attributes, inputs, y, dy):
    (maps,) = inputs
    return (np.broadcast_to(dy / math.prod(maps.shape[2:]), maps.shape).astype(dy.dtype),)


def _global_max_pool(attributes, inputs, y, dy):
    (maps,) = inputs
    flat = maps.reshape(*maps.shape[:2], -1)
    dx = np.zeros(flat.shape, dy.dtype)
    winners = flat.argmax(axis=2)[..., None]
    np.put_along_axis(dx, winners, dy.reshape(winners.shape), axis=2)
    return (dx.reshape(maps.shape),)


# ------------------------------------------------------------------------------------- elementwise


def _clip(attributes, inputs, y, dy):
    # None at the bounds, as that of Relu at 0.
    (x,) = inputs
    low, high = attributes["minimum"], attributes["maximum"]
    passes = np.ones(x.shape, np.bool_)
    if low is not None:
        passes &= x > low
    if high is not None:
        passes &= x < high
    return (np.where(passes, dy, 0).astype(dy.dtype),)


def _batch_normalization(attributes, inputs, y, dy):
    """With statistics that are constants, as in inference."""
    x, scale, _, mean, variance = inputs
    rank = x.ndim
    inverse = 1 / np.sqrt(variance + x.dtype.type(attributes["epsilon"]))
    normal = (x - channelwise(mean, rank)) * channelwise(inverse, rank)
    others = _all_but(1, rank)
    return (
        dy * channelwise(scale * inverse, rank),
        (dy * normal).sum(axis=others),
        dy.sum(axis=others),
        None,
        None,
    )


def _lrn(attributes, inputs, y, dy):
    """With s the sum of squares in its place: dx = dy s^-b - 2 (a b / n) x sum(dy x s^(-b - 1))."""
    (x,) = inputs
    size, beta = attributes["size"], attributes["beta"]
    axes, members = lrn_axes(attributes, x.ndim)
    alpha = attributes["alpha"] / members
    before = (size - 1) // 2
    total = attributes["bias"] + alpha * neighbour_sums(x * x, axes, size, before)
    shared = dy * x * total ** (-beta - 1)
    # Channel c reads channels from c - before on, so that those which read it end at c + before.
    shared = neighbour_sums(shared, axes, size, size - 1 - before)
    return ((dy * total**-beta - 2 * alpha * beta * x * shared).astype(dy.dtype, copy=False),)


def _softmax(attributes, inputs, y, dy):
    axis = attributes["axis"]
    rows = (math.prod(y.shape[:axis]), -1) if attributes["flatten"] else y.shape
    axis = 1 if attributes["flatten"] else axis
    probabilities, gradient = y.reshape(rows), dy.reshape(rows)
    inner = (gradient * probabilities).sum(axis=axis, keepdims=True)
    return ((probabilities * (gradient - inner)).reshape(y.shape),)


def _mul(attributes, inputs, y, dy):
    a, b = inputs
    return _unbroadcast(dy * b, a.shape), _unbroadcast(dy * a, b.shape)


def _sum(attributes, inputs, y, dy):
    return tuple(_unbroadcast(dy, x.shape) for x in inputs)


# ----------------------------------------------------------------------------------- data movement


def _same_shape(attributes, inputs, y, dy):
    return (dy.reshape(inputs[0].shape),)


def _concat(attributes, inputs, y, dy):
    axis = attributes["axis"]
    ends = np.cumsum([x.shape[axis] for x in inputs])[:-1]
    return tuple(np.split(dy, ends, axis))


def _transpose(attributes, inputs, y, dy):
    return (dy.transpose(np.argsort(attributes["perm"])),)


def _pad(attributes, inputs, y, dy):
    """A value that was copied gets what all of its copies get."""
    (x,) = inputs
    rank, pads = x.ndim, attributes["pads"]
    for axis in range(rank):
        begin, end = pads[axis], pads[axis + rank]
        source = np.arange(x.shape[axis])[
            max(-begin, 0) : x.shape[axis] - max(-end, 0) or x.shape[axis]
        ]
        width = (max(begin, 0), max(end, 0))
        places = (
            np.pad(source, width, constant_values=-1)
            if attributes["mode"] == "constant"
            else np.pad(source, width, attributes["mode"])
        )
        moved = np.moveaxis(dy, axis, 0)
        gathered = np.zeros((x.shape[axis], *moved.shape[1:]), dy.dtype)
        np.add.at(gathered, places[places >= 0], moved[places >= 0])
        dy = np.moveaxis(gathered, 0, axis)
    return (dy,)


GRADIENTS = {
    "Add": _sum,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _same_shape,
    "Flatten": _same_shape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "Identity": _same_shape,
    "LRN": _lrn,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _mul,
    "Pad": _pad,
    "Relu": lambda attributes, inputs, y, dy: (np.where(y > 0, dy, 0).astype(dy.dtype),),
    "Reshape": _same_shape,
    "Sigmoid": lambda attributes, inputs, y, dy: (dy * y * (1 - y),),
    "Softmax": _softmax,
    "Squeeze": _same_shape,
    "Sum": _sum,
    "SumPool": _sum_pool,
    "Tanh": lambda attributes, inputs, y, dy: (dy * (1 - y * y),),
    "Transpose": _transpose,
    "Unsqueeze": _same_shape,
}
"""Operator name to function."""


# ------------------------------------------------------------------------------------------ losses


def cross_entropy(logits, labels):
    """Mean cross-entropy of the softmax of ``logits``, (N, classes), with ``labels``, (N,) of int.

    Returns (loss, gradient for the logits).
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    totals = powers.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = (np.log(totals[:, 0]) - shifted[rows, labels]).mean()
    gradient = powers / totals
    gradient[rows, labels] -= 1
    return loss, gradient / logits.dtype.type(len(labels))


def root_mean_square_error(values, targets):
    """Root of the mean squared difference of two arrays; (loss, gradient for the values).

    Where the two are equal the root has no derivative; the gradient is 0 there.
    """
    difference = values - targets
    loss = np.sqrt((difference * difference).mean())
    if loss == 0:
        return loss, np.zeros_like(difference)
    return loss, (difference / (loss * difference.size)).astype(values.dtype, copy=False)


LOSSES = {"cross-entropy": cross_entropy, "rmse": root_mean_square_error}
"""Name to function: ``(outputs, target)`` to the loss and its gradient for the outputs."""
