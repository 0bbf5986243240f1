# amaranth: UnusedElaboratable=no
"""Training steps split over FPGAs: whose stages, what is exchanged, and the cycles in the RTL."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

import hwsim
from hwsim import networks
from hwsim.blocks.training import Bank, TrainingConfig
from hwsim.models import devices
from hwsim.models.dataflow.parallel import Link
from hwsim.models.dataflow.split import (
    GATHER,
    HALO,
    REDUCE,
    SCATTER,
    feature_parallel,
    simulate_split,
    space_parallel,
    split_time,
)
from hwsim.models.fpga_split import _Features, _Space
from hwsim.models.fpga_training import _macs, training_plan
from hwsim.network.training import IMAGES, folded, stages
from hwsim.sim.training import Simulated
from tests.onnx_models import ModelBuilder
from tests.sim.test_training import random_chain, random_graph

LINK = Link(1e12)  # a byte per picosecond
SPLITS = {"features": feature_parallel, "space": space_parallel}
SPLITTERS = {"features": _Features, "space": _Space}


def chain():
    """Two convolutions with ReLU, a pool, a dense layer; 8 or more rows, 4 or more channels."""
    b = ModelBuilder(0, (1, 4, 16, 10), "chain")
    x = b.node("Relu", b.conv("image", 4, 8, pads=[1, 1, 1, 1], name="c1"), name="relu1")
    x = b.node("MaxPool", x, name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = b.conv(x, 8, 12, (5, 3), pads=[2, 1, 2, 1], name="c2")
    x = b.node("Flatten", b.node("Relu", x, name="relu2"), name="flat")
    return hwsim.load(b.model(b.gemm(x, 12 * 8 * 5, 4)))


def branches():
    """Depthwise and grouped convolutions, LRN, an addition, a concatenation, a strided shortcut."""
    b = ModelBuilder(0, (1, 2, 13, 9), "branches")
    x = b.node("Relu", b.conv("image", 2, 6, pads=[1, 1, 1, 1]))
    x = b.node("LRN", x, size=3, name="norm")
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    y = b.conv(x, 6, 12, group=2, pads=[1, 1, 1, 1])
    z = b.conv(y, 12, 12, group=12, pads=[1, 1, 1, 1])
    x = b.node("Relu", b.node("Add", y, z))
    x = b.node("Concat", b.conv(x, 12, 5, (1, 1)), b.conv(x, 12, 4, pads=[1, 1, 1, 1]), axis=1)
    x = b.conv(x, 9, 8, (1, 1), strides=[2, 2])
    x = b.node("Flatten", b.node("GlobalAveragePool", b.node("Sigmoid", x)))
    return hwsim.load(b.model(b.gemm(x, 8, 5)))


def known(name):
    return lambda: networks.network(name)


def parts_of(network):
    return stages(folded(network))


def share(kind, network, count):
    return SPLITTERS[kind](parts_of(network), count).split()


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("network", [chain, branches, known("lenet5"), known("7-6N-5")])
def test_cycles_are_those_of_the_rtl(network, kind, count):
    as_in_the_rtl(share(kind, network(), count))


def as_in_the_rtl(own):
    """Every operation of an FPGA's program, which halts for each exchange."""
    design, device = TrainingConfig(lanes=4), devices.load("zu9eg")
    plan = training_plan(own, device, 4, "momentum", design)
    program = plan.any_program(stochastic=False)
    machine = Simulated(plan)
    machine._start(program, [(Bank.FLAGS, 0, 1)])
    expected = dict.fromkeys((operation.label for operation in program.operations), 0)
    before = 0
    for operation in program.operations:
        # The start behind a halt is measured with what it starts.
        paused = bool(operation.stage.op == "Exchange" and not operation.steps)
        expected[operation.label] += operation.cycles - paused + before
        before = paused
    assert dict(machine.cycles) == {**expected, "halt": 1}
    assert len(program.begins) == 1 + sum(not o.steps for o in program.operations)


@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("network", [chain, branches, *map(known, networks.NAMES)])
def test_stages_read_what_is_there(network, kind, count):
    reads_what_is_there(share(kind, network(), count), parts_of(network()), kind)


@pytest.mark.parametrize("make", [random_chain, random_graph])
@pytest.mark.parametrize("seed", range(100, 130))
def test_random_networks(make, seed):
    network, _ = make(seed)
    for number, kind in enumerate(SPLITS):
        for count in (2, 3, 5, 9):
            own = share(kind, network, count)
            reads_what_is_there(own, parts_of(network), kind)
            if (seed, count) == (100 + number, 3):
                as_in_the_rtl(own)


def reads_what_is_there(own, parts, kind):
    """Sizes of maps; and across features which of all channels the first FPGA has."""
    originals = {stage.name: stage for stage in parts}
    found, channels = {}, {}
    for stage in own:
        sources = [found[name] for name in stage.inputs if name != IMAGES]
        if sources and stage.op != "Exchange":
            assert sum(prod(source.pooled_shape) for source in sources) == (
                prod(stage.shape) * (len(sources) if stage.op == "Add" else 1)
            ), stage.name
        found[stage.name] = stage
        if kind == "space":
            continue
        if stage.op == "Exchange":
            channels[stage.name] = np.arange(stage.outputs)
            continue
        whole = originals[stage.name]
        assert stage.map_shape == whole.map_shape
        before, inputs = 0, []
        for name in stage.inputs:
            pixels = 1
            if name != IMAGES:  # of a map that is a vector
                source = originals[name.partition(".")[0]].pooled_shape
                pixels = prod(source[1:]) // prod(stage.shape[1:])
            have = channels.get(name, np.arange(stage.shape[0]))
            inputs.append((have[:, None] * pixels + np.arange(pixels)).ravel() + before)
            before += source[0] * pixels if stage.op == "Concat" else 0
        if stage.op == "Concat":
            inputs = [np.concatenate(inputs)]
        assert len(inputs[0]) == stage.shape[0]
        assert all((each == inputs[0]).all() for each in inputs)
        channels[stage.name] = inputs[0]
        if stage.weight:
            # Whole groups, of which the first outputs.
            groups = inputs[0].reshape(stage.group, -1)
            size, outputs = (each.outputs // each.group for each in (whole, stage))
            numbers = groups[:, 0] // (whole.shape[0] // whole.group)
            assert groups.shape[1] == whole.shape[0] // whole.group
            assert (groups == numbers[:, None] * groups.shape[1] + np.arange(groups.shape[1])).all()
            channels[stage.name] = (numbers[:, None] * size + np.arange(outputs)).ravel()


def test_maps_of_one_channel_are_no_groups():
    """Of images with one channel each FPGA computes its share of the outputs."""
    first, *_ = share("features", networks.network("lenet5"), 2)
    assert (first.group, first.outputs) == (1, 3)


def test_outputs_that_are_split_otherwise_are_gathered():
    """Each FPGA has 2 of 3 channels, thrice; an addition of 5 of 9 needs others."""
    b = ModelBuilder(0, (1, 2, 8, 8), "otherwise")
    parts = [b.conv("image", 2, 3) for _ in range(3)]
    x = b.node("Concat", *parts, axis=1, name="concat")
    x = b.node("Add", x, b.conv("image", 2, 9, name="conv"), name="add")
    b.node("GlobalAveragePool", x, name="end")
    *_, add, end = share("features", hwsim.load(b.model("end_out")), 2)
    assert add.inputs == ("concat.whole", "conv.whole") and end.outputs == add.outputs == 9


def test_averages_that_count_less_at_the_border_are_not_on_rows():
    for counted, high in ((1, 4), (0, 8)):
        b = ModelBuilder(0, (1, 2, 8, 8), "average")
        given = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": counted}
        x = b.node("AveragePool", b.conv("image", 2, 3, (1, 1)), name="average", **given)
        network = hwsim.load(b.model(b.node("GlobalAveragePool", x)))
        (average,) = (s for s in share("space", network, 2) if s.name == "average")
        assert average.map_shape[0] == high


@pytest.mark.parametrize("kind", SPLITS)
def test_shares_that_divide_add_up(kind):
    """Multiply-adds of each product, but of those that every FPGA computes."""
    parts, batch = parts_of(chain()), 8

    def macs(parts):
        plan = training_plan(parts, devices.load("zu9eg"), batch, "sgd")
        operations = plan.any_program(stochastic=False).operations
        return {o.label: _macs(o, batch) for o in operations if _macs(o, batch)}

    whole, own = macs(parts), macs(share(kind, chain(), 4))
    assert whole.keys() == own.keys()
    for label, count in whole.items():
        name, _, work = label.partition(" ")
        by_all = kind == "space" and (name.startswith("gemm") or work == "update")
        if kind == "space" and work == "input gradient" and not by_all:
            # Of rows of the neighbours, too; these counts leave padding out.
            assert count <= own[label] * 4
        else:
            assert own[label] * (1 if by_all else 4) == count, label


def listed(found):
    return [(e.kind, e.name, e.size) for e in found.exchanges]


def test_what_is_exchanged_across_features():
    found = feature_parallel(chain(), "zu9eg", 4, LINK, batch=8, training=True)
    pool, relu = 8 * 2 * 8 * 8 * 5, 8 * 2 * 12 * 8 * 5
    output = parts_of(chain())[-1].name
    assert listed(found) == [
        (GATHER, "pool", pool),
        (GATHER, "c2", relu),
        (GATHER, output, 8 * 2 * 4),
        (SCATTER, "c2.gradient", relu),
        (SCATTER, "pool.gradient", pool),
    ]


def test_what_is_exchanged_inside_convolutions():
    found = space_parallel(chain(), "zu9eg", 4, LINK, batch=8, training=True)
    conv, pool, relu = 8 * 2 * 8 * 10, 8 * 2 * 8 * 5, 8 * 2 * 12 * 8 * 5
    weights = 2 * (8 * 4 * 9 + 8 + 12 * 8 * 15 + 12)
    assert listed(found) == [
        # A pool of 3 x 3 with stride 2 reads a row above, a kernel of five rows two.
        (HALO, "c1", conv),
        (HALO, "pool", 2 * pool),
        (GATHER, "c2", relu),
        (HALO, "pool.gradient", 2 * pool),
        (HALO, "c1.gradient", conv),
        (REDUCE, "gradients of weights", weights),
    ]
    # A pause for each.
    plan = training_plan(share("space", chain(), 4), devices.load("zu9eg"), 8, "sgd")
    cycles = sum(plan.cycles(stochastic=False).values()) + 2
    assert found.compute_s == pytest.approx(cycles / devices.load("zu9eg")["clock"], rel=1e-9)


def test_normalization_across_channels_is_done_by_all():
    own = {stage.name: stage for stage in share("features", branches(), 2)}
    kinds = {
        stage.name: (stage.attributes["forward"], stage.attributes["input gradient"])
        for stage in own.values()
        if stage.op == "Exchange"
    }
    assert own["norm"].outputs == 6
    # Its gradient is whole on every FPGA; that of the maximum behind it is a sum.
    first = next(stage for stage in own.values() if stage.weight)
    assert kinds[f"{first.name}.whole"] == (GATHER, "")
    assert ("", REDUCE) in kinds.values() or ("", GATHER) in kinds.values()


def test_depthwise_convolutions_exchange_nothing():
    b = ModelBuilder(0, (1, 1, 8, 8), "depthwise")
    x = b.conv(b.conv("image", 1, 9), 9, 18, group=9)
    network = hwsim.load(b.model(b.node("GlobalAveragePool", x)))
    for count in (2, 3, 4):
        (end,) = [s for s in share("features", network, count) if s.op == "Exchange"]
        assert end.attributes["forward"] == GATHER and end.outputs == 18


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet18", "googlenet", "mobilenet_v1"])
def test_known_networks(name, kind):
    network, link = networks.network(name), Link(100e9, 1e-6)
    options = {"training": True, "optimizer": "momentum", "clock_hz": 50e6}
    one = SPLITS[kind](network, "zu9eg", 1, link, batch=16, **options)
    alone = hwsim.estimate(network, ["zu9eg"], batch=16, **options)["zu9eg"]
    assert one.latency_s == pytest.approx(alone.latency_s, rel=1e-12)
    assert one.alone_s == alone.latency_s
    assert (one.exchange_bytes, one.exchanges) == (0, ())
    found = SPLITS[kind](network, "zu9eg", 2, link, batch=16, **options)
    assert found.alone_s == one.alone_s
    assert found.compute_s < one.compute_s and found.exchange_s > 0
    # Pauses apart, no share is less than a half of the work.
    assert found.compute_s > 0.49 * one.compute_s
    ends = simulate_split(found.computes, found.exchanges, [0] * 2, link)
    assert ends == (split_time(found.computes, found.exchanges, 2, link),) * 2
    assert sum(e["bytes"] for e in found.to_dict()["exchanges"]) == found.exchange_bytes


@pytest.mark.parametrize("seed", range(6))
def test_more_devices_have_no_more_to_do(seed):
    rng = np.random.default_rng(seed)
    network = (chain, branches)[seed % 2]()
    for kind, split in SPLITS.items():
        batch = int(rng.choice([1, 4, 16, 32]))
        times = [
            split(network, "zu9eg", count, LINK, batch=batch, training=True).compute_s
            for count in (1, 2, 4)
        ]
        # A pause takes two cycles of 10 ns.
        assert times[0] + 2e-6 >= times[1] and times[1] + 2e-6 >= times[2], f"{kind} {seed}"


def test_a_design_counts():
    given = {"batch": 8, "training": True}
    wide = space_parallel(chain(), "zu9eg", 2, LINK, **given)
    narrow = space_parallel(chain(), "zu9eg", 2, LINK, **given, design=TrainingConfig(lanes=4))
    assert narrow.compute_s > wide.compute_s
    with pytest.raises(ValueError, match=r"^training on FPGAs has the optimizers sgd and momentum"):
        space_parallel(chain(), "zu9eg", 2, LINK, **given, optimizer="adam")
    with pytest.raises(ValueError, match=r"^clock_hz must be positive and finite, not 0$"):
        space_parallel(chain(), "zu9eg", 2, LINK, **given, clock_hz=0)


def test_strips_are_no_other_stages():
    """A stage on rows differs from the whole in its rows and padding alone."""
    parts = {stage.name: stage for stage in parts_of(branches())}
    for stage in share("space", branches(), 2):
        if stage.op != "Exchange":
            a = {**stage.attributes, "pads": parts[stage.name].attributes["pads"]}
            shape, inputs = parts[stage.name].shape, parts[stage.name].inputs
            assert vars(replace(stage, attributes=a, shape=shape, inputs=inputs)) == vars(
                parts[stage.name]
            )
