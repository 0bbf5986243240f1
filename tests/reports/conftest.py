"""Items to report on, small and made by hand, whose names the tests choose."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

import hwsim
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.timing import Actor
from hwsim.blocks.unit import UnitConfig
from hwsim.models.estimate import estimate
from hwsim.reports import Accuracy, Comparison, compare


class WorkConfig(UnitConfig):
    """A unit that takes and puts a beat every few cycles."""

    macs = multipliers = 0  # plain attributes in place of the base's properties

    def __init__(self, frame, cycles, macs, multipliers):
        self.frame, self.per_beat, self.macs, self.multipliers = frame, cycles, macs, multipliers

    inputs = property(lambda self: {"i": self.frame})
    output = property(lambda self: self.frame)
    interval = property(lambda self: self.frame.beats * self.per_beat)

    def actors(self, name):
        every = np.ones(self.frame.beats, bool)
        return (Actor(name, self.per_beat * every, {"i": every}, every),)


def make_network(folder, names, title="two layers"):
    """Convolution (2 channels, 3 x 3) and ReLU on a 6 x 6 image, imported from a file."""
    weights = np.ones((2, 1, 3, 3), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weights"], ["sums"], name=names[0]),
            helper.make_node("Relu", ["sums"], ["map"], name=names[1]),
        ],
        title,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 6, 6])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 2, 4, 4])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    path = folder / "model.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return hwsim.load(path)


def make_plan(names):
    """Three stages of a 4 x 4 map: 64, 32 and 16 cycles; the last has no multiplier."""
    from hwsim.blocks.streaming import Stage, Streaming, StreamingPlan

    frame = Frame(4, 4, 2, 2)
    configs = [
        WorkConfig(frame, 4, 512, 10),
        WorkConfig(frame, 2, 64, 2),
        WorkConfig(frame, 1, 0, 0),
    ]
    sources = ["", *names[:2]]
    stages = [
        Stage(name, config, ((source, 0),), queues=(QueueConfig(depth),))
        for name, config, source, depth in zip(names, configs, sources, (2, 3, 4), strict=True)
    ]
    return StreamingPlan(None, Streaming(), tuple(stages), 64)


def make_result(names, images=2, mismatches=0):
    """A 2 x 4 x 4 map and a vector of 5, seen for some images, 100 cycles apart."""
    from hwsim.sim.engine import Recording, Transfers
    from hwsim.sim.simulate import Result

    starts = 100 * np.arange(images)[:, None]

    def moves(first, count, step):
        cycles = (starts + first + step * np.arange(count)).ravel()
        return Transfers(cycles, [0] * len(cycles))

    inputs, outputs = {"i": moves(0, 36, 1)}, {"o": moves(90, 5, 1)}
    probes = {names[0]: moves(10, 16, 2), names[1]: moves(90, 5, 1)}
    maps = {
        names[0]: np.arange(images * 32).reshape(images, 2, 4, 4) - 16,
        names[1]: np.arange(images * 5).reshape(images, 5, 1, 1),
    }
    recording = Recording(inputs, outputs, probes)
    layers = pd.DataFrame(
        {
            "name": names,
            "values": [images * 32, images * 5],
            "mismatches": [mismatches, 0],
            "lsb_differences": [0, 0],
        }
    )
    interval = 100 if images > 1 else None
    activity = pd.DataFrame(
        {"name": names, "beats": [16, 5], "held_cycles": [3, 0], "starved_cycles": [7, 81]}
    )
    return Result(
        images=images,
        lanes=1,
        inputs=np.arange(images * 36).reshape(images, 1, 6, 6),
        outputs=maps[names[1]],
        feature_maps=maps,
        layers=layers,
        activity=activity,
        cycles=recording.cycles,
        interval_cycles=interval,
        seconds=1.0,
        recording=recording,
    )


def make_integers(folder, names):
    """The network of `make_network`, quantized."""
    images = np.random.default_rng(0).random((4, 1, 6, 6), np.float32)
    return hwsim.quantize(make_network(folder, names), calibration=images)


def make_systolic(folder, names):
    """The network of `make_network` as a program for an array of 4 x 4."""
    return hwsim.build(make_integers(folder, names), hwsim.Systolic(rows=4, cols=4))


def make_systolic_result(names):
    """A 2 x 4 x 4 map and a vector of 5, as an accelerator wrote them."""
    from hwsim.blocks.systolic.registers import COUNTERS

    result = make_result(names, images=1)
    engines = ("read", "matrix", "vector", "write")
    counters = dict.fromkeys(COUNTERS, 1) | {
        "cycles": 400,
        **{f"{engine}_active": 10 + k for k, engine in enumerate(engines)},
        **{f"{engine}_waiting": 50 + k for k, engine in enumerate(engines)},
        "matrix_starved": 5,
        "bytes_read": 130,
        "bytes_written": 140,
    }
    assert counters.keys() == set(COUNTERS)
    activity = pd.DataFrame(
        {"name": names, "first_cycle": [20, 90], "last_cycle": [60, 94], "writes": [16, 5]}
    )
    return replace(result, activity=activity, counters=counters, cycles=400)


def make_trace(dataflow="weight-stationary"):
    """Two folds on an array of 2 x 3."""
    from hwsim.blocks.array import ArrayConfig
    from hwsim.sim.array_trace import random_folds, trace_array

    depth = 4 if dataflow == "output-stationary" else 0
    config = ArrayConfig(
        rows=2, cols=3, dataflow=dataflow, depth=depth, operand_registers=0, product_registers=0
    )
    return trace_array(config, random_folds(config, (4, 2)))


def make_study(title="alexnet"):
    """Twelve arrays for a known network."""
    from hwsim.networks import network as known

    network = replace(known("alexnet"), name=title)

    space = {
        "objectives": ["throughput", "dsp"],
        "device": "ecp5-85f",
        "constraints": {"min_frames_per_second": 1},
        "systolic": {"rows": [4, 8, 16], "cols": [4, 8], "buffer_bytes": [64, 65536]},
    }
    return hwsim.explore(network, space, workers=1)


def make_check(names, exact=False):
    """Three points of two groups, one of them 10 % too low."""
    from hwsim.validation import Check

    points = pd.DataFrame(
        {
            "group": [names[0], names[0], names[1]],
            "point": names,
            "predicted": [90.0, 20.0, 0.0],
            "measured": [100.0, 20.0, 0.0],
        }
    )
    return Check("check", names[0], "ms", points, names[1], exact=exact)


def make_items(folder, names):
    """One item of each kind that holds names; ``names`` are 3."""
    network = make_network(folder, names[:2], title=names[2])
    return [
        network,
        Accuracy(float_accuracy=0.9, int8_accuracy=0.89, images=1000, method=names[0]),
        make_plan(names),
        make_result(names[:2]),
        make_systolic(folder, names[:2]),
        make_systolic_result(names[:2]),
        make_trace(),
        estimate(network, ["i7-7700k", "gtx-1080-ti", "tpu-v1"]),
        make_check(names),
        make_study(title=names[0]),
        compare({names[0]: 1, names[1]: names[2]}, {names[0]: 2, names[1]: ""}, names=names[:2]),
        Comparison(estimated={names[0]: 100, names[1]: 90}, actual={names[0]: 100, names[1]: 100}),
        pd.DataFrame({"name": names, names[0]: [1, 2, 3]}),
    ]


@pytest.fixture
def make(tmp_path):
    """Makers of items, mostly with given names, and of ``items`` of all kinds."""
    return SimpleNamespace(
        network=partial(make_network, tmp_path),
        integers=partial(make_integers, tmp_path),
        plan=make_plan,
        result=make_result,
        systolic=partial(make_systolic, tmp_path),
        systolic_result=make_systolic_result,
        trace=make_trace,
        check=make_check,
        study=make_study,
        items=partial(make_items, tmp_path),
    )
