"""Several devices: split batches, split layers."""

import math
import random
from itertools import combinations, pairwise
from pathlib import Path

import onnx
import pytest

from hwsim.data import bundled
from hwsim.models.dataflow.parallel import (
    Link,
    data_parallel,
    partition,
    pipeline_parallel,
    pipeline_time,
    ring_time,
    simulate_pipeline,
    simulate_ring,
)
from hwsim.models.estimate import estimate
from hwsim.network import NetworkError, load
from hwsim.networks import network as known

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.fixture(scope="module")
def lenet():
    return load(bundled("lenet5/lenet5.onnx"))


@pytest.fixture(scope="module")
def resnet():
    return load(LIGHT / "light_resnet50.onnx")


@pytest.mark.parametrize("devices", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("size", [0, 1, 1000, 102_228_128])
def test_a_ring_of_equal_devices_takes_the_closed_form(devices, size):
    link = Link(25e9, 2e-6)
    time = ring_time(size, devices, link)
    assert simulate_ring(size, [5] * devices, link) == (5 + time,) * devices
    if size > 1000:
        wanted = 2 * (devices - 1) / devices * size / 25e9 + 2 * (devices - 1) * 2e-6
        # Chunks of whole bytes, and whole picoseconds for each.
        assert time / 1e12 == pytest.approx(wanted, abs=2 * devices * (1 / 25e9 + 1e-12))


def test_a_ring_waits_for_who_is_late():
    link = Link(1e12)  # a byte per picosecond
    ends = simulate_ring(400, [0, 0, 0, 1000], link)
    # Nothing that the late one has added leaves it before 1000; six steps of 100 follow.
    assert max(ends) == 1000 + 6 * 100
    assert min(ends) >= 1000


@pytest.mark.parametrize("seed", range(30))
def test_the_best_partition(seed):
    rng = random.Random(seed)
    times = [rng.randint(0, 20) for _ in range(rng.randint(1, 9))]
    parts = rng.randint(1, len(times))
    bounds = partition(times, parts)
    assert bounds[0] == 0 and bounds[-1] == len(times)
    assert len(bounds) == parts + 1
    assert all(a < b for a, b in pairwise(bounds))

    def slowest(bounds):
        return max(sum(times[a:b]) for a, b in pairwise(bounds))

    every = (
        slowest([0, *cuts, len(times)]) for cuts in combinations(range(1, len(times)), parts - 1)
    )
    assert slowest(bounds) == min(every)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("buffers", [1, 3])
def test_a_pipeline_of_constant_times_takes_the_closed_form(seed, buffers):
    rng = random.Random(seed)
    times = [rng.randint(0, 50) for _ in range(rng.randint(1, 6))]
    parcels = rng.randint(1, 20)
    ends = simulate_pipeline(times, parcels, buffers=buffers)
    assert ends[-1] == pipeline_time(times, parcels)
    assert [b - a for a, b in pairwise(ends)] == [max(times)] * (parcels - 1)


@pytest.mark.parametrize("seed", range(10))
def test_times_that_vary_equal_the_recurrence_of_a_flow_shop(seed):
    rng = random.Random(seed)
    parcels = rng.randint(2, 20)
    times = [[rng.randint(0, 50) for _ in range(parcels)] for _ in range(rng.randint(2, 5))]
    ends = [0] * parcels
    for own in times:
        free = 0
        for parcel, time in enumerate(own):
            ends[parcel] = free = max(free, ends[parcel]) + time
    assert simulate_pipeline(times, parcels, buffers=parcels) == tuple(ends)
    assert simulate_pipeline(times, parcels, buffers=1)[-1] >= ends[-1]


def test_a_full_buffer_holds_the_stage_before_it():
    times = [[10] * 20 + [50] * 20, [50] * 20 + [10] * 20]
    near = simulate_pipeline(times, 40, buffers=1)[-1]
    far = simulate_pipeline(times, 40, buffers=40)[-1]
    assert far == 20 * 10 + 20 * 50 + 10
    assert near > 1.5 * far


def test_inference_splits_the_batch_and_exchanges_nothing(resnet):
    found = data_parallel(resnet, "v100", 4, Link(25e9), batch=30)
    assert found.shares == (8, 8, 7, 7)
    assert found.exchange_s == found.exchange_bytes == 0
    assert found.latency_s == estimate(resnet, "v100", batch=8)["v100"].latency_s
    assert found.alone_s == estimate(resnet, "v100", batch=30)["v100"].latency_s
    assert 1 < found.speedup <= 4
    assert found.efficiency == found.speedup / 4


def test_training_adds_its_gradients(resnet):
    link = Link(25e9, 3e-6)
    found = data_parallel(resnet, "v100", 8, link, batch=256, training=True, optimizer="momentum")
    assert found.exchange_bytes == 4 * resnet.params
    assert found.exchange_s == ring_time(4 * resnet.params, 8, link) / 1e12
    share = estimate(resnet, "v100", batch=32, training=True, optimizer="momentum")["v100"]
    assert found.latency_s == share.latency_s + found.exchange_s
    half = data_parallel(
        resnet, "v100", 8, link, batch=256, training=True, optimizer="momentum", precision="fp16"
    )
    assert half.exchange_bytes == 2 * resnet.params
    slow = data_parallel(
        resnet, "v100", 8, Link(1e9), batch=256, training=True, optimizer="momentum"
    )
    assert slow.efficiency < found.efficiency < 1


def test_a_shorter_wait_hides_behind_the_longer_share(lenet):
    link = Link(1e9)
    found = data_parallel(lenet, "i7-7700k", 2, link, batch=5, training=True)
    assert found.shares == (3, 2)
    # The ring starts late on one side; the last sum still comes after the closed form.
    assert found.exchange_s == pytest.approx(ring_time(4 * lenet.params, 2, link) / 1e12)


def test_layers_are_split_over_devices(resnet):
    link = Link(12e9, 5e-6)
    found = pipeline_parallel(resnet, "v100", 4, link, batch=64, parcel=8)
    alone = estimate(resnet, "v100", batch=8)["v100"]
    names = [name for part in found.parts for name in part]
    assert names == [layer.name for layer in alone.layers]
    assert sum(found.compute_s) == pytest.approx(alone.latency_s)
    assert max(found.compute_s) < 0.35 * alone.latency_s
    stages = [round(time * 1e12) for time in (*found.compute_s, *found.link_s)]
    assert found.latency_s == pytest.approx(pipeline_time(stages, 8) / 1e12, abs=1e-11)
    assert found.link_s == tuple(link.time(size) / 1e12 for size in found.link_bytes)
    assert found.throughput_images_per_s == 8 / max(*found.compute_s, *found.link_s)
    assert 1 < found.speedup < 4


def test_what_crosses_a_cut(lenet):
    found = pipeline_parallel(lenet, "i7-7700k", len(lenet.layers), Link(1e9), batch=3)
    # A layer each: what each writes, in 4 bytes.
    shapes = list(lenet.table()["output_shape"])[:-1]
    assert found.link_bytes == tuple(4 * math.prod(shape) for shape in shapes)
    one = pipeline_parallel(lenet, "i7-7700k", 1, Link(1e9), batch=3)
    assert (one.link_bytes, one.speedup) == ((), pytest.approx(1))


def refused(call, *args, error=ValueError, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_bad_input(lenet):
    link = Link(1e9)
    assert refused(Link, 0) == "bandwidth_bytes_per_s must be positive and finite, not 0"
    assert refused(Link, 1, -1) == "latency_s must be 0 or more, and finite, not -1"
    assert refused(partition, [1, 2], 3) == "parts must be at most 2, the layers, not 3"
    assert refused(data_parallel, lenet, "v100", 4, link, batch=3) == (
        "devices must be at most 3, the parts of the batch, not 4"
    )
    assert refused(pipeline_parallel, lenet, "v100", 2, link, batch=3, parcel=2) == (
        "batch must be a multiple of parcel, 2, not 3"
    )
    message = refused(
        pipeline_parallel, lenet, "v100", 2, link, batch=2, training=True, error=NetworkError
    )
    assert message == "pipeline-parallel training has no model; split the batch instead"
    assert refused(pipeline_parallel, known("8x8-2C3-3"), "zu9eg", 2, link, batch=2) == (
        "layers that are cut in parts have no model on FPGAs, and zu9eg is one; give a device of "
        "the classes cpu, gpu, tpu and spatial, or split the batch"
    )
