"""Requests that arrive over time, gathered in batches, on one or more equal devices.

Requests wait in one queue, in the order of their arrival. A device that is free takes a batch as
soon as ``max_batch`` requests wait, or the oldest one has waited ``max_wait_s``. A batch takes what
`hwsim.estimate` says of its size, so that the only thing that varies is when requests arrive.

With ``max_batch`` 1 and one device this is the queue M/D/1 if arrivals are Poisson, whose mean wait
is rho s / (2 (1 - rho)) for a service time s and a load rho (Pollaczek and Khinchine), and D/D/1 if
they are uniform. Time is in integer picoseconds, so that equal runs give equal results.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import simpy

from hwsim.blocks.checks import check_integer, check_positive

__all__ = [
    "PERCENTILES",
    "Serving",
    "batch_latency",
    "poisson_arrivals",
    "serve",
    "uniform_arrivals",
]

PICOSECONDS = 10**12
PERCENTILES = (50, 90, 95, 99)
# Beyond it, and an hour of simulated time per request, picoseconds would not fit 64 bits.
LARGEST_COUNT = 10**7


def _check_rate(rate):
    if not 0 < rate < float("inf"):
        raise ValueError(f"requests_per_s must be positive and finite, not {rate}")


def _check_count(count):
    check_positive("count", count)
    if count > LARGEST_COUNT:
        raise ValueError(f"count must be at most {LARGEST_COUNT:,}, not {count}")


def poisson_arrivals(requests_per_s, count, seed=0):
    """Arrivals with exponential times in between, the same for the same seed.

    Parameters
    ----------
    requests_per_s : float
    count, seed : int

    Returns
    -------
    ndarray of float, (count,)
        Seconds, ascending.
    """
    _check_rate(requests_per_s)
    _check_count(count)
    check_integer("seed", seed, 0)
    return np.random.default_rng(seed).exponential(1 / requests_per_s, count).cumsum()


def uniform_arrivals(requests_per_s, count):
    """Arrivals at equal distances, the first at 0; seconds."""
    _check_rate(requests_per_s)
    _check_count(count)
    return np.arange(count) / requests_per_s


def batch_latency(network, device, **options):
    """The latency of a batch as a function of its size, each size estimated when it is asked for.

    Parameters
    ----------
    network : hwsim.network.Network
    device : str, path or Device
    **options
        Of `hwsim.estimate`, but ``batch``.

    Returns
    -------
    callable
        From images to seconds.
    """
    # Here, because `hwsim.models.estimate` builds on this package.
    from hwsim.models.estimate import estimate

    @cache
    def latency(batch):
        (found,) = estimate(network, [device], batch=batch, **options)
        return found.latency_s

    return latency


@dataclass(frozen=True, eq=False)
class Serving:
    """What happened to the requests.

    Members
    -------
    arrivals_ps, starts_ps, ends_ps : ndarray of int, (requests,)
        Picosecond in which each request came, its batch began, and its batch was done.
    batches : ndarray of int, (batches,)
        Requests in each, in order of their start.
    busy_s : float
        Of all devices together.
    replicas, max_batch : int
    max_wait_s : float
    """

    arrivals_ps: np.ndarray = field(repr=False)
    starts_ps: np.ndarray = field(repr=False)
    ends_ps: np.ndarray = field(repr=False)
    batches: np.ndarray = field(repr=False)
    busy_s: float
    replicas: int
    max_batch: int
    max_wait_s: float

    @property
    def waits_s(self):
        """From arrival to the start of the batch."""
        return (self.starts_ps - self.arrivals_ps) / PICOSECONDS

    @property
    def latencies_s(self):
        """From arrival to the result."""
        return (self.ends_ps - self.arrivals_ps) / PICOSECONDS

    @property
    def span_s(self):
        """From the first arrival to the last result."""
        return int(self.ends_ps.max() - self.arrivals_ps[0]) / PICOSECONDS

    @property
    def throughput_requests_per_s(self):
        """Over the whole span."""
        return len(self.arrivals_ps) / self.span_s if self.span_s else float("inf")

    @property
    def utilization(self):
        """Share of the devices' time in which they work."""
        return self.busy_s / (self.replicas * self.span_s) if self.span_s else 0.0

    def percentile(self, share):
        """The latency that ``share`` percent of the requests do not exceed, one that occurred."""
        return float(np.percentile(self.latencies_s, share, method="inverted_cdf"))

    def queue(self):
        """Requests that wait, as (seconds, length): ``length[k]`` from ``seconds[k]`` on."""
        changes = np.concatenate([self.arrivals_ps, self.starts_ps])
        steps = np.repeat([1, -1], len(self.arrivals_ps))
        times, place = np.unique(changes, return_inverse=True)
        return times / PICOSECONDS, np.bincount(place, steps).cumsum().round().astype(int)

    def to_dict(self):
        """Plain data; keys carry units."""
        _, lengths = self.queue()
        return {
            "requests": len(self.arrivals_ps),
            "replicas": self.replicas,
            "max_batch": self.max_batch,
            "max_wait_s": self.max_wait_s,
            **{f"latency_p{share}_s": self.percentile(share) for share in PERCENTILES},
            "latency_mean_s": float(self.latencies_s.mean()),
            "wait_mean_s": float(self.waits_s.mean()),
            "throughput_requests_per_s": self.throughput_requests_per_s,
            "utilization": self.utilization,
            "batch_mean": float(self.batches.mean()),
            "queue_mean": float(self.waits_s.sum() / self.span_s) if self.span_s else 0.0,
            "queue_max": int(lengths.max()),
        }


class _Server:
    def __init__(self, env, arrivals, latency, max_batch, max_wait):
        self.env, self.arrivals, self.latency = env, arrivals, latency
        self.max_batch, self.max_wait = max_batch, max_wait
        self.waiting: deque[int] = deque()
        self.turn = simpy.Resource(env)
        self.arrived = env.event()
        self.all_there = False
        self.starts = [0] * len(arrivals)
        self.ends = [0] * len(arrivals)
        self.batches: list[int] = []
        self.busy = 0

    def arrive(self):
        for number, time in enumerate(self.arrivals):
            if time > self.env.now:
                yield self.env.timeout(time - self.env.now)
            self.waiting.append(number)
            self._tell()
        self.all_there = True
        self._tell()

    def _tell(self):
        self.arrived.succeed()
        self.arrived = self.env.event()

    def device(self):
        while True:
            with self.turn.request() as turn:
                yield turn
                batch = yield from self._gather()
            if not batch:
                return
            time = self.latency(len(batch))
            for number in batch:
                self.starts[number] = self.env.now
                self.ends[number] = self.env.now + time
            self.batches.append(len(batch))
            self.busy += time
            yield self.env.timeout(time)

    def _gather(self):
        """A batch; empty when no more requests come."""
        while not self.waiting:
            if self.all_there:
                return []
            yield self.arrived
        deadline = self.arrivals[self.waiting[0]] + self.max_wait
        while len(self.waiting) < self.max_batch and self.env.now < deadline:
            yield self.arrived | self.env.timeout(deadline - self.env.now)
        return [self.waiting.popleft() for _ in range(min(self.max_batch, len(self.waiting)))]


def serve(
    arrivals_s: Sequence[float] | np.ndarray,
    latency: Callable[[int], float],
    *,
    max_batch: int = 1,
    max_wait_s: float = 0.0,
    replicas: int = 1,
) -> Serving:
    """Serve requests.

    Parameters
    ----------
    arrivals_s : sequence of float
        Seconds, ascending: of `poisson_arrivals`, `uniform_arrivals`, or a trace.
    latency : callable
        Seconds that a batch takes, from its size; see `batch_latency`.
    max_batch : int
        Requests that a device takes at a time, at most.
    max_wait_s : float
        How long the oldest request waits for others while a device is free.
    replicas : int
        Devices.

    Returns
    -------
    Serving

    Raises
    ------
    ValueError
        For values out of range.
    """
    check_positive("max_batch", max_batch)
    check_positive("replicas", replicas)
    if not 0 <= max_wait_s < float("inf"):
        raise ValueError(f"max_wait_s must be 0 or more, and finite, not {max_wait_s}")
    times = np.asarray(arrivals_s, np.float64)
    if times.ndim != 1 or not len(times):
        raise ValueError(f"arrivals_s must be a list of times, not of shape {times.shape}")
    if not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) >= 0).all()):
        raise ValueError("arrivals_s must be finite, not negative and in ascending order")
    if times[-1] > np.iinfo(np.int64).max / 2 / PICOSECONDS:
        raise ValueError(f"arrivals_s must lie within 50 days, not reach to {times[-1]:g} s")

    @cache
    def picoseconds(batch):
        return round(latency(batch) * PICOSECONDS)

    env = simpy.Environment()
    arrivals = [round(time) for time in (times * PICOSECONDS).tolist()]
    server = _Server(env, arrivals, picoseconds, max_batch, round(max_wait_s * PICOSECONDS))
    env.process(server.arrive())
    for _ in range(min(replicas, len(arrivals))):
        env.process(server.device())
    env.run()
    return Serving(
        np.array(arrivals, np.int64),
        np.array(server.starts, np.int64),
        np.array(server.ends, np.int64),
        np.array(server.batches),
        server.busy / PICOSECONDS,
        replicas,
        max_batch,
        max_wait_s,
    )
