"""The NumPy reference against ONNX Runtime, against ONNX's shape inference, and against itself in
float64.

A tolerance on sums of products follows from the bound on a dot product of n terms in floating
point, whatever its order: |computed - exact| <= g(n) * sum |a_i b_i| with g(n) = n u / (1 - n u)
(Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). Two implementations differ
by twice that at most. u is 2**-24 for float32.
"""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim.models import reference

U = 2.0**-24
OPSET = 22


def make_model(op, inputs, outputs=1, opset=OPSET, domain="", constants=(), **attributes):
    """A model of one node. inputs: mapping of name to array; the names in ``constants`` become
    initializers."""
    names = [name if array is not None else "" for name, array in inputs.items()]
    results = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    values = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in inputs.items()
        if array is not None and name not in constants
    ]
    initializers = [numpy_helper.from_array(inputs[name], name) for name in constants]
    known = (
        helper.np_dtype_to_tensor_dtype(inputs["y_zero_point"].dtype)
        if domain
        else TensorProto.UNDEFINED
    )
    infos = [helper.make_tensor_value_info(name, known, None) for name in results]
    graph = helper.make_graph([node], op, values, infos, initializers)
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return (
        model
        if domain
        else onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
    )


def both(op, inputs, outputs=1, constants=(), **attributes):
    """Outputs of one node from the reference and from ONNX Runtime; shapes as ONNX infers them."""
    model = make_model(op, inputs, outputs, constants=constants, **attributes)
    feeds = {
        name: array for name, array in inputs.items() if array is not None and name not in constants
    }
    network = hwsim.load(model)
    inferred = [
        tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in model.graph.output
    ]
    assert [tensor.shape for tensor in network.outputs] == inferred
    ours = list(reference.run(network, feeds).values())
    assert [array.shape for array in ours] == inferred
    assert [array.dtype for array in ours] == [tensor.dtype for tensor in network.outputs]
    return ours, run_onnxruntime(model, feeds)


def run_onnxruntime(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    data = model if isinstance(model, bytes | str) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options).run(None, feeds)


def random_window(random, spatial):
    """Attributes of a window that fits into ``spatial``, in any of ONNX's padding forms."""
    rank = len(spatial)
    kernel = [int(random.integers(1, min(5, size) + 1)) for size in spatial]
    dilations = [
        int(random.integers(1, 1 + max(1, (size - 1) // max(k - 1, 1))))
        for size, k in zip(spatial, kernel, strict=True)
    ]
    dilations = [min(dilation, 3) for dilation in dilations]
    attributes = {
        "kernel_shape": kernel,
        "dilations": dilations,
        "strides": random.integers(1, 4, rank).tolist(),
    }
    form = str(random.choice(["pads", "none", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if form == "pads":
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        # ONNX Runtime wants the padding of a pool to be smaller than the kernel itself.
        attributes["pads"] = [
            int(random.integers(0, min(k, e))) for k, e in zip(kernel * 2, extents * 2, strict=True)
        ]
    elif form != "none":
        attributes["auto_pad"] = form
        if form != "VALID":
            # ONNX Runtime refuses this combination.
            attributes["dilations"] = [1] * rank
            attributes["strides"] = [
                min(k, stride) for k, stride in zip(kernel, attributes["strides"], strict=True)
            ]
    return attributes


@pytest.mark.parametrize("seed", range(60))
def test_conv_equals_onnxruntime(seed):
    random = np.random.default_rng(seed)
    rank = int(random.choice([1, 2, 2, 2, 3]))
    spatial = random.integers(5, 12, rank).tolist()
    attributes = random_window(random, spatial)
    group = int(random.choice([1, 1, 2, 3]))
    per_group = int(random.integers(1, 4))
    outputs = group * int(random.integers(1, 4))
    inputs = {
        "x": random.standard_normal((2, group * per_group, *spatial), np.float32),
        "w": random.standard_normal((outputs, per_group, *attributes["kernel_shape"]), np.float32),
        "b": random.standard_normal(outputs, np.float32) if seed % 2 else None,
    }
    (ours,), (theirs,) = both("Conv", inputs, group=group, **attributes)
    magnitude = {
        name: None if array is None else np.abs(array).astype(np.float64)
        for name, array in inputs.items()
    }
    (total,) = reference.run(
        hwsim.load(make_model("Conv", magnitude, group=group, **attributes)),
        {name: array for name, array in magnitude.items() if array is not None},
    ).values()
    terms = per_group * math.prod(attributes["kernel_shape"]) + 1
    assert np.all(np.abs(ours - theirs) <= 2 * terms * U / (1 - terms * U) * total)


@pytest.mark.parametrize("seed", range(40))
def test_max_pool_equals_onnxruntime(seed):
    random = np.random.default_rng(seed)
    rank = int(random.choice([1, 2, 2, 2, 3]))
    spatial = random.integers(5, 12, rank).tolist()
    attributes = random_window(random, spatial) | {"ceil_mode": int(random.integers(2))}
    if attributes.get("auto_pad"):
        # With automatic padding ceil_mode means nothing to ONNX, but something to ONNX Runtime.
        attributes["ceil_mode"] = 0
    dtype = random.choice([np.float32, np.int8, np.uint8])
    x = random.integers(0, 100, (2, 3, *spatial)).astype(dtype)
    (ours, places), (theirs, their_places) = both("MaxPool", {"x": x}, outputs=2, **attributes)
    assert np.array_equal(ours, theirs)
    assert np.array_equal(places, their_places)


@pytest.mark.parametrize("seed", range(40))
def test_average_pool_equals_onnxruntime(seed):
    random = np.random.default_rng(seed)
    rank = int(random.choice([1, 2, 2, 2, 3]))
    spatial = random.integers(5, 12, rank).tolist()
    attributes = random_window(random, spatial)
    attributes |= {
        "ceil_mode": int(random.integers(2)),
        "count_include_pad": int(random.integers(2)),
    }
    if attributes.get("auto_pad"):
        attributes["ceil_mode"] = 0
    x = random.random((2, 3, *spatial), np.float32)
    (ours,), (theirs,) = both("AveragePool", {"x": x}, **attributes)
    terms = math.prod(attributes["kernel_shape"]) + 1
    # All terms are positive, so that the bound on the sum is a relative one.
    assert np.allclose(ours, theirs, rtol=2 * terms * U / (1 - terms * U), atol=0)


@pytest.mark.parametrize("seed", range(20))
def test_gemm_equals_onnxruntime(seed):
    random = np.random.default_rng(seed)
    rows, inner, columns = random.integers(1, 40, 3)
    attributes = {
        "transA": int(random.integers(2)),
        "transB": int(random.integers(2)),
        "alpha": 0.5,
        "beta": float(seed % 3),
    }
    a, b = (
        random.standard_normal((rows, inner), np.float32),
        random.standard_normal((inner, columns), np.float32),
    )
    shape = [(rows, columns), (1, columns), (columns,), (rows, 1), ()][seed % 5]
    c = random.standard_normal(shape, np.float32)
    inputs = {
        "a": a.T if attributes["transA"] else a,
        "b": b.T if attributes["transB"] else b,
        "c": c,
    }
    (ours,), (theirs,) = both(
        "Gemm", {name: np.ascontiguousarray(array) for name, array in inputs.items()}, **attributes
    )
    terms = inner + 3  # the sum, both factors and the bias
    total = 0.5 * (np.abs(a).astype(np.float64) @ np.abs(b)) + attributes["beta"] * np.abs(c)
    assert np.all(np.abs(ours - theirs) <= 2 * terms * U / (1 - terms * U) * total)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (3, 4, 5)),
        ((4,), (4, 5)),
        ((2, 3, 4), (4,)),
        ((4,), (4,)),
    ],
)
def test_matmul_equals_onnxruntime(left, right):
    random = np.random.default_rng(1)
    a, b = random.standard_normal(left, np.float32), random.standard_normal(right, np.float32)
    (ours,), (theirs,) = both("MatMul", {"a": a, "b": b})
    bound = np.matmul(np.abs(a).astype(np.float64), np.abs(b))
    assert np.all(np.abs(ours - theirs) <= 2 * 4 * U / (1 - 4 * U) * bound)


@pytest.mark.parametrize(
    ("op", "exact"),
    [
        ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("Tanh", np.tanh),
        ("Softmax", lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ],
)
def test_activation_is_accurate(op, exact):
    """exp and tanh of NumPy are within 1 ulp (2 u); a sum, a quotient and the subtraction of the
    maximum add a few more."""
    x = np.random.default_rng(0).uniform(-20, 20, (50, 16)).astype(np.float32)
    (ours,) = reference.run(hwsim.load(make_model(op, {"x": x})), {"x": x}).values()
    # Softmax: x - max is rounded to an absolute error of 40 u, which exp turns into a relative one.
    assert np.allclose(
        ours, exact(x.astype(np.float64)), rtol=(40 + 16 + 8 if op == "Softmax" else 8) * U, atol=0
    )


def test_activations_do_not_overflow():
    x = np.array([-1e38, -200, 0, 200, 1e38], np.float32)
    for op, expected in (
        ("Sigmoid", [0, 0, 0.5, 1, 1]),
        ("Tanh", [-1, -1, 0, 1, 1]),
        ("Softmax", [0, 0, 0, 0, 1]),
    ):
        (ours,) = reference.run(hwsim.load(make_model(op, {"x": x})), x).values()
        assert np.allclose(ours, expected, rtol=0, atol=1e-80), op


@pytest.mark.parametrize("shape", [(2, 5, 3, 3), (1, 7, 4, 2), (2, 4, 6)])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_lrn_is_accurate(shape, size):
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    attributes = {"alpha": 0.3, "beta": 0.75, "bias": 1.5, "size": size}
    (ours,) = reference.run(hwsim.load(make_model("LRN", {"x": x}, **attributes)), x).values()
    exact, wide = np.empty(shape), x.astype(np.float64)
    for c in range(shape[1]):
        window = wide[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        exact[:, c] = wide[:, c] / (1.5 + 0.3 / size * (window**2).sum(1)) ** 0.75
    assert np.allclose(ours, exact, rtol=(size + 8) * U, atol=0)
    if len(shape) == 4 and size % 2:
        (theirs,) = run_onnxruntime(make_model("LRN", {"x": x}, **attributes), {"x": x})
        # ONNX Runtime's power function is specified to a few ulps.
        assert np.allclose(ours, theirs, rtol=(size + 16) * U, atol=0)


def test_batch_normalization_is_accurate():
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 5, 4, 3), np.float32)
    values = {
        name: random.uniform(0.5, 2, 5).astype(np.float32)
        for name in ("scale", "bias", "mean", "variance")
    }
    model = make_model(
        "BatchNormalization", {"x": x, **values}, constants=tuple(values), epsilon=1e-3
    )
    (ours,) = reference.run(hwsim.load(model), x).values()
    scale, bias, mean, variance = (
        array.astype(np.float64).reshape(-1, 1, 1) for array in values.values()
    )
    exact = (x - mean) / np.sqrt(variance + 1e-3) * scale + bias
    magnitude = (np.abs(x) + mean) / np.sqrt(variance) * scale + bias
    assert np.all(np.abs(ours - exact) <= 8 * U * magnitude)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize(
    "pads", [(0, 0, 1, 2, 0, 0, 2, 0), (0, 1, 2, 2, 0, 0, 0, 1), (0, 0, -1, 0, 0, 0, -1, -2)]
)
def test_pad_equals_onnxruntime(mode, pads):
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 4), np.float32)
    inputs = {"x": x, "pads": np.array(pads, np.int64)}
    if mode == "constant":
        inputs["value"] = np.array(1.5, np.float32)
    constants = tuple(name for name in inputs if name != "x")
    (ours,), (theirs,) = both("Pad", inputs, constants=constants, mode=mode)
    assert np.array_equal(ours, theirs)


def test_pad_takes_axes():
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    inputs = {
        "x": x,
        "pads": np.array([1, 2], np.int64),
        "value": None,
        "axes": np.array([-1], np.int64),
    }
    (ours,), (theirs,) = both("Pad", inputs, constants=("pads", "axes"))
    assert ours.shape == (1, 1, 3, 7)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("axis", range(-4, 4))
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_keeps_the_meaning_of_its_version(opset, axis):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5), np.float32)
    model = make_model("Softmax", {"x": x}, opset=opset, axis=axis)
    (ours,) = reference.run(hwsim.load(model), x).values()
    wide = np.exp(x.astype(np.float64))
    axes = axis if opset == 13 else tuple(range(axis % 4, 4))
    exact = wide / wide.sum(axes, keepdims=True)
    # At most 120 terms; exponents below 10.
    assert np.allclose(ours, exact, rtol=(120 + 10 + 8) * U, atol=0)
    (theirs,) = run_onnxruntime(model, {"x": x})
    assert np.allclose(ours, theirs, rtol=2 * (120 + 10 + 8) * U, atol=0)


@pytest.mark.parametrize(
    ("op", "names", "attributes"),
    [
        ("Relu", "x", {}),
        ("Identity", "x", {}),
        ("Add", "xy", {}),
        ("Mul", "xz", {}),
        ("Sum", "xyz", {}),
        ("Concat", "xy", {"axis": -2}),
        ("Flatten", "x", {"axis": 2}),
        ("Flatten", "x", {"axis": 0}),
        ("Transpose", "x", {"perm": [0, 2, 3, 1]}),
        ("Transpose", "x", {}),
        ("GlobalMaxPool", "x", {}),
    ],
)
def test_exact_operator_equals_onnxruntime(op, names, attributes):
    random = np.random.default_rng(0)
    known = {
        "x": random.standard_normal((2, 3, 4, 5), np.float32),
        "y": random.standard_normal((2, 3, 4, 5), np.float32),
        "z": random.standard_normal((3, 1, 1), np.float32),
    }
    (ours,), (theirs,) = both(op, {name: known[name] for name in names}, **attributes)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(2, -1), (0, 12, -1), (0, 0, 20), (-1,)])
def test_reshape_equals_onnxruntime(shape):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5), np.float32)
    (ours,), (theirs,) = both(
        "Reshape", {"x": x, "shape": np.array(shape, np.int64)}, constants=("shape",)
    )
    assert np.array_equal(ours, theirs)


def test_global_average_pool_is_accurate():
    x = np.random.default_rng(0).random((2, 3, 9, 9), np.float32)
    (ours,), (theirs,) = both("GlobalAveragePool", {"x": x})
    for result in (ours, theirs):
        assert np.allclose(
            result, x.astype(np.float64).mean((2, 3), keepdims=True), rtol=82 * U, atol=0
        )


@pytest.mark.parametrize(
    "bounds", [(None, None), (-0.5, None), (None, 0.5), (-0.5, 0.5), (0.5, -0.5)]
)
def test_clip_equals_onnxruntime(bounds):
    x = np.random.default_rng(0).standard_normal((3, 4), np.float32)
    inputs = {"x": x} | {
        name: None if bound is None else np.array(bound, np.float32)
        for name, bound in zip(("min", "max"), bounds, strict=True)
    }
    constants = tuple(name for name, array in inputs.items() if array is not None and name != "x")
    (ours,), (theirs,) = both("Clip", inputs, constants=constants)
    assert np.array_equal(ours, theirs)


# ------------------------------------------------------------------------------ quantized operators


def codes(random, dtype, shape):
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max + 1, shape).astype(dtype)


@pytest.mark.parametrize("seed", range(20))
def test_conv_integer_equals_onnxruntime(seed):
    random = np.random.default_rng(seed)
    attributes = random_window(random, [9, 7])
    inputs = {
        "x": codes(random, np.uint8, (2, 4, 9, 7)),
        "w": codes(random, np.uint8, (6, 2, *attributes["kernel_shape"])),
        "x_zero_point": codes(random, np.uint8, ()),
        "w_zero_point": codes(random, np.uint8, ()),
    }
    (ours,), (theirs,) = both(
        "ConvInteger",
        inputs,
        constants=("w", "x_zero_point", "w_zero_point"),
        group=2,
        **attributes,
    )
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtypes", [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)])
@pytest.mark.parametrize("per_column", [False, True])
def test_matmul_integer_equals_onnxruntime(dtypes, per_column):
    random = np.random.default_rng(0)
    inputs = {
        "a": codes(random, dtypes[0], (3, 5, 7)),
        "b": codes(random, dtypes[1], (7, 4)),
        "a_zero_point": codes(random, dtypes[0], ()),
        "b_zero_point": codes(random, dtypes[1], (4,) if per_column else ()),
    }
    (ours,), (theirs,) = both(
        "MatMulInteger", inputs, constants=("b", "a_zero_point", "b_zero_point")
    )
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(20))
def test_qlinear_conv_is_within_one_of_onnxruntime(seed):
    """ONNX Runtime rounds the factor to float32: the real value moves by 255 * 3 u, so that only
    ties can round otherwise."""
    random = np.random.default_rng(seed)
    attributes = random_window(random, [9, 7])
    signed = seed % 2 == 0
    dtype = np.int8 if signed else np.uint8
    per_channel = seed % 3 > 0
    inputs = {
        "x": codes(random, dtype, (2, 4, 9, 7)),
        "x_scale": np.array(0.02, np.float32),
        "x_zero_point": codes(random, dtype, ()),
        "w": codes(random, np.int8, (6, 2, *attributes["kernel_shape"])),
        "w_scale": random.uniform(0.001, 0.01, 6 if per_channel else ()).astype(np.float32),
        "w_zero_point": np.zeros(6 if per_channel else (), np.int8),
        "y_scale": np.array(0.05, np.float32),
        "y_zero_point": codes(random, dtype, ()),
        "b": random.integers(-2000, 2000, 6).astype(np.int32),
    }
    (ours,), (theirs,) = both(
        "QLinearConv", inputs, constants=tuple(inputs)[1:], group=2, **attributes
    )
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 0.01 * difference.size


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_qlinear_matmul_is_within_one_of_onnxruntime(dtype):
    random = np.random.default_rng(0)
    inputs = {
        "a": codes(random, dtype, (13, 40)),
        "a_scale": np.array(0.02, np.float32),
        "a_zero_point": codes(random, dtype, ()),
        "b": codes(random, np.int8, (40, 9)),
        "b_scale": random.uniform(0.001, 0.01, 9).astype(np.float32),
        "b_zero_point": np.zeros(9, np.int8),
        "y_scale": np.array(0.05, np.float32),
        "y_zero_point": codes(random, dtype, ()),
    }
    (ours,), (theirs,) = both("QLinearMatMul", inputs, constants=tuple(inputs)[1:])
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_quantize_and_dequantize_equal_onnxruntime(dtype, axis):
    random = np.random.default_rng(0)
    x = random.uniform(-400, 400, (3, 4, 5)).astype(np.float32)
    x[0, 0] = [0.5, 1.5, -0.5, -1.5, 2.5]  # ties
    count = () if axis is None else x.shape[axis]
    scale = (
        np.ones(count, np.float32)
        if axis is None
        else random.uniform(0.5, 2, count).astype(np.float32)
    )
    parameters = {"scale": scale, "zero_point": random.integers(0, 10, count).astype(dtype)}
    attributes = {} if axis is None else {"axis": axis}
    (ours,), (theirs,) = both(
        "QuantizeLinear", {"x": x, **parameters}, constants=tuple(parameters), **attributes
    )
    assert ours.dtype == dtype
    assert np.array_equal(ours, theirs)
    (ours,), (theirs,) = both(
        "DequantizeLinear", {"x": ours, **parameters}, constants=tuple(parameters), **attributes
    )
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(
    "op",
    [
        "QGemm",
        "QLinearAdd",
        "QLinearMul",
        "QLinearConcat",
        "QLinearAveragePool",
        "QLinearGlobalAveragePool",
        "QLinearSigmoid",
    ],
)
def test_contributed_operator_is_within_one_of_onnxruntime(op, dtype):
    random = np.random.default_rng(0)

    def tensor(name, *shape):
        array = codes(random, dtype, shape)
        return {
            name: array,
            f"{name}_scale": np.array(0.03, np.float32),
            f"{name}_zero_point": codes(random, dtype, ()),
        }

    output = {"y_scale": np.array(0.04, np.float32), "y_zero_point": codes(random, dtype, ())}
    attributes = {}
    if op == "QGemm":
        inputs = tensor("a", 5, 12) | {
            "b": codes(random, np.int8, (12, 7)),
            "b_scale": np.array(0.01, np.float32),
            "b_zero_point": np.zeros((), np.int8),
            "c": random.integers(-2000, 2000, 7).astype(np.int32),
            **output,
        }
    elif op in ("QLinearAdd", "QLinearMul"):
        inputs = tensor("a", 2, 3, 4, 4) | tensor("b", 2, 3, 4, 4) | output
    elif op == "QLinearConcat":
        inputs = output | tensor("a", 2, 3, 4, 4) | tensor("b", 2, 1, 4, 4)
        attributes["axis"] = 1
    else:
        inputs = tensor("a", 2, 3, 7, 7) | output
        if op == "QLinearAveragePool":
            attributes = {
                "kernel_shape": [3, 3],
                "strides": [2, 2],
                "pads": [1, 0, 0, 1],
                "count_include_pad": 1,
            }
    constants = tuple(
        name for name in inputs if name not in ("a", "b") or (op == "QGemm" and name == "b")
    )
    model = make_model(op, inputs, domain="com.microsoft", constants=constants, **attributes)
    feeds = {name: array for name, array in inputs.items() if name not in constants}
    network = hwsim.load(model)
    (ours,) = reference.run(network, feeds).values()
    (theirs,) = run_onnxruntime(model, feeds)
    assert ours.dtype == theirs.dtype == network.outputs[0].dtype
    assert ours.shape == theirs.shape == network.outputs[0].shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


# ---------------------------------------------------------------------------------------------- run


def small_network():
    """Conv, Relu, MaxPool, Flatten, Gemm and Softmax for a batch of one."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "shape"], ["f"], name="reshape"),
        helper.make_node("Gemm", ["f", "m", "b"], ["g"], name="dense"),
        helper.make_node("Softmax", ["g"], ["y"], name="softmax"),
    ]
    arrays = {
        "w": random.standard_normal((4, 3, 3, 3), np.float32),
        "shape": np.array([1, 64], np.int64),
        "m": random.standard_normal((64, 10), np.float32),
        "b": random.standard_normal(10, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return hwsim.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))


def test_run_takes_any_number_of_images(monkeypatch):
    network = small_network()
    images = np.random.default_rng(1).standard_normal((7, 3, 8, 8)).astype(np.float32)
    single = np.concatenate([reference.run(network, image[np.newaxis])["y"] for image in images])
    together = reference.run(network, {"x": images})["y"]
    assert together.shape == (7, 10)
    # Both are sums of at most 65 terms of the same numbers, in another order, before an exponential
    # of less than 100.
    assert np.allclose(together, single, rtol=1e-3, atol=0)
    monkeypatch.setattr("hwsim.models.reference.execute.MAP_ELEMENTS", 3 * 256)
    assert np.allclose(reference.run(network, images)["y"], single, rtol=1e-3, atol=0)


def test_run_keeps_images_apart_that_a_network_mixes():
    x = np.random.default_rng(0).standard_normal((2, 3), np.float32)
    network = hwsim.load(make_model("Softmax", {"x": x}, axis=0))
    stacked = reference.run(network, np.concatenate([x, x + 1, 2 * x]))["y0"]
    expected = [reference.run(network, part)["y0"] for part in (x, x + 1, 2 * x)]
    assert np.array_equal(stacked, np.concatenate(expected))


def test_run_returns_any_tensor():
    network = small_network()
    x = np.ones((1, 3, 8, 8), np.float32)
    result = reference.run(network, x, outputs=["c", "x", "b"])
    assert {name: array.shape for name, array in result.items()} == {
        "c": (1, 4, 8, 8),
        "x": (1, 3, 8, 8),
        "b": (10,),
    }


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            np.zeros((1, 3, 8, 9), np.float32),
            "input 'x' must have the shape (1, 3, 8, 8), not (1, 3, 8, 9)",
        ),
        (
            np.zeros((3, 8, 8), np.float32),
            "input 'x' must have the shape (1, 3, 8, 8), not (3, 8, 8)",
        ),
        (
            np.zeros((0, 3, 8, 8), np.float32),
            "input 'x' must have the shape (1, 3, 8, 8), not (0, 3, 8, 8)",
        ),
        (np.zeros((1, 3, 8, 8)), "input 'x' must have the dtype float32, not float64"),
        ({}, "input 'x' is missing"),
        ({"z": 1}, "inputs must name the network's inputs (x), not 'z'"),
    ],
)
def test_run_refuses_wrong_inputs(inputs, message):
    with pytest.raises(ValueError) as caught:
        reference.run(small_network(), inputs)
    assert str(caught.value) == message


def test_run_refuses_unknown_outputs():
    with pytest.raises(ValueError) as caught:
        reference.run(small_network(), np.zeros((1, 3, 8, 8), np.float32), outputs=["q"])
    assert str(caught.value) == "outputs must name tensors of the network, not 'q'"
