"""`estimate`: latency, throughput and what bounds them, for a network on one or more devices."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hwsim.blocks.checks import check_positive
from hwsim.network.network import Network, NetworkError, check_network

from . import devices as catalog
from .dataflow import streaming, tiles
from .dataflow.mapping import PICOSECONDS, map_network
from .dataflow.workload import is_quantized

if TYPE_CHECKING:
    from hwsim.blocks.streaming import StreamingPlan

__all__ = ["Estimate", "Estimates", "LayerEstimate", "estimate"]

# Images after which a streaming pipeline is taken to have settled, as in `hwsim.blocks.streaming`.
SETTLED = 4
# Beyond it, bytes and times would no longer fit 64 bits.
LARGEST_BATCH = 1 << 20


@dataclass(frozen=True)
class LayerEstimate:
    """One layer on one device.

    Members
    -------
    name, op : str
    seconds : float
        For the batch. On a CPU, GPU or TPU from the end of the layer before to the end of this one,
        so that they add up to the latency; on an FPGA, whose layers all work at the same time, the
        time that this one is busy.
    cycles : float
        Cycles of the device's clock in ``seconds``.
    macs : int
        Multiply-accumulates for the batch.
    bytes : int
        Bytes that cross the memory interface for the batch.
    level_bytes : mapping of str to int
        Bytes that cross the interfaces of the levels between the memory and the arithmetic.
    utilization : float
        Multiply-accumulates over what the device's multipliers (an FPGA: the layer's own) could
        have done in that time; for an FPGA in the interval between images.
    bound : str
        "compute", "memory" or "launch": which takes longest; "dependency": it waits for a slower
        layer; "none": no work.
    lines : tuple of str
        The arithmetic.
    """

    name: str
    op: str
    seconds: float
    cycles: float
    macs: int
    bytes: int
    level_bytes: dict[str, int]
    utilization: float
    bound: str
    lines: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A network on one device.

    Members
    -------
    device : Device
    batch : int
    precision : str
    latency_s : float
        From the first byte of a batch to its last result.
    throughput_images_per_s : float
        Batches back to back.
    bound : str
        What bounds most of the time.
    layers : tuple of LayerEstimate
    run : callable
        Simulates one batch, see `timeline`.
    clock_hz : float
    cycles, interval_cycles : int or None
        For an FPGA: of the batch, and from one image to the next.
    notes : tuple of str
        What is assumed for this network on this device, and what does not fit.
    """

    device: catalog.Device
    batch: int
    precision: str
    latency_s: float
    throughput_images_per_s: float
    bound: str
    layers: tuple[LayerEstimate, ...] = field(repr=False)
    run: Callable[[], tuple[tuple[str, str, float, float], ...]] = field(repr=False)
    clock_hz: float
    cycles: int | None = None
    interval_cycles: int | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def timeline(self):
        """When the memory and the compute engine, or an FPGA's units, are busy with one batch.

        A tuple of (resource, layer, start_s, end_s), simulated when it is first asked for.
        """
        return self.run()

    @property
    def macs(self):
        """Multiply-accumulates for the batch."""
        return sum(layer.macs for layer in self.layers)

    @property
    def bytes(self):
        """Bytes that cross the memory interface for the batch."""
        return sum(layer.bytes for layer in self.layers)

    def frame(self):
        """Layers as a DataFrame.

        A column for each member of `LayerEstimate` but ``lines``; ``level_bytes`` has one for each
        level, ``<level>_bytes``.
        """
        columns = ["name", "op", "seconds", "cycles", "macs", "bytes"]
        levels = list(dict.fromkeys(name for layer in self.layers for name in layer.level_bytes))
        rows = [
            {
                **{column: getattr(layer, column) for column in columns},
                **{f"{level}_bytes": layer.level_bytes.get(level, 0) for level in levels},
                "utilization": layer.utilization,
                "bound": layer.bound,
            }
            for layer in self.layers
        ]
        return pd.DataFrame(rows)

    def explain(self, layer):
        """The arithmetic of one layer as text, with the numbers' sources.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        found = next((entry for entry in self.layers if entry.name == layer), None)
        if found is None:
            names = ", ".join(entry.name for entry in self.layers)
            raise ValueError(
                f"there is no layer '{layer}' on {self.device.name}; layers are {names}"
            )
        images = "1 image" if self.batch == 1 else f"{self.batch} images"
        head = f"{found.name} ({found.op}) on {self.device.name}, {images}, {self.precision}"
        lines = [head, *(f"  {line}" for line in found.lines)]
        lines.append(f"  result    {found.seconds * 1e6:,.3f} us, bound by {found.bound}")
        lines += ["numbers"]
        for quantity in self.device.quantities.values():
            lines.append(f"  {quantity.name} = {quantity}: {quantity.source}")
        if self.notes:
            lines += ["notes", *(f"  {note}" for note in self.notes)]
        return "\n".join(lines)

    def to_dict(self):
        """The estimate as plain data; keys carry units."""
        return {
            "device": self.device.name,
            "class": self.device.device_class,
            "precision": self.precision,
            "batch": self.batch,
            "latency_s": self.latency_s,
            "throughput_images_per_s": self.throughput_images_per_s,
            "bound": self.bound,
            "cycles": self.cycles,
            "interval_cycles": self.interval_cycles,
            "notes": list(self.notes),
            "layers": self.frame().to_dict("records"),
        }


class Estimates:
    """Estimates of one network on several devices.

    ``estimates[name]`` is the `Estimate` of a device; iterating gives all of them.

    Members
    -------
    table : DataFrame
        One row per device, units in the column names.
    """

    def __init__(self, network, estimates: Iterable[Estimate]):
        self.network = network
        self._estimates = {entry.device.name: entry for entry in estimates}
        columns = {
            "device": lambda e: e.device.name,
            "class": lambda e: e.device.device_class,
            "precision": lambda e: e.precision,
            "batch": lambda e: e.batch,
            "latency_s": lambda e: e.latency_s,
            "throughput_images_per_s": lambda e: e.throughput_images_per_s,
            "bound": lambda e: e.bound,
            "macs": lambda e: e.macs,
            "memory_bytes": lambda e: e.bytes,
            "notes": lambda e: "; ".join(e.notes),
        }
        rows = [[read(entry) for read in columns.values()] for entry in self]
        self.table = pd.DataFrame(rows, columns=list(columns))

    def __iter__(self):
        return iter(self._estimates.values())

    def __len__(self):
        return len(self._estimates)

    def __getitem__(self, device):
        if device not in self._estimates:
            known = ", ".join(self._estimates)
            raise ValueError(f"there is no estimate for '{device}'; devices are {known}")
        return self._estimates[device]

    def layers(self, device):
        """The device's layers as a DataFrame, see `Estimate.frame`."""
        return self[device].frame()

    def timeline(self, device):
        """The device's timeline: (resource, layer, start_s, end_s), in order of their start."""
        return list(self[device].timeline)

    def explain(self, layer, device):
        """The arithmetic of one layer on one device as text."""
        return self[device].explain(layer)

    def to_dict(self):
        """All estimates as plain data: ``{"devices": [...]}``."""
        return {"devices": [entry.to_dict() for entry in self]}

    def __str__(self):
        return self.table.to_string(index=False)

    def _repr_html_(self):
        return self.table.to_html(index=False)


def estimate(
    network: Network,
    devices: Iterable[str | Path | catalog.Device],
    *,
    batch: int = 1,
    precision: str | None = None,
    fuse: bool | None = None,
    cores: int | None = None,
    plan: "StreamingPlan | None" = None,
    design: Any = None,
    clock_hz: float | None = None,
    memory: streaming.Memory | None = None,
) -> Estimates:
    """Estimate a network on devices.

    Parameters
    ----------
    network : Network
    devices : iterable of str, path or Device
        Names of `hwsim.models.devices.names`, or TOML files.
    batch : int
        Images that are processed together.
    precision : str, optional
        Data type on CPUs, GPUs and TPUs. Unless given, int8 for quantized networks and fp32 for
        others, as far as a device has them.
    fuse : bool, optional
        Whether CPUs, GPUs and arrays run batch normalization, activations and additions with the
        matrix product before them, as compilers of graphs do. Unless given, arrays do so, and CPUs
        and GPUs run layer by layer, as eager frameworks do.
    cores : int, optional
        Cores of CPUs to use; all of them unless given.
    plan : StreamingPlan, optional
        The pipeline on FPGAs. Unless given, the fastest one that the part's DSPs allow.
    design : optional
        A design of `hwsim.build`, instead of its ``plan``.
    clock_hz : float, optional
        Clock of the FPGAs, e.g. from place and route; unless given, the device's.
    memory : streaming.Memory, optional
        Where an FPGA's images come from and its results go to. Unless given, an image is there when
        the pipeline is ready for it.

    Returns
    -------
    Estimates

    Raises
    ------
    NetworkError
        For an operator without a model, or a float network on an FPGA.
    ValueError
        For an unknown device or one that is wrong, and values out of range.
    """
    check_network(network)
    check_positive("batch", batch)
    if cores is not None:
        check_positive("cores", cores)
    if batch > LARGEST_BATCH:
        raise ValueError(f"batch must be at most {LARGEST_BATCH:,}, not {batch}")
    if not network.layers or not network.inputs or 0 in network.inputs[0].shape:
        raise NetworkError(
            f"network {network.name} has nothing to estimate; accepted: an input and a layer"
        )
    if isinstance(devices, str | Path | catalog.Device):
        devices = [devices]
    found = [catalog.load(device) for device in devices]
    if not found:
        raise ValueError("devices must name at least one device")
    twice = {device.name for device in found if [d.name for d in found].count(device.name) > 1}
    if twice:
        raise ValueError(f"devices must differ, but {', '.join(sorted(twice))} is given twice")
    if clock_hz is not None and not 0 < clock_hz < float("inf"):
        raise ValueError(f"clock_hz must be positive and finite, not {clock_hz}")
    if plan is not None and design is not None:
        raise ValueError("give either plan or design, not both")
    if design is not None:
        plan = design.plan
    estimates = []
    for device in found:
        if device.device_class == "fpga":
            estimates.append(_fpga(network, device, batch, plan, clock_hz, memory))
        else:
            estimates.append(_processor(network, device, batch, precision, fuse, cores))
    return Estimates(network, estimates)


def _processor(network, device, batch, precision, fuse, cores):
    """A CPU, GPU or TPU."""
    mapping = map_network(network, device, batch, precision, fuse, cores)
    program = mapping.program
    ends = tiles.finish(program)
    latency = interval = ends[-1]
    if program.weights_ahead:
        # What a second batch adds to the first is the time between batches.
        both = tiles.finish(tiles.Program(program.jobs * 2, True, program.weight_buffer))
        interval = both[-1] - latency
    layers = []
    total = {"compute": 0, "memory": 0, "launch": 0}
    previous = 0
    for cost, end in zip(mapping.layers, ends, strict=True):
        seconds = (end - previous) / PICOSECONDS
        job = cost.job
        shares = {
            "compute": job.compute_time,
            "memory": job.memory_time,
            "launch": job.dispatch,
        }
        bound = max(shares, key=lambda name: shares[name]) if any(shares.values()) else "none"
        if bound != "none":
            total[bound] += end - previous
        capacity = cost.peak_macs_per_s * seconds
        layers.append(
            LayerEstimate(
                cost.work.name,
                cost.work.op,
                seconds,
                seconds * device["clock"],
                cost.work.macs,
                cost.memory_bytes,
                cost.level_bytes,
                cost.work.macs / capacity if capacity else 0.0,
                bound,
                cost.lines,
            )
        )
        previous = end
    return Estimate(
        device,
        batch,
        mapping.precision,
        latency / PICOSECONDS,
        # The model's clock does not tell what takes less than a picosecond.
        batch * PICOSECONDS / max(interval, 1),
        max(total, key=lambda name: total[name]),
        tuple(layers),
        partial(_tile_timeline, mapping),
        device["clock"],
        notes=mapping.assumptions,
    )


def _tile_timeline(mapping):
    (run,) = tiles.run([mapping.program])
    names = [cost.work.name for cost in mapping.layers]
    return tuple(
        (i.resource, names[i.job], i.start / PICOSECONDS, i.end / PICOSECONDS)
        for i in run.intervals
    )


def _plan(network, device):
    """The fastest pipeline that the part's DSPs allow."""
    # Here, because CPUs, GPUs and TPUs need none of it.
    from hwsim.blocks.streaming import Streaming, plan_streaming
    from hwsim.network.lower import lower

    if not is_quantized(network):
        raise NetworkError(
            f"{device.name} runs integer networks only, and {network.name} is not quantized; "
            "quantize it with hwsim.quantize"
        )
    integer = lower(network)
    try:
        return plan_streaming(integer, Streaming(multipliers=int(device["dsps"])))
    except ValueError as error:
        if isinstance(error, NetworkError):
            raise
        raise ValueError(f"{device.name} has {int(device['dsps'])} DSPs: {error}") from None


def _streams(plan, images, memory):
    """Trace of the pipeline alone, or fed from a memory."""
    if memory is None:
        return streaming.run(plan.actors, plan.edges, images)
    ends = (-(-frame.lanes * frame.bits // 8) for frame in (plan.input, plan.output))
    pipeline = streaming.Pipeline(plan.actors, plan.edges, *ends)
    return streaming.run_shared([pipeline], memory, images)[0]


def _interval(plan, memory):
    """Cycles from image to image in the steady state."""
    if memory is None:
        last = _streams(plan, SETTLED, None).sink.reshape(SETTLED, -1)[:, -1]
        return int(last[-1] - last[-2])
    # Bursts straddle images, so that the mean counts; the last images have the memory alone.
    last = _streams(plan, 4 * SETTLED, memory).sink.reshape(4 * SETTLED, -1)[:, -1]
    return -(-int(last[3 * SETTLED] - last[SETTLED]) // (2 * SETTLED))


def _fpga(network, device, batch, plan, clock_hz, memory):
    """The streaming pipeline on an FPGA."""
    plan = plan or _plan(network, device)
    clock = clock_hz or device["clock"]
    trace = _streams(plan, min(batch, SETTLED), memory)
    interval = _interval(plan, memory)
    cycles = trace.cycles + max(batch - SETTLED, 0) * interval
    slowest = max(stage.config.interval for stage in plan.stages)
    limit = "compute" if memory is None or interval <= plan.interval else "memory"
    layers = []
    for stage in plan.stages:
        config = stage.config
        possible = config.multipliers * interval
        lines = [
            f"config    {config}",
            f"unit      {config.interval:,} cycles per image, {config.multipliers} multipliers,"
            f" {config.macs:,} MAC",
            f"pipeline  {interval:,} cycles per image; its slowest unit takes {slowest:,}",
            f"clock     {clock / 1e6:g} MHz",
        ]
        moved = _ends_bytes(plan, stage) * batch
        layers.append(
            LayerEstimate(
                stage.name,
                type(config).__name__.removesuffix("Config"),
                config.interval * batch / clock,
                config.interval * batch,
                config.macs * batch,
                moved,
                {},
                config.macs / possible if possible else 0.0,
                "compute" if config.interval == slowest and limit == "compute" else "dependency",
                tuple(lines),
            )
        )
    return Estimate(
        device,
        batch,
        "int8",
        cycles / clock,
        clock / interval,
        limit,
        tuple(layers),
        partial(_streaming_timeline, plan, trace, clock),
        clock,
        cycles,
        interval,
        _fitting(plan, device, clock_hz),
    )


def _ends_bytes(plan, stage):
    """Bytes per image that a stage takes from outside or gives away."""
    frames = [plan.output] if stage is plan.stages[-1] else []
    frames += [
        stage.config.inputs[port]
        for port, (source, _) in zip(stage.config.inputs, stage.inputs, strict=True)
        if not source
    ]
    return sum(
        frame.height * frame.width * frame.channels * -(-frame.bits // 8) for frame in frames
    )


def _streaming_timeline(plan, trace, clock):
    """From a unit's first beat in to its last beat out."""
    first: dict[str, int] = {}
    for edge, taken in trace.taken.items():
        if edge.consumer is not None and len(taken):
            first[edge.consumer] = min(first.get(edge.consumer, int(taken[0])), int(taken[0]))
    rows = []
    for stage in plan.stages:
        actors = [actor.name for actor in stage.config.actors(stage.name)]
        issues = [int(trace.issue[name][-1]) for name in actors if len(trace.issue[name])]
        end = max(issues) + 1
        rows.append((stage.name, stage.name, first[actors[0]] / clock, end / clock))
    return tuple(sorted(rows, key=lambda row: row[2]))


def _fitting(plan, device, clock_hz):
    """What is assumed, and what does not fit."""
    notes = []
    if clock_hz is None:
        quantity = device.quantities["clock"]
        notes.append(f"clock {quantity} ({quantity.source})")
    dsps = int(device["dsps"])
    if plan.multipliers > dsps:
        notes.append(
            f"does not fit: {plan.multipliers} multipliers of 8 x 8 bits, one DSP each, but "
            f"{device.name} has {dsps} DSPs"
        )
    bits = sum(
        layer.weights.size * layer.weight_bits
        for layer in plan.network.layers
        if hasattr(layer, "weight_bits")
    )
    room = int(device["block_rams"] * device["block_ram_size"] * 8)
    if bits > room:
        notes.append(
            f"does not fit: {bits:,} bits of weights, but {device.name} has {room:,} bits of "
            "block RAM"
        )
    return tuple(notes)
