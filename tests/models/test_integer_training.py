"""Training in integers: sums equal the gradients of the reference, and a network learns."""

import math
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim.blocks.training import OUTPUT_POINT, Curve
from hwsim.compiler.training import Scales
from hwsim.data import bundled
from hwsim.models.reference.backward import (
    GRADIENTS,
    conv_input_gradient,
    conv_weight_gradient,
)
from hwsim.models.reference.execute import OPERATIONS
from hwsim.models.reference.floating import convolve
from hwsim.models.reference.training import Reference, round_codes
from hwsim.models.training import (
    WEIGHT_POINT,
    FloatTraining,
    IntegerTraining,
    TrainingSettings,
    _norm_scales,
    point_for,
    quantized,
)
from hwsim.network.functions import DOMAIN
from hwsim.network.network import NetworkError
from hwsim.network.training import SUM_POOLS, Stage, folded, initial_weights, stages
from hwsim.network.windows import output_size
from hwsim.networks import NAMES
from hwsim.networks import network as network_of
from tests.network.test_lrn import lrn_node


def chain(seed=0, *, size=9, trans_b=True, bias=True):
    """A small network: conv, ReLU, pool, conv with stride, padding and dilation, ReLU, dense."""
    rng = np.random.default_rng(seed)

    def constant(name, *shape):
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    extra = ["b1"] if bias else []
    nodes = [
        helper.make_node("Conv", ["x", "w1", *extra], ["c1"], name="c1", pads=[1, 0, 0, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node(
            "Conv",
            ["p1", "w2"],
            ["c2"],
            name="c2",
            strides=[2, 1],
            pads=[2, 1, 1, 0],
            dilations=[1, 2],
        ),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], name="y", transB=int(trans_b)),
    ]
    # The map of c1 is 8 x 9 and pooled to 4 x 4; that of c2 is 3 x 3.
    weights = [
        constant("w1", 3, 2, 3, 3),
        constant("w2", 4, 3, 2, 2),
        constant("w3", *((5, 36) if trans_b else (36, 5))),
        constant("b3", 5),
    ]
    if bias:
        weights.append(constant("b1", 3))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, size, size))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        weights,
    )
    opset = [helper.make_opsetid("", 20)]
    return hwsim.load(helper.make_model(graph, opset_imports=opset, ir_version=10))


def data(network, count, seed=0):
    rng = np.random.default_rng(seed)
    shape = network.inputs[0].shape[1:]
    return rng.uniform(size=(count, *shape)).astype(np.float32), rng.integers(5, size=count)


class Watched(Reference):
    """The reference, which keeps the operands of its products."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.calls = []

    def _product(self, a, b, *more):
        self.calls.append((a, b))
        return super()._product(a, b, *more)


def trained(network, settings, lanes=16, machine=Reference):
    """A training from random weights."""
    weights = initial_weights(network, settings.seed)
    built = machine(stages(network), lanes, settings.loss)
    return IntegerTraining(network, weights, settings, built)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bias", [False, True])
def test_sums_are_the_gradients(seed, bias):
    """Products of the rotated kernel and of inputs with deltas are the reference's gradients."""
    network = chain(seed, bias=bias)
    training = trained(network, TrainingSettings(seed=seed), 4, Watched)
    first, second, _ = training.stages
    kernel = training.machine.codes["c2"].T.reshape(4, 3, 2, 2)
    training.step(*data(network, 4, seed))
    # Of the three stages; then from the last: weight gradient, input gradient.
    calls = training.machine.calls
    for stage, (columns, flat) in ((first, calls[7]), (second, calls[5])):
        delta = np.moveaxis(flat.T.reshape(stage.outputs, *stage.map_shape, 4), -1, 0)
        # The input again, from what the windows read.
        maps = _maps(stage, columns[: len(columns) - bool(stage.bias)])
        expected = conv_weight_gradient({**stage.attributes, "group": 1}, maps, delta)
        expected = expected.reshape(stage.outputs, -1).T
        if stage.bias:
            sums = columns[-1, 0] * delta.sum(axis=(0, 2, 3))
            expected = np.concatenate([expected, sums[None]])
        assert (columns @ flat == expected).all()
    rotated, columns = calls[6]
    attributes = {**second.attributes, "group": 1}
    expected = conv_input_gradient(attributes, (4, *second.shape), kernel, delta)
    found = (rotated @ columns).reshape(*second.shape, 4)
    assert (np.moveaxis(found, -1, 0) == expected).all()


@pytest.mark.parametrize("seed", range(6))
def test_groups(seed):
    """Small integers, so that nothing is rounded: a grouped convolution and its gradients."""
    rng = np.random.default_rng(seed)
    group, channels, outputs = (int(rng.choice(n)) for n in ([2, 3, 5], [1, 2], [1, 2, 3]))
    shape = (2, group * channels, 7, 11)
    attributes = {
        "kernel": (2, 3),
        "strides": tuple(rng.integers(1, 3, 2).tolist()),
        "dilations": (1, 2),
        "pads": (1, 2, 0, 1),
        "group": group,
    }
    weights = rng.integers(-3, 4, (group * outputs, channels, 2, 3))
    maps = rng.integers(-3, 4, shape)
    y = convolve(attributes, maps, weights)
    dy = rng.integers(-3, 4, y.shape)
    conv = Stage(
        op="Conv",
        name="conv",
        weight="w",
        output="y",
        shape=shape[1:],
        attributes=attributes,
        outputs=y.shape[1],
    )
    reference = Reference([conv], 4)
    matrix = conv.matrix(weights)
    assert (conv.tensor(matrix) == weights).all()
    reference.load({"conv": matrix}, {})
    numbers = Scales(1, 0, 0, 0, None, (0, -1, 0), {})
    assert (reference.forward(maps, [numbers]) == y.reshape(2, -1)).all()
    reference.backward(dy.reshape(2, -1), [numbers])
    # The update took the weights away, and the gradient.
    gradient = conv.tensor(-reference.codes["conv"])
    assert (gradient == conv_weight_gradient(attributes, maps, dy)).all()
    reference.load({"conv": matrix}, {})
    found = reference._input_gradient(conv, np.moveaxis(dy, 0, -1), 0, None)
    expected = conv_input_gradient(attributes, shape, weights, dy)
    assert (np.moveaxis(found, -1, 0) == expected).all()


def random_pool(rng, shape):
    """A pool, its attributes and output: side by side, or with stride, padding, dilation, ceil."""
    kind = rng.choice(["beside", "free", "average", "sum", "whole"], p=[0.3, 0.25, 0.2, 0.15, 0.1])
    if kind == "whole":
        op = str(rng.choice(["GlobalAveragePool", "GlobalMaxPool", "SumPool"]))
        every = {"kernel_shape": shape, "strides": (1, 1), "pads": (0,) * 4, "domain": DOMAIN}
        return op, every if op == "SumPool" else {}, (1, 1)
    kernel = [int(rng.integers(1, min(n, 3) + 1)) for n in shape]
    strides, pads, dilations, ceil = kernel, [0] * 4, [1, 1], 0
    if kind != "beside":
        strides = rng.integers(1, 4, 2).tolist()
        pads = [int(rng.integers(k)) for k in kernel * 2]
        ceil = int(rng.integers(2))
    if kind in ("free", "sum"):
        dilations = [
            int(rng.integers(1, 3)) if k > 1 and n > 4 else 1
            for k, n in zip(kernel, shape, strict=True)
        ]
    size = [
        output_size(n, k, s, d, a, b, ceil)
        for n, k, s, d, a, b in zip(
            shape, kernel, strides, dilations, pads[:2], pads[2:], strict=True
        )
    ]
    found = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
    found["ceil_mode"] = ceil
    if kind == "average":
        return "AveragePool", found | {"count_include_pad": int(rng.integers(2))}, size
    if kind == "sum":
        return "SumPool", found | {"domain": DOMAIN}, size
    return "MaxPool", found, size


@pytest.mark.parametrize("seed", range(40))
def test_pools(seed):
    """Small integers, of which many are equal: pools and their gradients are those in float."""
    rng = np.random.default_rng(seed)
    shape = (2, int(rng.integers(1, 4)), *rng.integers(2, 12, 2).tolist())
    op, attributes, size = random_pool(rng, shape[2:])
    if op.startswith("Global"):
        attributes = {"kernel_shape": shape[2:], "strides": (1, 1), "pads": (0,) * 4}
    a = {"dilations": (1, 1), "ceil_mode": 0, "count_include_pad": 1, "storage_order": 0}
    a |= attributes | {"kernel": attributes["kernel_shape"]}
    name = op.removeprefix("Global")
    stage = Stage(op=name, name="pool", output="y", shape=shape[1:], attributes=a, outputs=shape[1])
    assert stage.map_shape == tuple(size)
    maps = rng.integers(-3, 4, shape).astype(float)
    y = OPERATIONS[name](a, maps)
    dy = rng.integers(-200, 201, y.shape)
    (expected,) = GRADIENTS[name](a, (maps,), y, dy.astype(float))
    bound = 0.25
    if name in SUM_POOLS:
        # Of which the accelerator takes one, divided by the fewest values of a window.
        factor, bits = stage.factor
        counts = [round(2**bits / region.factor) for region in stage.regions]
        assert abs(math.ldexp(factor, -bits) * min(counts) - 1) <= 2.0**-14
        expected = factor * min(counts) * expected
        if len(counts) > 1:
            # A gradient for each value of a window: of a share, and of its code, half of the last.
            bound = math.prod(a["kernel"]) * factor * (200 * 2.0**-15 + 0.5)
    reference = Reference([stage], 4)
    codes = np.moveaxis(maps.astype(int) << 8, 0, -1)
    numbers = Scales(0, stage.factor[1], 0, 0, None, None, {})
    found, winners = reference._own(stage, codes, numbers)
    # Half a code of rounding, and what is less than one of the factor.
    assert np.abs(np.moveaxis(found, -1, 0) - 256 * y).max() < (
        1 if name == "AveragePool" else 1e-9
    )
    sums = reference._pool_gradient(stage, winners, np.moveaxis(dy, 0, -1))
    assert np.abs(np.moveaxis(sums, -1, 0) - expected).max() < bound
    # Every sum that is not zero is in one line of rows and of columns.
    assert (reference._in_lines(stage, sums, 3, None) == round_codes(sums, 3)).all()


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_norm(seed, within):
    """LRN and its gradient: no further from those in float than its roundings may be."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.choice([1, 3, 7, 11])), 2, 3)
    if within:
        shape = (2, *rng.integers(1, 8, 2).tolist())
    size, bias = int(rng.integers(1, 6)), float(rng.choice([0.5, 1.0, 3.0]))
    beta, point, deltas = float(rng.choice([0.5, 0.75, 1.3])), int(rng.integers(9, 14)), 14
    largest = 2.0 ** (14 - point)
    # Sums of squares reach to 7 times the bias.
    alpha = 7 * bias / largest**2 * float(rng.choice([1.0, 0.3, 1e-3]))
    a = {"size": size, "alpha": alpha, "beta": beta, "bias": bias, "within": within}
    window = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4}
    norm = Stage(
        op="LRN", name="n", output="y", shape=shape, attributes={**window, **a}, outputs=shape[0]
    )
    x, d = (rng.integers(-(1 << 14), (1 << 14) + 1, (*shape, 4)) for _ in range(2))
    scales, out = _norm_scales(norm, point, deltas, 14)
    power, rise = Curve("Power", bias, beta), Curve("Slope", bias, beta)
    numbers = Scales(0, 14, 0, 0, None, None, {}, scales)
    reference = Reference([norm], 4)
    y, kept = reference._own(norm, x, numbers)
    dx = reference._normalized_gradient(norm, kept, d, numbers, None)

    def half(at):
        return 2.0 ** -(at + 1)

    def apart(curve, argument):
        """By how much a function may be off, for an argument that is; as in tests/rtl."""
        slopes = [bias**-beta, bias**-beta * beta]
        slopes += [slopes[1] * (beta + 1), slopes[1] * (beta + 1) * (beta + 2)]
        first, second = slopes[1:3] if curve is power else slopes[2:]
        line = 2.0**-15 * second + 2 * half(curve.point) * 2.0**-7
        return 2 * half(curve.point) + line + first * argument

    members = norm.members
    share = alpha / (members * bias)
    real, real_d = np.ldexp(x, -point), np.ldexp(d, -deltas)
    images = np.moveaxis(real, -1, 0)
    expected = OPERATIONS["LRN"](a, images)
    (gradient,) = GRADIENTS["LRN"](a, (images,), expected, np.moveaxis(real_d, -1, 0))
    expected, gradient = (np.moveaxis(maps, 0, -1) for maps in (expected, gradient))
    # Squares, the factor, the argument itself.
    argument = share * members * half(2 * point - 15) + 8 * 2.0**-14 + half(12)
    scaled = apart(power, argument)
    bound = np.abs(real) * scaled + half(point + power.point - 14)
    assert (np.abs(np.ldexp(y, 14 - point - power.point) - expected) <= bound).all()
    # The parts of the gradient, in the order in which they are rounded.
    direct = deltas + power.point - 14
    steep = apart(rise, argument) + half(direct)
    shares = largest * steep + half(direct + point - 15)
    steepest = bias**-beta * beta * largest
    near = 2 * share * members * (shares + 2.0**-14 * steepest)
    factor, shift = scales.shares
    lift = round(math.log2(factor / (2 * share)))
    near += half(direct + point - 15 + lift - shift)
    bound = largest * near + half(direct + 2 * point - 30 + lift - shift) + scaled
    bound += half(direct) + half(out)
    assert (np.abs(np.ldexp(dx, -out) - gradient)[np.abs(dx) < 32767] <= bound).all()
    assert np.abs(dx).max() > 1000


def _maps(stage, columns):
    """Input maps whose windows ``columns`` are, of four images."""
    kernel, a = stage.attributes["kernel"], stage.attributes
    windows = columns.reshape(stage.shape[0], *kernel, *stage.map_shape, 4)
    maps = np.zeros((4, *stage.shape), np.int64)
    for c, i, j, y, x, n in np.ndindex(*windows.shape):
        row = y * a["strides"][0] + i * a["dilations"][0] - a["pads"][0]
        col = x * a["strides"][1] + j * a["dilations"][1] - a["pads"][1]
        if 0 <= row < stage.shape[1] and 0 <= col < stage.shape[2]:
            maps[n, c, row, col] = windows[c, i, j, y, x, n]
    return maps


@pytest.mark.parametrize("trans_b", [False, True])
def test_weights_there_and_back(trans_b):
    network = chain(trans_b=trans_b)
    weights = initial_weights(network, 1)
    found = trained(network, TrainingSettings(seed=1)).weights()
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        assert found[name].shape == array.shape
        # Rounded to the nearest code; none is near ±2.
        assert np.abs(found[name] - array).max() <= 2.0 ** -(WEIGHT_POINT + 1)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("stochastic", [False, True])
def test_learns_as_in_float(momentum, stochastic):
    """A few images, by heart; later the steps are chaotic, and the last bit decides."""
    network = hwsim.load(bundled("lenet5/lenet5.onnx"))
    with np.load(bundled("lenet5/images.npz")) as archive:
        images = archive["images"][:16].astype(np.float32) / np.float32(255)
        labels = archive["labels"][:16].astype(np.int64)
    rate = 0.02 if momentum else 0.05
    settings = TrainingSettings(rate=rate, momentum=momentum, stochastic=stochastic, seed=2)
    training = trained(network, settings)
    in_float = FloatTraining(network, initial_weights(network, 2), settings)
    losses = [(training.step(images, labels), in_float.step(images, labels)) for _ in range(8)]
    assert losses[-1][0] < 0.4 * losses[0][0]
    assert all(abs(integer - real) < 0.03 for integer, real in losses)


@pytest.mark.parametrize("loss", ["cross-entropy", "rmse"])
@pytest.mark.parametrize("function", ["Tanh", "Sigmoid"])
def test_functions_learn_as_in_float(function, loss):
    """Of the kind that LeNet-5 was in 1998, with what came later."""
    network = with_functions(function)
    images, labels = data(network, 8)
    # A sigmoid makes gradients small; what differs is rounding.
    settings = TrainingSettings(rate=0.05, loss=loss)
    training = trained(network, settings)
    in_float = FloatTraining(network, initial_weights(network, 0), settings)
    losses = [(training.step(images, labels), in_float.step(images, labels)) for _ in range(12)]
    assert losses[-1][0] < losses[0][0]
    assert all(abs(integer - real) < 0.01 for integer, real in losses)


def with_functions(function):
    """Conv, function, average, LRN, ReLU, depthwise conv, function, LRN, maximum, dense layer."""
    rng = np.random.default_rng(0)
    # Maps of 8 x 11, 4 x 5, 3 x 4 and 3 x 2.
    shapes = {"w1": (4, 2, 3, 3), "b1": (4,), "w2": (4, 1, 2, 2), "w3": (5, 24)}
    over = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 2]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="c1"),
        helper.make_node(function, ["c1"], ["f1"], name="f1"),
        helper.make_node(
            "AveragePool", ["f1"], ["p1"], name="p1", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("LRN", ["p1"], ["n1"], name="n1", size=3, alpha=0.5),
        helper.make_node("Relu", ["n1"], ["r1"], name="r1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="c2", group=4),
        helper.make_node(function, ["c2"], ["f2"], name="f2"),
        lrn_node("f2", "n2", name="n2", size=2, within=True, alpha=0.5, beta=0.75, bias=1.0),
        helper.make_node("MaxPool", ["n2"], ["p2"], name="p2", **over),
        helper.make_node("Flatten", ["p2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["y"], name="y", transB=1),
    ]
    constants = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        nodes,
        "functions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 10, 13))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        constants,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    return hwsim.load(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def test_stochastic_rounding_has_a_seed():
    network = chain()
    images, labels = data(network, 4)

    def codes(seed):
        settings = TrainingSettings(stochastic=True, seed=seed)
        machine = Reference(stages(network), 16)
        training = IntegerTraining(network, initial_weights(network, 0), settings, machine)
        training.step(images, labels)
        return machine.codes["y"]

    assert (codes(1) == codes(1)).all()
    assert (codes(1) != codes(2)).any()


@pytest.mark.parametrize("largest", [1e-6, 0.3, 0.5, 0.99, 1.0, 7.9, 8.0, 20000.0])
def test_point(largest):
    """One bit to spare: the code lies in [2**13, 2**14], unless the point is as high as it may."""
    point = point_for(largest, 24)
    code = quantized(largest, point)
    assert code <= 1 << 14
    assert code >= 1 << 13 or point == 24


def test_points_follow_the_codes():
    network = chain()
    training = trained(network, TrainingSettings())
    training.step(*data(network, 4))
    points = dict(training.points)
    flags = {"map/c1": (True, True), "delta/c1": (False, True), "gradient/c1": (False, False)}
    training._move_points(flags, 4)
    assert training.points["map/c1"] == points["map/c1"] - 1
    assert training.points["delta/c1"] == points["delta/c1"]
    assert training.points["gradient/c1"] in (
        points["gradient/c1"] + 1,
        training._gradient_limit(4),
    )
    assert training.points["delta/y"] == OUTPUT_POINT


def test_lanes_do_not_matter():
    """Unless rounding is stochastic; nor do images that fill the lanes."""
    network = chain()
    found = [trained(network, TrainingSettings(), lanes) for lanes in (4, 7)]
    for training in found:
        for step in range(3):
            training.step(*data(network, 6, step))
    for name, codes in found[0].machine.codes.items():
        assert (codes == found[1].machine.codes[name]).all()
    assert found[0].points == found[1].points


def test_stages_of_lenet():
    found = stages(hwsim.load(bundled("lenet5/lenet5.onnx")))
    assert [(stage.name, stage.relu, stage.window) for stage in found] == [
        ("conv1", True, (2, 2)),
        ("conv2", True, (2, 2)),
        ("fc1", True, (1, 1)),
        ("fc2", True, (1, 1)),
        ("fc3", False, (1, 1)),
    ]


def of_nodes(*nodes, shape=(1, 1, 4, 4), out=(1, 1, 1, 1)):
    """A network of nodes (operator, attributes) behind a convolution of 1 × 1."""
    names = ["x", *(f"t{k}" for k in range(len(nodes))), "y"]
    made = [
        helper.make_node(op, [i, *(["w"] if op == "Conv" else [])], [o], name=f"n{k}", **more)
        for k, ((op, more), i, o) in enumerate(
            zip([("Conv", {}), *nodes], names[:-1], names[1:], strict=True)
        )
    ]
    graph = helper.make_graph(
        made,
        "nodes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return hwsim.load(model)


ACCEPTED = (
    " is not supported in training; accepted: Conv, Gemm, Relu, Clip from 0, Sigmoid, Tanh, LRN, "
    "pools by maximum, average and sum, Add of two maps, Concat of channels, and Flatten, with "
    "constant weights; and a Softmax of all outputs at the end"
)
WHOLE = ("GlobalAveragePool", {})


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([WHOLE, ("Softmax", {})], f"Softmax 'n2': this layer here{ACCEPTED}"),
        ([("Softmax", {"axis": 1}), WHOLE], f"Softmax 'n1': this layer here{ACCEPTED}"),
        ([("Sigmoid", {}), ("Tanh", {}), WHOLE], f"Tanh 'n2': this layer here{ACCEPTED}"),
        (
            [
                (
                    "MaxPool",
                    {"kernel_shape": [2, 1], "dilations": [5, 1], "pads": [4, 0, 4, 0]},
                ),
                WHOLE,
            ],
            f"MaxPool 'n1': a window in the padding alone{ACCEPTED}",
        ),
        (
            [("LRN", {"size": 3, "alpha": 0.0}), WHOLE],
            f"LRN 'n1': alpha, beta or bias not above 0{ACCEPTED}",
        ),
        (
            [WHOLE, ("Relu", {})],
            "training takes networks that end with neither a ReLU nor a maximum pool",
        ),
        (
            [("GlobalMaxPool", {})],
            "training takes networks that end with neither a ReLU nor a maximum pool",
        ),
    ],
)
def test_refused(nodes, message):
    with pytest.raises(NetworkError) as raised:
        stages(of_nodes(*nodes))
    assert str(raised.value) == message


def test_initial_weights_have_codes():
    """Of a layer with a single weight for an output, too, which He et al. draw up to 2.45."""
    network = hwsim.networks.network("1x4x4-64C1-10N-5")
    found = initial_weights(network, 0)
    assert 1.5 < max(np.abs(array).max() for array in found.values()) <= 2


def joined(op, *inputs, **attributes):
    """A network that joins the outputs of two convolutions, or others, and reads what comes."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("Conv", ["x", "v"], ["b"], name="b"),
        helper.make_node("Relu", ["a"], ["r"], name="r"),
        helper.make_node(op, inputs, ["j"], name="j", **attributes),
        helper.make_node("GlobalAveragePool", ["j"], ["y"], name="y"),
    ]
    used = {"j", "y", *inputs} | ({"a"} if "r" in inputs else set())
    graph = helper.make_graph(
        [node for node in nodes if node.name in used],
        "joined",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 4, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.ones((outputs, 1, 1, 1), np.float32), name)
            for name, outputs in (("w", 1), ("v", 2))
        ]
        + [numpy_helper.from_array(np.float32(n), name) for name, n in (("c", 1), ("z", 0))]
        + [numpy_helper.from_array(np.array([1, 1, 4, 8]), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return hwsim.load(model)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (joined("Add", "a", "x"), f"Add 'j': this layer here{ACCEPTED}"),
        (joined("Add", "a", "c"), f"Add 'j': an input that is no feature map{ACCEPTED}"),
        (joined("Add", "a", "b"), f"Add 'j': an addition of maps of several shapes{ACCEPTED}"),
        (joined("Clip", "a", "c"), f"Clip 'j': a range from 1.0 to None{ACCEPTED}"),
        (joined("Clip", "a", "", "z"), f"Clip 'j': a range from None to 0.0{ACCEPTED}"),
        (joined("Clip", "a", "z", "z"), f"Clip 'j': a range from 0.0 to 0.0{ACCEPTED}"),
        (joined("Reshape", "b", "s"), f"Reshape 'j': an output of (1, 1, 4, 8){ACCEPTED}"),
        (joined("Concat", "a", "a", axis=2), f"Concat 'j': axis 2{ACCEPTED}"),
        (joined("Conv", "a", "w"), f"Conv 'j': a weight that another layer has, too,{ACCEPTED}"),
    ],
)
def test_joins_refused(network, message):
    with pytest.raises(NetworkError) as raised:
        stages(network)
    assert str(raised.value) == message


def test_folded():
    """A factor and an addend behind a convolution are a part of it; elsewhere they are refused."""
    network = joined("Mul", "a", "c")
    assert [stage.op for stage in stages(folded(network))] == ["Conv", "AveragePool"]
    assert stages(folded(network))[0].bias
    plain = joined("Add", "a", "a")
    assert folded(plain) is plain
    with pytest.raises(NetworkError) as raised:
        folded(joined("Mul", "r", "c"))
    assert str(raised.value) == (
        "Mul 'j': an input that is no output of a Conv or Gemm, or one that others read, too, is "
        "not supported in training"
    )
    mnist = stages(folded(hwsim.load(bundled("mnist_cnn/mnist_cnn.onnx"))))
    assert [stage.op for stage in mnist] == ["Conv", "Conv", "Gemm"]
    found = stages(folded(joined("Sum", "a", "r", "a")))
    assert [stage.op for stage in found] == ["Conv", "AveragePool", "Add", "Add", "AveragePool"]


@pytest.mark.parametrize("order", [("Clip", "Relu"), ("Relu", "Clip"), ("Clip",)])
def test_clip(order):
    """The lowest of bounds counts; a gradient passes between 0 and it, not at its ends."""
    beside = ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})
    network = of_nodes(*((op, {}) for op in order), beside, WHOLE)
    layers = [
        replace(layer, attributes={"minimum": 0.0, "maximum": 0.75})
        if layer.op == "Clip"
        else layer
        for layer in network.layers
    ]
    found = stages(replace(network, layers=tuple(layers)))
    assert [(stage.relu, stage.largest, stage.window) for stage in found] == [
        (True, 0.75, (2, 2)),
        (False, math.inf, (1, 1)),
    ]
    reference = Reference(found[:1], 4)
    reference.load({"n0": np.full((1, 1), 1 << 14)}, {})
    numbers = Scales(0, 14, 0, 0, None, None, {}, bound=12288)
    codes = np.array([[-5, 7, 12288, 12289], [-9, 3, 4, 12287], [0, -1, 2, 3], [-2, 0, 1, 0]])
    # Windows with a winner inside the range, at its upper end, at its lower end, and inside.
    assert reference.forward(codes[None, None], [numbers]).tolist() == [[7, 12288, 0, 3]]
    assert reference._remembered[0][2].ravel()[::4].tolist() == [True, False, False, True]


def test_what_others_read():
    """A ReLU is a stage of its own where its input has another reader; no part of it."""
    found = stages(joined("Concat", "a", "r", "b", "a", axis=1))
    assert [(stage.op, stage.inputs, stage.relu) for stage in found] == [
        ("Conv", ("",), False),
        ("Conv", ("",), False),
        ("AveragePool", ("a",), True),
        ("Concat", ("a", "r", "b", "a"), False),
        ("AveragePool", ("j",), False),
    ]
    assert found[3].shape == (5, 4, 4)


def test_one_end():
    nodes = joined("Add", "a", "a")
    both = replace(nodes, outputs=(*nodes.outputs, nodes.tensors["j"]))
    with pytest.raises(NetworkError) as raised:
        stages(both)
    assert str(raised.value) == "training takes networks with a single end, not with j, y"


@pytest.mark.parametrize("name", NAMES)
def test_known_networks(name):
    """All can be trained; what is added up, or joined, has one shape."""
    found = {stage.name: stage for stage in stages(folded(network_of(name)))}
    for stage in found.values():
        shapes = [found[name].pooled_shape for name in stage.inputs if name]
        if stage.op == "Add":
            assert shapes == [stage.shape] * 2
        elif stage.op == "Concat":
            assert sum(shape[0] for shape in shapes) == stage.outputs


def test_stages():
    """Pools that lie side by side are a part of what they follow, a ReLU of the last sum."""
    beside = ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})
    over, relu = ("MaxPool", {"kernel_shape": [2, 2]}), ("Relu", {})
    nodes = (beside, over, relu, relu, ("Tanh", {}), beside, relu, over, relu, WHOLE)
    found = stages(of_nodes(*nodes, shape=(1, 1, 12, 12)))
    assert [(stage.op, stage.relu, stage.window) for stage in found] == [
        ("Conv", True, (2, 2)),
        ("MaxPool", False, (1, 1)),
        ("Tanh", False, (2, 2)),
        ("AveragePool", True, (2, 2)),
        ("AveragePool", False, (1, 1)),
    ]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"rate": 0.0}, "rate must lie in (0, 1], not 0.0"),
        ({"momentum": 1.0}, "momentum must lie in [0, 1), not 1.0"),
        ({"loss": "mse"}, "loss must be cross-entropy or rmse, not 'mse'"),
    ],
)
def test_settings_wrong(members, message):
    with pytest.raises(ValueError) as raised:
        TrainingSettings(**members)
    assert str(raised.value) == message
