"""Layers split over devices: by channels, by rows, and what is exchanged."""

import random

import numpy as np
import pytest

import hwsim
from hwsim import networks
from hwsim.models import devices as catalog
from hwsim.models.dataflow.parallel import Link, data_parallel, ring_time
from hwsim.models.dataflow.split import (
    GATHER,
    HALO,
    REDUCE,
    SCATTER,
    Exchange,
    _Features,
    _Space,
    feature_parallel,
    gradient_halo,
    halo,
    simulate_split,
    space_parallel,
    split_time,
)
from hwsim.models.dataflow.training import INPUT, training_step, training_time
from hwsim.models.dataflow.workload import workload
from hwsim.network.windows import output_size
from tests.onnx_models import ModelBuilder

LINK = Link(1e12)  # a byte per picosecond
SPLITS = {"features": feature_parallel, "space": space_parallel}


@pytest.fixture(scope="module")
def small():
    """Two convolutions with ReLU, a pool, a dense layer; 8 or more rows, 4 or more channels."""
    b = ModelBuilder(0, (1, 4, 16, 10), "small")
    x = b.node("Relu", b.conv("image", 4, 8, pads=[1, 1, 1, 1]), name="relu1")
    x = b.node("MaxPool", x, name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = b.node("Relu", b.conv(x, 8, 12, (5, 3), pads=[2, 1, 2, 1]), name="relu2")
    return hwsim.load(b.model(b.gemm(b.node("Flatten", x), 12 * 8 * 5, 4)))


def draw_exchanges(rng, works):
    kinds = GATHER, SCATTER, REDUCE, HALO
    befores = sorted(rng.randint(0, works) for _ in range(rng.randint(0, 8)))
    return [Exchange(rng.choice(kinds), "x", at, rng.randint(1, 1000)) for at in befores]


@pytest.mark.parametrize("seed", range(30))
def test_equal_devices_take_the_closed_form(seed):
    rng = random.Random(seed)
    computes = [rng.randint(0, 500) for _ in range(rng.randint(1, 8))]
    exchanges = draw_exchanges(rng, len(computes))
    link = Link(rng.choice([1e12, 25e9]), rng.choice([0, 2e-6]))
    devices = rng.randint(1, 6)
    time = split_time(computes, exchanges, devices, link)
    assert simulate_split(computes, exchanges, [7] * devices, link) == (7 + time,) * devices


def test_closed_forms_by_hand():
    for kind, time in ((GATHER, 3 * 25), (SCATTER, 3 * 25), (REDUCE, 6 * 25), (HALO, 100)):
        exchange = Exchange(kind, "x", 0, 100)
        assert exchange.time(4, LINK) == time
        assert exchange.time(1, LINK) == 0
    assert Exchange(REDUCE, "x", 0, 101).time(3, LINK) == ring_time(101, 3, LINK)


def test_a_late_device_delays_its_neighbours_and_with_a_ring_all():
    halos = [Exchange(HALO, "x", 0, 10)]
    # Only those next to the late one wait for its rows.
    assert simulate_split([5], halos, [0, 0, 0, 1000], LINK) == (15, 15, 1015, 1015)
    rings = [Exchange(GATHER, "x", 0, 40)]
    assert min(simulate_split([5], rings, [0, 0, 0, 1000], LINK)) >= 1015


def needed(devices, rows, outputs, reads):
    """(above, below) of the strips' owners, from the rows that each output reads."""
    above = below = 0
    for number in range(devices):
        own = range(number * rows // devices, (number + 1) * rows // devices)
        for output in range(number * outputs // devices, (number + 1) * outputs // devices):
            for row in reads[output]:
                above, below = max(above, own.start - row), max(below, row - own.stop + 1)
    return above, below


@pytest.mark.parametrize("seed", range(200))
def test_halos_by_counting(seed):
    rng = random.Random(seed)
    rows, reach, stride = rng.randint(4, 40), rng.randint(1, 7), rng.randint(1, 3)
    pad, end = (rng.randint(0, reach - 1) for _ in range(2))
    devices = rng.randint(1, 4)
    outputs = output_size(rows, reach, stride, 1, pad, end)
    if outputs < devices:
        return
    shape = rows, outputs, devices, reach, stride, pad
    reads = [
        [row for row in range(o * stride - pad, o * stride - pad + reach) if 0 <= row < rows]
        for o in range(outputs)
    ]
    assert halo(*shape) == needed(devices, rows, outputs, reads), f"seed {seed}"
    read_by = [[o for o in range(outputs) if row in reads[o]] for row in range(rows)]
    assert gradient_halo(*shape) == needed(devices, outputs, rows, read_by), f"seed {seed}"


def step(network, training):
    load = workload(network, 6, "fp32", False, training)
    return training_step(load) if training else load


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("splitter", [_Features, _Space])
def test_shares_that_divide_add_up(small, splitter, training):
    load = step(small, training)
    share, _ = splitter(small, load, 4).split()
    own = [work for work in share.works if work.op != "Exchange"]
    for whole, part in zip(load.works, own, strict=True):
        by_all = (splitter is _Space and "gemm" in whole.name) or part.phase == "update"
        if whole.free or (splitter is _Space and by_all):
            # Every device computes the dense layer, and updates all weights.
            assert (part.macs, part.element_ops) == (whole.macs, whole.element_ops)
            continue
        assert part.macs * 4 == whole.macs, whole.name
        assert part.element_ops * 4 == whole.element_ops, whole.name
        if whole.gemm:
            assert part.gemm.macs * 4 == whole.gemm.macs


def listed(exchanges):
    return [(e.kind, e.name, e.size) for e in exchanges]


def test_what_is_exchanged_across_features(small):
    load = step(small, True)
    _, exchanges = _Features(small, load, 4).split()
    pool, relu = load.sizes["pool_out"], load.sizes["relu2_out"]
    assert relu == 6 * 12 * 8 * 5 * 4
    logits = small.outputs[0].name
    assert listed(exchanges) == [
        # The image is there; pools and activations are done on own channels.
        (GATHER, "pool_out", pool),
        (GATHER, "relu2_out", relu),
        (GATHER, logits, 6 * 4 * 4),
        (SCATTER, "relu2_out.gradient", relu),
        (SCATTER, "pool_out.gradient", pool),
    ]
    assert listed(_Features(small, step(small, False), 4).split()[1]) == listed(exchanges)[:2]


def test_what_is_exchanged_inside_convolutions(small):
    load = step(small, True)
    share, exchanges = _Space(small, load, 4).split()
    row = {name: load.sizes[name] // rows for name, rows in (("relu1_out", 16), ("pool_out", 8))}
    weights = 4 * (8 * 4 * 9 + 8 + 12 * 8 * 15 + 12)
    relu2 = load.sizes["relu2_out"]
    assert listed(exchanges) == [
        # The image comes with its halo. A pool of 3 x 3 with stride 2 reads a row above.
        (HALO, "relu1_out", row["relu1_out"]),
        (HALO, "pool_out", 2 * row["pool_out"]),
        (GATHER, "relu2_out", relu2),
        (HALO, exchanges[3].name, 2 * relu2 // 8),
        (HALO, "pool_out.gradient", row["pool_out"]),
        (REDUCE, "gradients of weights", weights),
    ]
    assert exchanges[3].name.endswith(".gradient")
    assert exchanges[-1].before == len(share.works)


@pytest.mark.parametrize("devices", [2, 3, 4, 5])
def test_a_depthwise_convolution_stays_on_its_device(devices):
    b = ModelBuilder(0, (1, 8, 6, 6), "depthwise")
    x = b.conv("image", 8, 8, group=8)
    network = hwsim.load(b.model(b.conv(x, 8, 16, group=8)))
    share, exchanges = _Features(network, step(network, True), devices).split()
    assert [e.kind for e in exchanges] == [GATHER]  # for the loss
    groups = -(-8 // devices)
    for work in share.works:
        if work.gemm:
            assert work.gemm.groups == groups
        if work.convolution:
            shape = work.convolution
            twice = {shape.channels, shape.outputs} != {groups}
            assert {shape.channels, shape.outputs} == ({groups, 2 * groups} if twice else {groups})


def test_groups_that_do_not_divide_are_split_themselves():
    b = ModelBuilder(0, (1, 6, 6, 6), "grouped")
    network = hwsim.load(b.model(b.conv(b.conv("image", 6, 6), 6, 12, group=2)))
    share, exchanges = _Features(network, step(network, False), 3).split()
    assert [e.kind for e in exchanges] == [GATHER]
    last = [work for work in share.works if work.gemm][-1]
    assert (last.gemm.groups, last.gemm.n, last.convolution.outputs) == (2, 2, 4)


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("devices", [3, 5, 7])
@pytest.mark.parametrize("name", ["mobilenet_v1", "alexnet_two_tower"])
def test_devices_that_do_not_divide(name, devices, kind):
    """On a device of each class, and each array."""
    network = networks.network(name)
    for device in ("i7-7700k", "v100", "tpu-v1", "eyeriss", "nvdla-small", "nvdla-full", "zu9eg"):
        found = SPLITS[kind](network, device, devices, LINK, batch=4, training=True)
        assert 0 < found.compute_s < 1.01 * found.alone_s, device


def test_normalization_across_channels_needs_them_all():
    b = ModelBuilder(0, (1, 8, 6, 6), "lrn")
    x = b.conv("image", 8, 8)
    network = hwsim.load(b.model(b.node("LRN", x, size=5)))
    (exchange,) = _Features(network, step(network, False), 4).split()[1]
    assert (exchange.kind, exchange.name) == (GATHER, x)
    assert _Space(network, step(network, False), 2).split()[1] == []


def test_maps_that_are_too_low_are_gathered():
    b = ModelBuilder(0, (1, 2, 8, 8), "low")
    x = b.conv("image", 2, 4, pads=[1, 1, 1, 1])
    y = b.conv(x, 4, 4, (5, 5), pads=[2, 2, 2, 2])
    network = hwsim.load(b.model(b.conv(y, 4, 4)))
    # Strips of two rows hold what a window of five reaches, those of one row do not.
    kinds = {
        devices: [e.kind for e in _Space(network, step(network, False), devices).split()[1]]
        for devices in (4, 8)
    }
    assert kinds[8] == [GATHER]
    assert kinds[4][0] == HALO


def test_a_global_average_is_added(small):
    b = ModelBuilder(0, (1, 2, 8, 8), "average")
    x = b.node("GlobalAveragePool", b.conv("image", 2, 4), name="mean")
    network = hwsim.load(b.model(x))
    load = step(network, True)
    share, exchanges = _Space(network, load, 3).split()
    assert listed(exchanges)[0] == (REDUCE, "mean_out", 6 * 4 * 4)
    (back,) = (w for w in share.works if w.name == "mean.input_gradient")
    assert back.phase == INPUT
    # Of six rows two each.
    (whole,) = (w for w in load.works if w.name == "mean.input_gradient")
    assert back.element_ops * 3 == whole.element_ops


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("splitter", [_Features, _Space])
@pytest.mark.parametrize("name", ["googlenet", "resnet18", "mobilenet_v2"])
def test_every_map_is_there_before_it_is_read(name, splitter, training):
    network = networks.network(name)
    load = step(network, training)
    share, exchanges = splitter(network, load, 4).split()
    there = {tensor.name for tensor in network.inputs} | load.parked
    for work in share.works:
        if not work.free or work.op == "Exchange":
            assert there.issuperset(work.inputs), work.name
        there.update(work.outputs)
    assert there <= share.sizes.keys()
    befores = [exchange.before for exchange in exchanges]
    assert befores == sorted(befores)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v2"])
def test_known_networks(name, kind, training):
    network = networks.network(name)
    link = Link(100e9, 1e-6)
    one = SPLITS[kind](network, "v100", 1, link, batch=16, training=training)
    alone = hwsim.estimate(network, ["v100"], batch=16, training=training)["v100"]
    assert one.latency_s == one.alone_s == pytest.approx(alone.latency_s, rel=1e-9)
    assert (one.speedup, one.exchange_bytes, one.exchanges) == (1, 0, ())
    found = SPLITS[kind](network, "v100", 4, link, batch=16, training=training)
    assert found.alone_s == one.alone_s
    assert found.compute_s < one.compute_s and found.exchange_s > 0
    ends = simulate_split(found.computes, found.exchanges, [0] * 4, link)
    total = split_time(found.computes, found.exchanges, 4, link)
    assert ends == (total,) * 4
    assert found.latency_s == pytest.approx(total / 1e12, rel=1e-12)
    data = found.to_dict()
    assert sum(entry["bytes"] for entry in data["exchanges"]) == data["exchange_bytes"]
    assert data["kind"] == kind


@pytest.mark.parametrize("kind", SPLITS)
def test_integer_networks_are_split_too(small, kind):
    images = np.random.default_rng(0).normal(size=(2, 4, 16, 10)).astype(np.float32)
    quantized = hwsim.quantize(small, calibration=images)
    found = SPLITS[kind](quantized, "tpu-v1", 2, LINK, batch=2)
    assert found.compute_s < found.alone_s and found.exchanges


@pytest.mark.parametrize("kind", ["data", *SPLITS])
@pytest.mark.parametrize("device", catalog.names())
def test_every_device_trains_in_every_way(device, kind):
    network, link = networks.network("lenet5"), Link(10e9, 1e-6)
    split = {"data": data_parallel, **SPLITS}[kind]
    found = split(network, device, 2, link, batch=32, training=True)
    alone = hwsim.estimate(network, [device], batch=32, training=True)[device]
    assert found.alone_s == pytest.approx(alone.latency_s, rel=1e-9)
    assert found.exchange_s > 0 and 0.4 * found.alone_s < found.compute_s < 1.01 * found.alone_s
    epoch, all_epochs = training_time(found.latency_s, 32, 60_000, 10)
    assert epoch == 1875 * found.latency_s and all_epochs == 10 * epoch


def test_what_does_not_fit_one_device_may_fit_several():
    network, given = networks.network("vgg16"), {"batch": 256, "training": True}
    (alone,) = hwsim.estimate(network, ["p100"], **given, optimizer="momentum")
    assert alone.notes[-1].startswith("does not fit: 17,608,999,136 B")
    for split in (data_parallel, feature_parallel, space_parallel):
        for count, fits in ((1, False), (8, True)):
            found = split(network, "p100", count, LINK, **given, optimizer="momentum")
            assert (not found.notes) == fits
            assert found.to_dict()["notes"] == list(found.notes)
    # Of an FPGA, its block RAM.
    found = feature_parallel(networks.network("lenet5"), "zu3eg", 2, LINK, batch=64, training=True)
    assert found.notes[0].startswith("does not fit: 21,937,184 bits of weights")


def test_time_of_training():
    assert training_time(0.5, 64, 1000) == (8, 8)
    assert training_time(0.5, 64, 1024, 90) == (8, 720)
    with pytest.raises(ValueError, match=r"^epochs must be a positive integer, not 0$"):
        training_time(0.5, 64, 1000, 0)


@pytest.mark.parametrize("split", SPLITS.values())
def test_bad_input(small, split):
    for given, message in (
        ({"devices": 0}, "devices must be a positive integer, not 0"),
        ({"batch": 0}, "batch must be a positive integer, not 0"),
        ({"optimizer": "x"}, "optimizer must be one of sgd, momentum, adam, not 'x'"),
        (
            {"device": "ecp5-85f"},
            "layers that are split have no model of inference on FPGAs, and ecp5-85f is one; give "
            "a device of the classes cpu, gpu, tpu and spatial, or split the batch",
        ),
    ):
        arguments = {"device": "v100", "devices": 2, "batch": 4} | given
        device, devices = arguments.pop("device"), arguments.pop("devices")
        with pytest.raises(ValueError) as caught:
            split(small, device, devices, LINK, **arguments)
        assert str(caught.value) == message
