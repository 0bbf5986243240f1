"""`hwsim.estimate`: one network on several devices, and why it takes as long as it does."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.timing import Memory as SlowMemory
from hwsim.compiler.compile import compile_network
from hwsim.data import bundled
from hwsim.models import devices
from hwsim.models.dataflow.streaming import Memory
from hwsim.models.estimate import estimate
from hwsim.models.fpga import UNSIZED
from hwsim.models.quantization import random_integer_network
from hwsim.network import load
from hwsim.network.lower import lower
from hwsim.networks import network as known

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
PROCESSORS = ["i7-7700k", "gtx-1080-ti", "titan-v", "tpu-v1", "tpu-v2"]


def floats(*shape):
    return np.ones(shape, np.float32)


def model(nodes, inputs, constants):
    graph = helper.make_graph(
        nodes,
        "story",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants],
    )
    opset = [helper.make_opsetid("", 21)]
    return load(helper.make_model(graph, opset_imports=opset, ir_version=10))


@pytest.fixture(scope="module")
def small():
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
            helper.make_node("Gemm", ["f", "v"], ["y"], name="dense", transB=1),
        ],
        [("x", [1, 3, 8, 8])],
        [("w", floats(8, 3, 3, 3)), ("v", floats(10, 512))],
    )


def quantized(channels=4, outputs=8):
    """QDQ: a 3 x 3 convolution and a Relu."""

    def pair(source, target, name):
        scales = [f"{name}_s", f"{name}_z"]
        return [
            helper.make_node(
                "QuantizeLinear", [source, *scales], [f"{target}_q"], name=f"q_{name}"
            ),
            helper.make_node(
                "DequantizeLinear", [f"{target}_q", *scales], [target], name=f"dq_{name}"
            ),
        ]

    nodes = [
        *pair("x", "xd", "in"),
        helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["wd"], name="dq_w"),
        helper.make_node("Conv", ["xd", "wd"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        *pair("r", "y", "out"),
    ]
    codes = (np.arange(outputs * channels * 9) % 256 - 128).astype(np.int8)
    constants = [("w", codes.reshape(outputs, channels, 3, 3))]
    for name in ("in", "w", "out"):
        constants += [(f"{name}_s", np.float32(0.1)), (f"{name}_z", np.int8(0))]
    return model(nodes, [("x", [1, channels, 10, 10])], constants)


@pytest.fixture(scope="module")
def integer():
    return quantized()


@pytest.fixture(scope="module")
def plan(integer):
    return plan_streaming(lower(integer), Streaming(multipliers=36))


def test_one_row_per_device_with_units_in_the_names(small):
    table = estimate(small, PROCESSORS, batch=4).table
    assert list(table.columns) == [
        "device",
        "class",
        "precision",
        "batch",
        "latency_s",
        "throughput_images_per_s",
        "bound",
        "macs",
        "memory_bytes",
        "energy_j",
        "tdp_energy_j",
        "notes",
    ]
    assert list(table["device"]) == PROCESSORS
    assert list(table["class"]) == ["cpu", "gpu", "gpu", "tpu", "tpu"]
    assert list(table["precision"]) == ["fp32", "fp32", "fp32", "int8", "bf16"]
    assert (table["macs"] == 4 * (8 * 64 * 27 + 5120)).all()
    assert (table["latency_s"] > 0).all()


@pytest.mark.parametrize("device", PROCESSORS)
def test_the_layers_add_up_to_the_latency(small, device):
    found = estimate(small, [device])[device]
    assert sum(layer.seconds for layer in found.layers) == pytest.approx(found.latency_s, rel=1e-9)
    frame = found.frame()
    assert [name for name in frame.columns if not name.endswith("_bytes")] == [
        "name",
        "op",
        "seconds",
        "cycles",
        "macs",
        "bytes",
        "energy_j",
        "utilization",
        "bound",
    ]
    assert list(frame["name"]) == ["conv", "relu", "flatten", "dense"]
    assert list(frame["bound"])[2] == "none"
    assert set(frame["bound"]) <= {"compute", "memory", "launch", "none"}
    assert frame["utilization"].between(0, 1).all()
    # Batches back to back are never slower than one by one.
    assert found.throughput_images_per_s >= 1 / found.latency_s * (1 - 1e-9)


def test_equal_runs_give_equal_results(small):
    first, second = (estimate(small, PROCESSORS, batch=3).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(second)


def test_the_shape_of_the_json(small):
    found = json.loads(json.dumps(estimate(small, ["gtx-1080-ti"]).to_dict()))
    (device,) = found["devices"]
    keys = {"device", "class", "latency_s", "throughput_images_per_s", "bound", "layers"}
    assert keys <= set(device)
    layer = {"name", "op", "seconds", "macs", "bytes", "utilization", "bound"}
    assert layer <= set(device["layers"][0])


def test_the_timeline_holds_what_the_layers_say(small):
    estimates = estimate(small, ["i7-7700k"])
    timeline = estimates.timeline("i7-7700k")
    assert [row[2] for row in timeline] == sorted(row[2] for row in timeline)
    assert {row[0] for row in timeline} == {"memory", "compute"}
    assert {row[1] for row in timeline} == {"conv", "relu", "dense"}
    assert max(row[3] for row in timeline) == estimates["i7-7700k"].latency_s
    for resource in ("memory", "compute"):
        spans = [(start, end) for name, _, start, end in timeline if name == resource]
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_explain_prints_arithmetic_numbers_and_sources(small):
    text = estimate(small, ["i7-7700k"]).explain("conv", "i7-7700k").split("\n")
    assert text[0] == "conv (Conv) on i7-7700k, 1 image, fp32"
    assert text[1] == "  product   M 64 x N 8 x K 27 x 1 groups = 13,824 MAC in fp32"
    # Two columns of vectors at a time: 6 rows and 2, each 27 steps and its stores; 27 x 64 taps
    # that are gathered and packed; 40 for each row; 64 vectors for
    # the bias, each loaded and stored. Too little for threads to meet.
    cycles = 4 * (27 * 6 + 12 + 27 * 4 + 4) + 2 * 40 + 64 * 1.5 + 2 * 27 * 64 / 3
    assert text[2] == (
        "  kernel    8 x 64 results in tiles of 6 x 2 vectors of 8, 1 parts of K 27,"
        f" 3,456 numbers packed; {cycles:,.0f} cycles x 1.0000 on one core"
    )
    compute = cycles / 0.9
    assert f"  compute   {compute:,.0f} cycles / 4.2 GHz = {compute / 4.2:.4g} ns" in text
    assert "  dispatch  2 us" in text
    assert any(line.startswith("  result    2.6") and line.endswith("launch") for line in text)
    device = devices.load("i7-7700k")
    for quantity in device.quantities.values():
        assert f"  {quantity.name} = {quantity}: {quantity.source}" in text


def test_explain_says_why_a_layer_costs_nothing(small):
    text = estimate(small, ["tpu-v1"]).explain("flatten", "tpu-v1")
    assert "  no work: the values stay where they are" in text
    assert "  tpu-v1 has no float data type: the network is taken as quantized, in int8" in text


def test_an_fpga_takes_the_cycles_of_the_plan(integer, plan):
    for batch in (1, 2, 4, 7):
        found = estimate(integer, ["ecp5-85f"], batch=batch, design=plan)["ecp5-85f"]
        assert found.cycles == plan.cycles(batch)
        assert found.interval_cycles == plan.interval
        assert found.latency_s == plan.cycles(batch) / 100e6
        assert found.throughput_images_per_s == 100e6 / plan.interval
        assert [layer.name for layer in found.layers] == [stage.name for stage in plan.stages]
        assert found.macs == batch * 100 * 8 * 36
    assert "compute" in [layer.bound for layer in found.layers]


def test_a_design_serves_as_its_plan(integer, plan):
    by_design = estimate(integer, ["ecp5-85f"], design=SimpleNamespace(plan=plan))
    assert by_design.to_dict() == estimate(integer, ["ecp5-85f"], design=plan).to_dict()


def test_the_clock_is_stated_or_given(integer, plan):
    assumed = estimate(integer, ["zynq-7020"], design=plan)["zynq-7020"]
    assert assumed.notes == (
        "clock 100 MHz (assumption: 100 MHz until place and route has given a clock; "
        "state your own with clock_hz or --clock-mhz)",
    )
    given = estimate(integer, ["zynq-7020"], design=plan, clock_hz=200e6)["zynq-7020"]
    assert given.notes == ()
    assert given.latency_s == assumed.latency_s / 2


def test_without_a_plan_an_fpga_gets_what_its_dsps_allow(integer):
    estimates = estimate(integer, ["ecp5-25f", "ecp5-85f"])
    small, large = estimates
    assert small.interval_cycles > large.interval_cycles
    assert not any("fit" in note for entry in estimates for note in entry.notes)


def test_a_plan_that_does_not_fit_is_flagged(integer, plan):
    found = estimate(integer, ["ecp5-25f"], design=plan)["ecp5-25f"]
    assert plan.multipliers == 36
    assert found.notes[1:] == (
        "does not fit: 36 multipliers of 8 x 8 bits, one DSP each, but ecp5-25f has 28 DSPs",
    )


def test_weights_that_do_not_fit_are_flagged():
    wide = quantized(channels=128, outputs=128)
    plan = plan_streaming(lower(wide), Streaming(multipliers=8))
    found = estimate(wide, ["ice40up5k"], design=plan)["ice40up5k"]
    assert found.notes[1:] == (
        "does not fit: 1,179,648 bits of weights, but ice40up5k has 122,880 bits of block RAM",
    )


def test_images_from_a_slow_memory_bound_the_pipeline(integer, plan):
    fast = estimate(integer, ["ecp5-85f"], design=plan, memory=Memory(bytes_per_cycle=1024))
    assert fast["ecp5-85f"].interval_cycles == plan.interval
    slow = Memory(bytes_per_cycle=1, burst_bytes=32, burst_latency=100)
    bound = estimate(integer, ["ecp5-85f"], design=plan, memory=slow)["ecp5-85f"]
    assert bound.bound == "memory"
    # 400 bytes in and 800 out, 32 at a time, 132 cycles each.
    assert bound.interval_cycles == pytest.approx(1200 / 32 * 132, rel=0.01)


@pytest.mark.parametrize("design", [Systolic(rows=4, cols=4), "program"])
def test_a_systolic_accelerator_takes_the_cycles_of_its_program(integer, design):
    program = compile_network(lower(integer), Systolic(rows=4, cols=4))
    design = SimpleNamespace(program=program) if design == "program" else design
    found = estimate(integer, ["zynq-7020"], batch=3, design=design)["zynq-7020"]
    assert found.cycles == 3 * program.cycles()
    assert found.interval_cycles == program.cycles()
    assert found.latency_s == found.cycles / 100e6
    assert found.macs == 3 * 100 * 8 * 36
    assert 0 < sum(layer.cycles for layer in found.layers) <= found.cycles
    assert [layer.name for layer in found.layers][-1] == "conv"
    assert max(row[3] for row in found.timeline) <= found.latency_s / 3
    slow = estimate(integer, ["zynq-7020"], design=design, memory=SlowMemory(read_latency=500))
    assert slow["zynq-7020"].cycles > program.cycles()
    text = found.explain("conv")
    assert "4 x 4 elements, weight-stationary" in text


def test_an_array_that_does_not_fit_is_flagged(integer):
    found = estimate(integer, ["ice40up5k"], design=Systolic(rows=4, cols=4))["ice40up5k"]
    assert found.notes[1:] == (
        "does not fit: 16 DSPs for the array's elements, but ice40up5k has 8",
        "does not fit: 1,081,344 bytes of buffer and accumulators, but ice40up5k has 15,360 bytes "
        "of block RAM",
    )


def test_logic_that_does_not_fit_is_flagged(integer):
    found = estimate(integer, ["ecp5-25f", "ecp5-85f"], design=Systolic(rows=8, cols=8))
    small, large = (" ".join(entry.notes) for entry in found)
    assert "look-up tables, but ecp5-25f has 24,288" in small
    assert "look-up tables" not in large


RANDOM = " has no weights of its own and gets random ones; cycles do not depend on them"


@pytest.mark.parametrize("design", [None, Streaming(multipliers=64), Systolic(rows=4, cols=4)])
def test_a_network_without_weights_gets_random_ones_on_fpgas(design):
    """Its integer network takes the same cycles, whatever its weights."""
    network = known("3x12x12-8C3-MP2-20N-10")
    parts = ["ice40up5k", "ecp5-85f"]
    found = estimate(network, ["tpu-v1", *parts], design=design, batch=3)
    assert RANDOM not in " ".join(found["tpu-v1"].notes)
    for seed in (0, 1):
        integer = random_integer_network(network, seed)
        for entry in estimate(integer, parts, design=design, batch=3):
            assert found[entry.device.name].cycles == entry.cycles
            assert found[entry.device.name].notes == (network.name + RANDOM, *entry.notes)


def test_images_follow_at_the_interval_of_the_plan():
    """Windows of the last image leave early: it does not count."""
    network = random_integer_network(known("3x32x32-16C3-MP2-16C3-MP2-10"))
    plan = plan_streaming(network, Streaming(multipliers=20))
    (entry,) = estimate(network, ["alveo-u250"], batch=9, design=plan)
    ends = plan.trace(9).sink.reshape(9, -1)[:, -1]
    assert entry.interval_cycles == plan.interval == ends[-2] - ends[-3] > ends[-1] - ends[-2]
    assert entry.cycles == plan.cycles(9)


def test_a_pipeline_that_does_not_fit_has_queues_of_any_depth():
    network = random_integer_network(known("3x32x32-16C3-MP2-16C3-MP2-100N-10"))
    (entry,) = estimate(network, ["ice40up5k"], batch=3)
    plan = plan_streaming(network, Streaming(multipliers=8))
    assert entry.notes[0] == UNSIZED and any("does not fit" in note for note in entry.notes)
    assert entry.interval_cycles == plan.interval
    deep = sum(queue.depth > 1 for stage in plan.stages for queue in stage.queues)
    assert plan.cycles(3) - deep <= entry.cycles <= plan.cycles(3)


def test_a_float_network_is_taken_as_quantized():
    network = load(bundled("lenet5/lenet5.onnx"))
    (entry,) = estimate(network, ["zu9eg"])
    assert entry.notes[0] == (
        "lenet5 is not quantized: it is taken as if, with random weights; cycles do not depend on "
        "them"
    )
    quantized = load(Path(__file__).parents[2] / "rtl/lenet5/lenet5_int8.onnx")
    assert entry.cycles == estimate(quantized, ["zu9eg"])["zu9eg"].cycles


def test_more_layers_than_a_part_has_dsps():
    """The smallest pipeline, with a note."""
    network = known("-".join(["12"] * 11))
    (entry,) = estimate(network, ["ice40up5k"])
    assert entry.interval_cycles == 12 * 12
    assert entry.notes[-1] == (
        "does not fit: 10 multipliers of 8 x 8 bits, one DSP each, but ice40up5k has 8 DSPs"
    )


def test_an_integer_network_is_for_fpgas(plan):
    sentence = (
        "network must be a Network for {}, or for training; an IntegerNetwork is for inference on "
        "FPGAs"
    )
    assert refused(TypeError, plan.network, "tpu-v1") == sentence.format("tpu-v1")
    assert refused(TypeError, plan.network, "zu9eg", training=True) == sentence.format("zu9eg")


def test_the_memory_must_be_that_of_the_architecture(integer, plan):
    with pytest.raises(TypeError, match=r"^memory of a systolic accelerator must be a"):
        estimate(integer, "ecp5-85f", design=Systolic(rows=4, cols=4), memory=Memory(8))
    with pytest.raises(TypeError, match=r"^memory of a streaming pipeline must be a"):
        estimate(integer, "ecp5-85f", design=plan, memory=SlowMemory())


def refused(error, *args, **kwargs):
    with pytest.raises(error) as caught:
        estimate(*args, **kwargs)
    return str(caught.value)


def test_bad_input(small, integer, plan):
    assert refused(ValueError, small, ["i7"]).startswith("unknown device 'i7'")
    assert refused(ValueError, small, []) == "devices must name at least one device"
    assert refused(ValueError, small, ["v100", "k80", "v100"]) == (
        "devices must differ, but v100 is given twice"
    )
    assert refused(ValueError, small, "v100", batch=0) == "batch must be a positive integer, not 0"
    assert refused(ValueError, small, "v100", precision="bf16") == (
        "v100 computes in fp16, fp32, int8, not in bf16"
    )
    assert refused(ValueError, integer, "ecp5-85f", clock_hz=0) == (
        "clock_hz must be positive and finite, not 0"
    )
    estimates = estimate(small, "v100")
    with pytest.raises(ValueError) as caught:
        estimates.explain("conv1", "v100")
    assert str(caught.value) == (
        "there is no layer 'conv1' on v100; layers are conv, relu, flatten, dense"
    )
    with pytest.raises(ValueError) as caught:
        estimates.layers("k80")
    assert str(caught.value) == "there is no estimate for 'k80'; devices are v100"


@pytest.mark.parametrize("name", ["light_bvlc_alexnet", "light_resnet50", "light_vgg19"])
def test_no_device_is_faster_than_its_multipliers_and_its_memory(name):
    """The sum over layers of the longer of two lower bounds, both from peaks."""
    network = load(LIGHT / f"{name}.onnx")
    for found in estimate(network, PROCESSORS, batch=16):
        device = found.device
        units = device[
            "cores" if device.device_class == "cpu" else "sms" if "sms" in device else "arrays"
        ]
        rate = units * device[f"{found.precision}_macs_per_cycle"] * device["clock"]
        if device.device_class == "tpu":
            rate *= device["rows"] * device["columns"]
        if device.device_class == "gpu":
            # Of the 16 x 9 products of a direct 3 x 3 convolution Winograd's F(4x4, 3x3) needs 36.
            rate *= 4
        least = max(found.macs / rate, found.bytes / device["memory_bandwidth"])
        assert least <= found.latency_s <= 6 * least, (name, device.name)
