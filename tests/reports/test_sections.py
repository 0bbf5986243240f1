import base64
import io
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

import hwsim
from hwsim.models.estimate import estimate
from hwsim.models.roofline import gemm_comparison
from hwsim.networks import network as known
from hwsim.reports import Accuracy, Comparison, Section
from hwsim.reports.figures import (
    _lanes,
    array_cycles,
    bars,
    channels,
    diagram,
    figure_json,
    gantt,
    occupation,
    photograph,
)
from hwsim.reports.hardware import _engine_spans
from hwsim.reports.sections import BUILDERS, _work_and_waits, sections_of
from hwsim.reports.text import heading


def values(figure):
    """What each trace shows: {trace: {row: length}}."""
    return {trace.name: dict(zip(trace.y, trace.x, strict=True)) for trace in figure.data}


def test_network(make):
    (section,) = sections_of(make.network(["conv1", "relu1"]))
    assert section.title == "Network two layers"
    assert section.facts["Parameters"] == "18"
    assert section.facts["MACs"] == "288"
    assert list(section.tables["layers"]["name"]) == ["conv1", "relu1"]
    picture, *others = section.figures.values()
    assert list(picture.layout.yaxis.ticktext) == ["image", "conv1", "relu1"]
    *kinds, beside = picture.data
    assert [(trace.name, *trace.x, *trace.y) for trace in kinds] == [
        ("input", 0, 0),
        ("Conv", 0, 1),
        ("Relu", 0, 2),
    ]
    assert beside.text[1] == "Conv · 1\u00a0×\u00a02\u00a0×\u00a04\u00a0×\u00a04"
    assert kinds[1].customdata == ("18 parameters, 288 MACs",)
    assert [shape.path for shape in picture.layout.shapes] == [
        "M0,0L0,0.5L0,0.5L0,1",
        "M0,1L0,1.5L0,1.5L0,2",
    ]
    shown = [values(figure) for figure in others]
    assert shown == [{"Multiply-accumulates (MACs)": {"conv1": 288}}, {"Parameters": {"conv1": 18}}]


def test_diagram_of_branches():
    """A residual block in whose second branch there is a layer: three edges, two lanes."""
    nodes = [
        ("in", "input", "", "", []),
        ("a", "Conv", "", "", [0]),
        ("b", "Conv", "", "", [1]),
        ("skip", "Conv", "", "", [0]),
        ("add", "Add", "", "", [2, 3]),
    ]
    figure = diagram(nodes)
    place = {y: x for trace in figure.data[:-1] for x, y in zip(trace.x, trace.y, strict=True)}
    assert place == {0: 0, 1: 0, 2: 0, 3: 1, 4: 0}
    assert sorted(shape.path for shape in figure.layout.shapes) == [
        "M0,0L0,0.5L0,0.5L0,1",
        "M0,0L1,0.5L1,2.5L1,3",
        "M0,1L0,1.5L0,1.5L0,2",
        "M0,2L0,2.5L0,3.5L0,4",
        "M1,3L1,3.5L1,3.5L0,4",
    ]


@pytest.mark.parametrize("name", ["googlenet", "resnet50"])
def test_edges_of_a_diagram_meet_no_other(name):
    """No two edges share a lane at a time, and none runs through a node."""
    from hwsim.networks import network as known

    network = known(name)
    sections_of(network)
    places = {network.inputs[0].name: 0}
    sources = [[]]
    for layer in network.layers:
        sources.append(list({places[name] for name in layer.inputs if name in places}))
        places |= dict.fromkeys(layer.outputs, len(sources) - 1)
    lanes, edges = _lanes(sources)
    assert len(edges) == sum(map(len, sources)) > len(network.layers)
    taken = [(lane, row) for (a, b), lane in edges.items() for row in range(a, b)]
    assert len(set(taken)) == len(taken)
    inside = {(lane, row) for (a, b), lane in edges.items() for row in range(a + 1, b)}
    assert not inside & {(lane, row) for row, lane in enumerate(lanes)}
    assert max(lanes) < 5


def test_many_operators_share_the_last_mark():
    nodes = [(f"n{k}", f"op{min(k, 9)}", "", "", []) for k in range(12)]
    *kinds, _ = diagram(nodes).data
    assert len(kinds) == 7
    assert "other operators" in {trace.name for trace in kinds}
    assert sum(len(trace.y) for trace in kinds) == 12
    assert len({trace.marker.symbol for trace in kinds}) == 7


def test_accuracy():
    (section,) = sections_of(
        Accuracy(float_accuracy=0.9, int8_accuracy=0.8875, images=1000, method="min-max")
    )
    assert section.facts == {
        "Float accuracy": "90.00 %",
        "Int8 accuracy": "88.75 %",
        "Change": "−1.25 points",
        "Images": "1,000",
    }
    assert section.tables["accuracy"].values.tolist() == [
        ["float", 90.0, 1000],
        ["int8", 88.75, 1000],
    ]


def test_plan(make):
    plan = make.plan(["a", "b", "c"])
    (section,) = sections_of(plan)
    table = section.tables["stages"].set_index("stage")
    assert plan.interval == 64
    assert table["interval_cycles"].to_dict() == {"a": 64, "b": 32, "c": 16}
    assert table["queue_depth"].to_dict() == {"a": 2, "b": 3, "c": 4}
    assert table["utilization_percent"].tolist()[:2] == [100 * 512 / 640, 100 * 64 / 128]
    assert np.isnan(table["utilization_percent"]["c"])
    pace, use, spent, did = section.figures.values()
    assert values(pace) == {"interval": {"a": 64, "b": 32, "c": 16}}
    assert values(use) == {"utilization": {"a": 80, "b": 50}}
    # Three images: a never waits, b and c wait for their input.
    parts = values(spent)
    assert parts["at work"] == {"a": 192, "b": 96, "c": 48}
    assert parts["blocked at output"] == {"a": 0, "b": 0, "c": 0}
    assert parts["starved of input"]["a"] == 0 < parts["starved of input"]["b"]
    units = section.tables["units"].set_index("unit")
    assert units["starved_of_input_cycles"].to_dict() == parts["starved of input"]
    assert set(units["images"]) == {3}
    assert {trace.name: bool(trace.marker.pattern.shape) for trace in did.data} == {
        "at work": False,
        "starved of input": True,
    }
    assert section.facts["Utilization"] == f"{100 * 576 / (12 * 64):.1f} %"
    assert section.facts["Latency of one image"] == f"{plan.cycles(1)} cycles"


def test_design(make):
    class Design:
        plan = make.plan(["a", "b", "c"])

    Design.__module__, Design.__qualname__ = "hwsim.rtl.streaming", "Design"
    assert sections_of(Design())[0].title == "Streaming pipeline"


def test_result(make):
    (section,) = sections_of(make.result(["conv1", "fc1"]))
    assert section.facts == {
        "Images": "2",
        "Mismatches": "0 of 74",
        "Cycles": "195",
        "Cycles per image": "100",
    }
    assert section.text.endswith("all are equal.")
    (caption, figure), (did, bars) = section.figures.items()
    assert caption == "When the beats of each image moved, stream by stream"
    assert did == "What each layer's output did: moved a beat, was held back, was waited for"
    assert [(bar.name, tuple(bar.x)) for bar in bars.data] == [
        ("beats", (16, 5)),
        ("held back", (3, 0)),
        ("waited for", (7, 81)),
    ]
    first, second = figure.data
    assert (first.name, second.name) == ("image 1", "image 2")
    assert next(zip(first.y, first.base, first.x, strict=True)) == ("images in", 0, 36)
    assert list(zip(second.y, second.base, second.x, strict=True))[-1] == ("fc1", 190, 5)
    assert list(section.pictures) == [
        "The first image: 1\u00a0×\u00a06\u00a0×\u00a06, codes 0 to 35",
        "conv1: 2\u00a0×\u00a04\u00a0×\u00a04, codes -16 to 15",
        "fc1: 5\u00a0×\u00a01\u00a0×\u00a01, codes 0 to 4",
    ]


def test_result_with_mismatches(make):
    (section,) = sections_of(make.result(["conv1", "fc1"], mismatches=3))
    assert section.facts["Mismatches"] == "3 of 74"
    assert section.text.endswith("some differ.")


def test_result_of_many_images_shows_the_first(make):
    (section,) = sections_of(make.result(["conv1", "fc1"], images=9))
    caption, figure = next(iter(section.figures.items()))
    assert caption == "When the beats of each of the first 6 images moved, stream by stream"
    assert len(figure.data) == 6


def test_systolic_design(make):
    from hwsim.blocks.systolic.timing import Memory
    from hwsim.sim.systolic import LATENCY

    design = make.systolic(["conv1", "relu1"])
    (section,) = sections_of(design)
    limit = design.config.outstanding
    memory = Memory(
        read_latency=LATENCY,
        write_latency=LATENCY,
        outstanding_reads=limit,
        outstanding_writes=limit,
    )
    timing = design.program.timing(memory)
    assert section.title == "Systolic accelerator"
    assert f"after {LATENCY} cycles" in section.text
    assert section.facts["Array"] == "4\u00a0×\u00a04, weight-stationary"
    assert section.facts["Buffer"] == "1,048,576 bytes"
    assert section.facts["Accumulators"] == "2 × 1,024 rows"
    assert section.facts["Instructions"] == str(len(design.program.instructions))
    assert section.facts["Cycles of one image"] == f"{timing.cycles:,}"
    table = section.tables["layers"].set_index("layer")
    row = table.loc["conv1"]
    assert row["macs"] == 288
    # 9 taps on 4 rows: three folds of 16 pixels.
    assert row["limit_percent"] == 100 * 288 / (3 * 16 * 16)
    assert row["utilization_percent"] == 100 * 288 / (row["array_cycles"] * 16)
    assert section.facts["Utilization"] == f"{row['utilization_percent']:.1f} %"
    used, spent, busy, engines = section.figures.values()
    (share,) = busy.data
    assert share.name == "conv1"
    assert np.dot(share.y, share.width) == pytest.approx(100 * 288 / 16)
    assert max(share.y) <= 100
    (convolution,) = [k for k, i in enumerate(design.program.instructions) if i.opcode == 5]
    begun, end = timing.started[convolution], timing.done[convolution] + 1
    outside = [
        y
        for x, width, y in zip(share.x, share.width, share.y, strict=True)
        if x + width <= begun or x >= end
    ]
    assert outside and not any(outside)
    assert values(used) == {
        "utilization": {"conv1": row["utilization_percent"]},
        "limit that the array's edges set": {"conv1": row["limit_percent"]},
    }
    assert sum(bar["conv1"] for bar in values(spent).values()) == row["array_cycles"]
    assert values(spent)["at work"] == {"conv1": 48}
    assert engines.layout.xaxis.range == (0, timing.cycles)
    assert list(engines.layout.yaxis.ticktext) == ["read", "matrix", "vector", "write"]
    hatched = {trace.name for trace in engines.data if trace.marker.pattern.shape}
    assert hatched == {trace.name for trace in engines.data if trace.name.startswith("waits")}


def test_spans_of_engines_cover_their_time(make):
    design = make.systolic(["conv1", "relu1"])
    timing = design.program.timing()
    rows, waits = _engine_spans(design.program.instructions, timing)
    for engine, (name, parts) in enumerate(rows.items()):
        mine = [k for k, i in enumerate(design.program.instructions) if i.opcode.engine == engine]
        spans = sorted(span for part in parts.values() for span in part)
        # One after the other, from the start to the end of the last instruction.
        assert spans[0][0] == 0
        assert spans[-1][1] == timing.done[mine[-1]]
        assert all(b[0] == a[1] + 1 for a, b in pairwise(spans)), name
        assert {part for part in parts if part.startswith("waits")} <= set(waits)
    (convolution,) = [k for k, i in enumerate(design.program.instructions) if i.opcode == 5]
    assert rows["matrix"]["convolve"] == [(timing.started[convolution], timing.done[convolution])]
    assert "waits for matrix" in rows["vector"]
    assert "waits for vector" in rows["write"]


def test_systolic_result(make):
    (section,) = sections_of(make.systolic_result(["conv1", "fc1"]))
    assert section.facts == {
        "Images": "1",
        "Mismatches": "0 of 37",
        "Cycles": "400",
        "Cycles per image": "400",
        "Read": "130 bytes",
        "Written": "140 bytes",
    }
    written, engines = section.figures.values()
    (results,) = written.data
    assert list(zip(results.y, results.base, results.x, strict=True)) == [
        ("conv1", 20, 41),
        ("fc1", 90, 5),
    ]
    assert values(engines) == {
        "active": {"read": 10, "matrix": 11, "vector": 12, "write": 13},
        "waited for weights alone": {"read": None, "matrix": 5, "vector": None, "write": None},
        "the next one waits": {"read": 50, "matrix": 51, "vector": 52, "write": 53},
    }
    assert len(section.pictures) == 3
    table = section.tables["simulation"]
    assert table["last_cycle"].tolist() == [60, 94]
    assert section.tables["counters"].set_index("counter")["value"]["cycles"] == 400


def test_systolic_result_of_a_layer_that_nothing_writes(make):
    """A concatenation whose parts lie side by side."""
    result = make.systolic_result(["conv1", "concat"])
    result = replace(result, activity=result.activity[:1])
    (section,) = sections_of(result)
    assert section.tables["simulation"]["writes"].fillna(-1).tolist() == [16, -1]
    assert "| concat | 5 | 0 | 0 |  |  |  |" in hwsim.report(result).markdown()


def test_activity_is_what_a_simulation_gives(make):
    from hwsim.sim import systolic
    from hwsim.sim.engine import Recording, Transfers

    program = make.systolic(["conv1", "relu1"]).program
    cycles = {"results": np.arange(program.pixels_written) + 7, "begun": np.array([3])}
    probes = {name: Transfers(when, []) for name, when in cycles.items()}
    activity = systolic.activity(program, Recording({}, {}, probes))
    assert list(activity.columns) == list(make.systolic_result(["a", "b"]).activity.columns)
    assert activity["first_cycle"][0] == 4


@pytest.mark.parametrize("dataflow", ["weight-stationary", "output-stationary"])
def test_array_trace(make, dataflow):
    trace = make.trace(dataflow)
    (section,) = sections_of(trace)
    assert section.facts == {
        "Array": f"2\u00a0×\u00a03, {dataflow}",
        "Folds": "2",
        "Cycles": str(trace.cycles),
        "Latency": f"{trace.config.latency} cycles",
    }
    figure, busy = section.figures.values()
    assert [fold.name for fold in busy.data] == ["fold 0", "fold 1"]
    # Each element multiplies once for each vector of the 4 and 2; output-stationary for each step.
    assert [sum(fold.y) for fold in busy.data] == [4 * 6, 2 * 6]
    assert np.sum([fold.y for fold in busy.data], axis=0).max() <= 6
    assert [frame.name for frame in figure.frames] == [str(k) for k in range(trace.cycles)]
    assert len(figure.layout.shapes) == 6
    parts = [trace.activations, trace.weights, trace.sums, trace.passing, trace.a, trace.w, trace.y]
    for cycle, frame in enumerate(figure.frames):
        assert [fold.name for fold in frame.data] == ["fold 0", "fold 1"]
        for fold, points in enumerate(frame.data):
            # The first one is for the legend.
            assert points.x[0] is None
            shown = [int(text.split()[1].replace("−", "-")) for text in points.text[1:]]
            there = [
                value
                for part in parts
                for value in part.values[cycle][part.folds[cycle] == fold].tolist()
            ]
            assert sorted(shown) == sorted(there)
    first = figure.layout.sliders[0].active
    assert figure.data[0].text == figure.frames[first].data[0].text
    table = section.tables["array"]
    assert table["activation"].notna().sum() == 6 * 6
    row = table[table["activation"].notna()].iloc[0]
    assert row["activation"] == trace.activations.values[row["cycle"], row["row"], row["column"]]


def test_array_cycles_side_by_side(make):
    figure = array_cycles(make.trace(), [2, 3, 4])
    assert not figure.frames and not figure.layout.sliders
    assert len(figure.layout.shapes) == 18
    assert [a.text for a in figure.layout.annotations] == ["cycle 2", "cycle 3", "cycle 4"]
    corners = {(shape.x0, shape.y0) for shape in figure.layout.shapes}
    assert len(corners) == 18


def test_estimates(make):
    estimates = estimate(make.network(["conv1", "relu1"]), ["i7-7700k", "gtx-1080-ti", "tpu-v1"])
    (section,) = sections_of(estimates)
    devices = section.tables["devices"]
    assert devices["latency_ms"].tolist() == [1000 * entry.latency_s for entry in estimates]
    assert list(devices.columns[:6]) == [
        "device",
        "class",
        "precision",
        "batch",
        "latency_ms",
        "throughput_images_per_s",
    ]
    layers = section.tables["devices-layers"]
    assert layers.groupby("device")["time_us"].sum().to_dict() == pytest.approx(
        {entry.device.name: 1e6 * entry.latency_s for entry in estimates}, rel=1e-9
    )
    captions = list(section.figures)
    assert captions[3].startswith("Where the time goes: share of each operator in the latency, on")
    throughput, latency, shares, operators, *rest = section.figures.values()
    time, operations, traffic, used = rest[:4]
    roofs, lines = rest[4:7], rest[7:]
    frames = {entry.device.name: entry.frame().set_index("name") for entry in estimates}
    for device, found in values(time).items():
        for name, value in found.items():
            expected = 1e6 * frames[device]["seconds"][name]
            assert value == (pytest.approx(expected) if expected else None)
    assert values(operations) == {"operations": {"conv1": 576, "relu1": 32}}
    for figure, column, scale in (traffic, "bytes", 1), (used, "utilization", 100):
        for device, found in values(figure).items():
            for name, value in found.items():
                assert (value or 0) == pytest.approx(scale * frames[device][column][name])
    for entry, figure in zip(estimates, lines, strict=True):
        end = 1e6 * entry.latency_s
        assert figure.layout.xaxis.title.text == "µs"
        assert figure.layout.xaxis.range == (0, pytest.approx(end, rel=1e-3))
        for row in "memory", "compute":
            bars_of = [
                length
                for trace in figure.data
                for name, length in zip(trace.y, trace.x, strict=True)
                if name == row
            ]
            assert sum(bars_of) == pytest.approx(end, rel=1e-3)
        hatched = {trace.name for trace in figure.data if trace.marker.pattern.shape}
        assert hatched == {t.name for t in figure.data if t.name.startswith("waits for ")}
    for figure in throughput, latency:
        assert figure.layout.xaxis.type == "log"
        assert [trace.name for trace in figure.data] == ["cpu", "gpu", "tpu"]
    for figure in shares, operators:
        totals = np.sum([trace.x for trace in figure.data], axis=0)
        assert totals.tolist() == pytest.approx([100] * 3)
    assert {trace.name for trace in operators.data} == {"Conv", "Relu"}
    assert "TDP energy (J)" in map(heading, devices.columns)
    assert section.text.endswith("no scaling to the device's process is made.")
    for entry, caption, figure in zip(estimates, captions[8:11], roofs, strict=True):
        assert caption.startswith(f"Roofline of {entry.device.name}: ")
        assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
        roof, *groups = figure.data
        assert roof.name == "roof"
        # Flat from the ridge on, and all layers are under it.
        assert roof.y[1] == roof.y[2]
        shown = {name for group in groups for name in group.text}
        assert shown <= {"conv1", "relu1"} and "conv1" in shown
        # Told apart by more than their colour.
        marks = [group.marker.symbol for group in groups]
        assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("arch", ["streaming", "systolic"])
def test_timeline_of_an_fpga(make, arch):
    network = make.integers(["conv1", "relu1"])
    architecture = hwsim.Systolic(rows=4, cols=4) if arch == "systolic" else hwsim.Streaming()
    estimates = estimate(network, ["zu9eg"], design=architecture)
    (section,) = sections_of(estimates)
    (figure,) = [f for caption, f in section.figures.items() if caption.startswith("Timeline")]
    (entry,) = estimates
    assert list(figure.layout.yaxis.ticktext) == [name for _, name, *_ in entry.timeline]
    (bars_of,) = figure.data
    ends = [base + length for base, length in zip(bars_of.base, bars_of.x, strict=True)]
    scale = {"ns": 1e9, "µs": 1e6}[figure.layout.xaxis.title.text]
    # A pipeline's last beat is on its way for a while after its unit has let go of it.
    assert 0.6 < max(ends) / (scale * entry.latency_s) <= (1 if arch == "streaming" else 1.01)


@pytest.mark.parametrize(
    ("options", "pipelined"),
    [({}, True), ({"design": hwsim.Systolic(rows=4, cols=4)}, False), ({"training": True}, False)],
    ids=["streaming", "systolic", "training"],
)
def test_times_of_an_fpga_add_up_unless_it_is_a_pipeline(options, pipelined):
    estimates = estimate(known("8x8-2C3-3"), ["zu9eg"], batch=4, **options)
    (section,) = sections_of(estimates)
    (entry,) = estimates
    time = sum(layer.cycles for layer in entry.layers)
    assert (abs(time - entry.cycles) > 1) == pipelined  # a program of training has an end
    assert ("their times do not add up" in section.text) == pipelined
    shares = [figure for caption, figure in section.figures.items() if "share of" in caption]
    assert (not shares) == pipelined
    for figure in shares:
        assert sum(trace.x[0] for trace in figure.data) == pytest.approx(100)


def test_nothing_that_takes_time(tmp_path):
    """A network of one layer that an array does on the way."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["x"], ["y"], "flatten")],
        "flat",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx"
    )
    estimates = estimate(hwsim.load(tmp_path / "m.onnx"), ["tpu-v1"])
    (section,) = sections_of(estimates)
    assert not [caption for caption in section.figures if caption.startswith("Timeline")]


def test_work_and_waits():
    spans = [("memory", "a", 0, 10), ("compute", "a", 10, 30), ("memory", "b", 40, 50)]
    rows, waits = _work_and_waits(spans, {"a": "Conv", "b": "Relu"}, 60)
    assert rows == {
        "memory": {
            "Conv": [(0, 9)],
            "waits for compute": [(10, 29)],
            "waits for the launch": [(30, 39), (50, 59)],
            "Relu": [(40, 49)],
        },
        "compute": {
            "waits for memory": [(0, 9), (40, 49)],
            "Conv": [(10, 29)],
            "waits for the launch": [(30, 39), (50, 59)],
        },
    }
    assert set(waits) == {"waits for memory", "waits for compute", "waits for the launch"}


def test_estimates_of_a_training_step(make):
    estimates = estimate(make.network(["conv1", "relu1"]), ["v100"], training=True)
    (section,) = sections_of(estimates)
    phases = section.tables["devices-layers"]["phase"]
    assert list(dict.fromkeys(phases)) == [
        "forward",
        "input gradient",
        "weight gradient",
        "update",
    ]
    (figure,) = [f for caption, f in section.figures.items() if "each phase" in caption]
    assert sum(trace.x[0] for trace in figure.data) == pytest.approx(100)


def test_one_product_on_many_devices():
    found = gemm_comparison(64, 64, 64, ["i7-7700k", "gtx-1080-ti", "tpu-v1"])
    (section,) = sections_of(found)
    assert section.facts["MACs"] == "262,144"
    speed, time, roofs = section.figures.values()
    assert [trace.name for trace in speed.data] == ["attained", "peak"]
    assert time.layout.xaxis.type == "log"
    lines = [trace for trace in roofs.data if trace.mode == "lines"]
    assert [line.name for line in lines] == [
        "roof, i7-7700k, fp32",
        "roof, gtx-1080-ti, fp32",
        "roof, tpu-v1, int8",
    ]
    assert len({line.line.dash for line in lines}) == 3
    assert section.tables["product"] is found.table


def test_check(make):
    (section,) = sections_of(make.check(["a", "b", "c"]))
    assert section.facts == {
        "Points": "3",
        "Mean absolute error": "3.3 %",
        "Worst": "10.0 %, a",
        "Bias": "−3.3 %",
    }
    assert section.text == "Measurements: b. Nothing was fitted."
    (figure,) = section.figures.values()
    # A logarithmic axis has no place for the zero of group b.
    assert [trace.name for trace in figure.data] == ["a"]
    assert list(figure.data[0].x) == [100, 20]
    assert list(section.tables) == ["check", "check-points"]
    assert section.tables["check-points"]["error_percent"].tolist()[:2] == pytest.approx([-10, 0])


def test_exact_check(make):
    (section,) = sections_of(make.check(["a", "b", "c"], exact=True))
    assert section.facts == {"Points": "3", "Different": "1"}
    assert not section.figures


def test_comparison():
    (section,) = sections_of(
        Comparison(
            estimated={"a": 90, "b": 5}, actual={"a": 100, "b": 0}, kind="measured", title="T"
        )
    )
    assert list(section.tables["comparison"].columns) == [
        "quantity",
        "estimated",
        "measured",
        "difference_percent",
    ]
    assert section.tables["comparison"]["difference_percent"].tolist()[0] == pytest.approx(-10)
    assert section.facts == {"Largest difference": "10 %"}


def test_comparison_of_different_things():
    with pytest.raises(ValueError) as error:
        Comparison(estimated={"a": 1, "b": 2}, actual={"a": 1})
    assert str(error.value) == "estimated and actual must have the same keys, not a, b and a"


def test_frame_and_section():
    table = pd.DataFrame({"a": [1]})
    (section,) = sections_of(table)
    assert section.tables["table"] is table
    own = Section("own")
    assert sections_of(own) == [own]


@pytest.mark.parametrize("name", BUILDERS)
def test_every_kind_exists(name):
    module, _, kind = name.rpartition(".")
    assert getattr(import_module(module), kind).__qualname__ == kind


def test_a_report_loads_no_simulator():
    heavy = {"amaranth", "simpy", "onnx", "onnxruntime"}
    code = f"import sys, hwsim.reports; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_gantt_splits_where_nothing_moves():
    (trace,) = gantt({"row": {"part": np.array([0, 1, 2, 500, 502, 999])}}, "cycle").data
    # 1000 cycles in 400 steps: gaps of up to 2 cycles are closed.
    assert list(zip(trace.base, trace.x, strict=True)) == [(0, 3), (500, 3), (999, 1)]
    assert trace.customdata.tolist() == [[2, 3], [502, 2], [999, 1]]


def test_gantt_of_nothing():
    assert gantt({"row": {"part": np.array([], int)}}, "cycle").data == ()


def test_occupation():
    rows = {"a": {"x": [(0, 1), (6, 7)], "wait": [(2, 4)]}, "b": {"y": [(3, 7)], "x": []}}
    figure = occupation(rows, 10, "cycle", hatched=["wait"])
    found = {t.name: list(zip(t.y, t.base, t.x, strict=True)) for t in figure.data}
    assert list(found) == ["x", "y", "wait"]
    assert found == {
        "x": [("a", 0, 2), ("a", 6, 2)],
        "y": [("b", 3, 5)],
        "wait": [("a", 2, 3)],
    }
    assert [trace.marker.pattern.shape for trace in figure.data] == [None, None, "/"]
    assert figure.layout.xaxis.range == (0, 10)


def test_occupation_shows_what_takes_most():
    # 8000 cycles in 800 pieces of ten: x takes six of each, but for the last two.
    spans = {
        "x": [(start, start + 5) for start in range(0, 7980, 10)] + [(7983, 7983)],
        "y": [(start + 6, start + 9) for start in range(0, 7980, 10)],
    }
    (trace,) = occupation({"row": spans}, 8000, "cycle").data
    assert trace.name == "x"
    # However short, it is there; where nothing is, nothing is shown.
    assert list(zip(trace.base, trace.x, strict=True)) == [(0, 7990)]
    assert trace.customdata.tolist() == [[7989, 798 * 6 + 1]]


def test_bars_on_a_logarithmic_axis_all_have_a_length():
    figure = bars(["a", "b", "c"], {"x": [1, 50, None]}, "s", log=True)
    assert list(figure.layout.xaxis.range) == [-1, 2]


def decode(picture):
    head, _, data = picture.source.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_channels_of_a_map():
    maps = np.arange(3 * 2 * 2).reshape(3, 2, 2) - 5
    pixels = decode(channels(maps, columns=2))
    assert pixels.shape == (5, 5, 4)
    shown = pixels[..., 3] > 0
    assert shown.tolist() == [
        [1, 1, 0, 1, 1],
        [1, 1, 0, 1, 1],
        [0] * 5,
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
    ]
    grey = (maps + 5) * 255 // 11
    for channel, (row, column) in enumerate([(0, 0), (0, 3), (3, 0)]):
        block = pixels[row : row + 2, column : column + 2]
        assert (block[..., :3] == grey[channel][..., None]).all()


def test_channels_of_a_vector():
    pixels = decode(channels(np.arange(40).reshape(40, 1, 1)))
    assert pixels.shape == (2, 32, 4)
    assert np.count_nonzero(pixels[..., 3]) == 40


def test_channels_of_equal_values():
    assert decode(channels(np.full((1, 2, 2), 7)))[..., 3].all()


def test_channels_beyond_the_limit_are_left_out():
    assert decode(channels(np.zeros((100, 1, 2)), limit=8, columns=8)).shape == (1, 8 * 3 - 1, 4)


def test_figure_json_is_plain_text():
    figure = bars(["</script><b>&"], {"<i>": [1]}, "<!--")
    text = figure_json(figure)
    assert "<" not in text
    assert "&lt;/script&gt;&lt;b&gt;&amp;" in text
    assert 'template":{' not in text


def test_filter():
    """Before and after, as they are; coefficients beside weights; the Verilog, folded."""
    y, x = np.mgrid[:5, :7]
    picture = np.stack([30 * x, 40 * y, 10 * (x + y)], axis=-1).astype(np.uint8)
    image_filter = hwsim.ImageFilter(kernel="mean", stride=3, border="valid")
    result = hwsim.filter_image(picture, image_filter)
    (section,) = sections_of(result)
    assert section.title == "Filter mean"
    assert section.facts["Picture"] == "7 × 5"
    assert section.facts["Result"] == "2 × 1"
    assert section.facts["Mismatches"] == "0"
    assert "all are equal" in section.text
    assert "Mind that a stride of 3 leaves 1 of 7 columns out: (7 - 3) / 3 + 1 = 2.33." in (
        section.text
    )
    assert {
        "Kernel": "3\u00a0×\u00a03",
        "Applied as": "correlation",
        "Border": "valid: nothing",
        "Stride": "3",
        "Scale": "1",
        "Offset": "0",
    }.items() <= section.facts.items()
    markdown = hwsim.report(result).markdown()
    assert "\n### Coefficients as they are applied\n" in markdown
    assert "\n### Weights in fixed point: coefficients × 1 × 2^12, as integers\n" in markdown
    assert "\n\nThe HTML page has 2 pictures here.\n\n" in markdown
    assert "HTML" not in section.text  # which the page itself shows
    assert section.tables["weights"].iloc[1].tolist() == ["1", 455, 456, 455]
    before, after = section.pictures.values()
    assert np.array_equal(pixels_of(before)[..., :3], picture)
    assert np.array_equal(pixels_of(after)[..., :3], result.output)
    names = [caption.split(":")[0] for caption in section.listings]
    assert names == [name for name in result.design.verilog.files if name.endswith(".v")]
    wrong = replace(result, simulation=replace(result.simulation, layers=wrong_layers(result)))
    (section,) = sections_of(wrong)
    assert "some differ" in section.text


def test_filter_with_other_steps():
    picture = np.full((8, 8, 3), 200, np.uint8)
    rotated = hwsim.ImageFilter(
        kernel="sobel-x", rotate=True, grey="average", map="signed", border="edge", block="max"
    )
    (section,) = sections_of(hwsim.filter_image(picture, rotated))
    assert {
        "Grey": "average",
        "Applied as": "convolution",
        "Border": "edge: the nearest pixel",
        "Stride": "1",
        "Blocks": "max of 2 × 2",
        "Scale": "0.125",
        "Offset": "128",
    }.items() <= section.facts.items()
    assert section.captions["coefficients"].endswith("applied, rotated by 180 degrees")
    blocks = hwsim.ImageFilter(block="sum", size=4, scale=0.0625, offset=-9)
    (section,) = sections_of(hwsim.filter_image(picture, blocks))
    assert (section.facts["Scale"], section.facts["Offset"]) == ("0.0625", "-9")
    assert "Sums of blocks, times the scale, are rounded down" in section.text
    (section,) = sections_of(hwsim.filter_image(picture, hwsim.ImageFilter(grey="average")))
    assert {"Scale", "Kernel", "Blocks"}.isdisjoint(section.facts)


def pixels_of(picture):
    content = base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def wrong_layers(result):
    return result.simulation.layers.assign(mismatches=1)


def test_large_photograph():
    pixels = np.arange(2 * 1300, dtype=np.uint32).astype(np.uint8).reshape(2, 1300)
    picture = photograph(pixels)
    assert np.array_equal(pixels_of(picture)[..., 0], pixels[::3, ::3])
    assert photograph(pixels[:, :10]).width == 160
