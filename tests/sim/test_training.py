# amaranth: UnusedElaboratable=no
"""The training accelerator: weights, velocities and cycles of random networks, step by step."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim.blocks.training import TrainingConfig
from hwsim.compiler.training import TrainingPlan, sized
from hwsim.models.reference.training import Reference
from hwsim.models.training import IntegerTraining, TrainingSettings
from hwsim.network.functions import DOMAIN
from hwsim.network.training import IMAGES, SUM_POOLS, Stage, initial_weights, stages
from hwsim.network.windows import output_size
from hwsim.rtl.trainer import AxiTrainer, Trainer
from hwsim.rtl.verilog import convert
from hwsim.sim import amaranth_engine, compiled_engine, verilator_engine
from hwsim.sim.beats import codes_of, codes_of_payloads, elements_of, payloads_of, values_of
from hwsim.sim.engine import Stimulus
from hwsim.sim.training import Simulated
from tests.models.test_integer_training import random_pool, with_functions
from tests.network.test_lrn import lrn_node
from tests.rtl.verilog_bench import have_icarus, run_icarus

SEEDS = range(100, 112)
SMALL = 139


def random_chain(seed):
    """One or two convolutions, a function or none, pools; one or two dense layers."""
    rng = np.random.default_rng(seed)

    def upto(n):
        return int(rng.integers(1, n + 1))

    nodes, constants, current = [], [], "x"
    shape = (upto(3), *(int(n) for n in rng.integers(7, 12, 2)))
    image = shape

    def add(op, name, parameters=(), **attributes):
        nonlocal current
        inputs = [current]
        for number, size in enumerate(parameters):
            inputs.append(f"{name}_{number}")
            values = np.zeros(size, np.float32)
            constants.append(numpy_helper.from_array(values, inputs[-1]))
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        current = name

    for layer in range(upto(2)):
        group = int(rng.choice([n for n in range(1, 7) if shape[0] % n == 0]))
        outputs, kernel = group * upto(6 // group), [upto(3), upto(3)]
        strides, dilations = [upto(2), upto(2)], [upto(2), upto(2)]
        pads = [int(n) for n in rng.integers(0, 3, 4)]
        size = [
            output_size(n, k, s, d, a, b)
            for n, k, s, d, a, b in zip(
                shape[1:], kernel, strides, dilations, pads[:2], pads[2:], strict=True
            )
        ]
        if min(size) < 1:
            break
        parameters = [(outputs, shape[0] // group, *kernel), (outputs,)][: upto(2)]
        add(
            "Conv",
            f"conv{layer}",
            parameters,
            kernel_shape=kernel,
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=group,
        )
        shape = (outputs, *size)
        function = rng.choice(["", "Relu", "Sigmoid", "Tanh"], p=[0.2, 0.4, 0.2, 0.2])
        if function:
            add(str(function), f"function{layer}")
        if rng.random() < 0.3:
            numbers = {"alpha": rng.choice([1e-3, 0.3, 2.0]), "beta": rng.choice([0.5, 0.75, 1.2])}
            numbers = {name: float(value) for name, value in numbers.items()}
            numbers |= {"bias": float(rng.choice([1, 2])), "within": bool(rng.integers(2))}
            name = f"norm{layer}"
            nodes.append(lrn_node(current, name, name=name, size=upto(6), **numbers))
            current = name
        if rng.random() < 0.2:
            add("Relu", f"relu{layer}")
        for number in range(int(rng.choice([0, 1, 2], p=[0.2, 0.6, 0.2]))):
            op, attributes, size = random_pool(rng, shape[1:])
            add(op, f"pool{layer}{number}", **attributes)
            shape = (outputs, *size)
    add("Flatten", "flatten")
    features = math.prod(shape)
    if rng.random() < 0.5:
        width = upto(9)
        add("Gemm", "hidden", [(width, features), (width,)][: upto(2)], transB=1)
        add(str(rng.choice(["Relu", "Sigmoid", "Tanh"])), "function")
        features = width
    classes = 1 + upto(8)
    add("Gemm", "y", [(classes, features), (classes,)], transB=1)
    graph = helper.make_graph(
        nodes,
        f"random_{seed}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *image))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, classes))],
        constants,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    return hwsim.load(helper.make_model(graph, opset_imports=opsets, ir_version=10)), classes


def random_graph(seed):
    """Layers that read any maps before them, which are added and concatenated."""
    rng = np.random.default_rng(seed)
    nodes, constants, unread = [], [], []
    maps, image = {}, (int(rng.integers(1, 4)), *rng.integers(3, 6, 2).tolist())

    def add(op, inputs, shape, parameters=(), **attributes):
        name = f"{op.lower()}{len(nodes)}"
        inputs = list(inputs)
        unread[:] = [each for each in unread if each not in inputs]
        for number, size in enumerate(parameters):
            inputs.append(f"{name}_{number}")
            constants.append(numpy_helper.from_array(np.zeros(size, np.float32), inputs[-1]))
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        unread.append(name)
        if op in ("Conv", "Add") and rng.random() < 0.5:
            # That nothing else reads, so that it is a part of the stage.
            return rectify(name, shape)
        maps[name] = shape
        return name

    def rectify(source, shape):
        if rng.random() < 0.5:
            return add("Relu", [source], shape)
        return add("Clip", [source, "zero", str(rng.choice(["half", "six"]))], shape)

    def conv(source, shape):
        outputs, size = int(rng.integers(1, 6)), int(rng.choice([1, 3]))
        parameters = [(outputs, shape[0], size, size), (outputs,)][: int(rng.integers(1, 3))]
        stride = int(rng.integers(1, 3)) if rng.random() < 0.3 else 1
        size_of = [output_size(n, size, stride, 1, size // 2, size // 2) for n in shape[1:]]
        pads, strides = [size // 2] * 4, [stride] * 2
        add("Conv", [source], (outputs, *size_of), parameters, pads=pads, strides=strides)

    conv("x", image)
    if rng.random() < 0.3:
        conv("x", image)
    for name, value in (("zero", 0.0), ("half", 0.5), ("six", 6.0)):
        constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
    ops = ["Conv", "Rectify", "Pool", "Add", "Add", "Concat", "LRN", "Function"]
    for _ in range(int(rng.integers(4, 9))):
        # Of the last maps more often, and of those that nothing has read.
        recent = [*maps][-3:] + unread
        source = recent[int(rng.integers(len(recent)))]
        shape, op = maps[source], str(rng.choice(ops))
        if op == "Conv":
            conv(source, shape)
        elif op == "Rectify":
            rectify(source, shape)
        elif op == "Pool":
            op, attributes, size = random_pool(rng, shape[1:])
            add(op, [source], (shape[0], *size), **attributes)
        elif op == "LRN":
            add("LRN", [source], shape, size=3, alpha=0.3)
        elif op == "Function" and source.startswith(("conv", "add")):
            add(str(rng.choice(["Sigmoid", "Tanh"])), [source], shape)
        elif op == "Add":
            alike = [name for name, other in maps.items() if other == shape]
            add("Add", [source, alike[int(rng.integers(len(alike)))]], shape)
        elif op == "Concat":
            alike = [name for name, other in maps.items() if other[1:] == shape[1:]]
            chosen = [source, *rng.choice(alike, int(rng.integers(1, 4)))]
            channels = sum(maps[str(name)][0] for name in chosen)
            add("Concat", chosen, (channels, *shape[1:]), axis=1)
    for name in list(unread):
        add("Flatten", [name], (math.prod(maps[name]),))
    if len(unread) > 1:
        add("Concat", list(unread), (sum(maps[name][0] for name in unread),), axis=1)
    features, classes = maps[unread[0]][0], int(rng.integers(2, 8))
    out = add("Gemm", list(unread), (classes,), [(classes, features), (classes,)], transB=1)
    graph = helper.make_graph(
        nodes,
        f"graph_{seed}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *image))],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, (1, classes))],
        constants,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    return hwsim.load(helper.make_model(graph, opset_imports=opsets, ir_version=10)), classes


@pytest.mark.parametrize(
    ("make", "seed"),
    [(random_chain, seed) for seed in SEEDS] + [(random_graph, seed) for seed in SEEDS],
)
def test_random_networks(make, seed):
    """After each step all weights, velocities, points; cycles of each operation as planned."""
    rng = np.random.default_rng(seed)
    network, classes = make(seed)
    parts = stages(network)
    lanes = int(rng.integers(4, 7))
    batch = int(rng.integers(1, lanes + 1)) if rng.random() < 0.5 else lanes * 2
    momentum = float(rng.choice([0.0, 0.9]))
    settings = TrainingSettings(
        rate=0.05,
        momentum=momentum,
        loss=str(rng.choice(["cross-entropy", "rmse"])),
        stochastic=bool(rng.integers(2)),
        seed=seed,
    )
    bits = 48 + seed % 15
    chosen = TrainingConfig(lanes=lanes, loss=settings.loss, accumulator_bits=bits)
    config = sized(parts, batch, chosen, momentum=momentum > 0)
    plan = TrainingPlan(parts, config, momentum=momentum > 0)
    weights = initial_weights(network, seed)
    reference, simulated = (
        IntegerTraining(network, weights, settings, machine)
        for machine in (Reference(parts, lanes, settings.loss), Simulated(plan))
    )
    shape = network.inputs[0].shape[1:]
    for step in range(3):
        images = rng.uniform(size=(batch, *shape)).astype(np.float32)
        labels = rng.integers(classes, size=batch)
        assert reference.step(images, labels) == simulated.step(images, labels), f"step {step}"
        for kind in ("codes", "velocities"):
            for name, expected in getattr(reference.machine, kind).items():
                found = getattr(simulated.machine, kind)[name]
                assert (found == expected).all(), f"seed {seed}, step {step}: {kind} of {name}"
        assert reference.points == simulated.points
    planned = plan.cycles(stochastic=settings.stochastic)
    assert simulated.machine.cycles == {work: 3 * cycles for work, cycles in planned.items()}


@pytest.mark.parametrize("make", [random_chain, random_graph])
@pytest.mark.parametrize("seed", range(100, 160))
def test_steps(make, seed):
    """Of each operation, as docs/training.md has them."""
    parts = stages(make(seed)[0])
    lanes, batch = 4 + seed % 3, 1 + seed % 3 if seed % 2 else 2 * (4 + seed % 3)
    config = sized(parts, batch, TrainingConfig(lanes=lanes), momentum=True)
    plan = TrainingPlan(parts, config, momentum=True)
    found: dict[str, int] = {}
    for operation in plan.any_program(stochastic=bool(seed % 2)).operations:
        found[operation.label] = found.get(operation.label, 0) + operation.steps

    def tiles(count):
        return -(-count // lanes)

    expected = {f"{parts[-1].name} loss": batch * parts[-1].outputs}
    given = {stage.name: math.prod(stage.pooled_shape) for stage in parts}
    read = Counter(name for stage in parts for name in stage.inputs)
    for stage in parts:
        if read[stage.name] > 1:
            sums = (read[stage.name] - 1) * 2 * lanes * tiles(given[stage.name] * tiles(batch))
            expected[f"{stage.name} sum"] = sums
        if stage.op == "Add":
            added = 2 * lanes * tiles(math.prod(stage.shape) * tiles(batch))
            expected[f"{stage.name} forward"] = added
        elif stage.op == "Concat":
            copied = sum(lanes * tiles(given[name]) for name in stage.inputs) * tiles(batch)
            expected |= {f"{stage.name} {work}": copied for work in ("forward", "input gradient")}
        elif not stage.weight:
            expected |= own_steps(stage, tiles, batch, added=only_added(parts, stage))
        if stage.relu or stage.window != (1, 1) or (stage.weight and strided(stage)):
            values = math.prod(stage.pooled_shape) * math.prod(stage.window)
            for work in ("pool", "pool gradient"):
                expected[f"{stage.name} {work}"] = values * tiles(batch)
        if not stage.weight:
            continue
        taps, positions = math.prod(stage.attributes["kernel"]), math.prod(stage.map_shape)
        group = stage.group
        channels, outputs = stage.shape[0] // group, stage.outputs // group
        depth = channels * taps + bool(stage.bias)
        every = group * tiles(outputs) * positions * tiles(batch)
        work = {
            "forward": max(depth, lanes) * every,
            "weight gradient": lanes * tiles(depth) * every,
            "velocity": 2 * lanes * tiles(group * depth * tiles(outputs)),
        }
        work["update"] = work["velocity"]
        if stage.inputs != (IMAGES,):
            work["input gradient"] = (
                lanes
                * group
                * taps
                * tiles(outputs)
                * tiles(channels)
                * tiles(batch)
                * math.prod(stage.shape[1:])
            )
        expected |= {f"{stage.name} {name}": steps for name, steps in work.items()}
    assert found == expected


def only_added(parts, stage):
    """Whether the gradient of an unmarked stage's output is that of an addition alone."""
    readers = [other for other in parts for name in other.inputs if name == stage.name]
    marked = stage.relu or stage.window != (1, 1)
    return [reader.op for reader in readers] == ["Add"] and not marked


def strided(stage):
    return stage.attributes["strides"] != (1, 1)


def own_steps(stage, tiles, batch, *, added):
    """Of a pool that is a stage of its own, of sigmoid and tanh."""
    a, (channels, *size) = stage.attributes, stage.shape
    words, lanes = tiles(batch), next(n for n in range(4, 9) if tiles(n) == 1 < tiles(n + 1))
    values = math.prod(a["kernel"]) * math.prod(stage.map_shape) * words
    if stage.op == "LRN":
        codes, pixels = channels * math.prod(size) * words, math.prod(size) * words
        near = lanes * stage.members * tiles(channels) * pixels
        forward, gradient = 4 * codes + near, 4 * codes + near + 2 * lanes * tiles(codes)
    elif stage.op == "MaxPool":
        forward, routed = channels * values, channels * values
    elif stage.op in SUM_POOLS:
        forward, routed = lanes * tiles(channels) * values, 0
    else:
        forward = gradient = channels * math.prod(size) * words
    if stage.op in ("MaxPool", *SUM_POOLS):
        # For each pixel and axis, the values of windows that may lie there.
        read = [1, 1]
        for axis in range(2):
            n, k = size[axis], a["kernel"][axis]
            s, d, pad = a["strides"][axis], a["dilations"][axis], a["pads"][axis]
            if stage.op in SUM_POOLS and stage.map_shape[axis] == d == 1:
                read[axis] = min(n, k - pad)
            else:
                taps = np.arange(n)[:, None] + pad - np.arange(k) * d
                read[axis] = int((taps % s == 0).sum())
        if stage.op == "AveragePool":
            # Windows that count more than the fewest values.
            shared = sum(
                len(region.rows) * len(region.cols)
                for region in stage.regions
                if region.share < 1 << 14 or (added and len(stage.regions) > 1)
            )
            routed = lanes * tiles(channels) * shared * words
        gradient = routed + lanes * tiles(channels) * math.prod(read) * words
    return {f"{stage.name} forward": forward, f"{stage.name} input gradient": gradient}


@pytest.mark.parametrize("memory", ["parameters", "maps", "deltas", "marks", "table"])
def test_too_small(memory):
    parts = stages(random_chain(100)[0])
    config = sized(parts, 4, TrainingConfig(lanes=4), momentum=True)
    words = getattr(config, memory)
    smaller = replace(config, **{memory: words - 1})
    with pytest.raises(ValueError, match=rf"^{memory} must be at least {words}, not {words - 1}$"):
        TrainingPlan(parts, smaller, momentum=True)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"functions": 0}, "functions must be at least 4, not 0"),
        ({"classes": 6}, "classes must be 5, as the outputs, not 6"),
        ({"batch": 6}, "batch must be at most 4, the lanes, or a multiple of that, not 6"),
    ],
)
def test_other_accelerators(members, message):
    parts = stages(with_functions("Tanh"))
    config = sized(parts, 4, TrainingConfig(lanes=4), momentum=True)
    with pytest.raises(ValueError) as raised:
        TrainingPlan(parts, replace(config, **members), momentum=True)
    assert str(raised.value) == message


def test_too_many_norms():
    attributes = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4}
    attributes |= {"size": 3, "alpha": 1.0, "beta": 0.75, "within": False}
    parts = [
        Stage(
            op="LRN",
            name=f"n{k}",
            output="y",
            shape=(1, 1, 1),
            attributes=attributes | {"bias": 1.0 + k},
            outputs=1,
        )
        for k in range(4)
    ]
    with pytest.raises(ValueError) as raised:
        sized(parts, 4, TrainingConfig(lanes=4), momentum=True)
    message = "LRN must have at most 3 pairs of bias and beta in training, not 4"
    assert str(raised.value) == message
    wide = replace(parts[0], shape=(2045, 1, 1))
    with pytest.raises(ValueError) as raised:
        sized([wide], 4, TrainingConfig(lanes=4), momentum=True)
    message = "channels of LRN and its size together must be below 2048, unlike in n0"
    assert str(raised.value) == message
    square = replace(parts[0], attributes=parts[0].attributes | {"size": 400, "within": True})
    config = sized([square], 4, TrainingConfig(lanes=4), momentum=True)
    assert config.accumulator_bits == 49
    with pytest.raises(ValueError) as raised:
        TrainingPlan([square], replace(config, accumulator_bits=48), momentum=True)
    assert str(raised.value) == "a sum must have at most 131071 products, not 160000 as in n0"


def test_too_large():
    attributes = {"kernel": (3, 3), "strides": (1, 1), "dilations": (1, 1), "pads": (1, 0, 1, 0)}
    stage = Stage(
        op="Conv",
        name="conv",
        weight="w",
        output="y",
        shape=(1, 2046, 3),
        attributes=attributes,
        outputs=1,
    )
    with pytest.raises(ValueError) as raised:
        TrainingPlan([stage], TrainingConfig(lanes=4, classes=1), momentum=False)
    assert str(raised.value) == (
        "maps of training must be smaller than 2048, with their padding, not 2048 as that of conv"
    )
    stage = replace(stage, shape=(1, 100, 102))
    config = TrainingConfig(
        lanes=4, batch=1, classes=1, accumulator_bits=47, maps=30_000, deltas=30_000
    )
    assert TrainingPlan([stage], config, momentum=False).used["maps"] == 10_200 + 10_000
    with pytest.raises(ValueError) as raised:
        TrainingPlan([stage], replace(config, batch=8, accumulator_bits=44), momentum=False)
    assert str(raised.value) == ("a sum must have at most 8191 products, not 80000 as in conv")


def test_program_too_long():
    parts = stages(random_chain(100)[0])
    config = sized(parts, 4, TrainingConfig(lanes=4), momentum=True)
    plan = TrainingPlan(parts, replace(config, program=10), momentum=True)
    with pytest.raises(ValueError, match=r"^program must be at least \d+, not 10$"):
        plan.any_program(stochastic=False)


@pytest.fixture(scope="module")
def script():
    """All that a host sends in a step of a small network, and what it gets."""
    network, classes = random_chain(SMALL)
    parts = stages(network)
    config = sized(parts, 4, TrainingConfig(lanes=4), momentum=True)
    plan = TrainingPlan(parts, config, momentum=True)
    sent, got = [], []

    class Watched(Simulated):
        def _run(self, stimulus):
            recording = super()._run(stimulus)
            sent.append(stimulus.inputs["i"])
            got.append(recording.outputs["o"].values)
            return recording

    settings = TrainingSettings(rate=0.05, stochastic=True)
    training = IntegerTraining(network, initial_weights(network, 1), settings, Watched(plan))
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(4, *network.inputs[0].shape[1:])).astype(np.float32)
    training.step(images, rng.integers(classes, size=4))
    return config, np.concatenate(sent), np.concatenate(got)


@pytest.mark.parametrize(
    ("engine", "stalls"),
    [
        (compiled_engine, 0.0),
        (compiled_engine, 0.3),
        (amaranth_engine, 0.3),
        (verilator_engine, 0.3),
    ],
)
def test_without_a_break(script, engine, stalls):
    """The same in one run, with a host that pauses, in other simulators."""
    if engine is verilator_engine and not verilator_engine.verilators():
        pytest.skip("Verilator is not installed")
    config, sent, got = script
    stimulus = Stimulus({"i": sent}, {"o": len(got)}, stalls=stalls, seed=1)
    recording = engine.run(Trainer(config), stimulus)
    assert (recording.outputs["o"].values == got).all()


@pytest.mark.skipif(not have_icarus(), reason="Icarus Verilog (iverilog) is not installed")
def test_written_verilog(script, tmp_path):
    """Icarus agrees, word for word, though memories and registers begin with X there."""
    config, sent, got = script
    plain, component = Trainer(config), AxiTrainer(config)
    i, o = (elements_of(port.payload.shape()) for port in (plain.i, plain.o))
    transfers = run_icarus(
        convert(component, "trainer"),
        tmp_path,
        payloads_of(codes_of("i", sent, i), i),
        len(component.s_axis_tdata),
        len(component.m_axis_tdata),
        len(got),
        limit=1_000_000,
    )
    assert (values_of(codes_of_payloads(transfers.payloads, o), o) == got).all()
