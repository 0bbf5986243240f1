"""`estimate`: latency, throughput and what bounds them, for a network on one or more devices."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from hwsim.blocks.checks import check_positive
from hwsim.network.integer import IntegerNetwork
from hwsim.network.network import Network, NetworkError, check_network

from . import devices as catalog
from . import energy
from .dataflow import tiles
from .dataflow.mapping import PICOSECONDS, map_network
from .dataflow.training import check_optimizer

__all__ = ["Estimate", "Estimates", "LayerEstimate", "estimate"]

# Beyond it, bytes and times would no longer fit 64 bits.
LARGEST_BATCH = 1 << 20


@dataclass(frozen=True)
class LayerEstimate:
    """One layer on one device.

    Members
    -------
    name, op : str
    seconds : float
        For the batch. From the end of the layer before to the end of this one, so that they add up
        to the latency; in a pipeline on an FPGA, whose layers all work at the same time, the time
        that this one is busy.
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
        have done in that time; for an FPGA in the interval between images. Above 1 where Winograd's
        algorithm needs fewer multiplications than there are multiply-accumulates.
    bound : str
        "compute", "memory" or "launch": which takes longest; "dependency": it waits for a slower
        layer; "none": no work.
    lines : tuple of str
        The arithmetic.
    operations : int
        Operations beside the multiply-accumulates, for the batch; on an FPGA they are not counted.
    precision : str
        Data type of the arithmetic.
    phase : str
        "forward"; in a training step also "input gradient", "weight gradient" or "update".
    energy_j : float
        Of the arithmetic and the data, for the batch, see `hwsim.models.energy`.
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
    operations: int = 0
    precision: str = "int8"
    phase: str = "forward"
    energy_j: float = 0.0


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
    training : bool
        Whether it is a training step.
    pipelined : bool
        Whether all layers work at the same time, so that their times do not add up.
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
    training: bool = False
    pipelined: bool = False

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

    @property
    def energy_j(self):
        """Energy of the arithmetic and the data for the batch, see `hwsim.models.energy`."""
        return sum(layer.energy_j for layer in self.layers)

    @property
    def tdp_energy_j(self):
        """Thermal design power x latency, what the device draws at most; None if not known."""
        return self.device["tdp"] * self.latency_s if "tdp" in self.device else None

    def frame(self):
        """Layers as a DataFrame.

        Columns are ``name``, ``op``, for a training step ``phase``, ``seconds``, ``cycles``,
        ``macs``, ``bytes``, ``<level>_bytes`` for each level, ``energy_j``, ``utilization`` and
        ``bound``.
        """
        phase = ["phase"] if self.training else []
        columns = ["name", "op", *phase, "seconds", "cycles", "macs", "bytes"]
        levels = list(dict.fromkeys(name for layer in self.layers for name in layer.level_bytes))
        rows = [
            {
                **{column: getattr(layer, column) for column in columns},
                **{f"{level}_bytes": layer.level_bytes.get(level, 0) for level in levels},
                "energy_j": layer.energy_j,
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
        if self.training:
            head += f", {found.phase} of a training step"
        lines = [head, *(f"  {line}" for line in found.lines)]
        lines.append(f"  result    {found.seconds * 1e6:,.3f} us, bound by {found.bound}")
        lines += ["numbers"]
        for quantity in self.device.quantities.values():
            lines.append(f"  {quantity.name} = {quantity}: {quantity.source}")
        for quantity in energy.used(found.precision, found.level_bytes):
            lines.append(f"  energy of {quantity.name} = {quantity}: {quantity.source}")
        lines += ["notes", *(f"  {note}" for note in (*self.notes, energy.NOTE))]
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
            "energy_j": self.energy_j,
            "tdp_energy_j": self.tdp_energy_j,
            "training": self.training,
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
            "energy_j": lambda e: e.energy_j,
            "tdp_energy_j": lambda e: e.tdp_energy_j,
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
        """All estimates as plain data: ``{"energy_note": ..., "devices": [...]}``."""
        return {"energy_note": energy.NOTE, "devices": [entry.to_dict() for entry in self]}

    def __str__(self):
        return self.table.to_string(index=False)

    def _repr_html_(self):
        return self.table.to_html(index=False)


def estimate(
    network: Network | IntegerNetwork,
    devices: Iterable[str | Path | catalog.Device],
    *,
    batch: int = 1,
    precision: str | None = None,
    fuse: bool | None = None,
    cores: int | None = None,
    training: bool = False,
    optimizer: str = "sgd",
    design: Any = None,
    clock_hz: float | None = None,
    memory: Any = None,
) -> Estimates:
    """Estimate a network on devices.

    Parameters
    ----------
    network : Network or IntegerNetwork
        An FPGA runs quantized networks; others are taken as if they were, with random weights. An
        `IntegerNetwork` is for FPGAs alone.
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
        and GPUs run layer by layer, as eager frameworks do. Not for a training step.
    cores : int, optional
        Cores of CPUs to use; all of them unless given.
    training : bool
        Whether a training step is estimated: forward, gradients, update; see
        `hwsim.models.dataflow.training`. On a device without floats in its integers, which a note
        says; on an FPGA by the training accelerator, in 16 bits.
    optimizer : str
        Of the training step: "sgd", "momentum" or "adam".
    design : optional
        What runs on FPGAs: a design of `hwsim.build`, or a `hwsim.Streaming` or `hwsim.Systolic` to
        build it from. Unless given, the fastest streaming pipeline that the part's DSPs allow; if
        they are too few for any, the smallest, with a note. For a training step a
        `hwsim.blocks.training.TrainingConfig`, of which the lanes count; unless given, those of 16,
        32, 64, the batch, or what the part's DSPs allow, that take the fewest cycles.
    clock_hz : float, optional
        Clock of the FPGAs, e.g. from place and route; unless given, the device's.
    memory : optional
        Where an FPGA's images come from and its results go to: for a pipeline a
        `hwsim.models.dataflow.streaming.Memory`, and unless given, an image is there when the
        pipeline is ready for it; for a systolic accelerator a
        `hwsim.blocks.systolic.timing.Memory`.

    Returns
    -------
    Estimates

    Raises
    ------
    NetworkError
        For an operator without a model, or training a quantized network; on an FPGA also for what
        its accelerators do not run or train.
    ValueError
        For an unknown device or one that is wrong, and values out of range.
    """
    if not isinstance(network, IntegerNetwork):
        check_network(network)
        if not network.layers or not network.inputs or 0 in network.inputs[0].shape:
            raise NetworkError(
                f"network {network.name} has nothing to estimate; accepted: an input and a layer"
            )
    check_positive("batch", batch)
    if cores is not None:
        check_positive("cores", cores)
    if batch > LARGEST_BATCH:
        raise ValueError(f"batch must be at most {LARGEST_BATCH:,}, not {batch}")
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
    check_optimizer(optimizer)
    estimates = []
    for device in found:
        if isinstance(network, IntegerNetwork) and (device.device_class != "fpga" or training):
            raise TypeError(
                f"network must be a Network for {device.name}, or for training; an IntegerNetwork "
                "is for inference on FPGAs"
            )
        # Imported here, because CPUs, GPUs and arrays need none of it.
        if device.device_class == "fpga" and training:
            from .fpga_training import estimate_training

            entry = estimate_training(network, device, batch, optimizer, design, clock_hz)
        elif device.device_class == "fpga":
            from .fpga import estimate_fpga

            entry = estimate_fpga(network, device, batch, design, clock_hz, memory)
        else:
            entry = _processor(
                network, device, batch, precision, fuse, cores, optimizer if training else None
            )
        estimates.append(replace(entry, layers=tuple(map(_with_energy, entry.layers))))
    return Estimates(network, estimates)


def _with_energy(layer):
    # What is done beside a matrix product takes no time of its own, and energy all the same.
    if not (layer.macs or layer.operations or layer.bytes):
        return layer
    found = energy.layer_energy(
        layer.macs, layer.operations, layer.precision, layer.level_bytes, layer.bytes
    )
    return replace(layer, energy_j=found.total_j, lines=(*layer.lines, found.line))


def _processor(network, device, batch, precision, fuse, cores, optimizer):
    """A CPU, GPU or TPU."""
    mapping = map_network(network, device, batch, precision, fuse, cores, optimizer)
    program = mapping.program
    ends = tiles.finish(program)
    latency = interval = ends[-1]
    if program.weights_ahead and optimizer is None:  # a step waits for the weights of the last
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
                cost.work.element_ops,
                cost.precision,
                cost.work.phase,
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
        training=optimizer is not None,
    )


def _tile_timeline(mapping):
    (run,) = tiles.run([mapping.program])
    names = [cost.work.name for cost in mapping.layers]
    return tuple(
        (i.resource, names[i.job], i.start / PICOSECONDS, i.end / PICOSECONDS)
        for i in run.intervals
    )
