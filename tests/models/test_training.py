"""A training step: gradients, what stays alive for them, updates."""

import math
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import hwsim
from hwsim.blocks.training import TrainingConfig
from hwsim.data import bundled
from hwsim.models import devices
from hwsim.models.dataflow.mapping import _Traffic
from hwsim.models.dataflow.training import OPTIMIZERS, training_step
from hwsim.models.dataflow.workload import TRANSCENDENTAL, Gemm, workload
from hwsim.models.estimate import estimate
from hwsim.models.processors import PROCESSORS
from hwsim.models.training import TrainingSettings
from hwsim.network import NetworkError, load
from hwsim.networks import network as known
from hwsim.sim.trainer import train
from tests.models.test_integer_training import data, with_functions

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def model(nodes, shape, constants, output="y"):
    graph = helper.make_graph(
        nodes,
        "story",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(np.ones(size, np.float32), name)
            for name, size in constants.items()
        ],
    )
    opset = [helper.make_opsetid("", 21)]
    return load(helper.make_model(graph, opset_imports=opset, ir_version=10))


def small(stride=1, pads=1):
    return model(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node(
                "Conv", ["r", "v"], ["d"], name="next", pads=[pads] * 4, strides=[stride] * 2
            ),
            helper.make_node("GlobalAveragePool", ["d"], ["p"], name="pool"),
            helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
            helper.make_node("Gemm", ["f", "u", "a"], ["g"], name="dense", transB=1),
            helper.make_node("Softmax", ["g"], ["y"], name="softmax"),
        ],
        [1, 3, 8, 8],
        {"w": (4, 3, 3, 3), "b": (4,), "v": (6, 4, 3, 3), "u": (10, 6), "a": (10,)},
    )


def step(network, optimizer="sgd", batch=1, precision="fp32"):
    return training_step(workload(network, batch, precision, training=True), optimizer)


def by_name(found):
    return {work.name: work for work in found.works}


def test_the_order_of_a_step():
    found = step(small())
    assert [work.name for work in found.works] == [
        "conv",
        "relu",
        "next",
        "pool",
        "flatten",
        "dense",
        "softmax",
        "softmax.input_gradient",
        "dense.input_gradient",
        "dense.weight_gradient",
        "pool.input_gradient",
        "next.input_gradient",
        "next.weight_gradient",
        "relu.input_gradient",
        "conv.weight_gradient",
        "conv.update",
        "next.update",
        "dense.update",
    ]
    assert [work.phase for work in found.works[7:10]] == [
        "input gradient",
        "input gradient",
        "weight gradient",
    ]
    assert {work.phase for work in found.works[-3:]} == {"update"}


def test_products_of_the_gradients():
    works = by_name(step(small(), batch=2))
    assert works["next"].gemm == Gemm(2 * 64, 6, 36)
    assert works["next.input_gradient"].gemm == Gemm(2 * 64, 4, 54)
    assert works["next.weight_gradient"].gemm == Gemm(36, 6, 2 * 64)
    assert works["dense.input_gradient"].gemm == Gemm(2, 6, 10)
    assert works["dense.weight_gradient"].gemm == Gemm(6, 10, 2)
    shape = works["next.input_gradient"].convolution
    assert (shape.channels, shape.outputs, shape.size) == (6, 4, (8, 8))
    # The bias's gradient sums the output's: 4 channels of 64 pixels, two images.
    assert works["conv.weight_gradient"].element_ops == 2 * 4 * 64
    assert works["next.weight_gradient"].element_ops == 0
    assert works["dense.weight_gradient"].element_ops == 2 * 10


def test_with_a_stride_only_taps_that_hit_are_counted():
    works = by_name(step(small(stride=2)))
    assert works["next"].gemm == Gemm(16, 6, 36)
    found = works["next.input_gradient"]
    # 9 taps for 4 pixels; 6 output channels.
    assert found.gemm == Gemm(64, 4, 14)
    assert found.macs == works["next"].macs == 16 * 6 * 36
    assert found.convolution is None


def test_products_with_zeros_at_the_borders_are_left_out():
    found = by_name(step(small(pads=0)))["next.input_gradient"]
    assert found.gemm.macs == 64 * 4 * 54
    assert found.macs == 36 * 6 * 36


@pytest.mark.parametrize(
    "name", ["bvlc_alexnet", "inception_v1", "resnet50", "densenet121", "shufflenet", "vgg19"]
)
def test_gradients_have_twice_the_forward_pass_s_macs(name):
    network = load(LIGHT / f"light_{name}.onnx")
    found = step(network, "adam")
    macs = dict.fromkeys(("forward", "input gradient", "weight gradient", "update"), 0)
    for work in found.works:
        macs[work.phase] += work.macs
        if work.gemm:
            assert work.gemm.macs >= work.macs, work.name
    first = next(work.macs for work in found.works if work.gemm)
    assert macs["forward"] == network.macs
    assert macs["input gradient"] + macs["weight gradient"] == 2 * network.macs - first
    assert macs["update"] == 0
    assert sum(found.parameters.values()) == network.params
    assert found.resident_bytes == 2 * 4 * network.params
    # Everything that is read was written before, or came from outside.
    there = found.ends | found.parked
    for work in found.works:
        assert set(work.inputs) <= there, work.name
        there.update(work.outputs)


@pytest.mark.parametrize(("optimizer", "states"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_bytes_and_operations_of_an_update(optimizer, states):
    found = step(small(), optimizer)
    update = by_name(found)["conv.update"]
    count = 4 * 27 + 4
    assert sum(found.sizes[name] for name in update.inputs) == 4 * count * (2 + states)
    assert sum(found.sizes[name] for name in update.outputs) == 4 * count * (1 + states)
    operations = {"sgd": 2, "momentum": 4, "adam": 10 + TRANSCENDENTAL}[optimizer]
    assert update.element_ops == operations * count
    assert OPTIMIZERS[optimizer].states == states


@pytest.mark.parametrize(("precision", "width"), [("fp16", 2), ("int16", 2), ("int8", 1)])
def test_narrow_types_update_a_copy_in_full(precision, width):
    found = step(small(), "momentum", precision=precision)
    update = by_name(found)["conv.update"]
    count = 112
    # A narrow gradient; weights and momentum of 4 bytes; and the weights that the layers read.
    assert sum(found.sizes[name] for name in update.inputs) == (width + 4 + 4) * count
    assert sum(found.sizes[name] for name in update.outputs) == (4 + 4 + width) * count
    assert found.resident_bytes == 8 * sum(found.parameters.values())
    assert found.sizes["c.gradient"] == width * 4 * 64
    in_full = step(small(), "momentum")
    assert [work.gemm for work in found.works] == [work.gemm for work in in_full.works]
    assert [w.element_ops for w in found.works] == [w.element_ops for w in in_full.works]


@pytest.mark.parametrize("name", devices.names())
def test_every_device_trains(name):
    """Also in networks of all kinds; and in the device's integers, if it has nothing else."""
    for network in (small(), known("lenet5"), known("784-500-10-sigmoid")):
        (found,) = estimate(network, [name], batch=4, training=True)
        assert found.latency_s > 0 and {"forward", "weight gradient", "update"} <= {
            layer.phase for layer in found.layers
        }
        assert found.macs > 0 and found.training
        integers = {"tpu-v1": "int16", "eyeriss": "int16"}
        integers |= dict.fromkeys(("nvdla-small", "nvdla-large"), "int8")
        if name in integers:
            assert found.precision == integers[name]
            assert "copy of the weights in 32-bit integers" in found.notes[1]
        elif found.device.device_class != "fpga":
            assert found.precision in ("fp32", "bf16", "fp16")


@pytest.mark.parametrize("device", ["tpu-v1", "tpu-v5e", "v100", "eyeriss", "zu9eg"])
def test_steps_follow_one_another(device):
    """The next one needs the weights of the one before: nothing overlaps."""
    (found,) = estimate(known("784-500-10-sigmoid"), device, batch=3, training=True)
    assert found.throughput_images_per_s == pytest.approx(3 / found.latency_s, rel=1e-9)


def test_sixteen_bits_on_the_first_tpu():
    """A quarter of the speed where the array is what takes long, half where memory is."""
    narrow, wide = (
        {
            layer.name: layer.cycles
            for layer in estimate(
                known("vgg16"), "tpu-v1", batch=32, training=True, precision=precision
            )["tpu-v1"].layers
        }
        for precision in ("int8", "int16")
    )
    for name, factor in (("conv4_2.weight_gradient", 4), ("fc6.input_gradient", 2)):
        assert wide[name] / narrow[name] == pytest.approx(factor, rel=0.02)


def test_what_a_gradient_needs_stays_alive():
    found = step(small())
    device = devices.load("i7-7700k")
    alive = _Traffic(found, device, PROCESSORS["cpu"](device)).alive
    names = [work.name for work in found.works]
    readers = by_name(found)
    assert "r" in readers["next.weight_gradient"].inputs
    assert "r" in readers["relu.input_gradient"].inputs
    assert "c" not in {name for work in found.works[2:] for name in work.inputs}
    # While the pool's gradient runs: x, r, the gradients of p and d, and dense's.
    sizes = found.sizes
    kept = ["x", "r", "p.gradient", "d.gradient", "dense.weight_gradient"]
    assert alive[names.index("pool.input_gradient")] == sum(sizes[name] for name in kept)


def test_branches_add_their_gradients():
    network = model(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], name="stem"),
            helper.make_node("Conv", ["a", "v"], ["b"], name="branch"),
            helper.make_node("Add", ["a", "b"], ["s"], name="add"),
            helper.make_node("Concat", ["s", "a"], ["y"], name="concat", axis=1),
        ],
        [1, 3, 8, 8],
        {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)},
    )
    works = by_name(step(network))
    values = 4 * 64
    assert works["concat.loss"].element_ops == 2 * 2 * values
    assert works["concat.input_gradient"].element_ops == 2 * values
    assert works["concat.input_gradient"].outputs == ("s.gradient", "a.gradient.concat")
    # The addition's operands take its gradient as it is.
    assert "add.input_gradient" not in works
    assert works["branch.input_gradient"].inputs == ("s.gradient",)
    total = works["stem.gradient_sum"]
    assert total.inputs == ("a.gradient.concat", "s.gradient", "a.gradient.branch")
    assert total.element_ops == 2 * values
    assert works["stem.weight_gradient"].inputs == ("x", "a.gradient.sum")


def test_layers_beside_the_products():
    def alone(node, constants=(), size=(4, 8, 8)):
        network = model(
            [
                helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
                node,
                helper.make_node("Conv", ["t", "u"], ["y"], name="last"),
            ],
            [1, 3, 8, 8],
            {"w": (4, 3, 1, 1), "u": (2, size[0], 1, 1), **dict(constants)},
        )
        works = by_name(step(network))
        return works, works["t.input_gradient"]

    node = helper.make_node("MaxPool", ["c"], ["t"], name="t", kernel_shape=[2, 2], strides=[2, 2])
    _, found = alone(node)
    assert (found.element_ops, found.inputs) == (4 * 16 * 5, ("t.gradient", "c", "t"))
    _, found = alone(helper.make_node("Sigmoid", ["c"], ["t"], name="t"))
    assert (found.element_ops, found.inputs) == (256 * 3, ("t.gradient", "t"))
    _, found = alone(helper.make_node("LRN", ["c"], ["t"], name="t", size=5))
    forward = 2 * 5 + TRANSCENDENTAL + 3
    assert (found.element_ops, found.inputs) == (256 * (forward + 11), ("t.gradient", "c"))
    names = ["scale", "shift", "mean", "variance"]
    node = helper.make_node("BatchNormalization", ["c", *names], ["t"], name="t")
    works, found = alone(node, {name: (4,) for name in names})
    assert (found.element_ops, found.inputs) == (256 * 6, ("c", "t.gradient"))
    assert works["t.weight_gradient"].element_ops == 256 * 5
    assert works["t"].element_ops == 256 * 5
    assert works["t"].inputs == ("c", "c")
    assert works["t.update"].element_ops == 2 * 8
    works, found = alone(helper.make_node("Dropout", ["c"], ["t"], name="t"))
    assert (found.element_ops, found.inputs) == (256, ("t.gradient", "t.mask"))
    assert works["t"].outputs == ("t", "t.mask")


def test_two_feature_maps_that_are_multiplied():
    network = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="left"),
            helper.make_node("MatMul", ["x", "v"], ["b"], name="right"),
            helper.make_node("Transpose", ["b"], ["t"], name="turn", perm=[0, 2, 1]),
            helper.make_node("MatMul", ["a", "t"], ["y"], name="scores"),
        ],
        [1, 5, 6],
        {"w": (6, 4), "v": (6, 4)},
    )
    works = by_name(step(network))
    assert works["scores"].gemm == Gemm(5, 5, 4)
    assert works["scores.input_gradient"].gemm == Gemm(5, 4, 5)
    assert works["scores.input_gradient"].inputs == ("y.gradient", "t")
    assert works["scores.input_gradient_2"].gemm == Gemm(4, 5, 5)


def test_shared_weights_are_updated_once():
    network = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
            helper.make_node("MatMul", ["a", "w"], ["y"], name="second"),
        ],
        [2, 6],
        {"w": (6, 6)},
    )
    works = by_name(step(network, batch=2))
    assert "second.update" not in works
    update = works["first.update"]
    assert update.inputs[:2] == ("second.weight_gradient", "first.weight_gradient")
    assert update.element_ops == 36 * (2 + 1)


@pytest.mark.parametrize("device", ["i7-7700k", "gtx-1080-ti", "tpu-v2", "h100"])
def test_an_estimate_of_a_step(device):
    network = small()
    forward = estimate(network, [device], batch=8, fuse=False)[device]
    found = estimate(network, [device], batch=8, training=True, optimizer="adam")[device]
    frame = found.frame()
    assert list(frame.columns)[:4] == ["name", "op", "phase", "seconds"]
    assert "phase" not in forward.frame()
    assert found.macs == 3 * forward.macs - 8 * 64 * 4 * 27
    assert found.latency_s > forward.latency_s
    assert found.energy_j > forward.energy_j
    assert frame["seconds"].sum() == pytest.approx(found.latency_s, rel=1e-9)
    assert frame["utilization"].between(0, 1).all()
    assert any(note.startswith("training step: forward, backward") for note in found.notes)
    text = found.explain("next.input_gradient")
    assert text.startswith(
        f"next.input_gradient (Conv) on {device}, 8 images, {found.precision}, "
        "input gradient of a training step\n"
    )


def test_a_memory_that_is_too_small_is_noted():
    network = load(LIGHT / "light_vgg19.onnx")

    def fits(**options):
        (found,) = estimate(network, ["titan-v"], **options)
        return [note for note in found.notes if note.startswith("does not fit")]

    assert fits(batch=16) == []
    assert fits(batch=16, training=True) == []
    (note,) = fits(batch=256, training=True, optimizer="adam")
    assert note.endswith("but titan-v has 12 GB of memory")
    assert f"{4 * network.params:,} weights + {8 * network.params:,} optimizer + " in note
    (note,) = fits(batch=1024)
    assert "optimizer" not in note


def refused(error, *args, **kwargs):
    with pytest.raises(error) as caught:
        estimate(*args, training=True, **kwargs)
    return str(caught.value)


def test_bad_input():
    network = small()
    assert refused(ValueError, network, "v100", optimizer="lion") == (
        "optimizer must be one of sgd, momentum, adam, not 'lion'"
    )
    assert refused(ValueError, network, "v100", fuse=True) == (
        "training runs layer by layer: leave fuse out, or let it be False"
    )
    assert refused(ValueError, network, "gtx-1080-ti", precision="int8") == (
        "training on gtx-1080-ti computes in fp32, not in int8"
    )
    assert refused(ValueError, network, "eyeriss", precision="int8") == (
        "eyeriss computes in int16, not in int8"
    )
    assert refused(ValueError, network, "zu9eg", optimizer="adam") == (
        "training on FPGAs has the optimizers sgd and momentum, not adam"
    )
    assert refused(ValueError, network, "zu9eg", design=hwsim.Systolic()) == (
        "training on FPGAs has one design: leave options of others out"
    )
    nothing = model([helper.make_node("Relu", ["x"], ["y"], name="relu")], [1, 4], {})
    assert refused(NetworkError, nothing, "v100") == (
        "there is nothing to train: no output of the network depends on a parameter"
    )
    codes = load(Path(__file__).parents[2] / "rtl/lenet5/lenet5_int8.onnx")
    with pytest.raises(NetworkError, match=r"^QuantizeLinear '.*' has no model of its gradient"):
        training_step(workload(codes, 1, "int8", training=True))


def test_a_quantized_network_is_refused():
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="d"),
        ],
        "codes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(np.float32(0.1), "s"),
            onnx.numpy_helper.from_array(np.int8(0), "z"),
        ],
    )
    opset = [helper.make_opsetid("", 21)]
    network = load(helper.make_model(graph, opset_imports=opset, ir_version=10))
    assert refused(NetworkError, network, "v100") == (
        "training needs a float network, and codes is quantized; "
        "give the network that it was quantized from"
    )


def test_lanes_on_fpgas():
    """As many as are quickest; a batch that they do not divide takes as long as a larger one."""
    network = known("cifar10")

    def cycles(device, batch, lanes=None):
        design = lanes and TrainingConfig(lanes=lanes)
        (found,) = estimate(network, device, batch=batch, training=True, design=design)
        wide = next(note.split()[3] for note in found.notes if "training accelerator" in note)
        return found.cycles, int(wide), found

    # Of 156 DSPs 11 x 11 elements take 121, functions 33, the loss one.
    for batch in (1, 11, 16):
        assert cycles("ecp5-85f", batch)[1] == 11
    small, _, _ = cycles("zynq-7020", 64)
    large, wide, _ = cycles("alveo-u250", 64)
    assert large < small and wide == 64
    for lanes in (16, 32, 64):
        assert cycles("alveo-u250", 64, lanes)[0] >= large
    for batch in (17, 31, 43):
        one, _, found = cycles("zu9eg", batch, 8)
        assert one == cycles("zu9eg", -(-batch // 8) * 8, 8)[0]
        assert found.throughput_images_per_s == pytest.approx(batch / found.latency_s)
        note = f"{batch} images take as long as {-(-batch // 8) * 8}, a multiple of the 8 lanes"
        assert note in found.notes
    for lanes in (4, 16):
        for layer in cycles("zu9eg", 16, lanes)[2].layers:
            if layer.phase == "update":
                assert layer.macs == 0 < layer.operations


@pytest.mark.parametrize(("optimizer", "lanes"), [("sgd", 16), ("momentum", 8)])
def test_cycles_on_an_fpga_are_the_simulated_ones(optimizer, lanes):
    """Of a step of LeNet-5, each of its layers and kinds of work."""
    network = load(bundled("lenet5/lenet5.onnx"))
    design = TrainingConfig(lanes=lanes)
    (found,) = estimate(
        network, "zu9eg", batch=16, training=True, optimizer=optimizer, design=design
    )
    with np.load(bundled("lenet5/images.npz")) as archive:
        images = archive["images"][:20].astype(np.float32) / np.float32(255)
        labels = archive["labels"][:20]
    settings = TrainingSettings(momentum=0.9 if optimizer == "momentum" else 0.0)
    trained = train(network, images, labels, steps=1, settings=settings, lanes=lanes)
    assert trained.cycles == found.cycles
    by_work = {
        layer.name.replace(".", " ").replace("_", " ")
        + (" forward" if "." not in layer.name else ""): layer.cycles
        for layer in found.layers
    }
    assert by_work | {"halt": 1} == trained.cycles_by_work
    assert found.latency_s == found.cycles / 100e6
    # Multiply-adds of the forward pass, and the same again for each of the gradients.
    forward = sum(layer.macs for layer in found.layers if layer.phase == "forward")
    gradient = sum(layer.macs for layer in found.layers if layer.phase == "weight gradient")
    assert forward == gradient


def test_estimates_of_pools_and_functions():
    """Each operation's cycles, and its layer's operator; the functions' multipliers have DSPs."""
    network = with_functions("Tanh")
    design = TrainingConfig(lanes=4)
    (found,) = estimate(network, "zu9eg", batch=4, training=True, design=design)
    images, labels = data(network, 8)
    settings = TrainingSettings(momentum=0.0)
    trained = train(network, images, labels, steps=1, batch=4, settings=settings, lanes=4)
    assert trained.mismatches == 0
    assert trained.cycles == found.cycles
    ops = {layer.name: layer.op for layer in found.layers}
    assert (ops["f1"], ops["p1"], ops["n1"], ops["n2"]) == ("Tanh", "AveragePool", "LRN", "LRN")
    assert ops["p2.input_gradient"] == "MaxPool"
    (small,) = estimate(network, "ice40up5k", batch=4, training=True)
    assert (
        "does not fit: 29 DSPs for multipliers of 16 x 16 bits and wider, but ice40up5k has 8"
        in (small.notes)
    )


def test_training_more_than_a_part_holds():
    """Weights of 62 million parameters, velocities and gradients: an estimate, and a note."""
    network = known("alexnet")
    (found,) = estimate(network, "ecp5-85f", batch=16, training=True)
    forward = sum(layer.macs for layer in found.layers if layer.phase == "forward")
    table = network.table()
    biased = table["output_shape"][table["params"] > 0]
    assert forward == 16 * (network.macs + sum(map(math.prod, biased)))
    *_, note = found.notes
    needed, room = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{5,}", note))
    assert needed > 3 * 16 * network.params > room


def test_a_training_accelerator_that_does_not_fit():
    network = load(bundled("lenet5/lenet5.onnx"))
    (found,) = estimate(network, "ecp5-85f", batch=16, training=True)
    assert any(note.startswith("does not fit: ") for note in found.notes)
