"""Requests in a queue, batches, percentiles."""

import heapq

import numpy as np
import pytest

from hwsim.data import bundled
from hwsim.models.dataflow.serving import (
    batch_latency,
    poisson_arrivals,
    serve,
    uniform_arrivals,
)
from hwsim.models.estimate import estimate
from hwsim.network import load

MS = 1e-3


def test_uniform_arrivals_below_the_capacity_never_wait():
    """D/D/1: a request every 4 ms, 3 ms of service."""
    found = serve(uniform_arrivals(250, 100), lambda batch: 3 * MS)
    assert (found.waits_s == 0).all()
    assert [found.percentile(share) for share in (50, 99, 100)] == [3 * MS] * 3
    assert found.span_s == pytest.approx(99 * 4 * MS + 3 * MS)
    assert found.utilization == pytest.approx(100 * 3 / 399)
    assert found.throughput_requests_per_s == pytest.approx(100 / 0.399)
    assert found.to_dict()["queue_max"] == 0


def test_uniform_arrivals_beyond_the_capacity_wait_ever_longer():
    """D/D/1: a request every 2 ms, 3 ms of service: each waits 1 ms longer than the one before."""
    found = serve(uniform_arrivals(500, 50), lambda batch: 3 * MS)
    assert found.waits_s == pytest.approx(MS * np.arange(50))
    assert found.utilization == 1


@pytest.mark.parametrize("load_factor", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("seed", [1, 2])
def test_poisson_arrivals_wait_as_long_as_the_closed_form_says(load_factor, seed):
    """M/D/1. Means of 40 parts of the run, nearly independent, give the error of their mean."""
    service = MS
    found = serve(poisson_arrivals(load_factor / service, 80_000, seed), lambda batch: service)
    wanted = load_factor * service / (2 * (1 - load_factor))
    parts = found.waits_s.reshape(40, -1).mean(axis=1)
    error = parts.std(ddof=1) / np.sqrt(len(parts))
    assert error < 0.1 * wanted  # the test can tell something
    assert abs(parts.mean() - wanted) < 4 * error


@pytest.mark.parametrize("replicas", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_waits_equal_the_recursion_of_kiefer_and_wolfowitz(replicas, seed):
    service = 2 * MS
    found = serve(
        poisson_arrivals(0.9 * replicas / service, 2000, seed),
        lambda batch: service,
        replicas=replicas,
    )
    free = [0] * replicas
    for number, time in enumerate(found.arrivals_ps.tolist()):
        start = max(time, heapq.heappop(free))
        heapq.heappush(free, start + round(service * 1e12))
        assert found.starts_ps[number] == start


def test_a_batch_waits_for_others_but_not_for_ever():
    found = serve(
        [0, 1 * MS, 2 * MS, 10 * MS],
        lambda batch: 5 * MS + batch * MS,
        max_batch=3,
        max_wait_s=4 * MS,
    )
    # Three at 2 ms; the last one alone, 4 ms after it came.
    assert found.starts_ps.tolist() == [2 * 10**9, 2 * 10**9, 2 * 10**9, 14 * 10**9]
    assert found.ends_ps.tolist() == [10 * 10**9, 10 * 10**9, 10 * 10**9, 20 * 10**9]
    assert found.batches.tolist() == [3, 1]
    times, lengths = found.queue()
    assert times == pytest.approx(np.array([0, 1, 2, 10, 14]) * MS)
    assert lengths.tolist() == [1, 2, 0, 1, 0]


def test_who_waits_while_all_devices_work_leaves_in_one_batch():
    found = serve([0, MS, 2 * MS, 3 * MS], lambda batch: 5 * MS, max_batch=2)
    assert found.batches.tolist() == [1, 2, 1]
    assert found.starts_ps.tolist() == [0, 5 * 10**9, 5 * 10**9, 10 * 10**9]


def test_batches_carry_a_load_that_single_images_cannot():
    def latency(batch):
        return MS * (4 + batch)

    arrivals = poisson_arrivals(400, 4000, 5)
    alone = serve(arrivals, latency)
    batched = serve(arrivals, latency, max_batch=16)
    assert alone.utilization > 0.99
    assert batched.percentile(99) < alone.percentile(50) / 10
    assert batched.throughput_requests_per_s == pytest.approx(400, rel=0.1)
    assert batched.batches.sum() == 4000
    assert batched.batches.max() <= 16


def test_equal_seeds_give_equal_results():
    first, second, other = (
        serve(poisson_arrivals(1000, 500, seed), lambda batch: MS, max_batch=4).to_dict()
        for seed in (3, 3, 4)
    )
    assert first == second != other


def test_a_batch_takes_what_the_estimate_says():
    network = load(bundled("lenet5/lenet5.onnx"))
    latency = batch_latency(network, "tpu-v1")
    for batch in (1, 4, 32):
        assert latency(batch) == estimate(network, "tpu-v1", batch=batch)["tpu-v1"].latency_s
    found = serve(uniform_arrivals(10, 5), latency, max_batch=4)
    assert found.latencies_s == pytest.approx([latency(1)] * 5, abs=1e-12)


def refused(call, *args, **kwargs):
    with pytest.raises(ValueError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_bad_input():
    def latency(batch):
        return MS

    assert refused(poisson_arrivals, 0, 10) == "requests_per_s must be positive and finite, not 0"
    assert refused(poisson_arrivals, 1, 0) == "count must be a positive integer, not 0"
    assert refused(uniform_arrivals, 1, 10**8) == (
        "count must be at most 10,000,000, not 100000000"
    )
    assert refused(serve, [0], latency, max_batch=0) == (
        "max_batch must be a positive integer, not 0"
    )
    assert refused(serve, [0], latency, max_wait_s=-1) == (
        "max_wait_s must be 0 or more, and finite, not -1"
    )
    assert refused(serve, [], latency) == "arrivals_s must be a list of times, not of shape (0,)"
    assert refused(serve, [1, 0], latency) == (
        "arrivals_s must be finite, not negative and in ascending order"
    )
