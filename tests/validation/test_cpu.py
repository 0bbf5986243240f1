"""Forward times on CPUs: the checks, and what they hold to."""

import numpy as np
import onnx
import pytest

from hwsim.validation import CHECKS
from hwsim.validation.cpu import LIGHT, light


def test_torch_is_predicted_from_the_device_alone():
    check = CHECKS["cpu-torch"]()
    assert len(check.points) == 7
    assert dict(check.points[["point", "measured"]].to_numpy())["VGG-19"] == 3609.78
    assert not check.fitted
    # No framework is faster than well-blocked kernels on all cores.
    assert (check.points["predicted"] < check.points["measured"]).all()


def test_networks_on_the_calibrated_machine():
    check = CHECKS["cpu-networks"]()
    assert set(check.points["point"]) == set(LIGHT)
    groups = check.points["group"].value_counts()
    assert {"batch 1, 1 thread", "batch 8, 1 thread"} <= set(groups.index)
    assert set(groups) == {9}
    total = check.summary().set_index("group").loc["all"]
    assert total["mape_percent"] <= 20
    assert "layer times of these networks" in check.fitted


def test_a_batch_of_the_benchmark_computes_what_single_images_do():
    from benchmarks.onnx_runtime import batched, times

    ort = pytest.importorskip("onnxruntime")
    network = light("shufflenet")
    images = np.random.default_rng(0).standard_normal((2, 3, 224, 224), np.float32)
    name = network.inputs[0].name
    outputs = []
    for batch in (1, 2):
        model = batched(network, batch)
        onnx.checker.check_model(model)
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        parts = [images[i : i + batch] for i in range(0, 2, batch)]
        outputs.append(np.concatenate([session.run(None, {name: part})[0] for part in parts]))
    assert np.allclose(*outputs, rtol=1e-3, atol=1e-6)
    model = batched(network, 1).SerializeToString()
    assert len(times(model, {name: images[:1]}, 1, 0)) == 5
