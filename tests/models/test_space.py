"""`evaluate`: many points give what an estimate of each gives."""

import numpy as np
import pytest

from hwsim.models import devices
from hwsim.models.dataflow.workload import workload
from hwsim.models.estimate import estimate
from hwsim.models.space import evaluate
from hwsim.network import load
from tests.models.test_dataflow import LIGHT, conv_relu_pool

VARIABLES = ("rows", "cols", "clock_hz", "memory_bandwidth", "scratchpad_size")


def random_points(rng, count):
    # Sizes from what holds next to nothing to what holds whole networks.
    return {
        "rows": rng.integers(1, 200, count),
        "cols": rng.integers(1, 200, count),
        "clock_hz": rng.uniform(1e8, 2e9, count),
        "memory_bandwidth": 10 ** rng.uniform(8, 12, count),
        "scratchpad_size": np.floor(2 ** rng.uniform(10, 27, count)),
    }


def single(values, index):
    return {
        name: (float if name in VARIABLES[2:] else int)(numbers[index])
        for name, numbers in values.items()
    }


@pytest.mark.parametrize("dataflow", devices.DATAFLOWS)
@pytest.mark.parametrize(
    ("name", "batch"), [("resnet50", 1), ("shufflenet", 2), ("bvlc_alexnet", 4)]
)
def test_points_equal_estimates_to_the_picosecond(name, batch, dataflow):
    rng = np.random.default_rng(batch)
    network = load(LIGHT / f"light_{name}.onnx")
    values = random_points(rng, 10)
    if batch == 2:
        values["accumulator_rows"] = rng.integers(2, 4000, 10)
    options = {"dispatch_time": 1e-6, "overlap_tiles": 7} if batch == 4 else {}
    points = evaluate(network, dataflow=dataflow, batch=batch, **values, **options)
    assert len(points) == 10
    for index in range(10):
        device = devices.array(dataflow=dataflow, **single(values, index), **options)
        (found,) = estimate(network, [device], batch=batch)
        assert round(points.seconds[index] * 1e12) == round(found.latency_s * 1e12)
        assert points.bytes[index] == found.bytes
        assert points.macs == found.macs
        assert points.energy_j[index] == pytest.approx(found.energy_j, rel=1e-12)
        peak = device["rows"] * device["columns"] * device["clock"]
        assert points.utilization[index] == pytest.approx(
            found.macs / peak / found.latency_s, rel=1e-12
        )


@pytest.mark.parametrize("name", ["eyeriss", "nvdla-small", "nvdla-full"])
def test_points_around_a_device(name):
    network = load(LIGHT / "light_squeezenet.onnx")
    (found,) = estimate(network, [name])
    own = evaluate(
        network, device=name, memory_bandwidth=[1e6, devices.load(name)["memory_bandwidth"]]
    )
    assert round(own.seconds[1] * 1e12) == round(found.latency_s * 1e12)
    assert own.seconds[0] > own.seconds[1]
    assert own.bytes.tolist() == [found.bytes] * 2


def test_a_better_array_is_never_slower():
    network = load(LIGHT / "light_resnet50.onnx")
    for name in ("memory_bandwidth", "clock_hz", "scratchpad_size"):
        values = {"rows": 32, "cols": 32, name: np.logspace(3, 9, 13)}
        if name != "scratchpad_size":
            values[name] *= 1e3
        seconds = evaluate(network, **values).seconds
        # More tiles on chip may move a first load or a last store from the shadow of the array.
        assert (seconds[1:] <= seconds[:-1] * (1 + 1e-12)).all(), name


def test_arrays_broadcast_and_order_does_not_matter():
    network = conv_relu_pool()
    rows, cols = np.array([4, 8, 16])[:, None], np.array([2, 32])
    points = evaluate(network, rows=rows, cols=cols, scratchpad_size=[1 << 20, 1 << 8])
    assert points.rows.tolist() == [4, 4, 8, 8, 16, 16]
    assert points.scratchpad_size.tolist() == [1 << 20, 1 << 8] * 3
    turned = evaluate(
        network,
        rows=points.rows[::-1],
        cols=points.cols[::-1],
        scratchpad_size=points.scratchpad_size[::-1],
    )
    assert (turned.seconds[::-1] == points.seconds).all()
    table = points.frame()
    assert len(table) == 6
    assert list(table.columns) == [
        "dataflow",
        *VARIABLES,
        "seconds",
        "cycles",
        "compute_cycles",
        "bytes",
        "utilization",
        "energy_j",
    ]
    assert table["cycles"].tolist() == (points.seconds * 1e9).tolist()


def test_a_workload_is_taken_as_it_is():
    network = conv_relu_pool()
    load_of = workload(network, 3, "fp16", fuse=True)
    found = evaluate(load_of, rows=8, cols=[8, 16])
    expected = evaluate(network, rows=8, cols=[8, 16], batch=3, precision="fp16")
    assert (found.seconds == expected.seconds).all()


def test_pooling_costs_something():
    network = conv_relu_pool()
    slow = evaluate(network, rows=8, cols=8, element_ops_per_cycle=[1, 100])
    assert slow.compute_cycles[0] > slow.compute_cycles[1]
    assert (slow.seconds > 0).all()


def refused(**options):
    with pytest.raises((ValueError, TypeError)) as caught:
        evaluate(conv_relu_pool(), **options)
    return str(caught.value)


def test_bad_input():
    assert refused(rows=8) == "give cols, or a device"
    assert refused() == "give rows and cols, or a device"
    assert refused(rows=[8, 0], cols=8) == "rows must be positive integers, not 0"
    assert refused(rows=8, cols=2.5) == "cols must be positive integers, not 2.5"
    assert refused(rows=8, cols=8, clock_hz=-1) == "clock_hz must be positive and finite, not -1"
    assert refused(rows=[], cols=8) == "there must be at least one point"
    assert refused(rows=[1, 2], cols=[1, 2, 3]) == (
        "arrays of points must broadcast, but shapes are rows (2,), cols (3,)"
    )
    assert refused(rows="many", cols=8).endswith("must be numbers or arrays of them")
    assert refused(rows=8, cols=8, dataflow="no") == (
        "array: dataflow must be weight-stationary, output-stationary, "
        "input-stationary, row-stationary, nvdla, not 'no'"
    )
    assert refused(rows=8, cols=8, sms=3).startswith("an array has no 'sms'; it may have dataflow,")
    assert refused(device="tpu-v1") == "device must be of the class spatial, not tpu"
    assert refused(device="eyeriss", dataflow="nvdla", dispatch_time=1) == (
        "of a device rows, cols, clock_hz, memory_bandwidth, scratchpad_size, accumulator_rows, "
        "element_ops_per_cycle may be given, not dispatch_time, dataflow"
    )
