"""Local response normalization in integers: the index, the table and its error, ONNX Runtime."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import hwsim
from hwsim.models import reference
from hwsim.models.reference import integer
from hwsim.network import NetworkError, lower
from hwsim.network.fixed_point import MULTIPLIER_BITS, Requantize
from hwsim.network.functions import DOMAIN, function
from hwsim.network.geometry import Field, fields
from hwsim.network.integer import LRN, Conv, IntegerTensor, largest_square_sum, log_index
from tests.onnx_models import ModelBuilder, images, run_onnxruntime

# A table may move a result by half a step; a tie of what is then rounded adds nothing.
TABLE_ERROR = 0.5


def index_by_bit_length(total, precision):
    if total < 1 << (precision + 1):
        return total
    dropped = total.bit_length() - 1 - precision
    return (dropped << precision) + (total >> dropped)


@pytest.mark.parametrize("precision", range(4, 11))
def test_index_rises_by_at_most_one(precision):
    sums = np.arange(1 << (precision + 6))
    index = log_index(sums, precision)
    assert index[0] == 0
    assert set(np.diff(index).tolist()) == {0, 1}
    assert np.array_equal(index[: 2 << precision], sums[: 2 << precision])
    assert log_index((1 << (precision + 5)) - 1, precision) + 1 == 6 << precision


@pytest.mark.parametrize("precision", range(4, 11))
def test_index_of_large_sums(precision):
    rng = np.random.default_rng(precision)
    sums = [1 << bit for bit in range(48)]
    sums += [total + offset for total in sums for offset in (-1, 1)]
    sums += rng.integers(0, 1 << rng.integers(1, 48, 500)).tolist()
    expected = [index_by_bit_length(total, precision) for total in sums]
    assert log_index(sums, precision).tolist() == expected


def draw_tensor(rng, name, shape):
    signed, bits = bool(rng.integers(2)), int(rng.choice([4, 8, 8]))
    tensor = IntegerTensor(name, tuple(map(int, shape)), 0.1, 0, bits, signed)
    zero = int(rng.integers(tensor.minimum, tensor.maximum + 1))
    return IntegerTensor(name, tensor.shape, 0.1, zero, bits, signed)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_reference_by_loops(seed, within):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 9)), *((4, 3) if within else (2, 3)))
    source, output = draw_tensor(rng, "x", shape), draw_tensor(rng, "y", shape)
    size, precision = int(rng.integers(1, 8)), int(rng.integers(4, 11))
    entries = int(log_index(largest_square_sum(source, size, within), precision)) + 1
    table = rng.integers(0, 1 << MULTIPLIER_BITS, entries)
    rescale = Requantize([1], [20], output.zero_point, output.minimum, output.maximum)
    layer = LRN("lrn", ("x",), "y", size, precision, table, rescale, within)
    codes = rng.integers(source.minimum, source.maximum + 1, (2, *shape)).astype(source.dtype)
    tensors = {"x": source, "y": output}
    sums = integer.accumulators(layer, [codes], tensors)
    for n, c, row, column in np.ndindex(*codes.shape):
        near = [
            slice(max(0, place - (size - 1) // 2), place + size // 2 + 1)
            for place in (c, row, column)
        ]
        near = codes[(n, c, *near[1:]) if within else (n, near[0], row, column)].ravel().tolist()
        total = sum((code - source.zero_point) ** 2 for code in near)
        factor = int(table[index_by_bit_length(total, precision)])
        assert sums[n, c, row, column] == (int(codes[n, c, row, column]) - source.zero_point) * (
            factor
        )
    found = integer.layer_output(layer, [codes], tensors)
    assert found.dtype == output.dtype
    assert np.array_equal(found, rescale.apply(sums))
    low, high = layer.accumulator_bounds(source)
    assert low <= sums.min() and sums.max() <= high
    ends = [
        (code - source.zero_point) * int(table.max()) for code in (source.minimum, source.maximum)
    ]
    assert (low, high) == (min(0, *ends), max(0, *ends))


@pytest.mark.parametrize("zero_point", [-128, 0, 100])
def test_largest_sum(zero_point):
    tensor = IntegerTensor("x", (3, 1, 1), 1.0, zero_point)
    reach = {-128: 255, 0: 128, 100: 228}[zero_point]
    # Only three channels exist.
    assert largest_square_sum(tensor, 5) == 3 * reach**2
    assert largest_square_sum(replace(tensor, shape=(1, 4, 9)), 5, within=True) == 20 * reach**2


def model(attributes, shape, source, output):
    """An LRN between codes of the formats (scale, zero point, dtype)."""
    constants = {}

    def node(op, x, y, form):
        scale, zero, dtype = form
        constants[f"{y}_scale"] = np.float32(scale)
        constants[f"{y}_zero"] = np.array(zero, dtype)
        return helper.make_node(op, [x, f"{y}_scale", f"{y}_zero"], [y])

    nodes = [
        node("QuantizeLinear", "image", "x", source),
        node("DequantizeLinear", "x", "real", source),
        lrn_node("real", "float", **attributes),
        node("QuantizeLinear", "float", "y", output),
    ]
    image = helper.make_tensor_value_info("image", 1, shape)
    values = [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]
    graph = helper.make_graph(
        nodes, "lrn", [image], [helper.make_empty_tensor_value_info("y")], values
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=10, functions=[function("LRNWithin", 21)]
    )


def lrn_node(x, y, *, size, within=False, name="lrn", **attributes):
    """The node of an LRN: of ONNX, or over pixels."""
    if not within:
        return helper.make_node("LRN", [x], [y], name=name, size=size, **attributes)
    geometry = {
        "kernel_shape": [size] * 2,
        "pads": [(size - 1) // 2] * 2 + [size // 2] * 2,
    }
    return helper.make_node(
        "LRNWithin", [x], [y], name=name, domain=DOMAIN, **geometry, **attributes
    )


def any_attributes(rng):
    """Attributes from all over the range that makes sense."""
    return {
        "size": int(rng.integers(1, 12)),
        "alpha": float(10.0 ** rng.uniform(-5, 1)),
        "beta": float(rng.uniform(0.1, 2.5)),
        "bias": float(10.0 ** rng.uniform(-2, 1)),
        "within": bool(rng.integers(2)),
    }


def allowed(layer):
    """What the table of a layer may add to the error of a result, in steps."""
    return 1.0 if layer.precision == 7 else TABLE_ERROR


def typical(rng):
    """Attributes and formats as networks have them, and some far from it."""
    size = int(rng.choice([1, 3, 5, 5, 7]))
    attributes = {
        "size": size,
        "alpha": float(10.0 ** rng.uniform(-5, 1)),
        "beta": float(rng.choice([0.5, 0.75, 0.75, 1.0])),
        "bias": float(rng.choice([1.0, 1.0, 2.0, 0.5])),
    }
    dtype = rng.choice([np.int8, np.uint8])
    limits = np.iinfo(dtype)
    scale = float(10.0 ** rng.uniform(-2, 0))
    zero = int(rng.choice([limits.min, limits.min, (limits.min + limits.max + 1) // 2]))
    channels = int(rng.integers(1, 12))
    return attributes, (1, channels, 5, 4), (scale, zero, dtype)


def exact(attributes, codes, source):
    """The real numbers, float64, that ONNX defines for the codes (N, C, H, W)."""
    real = (codes.astype(np.float64) - source.zero_point) * source.scale
    size, result = attributes["size"], np.empty(real.shape)
    alpha, beta, bias = (np.float64(np.float32(attributes[n])) for n in ("alpha", "beta", "bias"))
    if attributes.get("within"):
        for _, _, row, column in np.ndindex(1, 1, *real.shape[2:]):
            rows, columns = (
                slice(max(0, at - (size - 1) // 2), at + size // 2 + 1) for at in (row, column)
            )
            total = (real[:, :, rows, columns] ** 2).sum((2, 3))
            scale = (bias + alpha / size**2 * total) ** beta
            result[:, :, row, column] = real[:, :, row, column] / scale
        return result
    for c in range(real.shape[1]):
        near = real[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        result[:, c] = real[:, c] / (bias + alpha / size * (near**2).sum(1)) ** beta
    return result


@pytest.mark.parametrize(("seed", "within"), [(seed, seed >= 60) for seed in range(90)])
def test_error_is_bounded_and_onnxruntime_is_one_step_away_at_most(seed, within):
    rng = np.random.default_rng(seed)
    attributes, shape, form = typical(rng)
    attributes["within"] = within
    scale, zero, dtype = form
    limits = np.iinfo(dtype)
    source = IntegerTensor("x", shape[1:], float(np.float32(scale)), zero, 8, dtype == np.int8)
    # Codes crowd around zero and reach the ends, so that sums of all sizes occur.
    spread = 10.0 ** rng.uniform(-1, 2.5, (40, *shape[1:]))
    codes = np.clip(np.rint(rng.normal(0, spread)) + zero, limits.min, limits.max).astype(dtype)
    codes[0], codes[1] = limits.min, limits.max
    real = exact(attributes, codes, source)
    step = float(np.float32(np.abs(real).max() / 127 + 1e-9))
    made = model(attributes, shape, form, (step, zero if dtype == np.int8 else 128, dtype))
    network = lower(hwsim.load(made))
    (layer,), output = network.layers, network.outputs[0]
    assert isinstance(layer, LRN) and layer.within == within
    assert layer.table.max() < 1 << MULTIPLIER_BITS and layer.table.min() >= 0
    largest = largest_square_sum(source, layer.size, within)
    assert len(layer.table) == log_index(largest, layer.precision) + 1
    product = integer.accumulators(layer, [codes], network.tensors)
    unrounded = np.ldexp(product.astype(np.float64), -int(layer.requantize.shift[0]))
    assert np.abs(unrounded - real / output.scale).max() <= TABLE_ERROR + 1e-6
    found = integer.layer_output(layer, [codes], network.tensors)
    inside = (found > output.minimum) & (found < output.maximum)
    ideal = real / output.scale + output.zero_point
    # Ideal rounding is off by half a step, this by one.
    assert np.abs(found - ideal)[inside].max(initial=0) <= 0.5 + TABLE_ERROR + 1e-6
    theirs = run_onnxruntime(made, network.input.dequantize(codes), ["y"], optimize=False)["y"]
    distance = np.abs(found.astype(int) - theirs.reshape(found.shape))
    assert distance.max() <= 1


@pytest.mark.parametrize("size", [2, 4])
def test_even_sizes_reach_one_channel_further_up(size):
    attributes = {"size": size, "alpha": 1.0, "beta": 0.75, "bias": 1.0}
    network = lower(
        hwsim.load(model(attributes, (1, 6, 3, 3), (0.05, 0, np.int8), (0.02, 0, np.int8)))
    )
    codes = np.random.default_rng(0).integers(-128, 128, (5, 6, 3, 3)).astype(np.int8)
    found = integer.run(network, codes)["y"]
    ideal = exact(attributes, codes, network.input) / network.outputs[0].scale
    assert np.abs(found - np.clip(ideal, -128, 127)).max() <= 0.5 + TABLE_ERROR + 1e-6


def test_a_precise_table_is_made_only_where_it_is_needed():
    attributes = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    forms = {"weak": (0.01, 0, np.int8), "strong": (10.0, -128, np.int8)}
    precision = {}
    for name, form in forms.items():
        largest = 255 * form[0] if name == "weak" else 60.0
        made = model(attributes, (1, 8, 2, 2), form, (largest / 255, form[1], np.int8))
        precision[name] = lower(hwsim.load(made)).layers[0].precision
    assert precision["weak"] == 4 < precision["strong"]


def test_quantize_and_a_relu_behind():
    b = ModelBuilder(0, (1, 3, 8, 8))
    x = b.node("LRN", b.node("Relu", b.conv("image", 3, 8)), name="norm", size=5, alpha=0.5)
    made = b.model(b.conv(b.node("Relu", x), 8, 4))
    network = lower(hwsim.quantize(hwsim.load(made), images(made, 8, 1)))
    assert [type(layer) for layer in network.layers] == [Conv, LRN, Conv]
    rescale = network.layers[1].requantize
    assert rescale.minimum == rescale.zero_point


# -------------------------------------------------------------------- within a channel, in a file


def within_model(size=3):
    """An LRN over pixels behind a convolution, as ONNX with a function."""
    b = ModelBuilder(0, (1, 3, 8, 7), "within")
    x = b.conv("image", 3, 4)
    b.nodes.append(lrn_node(x, "y", size=size, within=True, alpha=2.0, beta=0.75, bias=1.0))
    return with_function(b, "y")


def with_function(b, output):
    """The model of a `ModelBuilder` that holds an LRN over pixels."""
    outputs = [helper.make_empty_tensor_value_info(output)]
    graph = helper.make_graph(b.nodes, b.name, [b.input], outputs, b.initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9, functions=[function("LRNWithin", 17)]
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_within_a_channel_is_kept_in_files_and_agrees_with_onnxruntime(size, tmp_path):
    made = within_model(size)
    network = hwsim.load(made)
    assert network.layers[1].attributes == {
        "alpha": 2.0,
        "beta": 0.75,
        "bias": 1.0,
        "size": size,
        "within": True,
    }
    network.save(tmp_path / "within.onnx")
    again = hwsim.load(tmp_path / "within.onnx")
    assert [(y.op, y.attributes) for y in again.layers] == [
        (y.op, y.attributes) for y in network.layers
    ]
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 7)).astype(np.float32)
    (ours,) = reference.run(network, x).values()
    for file in (made, onnx.load(tmp_path / "within.onnx")):
        theirs = run_onnxruntime(file, x)["y"]
        assert np.abs(ours - theirs).max() <= 1e-6


def test_pixels_that_a_normalized_value_sees():
    network = hwsim.load(within_model(4))
    axis = Field(size=3 + 3, jump=1, start=-1)
    assert fields(network)["y"] == (axis, axis)


def test_another_function_of_that_name_is_written_out():
    made = within_model()
    made.functions[0].node[-1].op_type = "Mul"
    with pytest.raises(NetworkError, match=r"^operator Pow \("):
        hwsim.load(made)
    made.functions[0].opset_import[0].version = 13
    with pytest.raises(NetworkError) as caught:
        hwsim.load(made)
    assert str(caught.value) == "within has functions of another operator set than its own"


@pytest.mark.parametrize(
    ("name", "values", "accepted"),
    [
        ("kernel_shape", [3, 5], "2 equal positive integers"),
        ("pads", [1, 1, 2, 2], "[1, 1, 1, 1]"),
    ],
)
def test_refuses_other_neighbourhoods(name, values, accepted):
    made = within_model()
    (attribute,) = (a for a in made.graph.node[1].attribute if a.name == name)
    attribute.ints[:] = values
    with pytest.raises(NetworkError) as caught:
        hwsim.load(made)
    assert str(caught.value) == (
        f"LRNWithin 'lrn': {name} = {values} is not supported; accepted: {accepted}"
    )


@pytest.mark.parametrize(
    ("channels", "attributes"),
    [
        (96, {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}),  # AlexNet, ZFNet
        (64, {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}),  # GoogLeNet
        (64, {"size": 9, "alpha": 1e-3, "beta": 0.75, "bias": 1.0}),  # the CIFAR-10 tutorial
    ],
)
def test_hardware_of_known_networks_is_within_a_step_of_onnxruntime(channels, attributes):
    """As in AlexNet and GoogLeNet: codes from 0 on, up to 100, which the normalization feels."""
    form = (100 / 255, 0, np.uint8)
    made = model(attributes, (1, channels, 3, 2), form, (0.2, 0, np.uint8))
    rng = np.random.default_rng(channels)
    codes = rng.integers(0, 256, (6, channels, 3, 2)).astype(np.uint8)
    codes[0], codes[1] = 255, 0
    network = hwsim.load(made)
    real = lower(network).input.dequantize(codes)
    result = hwsim.simulate(hwsim.build(network), real, lanes=1)
    assert result.mismatches == 0
    theirs = run_onnxruntime(made, real, ["y"], optimize=False)["y"]
    distance = np.abs(result.outputs.astype(int) - theirs.reshape(result.outputs.shape))
    assert distance.max() <= 1
    assert np.ptp(result.outputs) > 10


def test_streaming_both_kinds_and_not_on_the_array():
    made = within_model()
    network = hwsim.quantize(hwsim.load(made), images(made, 8, 1))
    design = hwsim.build(network)
    result = hwsim.simulate(design, images(made, 2, 2), lanes=1)
    assert result.mismatches == 0 and result.cycles == design.cycles(images=2)
    with pytest.raises(NetworkError) as caught:
        hwsim.build(network, hwsim.Systolic(rows=4, cols=4))
    assert str(caught.value) == (
        "layer lrn: the systolic accelerator normalizes across channels only"
    )


# --------------------------------------------------------------------- any attributes and inputs


def made_of(attributes, shape):
    """The model of nothing but an LRN."""
    b = ModelBuilder(0, (1, *shape), "any")
    b.nodes.append(lrn_node("image", "y", **attributes))
    return with_function(b, "y")


def check_hardware(attributes, x, images=2):
    """Quantize, build and simulate an LRN, check its error; returns the layer."""
    made = made_of(attributes, x.shape[1:])
    design = hwsim.build(hwsim.quantize(hwsim.load(made), calibration=x))
    network = design.plan.network
    (layer,), output = network.layers, network.outputs[0]
    result = hwsim.simulate(design, x[:images], lanes=1)
    assert result.mismatches == 0 and result.cycles == design.cycles(images=images)
    codes = network.input.quantize(x)
    found = integer.layer_output(layer, [codes], network.tensors)
    assert np.array_equal(found[:images], result.outputs.reshape(found[:images].shape))
    bounds = layer.requantize.minimum, layer.requantize.maximum
    # What saturates has no error.
    ideal = exact(attributes, codes, network.input) / output.scale + output.zero_point
    ideal = np.clip(ideal, *bounds)
    assert np.abs(found - ideal).max() <= 0.5 + allowed(layer) + 1e-6
    positive = min(attributes["alpha"], attributes["beta"]) > 0
    if attributes.get("within") or (attributes["size"] % 2 and positive):
        # ONNX Runtime knows no others.
        theirs = output.quantize(run_onnxruntime(made, network.input.dequantize(codes))["y"])
        assert np.abs(found.astype(int) - np.clip(theirs, *bounds)).max() <= 1
    products = integer.accumulators(layer, [codes], network.tensors)
    unrounded = np.ldexp(products.astype(np.float64), -int(layer.requantize.shift[0]))
    unrounded = np.clip(unrounded + output.zero_point, *bounds)
    assert np.abs(unrounded - ideal).max() <= allowed(layer) + 1e-6
    return layer


def check_any(seed):
    """Hardware with random attributes; returns its layer."""
    rng = np.random.default_rng(seed)
    attributes = any_attributes(rng)
    shape = rng.integers(1, 13), *rng.integers(1, 7, 2)
    x = rng.normal(0, 10.0 ** rng.uniform(-1, 2.5), (8, *shape)).astype(np.float32)
    x[4:] *= 10.0 ** rng.uniform(-2, 0, x[4:].shape)  # values of all sizes
    return check_hardware(attributes, x)


@pytest.mark.parametrize("seed", range(8))
def test_hardware_with_any_attributes(seed):
    check_any(seed)


ANY = [
    # Beta and alpha so large that most results are far below the largest: they decide the scale.
    ({"size": 5, "alpha": 1.0, "beta": 0.75, "bias": 1.0}, 128),
    ({"size": 3, "alpha": 0.5, "beta": 2.0, "bias": 0.1}, 255),
    ({"size": 9, "alpha": 10.0, "beta": 1.5, "bias": 0.1}, 100),
    ({"size": 9, "alpha": 10.0, "beta": 3.0, "bias": 0.01, "within": True}, 300),
    ({"size": 3, "alpha": 1.0, "beta": 10.0, "bias": 0.01}, 3),
    ({"size": 3, "alpha": 1.0, "beta": -1.0, "bias": 0.01}, 3),
    ({"size": 3, "alpha": 1.0, "beta": 0.0, "bias": 0.5}, 3),
    ({"size": 3, "alpha": 0.0, "beta": 0.75, "bias": 2.0}, 3),
    ({"size": 3, "alpha": 1.0, "beta": 0.75, "bias": 0.0}, 3),
    ({"size": 20, "alpha": 1.0, "beta": 0.75, "bias": 1.0, "within": True}, 3),
]


@pytest.mark.parametrize(("attributes", "spread"), ANY)
def test_hardware_with_attributes_far_from_those_of_networks(attributes, spread):
    x = np.random.default_rng(0).normal(0, spread, (8, 8, 6, 5)).astype(np.float32)
    check_hardware(attributes, x)


def test_a_fine_table_on_the_array():
    attributes = {"size": 9, "alpha": 10.0, "beta": 2.5, "bias": 1.0}
    x = np.random.default_rng(0).normal(0, 100, (8, 8, 6, 5)).astype(np.float32)
    network = hwsim.quantize(hwsim.load(made_of(attributes, x.shape[1:])), calibration=x)
    options = {"rows": 4, "cols": 4, "buffer_bytes": 4096}
    with pytest.raises(NetworkError) as caught:
        hwsim.build(network, hwsim.Systolic(**options))
    assert str(caught.value) == "layer lrn: factor_precision must be at least 8 for it, not 7"
    for precision in (8, 10):
        design = hwsim.build(network, hwsim.Systolic(**options, factor_precision=precision))
        result = hwsim.simulate(design, x[:2], lanes=1)
        assert result.mismatches == 0 and result.cycles == design.cycles(images=2)


def test_zeros_without_a_bias_stay_zeros():
    attributes = {"size": 3, "alpha": 1.0, "beta": 0.75, "bias": 0.0}
    made = model(attributes, (1, 4, 2, 2), (0.1, 5, np.int8), (0.1, 7, np.int8))
    codes = np.full((1, 4, 2, 2), 5, np.int8)
    assert (integer.run(lower(hwsim.load(made)), codes)["y"] == 7).all()


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("beta", [0.5, 0.75, -0.5])
def test_hardware_with_zeros_and_without_a_bias(beta, within):
    attributes = {"size": 3, "alpha": 1.0, "beta": beta, "bias": 0.0, "within": within}
    x = np.random.default_rng(0).normal(0, 3, (8, 6, 5, 4)).astype(np.float32)
    x[:, 1:5], x[1] = 0, 0
    network = hwsim.load(made_of(attributes, x.shape[1:]))
    (real,) = reference.run(network, x).values()
    assert np.isfinite(real).all() and (real[x == 0] == 0).all()
    quantized = hwsim.quantize(network, calibration=x)
    array = hwsim.Systolic(rows=4, cols=4, buffer_bytes=4096, factor_precision=10)
    for arguments in [()] if within else [(), (array,)]:
        design = hwsim.build(quantized, *arguments)
        result = hwsim.simulate(design, x[:3], lanes=1)
        assert result.mismatches == 0 and result.cycles == design.cycles(images=3)
        (layer,), output = design.network.layers, design.network.outputs[0]
        assert (result.outputs[x[:3] == 0] == output.zero_point).all()
        codes = design.network.input.dequantize(result.inputs)
        (ideal,) = reference.run(network, codes).values()
        ideal = np.clip(ideal / output.scale + output.zero_point, output.minimum, output.maximum)
        # In float32 the ideal is off by (3 + 8) * 2**-24 of up to 255 codes.
        assert np.abs(result.outputs - ideal).max() <= 0.5 + allowed(layer) + 2e-4


@pytest.mark.parametrize(
    ("source", "output", "bits"),
    [
        ((0.25, 0, np.int8), (2.0**-18, 0, np.int16), 24),
        ((2.0**-6, 0, np.int16), (2.0**-16, 0, np.uint8), 24),
        ((2.0**-6, 0, np.uint16), (2.0**-24, 0, np.int16), 33),
    ],
)
def test_codes_of_16_bits_have_wider_factors(source, output, bits):
    """Factors that fill so many bits, and results that saturate."""
    attributes = {"size": 3, "alpha": 2.0, "beta": 0.75, "bias": 1.0}
    made = hwsim.load(model(attributes, (1, 4, 2, 3), source, output))
    network = lower(made)
    (layer,), target = network.layers, network.outputs[0]
    assert int(layer.table.max()).bit_length() == bits
    rng = np.random.default_rng(0)
    spread = 10.0 ** rng.uniform(0, 5, (40, 4, 2, 3))
    real = (rng.normal(0, spread) * source[0]).astype(np.float32)
    codes = network.input.quantize(real)
    found = integer.run(network, codes)["y"]
    ideal = exact(attributes, codes, network.input) / target.scale
    ideal = np.clip(ideal, target.minimum, target.maximum)
    assert np.abs(found - ideal).max() <= 0.5 + TABLE_ERROR + 1e-6
    assert (found == target.maximum).any()
    if len(layer.table) < 10_000:  # the others take long
        result = hwsim.simulate(hwsim.build(made), real, lanes=1)
        assert result.mismatches == 0 and np.array_equal(result.outputs, found)


# ------------------------------------------------------------------------------------- refused

PLAIN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
CODES = (0.125, 0, np.int8)
REFUSED = [
    (
        {"alpha": -0.5},
        "alpha = -0.5 with beta = 0.75 and bias = 1",
    ),
    (
        {"bias": -0.5},
        "alpha = 0.0001 with beta = 0.75 and bias = -0.5",
    ),
    (
        {"alpha": 0.0, "bias": 0.0},
        "alpha = 0 with beta = 0.75 and bias = 0",
    ),
    (
        {"beta": float("inf")},
        "alpha = 0.0001 with beta = inf and bias = 1",
    ),
]


@pytest.mark.parametrize(("changes", "given"), REFUSED)
def test_refused(changes, given):
    attributes, shape = {**PLAIN, **changes}, (1, 4, 3, 3)
    for refused in (
        lambda: lower(hwsim.load(model(attributes, shape, CODES, CODES))),
        lambda: hwsim.quantize(
            hwsim.load(made_of(attributes, shape[1:])), np.ones(shape, np.float32)
        ),
    ):
        with pytest.raises(NetworkError) as caught:
            refused()
        assert str(caught.value) == (
            f"LRN 'lrn': {given} is not supported; accepted: finite numbers, alpha and bias of at "
            "least 0 and not both 0"
        )


def test_powers_beyond_floats_are_refused():
    attributes = {"size": 3, "alpha": 1.0, "beta": 40.0, "bias": 0.0}
    x = np.ones((1, 8, 3, 3), np.float32)
    x[:, 2:4], x[:, 4:] = 1e-3, 0  # of which there are zeros beside what is not 0
    with pytest.raises(ValueError) as caught:
        hwsim.quantize(hwsim.load(made_of(attributes, x.shape[1:])), x)
    assert str(caught.value) == "the range of 'y' must be finite and ordered, not (0.0, inf)"


def test_refuses_rows():
    b = ModelBuilder(0, (1, 3, 8))
    made = b.model(b.node("LRN", "image", name="norm", size=3))
    with pytest.raises(NetworkError) as caught:
        lower(hwsim.quantize(hwsim.load(made), images(made, 1, 0)))
    assert str(caught.value).startswith("input 'image' has the shape (1, 3, 8)")
