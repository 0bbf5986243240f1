"""The dataflow model: pipelines cycle by cycle, layers as tiles, and the work of a layer."""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwsim.blocks.timing import Actor, Deadlock, Edge, evaluate
from hwsim.models import devices
from hwsim.models.dataflow import streaming, tiles
from hwsim.models.dataflow.mapping import choose_precision, map_network
from hwsim.models.dataflow.streaming import Memory, Pipeline
from hwsim.models.dataflow.tiles import Job, Program
from hwsim.models.dataflow.workload import MODELLED, VIEWS, Gemm, workload
from hwsim.network import Layer, Network, NetworkError, Tensor, load
from hwsim.network.counts import counts
from hwsim.network.operators import OPERATORS

# ------------------------------------------------------------------------------ streaming pipelines


def some_of(rng, count, chosen):
    mask = np.zeros(count, bool)
    mask[rng.choice(count, chosen, replace=False)] = True
    return mask


def draw_pipeline(seed):
    """A random chain of actors, with forks that rejoin and all else that real actors do."""
    rng = np.random.default_rng(seed)
    beats = {None: int(rng.integers(1, 12))}
    actors, edges, names = [], [], []
    for index in range(int(rng.integers(1, 7))):
        name = f"u{index}"
        sources = [names[-1] if names else None]
        if index > 1 and rng.random() < 0.4:
            sources.append(names[int(rng.integers(0, index - 1))])
        count = max(beats[source] for source in sources) + int(rng.integers(0, 6))
        takes, reads = {}, {}
        for place, source in enumerate(sources):
            port = "i" if place == 0 else f"i{place}"
            takes[port] = some_of(rng, count, beats[source])
            if rng.random() < 0.3:
                reads[port] = takes[port] | (rng.random(count) < 0.3)
                if rng.random() < 0.7:  # else the frame's end waits for the next frame's first beat
                    reads[port][np.flatnonzero(takes[port]).max() + 1 :] = False
            capacity = None if source is None or rng.random() < 0.1 else int(rng.integers(1, 8))
            forward, backward = int(rng.integers(1, 5)), int(rng.integers(0, 3))
            edges.append(Edge(source, name, port, capacity, forward, backward))
        puts = rng.random(count) < rng.random()
        tail = (
            rng.random(int(rng.integers(0, 5))) < 0.6 if rng.random() < 0.5 else np.zeros(0, bool)
        )
        tail = tail[:count]
        tail = tail & ~puts[: len(tail)]  # a merged action puts one beat
        if puts.sum() + tail.sum() == 0:
            puts[0] = True
        duration = np.where(rng.random(count) < 0.6, 1, rng.integers(1, 5, count))
        actors.append(Actor(name, duration, takes, puts, reads, tail))
        beats[name] = int(puts.sum() + tail.sum())
        names.append(name)
    sinks = [names[-1]] + ([names[0]] if len(names) > 1 and rng.random() < 0.3 else [])
    for name in sinks:
        capacity = None if rng.random() < 0.5 else int(rng.integers(1, 4))
        edges.append(
            Edge(name, None, "i", capacity, int(rng.integers(1, 4)), int(rng.integers(0, 2)))
        )
    return actors, edges, int(rng.integers(1, 5)), int(rng.choice([0, 0, 5, 60]))


@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_streaming_equals_the_oracle_to_the_cycle(first):
    stuck = 0
    for seed in range(first, first + 100):
        actors, edges, frames, interval = draw_pipeline(seed)
        try:
            expected = evaluate(actors, edges, frames, interval=interval)
        except Deadlock:
            stuck += 1
            with pytest.raises(Deadlock):
                streaming.run(actors, edges, frames, interval=interval)
            continue
        trace = streaming.run(actors, edges, frames, interval=interval)
        for edge in edges:
            assert np.array_equal(trace.taken[edge], expected.taken[edge]), (seed, edge)
            if edge.consumer is not None:
                assert trace.occupancy[edge] == expected.occupancy[edge], (seed, edge)
        for name, issued in expected.issue.items():
            assert np.array_equal(trace.issue[name], issued), (seed, name)
        assert np.array_equal(trace.source, expected.source)
        assert np.array_equal(trace.sink, expected.sink)
        assert trace.cycles == expected.cycles
    assert stuck < 50


@pytest.mark.parametrize("seed", range(40))
def test_activity_accounts_for_every_cycle(seed):
    actors, edges, frames, _ = draw_pipeline(seed)
    try:
        trace = evaluate(actors, edges, frames)
    except Deadlock:
        return
    found = streaming.activity(actors, edges, frames)
    for actor in actors:
        spans = np.concatenate(list(found[actor.name].values()))
        spans = spans[spans[:, 0].argsort()]
        assert spans[0, 0] == 0
        assert (spans[1:, 0] == spans[:-1, 1] + 1).all()
        lengths = {part: np.diff(s, axis=1).sum() + len(s) for part, s in found[actor.name].items()}
        alone = lengths["at work"] - frames * actor.work
        assert 0 <= alone <= frames * len(actor.tail)
        working = [
            c for first, last in found[actor.name]["at work"] for c in range(first, last + 1)
        ]
        assert set(trace.issue[actor.name]) <= set(working)


def test_activity_names_the_cause():
    """A slow unit behind a fast one, and one behind it: the first is blocked, the last starved.

    Room comes back a cycle after a beat is taken, and a beat arrives a cycle after it is issued.
    """
    ones = np.ones(3, bool)
    fast, slow, end = (
        Actor(name, np.full(3, cycles), {"i": ones}, ones)
        for name, cycles in (("fast", 1), ("slow", 4), ("end", 1))
    )
    edges = [
        Edge(None, "fast"),
        Edge("fast", "slow", capacity=1),
        Edge("slow", "end", capacity=1),
        Edge("end", None),
    ]
    found = streaming.activity([fast, slow, end], edges)
    assert {name: {k: v.tolist() for k, v in parts.items()} for name, parts in found.items()} == {
        "fast": {
            "at work": [[0, 0], [5, 5], [10, 10]],
            "starved of input": [],
            "blocked at output": [[1, 4], [6, 9]],
        },
        "slow": {
            "at work": [[1, 3], [4, 4], [6, 8], [9, 9], [11, 13], [14, 14]],
            "starved of input": [[0, 0], [5, 5], [10, 10]],
            "blocked at output": [],
        },
        "end": {
            "at work": [[5, 5], [10, 10], [15, 15]],
            "starved of input": [[0, 4], [6, 9], [11, 14]],
            "blocked at output": [],
        },
    }


def one(beats):
    """An actor that passes one beat per cycle."""
    ones = np.ones(beats, bool)
    return Actor("u", np.ones(beats, int), {"i": ones}, ones)


def line(beats=8, **kwargs):
    edges = (Edge(None, "u"), Edge("u", None, capacity=4))
    return Pipeline((one(beats),), edges, **kwargs)


def test_a_pipeline_that_rejoins_too_shallow_is_stuck():
    ones, two = np.ones(4, bool), np.array([True] * 4)
    fork = Actor("fork", np.ones(4, int), {"i": ones}, ones)
    late = Actor("late", np.ones(8, int), {"i": np.arange(8) < 4}, np.arange(8) >= 4)
    join = Actor("join", np.ones(4, int), {"i": ones, "j": two}, ones)
    edges = (
        Edge(None, "fork"),
        Edge("fork", "late", capacity=4),
        Edge("fork", "join", "j", capacity=2),
        Edge("late", "join", capacity=4),
        Edge("join", None),
    )
    message = (
        r"^no unit can move with fork, late, join unfinished; "
        r"a FIFO on a path that rejoins is too shallow$"
    )
    with pytest.raises(Deadlock, match=message):
        streaming.run((fork, late, join), edges)


def test_images_from_a_fast_memory_cost_their_first_burst_only():
    memory = Memory(bytes_per_cycle=64, burst_bytes=4, burst_latency=0)
    (trace,) = streaming.run_shared([line()], memory)
    alone = streaming.run((one(8),), line().edges)
    # The first burst (one cycle) comes before the first beat.
    assert trace.source[0] == alone.source[0] + 1
    assert trace.cycles == alone.cycles


def test_images_from_a_slow_memory_take_the_memory_s_time():
    # 8 beats of 4 bytes in, 8 of 1 byte out; bursts of 8 bytes take 3 cycles and 2 bytes a cycle.
    memory = Memory(bytes_per_cycle=2, burst_bytes=8, burst_latency=3)
    pipeline = line(input_bytes=4, output_bytes=1)
    frames = 20
    (trace,) = streaming.run_shared([pipeline], memory, frames)
    reads, writes = frames * 8 * 4 // 8, frames * 8 // 8
    busy = (reads + writes) * memory.cycles(8)
    # All but the last write of 8 beats lies before the last beat is taken.
    assert busy - 2 * memory.cycles(8) <= trace.sink[-1] <= busy


def test_two_pipelines_share_a_memory_fairly():
    memory = Memory(bytes_per_cycle=1, burst_bytes=8, burst_latency=0)
    pipeline = line(input_bytes=4)
    frames = 25
    (alone,) = streaming.run_shared([pipeline], memory, frames)
    one_of_two, other = streaming.run_shared([pipeline, pipeline], memory, frames)
    assert abs(int(one_of_two.sink[-1]) - int(other.sink[-1])) <= 2 * memory.cycles(8)
    ratio = one_of_two.sink[-1] / alone.sink[-1]
    assert 1.95 <= ratio <= 2.05
    again = streaming.run_shared([pipeline, pipeline], memory, frames)
    assert np.array_equal(again[0].sink, one_of_two.sink)


def test_memory_arguments():
    with pytest.raises(ValueError, match=r"^bytes_per_cycle must be a positive integer, not 0$"):
        Memory(bytes_per_cycle=0)
    with pytest.raises(
        ValueError, match=r"^burst_latency must be an integer of at least 0, not -1$"
    ):
        Memory(bytes_per_cycle=1, burst_latency=-1)
    with pytest.raises(ValueError, match=r"^buffer_bursts must be a positive integer, not 0$"):
        line(buffer_bursts=0)
    assert Memory(bytes_per_cycle=8, burst_latency=5).cycles(60) == 5 + 8


# ---------------------------------------------------------------------------------- layers as tiles


def draw_job(rng, name, streamed=False):
    return Job(
        name,
        tiles=rng.choice([1, 2, 3, rng.randint(1, 20)]),
        weights=rng.choice([0, rng.randint(0, 20)]),
        inputs=0 if streamed else rng.randint(0, 20),
        compute=rng.choice([0, rng.randint(0, 40)]),
        outputs=0 if streamed else rng.choice([0, rng.randint(0, 20)]),
        dispatch=0 if streamed else rng.randint(0, 9),
        ending=rng.choice([0, 0, rng.randint(0, 30)]),
    )


@pytest.mark.parametrize("seed", range(300))
def test_layers_one_after_another_equal_the_closed_form(seed):
    rng = random.Random(seed)
    jobs = tuple(draw_job(rng, f"layer{k}") for k in range(rng.randint(1, 5)))
    (run,) = tiles.run([Program(jobs)])
    ends = np.cumsum([job.time for job in jobs]).tolist()
    assert list(run.ends) == ends
    for resource, time in (("memory", "memory_time"), ("compute", "compute_time")):
        busy = [
            sum(i.end - i.start for i in run.intervals if (i.resource, i.job) == (resource, k))
            for k in range(len(jobs))
        ]
        assert busy == [getattr(job, time) for job in jobs]


@pytest.mark.parametrize("seed", range(300))
def test_weights_ahead_equal_the_flow_shop_recurrence(seed):
    rng = random.Random(seed)
    jobs = tuple(draw_job(rng, f"layer{k}", streamed=True) for k in range(rng.randint(1, 5)))
    buffer = rng.randint(2, 5)
    (run,) = tiles.run([Program(jobs, weights_ahead=True, weight_buffer=buffer)])
    # Two machines with a buffer in between: the weights of a tile are loaded when those of the one
    # before are, and the one `buffer` tiles earlier is computed. No weights, no room needed.
    loaded, emptied, computed, ends = [0], [], [0], []
    for job in jobs:
        for tile in range(job.tiles):
            ready = computed[-1]
            if job.weights:
                room = emptied[-buffer] if len(emptied) >= buffer else 0
                loaded.append(max(loaded[-1], room) + job.weights)
                ready = max(ready, loaded[-1])
            computed.append(ready + job.compute + (job.ending if tile == job.tiles - 1 else 0))
            if job.weights:
                emptied.append(computed[-1])
        ends.append(computed[-1])
    assert list(run.ends) == ends


def test_weights_ahead_with_feature_maps_in_memory_stay_within_their_bounds():
    for seed in range(100):
        rng = random.Random(seed)
        jobs = tuple(draw_job(rng, f"layer{k}") for k in range(rng.randint(1, 5)))
        (run,) = tiles.run([Program(jobs, weights_ahead=True, weight_buffer=3)])
        compute = sum(job.compute_time + job.dispatch for job in jobs)
        assert run.ends[-1] >= max(compute, sum(job.memory_time for job in jobs)), seed
        assert run.ends[-1] <= compute + sum(job.memory_time for job in jobs), seed
        assert list(run.ends) == sorted(run.ends)


@pytest.mark.parametrize("seed", range(300))
def test_the_recurrence_equals_the_simulation(seed):
    rng = random.Random(seed)
    jobs = tuple(draw_job(rng, f"layer{k}") for k in range(rng.randint(1, 6)))
    program = Program(jobs, bool(rng.randint(0, 3)), rng.randint(2, 5))
    (run,) = tiles.run([program])
    assert tiles.finish(program) == run.ends


def test_programs_that_share_the_memory():
    bound = Program((Job("a", tiles=10, inputs=10, compute=1, outputs=5),))
    free = Program((Job("b", tiles=10, compute=7),))
    alone = tiles.run([bound])[0].ends[-1]
    first, second, other = tiles.run([bound, bound, free])
    # Memory-bound programs take twice as long together; one that needs no memory takes no notice.
    assert 2 * alone - 2 * 10 <= max(first.ends[-1], second.ends[-1]) <= 2 * alone
    assert other.ends[-1] == 70
    assert tiles.run([bound, bound, free])[0] == first


def test_tile_arguments():
    with pytest.raises(ValueError, match=r"^tiles must be a positive integer, not 0$"):
        Job("a", tiles=0)
    with pytest.raises(ValueError, match=r"^compute must be an integer of at least 0, not -1$"):
        Job("a", compute=-1)
    with pytest.raises(TypeError, match=r"^compute must be an integer, not 0.5$"):
        Job("a", compute=0.5)
    with pytest.raises(
        ValueError, match=r"^weight_buffer must be an integer of at least 2, not 1$"
    ):
        Program((), weight_buffer=1)


# --------------------------------------------------------------------------------- work of a layer

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def model(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(
        nodes,
        "story",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return load(made)


def floats(*shape):
    return np.ones(shape, np.float32)


def conv_relu_pool(batch=1):
    return model(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node(
                "MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]
            ),
            helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
            helper.make_node("Gemm", ["f", "v", "c2"], ["y"], name="dense", transB=1),
        ],
        [("x", [batch, 3, 8, 8])],
        [("y", TensorProto.FLOAT)],
        [("w", floats(16, 3, 3, 3)), ("b", floats(16)), ("v", floats(10, 256)), ("c2", floats(10))],
    )


def test_every_operator_that_runs_has_a_model():
    runs = {op.layer or name for name, op in OPERATORS.items() if not op.only_constant}
    assert set(MODELLED) == runs


def test_an_operator_without_a_model_is_refused_by_name():
    tensor = Tensor("x", (1, 4), np.dtype(np.float32))
    network = Network(
        "odd", (tensor,), (), (Layer("n1", "Wibble", ("x",), ("y",)),), {}, {"x": tensor}, 21
    )
    with pytest.raises(NetworkError) as caught:
        workload(network)
    assert str(caught.value).startswith(
        "Wibble 'n1' has no performance model; operators that have one are Add, AveragePool, "
    )


def test_the_work_of_a_small_network():
    load_of = workload(conv_relu_pool(), batch=2)
    conv, relu, pool, flatten, dense = load_of.works
    assert conv.gemm == Gemm(m=2 * 64, n=16, k=27)
    assert conv.macs == 2 * 64 * 16 * 27
    assert conv.weight_bytes == (16 * 27 + 16) * 4
    assert (conv.inputs, conv.outputs) == (("x",), ("c",))
    assert load_of.sizes["c"] == 2 * 16 * 64 * 4
    assert relu.element_ops == 2 * 16 * 64
    assert pool.element_ops == 2 * 16 * 16 * 4
    assert flatten.free and flatten.note == "no work: the values stay where they are"
    # The dense layer reads what the pool wrote: Flatten only renames it.
    assert dense.inputs == ("p",)
    assert dense.gemm == Gemm(m=2, n=10, k=256)
    assert load_of.ends == {"x", "y"}


def test_widths_follow_the_precision():
    sizes = {
        p: workload(conv_relu_pool(), 1, p).sizes["c"] for p in ("fp32", "fp16", "bf16", "int8")
    }
    assert sizes == {"fp32": 4096, "fp16": 2048, "bf16": 2048, "int8": 1024}


def test_a_batch_that_the_shapes_do_not_allow():
    assert workload(conv_relu_pool(4), batch=8).works[0].gemm.m == 8 * 64
    with pytest.raises(
        ValueError, match=r"^batch must be a multiple of the network's own batch of 4, not 6$"
    ):
        workload(conv_relu_pool(4), batch=6)


@pytest.mark.parametrize("name", sorted(path.stem for path in LIGHT.glob("*.onnx")))
def test_macs_and_bytes_agree_with_the_network_s_own_counts(name):
    network = load(LIGHT / f"{name}.onnx")
    works = workload(network, 1, "fp32").works
    for work, (parameters, macs) in zip(works, counts(network), strict=True):
        assert work.macs == macs, work.name
        assert work.weight_bytes >= 4 * parameters, work.name
        # Nothing costs nothing in silence.
        assert work.free == bool(work.note), work.name
        assert not work.free or work.op in VIEWS, work.name


def quantized():
    """QDQ: conv, relu and a sum with the input on codes, then a Softmax on floats."""

    def scale(name, value, zero=0, dtype=np.int8):
        return [(f"{name}_s", np.float32(value)), (f"{name}_z", dtype(zero))]

    def pair(source, target, name):
        return [
            helper.make_node(
                "QuantizeLinear",
                [source, f"{name}_s", f"{name}_z"],
                [f"{target}_q"],
                name=f"q_{target}",
            ),
            helper.make_node(
                "DequantizeLinear",
                [f"{target}_q", f"{name}_s", f"{name}_z"],
                [target],
                name=f"dq_{target}",
            ),
        ]

    nodes = [
        *pair("x", "xd", "in"),
        helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["wd"], name="dq_w"),
        helper.make_node("Conv", ["xd", "wd"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        *pair("r", "rd", "out"),
        helper.make_node("Add", ["rd", "rd"], ["a"], name="add"),
        *pair("a", "ad", "sum"),
        helper.make_node("Softmax", ["ad"], ["y"], name="softmax", axis=1),
    ]
    return model(
        nodes,
        [("x", [1, 4, 6, 6])],
        [("y", TensorProto.FLOAT)],
        [
            ("w", np.ones((8, 4, 1, 1), np.int8)),
            *scale("in", 0.1),
            *scale("w", 0.2),
            *scale("out", 0.3),
            *scale("sum", 0.6),
        ],
    )


def test_an_integer_run_works_on_codes():
    load_of = workload(quantized(), 1, "int8")
    works = {work.name: work for work in load_of.works}
    assert works["conv"].integer and works["relu"].integer and works["add"].integer
    assert not works["softmax"].integer
    assert load_of.sizes["c"] == 8 * 36
    assert load_of.sizes["x"] == 4 * 36 * 4  # the image arrives as floats
    assert works["conv"].weight_bytes == 32
    assert works["dq_w"].note == "no work at run time: its value is known when the network is built"
    assert works["dq_xd"].note == "no work: conv reads the codes"
    assert works["dq_xd"].free
    assert works["q_xd"].element_ops == 3 * 4 * 36 and not works["q_xd"].note
    assert works["q_rd"].note == "done on the results of relu before they are written"
    assert works["q_rd"].element_ops == 3 * 8 * 36
    # The last DequantizeLinear feeds a float layer and is a layer of its own.
    assert works["dq_ad"].element_ops == 2 * 8 * 36 and not works["dq_ad"].note
    assert load_of.sizes["ad"] == 8 * 36 * 4


def test_a_float_run_of_a_quantized_network_pays_for_every_change_of_format():
    load_of = workload(quantized(), 1, "fp32")
    works = {work.name: work for work in load_of.works}
    assert not works["conv"].integer
    assert load_of.sizes["c"] == 8 * 36 * 4
    assert all(works[name].element_ops for name in ("q_xd", "dq_xd", "q_rd", "dq_rd"))
    assert all(works[name].outputs for name in ("q_xd", "dq_xd", "q_rd", "dq_rd"))
    assert load_of.sizes["rd_q"] == 8 * 36


# ------------------------------------------------------------------------------- mapping to devices


def cost(device, gemm, batch=1):
    """A single 1 x 1 convolution or dense layer that makes this matrix product."""
    network = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")],
        [("x", [gemm.m, gemm.k])],
        [("y", TensorProto.FLOAT)],
        [("w", floats(gemm.k, gemm.n))],
    )
    return map_network(network, device, gemm.m * batch).layers[0]


def seconds(cycles, device, count):
    return -(-cycles * 10**12 // int(device["clock"]) // count)


@pytest.mark.parametrize(
    ("m", "n", "k", "folds", "cycles"),
    [
        (256, 256, 256, 1, 256),
        (300, 256, 256, 1, 300),
        (1000, 257, 256, 2, 2 * 1000),
        (1000, 257, 513, 6, 6 * 1000),
        (1, 4096, 4096, 256, 256 * 256),  # a fold lasts as long as the next one's weights shift in
        (5000, 256, 512, 6, 2 * 5000),  # 2048 rows at a time: half of the accumulators
    ],
)
def test_folds_of_a_systolic_array(m, n, k, folds, cycles):
    device = devices.load("tpu-v1")
    layer = cost(device, Gemm(m, n, k))
    count = min(folds, int(device["overlap_tiles"]))
    assert layer.job.tiles == count
    # 5000 rows are 2048 + 2048 + 904 and all longer than the 256 rows of the array.
    assert layer.job.compute == pytest.approx(cycles / 0.7e9 * 1e12 / count, abs=1)
    # First weights, then rows and columns until the last result; what the last fold need not wait
    # for new weights is taken off.
    short = 255 if m == 1 else 0
    assert layer.job.ending == pytest.approx((256 + 256 + 255 - short) / 0.7e9 * 1e12, abs=1)
    assert layer.job.weights > 0 and layer.job.inputs > 0


def test_weights_pass_again_only_if_partial_sums_accumulate():
    device = devices.load("tpu-v1")
    again = cost(device, Gemm(5000, 256, 512))
    once = cost(device, Gemm(5000, 256, 256))
    assert again.memory_bytes == 3 * 512 * 256 + 5000 * 512 + 5000 * 256
    assert once.memory_bytes == 256 * 256 + 5000 * 256 + 5000 * 256


def test_depthwise_groups_share_a_fold_on_its_diagonal():
    network = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="dw", group=64, pads=[1, 1, 1, 1])],
        [("x", [1, 64, 32, 32])],
        [("y", TensorProto.FLOAT)],
        [("w", floats(64, 1, 3, 3))],
    )
    layer = map_network(network, devices.load("tpu-v1"), 1).layers[0]
    # 256 // 9 = 28 groups a fold: three folds of 1024 rows.
    assert layer.work.gemm == Gemm(1024, 1, 9, 64)
    assert layer.job.tiles == 3
    assert layer.job.compute == pytest.approx(1024 / 0.7e9 * 1e12, abs=1)


def test_feature_maps_that_fit_stay_on_chip():
    network = conv_relu_pool()
    small = map_network(network, devices.load("i7-7700k"), 1).layers
    by_name = {layer.work.name: layer for layer in small}
    # All weights and maps fit into the cache: only the image and the result move.
    assert by_name["conv"].memory_bytes == 3 * 64 * 4
    assert by_name["relu"].memory_bytes == 0
    assert by_name["dense"].memory_bytes == 40
    large = {
        layer.work.name: layer
        for layer in map_network(network, devices.load("i7-7700k"), 4096).layers
    }
    weights = (16 * 27 + 16) * 4
    assert large["conv"].memory_bytes == weights + 4096 * (3 + 16) * 64 * 4
    assert large["relu"].memory_bytes == 4096 * 2 * 16 * 64 * 4


def test_a_tpu_streams_its_weights_and_loads_them_ahead():
    mapping = map_network(conv_relu_pool(), devices.load("tpu-v2"), 1)
    assert mapping.program.weights_ahead
    assert mapping.layers[0].job.weights > 0
    assert mapping.layers[0].memory_bytes == (16 * 27 + 16) * 2 + 3 * 64 * 2


@pytest.mark.parametrize(
    ("name", "is_quantized", "chosen", "assumed"),
    [
        ("i7-7700k", False, "fp32", ""),
        ("i7-7700k", True, "int8", ""),
        (
            "k80",
            True,
            "fp32",
            "k80 has no int8 rate: the quantized network runs in fp32",
        ),
        ("tpu-v2", False, "bf16", ""),
        (
            "tpu-v1",
            False,
            "int8",
            "tpu-v1 has no float data type: the network is taken as quantized, in int8",
        ),
    ],
)
def test_precision(name, is_quantized, chosen, assumed):
    assert choose_precision(devices.load(name), is_quantized) == (chosen, assumed)


def test_a_precision_that_the_device_has_not():
    with pytest.raises(ValueError, match=r"^tpu-v1 computes in int16, int8, not in fp32$"):
        choose_precision(devices.load("tpu-v1"), False, "fp32")
    assert choose_precision(devices.load("v100"), False, "fp16") == ("fp16", "")


# ------------------------------------------------------------------------------------ fused layers


def residual():
    """Two convolutions that are added, one with batch normalization; then a second reader."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="left", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", *"ssss"], ["b"], name="norm"),
        helper.make_node("Conv", ["x", "w"], ["c"], name="right", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"], name="add"),
        helper.make_node("Relu", ["d"], ["e"], name="relu"),
        helper.make_node("MaxPool", ["e"], ["f"], name="pool", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["e"], ["g"], name="alone"),
        helper.make_node("Add", ["f", "g"], ["y"], name="last"),
    ]
    constants = [("w", floats(4, 4, 3, 3)), ("s", floats(4))]
    return model(nodes, [("x", [1, 4, 6, 6])], [("y", TensorProto.FLOAT)], constants)


def test_fused_layers_write_nothing_of_their_own():
    works = {work.name: work for work in workload(residual(), fuse=True).works}
    assert works["norm"].free
    assert works["norm"].note == "no work: folded into the weights of left"
    # The later product finds what the earlier one left, and reads it.
    assert works["add"].inputs == ("a",)
    assert works["add"].outputs == works["relu"].inputs == works["relu"].outputs == ()
    assert works["add"].note == "done on the results of right before they are written"
    assert works["relu"].element_ops == 4 * 36
    # What two layers read is written, and what follows a pool is not fused.
    assert works["pool"].inputs == works["alone"].inputs == ("c",)
    assert works["alone"].outputs == ("g",)
    assert works["last"].outputs == ("y",)


def test_without_fusion_each_layer_reads_and_writes():
    works = {work.name: work for work in workload(residual()).works}
    assert works["norm"].inputs == ("a",)
    assert works["add"].inputs == ("b", "c")
    assert works["relu"].outputs == ("e",)
    convolution = works["left"].convolution
    assert (convolution.images, convolution.channels, convolution.outputs) == (1, 4, 4)
    assert convolution.size == convolution.output_size == (6, 6)
    assert convolution.kernel == (3, 3)
    assert convolution.stride == convolution.dilation == (1, 1)
