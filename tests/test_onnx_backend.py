"""The ONNX project's own conformance cases, run against the NumPy reference."""

import re
import unittest
import warnings

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

from hwsim import NetworkError, onnx_backend
from hwsim.network.operators import OPERATORS

EXCLUDED = {
    r"_(float4e2m1|e4m3fn|e5m2)": "floating-point codes are no integers, which is what quantized "
    "hardware computes with",
    r"^test_identity_(sequence|opt)_": "sequences and optional values are not tensors",
    r"^test_training_dropout": "inference only",
    r"^test_batchnorm_.*_training_mode_": "inference only",
    r"^test_cast_": "Cast is supported on values known at import",
    r"^test_div_": "Div is supported on values known at import",
    r"^test_gather_": "Gather is supported on values known at import",
    r"^test_reduce_sum_(?!empty_set_non)": "ReduceSum is supported over the whole of each map",
    r"^test_slice_": "Slice is supported on values known at import",
    r"^test_sub_": "Sub is supported on values known at import",
}
"""Pattern of excluded cases to the reason."""


with warnings.catch_warnings():
    # The package computes its expected outputs at import, some of which overflow on purpose.
    warnings.simplefilter("ignore", RuntimeWarning)
    backend_test = onnx.backend.test.BackendTest(onnx_backend, __name__)
    MODELS = {f"{case.name}_cpu": case for case in load_model_tests(kind="node")}
CASES = []
for case_name, case in MODELS.items():
    operators = [node.op_type for node in case.model.graph.node]
    # "expanded" cases spell another operator out.
    if len(operators) == 1 and operators[0] in OPERATORS and "_expanded" not in case_name:
        CASES.append(case_name)
        backend_test.include(f"^{case_name}$")
for excluded in EXCLUDED:
    backend_test.exclude(excluded)

# Only the cases that match, so that thousands of others do not show up as skipped.
RUN = [name for name in CASES if not any(re.search(pattern, name) for pattern in EXCLUDED)]
# In a dictionary, because pytest would collect a class.
TEST_CASES = backend_test.test_cases


@pytest.mark.parametrize("name", RUN)
def test_conformance(name):
    result = unittest.TestResult()
    TEST_CASES["OnnxBackendNodeModelTest"](name).run(result)
    assert not result.skipped
    assert result.wasSuccessful(), (result.failures + result.errors)[0][1]


def test_every_exclusion_is_needed():
    """Each pattern excludes cases, and each of those is refused: none would pass, none gives
    another result."""
    for pattern in EXCLUDED:
        names = [name for name in CASES if re.search(pattern, name)]
        assert names, f"{pattern} excludes nothing"
    for name in sorted(set(CASES) - set(RUN)):
        case = MODELS[name]
        with pytest.raises(NetworkError):
            onnx_backend.run_model(case.model, case.data_sets[0][0])


def test_enough_cases_run():
    """The lists above did not become empty by a change of names."""
    assert len(RUN) >= 200


def relu_model():
    node = helper.make_node("Relu", ["x"], ["y"])
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    return helper.make_model(helper.make_graph([node], "relu", info[:1], info[1:]))


def test_prepare_and_run():
    prepared = onnx_backend.prepare(relu_model())
    x = np.array([-1, 2], np.float32)
    for inputs in ([x], {"x": x}):
        (y,) = prepared.run(inputs)
        assert np.array_equal(y, [0, 2])
    (y,) = onnx_backend.run_model(relu_model(), [x], device="CPU")
    assert np.array_equal(y, [0, 2])


def test_run_node():
    x, shape = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([3, 2])
    (y,) = onnx_backend.run_node(helper.make_node("Reshape", ["x", "s"], ["y"]), [x, shape])
    assert np.array_equal(y, x.reshape(3, 2))
    (y,) = onnx_backend.run_node(
        helper.make_node("Softmax", ["x"], ["y"], axis=0), [x], opset_version=11
    )
    assert y.sum() == pytest.approx(1, rel=2**-20)


def test_shape_inputs_may_differ_from_run_to_run():
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        "reshape",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [6]),
            helper.make_tensor_value_info("s", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
    )
    prepared = onnx_backend.prepare(helper.make_model(graph))
    for shape in ((2, 3), (6, 1)):
        assert prepared.run([np.zeros(6, np.float32), np.array(shape)])[0].shape == shape


def test_only_the_cpu_is_supported():
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA")
    assert not onnx_backend.is_compatible(relu_model(), "CUDA")
    with pytest.raises(ValueError) as caught:
        onnx_backend.prepare(relu_model(), "CUDA")
    assert str(caught.value) == "device must be CPU, not CUDA"


def test_is_compatible():
    model = relu_model()
    assert onnx_backend.is_compatible(model)
    model.graph.node[0].op_type = "Elu"
    assert not onnx_backend.is_compatible(model)


def test_wrong_calls_are_refused():
    prepared = onnx_backend.prepare(relu_model())
    for inputs, message in (([], "inputs must hold 1 arrays, not 0"), ({}, "input 'x' is missing")):
        with pytest.raises(ValueError) as caught:
            prepared.run(inputs)
        assert str(caught.value) == message
    with pytest.raises(TypeError) as caught:
        onnx_backend.prepare(relu_model(), threads=2)
    assert str(caught.value) == "the backend takes no option threads"


def test_initializers_are_no_inputs():
    model = relu_model()
    model.graph.node[0].CopyFrom(helper.make_node("Add", ["x", "c"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "c"))
    assert np.array_equal(onnx_backend.run_model(model, [np.zeros(2, np.float32)])[0], [1, 1])
