"""Pools that add up: in files, in the reference, quantized, and on both accelerators."""

import math

import numpy as np
import onnx
import pytest
from onnx import helper

import hwsim
from benchmarks.gradient_cases import geometry
from hwsim.models import reference
from hwsim.models.dataflow.training import training_step
from hwsim.models.dataflow.workload import workload
from hwsim.models.onnx_runtime import compare
from hwsim.models.reference import integer
from hwsim.network import NetworkError, lower
from hwsim.network.batch import images_are_independent
from hwsim.network.functions import DOMAIN, function
from hwsim.network.geometry import fields
from hwsim.network.integer import Pool
from hwsim.network.random_weights import with_random_weights
from tests.network.test_load import compare as compare_saved
from tests.network.test_load import one_node
from tests.onnx_models import ModelBuilder, images, run_onnxruntime

UNIT = 2.0**-24


def drawn(rng, spatial):
    """Attributes that ONNX Runtime takes, which wants padding narrower than the kernel."""
    while True:
        found = geometry(rng, spatial, pool=True)
        if all(p < k for p, k in zip(found["pads"], found["kernel"] * 2, strict=True)):
            return found


def pool(b, x, op="SumPool", **attributes):
    """A node of a pool, with the attributes of a layer."""
    kernel = {"kernel_shape": attributes.pop("kernel")}
    domain = DOMAIN if op == "SumPool" else ""
    return b.node(op, x, domain=domain, **kernel, **attributes)


def model(b, output):
    """The model of a `ModelBuilder`, which holds the function."""
    outputs = [helper.make_empty_tensor_value_info(output)]
    graph = helper.make_graph(b.nodes, b.name, [b.input], outputs, b.initializers)
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9, functions=[function("SumPool", 19)]
    )


@pytest.mark.parametrize("seed", range(20))
def test_is_kept_in_files_and_agrees_with_onnxruntime(seed, tmp_path):
    rng = np.random.default_rng(seed)
    shape = (1, 3, *rng.integers(3, 9, 2).tolist())
    b = ModelBuilder(seed, shape)
    attributes = drawn(rng, shape[2:])
    made = model(b, pool(b, "image", **attributes))
    network = hwsim.load(made)
    (layer,) = network.layers
    assert (layer.op, layer.attributes) == ("SumPool", attributes)
    network.save(tmp_path / "saved.onnx")
    (again,) = hwsim.load(tmp_path / "saved.onnx").layers
    assert (again.op, again.attributes) == ("SumPool", attributes)
    x = rng.normal(size=shape).astype(np.float32)
    (ours,) = reference.run(network, x).values()
    (magnitudes,) = reference.run(network, abs(x)).values()
    # Each of the two adds up n values, in some order.
    bound = 2 * math.prod(attributes["kernel"]) * UNIT * magnitudes
    for file in (made, onnx.load(tmp_path / "saved.onnx")):
        (theirs,) = run_onnxruntime(file, x).values()
        assert theirs.shape == ours.shape
        assert (abs(ours - theirs) <= bound).all()


@pytest.mark.parametrize(
    ("form", "pads"), [("SAME_UPPER", (1, 0, 1, 1)), ("SAME_LOWER", (1, 1, 1, 0))]
)
def test_automatic_padding(form, pads):
    b = ModelBuilder(0, (1, 1, 7, 8))
    made = model(b, pool(b, "image", kernel=[3, 3], strides=[2, 2], auto_pad=form))
    network = hwsim.load(made)
    assert network.layers[0].attributes["pads"] == pads
    x = np.ones((1, 1, 7, 8), np.float32)
    (ours,), (theirs,) = reference.run(network, x).values(), run_onnxruntime(made, x).values()
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("opset", "constants", "attributes"),
    [
        (11, None, {"axes": [2, 3]}),
        (11, None, {"axes": [-1, 2], "keepdims": 1}),
        (13, {"axes": np.array([2, -1])}, {}),
        (18, {"axes": np.array([3, 2])}, {"noop_with_empty_axes": 1}),
    ],
)
def test_reduce_sum_is_the_pool_of_the_whole_map(opset, constants, attributes, tmp_path):
    made = one_node("ReduceSum", [1, 3, 6, 5], constants, opset, **attributes)
    network = hwsim.load(made)
    (layer,) = network.layers
    assert (layer.op, layer.inputs, network.shape("y")) == ("SumPool", ("x",), (1, 3, 1, 1))
    assert layer.attributes["kernel"] == (6, 5)
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 5)).astype(np.float32)
    network.save(tmp_path / "saved.onnx")
    compare_saved(tmp_path / "saved.onnx", network, {"x": x})
    (ours,), (theirs,) = reference.run(network, x).values(), run_onnxruntime(made, x).values()
    assert np.allclose(ours, theirs, rtol=0, atol=2 * 30 * UNIT * abs(x).sum((2, 3)).max())


def test_sum_of_nothing_is_refused():
    with pytest.raises(NetworkError) as caught:
        hwsim.load(one_node("ReduceSum", [1, 3, 0, 5], {"axes": np.array([2, 3])}, 13))
    assert str(caught.value) == (
        "ReduceSum 'node': an input of shape (1, 3, 0, 5) is not supported; accepted: maps that "
        "are not empty"
    )


WHOLE = "is not supported; accepted: (2, 3), the whole of each map"


@pytest.mark.parametrize(
    ("constants", "attributes", "text"),
    [
        ({"axes": np.array([1])}, {}, f"axes = (1,) {WHOLE}"),
        ({"axes": np.array([1, 2, 3])}, {}, f"axes = (1, 2, 3) {WHOLE}"),
        (None, {}, f"axes = None {WHOLE}"),
        (
            {"axes": np.array([2, 3])},
            {"keepdims": 0},
            "keepdims = 0 is not supported; accepted: 1",
        ),
    ],
)
def test_other_sums_are_refused(constants, attributes, text):
    with pytest.raises(NetworkError) as caught:
        hwsim.load(one_node("ReduceSum", [1, 3, 6, 5], constants, 13, **attributes))
    assert str(caught.value) == f"ReduceSum 'node': {text}"


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        (
            {"count_include_pad": 1},
            "attribute count_include_pad = 1 is not supported; accepted: no such attribute in "
            "version 1 of the operator",
        ),
        (
            {"pads": [3, 0, 0, 0]},
            "pads = [3, 0, 0, 0] is not supported; accepted: pads smaller than the window, which "
            "spans 3",
        ),
    ],
)
def test_attributes_that_are_refused(attributes, text):
    b = ModelBuilder(0, (1, 1, 8, 8))
    made = model(b, pool(b, "image", kernel=[3, 3], **attributes))
    with pytest.raises(NetworkError) as caught:
        hwsim.load(made)
    assert str(caught.value) == f"SumPool 'sumpool1': {text}"


def network_of(op, attributes, seed=0):
    """Convolution, a pool, ReLU, convolution, ReLU, the sum of each map, dense layer."""
    b = ModelBuilder(seed, (1, 2, 9, 8))
    x = pool(b, b.conv("image", 2, 5, pads=[1, 1, 1, 1]), op, **attributes)
    x = b.node("Relu", x)
    x = b.node("Relu", b.conv(x, 5, 4, (1, 1)))
    x = b.node("ReduceSum", x, b.constant([2, 3], np.int64))
    return model(b, b.gemm(b.node("Flatten", x), 4, 3))


def test_everything_but_the_division_is_that_of_an_average():
    attributes = {"kernel": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0], "ceil_mode": 1}
    more = {"count_include_pad": 1}
    total, mean = (
        hwsim.load(network_of(op, attributes | given))
        for op, given in (("SumPool", {}), ("AveragePool", more))
    )
    assert images_are_independent(total)
    assert list(fields(total).values()) == list(fields(mean).values())
    assert total.params == mean.params and total.macs == mean.macs
    total, mean = with_random_weights(total), with_random_weights(mean)
    assert all(np.array_equal(total.constants[n], mean.constants[n]) for n in mean.constants)
    for training in (False, True):
        loads = [workload(network, 2, "fp32", training=training) for network in (total, mean)]
        works = [training_step(load) if training else load for load in loads]
        differing = [
            (b.op, b.phase, b.element_ops - a.element_ops)
            for a, b in zip(*(load.works for load in works), strict=True)
            if a.element_ops != b.element_ops
        ]
        # Of two images; the pool gives maps of 5 x 5 x 7.
        assert differing[0] == ("AveragePool", "forward", 2 * 5 * 5 * 7)
        assert len(differing) == 1 + training


@pytest.mark.parametrize("seed", range(6))
def test_quantized_on_both_accelerators(seed):
    """Every map equals the reference, which ONNX Runtime is near; cycles are the plan's."""
    rng = np.random.default_rng(seed)
    made = network_of("SumPool", drawn(rng, (9, 8)), seed)
    given = images(made, 16, seed)
    quantized = hwsim.quantize(hwsim.load(made), given, activation=["int8", "uint8"][seed % 2])
    integers = lower(quantized)
    kinds = [layer.kind for layer in integers.layers if isinstance(layer, Pool)]
    assert kinds == ["sum", "sum"]
    codes = integer.run(integers, integers.input.quantize(given))
    assert compare(quantized, codes)["largest"].max() <= 1
    for arch in (hwsim.Streaming(multipliers=300), hwsim.Systolic(rows=4, cols=4)):
        design = hwsim.build(quantized, arch)
        result = hwsim.simulate(design, given[:2], lanes=1)
        assert result.mismatches == 0, f"seed {seed}"
        assert result.cycles == design.cycles(images=2)
