"""Lowering: what becomes of each form of a quantized model, and what is refused."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

import hwsim
from hwsim.models import reference
from hwsim.models.reference import integer
from hwsim.network import NetworkError, lower
from hwsim.network.functions import DOMAIN, function
from hwsim.network.integer import Add, Concat, Conv, Dense, Mul, Pad, Pool, Shuffle, Table
from tests.onnx_models import MODELS, images, run_onnxruntime

INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)


class Graph:
    """A model made node by node. Names of constants are made up from their use."""

    def __init__(self, shape=(1, 2, 5, 6), dtype=np.float32):
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs = [helper.make_tensor_value_info("x", element, shape)]
        self.nodes, self.constants = [], {}
        self.rng = np.random.default_rng(3)

    def constant(self, array, dtype=np.float32):
        name = f"constant{len(self.constants) + 1}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def node(self, op, *inputs, output=None, domain="", **attributes):
        output = output or f"{op.lower()}{len(self.nodes) + 1}"
        name = f"{output}_node"
        made = helper.make_node(op, inputs, [output], name=name, domain=domain, **attributes)
        self.nodes.append(made)
        return output

    def operands(self, scale, zero, dtype=np.int8):
        return self.constant(scale), self.constant(zero, dtype)

    def quantize(self, x, scale=0.1, zero=0, dtype=np.int8, output=None):
        return self.node("QuantizeLinear", x, *self.operands(scale, zero, dtype), output=output)

    def dequantize(self, x, scale=0.1, zero=0, dtype=np.int8, **attributes):
        return self.node("DequantizeLinear", x, *self.operands(scale, zero, dtype), **attributes)

    def both(self, x, scale=0.1, zero=0, dtype=np.int8, output=None):
        """QuantizeLinear and DequantizeLinear."""
        return self.dequantize(self.quantize(x, scale, zero, dtype, output), scale, zero, dtype)

    def weights(self, *shape, scale=0.02, dtype=np.int8, zero=0, **attributes):
        limits = np.iinfo(dtype)
        codes = self.constant(self.rng.integers(limits.min, limits.max + 1, shape), dtype)
        return self.dequantize(codes, scale, zero, dtype, **attributes)

    def model(self, *outputs, opset=21):
        infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
        values = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, infos, values)
        opsets = [helper.make_opsetid("", opset)]
        domains = {node.domain for node in self.nodes} - {""}
        opsets += [helper.make_opsetid(domain, 1) for domain in domains]
        functions = [function("SumPool", opset)] if DOMAIN in domains else []
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)

    def load(self, *outputs):
        return hwsim.load(self.model(*outputs))


def kinds(network):
    return [type(layer) for layer in network.layers]


def check(model, count=3, seed=0):
    """Lower a float-input model and compare every map with ONNX Runtime; returns the network."""
    network = lower(hwsim.load(model))
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    real = np.random.default_rng(seed).normal(0, 6, (count, *shape[1:])).astype(np.float32)
    made = {name for node in model.graph.node for name in node.output}
    names = [name for name in network.tensors if name in made]
    expected = run_onnxruntime(model, real, names, optimize=False)
    codes = network.input.quantize(real.reshape(count, *network.input.shape))
    found = integer.run(network, codes)
    for name in names:
        distance = found[name].reshape(-1).astype(int) - expected[name].reshape(-1).astype(int)
        assert np.abs(distance).max() <= 1, name
        # More than a tie here and there means another meaning.
        assert np.abs(distance).mean() < 0.01, name
    return network


# ------------------------------------------------------------------- files of quantize_static


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter([{"image": sample[np.newaxis]} for sample in samples])

    def get_next(self):
        return next(self.samples, None)


FORMS = [
    (form, kind, per_channel)
    for form in (QuantFormat.QDQ, QuantFormat.QOperator)
    for kind in (QuantType.QInt8, QuantType.QUInt8)
    for per_channel in (False, True)
]


@pytest.mark.parametrize(("form", "kind", "per_channel"), FORMS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_files_of_quantize_static(name, form, kind, per_channel, tmp_path):
    model = MODELS[name](seed=5)
    if name == "residual":
        # quantize_static wants batch normalization folded, which its pre-processing does.
        model = onnx.ModelProto()
        model.CopyFrom(_folded(MODELS[name](seed=5)))
    data = images(model, 24, seed=6)
    path = tmp_path / "quantized.onnx"
    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        path,
        Reader(data),
        quant_format=form,
        activation_type=kind,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        # ONNX Runtime's kernels saturate with 8-bit weights on x86 without VNNI.
        reduce_range=True,
    )
    network = hwsim.load(path)
    lowered = lower(network)
    quantized = onnx.load(path)
    made = {output for node in quantized.graph.node for output in node.output}
    names = [name for name in lowered.tensors if name in made]
    expected = run_onnxruntime(quantized, data, names, optimize=False)
    differing = total = 0
    for layer in lowered.layers:
        if {*layer.inputs, layer.output} <= set(names):
            inputs = [
                expected[n].reshape(len(data), *lowered.tensors[n].shape) for n in layer.inputs
            ]
            found = integer.layer_output(layer, inputs, lowered.tensors)
            distance = np.abs(
                found.reshape(-1).astype(int) - expected[layer.output].reshape(-1).astype(int)
            )
            assert distance.max() <= 1, layer.name
            differing += int((distance > 0).sum())
            total += distance.size
    assert total > 0
    print(f"{name} {form} {kind}: {differing} of {total} codes differ by 1")
    # The tensors stand for the floats of the float model.
    outputs = reference.run(lowered.host, _host_inputs(lowered, data)) if lowered.host else None
    real = next(iter(run_onnxruntime(model, data).values()))
    (ours,) = outputs.values()
    assert np.abs(ours - real).max() <= 0.12 * np.abs(real).max()


def _host_inputs(lowered, data):
    codes = lowered.input.quantize(data.reshape(len(data), *lowered.input.shape))
    found = integer.run(lowered, codes, keep=())
    return {
        tensor.name: found[tensor.name].reshape(len(data), *lowered.output_shapes[tensor.name][1:])
        for tensor in lowered.outputs
    }


def _folded(model):
    """The model with batch normalization folded, by hwsim."""
    from hwsim.network.affine import fold_affine
    from hwsim.network.save import to_onnx

    return to_onnx(fold_affine(hwsim.load(model)))


# ------------------------------------------------------------------------------- products


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("bias", ["none", "float", "int32"])
@pytest.mark.parametrize("bound", ["none", "relu", "clip"])
def test_conv_with_bias_and_bound(dtype, bias, bound):
    g = Graph()
    x = g.both("x", 0.1, np.iinfo(dtype).min + 100, dtype)
    inputs = [x, g.weights(3, 2, 3, 3)]
    if bias == "float":
        inputs.append(g.constant([0.5, -1.0, 3.25]))
    if bias == "int32":
        steps = g.constant([250, -500, 1625], np.int32)
        inputs.append(
            g.node("DequantizeLinear", steps, g.constant(np.float32(0.1) * np.float32(0.02)))
        )
    y = g.node("Conv", *inputs, strides=[2, 1], pads=[0, 1, 2, 1], output="conv")
    if bound == "relu":
        y = g.node("Relu", y)
    if bound == "clip":
        y = g.node("Clip", y, g.constant(-2.0), g.constant(6.0))
    zero = np.iinfo(dtype).min + 90
    network = check(g.model(g.both(y, 0.2, zero, dtype, output="y")))
    assert kinds(network) == [Conv]
    (layer,) = network.layers
    limits = np.iinfo(dtype)
    expected = {
        "none": (limits.min, limits.max),
        "relu": (zero, limits.max),
        "clip": (zero - 10, zero + 30),
    }
    assert (layer.requantize.minimum, layer.requantize.maximum) == expected[bound]
    correction = network.input.zero_point * layer.weights.sum(axis=(1, 2, 3), dtype=int)
    added = [0, 0, 0] if bias == "none" else [250, -500, 1625]
    assert (layer.bias + correction).tolist() == added
    assert (layer.name, layer.inputs, layer.output) == ("conv_node", (network.input.name,), "y")
    assert (layer.pads, layer.strides, layer.groups) == ((0, 1, 2, 1), (2, 1), 1)
    assert (
        network.outputs[0].shape == (3, 2, 6)
        or network.outputs[0].shape == network.tensors["y"].shape
    )
    assert [entry.op for entry in network.tail] == ["DequantizeLinear"]
    assert network.output_shapes == {"y": (1, *network.tensors["y"].shape)}


def test_bias_in_other_steps_is_rounded_to_those_of_the_accumulator():
    g = Graph()
    steps = g.constant([10, -20, 30], np.int32)
    bias = g.node("DequantizeLinear", steps, g.constant(0.125))
    y = g.node("Conv", g.both("x", 0.5), g.weights(3, 2, 1, 1, scale=0.25), bias)
    network = check(g.model(g.both(y, 4.0)))
    assert network.layers[0].bias.tolist() == [10, -20, 30]


@pytest.mark.parametrize("axis", [0, -4])
def test_conv_per_channel(axis):
    g = Graph()
    codes = g.constant(g.rng.integers(-128, 128, (4, 1, 3, 2)), np.int8)
    scales = g.constant([0.01, 0.05, 0.02, 0.3])
    w = g.node("DequantizeLinear", codes, scales, g.constant([0] * 4, np.int8), axis=axis)
    y = g.node("Conv", g.both("x", 0.1, 5), w, group=2, dilations=[1, 2], pads=[2, 0, 0, 1])
    network = check(g.model(g.both(y, 0.5, -7)))
    (layer,) = network.layers
    assert layer.requantize.multiplier.shape == (4,)
    assert (layer.groups, layer.dilations, layer.pads) == (2, (1, 2), (2, 0, 0, 1))


def test_weights_that_the_model_quantizes_itself():
    g = Graph()
    real = g.constant(g.rng.normal(0, 1, (3, 2, 3, 3)))
    operands = (g.constant([0.01, 0.02, 0.03]), g.constant([0] * 3, np.int8))
    w = g.node("QuantizeLinear", real, *operands, axis=0)
    w = g.node("DequantizeLinear", w, *operands, axis=0)
    y = g.node("Conv", g.both("x"), w)
    assert kinds(check(g.model(g.both(y, 0.3)))) == [Conv]


def test_unsigned_weights_with_a_zero_point():
    g = Graph()
    y = g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3, dtype=np.uint8, zero=100))
    network = check(g.model(g.both(y, 0.3)))
    (layer,) = network.layers
    assert layer.weight_bits == 9
    assert (layer.weights.min(), layer.weights.max()) == (-100, 155) or layer.weights.max() > 127


@pytest.mark.parametrize(
    ("codes", "bits"),
    [([-1, 1], 2), ([1, 0], 2), ([-8, 7], 4), ([-9, 1], 5), ([0, 8], 5), ([-128, 0], 8)],
)
def test_weight_bits_are_those_needed(codes, bits):
    g = Graph(shape=(1, 2))
    w = g.dequantize(g.constant([codes], np.int8), 0.5)
    y = g.node("Gemm", g.both("x"), w, transB=1)
    network = check(g.model(g.both(y)))
    assert network.layers[0].weight_bits == bits


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_factors(transposed):
    g = Graph(shape=(1, 7))
    w = g.weights(*((4, 7) if transposed else (7, 4)))
    bias = g.constant([[0.1, 0.2, -0.3, 4.0]])
    y = g.node("Gemm", g.both("x", 0.1, 3), w, bias, alpha=-0.5, beta=2.0, transB=transposed)
    network = check(g.model(g.both(y, 0.4, 10)))
    assert kinds(network) == [Dense]
    assert network.input.shape == (7, 1, 1) and network.outputs[0].shape == (4, 1, 1)


def test_matmul_and_add_are_one_layer():
    g = Graph(shape=(1, 7))
    y = g.node("MatMul", g.both("x", 0.1, 3), g.weights(7, 4), output="product")
    y = g.node("Add", y, g.constant([0.5, 1.0, -1.5, 2.0]))
    y = g.node("Relu", y)
    network = check(g.model(g.both(y, 0.4, 10)))
    assert kinds(network) == [Dense]
    assert network.layers[0].name == "product_node"
    own = network.layers[0].bias + 3 * network.layers[0].weights.sum(axis=1, dtype=int)
    assert own.tolist() == [250, 500, -750, 1000]


def test_integer_operators_followed_by_a_scale():
    g = Graph()
    codes = g.quantize("x", 0.1, 3)
    w = g.constant(g.rng.integers(-128, 128, (4, 2, 3, 3)), np.int8)
    y = g.node("ConvInteger", codes, w, g.constant(3, np.int8), pads=[1, 1, 1, 1])
    y = g.node("DequantizeLinear", y, g.constant(0.002))
    y = g.quantize(g.node("Relu", y), 0.25, -9, output="y")
    flat = g.node("Flatten", y)
    v = g.constant(g.rng.integers(-128, 128, (120, 3)), np.int8)
    z = g.node("MatMulInteger", flat, v, g.constant(-9, np.int8))
    network = lower(g.load(g.quantize(g.node("DequantizeLinear", z, g.constant(0.001)), 2.0)))
    assert kinds(network) == [Conv, Dense]
    conv, dense = network.layers
    assert conv.requantize.minimum == -9
    assert np.allclose(
        conv.requantize.multiplier / 2.0**conv.requantize.shift, 0.002 / 0.25, rtol=1e-5
    )
    assert np.allclose(dense.requantize.multiplier / 2.0**dense.requantize.shift, 0.0005, rtol=1e-5)


# --------------------------------------------------------------------- what passes codes through


def test_max_pool_with_equal_scales_is_one_layer():
    g = Graph()
    y = g.node(
        "MaxPool", g.both("x", 0.1, 7), kernel_shape=[2, 3], strides=[2, 1], pads=[1, 1, 0, 0]
    )
    network = check(g.model(g.both(y, 0.1, 7, output="y")))
    assert kinds(network) == [Pool] and network.layers[0].output == "y"
    assert network.layers[0].requantize is None


def test_max_pool_with_another_scale_is_followed_by_a_table():
    g = Graph()
    y = g.node("MaxPool", g.both("x", 0.1, 7), kernel_shape=[2, 2])
    network = check(g.model(g.both(y, 0.13, -3, output="y")))
    assert kinds(network) == [Pool, Table]
    assert network.tensors["y_input"].shape == (2, 4, 5)


def test_max_pool_between_conv_and_quantization():
    g = Graph()
    y = g.node("Relu", g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3)))
    y = g.node("MaxPool", y, kernel_shape=[2, 2])
    network = check(g.model(g.both(y, 0.4, -100)))
    assert kinds(network) == [Conv, Pool]
    assert network.layers[0].requantize.minimum == -100


def test_relu_behind_max_pool_and_concat():
    g = Graph()
    x = g.both("x", 0.1, 7)
    y = g.node("Concat", g.node("MaxPool", x, kernel_shape=[1, 1]), x, axis=1)
    network = check(g.model(g.both(g.node("Relu", y), 0.1, 7)))
    assert set(kinds(network)) == {Table, Pool, Concat}
    assert network.outputs[0].shape == (4, 5, 6)


def test_max_pool_without_quantization_behind_it():
    g = Graph()
    y = g.node("MaxPool", g.both("x", 0.1, 7), kernel_shape=[2, 2])
    y = g.node("Conv", y, g.weights(3, 2, 2, 2))
    assert kinds(check(g.model(g.both(y, 0.4)))) == [Pool, Conv]


def test_concat_with_other_scales_has_tables_before_it():
    g = Graph()
    x = g.both("x", 0.1, 7)
    first = g.both(g.node("Conv", x, g.weights(3, 2, 1, 1)), 0.3)
    second = g.both(g.node("Conv", x, g.weights(2, 2, 1, 1)), 0.2, 9)
    y = g.node("Concat", first, second, axis=1)
    network = check(g.model(g.both(y, 0.3)))
    assert kinds(network) == [Conv, Conv, Table, Concat]


def test_pad_with_zero_is_part_of_the_conv():
    g = Graph()
    y = g.node("Pad", g.both("x", 0.1, 7), g.constant([0, 0, 1, 2, 0, 0, 0, 3], np.int64))
    y = g.node("Conv", g.both(y, 0.1, 7), g.weights(3, 2, 3, 3), pads=[1, 0, 0, 0])
    network = check(g.model(g.both(y, 0.4)))
    assert kinds(network) == [Conv]
    assert network.layers[0].pads == (2, 2, 0, 3)
    assert network.layers[0].inputs == (network.input.name,)


@pytest.mark.parametrize("mode", ["edge", "constant"])
def test_other_pads_are_layers(mode):
    g = Graph()
    value = [g.constant(1.5)] if mode == "constant" else []
    pads = g.constant([0, 0, 1, 2, 0, 0, 0, 1], np.int64)
    y = g.node("Pad", g.both("x", 0.1, 7), pads, *value, mode=mode)
    network = check(g.model(g.both(y, 0.1, 7)))
    assert kinds(network) == [Pad]
    assert network.layers[0].value == (22 if mode == "constant" else 0)
    assert network.layers[0].pads == (1, 2, 0, 1)


def test_pad_of_codes_pads_with_a_code():
    g = Graph()
    pads = g.constant([0, 0, 1, 0, 0, 0, 0, 0], np.int64)
    y = g.node("Pad", g.quantize("x", 0.1, 7), pads, g.constant(9, np.int8), output="padded")
    network = check(g.model(g.dequantize(y, 0.1, 7)))
    assert network.layers[0].value == 9 and network.outputs[0].name == "padded"


def test_flatten_of_codes_leaves_no_layer():
    g = Graph()
    y = g.dequantize(g.node("Flatten", g.quantize("x")))
    y = g.node("Gemm", y, g.weights(60, 3))
    network = check(g.model(g.both(y, 2.0)))
    assert kinds(network) == [Dense] and network.input.shape == (2, 5, 6)


def test_reshape_of_the_input():
    g = Graph(shape=(1, 60))
    x = g.node("Reshape", "x", g.constant([1, 2, 5, 6], np.int64))
    y = g.node("Conv", g.both(x), g.weights(3, 2, 3, 3))
    network = check(g.model(g.both(y, 0.4)))
    assert network.input.shape == (2, 5, 6)


def test_transpose_squeeze_and_unsqueeze_of_a_vector():
    g = Graph()
    y = g.node("GlobalAveragePool", g.both("x"))
    y = g.node("Squeeze", y, g.constant([2, 3], np.int64))
    y = g.node("Unsqueeze", g.both(y, 0.05), g.constant([2, 3], np.int64))
    y = g.node("Transpose", y, perm=[0, 2, 1, 3])
    y = g.node("Transpose", y, perm=[0, 2, 3, 1])
    network = check(g.model(g.both(g.node("Conv", y, g.weights(3, 2, 1, 1)), 0.1)))
    assert kinds(network) == [Pool, Conv]


def shuffled(g, x, split, perm, between, shape=(1, 12, 5, 6)):
    """Reshape, Transpose, Reshape of ``x`` (1, 12, 5, 6), with ``between`` behind the first two."""
    y = between(g.node("Reshape", x, g.constant(split, np.int64)))
    y = between(g.node("Transpose", y, perm=perm))
    return g.node("Reshape", y, g.constant(shape, np.int64), output="shuffled")


SPLITS = [
    ((1, 3, 4, 5, 6), (0, 2, 1, 3, 4)),
    ((1, 6, 2, 5, 6), (0, 2, 1, 3, 4)),
    ((1, 2, 3, 2, 5, 6), (0, 3, 1, 2, 4, 5)),
    ((1, 4, 3, 5, 6, 1), (0, 2, 1, 3, 5, 4)),
]


@pytest.mark.parametrize(("split", "perm"), SPLITS)
@pytest.mark.parametrize("quantized", [False, True])
def test_shuffle_of_channels(split, perm, quantized):
    g = Graph(shape=(1, 12, 5, 6))
    between = (lambda y: g.both(y, 0.1, 3)) if quantized else (lambda y: y)
    y = g.both(shuffled(g, g.both("x", 0.1, 3), split, perm, between), 0.1, 3, output="codes")
    model = g.model(g.both(g.node("Conv", y, g.weights(6, 4, 3, 3), group=3), 0.9))
    network = check(model)
    assert kinds(network) == [Shuffle, Conv]
    # The first position of each channel.
    places = np.arange(12 * 30).reshape(split).transpose(perm).reshape(12, 30)
    expected = places[:, 0] // 30
    assert network.layers[0].order == tuple(expected.tolist())


def test_shuffle_of_codes():
    g = Graph(shape=(1, 12, 5, 6))
    codes = g.quantize("x", output="codes")
    y = shuffled(g, codes, (1, 4, 3, 5, 6), (0, 2, 1, 3, 4), lambda y: y)
    network = check(g.model(g.both(g.node("Relu", g.dequantize(y)), output="y")))
    assert kinds(network) == [Shuffle, Table]


def test_shuffle_behind_a_bound_and_in_another_scale():
    g = Graph(shape=(1, 12, 5, 6))
    y = g.node("Relu", g.node("Conv", g.both("x"), g.weights(12, 12, 1, 1)))
    y = shuffled(g, y, (1, 4, 3, 5, 6), (0, 2, 1, 3, 4), lambda y: y)
    network = check(g.model(g.both(y, 0.3, 1, output="y")))
    assert kinds(network) == [Conv, Shuffle]
    assert network.layers[0].requantize.minimum == 1


def test_transposes_that_cancel_move_nothing():
    g = Graph(shape=(1, 12, 5, 6))
    y = shuffled(g, g.both("x"), (1, 4, 3, 5, 6), (0, 1, 2, 3, 4), lambda y: y)
    network = check(g.model(g.both(g.node("Conv", y, g.weights(3, 12, 1, 1)), 0.5)))
    assert kinds(network) == [Conv]


# -------------------------------------------------------------------- element by element, tables


def test_relu_at_every_edge_is_a_bound():
    g = Graph()
    y = g.both(g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3)), 0.4, 5)
    network = check(g.model(g.both(g.node("Relu", y), 0.4, 5, output="y")))
    assert kinds(network) == [Conv]
    assert network.layers[0].requantize.minimum == 5 and network.layers[0].output == "y"


def test_relu_with_another_scale_is_a_table():
    g = Graph()
    y = g.both(g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3)), 0.4, 5)
    network = check(g.model(g.both(g.node("Relu", y), 0.2, -128)))
    assert kinds(network) == [Conv, Table]


def test_relu_stays_a_table_where_its_input_is_read_elsewhere():
    g = Graph()
    y = g.both(g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3)), 0.4, 5)
    z = g.both(g.node("Relu", y), 0.4, 5)
    network = check(g.model(g.both(g.node("Add", y, z), 0.7)))
    assert kinds(network) == [Conv, Table, Add]


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh"])
@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_sigmoid_and_tanh_are_tables(op, dtype):
    g = Graph(shape=(1, 1, 16, 16))
    zero = np.iinfo(dtype).min + 128
    y = g.node(op, g.both("x", 0.06, zero, dtype))
    network = check(g.model(g.both(y, 1 / 128, zero, dtype)))
    (layer,) = network.layers
    codes = np.arange(-128, 128) * np.float32(0.06)
    exact = (
        1 / (1 + np.exp(-codes.astype(float))) if op == "Sigmoid" else np.tanh(codes.astype(float))
    )
    assert layer.table.tolist() == (np.clip(np.rint(exact * 128), -128, 127) + zero).tolist()
    assert layer.table.dtype == dtype


def test_change_of_scale_is_a_table():
    g = Graph()
    network = check(g.model(g.both(g.both("x", 0.1, 3), 0.13, -4)))
    assert kinds(network) == [Table]


def test_same_scale_twice_leaves_no_layer():
    g = Graph()
    x = g.both(g.both("x", 0.1, 3), 0.1, 3)
    assert kinds(check(g.model(g.both(g.node("Relu", x), 0.1, -128)))) == [Table]


@pytest.mark.parametrize("op", ["Add", "Mul"])
def test_two_maps(op):
    g = Graph()
    x = g.both("x", 0.1, 3)
    y = g.both(g.node("Conv", x, g.weights(2, 2, 1, 1)), 0.4, 5)
    network = check(g.model(g.both(g.node("Relu", g.node(op, x, y)), 2.3, -20)))
    assert kinds(network) == [Conv, Add if op == "Add" else Mul]
    assert network.layers[1].requantize.minimum == -20


@pytest.mark.parametrize("first", [True, False])
def test_product_with_a_number_per_channel(first):
    g = Graph()
    x = g.both("x", 0.1, 3)
    gate = g.both(g.node("GlobalAveragePool", x), 0.05)
    y = g.node("Mul", *((gate, x) if first else (x, gate)))
    network = check(g.model(g.both(y, 0.3)))
    assert kinds(network) == [Pool, Mul]
    assert network.layers[1].inputs == (network.input.name, network.layers[0].output)


@pytest.mark.parametrize("op", ["Add", "Mul"])
def test_one_constant_is_a_table(op):
    g = Graph()
    y = g.node(op, g.both("x", 0.1, 3), g.constant(-1.5))
    assert kinds(check(g.model(g.both(y, 0.2, 9)))) == [Table]


@pytest.mark.parametrize("op", ["Add", "Mul"])
@pytest.mark.parametrize("quantized", [True, False])
def test_a_constant_per_channel_is_a_depthwise_conv(op, quantized):
    g = Graph(shape=(1, 3, 4, 5))
    shape = (3, 1, 1)
    if quantized:
        c = g.dequantize(g.constant(np.reshape([-70, 0, 90], shape), np.int8), 0.03, 5)
    else:
        c = g.constant(np.reshape([-1.7, 0.0, 2.3], shape))
    y = g.node(op, c, g.both("x", 0.1, 3))
    network = check(g.model(g.both(y, 0.23, 9)))
    (layer,) = network.layers
    assert (type(layer), layer.groups, layer.weights.shape) == (Conv, 3, (3, 1, 1, 1))


def test_average_pool_has_a_multiplier_per_count():
    g = Graph()
    options = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0], "ceil_mode": 1}
    y = g.node("AveragePool", g.both("x", 0.1, 3), **options)
    network = check(g.model(g.both(y, 0.07, -5)))
    (layer,) = network.layers
    assert layer.counts == (4, 6)
    ratio = layer.requantize.multiplier / 2.0**layer.requantize.shift
    assert np.allclose(ratio, [0.1 / 0.07 / 4, 0.1 / 0.07 / 6], rtol=2e-5)


def test_sum_pool_has_one_multiplier():
    g = Graph()
    options = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0], "ceil_mode": 1}
    y = g.node("SumPool", g.both("x", 0.1, 3), domain=DOMAIN, **options)
    network = check(g.model(g.both(y, 0.37, -5)))
    (layer,) = network.layers
    assert (layer.kind, layer.counts) == ("sum", (1,))
    ratio = layer.requantize.multiplier / 2.0**layer.requantize.shift
    assert np.allclose(ratio, [0.1 / 0.37], rtol=2e-5)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(op):
    g = Graph()
    y = g.node(op, g.both("x", 0.1, 3))
    network = check(g.model(g.both(y, 0.1, 3)))
    (layer,) = network.layers
    assert layer.kernel == (5, 6) and layer.kind == ("max" if op == "GlobalMaxPool" else "average")


# ------------------------------------------------------------------------ inputs and outputs


def test_codes_as_input_and_output():
    g = Graph(dtype=np.uint8)
    y = g.node("Conv", g.dequantize("x", 0.1, 30, np.uint8), g.weights(3, 2, 3, 3))
    model = g.model(g.quantize(y, 0.4, 7, output="y"))
    network = lower(hwsim.load(model))
    assert (network.input.name, network.input.zero_point, network.input.signed) == ("x", 30, False)
    assert network.tail == () and network.host is None and network.outputs[0].name == "y"
    codes = np.random.default_rng(1).integers(0, 256, (4, 2, 5, 6)).astype(np.uint8)
    expected = run_onnxruntime(model, codes, optimize=False)["y"]
    assert np.abs(integer.run(network, codes)["y"].astype(int) - expected).max() <= 1


def test_several_outputs_and_a_tail():
    g = Graph()
    x = g.both("x", 0.1, 3)
    y = g.both(g.node("Conv", x, g.weights(3, 2, 3, 3)), 0.4, output="first")
    z = g.both(g.node("Conv", y, g.weights(3, 3, 3, 1)), 2.0, output="second")
    z = g.node("Softmax", g.node("Flatten", z), output="probability")
    network = check(g.model("probability", y))
    assert [tensor.name for tensor in network.outputs] == ["second", "first"]
    assert [layer.op for layer in network.tail] == [
        "DequantizeLinear",
        "DequantizeLinear",
        "Flatten",
        "Softmax",
    ]
    real = np.random.default_rng(0).normal(0, 6, (2, 2, 5, 6)).astype(np.float32)
    inputs = integer.run(network, network.input.quantize(real), keep=())
    found = reference.run(network.host, inputs)
    expected = run_onnxruntime(g.model("probability", y), real, optimize=False)
    assert list(found) == ["probability", y]
    for name, array in found.items():
        assert np.allclose(array, expected[name], atol=0.41)


def test_what_no_output_needs_is_dropped():
    g = Graph()
    x = g.both("x", 0.1, 3)
    g.both(g.node("Conv", x, g.weights(3, 2, 3, 3)), 0.4)
    network = check(g.model(g.both(g.node("Conv", x, g.weights(1, 2, 3, 3)), 0.4)))
    assert len(network.layers) == 1 and len(network.tensors) == 2


def test_softmax_that_quantize_static_wraps_stays_in_the_tail():
    g = Graph(shape=(1, 7))
    y = g.both(g.node("Gemm", g.both("x"), g.weights(7, 4)), 0.4)
    network = lower(g.load(g.both(g.node("Softmax", y), 1 / 256, -128)))
    assert [layer.op for layer in network.tail][-4:] == [
        "DequantizeLinear",
        "Softmax",
        "QuantizeLinear",
        "DequantizeLinear",
    ]


# -------------------------------------------------------------------------------- refused


def float_model():
    g = Graph()
    return g.load(g.node("Relu", "x", output="y"))


def two_inputs():
    g = Graph()
    g.inputs.append(helper.make_tensor_value_info("z", 1, (1, 2, 5, 6)))
    return g.load(g.node("Add", g.both("x"), g.both("z"), output="y"))


def input_of_three_axes():
    g = Graph(shape=(1, 5, 6))
    return g.load(g.both("x", output="y"))


def two_scales_of_the_input():
    g = Graph()
    y = g.node("Add", g.both("x", 0.1), g.both("x", 0.2))
    return g.load(g.both(y))


def codes_without_a_scale():
    g = Graph(dtype=np.int8)
    return g.load(
        g.node("MaxPool", "x", kernel_shape=[1, 1], output="y"),
        g.both(g.dequantize(g.constant([1], np.int8))),
    )


def batch_normalization():
    g = Graph()
    parts = [g.constant([1.0, 2.0]) for _ in range(4)]
    return g.load(g.both(g.node("BatchNormalization", g.both("x"), *parts, output="norm")))


def softmax_in_the_middle():
    g = Graph()
    y = g.both(g.node("Softmax", g.both("x"), output="soft"), 0.01)
    return g.load(g.both(g.node("Conv", y, g.weights(3, 2, 3, 3), output="conv")))


def conv_without_quantized_output():
    g = Graph()
    return g.load(g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3), output="conv"))


def conv_without_quantized_input():
    g = Graph()
    return g.load(g.both(g.node("Conv", "x", g.weights(3, 2, 3, 3), output="conv")))


def float_weights():
    g = Graph()
    w = g.constant(np.ones((3, 2, 3, 3)))
    return g.load(g.both(g.node("Conv", g.both("x"), w, output="conv")))


def conv_behind_conv():
    g = Graph()
    y = g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3), output="first")
    return g.load(g.both(g.node("Conv", y, g.weights(3, 3, 1, 1), output="second")))


def sigmoid_behind_conv():
    g = Graph()
    y = g.node("Conv", g.both("x"), g.weights(3, 2, 3, 3), output="conv")
    return g.load(g.both(g.node("Sigmoid", y, output="sigmoid")))


def other_scale_of_codes():
    g = Graph()
    y = g.dequantize(g.quantize("x", 0.1, 3, output="codes"), 0.2, 3, output="real")
    return g.load(g.both(y))


def scale_per_channel_of_a_map():
    g = Graph()
    scales, zeros = g.constant([0.1, 0.2]), g.constant([0, 0], np.int8)
    return g.load(g.node("QuantizeLinear", "x", scales, zeros, axis=1, output="codes"))


def scale_of_zero():
    g = Graph()
    return g.load(g.quantize("x", 0.0, output="codes"))


def weights_per_input_channel():
    g = Graph()
    w = g.weights(3, 2, 3, 3)
    scales, zeros = g.constant([0.1, 0.2]), g.constant([0, 0], np.int8)
    codes = g.nodes.pop().input[0]
    w = g.node("DequantizeLinear", codes, scales, zeros, axis=1)
    return g.load(g.both(g.node("Conv", g.both("x"), w, output="conv")))


def reflecting_pad():
    g = Graph()
    pads = g.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    return g.load(g.both(g.node("Pad", g.both("x"), pads, mode="reflect", output="pad")))


def cropping_pad():
    g = Graph()
    pads = g.constant([0, 0, -1, 0, 0, 0, 0, 0], np.int64)
    return g.load(g.both(g.node("Pad", g.both("x"), pads, output="pad")))


def concat_of_rows():
    g = Graph()
    x = g.both("x")
    return g.load(g.both(g.node("Concat", x, x, axis=2, output="concat")))


def sum_of_a_row():
    g = Graph()
    x = g.both("x")
    y = g.both(g.node("GlobalAveragePool", x))
    return g.load(g.both(g.node("Add", x, y, output="sum")))


def sum_of_three():
    g = Graph()
    x = g.both("x")
    return g.load(g.both(g.node("Sum", x, x, x, output="sum")))


def constant_per_row():
    g = Graph()
    c = g.constant(np.ones((5, 1)))
    return g.load(g.both(g.node("Mul", g.both("x"), c, output="product")))


def change_of_shape():
    g = Graph()
    y = g.node("Reshape", g.both("x"), g.constant([1, 5, 2, 6], np.int64), output="reshaped")
    return g.load(g.both(y))


def change_of_order():
    g = Graph()
    return g.load(g.both(g.node("Transpose", g.both("x"), perm=[0, 2, 3, 1], output="moved")))


def channels_into_the_map():
    g = Graph(shape=(1, 4, 6, 6))
    y = g.node("Reshape", g.both("x"), g.constant([1, 2, 2, 6, 6], np.int64))
    y = g.node("Transpose", y, perm=[0, 1, 3, 4, 2], output="moved")
    return g.load(g.both(g.node("Reshape", y, g.constant([1, 2, 12, 6], np.int64))))


def one_dimensional_conv():
    g = Graph(shape=(1, 2, 5, 6))
    y = g.node("Reshape", g.both("x"), g.constant([1, 2, 30], np.int64), output="rows")
    return g.load(g.both(g.node("Conv", y, g.weights(3, 2, 3), output="conv")))


def relu_of_the_float_input():
    g = Graph()
    return g.load(g.both(g.node("Relu", "x", output="relu")))


def window_in_the_padding():
    g = Graph()
    options = {"kernel_shape": [1, 1], "pads": [0, 0, 0, 0], "strides": [1, 1]}
    y = g.node("AveragePool", g.both("x"), output="pool", **options)
    model = g.model(g.both(y))
    network = hwsim.load(model)
    layer = next(layer for layer in network.layers if layer.op == "AveragePool")
    layer.attributes["pads"] = (2, 0, 0, 0)
    return network


def transposed_input():
    g = Graph(shape=(7, 1))
    return g.load(g.both(g.node("Gemm", g.both("x"), g.weights(7, 3), transA=1, output="gemm")))


REFUSED = {
    float_model: "network graph is not quantized: make it so with hwsim.quantize or ONNX Runtime's "
    "quantize_static",
    two_inputs: "network graph has 2 inputs (x, z); accepted: one input",
    input_of_three_axes: "input 'x' has the shape (1, 5, 6); accepted: (N, C, H, W) or (N, C)",
    two_scales_of_the_input: "input 'x' is quantized in more than one way; accepted: one scale and "
    "zero point",
    codes_without_a_scale: "input 'x' of dtype int8 has no scale; accepted: float32, or codes "
    "that a "
    "layer dequantizes",
    batch_normalization: "BatchNormalization 'norm_node': BatchNormalization in a quantized "
    "network is "
    "not supported; accepted: one that was folded before quantization, as hwsim.quantize does",
    softmax_in_the_middle: "Conv 'conv_node': an input from Softmax 'soft_node' is not supported; "
    "accepted: Softmax at the end of the network",
    conv_without_quantized_output: "Conv 'conv_node': an output in float is not supported; "
    "accepted: "
    "QuantizeLinear after it",
    conv_without_quantized_input: "Conv 'conv_node': the network's input in float is not "
    "supported; "
    "accepted: QuantizeLinear before it",
    float_weights: "Conv 'conv_node': weights that are not quantized is not supported; accepted: "
    "integer constants behind DequantizeLinear",
    conv_behind_conv: "Conv 'second_node': an input from Conv 'first_node' that is not quantized "
    "is not "
    "supported; accepted: QuantizeLinear and DequantizeLinear in between",
    sigmoid_behind_conv: "Sigmoid 'sigmoid_node': an input from Conv 'conv_node' that is not "
    "quantized "
    "is not supported; accepted: QuantizeLinear and DequantizeLinear in between",
    other_scale_of_codes: "DequantizeLinear 'real_node': scale 0.2 and zero point 3 for codes of "
    "'codes' "
    "is not supported; accepted: scale 0.1 and zero point 3, as they were made",
    scale_per_channel_of_a_map: "QuantizeLinear 'codes_node': 2 scales of a feature map is not "
    "supported; "
    "accepted: one",
    scale_of_zero: "QuantizeLinear 'codes_node': a scale of 0.0 is not supported; accepted: "
    "positive "
    "numbers",
    weights_per_input_channel: "Conv 'conv_node': a scale per input channel of the weights is not "
    "supported; accepted: per output channel",
    reflecting_pad: "Pad 'pad_node': mode = reflect is not supported; accepted: constant or edge",
    cropping_pad: "Pad 'pad_node': pads = [0, 0, -1, 0, 0, 0, 0, 0] is not supported; accepted: "
    "pads of "
    "at least 0 on the axes 2 and 3",
    concat_of_rows: "Concat 'concat_node': axis = 2 is not supported; accepted: 1, the channels",
    sum_of_a_row: "Add 'sum_node': inputs of shape (1, 2, 5, 6) and (1, 2, 1, 1) is not supported; "
    "accepted: equal shapes",
    sum_of_three: "Sum 'sum_node': 3 inputs is not supported; accepted: 2 inputs",
    constant_per_row: "Mul 'product_node': a constant of shape (5, 1) for an input of shape "
    "(1, 2, 5, 6) is not supported; accepted: one number, or one per channel",
    change_of_shape: "Reshape 'reshaped_node': a change of shape from (1, 2, 5, 6) to (1, 5, 2, "
    "6) is "
    "not supported; accepted: (N, C, H, W) to (N, C * H * W)",
    change_of_order: "Transpose 'moved_node': perm = [0, 2, 3, 1] for an input of shape (1, 2, 5, "
    "6) is "
    "not supported; accepted: an order in which axes longer than 1 stay in sequence, or a shuffle "
    "of channels",
    channels_into_the_map: "Transpose 'moved_node': perm = [0, 1, 3, 4, 2] for an input of shape "
    "(1, 2, 2, 6, 6) is not supported; accepted: an order in which axes longer than 1 stay in "
    "sequence, or a shuffle of channels",
    one_dimensional_conv: "Reshape 'rows_node': a change of shape from (1, 2, 5, 6) to (1, 2, 30) "
    "is not "
    "supported; accepted: (N, C, H, W) to (N, C * H * W)",
    relu_of_the_float_input: "Relu 'relu_node': the network's input in float is not supported; "
    "accepted: "
    "QuantizeLinear before it",
    window_in_the_padding: "AveragePool 'pool_node': pads = [2, 0, 0, 0] with a window wholly in "
    "the "
    "padding is not supported; accepted: smaller pads",
    transposed_input: "Gemm 'gemm_node': transA = 1 is not supported; accepted: transA = 0",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_refused(make):
    with pytest.raises(NetworkError) as caught:
        lower(make())
    assert str(caught.value) == REFUSED[make]


def test_unknown_operators_are_refused_with_those_accepted():
    # Every operator that `hwsim.load` lets through has a rule.
    g = Graph()
    network = g.load(g.both(g.node("Tanh", g.both("x"), output="y")))
    layers = [replace(layer, op="Erf") if layer.op == "Tanh" else layer for layer in network.layers]
    with pytest.raises(NetworkError) as caught:
        lower(replace(network, layers=tuple(layers)))
    message = str(caught.value)
    assert message.startswith(
        "Erf 'y_node': this operator in a quantized network is not supported; "
    )
    assert "accepted: Add, AveragePool, BatchNormalization, Clip, Concat, Conv, " in message
