"""Gradients against central differences, on random geometry.

Sums of products are linear in each input, so that in integers a difference over two steps of 1 is
twice the gradient, exactly."""

from dataclasses import replace

import numpy as np
import pytest

import hwsim
from benchmarks.gradient_cases import (
    CASES,
    DIFFERENCE_TOLERANCE,
    Case,
    apart,
    central_differences,
    difference,
    differences,
    geometry,
    loss_case,
    torch_gradients,
    torch_loss,
)
from hwsim.data import bundled
from hwsim.models.reference.backward import GRADIENTS, LOSSES
from hwsim.models.reference.gradients import gradients, parameters
from hwsim.network.network import NetworkError
from tests.models.test_floating import make_model

SEEDS = range(8)
U = 2.0**-53


def test_every_gradient_has_cases():
    """What only moves or renames data is in the test of a network."""
    moved = {"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
    assert {name.split(",")[0] for name in CASES} == GRADIENTS.keys() - moved


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", SEEDS)
def test_central_differences(name, seed):
    rng = np.random.default_rng(seed)
    case = CASES[name](rng)
    dy = rng.normal(size=case.forward().shape)
    for found, expected in zip(case.backward(dy), differences(case, dy), strict=True):
        assert found.shape == expected.shape
        assert difference(found, expected) < DIFFERENCE_TOLERANCE, case


@pytest.mark.parametrize("name", ["Add", "Conv", "Gemm", "MatMul", "Mul", "SumPool"])
@pytest.mark.parametrize("seed", SEEDS)
def test_integers_are_exact(name, seed):
    rng = np.random.default_rng(seed)
    drawn = CASES[name](rng)
    attributes = drawn.attributes | ({"alpha": 1, "beta": 1} if name == "Gemm" else {})
    inputs = tuple(rng.integers(-(2**15), 2**15, x.shape) for x in drawn.inputs)
    case = replace(drawn, attributes=attributes, inputs=inputs)
    dy = rng.integers(-(2**15), 2**15, case.forward().shape)
    for found, expected in zip(case.backward(dy), differences(case, dy, 1), strict=True):
        assert found.dtype == np.int64
        assert (found == expected).all(), case


@pytest.mark.parametrize("seed", SEEDS)
def test_integer_max_pool_goes_to_the_winner(seed):
    """Each window's gradient goes to the place of its maximum, the first of several."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (2, 3, 6, 7))
    attributes = geometry(rng, x.shape[2:], pool=True) | {"storage_order": 0}
    case = Case("MaxPool", attributes, (x,), (0,))
    y = case.forward()
    dy = rng.integers(-9, 10, y.shape)
    expected = np.zeros_like(x)
    for n, c, *at in np.ndindex(*y.shape):
        places = []
        for tap in np.ndindex(*attributes["kernel"]):
            place = [
                o * s + t * d - b
                for o, s, t, d, b in zip(
                    at,
                    attributes["strides"],
                    tap,
                    attributes["dilations"],
                    attributes["pads"],
                    strict=False,
                )
            ]
            if 0 <= place[0] < 6 and 0 <= place[1] < 7:
                places.append(tuple(place))
        winner = next(p for p in places if x[n, c, *p] == y[n, c, *at])
        expected[n, c, *winner] += dy[n, c, *at]
    assert (case.backward(dy)[0] == expected).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_losses(name, seed):
    outputs, target = loss_case(name, np.random.default_rng(seed))
    _, found = LOSSES[name](outputs, target)
    expected = central_differences(lambda x: LOSSES[name](x, target)[0], outputs)
    assert difference(found, expected) < DIFFERENCE_TOLERANCE


def test_rmse_of_equals():
    loss, gradient = LOSSES["rmse"](np.ones((2, 2)), np.ones((2, 2)))
    assert loss == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_pytorch(name, seed):
    """Both compute in float64 with sums of fewer than 1,000 terms, each off by 1,000 u at most."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    case = CASES[name](rng)
    dy = rng.normal(size=case.forward().shape)
    for found, expected in zip(case.backward(dy), torch_gradients(case, dy), strict=True):
        assert difference(found, expected) < 2000 * U


@pytest.mark.parametrize("name", LOSSES)
def test_pytorch_losses(name):
    pytest.importorskip("torch")
    outputs, target = loss_case(name, np.random.default_rng(0))
    loss, gradient = LOSSES[name](outputs, target)
    expected_loss, expected = torch_loss(name, outputs, target)
    assert loss == pytest.approx(expected_loss, rel=2000 * U)
    assert difference(gradient, expected) < 2000 * U


def test_network():
    """LeNet-5: every parameter in a few places, and the input, by central differences."""
    network = hwsim.load(bundled("lenet5/lenet5.onnx"))
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(3, 1, 28, 28))
    labels = np.array([1, 0, 7])
    names = parameters(network)
    assert names == [
        f"{layer}.{part}"
        for layer in ("conv1", "conv2", "fc1", "fc2", "fc3")
        for part in ("weight", "bias")
    ]
    found = gradients(network, x, labels, dtype=np.float64)
    assert found.of.keys() == {"image", *names, *(layer.outputs[0] for layer in network.layers)}
    values = {**{n: network.constants[n].astype(np.float64) for n in names}, "image": x}
    for name, array in values.items():
        assert found.of[name].shape == array.shape
        for place in rng.integers(array.size, size=3):
            losses = []
            for step in (-STEP, STEP):
                moved = array.copy()
                moved.flat[place] += step
                here = values | {name: moved}
                image = here.pop("image")
                run = gradients(network, image, labels, constants=here, dtype=np.float64)
                losses.append(run.loss)
            expected = (losses[1] - losses[0]) / (2 * STEP)
            # No unit of the 3 images is so near its switch that a step of 1e-6 passes it.
            assert abs(found.of[name].flat[place] - expected) < 1e-7


STEP = 2.0**-20


def test_network_with_several_readers():
    """The gradients of all readers of a feature map add up."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"]),
        helper.make_node("Identity", ["a"], ["same"]),
        helper.make_node("Mul", ["a", "same"], ["b"]),
        helper.make_node("Add", ["b", "a"], ["c"]),
        helper.make_node("Unsqueeze", ["c", "axes"], ["d"]),
        helper.make_node("Dropout", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "readers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 5))],
        [helper.make_tensor("axes", TensorProto.INT64, (1,), [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    network = hwsim.load(model)
    rng = np.random.default_rng(3)
    x, target = rng.normal(size=(2, 2, 5))
    found = gradients(network, x, target, loss="rmse", dtype=np.float64)
    expected = central_differences(
        lambda x: gradients(network, x, target, loss="rmse", dtype=np.float64).loss, x
    )
    assert difference(found.of["x"], expected) < DIFFERENCE_TOLERANCE


def test_unsupported():
    model = make_model("QuantizeLinear", {"x": np.ones((1, 4), np.float32), "s": np.float32(1)},
                       constants=("s",))  # fmt: skip
    network = hwsim.load(model)
    with pytest.raises(NetworkError, match=r"QuantizeLinear '.*': a gradient is not supported"):
        gradients(network, np.ones((1, 4), np.float32), np.array([0]))


def test_loss_unknown():
    network = hwsim.load(bundled("lenet5/lenet5.onnx"))
    with pytest.raises(ValueError, match=r"^loss must be cross-entropy or rmse, not 'l1'$"):
        gradients(network, np.ones((1, 1, 28, 28)), np.array([0]), loss="l1")


def test_apart():
    numbers = np.sort(np.append(apart(np.random.default_rng(0), 50), 0))
    assert np.diff(numbers).min() >= 2**-7
