"""How long each layer computes, and what it moves, on a CPU, a GPU or an array, in closed form.

How matrix products are computed stands in `hwsim.models.processors`; everything else (pooling,
activation, addition, ...) runs on the vector unit at one operation per lane and cycle.

A feature map stays on chip from its producer to its last reader if everything that is alive in the
meantime fits there; otherwise each reader loads it and its producer stores it once. What comes from
outside or goes there always passes through memory.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hwsim.models.processors import PROCESSORS
from hwsim.network.network import NetworkError

from .tiles import Job, Program
from .training import training_step
from .workload import FLOAT_BYTES, is_quantized, workload

if TYPE_CHECKING:
    from .workload import Work

__all__ = [
    "LayerCost",
    "Mapping",
    "Residence",
    "choose_precision",
    "layer_precision",
    "map_network",
    "map_workload",
]

PICOSECONDS = 10**12

_FLOATS = ("fp32", "bf16", "fp16")
# Of a device's precisions the first of these that it has is used: by whether a network is
# quantized, and in a training step.
_PREFERENCES = {
    False: (*_FLOATS, "int8", "int16"),
    True: ("int8", *_FLOATS, "int16"),
}
_TRAINING = (*_FLOATS, "int16", "int8")
_LEARNS = {
    "int16": "in which 'hwsim train' learns",
    "int8": "and whether a network learns in that is not shown here",
}


@dataclass(frozen=True, eq=False)
class LayerCost:
    """One layer on one device.

    Members
    -------
    work : Work
    job : Job
    cycles : float
        That the arithmetic is busy, of the device's clock.
    memory_bytes : int
        Bytes that cross the memory interface.
    level_bytes : mapping of str to int
        Bytes that cross the interfaces of the levels in between.
    peak_macs_per_s : float
        What the device's multipliers could do in the layer's data type.
    lines : tuple of str
        The arithmetic.
    precision : str
        Data type of the arithmetic.
    """

    work: "Work"
    job: Job
    cycles: float
    memory_bytes: int
    level_bytes: dict[str, int]
    peak_macs_per_s: float
    lines: tuple[str, ...]
    precision: str


@dataclass(frozen=True, eq=False)
class Mapping:
    """A network on a device: its layers, and the program for `hwsim.models.dataflow.tiles`."""

    device: object
    precision: str
    layers: tuple[LayerCost, ...]
    program: Program = field(repr=False)
    assumptions: tuple[str, ...] = ()


def choose_precision(device, quantized, precision=None, training=False):
    """The data type in which ``device`` runs a network, and what has to be assumed for it.

    Returns
    -------
    (str, str)
        The second is empty if nothing is assumed.

    Raises
    ------
    ValueError
        If ``precision`` is given and the device does not have it, or it is of integers for a
        training step on a device that has floats.
    """
    kinds = device.precisions
    floats = [kind for kind in kinds if not kind.startswith("int")]
    if precision is not None and precision not in kinds:
        raise ValueError(f"{device.name} computes in {', '.join(kinds)}, not in {precision}")
    if training and floats and precision in ("int16", "int8"):
        raise ValueError(
            f"training on {device.name} computes in {', '.join(floats)}, not in {precision}"
        )
    order = _TRAINING if training else _PREFERENCES[quantized]
    chosen = precision or next(kind for kind in order if kind in kinds)
    no_floats = f"{device.name} has no float data type: the"
    if training and not floats:
        return chosen, f"{no_floats} step is taken in {chosen}, {_LEARNS[chosen]}"
    if precision is not None:
        return precision, ""
    if quantized and chosen != "int8":
        return chosen, f"{device.name} has no int8 rate: the quantized network runs in {chosen}"
    if not quantized and not floats:
        return chosen, f"{no_floats} network is taken as quantized, in {chosen}"
    return chosen, ""


def map_network(network, device, batch, precision=None, fuse=None, cores=None, optimizer=None):
    """Map a network to a CPU, GPU or array.

    Parameters
    ----------
    network : hwsim.network.Network
    device : Device
    batch : int
    precision : str, optional
        A data type of the device; unless given, int8 for quantized networks and fp32 for others,
        as far as the device has them.
    fuse : bool, optional
        Whether layers are fused, see `hwsim.models.dataflow.workload`; unless given, as the class
        of the device does.
    cores : int, optional
        Cores of a CPU to use; all of them unless given.
    optimizer : str, optional
        Of a training step, see `hwsim.models.dataflow.training`; unless given, the network is run
        forward only.

    Returns
    -------
    Mapping

    Raises
    ------
    NetworkError
        For a training step of a quantized network, or of one without parameters.
    ValueError
        For a data type that the device does not have, or not for training, or a fused step.
    """
    quantized, training = is_quantized(network), optimizer is not None
    if training and quantized:
        raise NetworkError(
            f"training needs a float network, and {network.name} is quantized; give the network "
            "that it was quantized from"
        )
    if training and fuse:
        raise ValueError("training runs layer by layer: leave fuse out, or let it be False")
    precision, assumed = choose_precision(device, quantized, precision, training)
    assumptions = [assumed] if assumed else []
    if fuse is None:
        fuse = PROCESSORS[device.device_class].fuses and not training
    load = workload(network, batch, precision, fuse, training)
    if training:
        load = training_step(load, optimizer)
        assumptions.append(_step_note(load, optimizer))
    return map_workload(load, device, quantized, assumptions, cores)


def map_workload(load, device, quantized=False, assumptions=(), cores=None):
    """Map a `Workload` to a CPU, GPU or array, see `map_network`.

    Parameters
    ----------
    load : Workload
        In a precision of the device.
    device : Device
    quantized : bool
        Whether layers that do not work on codes run in floats where the precision is "int8".
    assumptions : tuple of str
    cores : int, optional
    """
    processor = PROCESSORS[device.device_class](device)
    processor.prepare(load, cores)
    precision = load.precision
    traffic = _Traffic(load, device, processor)
    layers = []
    for index, work in enumerate(load.works):
        kind = layer_precision(device, precision, quantized, work)
        layers.append(
            _cost(processor, device, work, kind, traffic.free(index), *traffic.bytes(index))
        )
    ahead = processor.streams_weights
    buffer = int(device["weight_fifo_tiles"]) if ahead else 2
    program = Program(tuple(layer.job for layer in layers), ahead, buffer)
    notes = (*assumptions, *_fitting(device, load, traffic))
    return Mapping(device, precision, tuple(layers), program, notes)


def _step_note(load, optimizer):
    copy = "32-bit integers" if load.precision.startswith("int") else "fp32"
    kept = "" if FLOAT_BYTES[load.precision] == 4 else f", on a copy of the weights in {copy}"
    return (
        f"training step: forward, backward and an update by {optimizer}{kept}; the loss is a "
        "cross-entropy"
    )


def _fitting(device, load, traffic):
    """A note, if the memory is too small."""
    if "memory_size" not in device:
        return []
    weights = sum(work.weight_bytes for work in load.works if work.phase == "forward")
    maps = int(traffic.alive.max(initial=0))
    size = weights + load.resident_bytes + maps
    if size <= device["memory_size"]:
        return []
    states = f" + {load.resident_bytes:,} optimizer" if load.resident_bytes else ""
    return [
        f"does not fit: {size:,} B ({weights:,} weights{states} + {maps:,} feature maps alive at "
        f"once), but {device.name} has {device.quantities['memory_size']} of memory"
    ]


def layer_precision(device, precision, quantized, work):
    """The data type of a layer: of a quantized network some may still be floats."""
    if precision == "int8" and quantized and not work.integer:
        return next(p for p in _PREFERENCES[False] if p in device.precisions)
    return precision


class Residence:
    """What each feature map needs to stay on chip from its producer to its last reader.

    Parameters
    ----------
    load : Workload
    shared : bool
        Whether weights lie in the same place, those of the layer that runs.

    Members
    -------
    alive : array
        Bytes of the feature maps that are alive, for each layer.
    needs : mapping of feature map to bytes
        The least capacity with which it stays: that of everything at its most crowded time. What
        comes from outside or goes there is not among them.
    all_bytes : int
        With which all weights stay, too.
    """

    def __init__(self, load, shared):
        self.load = load
        count = len(load.works)
        first, last = {}, {}
        for index, work in enumerate(load.works):
            for name in work.outputs:
                first[name] = last[name] = index
            for name in work.inputs:
                first.setdefault(name, 0)
                last[name] = index
        for name in load.parked:  # in memory, and nowhere else
            first.pop(name, None)
        self.spans = {name: slice(start, last[name] + 1) for name, start in first.items()}
        self.alive = np.zeros(count, np.int64)
        for name, span in self.spans.items():
            self.alive[span] += load.sizes[name]
        weights = np.array([work.weight_bytes for work in load.works], np.int64)
        self.all_bytes = int(weights.sum() + self.alive.max(initial=0))
        used = self.alive + weights if shared else self.alive
        self.needs = {
            name: used[span].max() for name, span in self.spans.items() if name not in load.ends
        }

    def resident(self, names):
        """Bytes of these feature maps, for each layer during which they are alive."""
        found = np.zeros(len(self.load.works), np.int64)
        for name in names:
            found[self.spans[name]] += self.load.sizes[name]
        return found


class _Traffic:
    """What stays on chip, and what each layer moves."""

    def __init__(self, load, device, processor):
        self.load, self.device = load, device
        shared = not processor.streams_weights  # a cache holds weights too
        self.capacity = device["cache_size" if "cache_size" in device else "scratchpad_size"]
        residence = Residence(load, shared)
        self.alive = residence.alive
        through = "feature_maps" in device and device["feature_maps"] == "memory"
        # What changes in every step does not stay.
        self.keeps_weights = (
            shared and not through and not load.training and residence.all_bytes <= self.capacity
        )
        self.on_chip = {
            name for name, need in residence.needs.items() if not through and need <= self.capacity
        }
        self.resident = residence.resident(self.on_chip)

    def free(self, index):
        """Bytes on chip beside the feature maps that stay there."""
        return int(self.capacity - self.resident[index])

    def bytes(self, index):
        """(weights, feature maps read, feature maps written, text) of layer ``index``."""
        work, sizes = self.load.works[index], self.load.sizes
        reads = [name for name in work.inputs if name not in self.on_chip]
        writes = [name for name in work.outputs if name not in self.on_chip]
        weights = 0 if self.keeps_weights else work.weight_bytes
        kept = [n for n in dict.fromkeys((*work.inputs, *work.outputs)) if n in self.on_chip]
        place = f"{self.alive[index] / 2**20:.3g} MiB of feature maps alive, "
        place += f"{self.capacity / 2**20:.3g} MiB on chip"
        text = f"on chip   {', '.join(kept) if kept else 'no feature map'} ({place})"
        return weights, sum(sizes[n] for n in reads), sum(sizes[n] for n in writes), text


def _cost(processor, device, work, precision, free, weights, reads, writes, place):
    peak = processor.peak(precision)
    if work.free:
        return LayerCost(work, Job(work.name), 0, 0, {}, peak, (work.note,), precision)
    lines: list[str] = []
    cost = processor.cost(work, precision, lines)
    clock = device["clock"]
    seconds = cost.cycles / clock
    lines.append(
        f"compute   {cost.cycles:,.0f} cycles / {device.quantities['clock']} = {_time(seconds)}"
        + (f", {_time(cost.ending / clock)} after the last tile" if cost.ending else "")
    )
    once = {"weights": weights, "inputs": reads}
    weights, reads = processor.traffic(work, cost, precision, weights, reads, free)
    total = weights + reads + writes + cost.ending_bytes
    for name, moved in (("weights", weights), ("inputs", reads)):
        if moved > once[name] > 0:
            lines.append(f"reloads   {moved:,} B for {once[name]:,} B of {name}")
    lines.append(place)
    lines.append(
        f"memory    {weights + reads + writes:,} B ({weights:,} weights + {reads:,} in + {writes:,}"
        f" out) / {processor.memory_text}"
        f" = {_time(processor.memory_seconds(weights + reads + writes))}"
    )
    dispatch = 0 if work.note else processor.launch_seconds(cost.launches)
    lines.append(f"dispatch  {_time(dispatch)}" + (f" ({work.note})" if work.note else ""))
    ahead, tiles = processor.streams_weights, cost.tiles
    job = Job(
        work.name,
        tiles,
        weights=_each(processor.memory_seconds(weights), tiles) if ahead else 0,
        inputs=_each(processor.memory_seconds(reads if ahead else weights + reads), tiles),
        compute=_each(seconds, tiles),
        outputs=_each(processor.memory_seconds(writes), tiles),
        dispatch=round(dispatch * PICOSECONDS),
        ending=math.ceil(cost.ending / clock * PICOSECONDS),
    )
    lines.append(
        f"alone     {tiles} tiles through double buffers: first load + last store + the larger of "
        f"compute and memory in between + dispatch = {_time(job.time / PICOSECONDS)}"
    )
    cycles = cost.cycles + cost.ending
    return LayerCost(work, job, cycles, total, cost.level_bytes, peak, tuple(lines), precision)


def _each(seconds, tiles):
    """Picoseconds of one of ``tiles`` equal parts, rounded up."""
    return math.ceil(seconds * PICOSECONDS / tiles)


def _time(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.4g} {unit}"
    return f"{seconds * 1e9:.4g} ns"
