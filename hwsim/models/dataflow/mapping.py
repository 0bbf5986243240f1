"""How long each layer computes, and what it moves, on a CPU, a GPU or a TPU, in closed form.

CPU
    Output vectors (``vector_lanes`` outputs side by side) are dealt to the cores; each takes K
    fused multiply-adds.
GPU
    A kernel computes tiles of the output, one tile of a multiprocessor at a time: the last tile of
    each row and column (tile quantization) and the last wave of tiles (wave quantization) cost as
    much as full ones. Of the kernels in `KERNELS`, and of the ways to split K, the fastest is
    taken, as a library's heuristic would.
TPU
    A weight-stationary systolic array (Kung and Leiserson, "Systolic Arrays (for VLSI)", 1979;
    Jouppi et al., ISCA 2017). The weights are cut into folds of rows x columns; a fold takes as
    many cycles as it has rows of activations, but no fewer than the next fold's weights need to
    shift in. Fill and drain are charged once per layer.

Everything else (pooling, activation, addition, ...) runs on the vector unit at one operation per
lane and cycle.

A feature map stays on chip from its producer to its last reader if everything that is alive in the
meantime fits there; otherwise each reader loads it and its producer stores it once. What comes from
outside or goes there always passes through memory.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from .tiles import Job, Program
from .workload import is_quantized, workload

__all__ = ["KERNELS", "LayerCost", "Mapping", "choose_precision", "map_network"]

PICOSECONDS = 10**12

# Of a device's precisions the first of these that it has is used.
_PREFERENCES = {False: ("fp32", "bf16", "fp16", "int8"), True: ("int8", "fp32", "bf16", "fp16")}


@dataclass(frozen=True)
class Kernel:
    """A GPU kernel: 256 threads compute a tile, each ``micro`` x ``micro`` outputs of it.

    For one step along K a thread multiplies ``micro**2`` times and loads ``2 * micro`` operands
    from shared memory, four at a time; ``issue`` is the share of issue slots that multiply.
    """

    micro: int

    @property
    def side(self):
        """Rows and columns of the tile."""
        return 16 * self.micro

    @property
    def issue(self):
        """Share of the issue slots that multiply."""
        return self.micro**2 / (self.micro**2 + self.micro / 2)

    def tiles(self, gemm):
        """Tiles of a matrix product."""
        if self.micro == 1:  # one output per thread, whatever its place: also the depthwise kernel
            return -(-gemm.m * gemm.n * gemm.groups // self.side**2)
        return -(-gemm.m // self.side) * -(-gemm.n // self.side) * gemm.groups


KERNELS = (Kernel(8), Kernel(4), Kernel(2), Kernel(1))
SPLITS = (1, 2, 4, 8, 16, 32)
# A part of K shorter than this is not worth a split: the kernels step through K eight at a time.
SHORTEST_SPLIT = 64


@dataclass(frozen=True, eq=False)
class LayerCost:
    """One layer on one device.

    Members
    -------
    work : Work
    job : Job
    memory_bytes : int
        Bytes that cross the memory interface.
    peak_macs_per_s : float
        What the device's multipliers could do in the layer's data type.
    lines : tuple of str
        The arithmetic.
    """

    work: object
    job: Job
    memory_bytes: int
    peak_macs_per_s: float
    lines: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Mapping:
    """A network on a device: its layers, and the program for `hwsim.models.dataflow.tiles`."""

    device: object
    precision: str
    layers: tuple[LayerCost, ...]
    program: Program = field(repr=False)
    assumptions: tuple[str, ...] = ()


def choose_precision(device, quantized, precision=None):
    """The data type in which ``device`` runs a network, and what has to be assumed for it.

    Returns
    -------
    (str, str)
        The second is empty if nothing is assumed.

    Raises
    ------
    ValueError
        If ``precision`` is given and the device does not have it.
    """
    if precision is not None:
        if precision not in device.precisions:
            accepted = ", ".join(device.precisions)
            raise ValueError(f"{device.name} computes in {accepted}, not in {precision}")
        return precision, ""
    chosen = next(p for p in _PREFERENCES[quantized] if p in device.precisions)
    if quantized and chosen != "int8":
        return chosen, f"{device.name} has no int8 rate: the quantized network runs in {chosen}"
    if not quantized and chosen == "int8":
        return chosen, f"{device.name} computes in int8 only: the network is taken as quantized"
    return chosen, ""


def map_network(network, device, batch, precision=None):
    """Map a network to a CPU, GPU or TPU.

    Parameters
    ----------
    network : hwsim.network.Network
    device : Device
    batch : int
    precision : str, optional
        A data type of the device; unless given, int8 for quantized networks and fp32 for others,
        as far as the device has them.

    Returns
    -------
    Mapping
    """
    quantized = is_quantized(network)
    precision, assumed = choose_precision(device, quantized, precision)
    load = workload(network, batch, precision)
    traffic = _Traffic(load, device)
    mapper = _MAPPERS[device.device_class](device)
    layers = []
    for index, work in enumerate(load.works):
        kind = _layer_precision(device, precision, quantized, work)
        layers.append(_cost(mapper, device, work, kind, *traffic.bytes(index)))
    ahead = device.device_class == "tpu"
    buffer = int(device["weight_fifo_tiles"]) if ahead else 2
    program = Program(tuple(layer.job for layer in layers), ahead, buffer)
    return Mapping(device, precision, tuple(layers), program, (assumed,) if assumed else ())


def _layer_precision(device, precision, quantized, work):
    if precision == "int8" and quantized and not work.integer:
        return next(p for p in _PREFERENCES[False] if p in device.precisions)
    return precision


class _Traffic:
    """What stays on chip, and what each layer moves."""

    def __init__(self, load, device):
        self.load, self.device = load, device
        shared = device.device_class != "tpu"  # a cache holds weights too; a TPU streams them
        self.capacity = device["cache_size" if shared else "scratchpad_size"]
        count = len(load.works)
        first, last = {}, {}
        for index, work in enumerate(load.works):
            for name in work.outputs:
                first[name] = last[name] = index
            for name in work.inputs:
                first.setdefault(name, 0)
                last[name] = index
        self.alive = np.zeros(count, np.int64)
        for name, start in first.items():
            self.alive[start : last[name] + 1] += load.sizes[name]
        weights = np.array([work.weight_bytes for work in load.works], np.int64)
        self.keeps_weights = shared and weights.sum() + self.alive.max(initial=0) <= self.capacity
        used = self.alive + weights if shared else self.alive
        self.on_chip = {
            name
            for name, start in first.items()
            if name not in load.ends and used[start : last[name] + 1].max() <= self.capacity
        }

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


def _cost(mapper, device, work, precision, weights, reads, writes, place):
    if work.free:
        job = Job(work.name)
        return LayerCost(work, job, 0, mapper.peak(precision), (work.note,))
    lines: list[str] = []
    cycles, ending, tiles, reloads = mapper.compute(work, precision, lines)
    clock = device["clock"]
    seconds = cycles / clock
    lines.append(
        f"compute   {cycles:,.0f} cycles / {device.quantities['clock']} = {_time(seconds)}"
    )
    bandwidth = device["memory_bandwidth"] * device["memory_efficiency"]
    weights *= reloads
    total = weights + reads + writes
    if reloads > 1:
        lines.append(f"reloads   the weights pass {reloads} times")
    lines.append(place)
    lines.append(
        f"memory    {total:,} B ({weights:,} weights + {reads:,} in + {writes:,} out) / "
        f"({device.quantities['memory_bandwidth']} x {device['memory_efficiency']:g})"
        f" = {_time(total / bandwidth)}"
    )
    dispatch = 0 if work.note else device["dispatch_time"]
    lines.append(f"dispatch  {_time(dispatch)}" + (f" ({work.note})" if work.note else ""))
    ahead = mapper.streams_weights
    job = Job(
        work.name,
        tiles,
        weights=_each(weights / bandwidth, tiles) if ahead else 0,
        inputs=_each((reads if ahead else weights + reads) / bandwidth, tiles),
        compute=_each(seconds, tiles),
        outputs=_each(writes / bandwidth, tiles),
        dispatch=round(dispatch * PICOSECONDS),
        ending=math.ceil(ending / clock * PICOSECONDS),
    )
    lines.append(
        f"alone     {tiles} tiles through double buffers: first load + last store + the larger of "
        f"compute and memory in between + dispatch = {_time(job.time / PICOSECONDS)}"
    )
    return LayerCost(work, job, total, mapper.peak(precision), tuple(lines))


def _each(seconds, tiles):
    """Picoseconds of one of ``tiles`` equal parts, rounded up."""
    return math.ceil(seconds * PICOSECONDS / tiles)


def _time(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.4g} {unit}"
    return f"{seconds * 1e9:.4g} ns"


class _Mapper(ABC):
    streams_weights = False

    def __init__(self, device):
        self.device = device
        self.efficiency = device["compute_efficiency"]

    @property
    @abstractmethod
    def units(self):
        """Cores, multiprocessors or arrays."""

    @abstractmethod
    def product(self, gemm, precision, lines):
        """Like `compute`, for a matrix product."""

    def rate(self, precision):
        """Multiply-accumulates per cycle of one unit."""
        return self.device[f"{precision}_macs_per_cycle"]

    def peak(self, precision):
        return self.units * self.rate(precision) * self.device["clock"]

    def compute(self, work, precision, lines):
        """(cycles, cycles to fill and drain, tiles, passes of the weights); adds to ``lines``."""
        cycles, ending, tiles, reloads = 0, 0, int(self.device["overlap_tiles"]), 1
        if work.gemm:
            gemm = work.gemm
            lines.append(
                f"product   M {gemm.m:,} x N {gemm.n:,} x K {gemm.k:,} x {gemm.groups:,} groups"
                f" = {gemm.macs:,} MAC in {precision}"
            )
            cycles, ending, tiles, reloads = self.product(gemm, precision, lines)
        if work.element_ops:
            lanes = self.units * self.device["element_ops_per_cycle"]
            own = work.element_ops / (lanes * self.efficiency)
            lines.append(
                f"vector    {work.element_ops:,} operations / ({lanes:g} per cycle x"
                f" {self.efficiency:g}) = {own:,.0f} cycles"
            )
            cycles += own
        return cycles, ending, tiles, reloads


class _Cpu(_Mapper):
    @property
    def units(self):
        return int(self.device["cores"])

    def product(self, gemm, precision, lines):
        lanes = int(self.device["vector_lanes"])
        if gemm.n < lanes:  # few outputs per group: vectors run across the groups
            vectors = -(-gemm.n * gemm.groups // lanes)
        else:
            vectors = -(-gemm.n // lanes) * gemm.groups
        share = -(-gemm.m * vectors // self.units)
        rate = self.rate(precision)
        cycles = share * gemm.k * lanes / (rate * self.efficiency)
        lines.append(
            f"cores     {gemm.m:,} x {vectors:,} vectors of {lanes} / {self.units} cores ="
            f" {share:,}; x K {gemm.k:,} x {lanes} / ({rate:g} MAC per cycle x {self.efficiency:g})"
            f" = {cycles:,.0f} cycles"
        )
        return cycles, 0, int(self.device["overlap_tiles"]), 1


class _Gpu(_Mapper):
    @property
    def units(self):
        return int(self.device["sms"])

    def product(self, gemm, precision, lines):
        rate = self.rate(precision) * self.efficiency
        bandwidth = self.device["memory_bandwidth"] * self.device["memory_efficiency"]
        ways = []
        for kernel in KERNELS:
            tiles = kernel.tiles(gemm)
            for split in SPLITS:
                if split > 1 and gemm.k // split < SHORTEST_SPLIT:
                    break
                waves = -(-tiles * split // self.units)
                part = -(-gemm.k // split)
                cycles = waves * kernel.side**2 * part / (rate * kernel.issue)
                partial = 8 * split * gemm.m * gemm.n * gemm.groups if split > 1 else 0
                cycles += partial / bandwidth * self.device["clock"]
                ways.append((cycles, kernel, split, tiles, waves, part, partial))
        cycles, kernel, split, tiles, waves, part, partial = min(ways, key=lambda way: way[0])
        shape = "256 outputs" if kernel.micro == 1 else f"{kernel.side} x {kernel.side}"
        lines.append(
            f"kernel    tiles of {shape}: {tiles:,} tiles x {split} parts of K / {self.units} SMs ="
            f" {waves:,} waves; x {kernel.side**2:,} outputs x K {part:,} /"
            f" ({self.rate(precision):g} MAC per cycle x {self.efficiency:g}"
            f" x {kernel.issue:.3f} issue slots)"
            + (f" + {partial:,} B of partial sums" if partial else "")
            + f" = {cycles:,.0f} cycles"
        )
        return cycles, 0, int(self.device["overlap_tiles"]), 1


class _Tpu(_Mapper):
    streams_weights = True

    @property
    def units(self):
        return int(self.device["arrays"])

    def peak(self, precision):
        return super().peak(precision) * self.device["rows"] * self.device["columns"]

    def product(self, gemm, precision, lines):
        rows, columns, arrays = (int(self.device[n]) for n in ("rows", "columns", "arrays"))
        rate = self.rate(precision)
        # Small groups share a fold: their weights stand on its block diagonal.
        packed = min(max(1, min(rows // gemm.k, columns // gemm.n)), gemm.groups)
        folds = -(-gemm.groups // packed) * -(-gemm.k // rows) * -(-gemm.n // columns)
        limit = gemm.m
        if "accumulator_rows" in self.device:
            limit = int(self.device["accumulator_rows"]) // 2  # the other half is written out
        by_rows = (-(-gemm.m // arrays), folds)
        by_folds = (gemm.m, -(-folds // arrays))
        ways = []
        for m, count in (by_rows, by_folds):
            chunks = -(-m // limit)
            per_fold = sum(
                max(math.ceil(part / rate), rows)
                for part in (*[limit] * (chunks - 1), m - limit * (chunks - 1))
            )
            ways.append((count * per_fold, m, count, chunks))
        cycles, m, count, chunks = min(ways)
        ending = rows + (rows - 1) + (columns - 1)
        lines.append(
            f"folds     {gemm.groups:,} groups / {packed} packed x ceil(K / {rows}) x"
            f" ceil(N / {columns}) = {folds:,}; {count:,} on each of {arrays} arrays x"
            f" max({m:,} rows / {rate:g}, {rows} to shift weights in)"
            + (f" in {chunks} parts" if chunks > 1 else "")
            + f" = {cycles:,} cycles"
        )
        lines.append(
            f"ends      first weights {rows} + fill {rows - 1} + drain {columns - 1} ="
            f" {ending} cycles"
        )
        tiles = min(count * chunks, int(self.device["overlap_tiles"]))
        # With K in one fold nothing is accumulated, and the weights stay while all rows pass.
        return cycles, ending, tiles, chunks if gemm.k > rows else 1


_MAPPERS: dict[str, type] = {"cpu": _Cpu, "gpu": _Gpu, "tpu": _Tpu}
