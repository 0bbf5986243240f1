"""Several devices: the batch split over them, or the layers.

Data parallel. Each of n devices takes its share of the batch. In training they then add their
gradients by a ring all-reduce (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for
clusters of workstations", 2009): in each of 2 (n - 1) steps every device sends a chunk, an n-th of
the gradient, to its neighbour, so that W bytes take

    2 (n - 1) (ceil(W / n) / bandwidth + latency)

Pipeline parallel. The layers are cut in n parts, one per device, so that the slowest part is as
fast as it can be; feature maps that a later part reads cross the link in between. Parts and links,
t_1 ... t_k, work at the same time on different images, so that M parcels of images take

    t_1 + ... + t_k + (M - 1) max(t)

Both formulas hold where all devices are equal and nothing else uses the links; the processes of
`simulate_ring` and `simulate_pipeline` give the same, to the picosecond, and also what happens
where a device is late or parts vary. Times are integer picoseconds.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import simpy

from hwsim.blocks.checks import check_positive
from hwsim.network.network import NetworkError

from .workload import FLOAT_BYTES, workload

__all__ = [
    "DataParallel",
    "Link",
    "PipelineParallel",
    "Split",
    "data_parallel",
    "partition",
    "pipeline_parallel",
    "pipeline_time",
    "ring_process",
    "ring_time",
    "simulate_pipeline",
    "simulate_ring",
]

PICOSECONDS = 10**12
# How notes begin that say so.
UNFIT = "does not fit: "


@dataclass(frozen=True)
class Link:
    """A link from one device to the next, both directions at full speed.

    Parameters
    ----------
    bandwidth_bytes_per_s : float
    latency_s : float
    """

    bandwidth_bytes_per_s: float
    latency_s: float = 0.0

    def __post_init__(self):
        if not 0 < self.bandwidth_bytes_per_s < float("inf"):
            raise ValueError(
                "bandwidth_bytes_per_s must be positive and finite, "
                f"not {self.bandwidth_bytes_per_s}"
            )
        if not 0 <= self.latency_s < float("inf"):
            raise ValueError(f"latency_s must be 0 or more, and finite, not {self.latency_s}")

    def time(self, size):
        """Picoseconds for ``size`` bytes; nothing is sent for none."""
        if not size:
            return 0
        return round((size / self.bandwidth_bytes_per_s + self.latency_s) * PICOSECONDS)


def ring_time(size, devices, link):
    """Picoseconds of an all-reduce of ``size`` bytes, in closed form."""
    return 2 * (devices - 1) * link.time(-(-size // devices))


def ring_process(env, arrivals, number, steps, time):
    """SimPy process: a device sends to the next one, and waits for the one before, in each step.

    arrivals : a `simpy.Store` for each device. time : picoseconds of a step.
    """

    def send(target):
        yield env.timeout(time)
        yield target.put(None)

    for _ in range(steps):
        # What arrives is added, or stored, and goes on in the next step.
        sent = env.process(send(arrivals[(number + 1) % len(arrivals)]))
        yield arrivals[number].get()
        yield sent


def simulate_ring(size, starts, link):
    """An all-reduce over devices that are ready at different times.

    Parameters
    ----------
    size : int
        Bytes on each device.
    starts : sequence of int
        Picosecond in which each device has its gradient.
    link : Link
        From each device to the next.

    Returns
    -------
    tuple of int
        Picosecond in which each device has the sum.
    """
    count = len(starts)
    env = simpy.Environment()
    arrivals = [simpy.Store(env) for _ in range(count)]
    ends = list(starts)
    time = link.time(-(-size // count))

    def device(number):
        yield env.timeout(starts[number])
        yield from ring_process(env, arrivals, number, 2 * (count - 1), time)
        ends[number] = env.now

    for number in range(count):
        env.process(device(number))
    env.run()
    return tuple(ends)


def partition(times, parts):
    """Cut a sequence so that the largest sum of a part is as small as can be.

    Parameters
    ----------
    times : sequence of int
        Not negative.
    parts : int
        At most as many as there are times.

    Returns
    -------
    list of int
        Where each part begins, and the end.
    """
    check_positive("parts", parts)
    if parts > len(times):
        raise ValueError(f"parts must be at most {len(times)}, the layers, not {parts}")
    sums = [0]
    for time in times:
        sums.append(sums[-1] + time)
    count = len(times)
    best = [sums[end] for end in range(count + 1)]  # largest sum of the times before, in one part
    cuts = []
    for part in range(1, parts):
        line, cut = [0] * (count + 1), [0] * (count + 1)
        for end in range(part + 1, count + 1):
            options = ((max(best[k], sums[end] - sums[k]), k) for k in range(part, end))
            line[end], cut[end] = min(options)
        best = line
        cuts.append(cut)
    bounds = [count]
    for cut in reversed(cuts):
        bounds.append(cut[bounds[-1]])
    return [0, *reversed(bounds)]


def pipeline_time(times, parcels):
    """Picoseconds of ``parcels`` through stages of constant times, in closed form."""
    return sum(times) + (parcels - 1) * max(times)


def simulate_pipeline(times, parcels, *, buffers=1):
    """Parcels through stages, one after the other.

    Parameters
    ----------
    times : sequence of int, or of sequences of int
        Picoseconds of each stage, of all parcels or of each.
    parcels : int
    buffers : int
        Parcels for which there is room between two stages.

    Returns
    -------
    tuple of int
        Picosecond in which each parcel leaves the last stage.
    """
    env = simpy.Environment()
    between = [simpy.Store(env, buffers) for _ in times[1:]]
    ends = []

    def stage(number, own):
        for parcel in range(parcels):
            if number:
                yield between[number - 1].get()
            yield env.timeout(own if isinstance(own, int) else own[parcel])
            if number + 1 < len(times):
                yield between[number].put(parcel)
            else:
                ends.append(env.now)

    for number, own in enumerate(times):
        env.process(stage(number, own))
    env.run()
    return tuple(ends)


@dataclass(frozen=True)
class Split:
    """What several devices gain that work on a batch and then wait for one another.

    Members
    -------
    devices, batch : int
    compute_s : float
        Of the device with the largest share.
    exchange_s : float
        In which nothing is computed.
    exchange_bytes : int
        Of what is exchanged, as each device has it.
    alone_s : float
        Of the batch on one device.
    kind : str
    notes : tuple of str
        What does not fit the device with the largest share.
    """

    devices: int
    batch: int
    compute_s: float
    exchange_s: float
    exchange_bytes: int
    alone_s: float
    kind: str
    notes: tuple[str, ...]

    @property
    def latency_s(self):
        """Of the batch."""
        return self.compute_s + self.exchange_s

    @property
    def throughput_images_per_s(self):
        """Batches one after the other."""
        return self.batch / self.latency_s

    @property
    def speedup(self):
        """Over one device."""
        return self.alone_s / self.latency_s

    @property
    def efficiency(self):
        """Speed-up for each device."""
        return self.speedup / self.devices

    def to_dict(self):
        """Plain data; keys carry units."""
        return {
            "kind": self.kind,
            "devices": self.devices,
            "latency_s": self.latency_s,
            "throughput_images_per_s": self.throughput_images_per_s,
            "speedup": self.speedup,
            "efficiency": self.efficiency,
            "compute_s": self.compute_s,
            "exchange_s": self.exchange_s,
            "exchange_bytes": self.exchange_bytes,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class DataParallel(Split):
    """A batch split over devices.

    Members
    -------
    shares : tuple of int
        Images of each device.
    """

    shares: tuple[int, ...]


def _estimate(network, device, batch, options):
    # Here, because `hwsim.models.estimate` builds on this package.
    from hwsim.models.estimate import estimate

    (found,) = estimate(network, [device], batch=batch, **options)
    return found


def data_parallel(network, device, devices, link, *, batch, **options):
    """Split a batch over equal devices.

    Parameters
    ----------
    network : hwsim.network.Network
    device : str, path or Device
    devices : int
    link : Link
        Of the ring; used in training only.
    batch : int
        Images in all; the shares differ by one network's batch at most.
    **options
        Of `hwsim.estimate`, such as ``training``.

    Returns
    -------
    DataParallel

    Raises
    ------
    ValueError
        For more devices than images, and whatever `hwsim.estimate` refuses.
    """
    check_positive("devices", devices)
    check_positive("batch", batch)
    own = network.inputs[0].shape[0] if len(network.inputs[0].shape) > 1 else 1
    parcels, rest = divmod(batch, own)
    if rest:
        raise ValueError(
            f"batch must be a multiple of the network's own batch of {own}, not {batch}"
        )
    if devices > parcels:
        raise ValueError(
            f"devices must be at most {parcels}, the parts of the batch, not {devices}"
        )
    shares = [own * (parcels // devices + (k < parcels % devices)) for k in range(devices)]
    alone = _estimate(network, device, batch, options)
    found = {share: _estimate(network, device, share, options) for share in set(shares)}
    times = [round(found[share].latency_s * PICOSECONDS) for share in shares]
    size = exchange = 0
    if options.get("training"):
        step = workload(network, own, alone.precision, training=True)
        size = sum(step.parameters.values()) * FLOAT_BYTES[alone.precision]
        exchange = max(simulate_ring(size, times, link)) - max(times)
    return DataParallel(
        devices,
        batch,
        max(times) / PICOSECONDS,
        exchange / PICOSECONDS,
        size,
        alone.latency_s,
        "data",
        tuple(note for note in found[shares[0]].notes if note.startswith(UNFIT)),
        tuple(shares),
    )


@dataclass(frozen=True)
class PipelineParallel:
    """Layers split over devices.

    Members
    -------
    devices, batch, parcel : int
        Images in all, and of those that move from device to device together.
    parts : tuple of tuple of str
        Names of the layers on each device.
    compute_s : tuple of float
        Of a parcel on each device.
    link_s : tuple of float
        Of a parcel on each link.
    link_bytes : tuple of int
    latency_s : float
        Of the batch.
    alone_s : float
        Of the batch, in the same parcels, on one device.
    """

    devices: int
    batch: int
    parcel: int
    parts: tuple[tuple[str, ...], ...] = field(repr=False)
    compute_s: tuple[float, ...]
    link_s: tuple[float, ...]
    link_bytes: tuple[int, ...]
    latency_s: float
    alone_s: float

    @property
    def throughput_images_per_s(self):
        """In the steady state, parcel after parcel."""
        return self.parcel / max(*self.compute_s, *self.link_s, 1 / PICOSECONDS)

    @property
    def speedup(self):
        """Over one device, filling and draining included."""
        return self.alone_s / self.latency_s

    @property
    def efficiency(self):
        """Speed-up for each device."""
        return self.speedup / self.devices

    def to_dict(self):
        """Plain data; keys carry units."""
        return {
            "kind": "pipeline",
            "devices": self.devices,
            "parcel_images": self.parcel,
            "latency_s": self.latency_s,
            "throughput_images_per_s": self.throughput_images_per_s,
            "speedup": self.speedup,
            "efficiency": self.efficiency,
            "parts": [
                {"layers": list(names), "seconds": seconds}
                for names, seconds in zip(self.parts, self.compute_s, strict=True)
            ],
            "links": [
                {"bytes": size, "seconds": seconds}
                for size, seconds in zip(self.link_bytes, self.link_s, strict=True)
            ],
        }


def pipeline_parallel(network, device, devices, link, *, batch, parcel=1, **options):
    """Split the layers over equal devices, through which parcels of images move.

    Parameters
    ----------
    network : hwsim.network.Network
    device : str, path or Device
        A CPU, GPU or array.
    devices : int
    link : Link
        From each device to the next.
    batch : int
        Images in all.
    parcel : int
        Images that are processed and sent together.
    **options
        Of `hwsim.estimate`, but training.

    Returns
    -------
    PipelineParallel

    Raises
    ------
    NetworkError
        For training, of which there is no such model.
    ValueError
        For more devices than layers, and values out of range.
    """
    check_positive("devices", devices)
    check_positive("parcel", parcel)
    check_positive("batch", batch)
    if options.get("training"):
        raise NetworkError("pipeline-parallel training has no model; split the batch instead")
    if batch % parcel:
        raise ValueError(f"batch must be a multiple of parcel, {parcel}, not {batch}")
    found = _estimate(network, device, parcel, options)
    if found.device.device_class == "fpga":
        raise ValueError(
            "layers that are cut in parts have no model on FPGAs, and "
            f"{found.device.name} is one; give a device of the classes cpu, gpu, tpu and spatial, "
            "or split the batch"
        )
    times = [round(layer.seconds * PICOSECONDS) for layer in found.layers]
    bounds = partition(times, devices)
    spans = list(pairwise(bounds))
    load = workload(network, parcel, found.precision, _fused(found, options))
    sizes = [_crossing(load, cut) for cut in bounds[1:-1]]
    computes = [sum(times[a:b]) for a, b in spans]
    links = [link.time(size) for size in sizes]
    stages = [computes[0]]
    for sent, computed in zip(links, computes[1:], strict=True):
        stages += [sent, computed]
    return PipelineParallel(
        devices,
        batch,
        parcel,
        tuple(tuple(layer.name for layer in found.layers[a:b]) for a, b in spans),
        tuple(time / PICOSECONDS for time in computes),
        tuple(time / PICOSECONDS for time in links),
        tuple(sizes),
        pipeline_time(stages, batch // parcel) / PICOSECONDS,
        sum(times) * (batch // parcel) / PICOSECONDS,
    )


def _fused(found, options):
    from hwsim.models.processors import PROCESSORS

    given = options.get("fuse")
    return PROCESSORS[found.device.device_class].fuses if given is None else given


def _crossing(load, cut):
    """Bytes of the feature maps that are made before layer ``cut``, or come in, and read behind.

    The network's inputs are given to each device that reads them.
    """
    made = {name for work in load.works[:cut] for name in work.outputs}
    read = {name for work in load.works[cut:] for name in work.inputs}
    return sum(load.sizes[name] for name in made & read)
