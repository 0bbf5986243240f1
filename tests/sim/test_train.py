"""Training on simulated hardware: equal to the reference, and it survives being killed."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim.blocks.training import TrainingConfig
from hwsim.cli import _run
from hwsim.data import bundled
from hwsim.models.training import TrainingSettings
from hwsim.network import NetworkError
from hwsim.network.functions import DOMAIN
from hwsim.networks.catalog import block, inception, inverted_residual, normalized
from hwsim.networks.graph import Graph
from hwsim.sim.trainer import train
from tests.models.test_integer_training import chain, data, with_functions
from tests.onnx_models import ModelBuilder


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rtl_equals_the_reference(stochastic, momentum):
    network = chain()
    images, labels = data(network, 20)
    settings = TrainingSettings(rate=0.03, momentum=momentum, stochastic=stochastic)
    options = {"steps": 4, "batch": 5, "settings": settings, "lanes": 5}
    found = train(network, images, labels, engine="rtl", **options)
    assert found.mismatches == 0
    assert found.cycles == found.planned_cycles
    expected = train(network, images, labels, engine="reference", **options)
    assert found.losses == expected.losses
    assert found.cycles_by_work == expected.cycles_by_work
    for name, array in expected.network.constants.items():
        assert np.array_equal(found.network.constants[name], array)
    assert (found.steps, found.images, found.test_images) == (4, 20, 4)


def test_nothing_but_a_dense_layer():
    """No pool, no function, no hidden layer."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], name="y"),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 2, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(np.zeros((6, 5), np.float32), "w")],
    )
    opset = [helper.make_opsetid("", 20)]
    network = hwsim.load(helper.make_model(graph, opset_imports=opset, ir_version=10))
    settings = TrainingSettings(loss="rmse")
    found = train(network, *data(network, 20), steps=2, batch=8, lanes=4, settings=settings)
    assert found.mismatches == 0
    assert found.cycles == found.planned_cycles


def test_images_of_two_dimensions():
    """Vectors, as multi-layer perceptrons take them."""
    network = hwsim.networks.network("7-6N-5")
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(size=(20, 7)).astype(np.float32), rng.integers(5, size=20)
    found = train(network, images, labels, steps=3, batch=8, lanes=4)
    assert found.mismatches == 0
    assert found.cycles == found.planned_cycles
    assert np.abs(np.subtract(found.losses, found.float_losses)).max() < 0.01


def test_many_lanes():
    """More than there are outputs, and no power of two."""
    network = hwsim.networks.network("1x8x8-5C3-MP2-40N-5")
    found = train(network, *data(network, 50), steps=1, batch=33, lanes=33)
    assert found.mismatches == 0 and found.cycles == found.planned_cycles


def of_classes(dense, softmax):
    """Five classes, from a dense layer or as maps of a pixel; with a Softmax or none."""
    b = ModelBuilder(0, (1, 1, 6, 6), "classes")
    x = b.node("Relu", b.conv("image", 1, 4))
    if dense:
        x = b.gemm(b.node("Flatten", x), 64, 5)
    else:
        x = b.node("GlobalAveragePool", b.conv(x, 4, 5), name="mean")
    return hwsim.load(b.model(b.node("Softmax", x, axis=1) if softmax else x))


@pytest.mark.parametrize("dense", [True, False])
def test_a_softmax_is_a_part_of_the_loss(dense, tmp_path):
    network, plain = of_classes(dense, True), of_classes(dense, False)
    given = data(plain, 20)
    found = train(network, *given, steps=3, batch=4, lanes=4)
    expected = train(plain, *given, steps=3, batch=4, lanes=4)
    assert found.mismatches == 0 and found.cycles == expected.cycles == found.planned_cycles
    assert found.losses == expected.losses and found.float_losses == expected.float_losses
    assert np.abs(np.subtract(found.losses, found.float_losses)).max() < 0.01
    # What is written gives probabilities, as what was read.
    found.network.save(tmp_path / "trained.onnx")
    again = hwsim.load(tmp_path / "trained.onnx")
    assert [layer.op for layer in again.layers] == [layer.op for layer in network.layers]
    assert again.outputs == network.outputs
    settings = TrainingSettings(loss="rmse")
    with pytest.raises(NetworkError) as raised:
        train(network, *given, settings=settings)
    assert str(raised.value) == (
        "classes ends with a Softmax, which is a part of the cross-entropy; the loss rmse takes "
        "networks without"
    )
    found = train(plain, *given, steps=2, batch=4, lanes=4, settings=settings)
    assert found.mismatches == 0
    assert np.abs(np.subtract(found.losses, found.float_losses)).max() < 0.01


@pytest.mark.parametrize("opset", [11, 17])
def test_a_softmax_over_the_images_is_none_of_the_loss(opset):
    b = ModelBuilder(0, (5, 4), "over_images")
    x = b.gemm("image", 4, 5)
    network = hwsim.load(b.model(b.node("Softmax", x, axis=0), opset=opset))
    with pytest.raises(NetworkError, match=r"^Softmax '.*': this layer here is not supported"):
        train(network, *data(network, 20), steps=1, batch=4)


@pytest.mark.parametrize(
    "ends", [["GlobalAveragePool"], ["GlobalAveragePool", "Tanh"], ["LRN"], ["SumPool"]]
)
def test_other_ends(ends):
    """The outputs of a pool, a function, an LRN."""
    more = {
        "LRN": {"size": 3, "alpha": 0.5},
        "SumPool": {"kernel_shape": [5, 3], "domain": DOMAIN},
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], name="c1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["t0"], name="c2"),
        *(
            helper.make_node(op, [f"t{k}"], [f"t{k + 1}"], name=f"n{k}", **more.get(op, {}))
            for k, op in enumerate(ends)
        ),
        helper.make_node("Flatten", [f"t{len(ends)}"], ["y"]),
    ]
    size = (1, 1) if ends == ["LRN"] else (5, 3)
    shapes = {"w1": (4, 1, 3, 3), "w2": (5, 4, 1, 1)}
    graph = helper.make_graph(
        nodes,
        "ends",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, *size))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(np.zeros(s, np.float32), name) for name, s in shapes.items()],
    )
    opset = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    network = hwsim.load(helper.make_model(graph, opset_imports=opset, ir_version=10))
    settings = TrainingSettings(loss="rmse", stochastic=True)
    found = train(network, *data(network, 20), steps=3, batch=8, lanes=4, settings=settings)
    assert found.mismatches == 0
    assert found.cycles == found.planned_cycles
    assert abs(found.loss - np.mean(found.float_losses[-2:])) < 0.01


@pytest.mark.parametrize("stochastic", [False, True])
def test_both_norms(stochastic):
    """Across channels and within them, and functions: as the reference, and near float."""
    network = with_functions("Sigmoid")
    settings = TrainingSettings(stochastic=stochastic)
    options = {"steps": 3, "batch": 8, "lanes": 4, "settings": settings}
    found = hwsim.train(network, *data(network, 20), **options)
    assert found.mismatches == 0
    assert found.cycles == found.planned_cycles
    assert abs(found.loss - np.mean(found.float_losses[-2:])) < 0.01


def inceptions():
    """Two of GoogLeNet's, small, with a pool between."""
    graph = Graph("inceptions", (1, 7, 7))
    graph.conv_relu("conv1", 4, 3, 1, 1)
    inception(graph, "a", (2, 2, 3, 1, 2, 3))
    graph.pool("pool", 3, 2)
    inception(graph, "b", (3, 2, 4, 2, 1, 2))
    graph.global_average("average")
    graph.flatten()
    graph.dense("classifier", 5)
    return hwsim.load(graph.model())


def residuals():
    """A ResNet-18, small: additions, batch normalization, strides, a shortcut of 1 x 1."""
    graph = Graph("residuals", (1, 8, 8))
    graph.conv("conv1", 4, 3, 1, 1, bias=False)
    graph.norm("conv1_norm")
    graph.relu("conv1_relu")
    graph.pool("pool1", 3, 2, 1, ceil=0)
    for name, width, stride in (("a", 4, 1), ("b", 6, 2), ("c", 6, 1)):
        block(graph, name, ((width, 3, stride), (width, 3, 1)), stride)
    graph.global_average("average")
    graph.flatten()
    graph.dense("classifier", 5)
    return hwsim.load(graph.model())


def bottlenecks():
    """A MobileNet v2, small: depthwise convolutions, ReLU to 6, additions."""
    graph = Graph("bottlenecks", (1, 8, 8))
    normalized(graph, "conv1", 4, 3, 2, 1, largest=6.0)
    inverted_residual(graph, "a", 1, 4, 1)
    inverted_residual(graph, "b", 2, 5, 2)
    normalized(graph, "conv2", 6, 1, largest=0.25)
    graph.global_average("average")
    graph.flatten()
    graph.dense("classifier", 5)
    return hwsim.load(graph.model())


def vectors():
    """A map, a vector then, to which a dense layer's output is added; the same again."""
    graph = Graph("vectors", (1, 4, 3))
    graph.conv("conv1", 2, 3, 1, 1)
    graph.flatten()
    for name in ("a", "b"):
        source = graph.at
        graph.dense(name, 24)
        graph.node("Add", f"{name}_add", source, graph.at)
    graph.dense("classifier", 5)
    return hwsim.load(graph.model())


@pytest.mark.parametrize("make", [inceptions, residuals, bottlenecks, vectors])
def test_branches(make):
    """Maps that several layers read, and concatenations; or additions."""
    network = make()
    images, labels = data(network, 20)
    found = train(network, images, labels, steps=4, batch=8, lanes=4)
    assert found.mismatches == 0
    assert found.cycles == found.planned_cycles
    assert np.abs(np.subtract(found.losses, found.float_losses)).max() < 0.01
    options = {"training": True, "optimizer": "momentum", "design": TrainingConfig(lanes=4)}
    (estimate,) = hwsim.estimate(network, "zu9eg", batch=8, **options)
    assert found.cycles == 4 * estimate.cycles
    assert {layer.op for layer in estimate.layers if layer.name.endswith(".sum")} == {"Add"}
    folded = any(note.startswith("batch normalizations are a part") for note in estimate.notes)
    assert folded == (make in (residuals, bottlenecks))


def test_lenet_on_rtl():
    """Two steps of LeNet-5, every weight compared; cycles as planned."""
    network = hwsim.load(bundled("lenet5/lenet5.onnx"))
    with np.load(bundled("lenet5/images.npz")) as archive:
        images = archive["images"][:10].astype(np.float32) / np.float32(255)
        labels = archive["labels"][:10]
    seen = []
    result = train(
        network, images, labels, steps=2, batch=4, progress=lambda done, loss: seen.append(done)
    )
    assert result.mismatches == 0
    assert result.cycles == result.planned_cycles
    assert seen == [1, 2]


def test_a_mismatch_is_seen(monkeypatch):
    """A weight that differs by one code is counted."""
    from hwsim.sim.training import Simulated

    genuine = Simulated.step

    def wrong(self, *arguments):
        found = genuine(self, *arguments)
        self.codes["y"][0, 0] += 1
        return found

    monkeypatch.setattr(Simulated, "step", wrong)
    network = chain()
    images, labels = data(network, 10)
    result = train(network, images, labels, steps=1, batch=4, lanes=4)
    assert result.mismatches == 1


@pytest.fixture
def files(tmp_path):
    """A model and images."""
    network = chain()
    images, labels = data(network, 20)
    network.save(tmp_path / "chain.onnx")
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return tmp_path


def command(folder, *more, steps=40):
    model, images = folder / "chain.onnx", folder / "images.npz"
    text = f"train {model} --images {images} --steps {steps} --batch 4 --engine reference --json"
    return [*text.split(), *map(str, more)]


def result_of(capsys, arguments):
    capsys.readouterr()
    assert _run(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_killed_and_resumed(files, capsys):
    """A run that is killed and goes on ends where one without a break does."""
    checkpoint = files / "state.npz"
    whole = result_of(capsys, command(files))
    arguments = command(files, "--checkpoint", checkpoint, "--checkpoint-steps", 1, steps=100_000)
    with subprocess.Popen(
        [sys.executable, "-m", "hwsim", *arguments], stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 120
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with np.load(checkpoint) as archive:
        done = int(archive["reference/steps"])
    assert done >= 1
    steps = max(40, done + 3)
    resumed = result_of(capsys, command(files, "--checkpoint", checkpoint, steps=steps))
    expected = whole if steps == 40 else result_of(capsys, command(files, steps=steps))
    del resumed["seconds"], expected["seconds"]
    assert resumed == expected


def test_hardware_goes_on(tmp_path):
    """What is left of simulated hardware in a checkpoint is all that it needs."""
    network = chain()
    images, labels = data(network, 20)
    options = {"batch": 4, "lanes": 4, "checkpoint": tmp_path / "state.npz"}
    train(network, images, labels, steps=2, **options)
    found = train(network, images, labels, steps=4, **options)
    expected = train(network, images, labels, steps=4, batch=4, lanes=4)
    assert found.mismatches == 0
    assert found.losses == expected.losses
    assert found.cycles_by_work == expected.cycles_by_work
    for name, array in expected.network.constants.items():
        assert (found.network.constants[name] == array).all()


def test_output(files, capsys):
    """The trained network can be loaded and has other weights; there is Verilog."""
    more = ["-o", files / "trained.onnx", "--verilog", files / "verilog", "--lanes", 4]
    result_of(capsys, command(files, *more, steps=3))
    trained = hwsim.load(files / "trained.onnx")
    assert (trained.constants["w3"] != chain().constants["w3"]).all()
    text = (files / "verilog" / "trainer.v").read_text()
    assert "Training accelerator of 4 x 4 elements" in text
    assert "module trainer(" in text


@pytest.mark.parametrize("option", ["-o", "--checkpoint"])
def test_nowhere_to_write(files, capsys, option):
    """That is said before the training, whose result would be lost."""
    missing = files / "missing" / "file"
    assert _run(command(files, option, missing, steps=10**9)) == 2
    assert str(missing) in capsys.readouterr().err.replace("\n", "")
    assert not missing.parent.exists()


def test_more_steps_than_asked_for(files, capsys):
    checkpoint = files / "state.npz"
    result_of(capsys, command(files, "--checkpoint", checkpoint, steps=2))
    before = checkpoint.read_bytes()
    assert _run(command(files, "--checkpoint", checkpoint, steps=1)) == 2
    message = f"steps must be at least 2, which {checkpoint} holds, not 1"
    assert message in " ".join(capsys.readouterr().err.split())
    assert checkpoint.read_bytes() == before


def test_planned_cycles_alone(files, capsys):
    """Of what was not simulated the table says nothing."""
    arguments = command(files, steps=1)
    arguments.remove("--json")
    assert _run(arguments) == 0
    shown = capsys.readouterr().out
    assert "planned cycles" in shown
    assert "mismatches" not in shown


def test_loss(files, capsys):
    """The square error is another loss, and a checkpoint knows."""
    checkpoint = files / "state.npz"
    found = result_of(capsys, command(files, "--loss", "rmse", steps=2))
    network = chain()
    settings = TrainingSettings(rate=0.02, loss="rmse")
    options = {"steps": 2, "batch": 4, "settings": settings, "engine": "reference"}
    assert found["losses"] == train(network, *data(network, 20), **options).losses
    result_of(capsys, command(files, "--checkpoint", checkpoint, steps=2))
    assert _run(command(files, "--checkpoint", checkpoint, "--loss", "rmse")) == 2
    message = f"{checkpoint} is a checkpoint of training with loss = cross-entropy, not rmse"
    assert message in " ".join(capsys.readouterr().err.split())


def test_other_checkpoint(files, capsys):
    checkpoint = files / "state.npz"
    result_of(capsys, command(files, "--checkpoint", checkpoint, steps=2))
    assert _run(command(files, "--checkpoint", checkpoint, "--seed", 3)) == 2
    message = f"{checkpoint} is a checkpoint of training with seed = 0, not 3"
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_of_other_images_or_layers(tmp_path):
    """As many images, labels or layers, of the same shapes and names."""
    network = with_functions("Sigmoid")
    images, labels = data(network, 20)
    path = tmp_path / "state.npz"
    options = {"batch": 4, "lanes": 4, "engine": "reference", "checkpoint": path}
    train(network, images, labels, steps=1, **options)
    before = path.read_bytes()
    for given, what in (
        ((with_functions("Tanh"), images, labels), "layers"),
        ((network, images[::-1], labels), "values of images"),
        ((network, images, labels[::-1]), "labels"),
    ):
        with pytest.raises(ValueError) as raised:
            train(*given, steps=2, **options)
        assert str(raised.value) == f"{path} is a checkpoint of training with other {what}"
    assert path.read_bytes() == before
    # Neither weights, which are drawn anew, nor the images for the test are of importance.
    constants = {name: array + 1 for name, array in network.constants.items()}
    network, images = replace(network, constants=constants), images.copy()
    images[16:] = 0
    assert train(network, images, labels.astype(np.int32), steps=2, **options).steps == 2


def test_damaged_checkpoint(files, capsys):
    checkpoint = files / "state.npz"
    checkpoint.write_bytes(b"PK\x03\x04")
    assert _run(command(files, "--checkpoint", checkpoint)) == 2
    message = f"{checkpoint} is not a checkpoint that can be read"
    assert message in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "gpu"}, "engine must be rtl or reference, not 'gpu'"),
        ({"steps": 0}, "steps must be a positive integer, not 0"),
        ({"batch": 17}, "batch must be at most 16, the images to learn from, not 17"),
        ({"test_share": 0.0}, "test_share must lie between 0 and 1, not 0.0"),
        ({"lanes": 3}, "lanes must be an integer of at least 4, not 3"),
        (
            {"lanes": 5, "batch": 8},
            "batch must be at most 5, the lanes, or a multiple of that, not 8",
        ),
    ],
)
def test_wrong(options, message):
    network = chain()
    images, labels = data(network, 20)
    with pytest.raises(ValueError) as raised:
        train(network, images, labels, **options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (-2.5, "[-2.5, 1.0]"),
        (2, "[0.0, 2.0]"),
        (255, "[0.0, 255.0]"),
        (np.nan, "[nan, nan]"),
        (-np.inf, "[-inf, 1.0]"),
    ],
)
@pytest.mark.parametrize("place", [0, -1])
def test_images_that_codes_do_not_hold(files, capsys, place, value, given):
    """Of the test, too; the command refuses what is not finite where it reads it."""
    images, labels = data(chain(), 20)
    images[1, 0, 0, :2] = 0, 1
    images[place, 1, 2, 3] = value
    message = f"images must lie in [-2, 2), not in {given}"
    with pytest.raises(ValueError) as raised:
        train(chain(), images, labels, steps=1, batch=4)
    assert str(raised.value) == message
    np.savez(files / "images.npz", images=images, labels=labels)
    assert _run(command(files)) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert (message if np.isfinite(value) else "must be finite as float32") in shown


def test_images_of_another_shape():
    with pytest.raises(ValueError) as raised:
        train(chain(), np.zeros((20, 2, 9, 8), np.float32), np.zeros(20, int))
    assert str(raised.value) == "images must have the shape (N, 2, 9, 9), not (20, 2, 9, 8)"


def test_all_images_that_codes_hold():
    """From -2 to just below 2: as near to float as those in [0, 1]."""
    network = chain()
    images, labels = data(network, 20)
    images = 3.9999 * images - 2
    images[0, 0, 0, :2] = -2, np.nextafter(np.float32(2), 0)
    found = train(network, images, labels, steps=3, batch=4, lanes=4)
    assert found.mismatches == 0 and found.cycles == found.planned_cycles
    assert np.abs(np.subtract(found.losses, found.float_losses)).max() < 0.01


def test_without_labels():
    network = chain()
    with pytest.raises(ValueError, match=r"^training needs a label for each image$"):
        train(network, data(network, 20)[0], None)
    with pytest.raises(ValueError, match=r"^labels must lie in 0 to 4, the network's outputs$"):
        train(network, data(network, 20)[0], np.full(20, 5))
