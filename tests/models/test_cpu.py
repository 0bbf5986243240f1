"""CPUs: register tiles, cache levels, cores, layouts."""

import dataclasses
import random
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwsim.models import devices
from hwsim.models.dataflow.workload import Convolution, Gemm, Work, Workload
from hwsim.models.estimate import estimate
from hwsim.models.processors.cpu import Cpu, Kernel, _rows
from hwsim.network import load

AVX512 = Kernel(lanes=16, multipliers=2, loads=2, latency=4)
AVX2 = Kernel(lanes=8, multipliers=2, loads=2, latency=5)


def device(name="i7-7700k", **values):
    """A device with other numbers, in SI base units."""
    found = devices.load(name)
    quantities = dict(found.quantities)
    for key, value in values.items():
        quantities[key] = devices.Quantity(key, value, value, "1", "assumption: a test")
    return dataclasses.replace(found, quantities=quantities)


def network(nodes, shape, constants):
    graph = helper.make_graph(
        nodes,
        "story",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(np.ones(size, np.float32), name)
            for name, size in constants.items()
        ],
    )
    opset = [helper.make_opsetid("", 21)]
    return load(helper.make_model(graph, opset_imports=opset, ir_version=10))


def conv(channels=64, outputs=64, size=56, kernel=3, group=1, stride=1):
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        name="conv",
        pads=[kernel // 2] * 4,
        group=group,
        strides=[stride] * 2,
    )
    weights = (outputs, channels // group, kernel, kernel)
    return network([node], [1, channels, size, size], {"w": weights})


def dense(inputs=4096, outputs=4096):
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="dense", transB=1)
    return network([node], [1, inputs], {"w": (outputs, inputs)})


def one(net, on="i7-7700k", **options):
    return next(iter(estimate(net, [on], **options)))


def seconds(net, on="i7-7700k", **options):
    """Of the first layer, without the framework's time."""
    quick = device(on, dispatch_time=0.0, sync_time=0.0) if isinstance(on, str) else on
    return one(net, quick, **options).layers[0].seconds


@pytest.mark.parametrize(
    ("kernel", "rows", "vectors", "cycles"),
    [
        (AVX512, 6, 4, 12),  # 24 multiply-adds, two a cycle
        (AVX512, 12, 2, 12),
        (AVX512, 1, 4, 4),  # the next step needs the result of this one
        (AVX512, 1, 12, 6.5),  # 13 loads, two a cycle
        (AVX2, 3, 4, 6),
        (AVX2, 1, 1, 5),
    ],
)
def test_a_step_takes_as_long_as_its_slowest_part(kernel, rows, vectors, cycles):
    assert kernel.step(rows, vectors) == cycles


def test_a_row_of_pixels_is_cut_into_tiles():
    # 13 pixels are two tiles of 6 and one of 1; 24 and 4 vectors are stored.
    cycles, loaded = AVX512.line(13, 6, 4, 100, again=False)
    assert cycles == 2 * (100 * 12 + 24) + (100 * 4 + 4)
    assert loaded == 100 * 4 * (2 * (6 + 64) + 1 + 64)
    # What was stored before is loaded again, two vectors a cycle.
    again, _ = AVX512.line(13, 6, 4, 100, again=True)
    assert again == cycles + 2 * 12 + 2


def test_taps_on_the_padding_are_left_out():
    shape = Convolution(1, 64, 64, 1, (7, 7), (7, 7), (3, 3), (1, 1), (1, 1))
    # Of 7 rows the first and the last miss one of three taps.
    assert _rows(shape, 0) == (5, 19 / 21)
    assert _rows(shape, 1) == (5, 2 / 3)
    valid = replace(shape, size=(9, 9))
    assert _rows(valid, 0) == (7, 1)
    strided = replace(shape, size=(14, 14), stride=(2, 2))
    assert _rows(strided, 0) == (6, 20 / 21)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_faster_than_the_multipliers(seed):
    """Nor much slower than the smallest tile, and copying."""
    draw = random.Random(seed)
    kernel, group = draw.choice((1, 3, 5)), draw.choice((1, 1, 2, 4))
    net = conv(
        16 * group * draw.randint(1, 9),
        group * draw.randint(1, 200),
        draw.randint(kernel, 60),
        kernel,
        group,
        draw.choice((1, 2)),
    )
    name = draw.choice(("i7-920", "i7-7700k", "2x-e5-2630-v3"))
    cores = draw.choice((None, 1, 3))
    found = one(net, device(name), batch=draw.choice((1, 5)), fuse=draw.random() < 0.5, cores=cores)
    used = cores or found.device["cores"]
    padding = net.layers[0].attributes["pads"]
    rate = used * found.device["fp32_macs_per_cycle"] * found.device["clock"]
    # Taps on the padding are no work: of 3 or 5 rows at least one or two are left in a dimension.
    least = found.macs / rate * (1 if not any(padding) else 1 / 4)
    assert found.latency_s >= least


def test_channels_that_do_not_fill_the_vectors_cost_as_much():
    full = seconds(conv(outputs=64), fuse=True)
    assert seconds(conv(outputs=57), fuse=True) == pytest.approx(full, rel=0.02)
    assert seconds(conv(outputs=65), fuse=True) > 1.1 * full


def test_a_well_shaped_convolution_nears_the_peak():
    found = one(conv(256, 256, 54), device(compute_efficiency=1.0, dispatch_time=0.0), fuse=True)
    assert 0.85 < found.layers[0].utilization <= 1


def test_layer_by_layer_the_taps_are_copied():
    fused, eager = (one(conv(), fuse=fuse).explain("conv") for fuse in (True, False))
    assert "direct    112 rows of 56 pixels x 4 vectors of 8, in tiles of 3 pixels" in fused
    assert f"{2 * 64 * 9 * 56 * 56:,} numbers packed" in eager
    assert seconds(conv(), fuse=False) > 1.1 * seconds(conv(), fuse=True)
    # One tap is packed, but not gathered.
    pointwise = one(conv(kernel=1), fuse=False).explain("conv")
    assert f"{64 * 56 * 56:,} numbers packed" in pointwise


def test_groups_that_do_not_fill_vectors_are_multiplied_as_matrices():
    assert "direct" in one(conv(64, 64, group=4), fuse=True).explain("conv")
    assert "direct" in one(conv(64, 64, group=64), fuse=True).explain("conv")
    assert "kernel" in one(conv(48, 48, group=4), fuse=True).explain("conv")
    # Vectors of four numbers are too short to block maps by them.
    assert "kernel" in one(conv(), "i7-920", fuse=True).explain("conv")


def test_work_is_dealt_to_the_cores_in_rows():
    net = conv(64, 32, 57)
    times = {cores: seconds(net, fuse=True, cores=cores) for cores in (1, 2, 3, 4)}
    rest = 2 * 64 * 57 * 57 * 4  # what passes through memory at most
    for cores in (2, 3, 4):
        share = -(-57 // cores) / 57
        assert times[cores] == pytest.approx(share * times[1], rel=0.05, abs=rest / 20e9)


def test_more_cores_than_there_are():
    with pytest.raises(ValueError, match=r"^i7-7700k has 4 cores, not 5$"):
        one(conv(), cores=5)
    with pytest.raises(ValueError, match=r"^cores must be a positive integer, not 0$"):
        one(conv(), cores=0)


def test_other_devices_take_no_notice_of_cores():
    found = estimate(conv(), ["i7-7700k", "gtx-1080-ti"], cores=1)
    assert found["gtx-1080-ti"].latency_s == one(conv(), "gtx-1080-ti").latency_s


def test_a_dense_layer_waits_for_its_weights():
    weights = 4 * 4096**2
    layer = one(dense()).layers[0]
    assert layer.bound == "memory"
    assert layer.bytes == weights + 2 * 4 * 4096
    assert seconds(dense()) > weights / (38.4e9 * 0.75)
    assert seconds(dense(), batch=4) < 2 * seconds(dense())
    # A core alone cannot ask for as much.
    assert seconds(dense(), cores=1) > weights / 22.7e9


def test_weights_that_fit_the_cache_stay_there():
    small, large = one(dense(512, 512)).layers[0], one(dense()).layers[0]
    assert small.bytes == 2 * 4 * 512
    assert large.bytes > 4 * 4096**2


def test_each_level_counts_its_bytes():
    levels = one(conv(), fuse=True).layers[0].level_bytes
    assert list(levels) == ["l1", "l2", "l3"]
    assert levels["l1"] > levels["l2"] > levels["l3"] > 0
    # A set of filters that leaves the second cache comes again for every row.
    near = one(conv(512, 512, 14), device(l2_size=2.0**30), fuse=True).layers[0].level_bytes
    far = one(conv(512, 512, 14), device(l2_size=2.0**15), fuse=True).layers[0].level_bytes
    assert near["l3"] < 2 * 4 * 512 * 512 * 9 < 14 * 4 * 512 * 512 * 9 <= far["l3"]


def test_a_depthwise_convolution_reads_its_maps_once():
    layer = one(conv(64, 64, 112, group=64), fuse=True).layers[0]
    assert layer.level_bytes["l3"] < 2 * 4 * 64 * 112 * 112 * 1.01


def test_a_slow_level_bounds_the_layer():
    slow = device(l3_bytes_per_cycle=0.01, dispatch_time=0.0, sync_time=0.0)
    layer = one(conv(), slow, fuse=True).layers[0]
    moved = layer.level_bytes["l3"] - 4 * 64 * 64 * 9 * (not _fits(conv()))
    assert layer.seconds == pytest.approx(moved / (4 * 0.01) / 4.2e9, rel=0.05)


def _fits(net):
    return net.params * 4 <= devices.load("i7-7700k")["cache_size"]


def test_the_clock_of_all_cores():
    slower = device(all_core_clock=2.1e9, dispatch_time=0.0, sync_time=0.0)
    same = device(dispatch_time=0.0, sync_time=0.0)
    for cores, factor in ((1, 1), (4, 2)):
        (slow,), (fast,) = (map_cycles(net_device, cores) for net_device in (slower, same))
        assert slow == pytest.approx(factor * fast)


def map_cycles(on, cores):
    from hwsim.models.dataflow.mapping import map_network

    return [layer.cycles for layer in map_network(conv(), on, 1, cores=cores).layers]


def test_threads_meet_after_each_layer():
    times = [one(conv(), device(sync_time=s), cores=4).latency_s for s in (0.0, 1e-4, 1.0)]
    assert times[1] == pytest.approx(times[0] + 1e-4)
    # Where that is not worth while, one core works alone.
    alone = one(conv(), cores=1).latency_s
    assert times[1] < times[2] == alone


def test_layouts_change_where_a_layer_wants_plain_maps():
    def named(op, source, target, *weights, **attributes):
        return helper.make_node(op, [source, *weights], [target], name=target, **attributes)

    nodes = [
        named("Conv", "x", "first", "v"),
        named("Relu", "first", "relu"),
        named("LRN", "relu", "norm", size=5),
        named("MaxPool", "norm", "pool", kernel_shape=[2, 2]),
        named("Conv", "pool", "y", "w"),
    ]
    net = network(nodes, [1, 3, 16, 16], {"v": (16, 3, 1, 1), "w": (16, 16, 1, 1)})
    found = one(net, fuse=True)
    lines = {name: found.explain(name) for name in ("first", "norm", "pool", "y")}
    changed = {name for name, text in lines.items() if "  layout    " in text}
    assert changed == {"norm", "y"}
    values = 16 * 16 * 16
    assert f"layout    first reordered in {values / 3 / 4:,.0f} cycles" in lines["norm"]
    assert "layout" not in one(net, fuse=False).explain("norm")


def test_a_power_takes_a_call_per_value():
    net = network([helper.make_node("LRN", ["x"], ["y"], name="n", size=5)], [1, 8, 4, 4], {})
    assert "power     128 powers x 80 cycles / 1 cores = 10,240 cycles" in one(net).explain("n")


def test_constants_behind_a_product_are_folded_into_it():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Mul", ["c", "m"], ["d"], name="mul"),
        helper.make_node("Add", ["d", "a"], ["e"], name="add"),
        helper.make_node("Relu", ["e"], ["y"], name="relu"),
    ]
    shapes = {"w": (8, 8, 1, 1), "m": (8, 1, 1), "a": (8, 1, 1)}
    layers = one(network(nodes, [1, 8, 4, 4], shapes), fuse=True).layers
    assert [layer.bound == "none" for layer in layers] == [False, True, True, False]
    assert layers[1].lines == ("no work: folded into the weights of conv",)


def test_a_processor_without_a_network_multiplies():
    found = Cpu(devices.load("i7-7700k"))
    found.prepare(Workload(1, "fp32", (), {}))
    work = Work("w", "MatMul", gemm=Gemm(6, 16, 100))
    # One tile of 6 x 2 vectors on one core: 100 steps of 6 cycles, 12 stores, a row's overhead; the
    # other factor is packed.
    cycles = (600 + 12 + 40 + 1600 / 3) / 0.9
    assert found.cost(work, "fp32", []).cycles == pytest.approx(cycles)
