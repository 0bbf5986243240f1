"""ONNX operators on quantized numbers: exact integers up to the one rounding that each defines.

Sums of products are formed in float64, where they are exact: products of two 8-bit codes need 17
bits, so that 2**36 of them fit into the 53 bits of the mantissa, and matrix products run at the
speed of the machine's linear algebra.

Scales are the file's float32 numbers, and requantization is evaluated in float64 as ONNX defines
it, ``round(real / scale) + zero point``, to nearest with ties to even. An implementation that
rounds the factor to float32 first, as ONNX Runtime does, differs by at most 1 where the real value
lies next to a tie.
"""

import numpy as np

from .floating import average_pool, channelwise, convolve, global_average_pool, sigmoid, softmax

__all__ = ["QUANTIZED", "dequantize", "quantize"]


def _bounds(dtype):
    """Smallest and largest code; ml_dtypes' narrow integers have no `numpy.iinfo`."""
    bits = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4}.get(dtype.name, dtype.itemsize * 8)
    signed = dtype.name.startswith("int")
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _codes(rounded, dtype):
    """Rounded real numbers as codes, saturated."""
    clipped = np.clip(rounded, *_bounds(dtype))
    return clipped.astype(np.int64).astype(dtype)


def quantize(real, scale, zero_point):
    """Codes of real numbers, ``saturate(round(real / scale) + zero_point)``, in float64.

    The result has the zero point's dtype.
    """
    scale = np.asarray(scale, np.float64)
    return _codes(np.rint(real / scale) + _whole(zero_point), np.asarray(zero_point).dtype)


def dequantize(codes, scale, zero_point):
    """Real numbers of codes: ``(codes - zero_point) * scale``, in float64."""
    return _whole(codes, zero_point) * np.asarray(scale, np.float64)


def _whole(codes, zero_point=None):
    """Codes, less their zero point, as float64."""
    values = np.asarray(codes).astype(np.float64)
    return values if zero_point is None else values - np.asarray(zero_point).astype(np.float64)


def _spread(values, shape, attributes):
    """Scales or zero points in a shape that broadcasts against ``shape``."""
    axis, block = attributes["axis"], attributes["block_size"]
    if axis is None:
        return values.reshape(())
    if block:
        return np.repeat(values, block, axis).take(range(shape[axis]), axis)
    return values.reshape([-1 if index == axis else 1 for index in range(len(shape))])


def _quantize_linear(attributes, x, scale, zero_point=None):
    dtype = attributes["dtype"]
    # The scale's type is the precision of the division (ONNX, QuantizeLinear).
    rounded = np.rint(x.astype(scale.dtype) / _spread(scale, x.shape, attributes)).astype(
        np.float64
    )
    if zero_point is not None:
        rounded = rounded + _whole(_spread(zero_point, x.shape, attributes))
    return _codes(rounded, dtype)


def _dequantize_linear(attributes, x, scale, zero_point=None):
    whole = _whole(x, None if zero_point is None else _spread(zero_point, x.shape, attributes))
    return (whole.astype(scale.dtype) * _spread(scale, x.shape, attributes)).astype(
        attributes["dtype"]
    )


def _conv_sums(attributes, x, w, x_zero_point, w_zero_point):
    if w_zero_point is not None and np.size(w_zero_point) > 1:
        w_zero_point = w_zero_point.reshape(-1, *(1,) * (w.ndim - 1))
    return convolve(attributes, _whole(x, _single(x_zero_point)), _whole(w, _single(w_zero_point)))


def _single(value):
    """A value per tensor, of shape () or (1,), as a number; anything else unchanged."""
    return value.reshape(()) if value is not None and value.size == 1 else value


def _rows(value):
    """One value per row of the left matrix, or per tensor, in a shape that broadcasts."""
    return (
        value[:, np.newaxis]
        if value is not None and value.ndim == 1 and value.size > 1
        else _single(value)
    )


def _product(a, b, a_zero_point, b_zero_point):
    return np.matmul(_whole(a, _rows(a_zero_point)), _whole(b, _single(b_zero_point)))


def _int32(sums):
    # Sums beyond 32 bits wrap around, as in hardware with 32-bit accumulators.
    return sums.astype(np.int64).astype(np.int32)


def _conv_integer(attributes, x, w, x_zero_point=None, w_zero_point=None):
    return _int32(_conv_sums(attributes, x, w, x_zero_point, w_zero_point))


def _matmul_integer(attributes, a, b, a_zero_point=None, b_zero_point=None):
    return _int32(_product(a, b, a_zero_point, b_zero_point))


def _requantize(sums, factor, scale, zero_point):
    """Integer sums that count in steps of ``factor`` as codes that count in steps of ``scale``."""
    factor = factor / np.asarray(_single(scale), np.float64)
    return _codes(np.rint(sums * factor) + _whole(_single(zero_point)), zero_point.dtype)


def _qlinear_conv(
    attributes, x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias=None
):
    sums = _conv_sums(attributes, x, w, x_zero_point, w_zero_point)
    if bias is not None:
        sums += channelwise(bias, sums.ndim)
    factor = _single(x_scale).astype(np.float64) * channelwise(
        w_scale.astype(np.float64), sums.ndim
    )
    return _requantize(sums, factor, y_scale, y_zero_point)


def _qlinear_matmul(
    attributes, a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point
):
    sums = _product(a, b, a_zero_point, b_zero_point)
    factor = _rows(a_scale).astype(np.float64) * _single(b_scale).astype(np.float64)
    return _requantize(sums, factor, y_scale, y_zero_point)


def _qgemm(
    attributes,
    a,
    a_scale,
    a_zero_point,
    b,
    b_scale,
    b_zero_point,
    c=None,
    y_scale=None,
    y_zero_point=None,
):
    a = a.T if attributes["trans_a"] else a
    b = _whole(b.T if attributes["trans_b"] else b, _single(b_zero_point))
    sums = _whole(a, _single(a_zero_point)) @ b
    if c is not None:
        sums = sums + c
    factor = (
        attributes["alpha"]
        * _single(a_scale).astype(np.float64)
        * _single(b_scale).astype(np.float64)
    )
    if y_scale is None:
        return (sums * factor).astype(np.float32)
    return _requantize(
        sums, factor, y_scale, np.zeros((), a.dtype) if y_zero_point is None else y_zero_point
    )


def _zero(codes, zero_point):
    return np.zeros((), codes.dtype) if zero_point is None else _single(zero_point)


def _binary(function):
    def operation(
        attributes, a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point=None
    ):
        real = function(
            dequantize(a, a_scale, _zero(a, a_zero_point)),
            dequantize(b, b_scale, _zero(b, b_zero_point)),
        )
        return quantize(real, y_scale, _zero(a, y_zero_point))

    return operation


def _unary(function):
    def operation(attributes, x, x_scale, x_zero_point, y_scale, y_zero_point=None):
        real = function(attributes, dequantize(x, x_scale, _zero(x, x_zero_point)))
        return quantize(real, y_scale, _zero(x, y_zero_point))

    return operation


def _qlinear_concat(attributes, y_scale, y_zero_point, *groups):
    parts = [
        quantize(dequantize(*groups[index : index + 3]), y_scale, y_zero_point)
        for index in range(0, len(groups), 3)
    ]
    return np.concatenate(parts, attributes["axis"])


QUANTIZED = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize_linear,
    "MatMulInteger": _matmul_integer,
    "QGemm": _qgemm,
    "QLinearAdd": _binary(np.add),
    "QLinearAveragePool": _unary(average_pool),
    "QLinearConcat": _qlinear_concat,
    "QLinearConv": _qlinear_conv,
    "QLinearGlobalAveragePool": _unary(global_average_pool),
    "QLinearMatMul": _qlinear_matmul,
    "QLinearMul": _binary(np.multiply),
    "QLinearSigmoid": _unary(lambda attributes, x: sigmoid(x)),
    "QLinearSoftmax": _unary(softmax),
    "QuantizeLinear": _quantize_linear,
}
"""Operator name to function, as in `hwsim.models.reference.floating`."""
