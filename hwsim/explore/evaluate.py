"""From points to numbers: the closed form, for a chunk of points at a time."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import hwsim.blocks
import hwsim.models
from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.models import space
from hwsim.models.dataflow.workload import Workload, is_quantized, workload
from hwsim.models.energy import layer_energy
from hwsim.models.fpga import SETTLED
from hwsim.models.processors.array import Spatial
from hwsim.network.integer import IntegerNetwork
from hwsim.network.lower import lower
from hwsim.network.network import NetworkError, check_network

from .cells import available, plan_cells, smallest_buffer, systolic_cells
from .space import RESOURCES, Space

__all__ = ["COLUMNS", "Job", "evaluate", "make_job", "reasons"]

COLUMNS = (
    *("latency_s", "throughput_images_per_s", "energy_per_image_j", "utilization"),
    *(*RESOURCES, "cost", "excess"),
)
"""What is found for each point. ``excess`` is by how much, relatively, it misses the limit that it
was rejected for; latency is that of the batch. What is not known, or not needed, is NaN."""

FEASIBLE, CONFIGURATION, FOLDING = 0, 1, 2
# Of what cannot be built at all.
_FAR = 1e3


@dataclass(frozen=True, eq=False)
class Job:
    """What evaluation needs beside the numbers of points; small enough to send to processes.

    Members
    -------
    space : Space
    name : str
        Of the network.
    works : dict of (batch, operand_bits) to Workload
        For arrays.
    integer : IntegerNetwork or None
        For streaming pipelines.
    key : str
        A name for the space, the network and the code that evaluates it.
    """

    space: Space
    name: str
    works: dict[tuple[int, int], Workload]
    integer: IntegerNetwork | None
    key: str
    plans: dict[tuple[int, int], Any] = field(default_factory=dict)

    def __getstate__(self):
        return {**vars(self), "plans": {}}


def make_job(network, found):
    """The `Job` of a network and a `Space`.

    Raises
    ------
    NetworkError
        If the network cannot be run by an architecture of the space.
    """
    check_network(network)
    works, integer = {}, None
    quantized = is_quantized(network)
    for block in found.blocks:
        axes = {axis.name: axis.values for axis in block.axes}
        if block.architecture == "streaming":
            if not quantized:
                raise NetworkError(
                    f"streaming pipelines run integer networks only, and {network.name} is not "
                    "quantized; quantize it with hwsim.quantize, or leave the architecture "
                    "streaming out"
                )
            integer = lower(network)
            continue
        if quantized and axes["operand_bits"] != (8,):
            raise NetworkError(
                f"operand_bits must be 8 for a quantized network, and {network.name} is one"
            )
        for batch in axes["batch"]:
            for bits in axes["operand_bits"]:
                works[batch, bits] = workload(network, batch, f"int{bits}", fuse=Spatial.fuses)
    total = hashlib.sha256()
    for part in (found.key, _code(), _digest(network)):
        total.update(part.encode() + b"\n")
    return Job(found, network.name, works, integer, total.hexdigest())


@cache
def _code():
    """Digest of the code whose results these are, so that a store never mixes versions."""
    total = hashlib.sha256()
    parts = [Path(hwsim.models.__file__), Path(hwsim.blocks.__file__), Path(__file__)]
    for folder in (part.parent for part in parts):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".toml", ".json"):
                total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _digest(network):
    total = hashlib.sha256()

    def add(value):
        total.update(repr(value).encode())

    for layer in network.layers:
        add((layer.name, layer.op, layer.inputs, layer.outputs))
        for name, value in sorted(layer.attributes.items()):
            add((name, value.tolist() if isinstance(value, np.ndarray) else value))
    for tensor in (*network.inputs, *network.outputs):
        add((tensor.name, tensor.shape, str(tensor.dtype)))
    for name, value in network.constants.items():
        value = np.asarray(value)
        add((name, value.shape, str(value.dtype)))
        if value.strides and not any(value.strides):
            value = value.ravel()[:1]  # one value, seen many times
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


def reasons(found):
    """Why points of a space are rejected, by number; number 0 is for those that are not."""
    names = ["", "the array needs a larger buffer", "the folding cannot be reached"]
    names += [f"more {name} than the device has" for name in RESOURCES]
    for name, _, _ in found.limits:
        which = "below" if name.startswith("min_") else "above"
        names.append(f"{which} {name} = {found.constraints[name]:g}")
    return names


def evaluate(job, numbers):
    """Columns (`COLUMNS`, and ``reason``) of points by their numbers."""
    numbers = np.asarray(numbers, np.int64)
    found = {name: np.full(len(numbers), np.nan) for name in COLUMNS}
    found["reason"] = np.zeros(len(numbers), np.uint8)
    for block in job.space.blocks:
        here = np.flatnonzero((numbers >= block.start) & (numbers < block.stop))
        if not len(here):
            continue
        digits = block.digits(numbers[here])
        slow = [axis for axis in block.axes[:4]]
        group = np.zeros(len(here), np.int64)
        for axis in slow:
            group = group * len(axis.values) + digits[axis.name]
        for value in np.unique(group):
            part = here[group == value]
            points = block.values(numbers[part])
            same = {axis.name: points.pop(axis.name)[0].item() for axis in slow}
            measure = _systolic if block.architecture == "systolic" else _streaming
            columns = {name: column[part] for name, column in found.items()}
            measure(job, same, points, columns)
            for name, column in columns.items():
                found[name][part] = column
    return found


def _reject(columns, wrong, reason, excess=None):
    wrong = wrong & (columns["reason"] == FEASIBLE)
    columns["reason"][wrong] = reason
    columns["excess"][wrong] = _FAR if excess is None else excess[wrong]


def _check_cells(job, device, columns):
    """Costs, and which points their device has no room for."""
    if job.space.weights or job.space.prices:
        total = np.full(len(columns["cost"]), job.space.prices.get(device, 0.0))
        for name, weight in job.space.weights.items():
            total += weight * columns[name]
        columns["cost"][:] = total
    if job.space.fits:
        room = available(device)
        for number, name in enumerate(RESOURCES, FOLDING + 1):
            if name in room:
                with np.errstate(invalid="ignore"):
                    excess = columns[name] / room[name] - 1
                    _reject(columns, excess > 0, number, excess)


def _check_limits(job, columns):
    first = FOLDING + 1 + len(RESOURCES)
    for number, (name, column, limit) in enumerate(job.space.limits, first):
        values = columns[column]
        with np.errstate(invalid="ignore", divide="ignore"):
            if name.startswith("min_"):
                wrong, excess = values < limit, limit / values - 1
            else:
                wrong, excess = values > limit, values / limit - 1
        _reject(columns, wrong, number, np.minimum(excess, _FAR))


def _systolic(job, same, points, columns):
    """Points that have device, dataflow, width of operands and batch in common."""
    needed = job.space.needs
    sizes = [points[name] for name in ("rows", "cols", "buffer_bytes", "accumulator_rows")]
    if needed:
        small = sizes[2] < smallest_buffer(*sizes[:2])
        _reject(columns, small, CONFIGURATION)
        for name, column in zip(RESOURCES, systolic_cells(same["device"], *sizes), strict=True):
            columns[name][:] = column
    if needed or job.space.prices:
        _check_cells(job, same["device"], columns)
    good = np.flatnonzero(columns["reason"] == FEASIBLE)
    if len(good):
        timing = space.evaluate(
            job.works[same["batch"], same["operand_bits"]],
            dataflow=same["dataflow"],
            rows=sizes[0][good],
            cols=sizes[1][good],
            scratchpad_size=sizes[2][good],
            accumulator_rows=sizes[3][good],
            clock_hz=points["clock_mhz"][good] * 1e6,
            memory_bandwidth=points["memory_gb_per_s"][good] * 1e9,
        )
        columns["latency_s"][good] = timing.seconds
        columns["throughput_images_per_s"][good] = same["batch"] / timing.seconds
        columns["energy_per_image_j"][good] = timing.energy_j / same["batch"]
        columns["utilization"][good] = timing.utilization
        _check_limits(job, columns)


def _streaming(job, same, points, columns):
    """Points that have folding, device and batch in common."""
    target = same["multipliers"], same["cycles_per_image"]
    if target not in job.plans:
        named = zip(("multipliers", "cycles_per_image"), target, strict=True)
        try:
            options = Streaming(**{name: value for name, value in named if value})
            job.plans[target] = plan_streaming(job.integer, options)
        except NetworkError:
            raise
        except ValueError:
            job.plans[target] = None
    plan, device, batch = job.plans[target], same["device"], same["batch"]
    if plan is None:
        _reject(columns, np.ones(len(columns["reason"]), bool), FOLDING)
        return
    if job.space.needs:
        for name, value in zip(RESOURCES, plan_cells(device, plan), strict=True):
            columns[name][:] = value
    if job.space.needs or job.space.prices:
        _check_cells(job, device, columns)
    clock, bandwidth = points["clock_mhz"] * 1e6, points["memory_gb_per_s"] * 1e9
    ends = [plan.input, plan.output]
    moved = sum(f.height * f.width * f.channels * -(-f.bits // 8) for f in ends)
    # Images come from a memory, and results go there; weights stay on chip.
    interval = np.maximum(plan.interval, np.ceil(moved * clock / bandwidth))
    first = min(batch, SETTLED)
    cycles = plan.cycles(first) + (first - 1) * (interval - plan.interval)
    cycles = cycles + (batch - first) * interval
    energy = layer_energy(plan.macs, 0, "int8", {}, moved).total_j
    columns["latency_s"][:] = cycles / clock
    columns["throughput_images_per_s"][:] = clock / interval
    columns["energy_per_image_j"][:] = energy
    columns["utilization"][:] = plan.macs / (max(plan.multipliers, 1) * interval)
    rejected = columns["reason"] != FEASIBLE
    for name in ("latency_s", "throughput_images_per_s", "energy_per_image_j", "utilization"):
        columns[name][rejected] = np.nan
    _check_limits(job, columns)


def pack(columns):
    """Columns as bytes; those that hold nothing take none."""
    kept = {n: c for n, c in columns.items() if c.dtype != np.float64 or not np.isnan(c).all()}
    head = json.dumps([[name, column.dtype.str] for name, column in kept.items()]).encode()
    length = len(next(iter(columns.values())))
    parts = [len(head).to_bytes(4, "little"), head, length.to_bytes(8, "little")]
    return b"".join([*parts, *(column.tobytes() for column in kept.values())])


def unpack(data):
    """Columns of what `pack` made of them."""
    size = 4 + int.from_bytes(data[:4], "little")
    length = int.from_bytes(data[size : size + 8], "little")
    found = {name: np.full(length, np.nan) for name in COLUMNS}
    place = size + 8
    for name, kind in json.loads(data[4:size]):
        found[name] = np.frombuffer(data, kind, length, place)
        place += found[name].nbytes
    return found
