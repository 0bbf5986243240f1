import numpy as np
import onnx
import pytest

import hwsim
from hwsim.data import bundled
from hwsim.images import load_images
from hwsim.models import onnx_runtime
from hwsim.models.reference import run


@pytest.fixture(scope="module")
def lenet():
    return hwsim.load(bundled("lenet5/lenet5.onnx"))


@pytest.fixture(scope="module")
def images():
    return load_images(bundled("lenet5/images.npz"), (1, 28, 28))[:40]


@pytest.fixture(scope="module")
def quantized(lenet):
    calibration = load_images(bundled("lenet5/images.npz"), (1, 28, 28), key="calibration")
    return hwsim.quantize(lenet, calibration=calibration.images[:64])


@pytest.fixture(scope="module")
def codes(quantized, images):
    """Codes of the input and of all layers' outputs, from the NumPy reference."""
    names = [name for name in quantized.tensors if name.endswith("_quantized")]
    found = [run(quantized, {"image": image[None]}, names) for image in images.images]
    return {name: np.concatenate([maps[name] for maps in found]) for name in names}


def test_run_equals_the_reference(lenet, images):
    found = onnx_runtime.run(lenet, images.images)
    wanted = np.concatenate([run(lenet, {"image": image[None]})["fc3"] for image in images.images])
    # Sums of at most 400 products in float32, in another order.
    assert np.abs(found - wanted).max() <= 400 * 2**-24 * np.abs(wanted).max()


def test_run_takes_the_batch_size_of_the_network(images, lenet):
    batched = hwsim.load(bundled("lenet5/lenet5.onnx"), (8, 1, 28, 28))
    found = onnx_runtime.run(batched, images.images)
    assert found.shape == (40, 10)
    assert np.allclose(found, onnx_runtime.run(lenet, images.images), rtol=1e-5, atol=1e-5)


def test_accuracy_counts_the_largest_output(lenet, images):
    classes = onnx_runtime.run(lenet, images.images).argmax(axis=1)
    assert onnx_runtime.accuracy(lenet, images.images, classes) == 1
    classes[:10] = (classes[:10] + 1) % 10
    assert onnx_runtime.accuracy(lenet, images.images, classes) == 0.75


def test_compare_finds_every_layer_within_a_step(quantized, codes):
    found = onnx_runtime.compare(quantized, codes)
    assert list(found["name"]) == [name for name in codes if name != "image_quantized"]
    assert list(found["values"]) == [codes[name].size for name in found["name"]]
    assert found["largest"].max() <= 1


def test_compare_shows_an_error_where_it_is_and_not_behind_it(quantized, codes):
    wrong = {name: maps.copy() for name, maps in codes.items()}
    # The smallest code of a pooling window, far below the largest: the next layer does not see it.
    windows = codes["relu2_quantized"].reshape(-1, 5, 2, 5, 2).transpose(0, 1, 3, 2, 4).astype(int)
    windows = windows.reshape(-1, 5, 5, 4)
    place = np.argwhere(windows.max(axis=3) - windows.min(axis=3) > 3)[0]
    code = windows[tuple(place)].argmin()
    channel, row, column = place
    wrong["relu2_quantized"].reshape(-1, 10, 10)[
        channel, 2 * row + code // 2, 2 * column + code % 2
    ] += 3
    before = onnx_runtime.compare(quantized, codes).set_index("name")
    after = onnx_runtime.compare(quantized, wrong).set_index("name")
    assert after.loc["relu2_quantized", "largest"] == 3
    assert (
        after.loc["relu2_quantized", "differing"] == before.loc["relu2_quantized", "differing"] + 1
    )
    assert after.drop("relu2_quantized").equals(before.drop("relu2_quantized"))


def test_compare_passes_over_names_that_the_network_lacks(quantized, codes):
    more = {**codes, "a change of scale": codes["image_quantized"]}
    assert onnx_runtime.compare(quantized, more).equals(onnx_runtime.compare(quantized, codes))


def test_compare_accepts_maps_in_the_shape_that_hardware_has(quantized, codes):
    maps = {
        name: array.reshape(len(array), -1, 1, 1) if array.ndim == 2 else array
        for name, array in codes.items()
    }
    assert onnx_runtime.compare(quantized, maps).equals(onnx_runtime.compare(quantized, codes))


def test_compare_on_a_fork_that_rejoins(tmp_path):
    make = onnx.helper.make_node
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [make("Relu", ["x"], ["r"]), make("Sigmoid", ["x"], ["s"]), make("Add", ["r", "s"], ["y"])],
        "fork",
        [info("x", onnx.TensorProto.FLOAT, [1, 2, 3, 3])],
        [info("y", onnx.TensorProto.FLOAT, [1, 2, 3, 3])],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    network = hwsim.load(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8))
    images = np.random.default_rng(4).normal(size=(5, 2, 3, 3)).astype(np.float32)
    quantized = hwsim.quantize(network, calibration=images)
    names = [name for name in quantized.tensors if name.endswith("_quantized")]
    found = [run(quantized, {"x": image[None]}, names) for image in images]
    codes = {name: np.concatenate([maps[name] for maps in found]) for name in names}
    table = onnx_runtime.compare(quantized, codes)
    assert set(table["name"]) == set(names) - {"x_quantized"}
    assert table["largest"].max() <= 1
