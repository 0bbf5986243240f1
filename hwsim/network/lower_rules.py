"""One rule per operator for `hwsim.network.lower`: what the outputs of a layer are, given its inputs.

A rule is called with the lowering in progress and the layer, and puts the layer's output into ``lowering.values``.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .integer import IntegerTensor
from .network import Layer
from .real import (
    Average,
    Codes,
    Concatenated,
    Constant,
    Dequantized,
    FloatInput,
    Function,
    Host,
    Maximum,
    Padded,
    Product,
)

__all__ = ["CHANGES_FORMAT", "RULES"]


def _quantize_linear(lowering, layer):
    name, scale, zero = (*layer.inputs, "")[:3]
    value = lowering.values[name]
    if isinstance(value, np.ndarray):
        # A constant that the model quantizes itself.
        axis = layer.attributes["axis"]
        steps = lowering.constant(scale)
        zeros = lowering.constant(zero) if zero else np.zeros(1, np.uint8)
        shape = [1] * value.ndim
        if axis is not None:
            shape[axis] = -1
        dtype = zeros.dtype
        bits, signed = (
            int(dtype.name.removeprefix("u").removeprefix("int")),
            not dtype.name.startswith("u"),
        )
        limits = IntegerTensor("", (1, 1, 1), 1.0, 0, bits, signed)
        codes = np.rint(value / steps.reshape(shape)) + zeros.astype(np.int64).reshape(shape)
        lowering.values[layer.outputs[0]] = np.clip(codes, limits.minimum, limits.maximum).astype(
            np.int64
        )
        return
    if isinstance(value, Codes):
        lowering.refuse(layer, "codes as input", "a float input")
    lowering.put(layer, value, scale, zero)


def _dequantize_linear(lowering, layer):
    name, scale, zero = (*layer.inputs, "")[:3]
    value = lowering.values[name]
    if layer.attributes.get("block_size"):
        lowering.refuse(
            layer,
            f"block_size = {layer.attributes['block_size']}",
            "a scale per tensor or per channel",
        )
    if isinstance(value, np.ndarray):
        result = lowering.read_weights(layer, name, scale, zero, layer.attributes["axis"])
    elif isinstance(value, Product):
        # Accumulators of ConvInteger or MatMulInteger.
        factor = lowering.constant(scale)
        if factor is None or factor.size != 1 or (zero and np.any(lowering.constant(zero))):
            lowering.refuse(
                layer,
                "accumulators with these scales or zero points",
                "one constant scale and no zero point",
            )
        factor = float(factor.reshape(-1)[0])
        result = replace(
            value, scale=value.scale * factor, low=value.low * factor, high=value.high * factor
        )
    elif isinstance(value, Host):
        result = value
    else:
        result = lowering.dequantized(layer, name, scale, zero)
    lowering.values[layer.outputs[0]] = result


def _conv_geometry(lowering, layer, weights_rank):
    attributes = layer.attributes
    if weights_rank != 4:
        lowering.refuse(
            layer, f"a convolution over {weights_rank - 2} axes", "2 axes, (N, C, H, W)"
        )
    geometry = {name: tuple(attributes[name]) for name in ("strides", "dilations", "pads")}
    return geometry | {"groups": attributes["group"]}


def _rank(weights):
    return weights.steps.ndim if isinstance(weights, Constant) else 4


def _check_maps(lowering, layer, value):
    if value.maps != tuple(value.shape[1:]):
        lowering.refuse(
            layer,
            f"an input of shape {value.shape} that was {value.maps} before",
            "(N, C, H, W) as it was made",
        )


def _conv(lowering, layer):
    data, weights, *bias = (lowering.real(name, layer) for name in layer.inputs if name)
    geometry = _conv_geometry(lowering, layer, _rank(weights))
    _check_maps(lowering, layer, data)
    lowering.values[layer.outputs[0]] = lowering.product(
        layer, data, weights, bias[0] if bias else None, geometry
    )


def _qlinear_conv(lowering, layer):
    x, xs, xz, w, ws, wz, ys, yz, b = (*layer.inputs, "")[:9]
    data = lowering.dequantized(layer, x, xs, xz)
    weights = lowering.read_weights(layer, w, ws, wz, 0)
    geometry = _conv_geometry(lowering, layer, _rank(weights))
    _check_maps(lowering, layer, data)
    value = lowering.product(layer, data, weights, None, geometry)
    if b:
        value = replace(value, bias=_int32_bias(lowering, layer, b))
    lowering.put(layer, value, ys, yz)


def _int32_bias(lowering, layer, name):
    bias = lowering.constant(name)
    if bias is None:
        lowering.refuse(layer, "a bias that is computed at run time", "a constant")
    return bias.astype(np.int64).reshape(-1)


def _integer_product(lowering, layer):
    """ConvInteger and MatMulInteger: accumulators, which a later layer scales."""
    x, w, xz, wz = (*layer.inputs, "", "")[:4]
    value = lowering.values[x]
    if not isinstance(value, Codes):
        lowering.refuse(
            layer,
            f"an input '{x}' that is not quantized by a constant scale",
            "codes of QuantizeLinear",
        )
    zero = (
        int(lowering.constant(xz).reshape(-1)[0]) if xz and lowering.constant(xz) is not None else 0
    )
    if zero != value.tensor.zero_point:
        lowering.refuse(
            layer, f"x_zero_point = {zero}", f"{value.tensor.zero_point}, as the input has it"
        )
    data = Dequantized(layer, value.shape, value.tensor.shape, value)
    if layer.op == "ConvInteger":
        weights = lowering.read_weights(layer, w, None, wz, 0)
        _check_maps(lowering, layer, data)
        product = lowering.product(
            layer, data, weights, None, _conv_geometry(lowering, layer, _rank(weights))
        )
    else:
        weights = lowering.read_weights(layer, w, None, wz, 1)
        product = _matrix_product(lowering, layer, data, weights, None, transposed=False)
    lowering.values[layer.outputs[0]] = replace(product, scale=product.scale / value.tensor.scale)


def _matrix_product(lowering, layer, data, weights, bias, *, transposed, factor=1.0):
    """``data`` (N, K) times ``weights`` (K, out), or (out, K) if ``transposed``."""
    if isinstance(data, Constant | np.ndarray):
        lowering.refuse(
            layer, "a constant as first input", "a feature map, and weights as second input"
        )
    if len(data.shape) != 2:
        lowering.refuse(layer, f"an input of shape {data.shape}", "(N, C)")
    if isinstance(weights, Constant):
        if weights.steps.ndim != 2:
            lowering.refuse(layer, f"weights of shape {weights.steps.shape}", "2 dimensions")
        if not transposed:
            axis = None if weights.axis is None else 1 - weights.axis
            weights = Constant(weights.steps.T, weights.scale, axis)
    return lowering.product(layer, data, weights, bias, None, factor=factor)


def _gemm(lowering, layer):
    attributes = layer.attributes
    data, weights, *bias = (lowering.real(name, layer) for name in layer.inputs if name)
    _check_gemm(lowering, layer)
    bias = bias[0] if bias else None
    if attributes["beta"] != 1 and bias is not None:
        bias = (bias.real if isinstance(bias, Constant) else bias) * attributes["beta"]
    lowering.values[layer.outputs[0]] = _matrix_product(
        lowering,
        layer,
        data,
        weights,
        bias,
        transposed=attributes["trans_b"],
        factor=attributes["alpha"],
    )


def _check_gemm(lowering, layer):
    if layer.attributes["trans_a"]:
        lowering.refuse(layer, "transA = 1", "transA = 0")
    if not layer.attributes["alpha"]:
        lowering.refuse(layer, "alpha = 0", "another number")


def _qgemm(lowering, layer):
    a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero = (*layer.inputs, "", "", "")[:9]
    _check_gemm(lowering, layer)
    transposed = layer.attributes["trans_b"]
    data = lowering.dequantized(layer, a, a_scale, a_zero)
    weights = lowering.read_weights(layer, b, b_scale, b_zero, 0 if transposed else 1)
    value = _matrix_product(
        lowering,
        layer,
        data,
        weights,
        None,
        transposed=transposed,
        factor=layer.attributes["alpha"],
    )
    if c:
        # ONNX Runtime adds C to the accumulators: its scale is alpha * a_scale * b_scale.
        value = replace(
            value, bias=np.broadcast_to(_int32_bias(lowering, layer, c), value.scale.shape)
        )
    if not y_scale:
        lowering.values[layer.outputs[0]] = value
        return
    lowering.put(layer, value, y_scale, y_zero)


def _matmul(lowering, layer):
    data, weights = (lowering.real(name, layer) for name in layer.inputs)
    lowering.values[layer.outputs[0]] = _matrix_product(
        lowering, layer, data, weights, None, transposed=False
    )


def _qlinear_matmul(lowering, layer):
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = layer.inputs
    data = lowering.dequantized(layer, a, a_scale, a_zero)
    weights = lowering.read_weights(layer, b, b_scale, b_zero, 1)
    value = _matrix_product(lowering, layer, data, weights, None, transposed=False)
    lowering.put(layer, value, y_scale, y_zero)


def _elementwise(lowering, layer):
    if len(layer.inputs) != 2:
        lowering.refuse(layer, f"{len(layer.inputs)} inputs", "2 inputs")
    values = [lowering.real(name, layer) for name in layer.inputs]
    lowering.values[layer.outputs[0]] = lowering.elementwise(layer, *values)


def _qlinear_elementwise(lowering, layer):
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (*layer.inputs, "")[:8]
    values = (
        lowering.dequantized(layer, a, a_scale, a_zero),
        lowering.dequantized(layer, b, b_scale, b_zero),
    )
    lowering.put(layer, lowering.elementwise(layer, *values), y_scale, y_zero)


def _bounded(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    low, high = 0.0, math.inf
    if layer.op == "Clip":
        given = layer.attributes["minimum"], layer.attributes["maximum"]
        low, high = (
            limit if number is None else float(number)
            for number, limit in zip(given, (-math.inf, high), strict=True)
        )
    lowering.values[layer.outputs[0]] = value.clip(low, high)


def _sigmoid(real):
    return (1 / (1 + np.exp(-real.astype(np.float64)))).astype(np.float32)


def _tanh(real):
    return np.tanh(real.astype(np.float64)).astype(np.float32)


_FUNCTIONS = {"QLinearSigmoid": _sigmoid, "Sigmoid": _sigmoid, "Tanh": _tanh}


def _function(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    if isinstance(value, Host):
        lowering.values[layer.outputs[0]] = value
        return
    codes = lowering.codes(value, layer)
    lowering.values[layer.outputs[0]] = Function(
        layer, value.shape, value.maps, codes, _FUNCTIONS[layer.op]
    )


def _qlinear_function(lowering, layer):
    x, x_scale, x_zero, y_scale, y_zero = (*layer.inputs, "")[:5]
    value = lowering.dequantized(layer, x, x_scale, x_zero)
    function = Function(layer, value.shape, value.maps, value.codes, _FUNCTIONS[layer.op])
    lowering.put(layer, function, y_scale, y_zero)


def _max_pool(lowering, layer):
    value = lowering.passing(layer, layer.inputs[0])
    geometry = lowering.window(layer, value)
    shape, maps = lowering.output_maps(layer)
    lowering.passed(layer, Maximum(layer, shape, maps, (value,), geometry))


def _average_pool(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    shape, maps = lowering.output_maps(layer)
    geometry = lowering.window(layer, value)
    lowering.values[layer.outputs[0]] = Average(
        layer, shape, maps, lowering.codes(value, layer), geometry
    )


def _qlinear_average_pool(lowering, layer):
    x, x_scale, x_zero, y_scale, y_zero = (*layer.inputs, "")[:5]
    value = lowering.dequantized(layer, x, x_scale, x_zero)
    shape, maps = lowering.output_maps(layer)
    average = Average(layer, shape, maps, value.codes, lowering.window(layer, value))
    lowering.put(layer, average, y_scale, y_zero)


def _joined(lowering, layer, values):
    if layer.attributes["axis"] != 1:
        lowering.refuse(layer, f"axis = {layer.attributes['axis']}", "1, the channels")
    if any(isinstance(value, Constant | np.ndarray) for value in values):
        lowering.refuse(layer, "a constant as input", "feature maps")
    shape = lowering.network.tensors[layer.outputs[0]].shape
    if len({value.maps[1:] for value in values}) > 1:
        given = " and ".join(str(value.maps) for value in values)
        lowering.refuse(
            layer, f"flattened feature maps of shape {given}", "equal heights and widths"
        )
    maps = (sum(value.maps[0] for value in values), *values[0].maps[1:])
    return Concatenated(layer, shape, maps, tuple(values))


def _concat(lowering, layer):
    kinds = {
        lowering.values[name].format
        for name in layer.inputs
        if isinstance(lowering.values[name], Codes)
    }
    if len(kinds) > 1:
        lowering.refuse(
            layer,
            "codes of different scales or zero points",
            "equal ones, or DequantizeLinear before it",
        )
    lowering.passed(
        layer, _joined(lowering, layer, [lowering.passing(layer, name) for name in layer.inputs])
    )


def _qlinear_concat(lowering, layer):
    y_scale, y_zero, *rest = layer.inputs
    triples = zip(rest[0::3], rest[1::3], rest[2::3], strict=True)
    values = [lowering.dequantized(layer, *triple) for triple in triples]
    lowering.put(layer, _joined(lowering, layer, values), y_scale, y_zero)


def _pad(lowering, layer):
    value = lowering.passing(layer, layer.inputs[0])
    attributes = layer.attributes
    pads, mode, number = attributes["pads"], attributes["mode"], attributes["value"]
    if len(value.shape) != 4 or value.maps != tuple(value.shape[1:]):
        lowering.refuse(layer, f"an input of shape {value.shape}", "(N, C, H, W)")
    if mode not in ("constant", "edge"):
        lowering.refuse(layer, f"mode = {mode}", "constant or edge")
    if min(pads) < 0 or any(pads[axis] for axis in (0, 1, 4, 5)):
        lowering.refuse(layer, f"pads = {list(pads)}", "pads of at least 0 on the axes 2 and 3")
    if isinstance(lowering.values[layer.inputs[0]], Codes):
        number = float(lowering.values[layer.inputs[0]].tensor.dequantize(np.array(int(number))))
    shape, maps = lowering.output_maps(layer)
    sides = (pads[2], pads[3], pads[6], pads[7])
    lowering.passed(layer, Padded(layer, shape, maps, (value,), sides, mode, float(number)))


def _reshaped(lowering, layer):
    """Flatten, Reshape and their like: the same values in the same order in another shape."""
    name, value = layer.outputs[0], lowering.values[layer.inputs[0]]
    shape = tuple(lowering.network.tensors[name].shape)
    if isinstance(value, Constant | np.ndarray):
        lowering.refuse(layer, "a constant as input", "a feature map")
    if layer.op == "Transpose":
        moved = [axis for axis in layer.attributes["perm"] if value.shape[axis] > 1]
        if moved != sorted(moved):
            lowering.refuse(
                layer,
                f"perm = {list(layer.attributes['perm'])}",
                "an order that moves axes of size 1 only",
            )
    if shape == tuple(value.shape):
        lowering.values[name] = value
        return
    maps = value.tensor.shape if isinstance(value, Codes) else value.maps
    if isinstance(value, FloatInput):
        maps = lowering.maps(shape, layer)
        lowering.values[name] = replace(value, shape=shape, maps=maps)
        return
    kept = shape[0] == value.shape[0] and (
        len(shape) == 2 or (len(shape) == 4 and shape[1:] == maps)
    )
    if not kept and not isinstance(value, Host):
        lowering.refuse(
            layer,
            f"a change of shape from {tuple(value.shape)} to {shape}",
            "(N, C, H, W) to (N, C * H * W)",
        )
    lowering.values[name] = replace(value, shape=shape)


def _same(lowering, layer):
    lowering.values[layer.outputs[0]] = lowering.values[layer.inputs[0]]


def _softmax(lowering, layer):
    value = lowering.real(layer.inputs[0], layer)
    lowering.values[layer.outputs[0]] = Host(layer, value.shape, value.maps)


def _batch_normalization(lowering, layer):
    lowering.refuse(
        layer,
        "a BatchNormalization that was not folded",
        "one folded before quantization, as hwsim.quantize does",
    )


CHANGES_FORMAT = frozenset(
    "QuantizeLinear DequantizeLinear QLinearConv QLinearMatMul QGemm QLinearAdd QLinearMul QLinearConcat QLinearAveragePool "
    "QLinearGlobalAveragePool QLinearSigmoid ConvInteger MatMulInteger".split()
)

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
    "QuantizeLinear": _quantize_linear,
    "Relu": _bounded,
    "Reshape": _reshaped,
    "Sigmoid": _function,
    "Softmax": _softmax,
    "Squeeze": _reshaped,
    "Sum": _elementwise,
    "Tanh": _function,
    "Transpose": _reshaped,
    "Unsqueeze": _reshaped,
}
