"""Post-training quantization: scales, rewriting, files that ONNX Runtime runs, accuracy."""

import math

import numpy as np
import onnx
import pytest

import hwsim
from hwsim.data import bundled
from hwsim.models import reference
from hwsim.models.onnx_runtime import accuracy
from hwsim.models.quantization import quantize
from hwsim.models.reference import integer
from hwsim.network import NetworkError, lower
from hwsim.network.affine import fold_affine
from hwsim.network.integer import Add, Conv, Dense, Pool, Table
from hwsim.network.quantize import insert_qdq, quantized_tensors
from hwsim.network.save import to_onnx
from tests.onnx_models import MODELS, ModelBuilder, images, lenet, run_onnxruntime

BATCHES = {"activation": ["int8", "uint8"], "per_channel": [True, False]}


def each_option(function):
    for name, values in BATCHES.items():
        function = pytest.mark.parametrize(name, values)(function)
    return function


def formats(network):
    """(scale, zero point) of each quantized feature map."""
    found = {}
    for layer in network.layers:
        if layer.op == "QuantizeLinear":
            scale, zero = (network.constants[name] for name in layer.inputs[1:])
            found[layer.outputs[0].removesuffix("_quantized")] = (float(scale), int(zero))
    return found


def ranges_of(network, low=-1.0, high=1.0):
    return dict.fromkeys(quantized_tensors(network), (low, high))


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


# -------------------------------------------------------------------------------- whole networks


@each_option
@pytest.mark.parametrize("name", MODELS)
def test_file_runs_in_onnx_runtime_and_lowers(name, activation, per_channel, tmp_path):
    model = MODELS[name](seed=1)
    data = images(model, 24, seed=2)
    network = quantize(hwsim.load(model), data, activation=activation, per_channel=per_channel)
    network.save(tmp_path / "quantized.onnx")
    saved = onnx.load(tmp_path / "quantized.onnx")
    lowered = lower(hwsim.load(tmp_path / "quantized.onnx"))

    # The same network before and after the file.
    codes = lowered.input.quantize(data.reshape(len(data), *lowered.input.shape))
    found = integer.run(lowered, codes)
    before = integer.run(lower(network), codes)
    assert found.keys() == before.keys()
    assert all(np.array_equal(found[name], before[name]) for name in found)

    # Every layer is at most 1 from ONNX Runtime, given the same inputs.
    names = [name for name in lowered.tensors if name in network.tensors]
    for optimize in (False, True):
        expected = run_onnxruntime(saved, data, names, optimize)
        expected = {
            name: array.reshape(len(data), *lowered.tensors[name].shape)
            for name, array in expected.items()
        }
        differing = total = 0
        for layer in lowered.layers:
            if {*layer.inputs, layer.output} <= set(names):
                inputs = [expected[name] for name in layer.inputs]
                ours = integer.layer_output(layer, inputs, lowered.tensors).astype(int)
                distance = np.abs(ours - expected[layer.output])
                assert distance.max() <= 1, layer.name
                differing, total = differing + int((distance > 0).sum()), total + distance.size
        assert total > 0
        print(f"{name} {activation}: {differing} of {total} codes differ by 1")

    # The outputs are those of the float model up to the steps of 8 bits.
    real = run_onnxruntime(model, data)
    for ours, floats in zip(run_onnxruntime(saved, data).values(), real.values(), strict=True):
        assert relative_error(ours, floats) < 0.08
    for ours, floats in zip(reference.run(network, data).values(), real.values(), strict=True):
        assert relative_error(ours, floats) < 0.08


@pytest.mark.parametrize("name", MODELS)
def test_folding_keeps_the_function(name):
    model = MODELS[name](seed=1)
    data = images(model, 8, seed=2)
    folded = fold_affine(hwsim.load(model))
    ops = {layer.op for layer in folded.layers}
    assert not ops & {"BatchNormalization", "MatMul", "Identity", "Dropout"}
    (found,), (expected,) = (
        reference.run(network, data).values() for network in (folded, hwsim.load(model))
    )
    # Rounding to float32 in another place; layers of this size keep four digits.
    assert relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("weight_bits", [2, 3, 4, 6, 8])
def test_narrow_weights(weight_bits):
    model = lenet(seed=1)
    data = images(model, 8, seed=2)
    network = quantize(hwsim.load(model), data, weight_bits=weight_bits)
    limit = 2 ** (weight_bits - 1) - 1
    for layer in lower(network).layers:
        if isinstance(layer, Conv | Dense):
            assert layer.weight_bits == weight_bits
            assert layer.weights.max() == limit or layer.weights.min() == -limit
    run_onnxruntime(to_onnx(network), data)


def test_scales_of_channels_share_a_shift():
    b = ModelBuilder(0, (1, 2, 6, 6))
    weights = b.rng.normal(0, 1, (5, 2, 3, 3)) * np.reshape([1, 0.3, 1e-3, 1e-30, 0], (5, 1, 1, 1))
    model = b.model(b.node("Conv", "image", b.constant(weights)))
    (layer,) = lower(quantize(hwsim.load(model), images(model, 8, 1))).layers
    assert layer.requantize.uniform_shift
    assert np.abs(layer.weights[:2]).max(axis=(1, 2, 3)).tolist() == [127, 127]
    assert not layer.weights[3:].any()


# ----------------------------------------------------------------------------- scales


def one_layer(op="Relu", shape=(1, 1, 2, 2), **attributes):
    b = ModelBuilder(0, shape)
    return hwsim.load(b.model(b.node(op, "image", name="layer", **attributes)))


@pytest.mark.parametrize(
    ("low", "high", "activation", "expected"),
    [
        (-12.8, 12.7, "int8", (np.float32(0.1), 0)),
        (-12.8, 12.7, "uint8", (np.float32(0.1), 128)),
        (0.0, 25.5, "int8", (np.float32(0.1), -128)),
        (0.0, 25.5, "uint8", (np.float32(0.1), 0)),
        # Zero must have a code, so that it pads exactly.
        (5.0, 25.5, "int8", (np.float32(0.1), -128)),
        (-25.5, -5.0, "int8", (np.float32(0.1), 127)),
        (0.0, 0.0, "int8", (1.0, -128)),
        (0.0, 1e-45, "uint8", (1.0, 0)),
    ],
)
def test_scale_and_zero_point_of_a_range(low, high, activation, expected):
    network = fold_affine(one_layer())
    ranges = dict.fromkeys(quantized_tensors(network), (low, high))
    found = formats(insert_qdq(network, ranges, activation=activation))
    assert found == dict.fromkeys(ranges, (float(expected[0]), expected[1]))


@pytest.mark.parametrize(
    ("op", "activation", "expected"),
    [
        ("Sigmoid", "int8", (1 / 256, -128)),
        ("Sigmoid", "uint8", (1 / 256, 0)),
        ("Tanh", "int8", (1 / 128, 0)),
        ("Tanh", "uint8", (1 / 128, 128)),
    ],
)
def test_fixed_ranges(op, activation, expected):
    network = one_layer(op)
    data = np.linspace(-3, 3, 32, dtype=np.float32).reshape(8, 1, 2, 2)
    assert formats(quantize(network, data, activation=activation))["layer_out"] == expected


def test_min_max_and_percentile():
    # 0 to 99.99 in steps of 0.01, each value once, and two outliers.
    values = np.arange(10000, dtype=np.float32).reshape(-1, 1, 10, 10) / 100
    values[0, 0, 0, 0], values[0, 0, 0, 1] = -1000.0, 3000.0
    network = one_layer(shape=(1, 1, 10, 10))
    scale, _ = formats(quantize(network, values))["image"]
    assert scale == np.float32(4000 / 255)
    found = quantize(network, values, method="percentile", percentile=99.0)
    scale, zero = formats(found)["image"]
    # 1 % of 10000 values lies above about 99; a bin of the histogram is 4000 / 8192 wide.
    assert abs(scale * 255 - 99) < 2 * 4000 / 8192
    assert zero == -128
    everything = quantize(network, values, method="percentile", percentile=100)
    assert formats(everything)["image"] == formats(quantize(network, values))["image"]


def test_percentile_of_constant_images():
    data = np.full((3, 1, 2, 2), 2.55, np.float32)
    found = formats(quantize(one_layer(), data, method="percentile"))
    assert found["image"] == (np.float32(np.float32(2.55) / 255), -128)


def test_calibration_sees_every_image():
    data = np.zeros((200, 1, 2, 2), np.float32)
    data[-1, 0, 1, 1], data[0, 0, 0, 0] = 255.0, -0.5
    assert formats(quantize(one_layer(), data))["layer_out"] == (1.0, -128)


def test_layers_that_pass_codes_through_share_scales():
    b = ModelBuilder(0, (1, 2, 8, 8))
    first = b.node("Relu", b.conv("image", 2, 3), name="first")
    second = b.node("Sigmoid", b.conv("image", 2, 3), name="second")
    x = b.node("Concat", first, second, axis=1, name="joined")
    pads = b.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    x = b.node("Pad", x, pads, b.constant(50.0), name="padded")
    x = b.node("MaxPool", x, kernel_shape=[2, 2], name="pooled")
    x = b.node("Flatten", x, name="flat")
    network = quantize(hwsim.load(b.model(b.gemm(x, 294, 2))), images(b.model(x), 4, 1))
    found = formats(network)
    shared = ["first_out", "second_out", "joined_out", "padded_out", "pooled_out", "flat_out"]
    assert len({found[name] for name in shared}) == 1
    # The padded value belongs to the range.
    assert found["first_out"][0] * 255 >= 50
    lowered = lower(network)
    assert sum(isinstance(layer, Table) for layer in lowered.layers) == 1


def test_bound_is_fused_unless_its_input_is_read_elsewhere():
    b = ModelBuilder(0, (1, 2, 6, 6))
    x = b.conv("image", 2, 2)
    y = b.node("Relu", x, name="bounded")
    alone = b.node("Relu", b.conv(y, 2, 2), name="fused")
    model = b.model(
        b.node("Add", x, b.node("Pad", alone, b.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)))
    )
    names = quantized_tensors(fold_affine(hwsim.load(model)))
    assert names == ("image", "conv1_out", "bounded_out", "fused_out", "pad5_out", "add6_out")


# ---------------------------------------------------------------------------- weights and biases


def dense_network(weights, bias):
    b = ModelBuilder(0, (1, np.shape(weights)[1]))
    y = b.node("Gemm", "image", b.constant(weights), b.constant(bias), transB=1, name="layer")
    return fold_affine(hwsim.load(b.model(y)))


def parameters(network):
    """Real weights and bias of the only dense layer, and their codes."""
    layer = next(layer for layer in network.layers if layer.op == "Gemm")
    found = []
    for name in layer.inputs[1:]:
        codes, scale, _ = (network.constants[entry] for entry in network.producers[name].inputs)
        found.append((codes, scale))
    return found


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_rounded_to_nearest(per_channel):
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(0, 1, (4, 9)), rng.normal(0, 1, 4)
    network = dense_network(weights, bias)
    (codes, scale), (steps, step) = parameters(
        insert_qdq(network, ranges_of(network), per_channel=per_channel)
    )
    weights = weights.astype(np.float32)
    assert codes.dtype == np.int8 and scale.dtype == np.float32
    assert scale.shape == ((4,) if per_channel else ())
    assert np.abs(codes).max() == 127
    error = np.abs(codes * scale.reshape(-1, 1) - weights)
    assert (error <= scale.reshape(-1, 1) * 0.500001).all()
    assert steps.dtype == np.int32
    assert np.array_equal(step, np.float32(2 / 255) * scale)
    assert (np.abs(steps * step - bias.astype(np.float32)) <= step * 0.500001).all()


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_bias_that_does_not_fit_widens_the_scale(per_channel):
    network = dense_network([[1e-6, 0.0], [2e-6, 1e-6]], [1e6, 1.0])
    ranges = {"image": (-1e-3, 1e-3), "layer_out": (-1.0, 1e6)}
    (codes, scale), (steps, step) = parameters(insert_qdq(network, ranges, per_channel=per_channel))
    # 1 float32 rounding of scale and step each.
    assert math.isclose(steps[0] * np.reshape(step, -1)[0].astype(float), 1e6, rel_tol=1e-6)
    assert steps[0] <= np.iinfo(np.int32).max
    lowered = lower(insert_qdq(network, ranges, per_channel=per_channel))
    assert (
        integer.run(lowered, np.zeros((1, 2, 1, 1), np.int8))["layer_out_quantized"][0, 0, 0, 0]
        == 127
    )
    assert codes.shape == (2, 2) and scale.size == (2 if per_channel else 1)


def test_weights_of_zero():
    network = dense_network(np.zeros((2, 3)), [0.5, -0.5])
    lowered = lower(insert_qdq(network, ranges_of(network, -1.28, 1.27)))
    found = integer.run(lowered, np.zeros((1, 3, 1, 1), np.int8))["layer_out_quantized"]
    assert found.reshape(-1).tolist() == [50, -50]


# ------------------------------------------------------------------------------ rewriting


def test_names_and_interface_stay():
    model = lenet(seed=0)
    network = hwsim.load(model)
    quantized = quantize(network, images(model, 4, 0))
    assert quantized.inputs == network.inputs and quantized.outputs == network.outputs
    assert {layer.name for layer in network.layers} <= {layer.name for layer in quantized.layers}
    names = [layer.name for layer in quantized.layers]
    assert len(names) == len(set(names))
    lowered = lower(quantized)
    assert [layer.name for layer in lowered.layers] == [
        layer.name for layer in network.layers if layer.op in ("Conv", "MaxPool", "Gemm")
    ]
    assert [layer.op for layer in lowered.tail] == ["DequantizeLinear", "Softmax"]


def test_an_output_that_other_layers_read():
    b = ModelBuilder(0, (1, 2, 6, 6))
    x = b.node("Relu", b.conv("image", 2, 3))
    y = b.conv(x, 3, 2)
    model = b.model(y, x)
    data = images(model, 8, 1)
    network = quantize(hwsim.load(model), data)
    real, ours = run_onnxruntime(model, data), run_onnxruntime(to_onnx(network), data)
    assert list(ours) == [y, x]
    for name, array in ours.items():
        assert relative_error(array, real[name]) < 0.03
    assert [tensor.name for tensor in lower(network).outputs] == [
        f"{y}_quantized",
        f"{x}_quantized",
    ]


def test_identity_that_is_an_output():
    b = ModelBuilder(0, (1, 2, 6, 6))
    x = b.conv("image", 2, 3)
    model = b.model(b.node("Identity", x), b.conv(b.node("Dropout", x), 3, 1))
    data = images(model, 8, 1)
    network = quantize(hwsim.load(model), data)
    real, ours = run_onnxruntime(model, data), run_onnxruntime(to_onnx(network), data)
    assert list(ours) == list(real)
    assert all(relative_error(ours[name], real[name]) < 0.03 for name in real)


@pytest.mark.parametrize("op", ["Add", "Mul", "BatchNormalization"])
@pytest.mark.parametrize("before", ["Conv", "Gemm", "MaxPool", "shared Conv"])
def test_affine_layers(op, before):
    b = ModelBuilder(3, (1, 3, 6, 5) if before != "Gemm" else (1, 7))
    shared = []
    if before == "Gemm":
        x = b.gemm("image", 7, 3)
    elif before == "MaxPool":
        x = b.node("MaxPool", "image", kernel_shape=[2, 2])
    else:
        x = b.conv("image", 3, 3)
        shared = [b.node("Identity", x)] if before == "shared Conv" else []
        shared = [b.node("Relu", name) for name in shared]
    shape = (3,) if before == "Gemm" else (3, 1, 1)
    if op == "BatchNormalization":
        y = b.batch_normalization(x, 3)
    else:
        y = b.node(op, b.constant(np.reshape([0.5, -2.0, 3.0], shape)), x)
    model = b.model(b.node("Relu", y), *shared)
    data = images(model, 16, 4)
    folded = fold_affine(hwsim.load(model))
    extra = [] if before in ("Conv", "Gemm") else ["Conv"]
    assert sorted(layer.op for layer in folded.layers) == sorted(
        [before.removeprefix("shared "), *extra, "Relu"] + ["Relu"] * len(shared)
    )
    quantized = to_onnx(quantize(hwsim.load(model), data))
    real, ours = run_onnxruntime(model, data), run_onnxruntime(quantized, data)
    assert all(relative_error(ours[name], real[name]) < 0.05 for name in real)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_factors_are_folded(transposed):
    b = ModelBuilder(0, (1, 4))
    weights = b.constant(b.rng.normal(0, 1, (3, 4) if transposed else (4, 3)))
    options = {"alpha": 0.5, "beta": -2.0, "transB": transposed}
    model = b.model(b.node("Gemm", "image", weights, b.constant([[1.0, 2.0, 3.0]]), **options))
    data = images(model, 16, 4)
    folded = fold_affine(hwsim.load(model))
    (found,), (expected,) = (
        reference.run(folded, data).values(),
        run_onnxruntime(model, data).values(),
    )
    assert relative_error(found, expected) < 1e-6
    lower(quantize(hwsim.load(model), data))


def test_global_pools_and_reshape():
    b = ModelBuilder(0, (1, 4, 5, 6))
    x = b.node("GlobalMaxPool", b.node("Relu", b.conv("image", 4, 3)))
    x = b.node("Reshape", x, b.constant([1, -1], np.int64))
    model = b.model(x)
    lowered = lower(quantize(hwsim.load(model), images(model, 8, 1)))
    assert [type(layer) for layer in lowered.layers] == [Conv, Pool]


def test_sum_of_one_vanishes():
    b = ModelBuilder(0, (1, 4, 5, 6))
    model = b.model(b.node("Relu", b.node("Sum", b.conv("image", 4, 3))))
    assert [layer.op for layer in fold_affine(hwsim.load(model)).layers] == ["Conv", "Relu"]


def test_sum_of_many():
    b = ModelBuilder(0, (1, 4, 5, 6))
    first, second = (b.conv("image", 4, 3) for _ in range(2))
    x = b.node("Sum", first, b.constant(0.25), first, second, name="sum")
    model = b.model(b.node("Relu", x))
    network = hwsim.load(model)
    data = images(model, 8, 1)
    folded = fold_affine(network)
    assert [layer.op for layer in folded.layers] == ["Conv"] * 2 + ["Sum"] * 2 + ["Conv", "Relu"]
    (expected,), (found,) = (reference.run(n, data).values() for n in (network, folded))
    # Sums of four numbers in another order.
    assert np.allclose(found, expected, rtol=0, atol=8 * np.abs(expected).max() * 2.0**-24)
    lowered = lower(quantize(network, data))
    assert [type(layer) for layer in lowered.layers] == [Conv] * 2 + [Add] * 2 + [Conv]


# -------------------------------------------------------------------------------- refused


def softmax_in_the_middle():
    b = ModelBuilder(0, (1, 2, 6, 6))
    return b.model(b.conv(b.node("Softmax", "image", name="soft"), 2, 2))


def product_of_maps():
    b = ModelBuilder(0, (1, 4))
    x = b.node("Relu", "image")
    y = b.node("Reshape", x, b.constant([4, 1], np.int64))
    return b.model(b.node("MatMul", x, y, name="product"))


def constant_per_row():
    b = ModelBuilder(0, (1, 2, 6, 6))
    return b.model(b.node("Mul", "image", b.constant(np.ones((6, 1))), name="times"))


def factor_of_a_vector():
    b = ModelBuilder(0, (1, 4))
    return b.model(b.node("Mul", b.node("Relu", "image"), b.constant(2.0), name="times"))


def constant_in_a_concat():
    b = ModelBuilder(0, (1, 2, 6, 6))
    return b.model(
        b.node("Concat", "image", b.constant(np.ones((1, 1, 6, 6))), axis=1, name="join")
    )


def sum_of_one():
    b = ModelBuilder(0, (1, 2, 6, 6))
    return b.model(b.node("Sum", "image", name="sum"))


ACCEPTED = (
    "Add, AveragePool, BatchNormalization, Clip, Concat, Conv, Dropout, Flatten, Gemm, "
    "GlobalAveragePool, GlobalMaxPool, Identity, LRN, MatMul, MaxPool, Mul, Pad, Relu, Reshape, "
    "Sigmoid, "
    "Squeeze, Sum, SumPool, Tanh, Transpose, Unsqueeze"
)
REFUSED = {
    softmax_in_the_middle: "Softmax 'soft': Softmax before other layers is not supported; "
    "accepted: "
    "Softmax at the end of the network",
    product_of_maps: f"MatMul 'product': quantization of this operator is not supported; "
    f"accepted: {ACCEPTED}",
    constant_per_row: "Mul 'times': a constant of shape (6, 1) for one of shape (1, 2, 6, 6) is "
    "not "
    "supported; accepted: one number, or one per channel",
    factor_of_a_vector: "Mul 'times': an affine layer on an input of shape (1, 4) is not "
    "supported; "
    "accepted: a Conv or Gemm before it without another reader, or an input (N, C, H, W)",
    constant_in_a_concat: "Concat 'join': a constant as input is not supported; accepted: feature "
    "maps",
    sum_of_one: "Sum 'sum': 1 inputs is not supported; accepted: 2 inputs",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_refused(make):
    model = make()
    with pytest.raises(NetworkError) as caught:
        quantize(hwsim.load(model), images(model, 1, 0))
    assert str(caught.value) == REFUSED[make]


def test_quantized_network_is_refused():
    model = lenet(seed=0)
    data = images(model, 4, 0)
    network = quantize(hwsim.load(model), data)
    with pytest.raises(NetworkError) as caught:
        quantize(network, data)
    assert str(caught.value).endswith(
        ": a network that is quantized already is not supported; accepted: a float network"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "entropy"}, "method must be 'min-max' or 'percentile', not 'entropy'"),
        ({"percentile": 50}, "percentile must lie above 50 and be at most 100, not 50"),
        ({"percentile": 101}, "percentile must lie above 50 and be at most 100, not 101"),
        ({"activation": "int4"}, "activation must be 'int8' or 'uint8', not 'int4'"),
        ({"weight_bits": 9}, "weight_bits must be an integer from 2 to 8, not 9"),
        ({"weight_bits": 1}, "weight_bits must be an integer from 2 to 8, not 1"),
        ({"weight_bits": 4.0}, "weight_bits must be an integer from 2 to 8, not 4.0"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ValueError) as caught:
        quantize(one_layer(), np.ones((2, 1, 2, 2), np.float32), **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            np.ones((2, 1, 3, 2), np.float32),
            "calibration images must have the shape (N, 1, 2, 2), not (2, 1, 3, 2)",
        ),
        (
            np.ones((1, 2, 2), np.float32),
            "calibration images must have the shape (N, 1, 2, 2), not (1, 2, 2)",
        ),
        (
            np.ones((0, 1, 2, 2), np.float32),
            "calibration images must have the shape (N, 1, 2, 2), not (0, 1, 2, 2)",
        ),
        (np.ones((1, 1, 2, 2)), "calibration images must have the dtype float32, not float64"),
        (np.full((1, 1, 2, 2), np.nan, np.float32), "calibration images must be finite"),
    ],
)
def test_impossible_calibration(data, message):
    with pytest.raises(ValueError) as caught:
        quantize(one_layer(), data)
    assert str(caught.value) == message


def test_calibration_must_fill_batches():
    with pytest.raises(ValueError) as caught:
        quantize(one_layer(shape=(4, 1, 2, 2)), np.ones((6, 1, 2, 2), np.float32))
    assert str(caught.value) == (
        "calibration must hold a multiple of 4 images, the network's batch, not 6"
    )


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"image": (0, 1)}, "ranges must have an entry for 'layer_out'"),
        (
            {"image": (0, math.inf), "layer_out": (0, 1)},
            "the range of 'image' must be finite and ordered, not (0.0, inf)",
        ),
        (
            {"image": (1, 0), "layer_out": (0, 1)},
            "the range of 'image' must be finite and ordered, not (1.0, 0.0)",
        ),
    ],
)
def test_impossible_ranges(ranges, message):
    with pytest.raises(ValueError) as caught:
        insert_qdq(one_layer(), ranges)
    assert str(caught.value) == message


# ------------------------------------------------------------------- a network that others trained


def test_network_of_the_model_zoo():
    network = hwsim.load(bundled("mnist_cnn/mnist_cnn.onnx"))
    assert (network.params, network.macs) == (5_994, 786_560)
    with np.load(bundled("digits/images.npz")) as file:
        test, calibration = (file[name] / np.float32(255) for name in ("images", "calibration"))
        labels = file["labels"]
    lowered = lower(quantize(network, calibration))
    assert [type(layer) for layer in lowered.layers] == [Conv, Pool, Conv, Pool, Dense]
    (codes,) = integer.run(lowered, lowered.input.quantize(test), keep=()).values()
    int8 = np.count_nonzero(codes.reshape(1000, 10).argmax(axis=1) == labels)
    # 994 of 1,000 either way; an image next to a tie may fall on the other side on another machine.
    assert accuracy(network, test, labels) == pytest.approx(0.994, abs=0.001)
    assert int8 == pytest.approx(994, abs=1)
