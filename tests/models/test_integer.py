"""The integer reference: against loops over exact Python integers, and against ONNX Runtime.

ONNX Runtime rounds the scale factor of an accumulator to float32, we to 17 bits; both then round to
nearest. So results differ where the exact value lies next to a tie, and by 1 only. Its kernels for
x86 without VNNI saturate sums of two products at 16 bits; weights of 7 bits avoid that, so that the
tests hold on any machine.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from onnx import helper, numpy_helper

import hwsim
from hwsim.models.reference import integer
from hwsim.network import lower
from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import (
    Add,
    Concat,
    Conv,
    Dense,
    IntegerNetwork,
    IntegerTensor,
    Mul,
    Pad,
    Pool,
    Table,
)
from hwsim.validation.networks import images_for, random_network
from tests.onnx_models import run_onnxruntime

INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)


# ------------------------------------------------------------------------ exact, tap by tap


def rescaled(rescale, total, index):
    """The rule of `Requantize`, in rational numbers."""
    index = index if rescale.multiplier.size > 1 else 0
    m, s = int(rescale.multiplier[index]), int(rescale.shift[index])
    exact = round(Fraction(int(total) * m, 1 << s)) + rescale.zero_point
    return min(max(exact, rescale.minimum), rescale.maximum)


def taps(layer, kernel, row, column):
    """Kernel indices and positions in the unpadded map of one window."""
    for i, j in itertools.product(range(kernel[0]), range(kernel[1])):
        y = row * layer.strides[0] + i * layer.dilations[0] - layer.pads[0]
        x = column * layer.strides[1] + j * layer.dilations[1] - layer.pads[1]
        yield i, j, y, x


def conv_by_loops(layer, codes, source, output):
    channels, per_group, *kernel = layer.weights.shape
    height, width = codes.shape[1:]
    result = np.zeros(output.shape, int)
    for o, r, c in np.ndindex(*output.shape):
        first = o // (channels // layer.groups) * per_group
        total = int(layer.bias[o])
        for i, j, y, x in taps(layer, kernel, r, c):
            for k in range(per_group):
                inside = 0 <= y < height and 0 <= x < width
                code = int(codes[first + k, y, x]) if inside else source.zero_point
                total += int(layer.weights[o, k, i, j]) * code
        result[o, r, c] = rescaled(layer.requantize, total, o)
    return result


def pool_by_loops(layer, codes, source, output):
    height, width = codes.shape[1:]
    top, left, bottom, right = layer.pads
    result = np.zeros(output.shape, int)
    for k, r, c in np.ndindex(*output.shape):
        values, count = [], 0
        for _, _, y, x in taps(layer, layer.kernel, r, c):
            inside = 0 <= y < height and 0 <= x < width
            padded = -top <= y < height + bottom and -left <= x < width + right
            count += padded if layer.count_include_pad else inside
            if inside:
                values.append(int(codes[k, y, x]))
        if layer.kind == "max":
            result[k, r, c] = max(values)
        else:
            total = sum(value - source.zero_point for value in values)
            index = 0 if layer.kind == "sum" else layer.counts.index(count)
            result[k, r, c] = rescaled(layer.requantize, total, index)
    return result


def windows(size, kernel, stride, dilation, begin, end, ceil_mode=False):
    room = size + begin + end - (kernel - 1) * dilation - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + begin else count


def draw_tensor(rng, name, shape):
    signed, bits = bool(rng.integers(2)), int(rng.choice([4, 8, 8, 16]))
    tensor = IntegerTensor(name, tuple(map(int, shape)), 0.1, 0, bits, signed)
    zero = int(rng.integers(tensor.minimum, tensor.maximum + 1))
    return IntegerTensor(name, tensor.shape, 0.1, zero, bits, signed)


def draw_codes(rng, tensor, count):
    return rng.integers(tensor.minimum, tensor.maximum + 1, (count, *tensor.shape))


def draw_rescale(rng, output, spread, channels):
    scales = (output.maximum - output.minimum) / spread * rng.uniform(0.01, 2, channels)
    low = output.zero_point if rng.random() < 0.4 else output.minimum
    return Requantize.from_scales(
        scales, zero_point=output.zero_point, minimum=low, maximum=output.maximum
    )


def draw_geometry(rng, size, *, ceil_mode=False):
    """Window parameters that leave at least one window; the output's size."""
    while True:
        kernel, strides, dilations = (tuple(map(int, rng.integers(1, n, 2))) for n in (4, 4, 3))
        pads = tuple(int(rng.integers(0, kernel[a % 2])) for a in range(4))
        out = tuple(
            windows(size[a], kernel[a], strides[a], dilations[a], pads[a], pads[a + 2], ceil_mode)
            for a in (0, 1)
        )
        if min(out) > 0:
            return kernel, strides, dilations, pads, out


@pytest.mark.parametrize("seed", range(40))
def test_conv_by_loops(seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 3]))
    per_group, out_per_group = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    size = tuple(map(int, rng.choice([1, 2, 5, 7], 2)))
    kernel, strides, dilations, pads, out = draw_geometry(rng, size)
    source = draw_tensor(rng, "x", (groups * per_group, *size))
    output = draw_tensor(rng, "y", (groups * out_per_group, *out))
    weights = rng.integers(-128, 128, (groups * out_per_group, per_group, *kernel))
    bias = rng.integers(-(1 << 20), 1 << 20, len(weights))
    spread = 100 * source.maximum * weights[0].size
    rescale = draw_rescale(rng, output, spread, len(weights))
    layer = Conv("c", ("x",), "y", weights, bias, strides, dilations, pads, groups, rescale)
    codes = draw_codes(rng, source, 2)
    found = integer.layer_output(layer, [codes], {"x": source, "y": output})
    expected = [conv_by_loops(layer, image, source, output) for image in codes]
    assert found.dtype == output.dtype
    assert np.array_equal(found, expected), f"seed {seed}"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", ["max", "average", "sum"])
def test_pool_by_loops(kind, seed):
    rng = np.random.default_rng([seed, 7])
    size = tuple(map(int, rng.choice([2, 5, 7], 2)))
    ceil_mode = bool(rng.integers(2))
    geometry = dict.fromkeys(["kernel", "strides", "dilations", "pads", "ceil_mode"])
    source = draw_tensor(rng, "x", (2, *size))
    while True:
        *geometry, out = draw_geometry(rng, size, ceil_mode=ceil_mode)
        include = bool(rng.integers(2)) and kind == "average"
        layer = Pool("p", ("x",), "y", kind, *geometry, ceil_mode, include)
        inside = Pool("p", ("x",), "y", kind, *geometry).window_counts(source, out)
        counts = np.unique(layer.window_counts(source, out))
        if inside.min() > 0:
            break
    output = source if kind == "max" else draw_tensor(rng, "y", (2, *out))
    output = IntegerTensor("y", (2, *out), 0.1, output.zero_point, output.bits, output.signed)
    if kind != "max":
        counts = counts if kind == "average" else np.array([1])
        rescale = draw_rescale(rng, output, 2 * source.maximum * counts, len(counts))
        layer = Pool(
            "p", ("x",), "y", kind, *geometry, ceil_mode, include, tuple(counts.tolist()), rescale
        )
    codes = draw_codes(rng, source, 2)
    found = integer.layer_output(layer, [codes], {"x": source, "y": output})
    expected = [pool_by_loops(layer, image, source, output) for image in codes]
    assert np.array_equal(found, expected), f"seed {seed}"


@pytest.mark.parametrize("seed", range(10))
def test_dense_by_loops(seed):
    rng = np.random.default_rng(seed)
    source = draw_tensor(rng, "x", rng.integers(1, 5, 3))
    output = draw_tensor(rng, "y", (4, 1, 1))
    weights = rng.integers(-128, 128, (4, int(np.prod(source.shape))))
    bias = rng.integers(-(1 << 20), 1 << 20, 4)
    rescale = draw_rescale(rng, output, 100 * source.maximum * weights[0].size, 4)
    layer = Dense("d", ("x",), "y", weights, bias, rescale)
    codes = draw_codes(rng, source, 3)
    found = integer.layer_output(layer, [codes], {"x": source, "y": output})
    for image, vector in zip(codes, found, strict=True):
        flat = [int(code) for code in image.reshape(-1)]
        for o in range(4):
            total = int(bias[o]) + sum(int(w) * x for w, x in zip(weights[o], flat, strict=True))
            assert vector[o, 0, 0] == rescaled(rescale, total, o)


@pytest.mark.parametrize("seed", range(10))
def test_add_and_mul_by_loops(seed):
    rng = np.random.default_rng(seed)
    a, b = draw_tensor(rng, "a", (3, 2, 4)), draw_tensor(rng, "b", (3, 2, 4))
    vector = draw_tensor(rng, "v", (3, 1, 1))
    output = draw_tensor(rng, "y", (3, 2, 4))
    tensors = {"a": a, "b": b, "v": vector, "y": output}
    multipliers = tuple(map(int, rng.integers(1, 1 << 17, 2)))
    shift = Requantize(np.array([1]), np.array([16]), output.zero_point, output.minimum, 3)
    rescale = draw_rescale(rng, output, a.maximum * b.maximum, 1)
    x, y, v = (draw_codes(rng, tensor, 2) for tensor in (a, b, vector))
    added = integer.layer_output(Add("s", ("a", "b"), "y", multipliers, shift), [x, y], tensors)
    times = integer.layer_output(Mul("m", ("a", "b"), "y", rescale), [x, y], tensors)
    gated = integer.layer_output(Mul("g", ("a", "v"), "y", rescale), [x, v], tensors)
    for index in np.ndindex(*x.shape):
        p = int(x[index]) - a.zero_point
        q = int(y[index]) - b.zero_point
        r = int(v[index[:2]][0, 0]) - vector.zero_point
        assert added[index] == rescaled(shift, p * multipliers[0] + q * multipliers[1], 0)
        assert times[index] == rescaled(rescale, p * q, 0)
        assert gated[index] == rescaled(rescale, p * r, 0)


def test_table_concat_and_pad():
    rng = np.random.default_rng(1)
    a, b = IntegerTensor("a", (1, 2, 3), 0.1, 4), IntegerTensor("b", (2, 2, 3), 0.1, 4)
    y = IntegerTensor("y", (3, 2, 3), 0.1, 4)
    padded = IntegerTensor("p", (1, 4, 6), 0.1, 4)
    tensors = {"a": a, "b": b, "y": y, "p": padded}
    table = rng.permutation(np.arange(-128, 128))
    x, z = draw_codes(rng, a, 2), draw_codes(rng, b, 2)
    found = integer.layer_output(Table("t", ("a",), "a", table), [x], tensors)
    assert found.reshape(-1).tolist() == [table[code + 128] for code in x.reshape(-1)]
    joined = integer.layer_output(Concat("c", ("a", "b"), "y"), [x, z], tensors)
    assert np.array_equal(joined[:, :1], x) and np.array_equal(joined[:, 1:], z)
    constant = Pad("p", ("a",), "p", (1, 2, 1, 1), "constant", 4)
    edge = Pad("p", ("a",), "p", (1, 2, 1, 1), "edge")
    found = integer.layer_output(constant, [x], tensors)
    assert np.array_equal(found[:, :, 1:-1, 2:-1], x)
    assert (found[:, :, 0] == 4).all() and (found[:, :, :, :2] == 4).all()
    found = integer.layer_output(edge, [x], tensors)
    assert np.array_equal(found[:, :, 0, 2:-1], x[:, :, 0])
    assert np.array_equal(found[:, :, 1:-1, 0], x[:, :, :, 0])


# ------------------------------------------------------------------------------ extremes


@pytest.mark.parametrize("taps_count", [1024, 1025, 40000])
@pytest.mark.parametrize("code", [-128, 127])
@pytest.mark.parametrize("weight", [-128, 127])
def test_extremes_do_not_round(code, weight, taps_count):
    # 1024 * 128 * 128 is 2**24, the last integer up to which float32 has them all.
    source, output = (
        IntegerTensor("x", (taps_count, 1, 1), 1.0, 0),
        IntegerTensor("y", (2, 1, 1), 1.0, 0),
    )
    weights = np.full((2, taps_count), weight)
    weights[1, -1] = 1
    one = Requantize.from_scales([1.0], zero_point=0, minimum=-128, maximum=127)
    tensors = {"x": source, "y": output}
    bias = np.array([3, -5])
    codes = np.full((1, taps_count, 1, 1), code)
    expected = [taps_count * weight * code + 3, (taps_count - 1) * weight * code + code - 5]
    dense = Dense("d", ("x",), "y", weights, bias, one)
    assert integer.accumulators(dense, [codes], tensors).reshape(-1).tolist() == expected
    shape = (2, taps_count, 1, 1)
    conv = Conv("c", ("x",), "y", weights.reshape(shape), bias, (1, 1), (1, 1), (0,) * 4, 1, one)
    assert integer.accumulators(conv, [codes], tensors).reshape(-1).tolist() == expected


def test_sums_beyond_float64_are_exact():
    source = IntegerTensor("x", (3, 1, 1), 1.0, 0, 16)
    output = IntegerTensor("y", (1, 1, 1), 1.0, 0)
    weights = np.array([[1 << 40, 1, 1 << 40]])
    layer = Dense("d", ("x",), "y", weights, np.array([0]), Requantize.from_scales([1], **_ANY))
    codes = np.array([32767, 1, 32767]).reshape(1, 3, 1, 1)
    found = integer.accumulators(layer, [codes], {"x": source, "y": output})
    assert found.item() == 2 * 32767 * (1 << 40) + 1


_ANY = {"zero_point": 0, "minimum": -128, "maximum": 127}


@pytest.mark.parametrize("seed", range(20))
def test_bounds_hold_for_every_partial_sum_and_are_reached(seed):
    rng = np.random.default_rng(seed)
    source = draw_tensor(rng, "x", (7, 1, 1))
    weights, bias = rng.integers(-128, 128, (3, 7)), rng.integers(-(1 << 12), 1 << 12, 3)
    layer = Dense("d", ("x",), "y", weights, bias, Requantize.from_scales([1], **_ANY))
    low, high = layer.accumulator_bounds(source)
    reached = []
    for row, offset in zip(weights, bias, strict=True):
        for codes in (
            draw_codes(rng, source, 1).reshape(-1),
            np.where(row > 0, source.maximum, source.minimum),
            np.where(row > 0, source.minimum, source.maximum),
        ):
            terms = np.append(row * codes, offset)
            sums = [np.cumsum(rng.permutation(terms)) for _ in range(5)] + [
                np.cumsum(np.sort(terms)),
                np.cumsum(np.sort(terms)[::-1]),
            ]
            reached += [np.min(sums), np.max(sums)]
    assert min(reached) == low or low == 0
    assert max(reached) == high or high == 0
    assert low <= 0 <= high


@pytest.mark.parametrize("seed", range(10))
def test_bounds_of_elementwise_layers(seed):
    rng = np.random.default_rng(seed)
    a, b = draw_tensor(rng, "a", (1, 1, 1)), draw_tensor(rng, "b", (1, 1, 1))
    multipliers = tuple(map(int, rng.integers(1, 1 << 17, 2)))
    rescale = Requantize.from_scales([1], **_ANY)
    ends = [(t.minimum - t.zero_point, t.maximum - t.zero_point) for t in (a, b)]
    sums = [p * multipliers[0] + q * multipliers[1] for p in ends[0] for q in ends[1]]
    assert Add("s", ("a", "b"), "y", multipliers, rescale).accumulator_bounds(a, b) == (
        min(sums),
        max(sums),
    )
    products = [0] + [p * q for p in ends[0] for q in ends[1]]
    found = Mul("m", ("a", "b"), "y", rescale).accumulator_bounds(a, b)
    assert found == (min(products), max(products))
    window = ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0))
    pool = Pool("p", ("a",), "y", "average", *window)
    assert pool.accumulator_bounds(a) == (6 * ends[0][0], 6 * ends[0][1])
    pool = Pool("p", ("a",), "y", "max", *window)
    assert pool.accumulator_bounds(a) == (a.minimum, a.maximum)


# ------------------------------------------------------------------------- ONNX Runtime


class Share:
    """Counts how many codes differ; none by more than 1."""

    def __init__(self):
        self.differing = self.total = 0

    def add(self, found, expected, what):
        distance = np.abs(found.astype(int).reshape(-1) - expected.astype(int).reshape(-1))
        assert distance.max() <= 1, f"{what}: {distance.max()} apart"
        self.differing += int((distance > 0).sum())
        self.total += distance.size

    def report(self, what):
        share = 100 * self.differing / self.total
        print(f"{what}: {self.differing} of {self.total} codes differ by 1 ({share:.3f} %)")
        # A code lies up to 128 steps from zero; a factor of 12 to 17 significant bits moves it by
        # 0.001 to 0.03 of a step at most, by which it has to miss a tie.
        assert share < 1


def node_model(op, tensors, constants, output, domain="", **attributes):
    """A quantized model of one node. tensors: mapping of run-time input to (dtype, shape).

    constants: mapping of name to array. The order of inputs is that of ``attributes["order"]``.
    """
    order = attributes.pop("order")
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
        for name, (dtype, shape) in tensors.items()
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    node = helper.make_node(op, order, ["y"], name="node", domain=domain, **attributes)
    info = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(output), None)
    graph = helper.make_graph([node], op, inputs, [info], initializers)
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def scale_and_zero(rng, prefix, dtype, scale=None):
    limits = np.iinfo(dtype)
    zero = rng.integers(limits.min, limits.max + 1)
    if rng.random() < 0.2:
        zero = rng.choice([limits.min, limits.max, 0])
    scale = scale if scale is not None else rng.uniform(0.002, 0.3)
    return {
        f"{prefix}_scale": np.array(scale, np.float32),
        f"{prefix}_zero": np.array(zero, dtype),
    }


def compare(model, codes, share, what):
    """One node in ONNX Runtime and lowered."""
    network = lower(hwsim.load(model))
    found = integer.run(network, codes.reshape(len(codes), *network.input.shape))
    expected = run_onnxruntime(model, codes)["y"]
    share.add(found["y"], expected, what)


def weight_constants(rng, shape, axis, per_channel):
    scales = rng.uniform(0.001, 0.1, shape[axis] if per_channel else ()).astype(np.float32)
    # 7 bits, see the module's text.
    weights = rng.integers(-64, 64, shape).astype(np.int8)
    return {"w": weights, "w_scale": scales, "w_zero": np.zeros(scales.shape, np.int8)}


def typical_output_scale(rng, constants, fan_in):
    """With which outputs fill about the range of a code."""
    size = 74 * 37 * np.sqrt(fan_in) * constants["x_scale"] * constants["w_scale"].max()
    return size / rng.uniform(20, 100)


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("per_channel", [False, True])
def test_qlinear_conv(dtype, per_channel):
    share = Share()
    for seed in range(25):
        rng = np.random.default_rng([seed, per_channel])
        groups = int(rng.choice([1, 1, 2, 4]))
        per_group, out_per_group = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        size = tuple(map(int, rng.choice([1, 7, 11, 16], 2)))
        kernel, strides, dilations, pads, _ = draw_geometry(rng, size)
        shape = (groups * out_per_group, per_group, *kernel)
        constants = weight_constants(rng, shape, 0, per_channel)
        constants |= scale_and_zero(rng, "x", dtype)
        scale = typical_output_scale(rng, constants, per_group * kernel[0] * kernel[1])
        constants |= scale_and_zero(rng, "y", dtype, scale)
        constants["b"] = rng.integers(-(1 << 12), 1 << 12, shape[0]).astype(np.int32)
        order = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "b"]
        image = (1, groups * per_group, *size)
        model = node_model(
            "QLinearConv",
            {"x": (dtype, image)},
            constants,
            dtype,
            order=order,
            group=groups,
            strides=strides,
            dilations=dilations,
            pads=pads,
        )
        codes = rng.integers(*_ends(dtype), (4, *image[1:])).astype(dtype)
        compare(model, codes, share, f"seed {seed}")
    share.report(f"QLinearConv {dtype} {'per channel' if per_channel else 'per tensor'}")


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_ties_go_to_even_as_in_onnx_runtime(dtype):
    # With scales that are powers of two no factor is rounded, and a quarter of all values are ties.
    ties = 0
    for seed in range(10):
        rng = np.random.default_rng([seed, 29])
        constants = scale_and_zero(rng, "x", dtype, 0.25) | scale_and_zero(rng, "y", dtype, 16.0)
        constants |= {
            "w": rng.integers(-3, 4, (8, 2, 3, 3)).astype(np.int8),
            "w_scale": np.array(16.0, np.float32),
            "w_zero": np.array(0, np.int8),
        }
        order = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
        tensors = {"x": (dtype, (1, 2, 9, 9))}
        model = node_model("QLinearConv", tensors, constants, dtype, order=order)
        codes = rng.integers(*_ends(dtype), (4, 2, 9, 9)).astype(dtype)
        network = lower(hwsim.load(model))
        found = integer.run(network, codes)["y"]
        assert np.array_equal(found, run_onnxruntime(model, codes)["y"]), f"seed {seed}"
        sums = integer.accumulators(network.layers[0], [codes], network.tensors)
        ties += int((sums % 4 == 2).sum())
    assert ties > 3000


def _ends(dtype):
    limits = np.iinfo(dtype)
    return limits.min, limits.max + 1


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("op", ["QLinearMatMul", "QGemm"])
def test_matrix_products(op, dtype):
    share = Share()
    for seed in range(25):
        rng = np.random.default_rng([seed, 11])
        inputs, outputs = int(rng.choice([1, 7, 64, 131])), int(rng.choice([1, 3, 16, 37]))
        # QLinearMatMul with one weight scale per column is unknown to ONNX Runtime's checks.
        per_channel = op == "QGemm" and bool(rng.integers(2))
        constants = weight_constants(rng, (inputs, outputs), 1, per_channel)
        constants |= scale_and_zero(rng, "x", dtype)
        scale = typical_output_scale(rng, constants, inputs)
        constants |= scale_and_zero(rng, "y", dtype, scale)
        order = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
        domain = "com.microsoft" if op == "QGemm" else ""
        if domain:
            constants["c"] = rng.integers(-(1 << 12), 1 << 12, outputs).astype(np.int32)
            order.insert(6, "c")
            if rng.integers(2):
                constants["w"] = np.ascontiguousarray(constants["w"].T)
        transposed = domain and constants["w"].shape == (outputs, inputs) and inputs != outputs
        attributes = {"transB": int(transposed)} if domain else {}
        if domain and not transposed and constants["w"].shape != (inputs, outputs):
            constants["w"] = constants["w"].T
        model = node_model(
            op, {"x": (dtype, (1, inputs))}, constants, dtype, domain, order=order, **attributes
        )
        codes = rng.integers(*_ends(dtype), (6, inputs)).astype(dtype)
        compare(model, codes, share, f"seed {seed}")
    share.report(f"{op} {dtype}")


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("op", ["QLinearAveragePool", "QLinearGlobalAveragePool"])
def test_average_pools(op, dtype):
    share = Share()
    for seed in range(25):
        rng = np.random.default_rng([seed, 13])
        size = tuple(map(int, rng.choice([4, 7, 9], 2)))
        constants = scale_and_zero(rng, "x", dtype)
        scale = float(constants["x_scale"]) * rng.uniform(0.3, 1.2)
        constants |= scale_and_zero(rng, "y", dtype, scale)
        attributes = {}
        if op == "QLinearAveragePool":
            kernel, strides, _, pads, _ = draw_geometry(rng, size)
            attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
            attributes["count_include_pad"] = int(rng.integers(2))
        order = ["x", "x_scale", "x_zero", "y_scale", "y_zero"]
        image = (1, 3, *size)
        model = node_model(
            op, {"x": (dtype, image)}, constants, dtype, "com.microsoft", order=order, **attributes
        )
        codes = rng.integers(*_ends(dtype), (4, *image[1:])).astype(dtype)
        compare(model, codes, share, f"seed {seed}")
    share.report(f"{op} {dtype}")


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_sigmoid(dtype):
    share = Share()
    codes = np.arange(*_ends(dtype)).astype(dtype).reshape(1, 1, 16, 16)
    for seed in range(25):
        rng = np.random.default_rng([seed, 17])
        constants = scale_and_zero(rng, "x", dtype)
        constants |= {
            "y_scale": np.array(1 / 256, np.float32),
            "y_zero": np.array(np.iinfo(dtype).min, dtype),
        }
        order = ["x", "x_scale", "x_zero", "y_scale", "y_zero"]
        tensors = {"x": (dtype, codes.shape)}
        model = node_model(
            "QLinearSigmoid", tensors, constants, dtype, "com.microsoft", order=order
        )
        compare(model, codes, share, f"seed {seed}")
    share.report(f"QLinearSigmoid {dtype}")


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_max_pool_is_equal(dtype):
    for seed in range(25):
        rng = np.random.default_rng([seed, 19])
        size = tuple(map(int, rng.choice([4, 7, 9], 2)))
        kernel, strides, dilations, pads, _ = draw_geometry(rng, size)
        nodes = [
            helper.make_node(
                "MaxPool",
                ["x"],
                ["y"],
                name="pool",
                kernel_shape=kernel,
                strides=strides,
                dilations=dilations,
                pads=pads,
                ceil_mode=int(rng.integers(2)),
            ),
            helper.make_node("DequantizeLinear", ["y", "s", "z"], ["real"], name="dequantize"),
        ]
        element = helper.np_dtype_to_tensor_dtype(dtype)
        constants = [
            numpy_helper.from_array(np.array(0.1, np.float32), "s"),
            numpy_helper.from_array(np.array(3, dtype), "z"),
        ]
        graph = helper.make_graph(
            nodes,
            "pool",
            [helper.make_tensor_value_info("x", element, (1, 2, *size))],
            [helper.make_empty_tensor_value_info("real"), helper.make_empty_tensor_value_info("y")],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        codes = rng.integers(*_ends(dtype), (3, 2, *size)).astype(dtype)
        network = lower(hwsim.load(model))
        found = integer.run(network, codes)["y"]
        expected = run_onnxruntime(model, codes)["y"]
        assert np.array_equal(found, expected), f"seed {seed}"


def _two_operand_model(op, dtype, rng):
    """``op`` of a map and itself rescaled, so that a model with one input has two operands."""
    domain = "com.microsoft"
    size = (1, 3, 5, 4)
    constants = scale_and_zero(rng, "x", dtype) | scale_and_zero(rng, "a", dtype)
    product = op == "QLinearMul"
    scale = float(constants["x_scale"])
    scale *= float(constants["a_scale"]) * rng.uniform(30, 50) if product else rng.uniform(0.7, 2.5)
    constants |= scale_and_zero(rng, "y", dtype, scale)
    operands = ["x", "x_scale", "x_zero", "a", "a_scale", "a_zero"]
    outputs = ["y_scale", "y_zero"]
    order = [*outputs, *operands] if op == "QLinearConcat" else [*operands, *outputs]
    attributes = {"axis": 1} if op == "QLinearConcat" else {}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_scale", "x_zero"], ["real"], name="real"),
        helper.make_node("QuantizeLinear", ["real", "a_scale", "a_zero"], ["a"], name="again"),
        helper.make_node(op, order, ["y"], name="node", domain=domain, **attributes),
    ]
    element = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        nodes,
        op,
        [helper.make_tensor_value_info("x", element, size)],
        [helper.make_tensor_value_info("y", element, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), size


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul", "QLinearConcat"])
def test_two_operands(op, dtype):
    share = Share()
    for seed in range(25):
        rng = np.random.default_rng([seed, 23])
        model, size = _two_operand_model(op, dtype, rng)
        codes = rng.integers(*_ends(dtype), (4, *size[1:])).astype(dtype)
        compare(model, codes, share, f"seed {seed}")
    share.report(f"{op} {dtype}")


# --------------------------------------------------------------------------------- run


@pytest.mark.parametrize("seed", range(5))
def test_run_is_layer_after_layer(seed):
    network = random_network(seed)
    codes = images_for(network, 3, seed)
    found = integer.run(network, codes)
    assert set(found) == set(network.tensors)
    for layer in network.layers:
        inputs = [found[name] for name in layer.inputs]
        again = integer.layer_output(layer, inputs, network.tensors)
        assert np.array_equal(found[layer.output], again)
    output = network.outputs[0].name
    assert set(integer.run(network, codes, keep=())) == {output}
    one = integer.run(network, codes[1:2], keep=[network.input.name])
    assert set(one) == {output, network.input.name}
    assert np.array_equal(one[output], found[output][1:2])
    assert found[output].dtype == network.tensors[output].dtype


def small_network():
    x = IntegerTensor("x", (1, 2, 2), 1.0, 0, 4)
    table = Table("t", ("x",), "y", np.arange(16))
    y = IntegerTensor("y", (1, 2, 2), 1.0, 0)
    return IntegerNetwork("small", x, (y,), (table,), {"x": x, "y": y})


@pytest.mark.parametrize(
    ("codes", "keep", "error", "message"),
    [
        (np.zeros((1, 1, 2, 2)), None, TypeError, "codes of x must be integers, not float64"),
        (
            np.zeros((1, 2, 2), int),
            None,
            ValueError,
            "codes of x must have the shape (N, 1, 2, 2), not (1, 2, 2)",
        ),
        (
            np.array([[[[8, 0], [0, -8]]]]),
            None,
            ValueError,
            "codes of x must lie in [-8, 7], not [-8, 8]",
        ),
        (
            np.zeros((1, 1, 2, 2), int),
            ["z", "y"],
            ValueError,
            "keep must name tensors of small, not z",
        ),
    ],
)
def test_run_refuses(codes, keep, error, message):
    with pytest.raises(error) as caught:
        integer.run(small_network(), codes, keep)
    assert str(caught.value) == message


# ------------------------------------------------------------------------------ tensors


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_quantize_and_dequantize_as_onnx(dtype):
    rng = np.random.default_rng(5)
    limits = np.iinfo(dtype)
    tensor = IntegerTensor("x", (1, 1, 1), 0.25, int(limits.max - 100), 8, dtype == INT8)
    # Halves of a step are exact in binary: all of them are ties.
    real = np.concatenate([np.arange(-600, 600) / 8, rng.normal(0, 20, 999), [np.inf, -np.inf]])
    real = real.astype(np.float32).reshape(1, 1, 1, -1)
    constants = {"s": np.array(0.25, np.float32), "z": np.array(tensor.zero_point, dtype)}
    quantize = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    dequantize = helper.make_node("DequantizeLinear", ["y", "s", "z"], ["r"])
    graph = helper.make_graph(
        [quantize, dequantize],
        "q",
        [helper.make_tensor_value_info("x", 1, real.shape)],
        [helper.make_empty_tensor_value_info(name) for name in ("y", "r")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    expected = run_onnxruntime(model, real)
    codes = tensor.quantize(real)
    assert codes.dtype == dtype and np.array_equal(codes, expected["y"])
    assert np.array_equal(tensor.dequantize(codes), expected["r"])


def test_quantize_refuses_nan():
    with pytest.raises(ValueError) as caught:
        IntegerTensor("x", (1, 1, 1), 0.25, 0).quantize([1.0, np.nan])
    assert str(caught.value) == "real values of x must be numbers, not NaN"
