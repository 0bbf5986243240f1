"""What each operator means in integers: one rule per operator for `hwsim.network.lower`.

A rule is called with the lowering in progress and a layer, and puts the layer's output into
``lowering.values``.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .affine import per_channel
from .integer import IntegerTensor
from .operators import check_lrn
from .real import (
    Average,
    Codes,
    Concatenated,
    Constant,
    Dequantized,
    ElementProduct,
    FloatInput,
    Function,
    Host,
    Maximum,
    Normalized,
    Padded,
    Product,
    Shuffled,
    Sum,
)

__all__ = ["CHANGES_FORMAT", "RULES"]

# Steps of the accumulator per step of a feature map to which one constant per channel is added: the
# constant is then rounded to 1/128 of a step.
ADDEND_STEPS = 64


# ------------------------------------------------------------------------------ change of format


def _quantize_linear(lowering, layer):
    name, scale, zero_point = (*layer.inputs, "")[:3]
    value = lowering.values[name]
    if isinstance(value, Codes | Constant):
        lowering.refuse(layer, "quantized input", "float")
    if isinstance(value, np.ndarray):
        dtype = lowering.network.tensors[layer.outputs[0]].dtype
        scale, zero = lowering.read_scale(layer, scale, zero_point, dtype)
        lowering.values[layer.outputs[0]] = _quantized_array(layer, value, scale, zero)
        return
    lowering.put(layer, value, scale, zero_point)


def _quantized_array(layer, array, scale, zero):
    """Codes, int64, of a constant that the model quantizes at run time."""
    shape = [1] * array.ndim
    if layer.attributes["axis"] is not None:
        shape[layer.attributes["axis"]] = -1
    bits = int(zero.dtype.name.lstrip("uint"))
    limits = IntegerTensor("", (1, 1, 1), 1.0, 0, bits, not zero.dtype.name.startswith("u"))
    steps = np.rint(array / scale.reshape(shape)) + zero.astype(np.int64).reshape(shape)
    return np.clip(steps, limits.minimum, limits.maximum).astype(np.int64)


def _dequantize_linear(lowering, layer):
    name, scale, zero_point = (*layer.inputs, "")[:3]
    value = lowering.values[name]
    if layer.attributes["block_size"]:
        given = f"block_size = {layer.attributes['block_size']}"
        lowering.refuse(layer, given, "a scale per tensor or per channel")
    if isinstance(value, np.ndarray):
        axis = layer.attributes["axis"]
        value = lowering.read_weights(layer, name, scale, zero_point, axis)
    elif isinstance(value, Product):
        # The accumulators of ConvInteger or MatMulInteger.
        scale, zero = lowering.read_scale(layer, scale, zero_point, np.int32)
        if scale.size != 1 or zero.any():
            lowering.refuse(layer, "accumulators with these scales or zero points", "one scale")
        factor = scale.item()
        value = replace(value, scale=value.scale * factor)
    else:
        value = lowering.dequantized(layer, name, scale, zero_point)
    lowering.values[layer.outputs[0]] = value


# ------------------------------------------------------------------- convolution, matrix product


def _product(lowering, layer, data, weights, bias, geometry, *, factor=1.0):
    """Return the `Product` of a real value and a `Constant` with the output channels first."""
    if not isinstance(weights, Constant):
        accepted = "integer constants behind DequantizeLinear"
        lowering.refuse(layer, "weights that are not quantized", accepted)
    if weights.axis not in (None, 0):
        lowering.refuse(layer, "a scale per input channel of the weights", "per output channel")
    codes = lowering.codes(data, layer)
    shape, maps = lowering.output_maps(layer)
    scale = codes.tensor.scale * abs(factor) * np.broadcast_to(weights.scale, len(weights.steps))
    steps = weights.steps if factor > 0 else -weights.steps
    bias = _bias_steps(lowering, layer, bias, scale)
    return Product(layer, shape, maps, codes, steps, scale, bias, geometry)


def _bias_steps(lowering, layer, bias, scale):
    """Return a bias in steps of ``scale``, (out,): as the model has it, if it counts in these."""
    if bias is None:
        return np.zeros(scale.shape)
    if isinstance(bias, Constant):
        # The model's scale is the rounded product of two float32 numbers.
        if bias.steps.size == scale.size and np.allclose(bias.scale, scale, rtol=1e-5, atol=0):
            return bias.steps.reshape(-1)
        bias = bias.real
    if not isinstance(bias, np.ndarray):
        lowering.refuse(layer, "a bias that is computed at run time", "a constant")
    if bias.size not in (1, scale.size):
        lowering.refuse(layer, f"a bias of shape {bias.shape}", f"({scale.size},)")
    return np.broadcast_to(bias.astype(np.float64).reshape(-1), scale.shape) / scale


def _int32_bias(lowering, layer, name, count):
    """Return the bias of a QOperator, which counts in steps of the accumulator, (count,)."""
    bias = lowering.constant(name)
    if bias is None:
        lowering.refuse(layer, "a bias that is computed at run time", "a constant")
    if bias.size not in (1, count):
        lowering.refuse(layer, f"a bias of shape {bias.shape}", f"({count},)")
    return np.broadcast_to(bias.astype(np.int64).reshape(-1), count)


def _convolution(lowering, layer, data, weights, bias):
    lowering.computable(data, layer)
    if len(data.shape) != 4 or data.maps != data.shape[1:]:
        lowering.refuse(layer, f"an input of shape {data.shape}", "(N, C, H, W)")
    geometry = {name: layer.attributes[name] for name in ("strides", "dilations", "pads")}
    geometry["groups"] = layer.attributes["group"]
    return _product(lowering, layer, data, weights, bias, geometry)


def _matrix_product(lowering, layer, data, weights, bias, *, transposed=False, factor=1.0):
    """Return ``data``, (N, K), times ``weights``, (K, out), or (out, K) if ``transposed``."""
    if isinstance(data, Constant | np.ndarray):
        lowering.refuse(layer, "a constant as first input", "a feature map")
    if len(data.shape) != 2:
        lowering.refuse(layer, f"an input of shape {data.shape}", "(N, C)")
    if isinstance(weights, Constant) and not transposed:
        axis = None if weights.axis is None else 1 - weights.axis
        weights = Constant(weights.steps.T, weights.scale, axis)
    return _product(lowering, layer, data, weights, bias, None, factor=factor)


def _conv(lowering, layer):
    data, weights, bias = (
        lowering.real(name, layer) if name else None for name in (*layer.inputs, "")[:3]
    )
    lowering.values[layer.outputs[0]] = _convolution(lowering, layer, data, weights, bias)


def _qlinear_conv(lowering, layer):
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = (*layer.inputs, "")[:9]
    data = lowering.dequantized(layer, x, x_scale, x_zero)
    weights = lowering.read_weights(layer, w, w_scale, w_zero, 0)
    value = _convolution(lowering, layer, data, weights, None)
    if bias:
        value = replace(value, bias=_int32_bias(lowering, layer, bias, len(value.scale)))
    lowering.put(layer, value, y_scale, y_zero)


def _matmul(lowering, layer):
    data, weights = (lowering.real(name, layer) for name in layer.inputs)
    lowering.values[layer.outputs[0]] = _matrix_product(lowering, layer, data, weights, None)


def _qlinear_matmul(lowering, layer):
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = layer.inputs
    data = lowering.dequantized(layer, a, a_scale, a_zero)
    weights = lowering.read_weights(layer, b, b_scale, b_zero, 1)
    value = _matrix_product(lowering, layer, data, weights, None)
    lowering.put(layer, value, y_scale, y_zero)


def _check_gemm(lowering, layer):
    if layer.attributes["trans_a"]:
        lowering.refuse(layer, "transA = 1", "transA = 0")
    if not layer.attributes["alpha"]:
        lowering.refuse(layer, "alpha = 0", "another number")


def _gemm(lowering, layer):
    _check_gemm(lowering, layer)
    attributes = layer.attributes
    data, weights, bias = (
        lowering.real(name, layer) if name else None for name in (*layer.inputs, "")[:3]
    )
    if attributes["beta"] != 1 and isinstance(bias, Constant | np.ndarray):
        bias = (bias.real if isinstance(bias, Constant) else bias) * attributes["beta"]
    form = {"transposed": attributes["trans_b"], "factor": attributes["alpha"]}
    lowering.values[layer.outputs[0]] = _matrix_product(
        lowering, layer, data, weights, bias, **form
    )


def _qgemm(lowering, layer):
    a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero = (*layer.inputs, "", "", "")[:9]
    _check_gemm(lowering, layer)
    form = {"transposed": layer.attributes["trans_b"], "factor": layer.attributes["alpha"]}
    data = lowering.dequantized(layer, a, a_scale, a_zero)
    weights = lowering.read_weights(layer, b, b_scale, b_zero, 0 if form["transposed"] else 1)
    value = _matrix_product(lowering, layer, data, weights, None, **form)
    if c:
        value = replace(value, bias=_int32_bias(lowering, layer, c, len(value.scale)))
    if y_scale:
        lowering.put(layer, value, y_scale, y_zero)
    else:
        lowering.values[layer.outputs[0]] = value


def _integer_product(lowering, layer):
    """ConvInteger and MatMulInteger: accumulators, whose scale a later layer gives."""
    x, w, x_zero, w_zero = (*layer.inputs, "", "")[:4]
    codes = lowering.values[x]
    if not isinstance(codes, Codes):
        lowering.refuse(layer, f"a float input '{x}'", "codes, as QuantizeLinear gives them")
    dtype = lowering.network.tensors[x].dtype
    zero = lowering.read_format(layer, "", x_zero, dtype).zero_point
    if zero != codes.tensor.zero_point:
        accepted = f"{codes.tensor.zero_point}, with which the input was made"
        lowering.refuse(layer, f"a zero point of {zero} for the input", accepted)
    data = Dequantized(layer, codes.shape, codes.tensor.shape, codes)
    convolves = layer.op == "ConvInteger"
    weights = lowering.read_weights(layer, w, "", w_zero, 0 if convolves else 1)
    product = _convolution if convolves else _matrix_product
    value = product(lowering, layer, data, weights, None)
    lowering.values[layer.outputs[0]] = replace(value, scale=value.scale / codes.tensor.scale)


# --------------------------------------------------------------------------- element by element


def _elementwise(lowering, layer):
    if len(layer.inputs) != 2:
        lowering.refuse(layer, f"{len(layer.inputs)} inputs", "2 inputs")
    values = [lowering.real(name, layer) for name in layer.inputs]
    lowering.values[layer.outputs[0]] = _combined(lowering, layer, *values)


def _qlinear_elementwise(lowering, layer):
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (*layer.inputs, "")[:8]
    first = lowering.dequantized(layer, a, a_scale, a_zero)
    second = lowering.dequantized(layer, b, b_scale, b_zero)
    lowering.put(layer, _combined(lowering, layer, first, second), y_scale, y_zero)


def _combined(lowering, layer, first, second):
    """Return the sum or product of two values, of which one may be constant."""
    multiplies = layer.op in ("Mul", "QLinearMul")
    constant = [isinstance(value, Constant | np.ndarray) for value in (first, second)]
    if all(constant):
        lowering.refuse(layer, "two constants", "at least one feature map")
    if any(constant):
        value, number = (second, first) if constant[0] else (first, second)
        return _with_constant(lowering, layer, value, number, multiplies)
    first, second = (lowering.codes(value, layer) for value in (first, second))
    if multiplies and first.tensor.shape[1:] == (1, 1):
        first, second = second, first
    shape, maps = first.shape, first.tensor.shape
    same = shape == second.shape and maps == second.tensor.shape
    vector = len(shape) == 4 and second.shape == (shape[0], shape[1], 1, 1)
    if not same and not (multiplies and vector):
        accepted = "equal shapes, or (N, C, 1, 1) for one of them" if multiplies else "equal shapes"
        lowering.refuse(layer, f"inputs of shape {shape} and {second.shape}", accepted)
    kind = ElementProduct if multiplies else Sum
    return kind(layer, lowering.output_maps(layer)[0], maps, first, second)


def _with_constant(lowering, layer, value, constant, multiplies):
    array = constant.real if isinstance(constant, Constant) else constant.astype(np.float64)
    lowering.computable(value, layer)
    number = per_channel(array, value.shape)
    if number is None or lowering.output_maps(layer)[0] != value.shape:
        given = f"a constant of shape {array.shape} for an input of shape {value.shape}"
        lowering.refuse(layer, given, "one number, or one per channel")
    vector = number.size > 1
    if vector and number.size != value.maps[0]:
        given = f"a constant per element of an input that was {value.maps} before"
        lowering.refuse(layer, given, "one number, or one per channel")
    if not multiplies and isinstance(value, Product) and value.exact() is None:
        added = value.plus(number)
        if added is not None:
            return added
    codes = lowering.codes(value, layer)
    if vector:
        return _affine(layer, codes, *((number, 0 * number) if multiplies else (None, number)))
    number = np.float32(number[0])
    function = (lambda real: real * number) if multiplies else (lambda real: real + number)
    return Function(layer, value.shape, value.maps, codes, function)


def _affine(layer, codes, factor, addend):
    """Multiply by, or (``factor`` None) add, one constant per channel: a depthwise 1 x 1 kernel.

    A factor goes into the scale, its sign into the weight. For an addend the accumulator counts in
    finer steps.
    """
    channels = codes.tensor.shape[0]
    if factor is None:
        steps = np.full(channels, ADDEND_STEPS)
        scale = np.full(channels, codes.tensor.scale / ADDEND_STEPS)
    else:
        steps = np.sign(factor).astype(np.int64)
        scale = codes.tensor.scale * np.where(factor == 0, 1, np.abs(factor))
    ones = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    return Product(
        layer,
        codes.shape,
        codes.tensor.shape,
        codes,
        steps.reshape(channels, 1, 1, 1),
        scale,
        addend / scale,
        {**ones, "groups": channels},
    )


def _bounded(lowering, layer):
    """Relu and Clip."""
    value = lowering.real(layer.inputs[0], layer)
    low, high = 0.0, math.inf
    if layer.op == "Clip":
        low, high = layer.attributes["minimum"], layer.attributes["maximum"]
        low, high = -math.inf if low is None else low, math.inf if high is None else high
    if isinstance(value, FloatInput):
        lowering.computable(value, layer)
    lowering.values[layer.outputs[0]] = value.clip(float(low), float(high))


def _sigmoid(real):
    return (1 / (1 + np.exp(-real.astype(np.float64)))).astype(np.float32)


def _tanh(real):
    return np.tanh(real.astype(np.float64)).astype(np.float32)


_FUNCTIONS = {"QLinearSigmoid": _sigmoid, "Sigmoid": _sigmoid, "Tanh": _tanh}


def _function(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    if not isinstance(value, Host):
        codes = lowering.codes(value, layer)
        value = Function(layer, value.shape, value.maps, codes, _FUNCTIONS[layer.op])
    lowering.values[layer.outputs[0]] = value


def _qlinear_function(lowering, layer):
    x, x_scale, x_zero, y_scale, y_zero = (*layer.inputs, "")[:5]
    value = lowering.dequantized(layer, x, x_scale, x_zero)
    codes = lowering.codes(value, layer)
    function = Function(layer, value.shape, value.maps, codes, _FUNCTIONS[layer.op])
    lowering.put(layer, function, y_scale, y_zero)


def _lrn(lowering, layer):
    value = lowering.computable(lowering.real(layer.inputs[0], layer), layer)
    if len(value.shape) != 4 or value.maps != value.shape[1:]:
        lowering.refuse(layer, f"an input of shape {value.shape}", "(N, C, H, W)")
    check_lrn(layer)
    codes = lowering.codes(value, layer)
    shape, maps = lowering.output_maps(layer)
    lowering.values[layer.outputs[0]] = Normalized(layer, shape, maps, codes, layer.attributes)


# ----------------------------------------------------------------------------------------- pooling


def _window(lowering, layer, value):
    """Return the fields of `Pool` that say where its windows lie; global pools have one window."""
    if len(value.shape) != 4 or value.maps != value.shape[1:]:
        lowering.refuse(layer, f"an input of shape {value.shape}", "(N, C, H, W)")
    if "kernel" not in layer.attributes:
        ones = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
        return {"kernel": value.maps[1:], **ones}
    names = ("kernel", "strides", "dilations", "pads", "ceil_mode", "count_include_pad")
    return {name: layer.attributes[name] for name in names if name in layer.attributes}


def _max_pool(lowering, layer):
    value = _passing(lowering, layer, layer.inputs[0])
    geometry = _window(lowering, layer, value)
    shape, maps = lowering.output_maps(layer)
    _pass(lowering, layer, Maximum(layer, shape, maps, (value,), geometry))


def _average(lowering, layer, value):
    lowering.computable(value, layer)
    kind = "sum" if layer.op == "SumPool" else "average"
    geometry = {"kind": kind, **_window(lowering, layer, value)}
    codes = lowering.codes(value, layer)
    shape, maps = lowering.output_maps(layer)
    return Average(layer, shape, maps, codes, geometry)


def _average_pool(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    lowering.values[layer.outputs[0]] = _average(lowering, layer, value)


def _qlinear_average_pool(lowering, layer):
    x, x_scale, x_zero, y_scale, y_zero = (*layer.inputs, "")[:5]
    value = lowering.dequantized(layer, x, x_scale, x_zero)
    lowering.put(layer, _average(lowering, layer, value), y_scale, y_zero)


# -------------------------------------------------------------------------- codes that pass through


def _passing(lowering, layer, name):
    """Return the input ``name`` of a layer that passes codes through, as a real value."""
    value = lowering.values[name]
    if isinstance(value, Constant | np.ndarray):
        lowering.refuse(layer, "a constant as input", "a feature map")
    if isinstance(value, Codes):
        return Dequantized(layer, value.shape, value.tensor.shape, value)
    return value if isinstance(value, FloatInput) else lowering.computable(value, layer)


def _pass(lowering, layer, value):
    """Give the output of a layer that passes codes through: codes where its input is codes."""
    name, source = layer.outputs[0], lowering.values[layer.inputs[0]]
    if isinstance(source, Codes):
        value = Codes(lowering.emit(value, source.format, name), value.shape)
    lowering.values[name] = value


def _joined(lowering, layer, values):
    if layer.attributes["axis"] != 1:
        lowering.refuse(layer, f"axis = {layer.attributes['axis']}", "1, the channels")
    for value in values:
        if value.shape[1:] not in (value.maps, (math.prod(value.maps),)):
            lowering.refuse(layer, f"an input of shape {value.shape}", "(N, C, H, W) or (N, C)")
    if len({value.maps[1:] for value in values}) > 1:
        given = " and ".join(str(value.maps) for value in values)
        accepted = "equal heights and widths"
        lowering.refuse(layer, f"flattened feature maps of shape {given}", accepted)
    maps = (sum(value.maps[0] for value in values), *values[0].maps[1:])
    shape = lowering.network.tensors[layer.outputs[0]].shape
    return Concatenated(layer, shape, maps, tuple(values))


def _concat(lowering, layer):
    codes = [lowering.values[name] for name in layer.inputs]
    codes = [value for value in codes if isinstance(value, Codes)]
    if codes and (len({value.format for value in codes}), len(codes)) != (1, len(layer.inputs)):
        accepted = "equal scales and zero points, or DequantizeLinear before it"
        lowering.refuse(layer, "codes in more than one format as inputs", accepted)
    values = [_passing(lowering, layer, name) for name in layer.inputs]
    _pass(lowering, layer, _joined(lowering, layer, values))


def _qlinear_concat(lowering, layer):
    y_scale, y_zero, *rest = layer.inputs
    triples = zip(rest[0::3], rest[1::3], rest[2::3], strict=True)
    values = [lowering.dequantized(layer, *triple) for triple in triples]
    if any(isinstance(value, Constant) for value in values):
        lowering.refuse(layer, "a constant as input", "a feature map")
    values = [lowering.computable(value, layer) for value in values]
    lowering.put(layer, _joined(lowering, layer, values), y_scale, y_zero)


def _pad(lowering, layer):
    source, attributes = lowering.values[layer.inputs[0]], layer.attributes
    value = _passing(lowering, layer, layer.inputs[0])
    pads, mode, number = attributes["pads"], attributes["mode"], attributes["value"]
    if len(value.shape) != 4 or value.maps != value.shape[1:]:
        lowering.refuse(layer, f"an input of shape {value.shape}", "(N, C, H, W)")
    if mode not in ("constant", "edge"):
        lowering.refuse(layer, f"mode = {mode}", "constant or edge")
    if min(pads) < 0 or any(pads[axis] for axis in (0, 1, 4, 5)):
        accepted = "pads of at least 0 on the axes 2 and 3"
        lowering.refuse(layer, f"pads = {list(pads)}", accepted)
    if isinstance(source, Codes):
        number = source.tensor.dequantize(number).item()
    sides = (pads[2], pads[3], pads[6], pads[7])
    shape, maps = lowering.output_maps(layer)
    padded = Padded(layer, shape, maps, (value,), sides, mode, float(number))
    _pass(lowering, layer, padded)


def _reshaped(lowering, layer):
    """Flatten, Reshape and their like: the same values in the same order, in another shape."""
    name, value = layer.outputs[0], lowering.values[layer.inputs[0]]
    shape = lowering.network.tensors[name].shape
    if isinstance(value, Constant | np.ndarray):
        lowering.refuse(layer, "a constant as input", "a feature map")
    before = value.shape
    if layer.op == "Transpose":
        moved = [axis for axis in layer.attributes["perm"] if before[axis] > 1]
        if moved != sorted(moved):
            _shuffle(lowering, layer)
            return
    if isinstance(value, FloatInput):
        lowering.values[name] = FloatInput(layer, *lowering.output_maps(layer))
        return
    if not isinstance(value, Host) and shape != before:
        maps = value.tensor.shape if isinstance(value, Codes) else value.maps
        # All axes but one are 1: then any place of that one will do.
        vector = math.prod(maps) == maps[0] == max(shape[1:], default=0)
        # More axes are on their way to a shuffle of channels.
        kept = vector or len(shape) > 4 or shape[1:] in (maps, (math.prod(maps),))
        if shape[0] != before[0] or not kept:
            given = f"a change of shape from {before} to {shape}"
            lowering.refuse(layer, given, "(N, C, H, W) to (N, C * H * W)")
    lowering.values[name] = replace(value, shape=shape)


def _shuffle(lowering, layer):
    """Transpose, where it puts channels into another order and does nothing else."""
    value, perm = _passing(lowering, layer, layer.inputs[0]), layer.attributes["perm"]
    places = np.arange(math.prod(value.maps)).reshape(-1, *value.shape[1:])
    before = places.reshape(value.maps[0], -1)
    after = places.transpose(perm).reshape(before.shape)
    order = after[:, 0] // before.shape[1]
    if perm[0] or not np.array_equal(before[order], after):
        given = f"perm = {list(perm)} for an input of shape {value.shape}"
        accepted = "an order in which axes longer than 1 stay in sequence, or a shuffle of channels"
        lowering.refuse(layer, given, accepted)
    shape = lowering.network.tensors[layer.outputs[0]].shape
    _pass(lowering, layer, Shuffled(layer, shape, value.maps, (value,), tuple(order.tolist())))


def _same(lowering, layer):
    lowering.values[layer.outputs[0]] = lowering.values[layer.inputs[0]]


# ------------------------------------------------------------------------------------- left out


def _softmax(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    lowering.values[layer.outputs[0]] = Host(layer, value.shape, value.maps)


def _qlinear_softmax(lowering, layer):
    value = lowering.dequantized(layer, *layer.inputs[:3])
    lowering.values[layer.outputs[0]] = Host(layer, value.shape, value.maps)


def _batch_normalization(lowering, layer):
    accepted = "one that was folded before quantization, as hwsim.quantize does"
    lowering.refuse(layer, "BatchNormalization in a quantized network", accepted)


CHANGES_FORMAT = frozenset(
    (
        "ConvInteger",
        "DequantizeLinear",
        "MatMulInteger",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QLinearMatMul",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuantizeLinear",
    )
)
"""Operators that have scales or zero points: a network without any of them is a float network."""

RULES: dict[str, Callable[..., None]] = {
    "Add": _elementwise,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Clip": _bounded,
    "Concat": _concat,
    "Conv": _conv,
    "ConvInteger": _integer_product,
    "DequantizeLinear": _dequantize_linear,
    "Dropout": _same,
    "Flatten": _reshaped,
    "Gemm": _gemm,
    "GlobalAveragePool": _average_pool,
    "GlobalMaxPool": _max_pool,
    "Identity": _same,
    "LRN": _lrn,
    "MatMul": _matmul,
    "MatMulInteger": _integer_product,
    "MaxPool": _max_pool,
    "Mul": _elementwise,
    "Pad": _pad,
    "QGemm": _qgemm,
    "QLinearAdd": _qlinear_elementwise,
    "QLinearAveragePool": _qlinear_average_pool,
    "QLinearConcat": _qlinear_concat,
    "QLinearConv": _qlinear_conv,
    "QLinearGlobalAveragePool": _qlinear_average_pool,
    "QLinearMatMul": _qlinear_matmul,
    "QLinearMul": _qlinear_elementwise,
    "QLinearSigmoid": _qlinear_function,
    "QLinearSoftmax": _qlinear_softmax,
    "QuantizeLinear": _quantize_linear,
    "Relu": _bounded,
    "Reshape": _reshaped,
    "Sigmoid": _function,
    "Softmax": _softmax,
    "Squeeze": _reshaped,
    "Sum": _elementwise,
    "SumPool": _average_pool,
    "Tanh": _function,
    "Transpose": _reshaped,
    "Unsqueeze": _reshaped,
}
"""Operator to rule."""
