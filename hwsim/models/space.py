"""A network on many arrays at once: the closed form of `hwsim.estimate`, over design points.

The arithmetic is that of an estimate on the device `hwsim.models.devices.array`, to the picosecond:
cycles of the array (`hwsim.models.processors.array`), feature maps that stay on chip and reloads by
the capacity of the scratchpad, tiles through double buffers (`hwsim.models.dataflow.tiles.Job`).
What no point changes is worked out once; points are worked on in parts that fit a cache.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hwsim.network.network import Network, check_network

from . import devices
from .dataflow.mapping import PICOSECONDS, Residence, choose_precision, layer_precision
from .dataflow.workload import Workload, is_quantized, workload
from .energy import layer_energy
from .processors.array import Shapes, Spatial, array_cycles, reloads

__all__ = ["Points", "evaluate"]

# Points that are worked on together: arrays of a dozen layers by so many fit a cache.
CHUNK = 1024
# What may differ from point to point, and the quantity of the device that it is.
VARIABLES = {
    "rows": "rows",
    "cols": "columns",
    "clock_hz": "clock",
    "memory_bandwidth": "memory_bandwidth",
    "scratchpad_size": "scratchpad_size",
    "accumulator_rows": "accumulator_rows",
    "element_ops_per_cycle": "element_ops_per_cycle",
}
RATES = ("clock_hz", "memory_bandwidth")
WHOLE = ("rows", "cols", "accumulator_rows")
# As in `hwsim.models.devices.array`.
DEFAULTS = {"clock_hz": 1e9, "memory_bandwidth": 16e9, "scratchpad_size": 2**20}


@dataclass(frozen=True, eq=False)
class Points:
    """A network on design points; each member but the first two is an array of them.

    Members
    -------
    dataflow : str
    macs : int
        Multiply-accumulates of the batch.
    rows, cols, clock_hz, memory_bandwidth, scratchpad_size : array
    seconds : array
        Latency of the batch.
    cycles : array
        Of the array's clock in ``seconds``.
    compute_cycles : array
        In which array or vector unit are busy.
    bytes : array
        That cross the memory interface.
    utilization : array
        Multiply-accumulates over what the elements could have done in ``seconds``.
    energy_j : array
        Of the arithmetic and of the bytes that cross the memory interface, see
        `hwsim.models.energy`.
    """

    dataflow: str
    macs: int
    rows: np.ndarray
    cols: np.ndarray
    clock_hz: np.ndarray
    memory_bandwidth: np.ndarray
    scratchpad_size: np.ndarray
    seconds: np.ndarray
    cycles: np.ndarray
    compute_cycles: np.ndarray
    bytes: np.ndarray
    utilization: np.ndarray
    energy_j: np.ndarray

    def __len__(self):
        return len(self.seconds)

    def frame(self):
        """A DataFrame, a row per point."""
        names = [name for name in self.__dataclass_fields__ if name not in ("dataflow", "macs")]
        table = pd.DataFrame({name: getattr(self, name) for name in names})
        table.insert(0, "dataflow", self.dataflow)
        return table


def evaluate(
    network: Network | Workload,
    *,
    device: str | Path | devices.Device | None = None,
    dataflow: str | None = None,
    batch: int = 1,
    precision: str | None = None,
    **quantities,
) -> Points:
    """Estimate a network on many arrays.

    Parameters
    ----------
    network : Network or Workload
        A `Workload` has its batch and its precision, and layers are fused in it or not.
    device : str, path or Device, optional
        Of the class ``spatial``: what is not given is as it is there. Unless given, the device is
        that of `hwsim.models.devices.array`, and rows and cols must be given.
    dataflow : str, optional
        Of all points, if no device is given; unless given, weight-stationary.
    batch : int
        Images that are processed together.
    precision : str, optional
        Unless given, int8, or what the device has.
    rows, cols, clock_hz, memory_bandwidth, scratchpad_size : number or array
        Of each point; arrays broadcast. Hz, bytes per second of reads and writes together, bytes.
    accumulator_rows, element_ops_per_cycle : number or array
        See `hwsim.models.devices.array`.
    **quantities
        Further ones of `hwsim.models.devices.array`, the same for all points.

    Returns
    -------
    Points

    Raises
    ------
    ValueError
        For a value out of range, or arrays whose shapes do not fit.
    """
    given = {name: quantities.pop(name) for name in VARIABLES if name in quantities}
    if device is None:
        missing = [name for name in ("rows", "cols") if name not in given]
        if missing:
            raise ValueError(f"give {' and '.join(missing)}, or a device")
        given = DEFAULTS | given
        points = _points(given)
        points.setdefault("element_ops_per_cycle", points["cols"])
        first: dict[str, Any] = {name: values[0] for name, values in points.items()}
        first |= {name: int(first[name]) for name in WHOLE if name in first}
        if isinstance(network, Workload):
            precision = network.precision
        first |= {"dataflow": dataflow or "weight-stationary", "precision": precision or "int8"}
        base = devices.array(**first, **quantities)
    else:
        base = devices.load(device)
        if base.device_class != "spatial":
            raise ValueError(f"device must be of the class spatial, not {base.device_class}")
        if dataflow is not None or quantities:
            wrong = ", ".join([*quantities, *(["dataflow"] if dataflow else [])])
            raise ValueError(f"of a device {', '.join(VARIABLES)} may be given, not {wrong}")
        own = {name: base[q] for name, q in VARIABLES.items() if q in base}
        points = _points(own | given)
    if isinstance(network, Workload):
        load, precision = network, network.precision
    else:
        check_network(network)
        quantized = is_quantized(network)
        precision, _ = choose_precision(base, quantized, precision)
        load = workload(network, batch, precision, fuse=Spatial.fuses)
        kinds = {layer_precision(base, precision, quantized, w) for w in load.works if w.gemm}
        other = ", ".join(sorted(kinds - {precision}))
        if other:
            raise ValueError(
                f"{network.name} has layers in {precision} and in {other}; on many arrays all "
                "matrix products are in one data type"
            )
    plan = _Plan(load, base, precision)
    picoseconds, cycles, moved = plan.run(points)
    seconds = picoseconds / PICOSECONDS
    elements = points["rows"] * points["cols"] * base["arrays"] * plan.design.rate
    with np.errstate(divide="ignore", invalid="ignore"):
        utilization = plan.macs / (elements * points["clock_hz"] * seconds)
    return Points(
        dataflow=base["dataflow"],
        macs=plan.macs,
        rows=points["rows"],
        cols=points["cols"],
        clock_hz=points["clock_hz"],
        memory_bandwidth=points["memory_bandwidth"],
        scratchpad_size=points["scratchpad_size"],
        seconds=seconds,
        cycles=seconds * points["clock_hz"],
        compute_cycles=cycles,
        bytes=moved,
        utilization=np.where(seconds > 0, utilization, 0.0),
        energy_j=plan.energy(precision, moved),
    )


def _points(given):
    """Values of all points by name, each an array of floats."""
    try:
        values = [np.asarray(value, np.float64) for value in given.values()]
    except (TypeError, ValueError):
        raise TypeError(f"{', '.join(given)} must be numbers or arrays of them") from None
    try:
        values = list(np.broadcast_arrays(*values))
    except ValueError:
        shapes = ", ".join(f"{n} {np.shape(v)}" for n, v in given.items() if np.ndim(v))
        raise ValueError(f"arrays of points must broadcast, but shapes are {shapes}") from None
    points = {
        name: np.ascontiguousarray(value.reshape(-1))
        for name, value in zip(given, values, strict=True)
    }
    for name, found in points.items():
        _check(name, found)
    return points


def _check(name, values):
    if not values.size:
        raise ValueError("there must be at least one point")
    wrong = ~((values >= devices.SMALLEST) & (values <= devices.LARGEST))
    if name in WHOLE:
        wrong |= (values < 1) | (values != np.floor(values))
    if wrong.any():
        kind = "positive integers" if name in WHOLE else "positive and finite"
        raise ValueError(f"{name} must be {kind}, not {values[wrong.argmax()]:g}")


class _Plan:
    """What does not change from point to point."""

    def __init__(self, load, device, precision):
        self.load, self.device = load, device
        processor = Spatial(device)
        self.design = processor.design(precision)
        self.efficiency = processor.efficiency
        self.overlap = float(device["overlap_tiles"])
        works = [work for work in load.works if not work.free]
        self.macs = sum(work.macs for work in works)
        launches = sum(not work.note for work in works)
        self.dispatch = float(launches * round(device["dispatch_time"] * PICOSECONDS))
        self.residence = Residence(load, True)
        self.through = "feature_maps" in device and device["feature_maps"] == "memory"
        needs = [] if self.through else [*self.residence.needs.values()]
        self.keeps = np.inf if self.through or load.training else self.residence.all_bytes
        if np.isfinite(self.keeps):
            needs.append(self.keeps)
        self.thresholds = np.unique(needs).astype(np.float64)
        self._levels: dict[int, _Level] = {}

    def energy(self, precision, moved):
        """Joules, from the bytes that each point moves."""
        works = [work for work in self.load.works if not work.free]
        operations = sum(work.element_ops for work in works)
        fixed = layer_energy(self.macs, operations, precision, {}, 0)
        return fixed.total_j + moved * layer_energy(0, 0, precision, {}, 1).memory_j

    def level(self, number):
        """The layers where the first ``number`` thresholds of the capacity are reached."""
        if number not in self._levels:
            self._levels[number] = _Level(self, self.thresholds[number - 1] if number else -1.0)
        return self._levels[number]

    def run(self, points):
        """Picoseconds, busy cycles and bytes of each point."""
        count = len(points["rows"])
        found = np.empty((3, count))
        reached = np.searchsorted(self.thresholds, points["scratchpad_size"], side="right")
        order = np.argsort(reached, kind="stable")
        points = {name: values[order] for name, values in points.items()}
        borders = np.flatnonzero(np.diff(reached[order], prepend=-1))
        for start, end in zip(borders, [*borders[1:], count], strict=True):
            level = self.level(int(reached[order[start]]))
            for first in range(start, end, CHUNK):
                part = slice(first, min(first + CHUNK, end))
                chunk = {name: values[part] for name, values in points.items()}
                found[:, order[part]] = level.run(chunk)
        return found


class _Level:
    """The layers at capacities that keep the same feature maps on chip; equal ones once.

    Arrays have a row for each different layer, and a column for each point.
    """

    def __init__(self, plan, capacity):
        self.plan = plan
        load, residence = plan.load, plan.residence
        needs = {} if plan.through else residence.needs
        on_chip = {name for name, need in needs.items() if need <= capacity}
        resident = residence.resident(on_chip)
        keeps = plan.keeps <= capacity

        def moved(work):
            sizes = (
                sum(load.sizes[name] for name in names if name not in on_chip)
                for names in (work.inputs, work.outputs)
            )
            return (0 if keeps else work.weight_bytes, *sizes)

        products = [k for k, work in enumerate(load.works) if work.gemm and not work.free]
        shapes = np.array(list(vars(Shapes.of([load.works[k] for k in products])).values()))
        rows = [
            (*column, resident[k], load.works[k].element_ops, *moved(load.works[k]))
            for column, k in zip(shapes.T, products, strict=True)
        ]
        self.products, where = _Rows.of(rows, len(shapes) + 5)
        self.shapes = Shapes(*self.products.columns[: len(shapes)])
        row_of = dict(zip(products, where, strict=True))
        others, fused = [], []
        heads: dict[str, list] = {}  # by name: row, and operations so far on the results
        for k, work in enumerate(load.works):
            if k in row_of:
                heads[work.name] = [row_of[k], work.element_ops]
            elif work.head in heads:
                head = heads[work.head]
                fused.append((*head, head[1] + work.element_ops, *moved(work)))
                head[1] += work.element_ops
            elif not work.free:
                others.append((work.element_ops, *moved(work)))
        self.fused, _ = _Rows.of(fused, 6)
        self.others, _ = _Rows.of(others, 4)

    def run(self, points):
        """Picoseconds, busy cycles and bytes of each point."""
        plan, device = self.plan, self.plan.device
        self.clock = points["clock_hz"]
        self.bandwidth = points["memory_bandwidth"] * device["memory_efficiency"]
        # Neighbours that differ in clock and bandwidth alone are one array.
        table = np.stack([values for name, values in points.items() if name not in RATES])
        first = np.append(True, (table[:, 1:] != table[:, :-1]).any(axis=0))
        self.array = np.cumsum(first) - 1
        arrays = {name: values[first] for name, values in points.items() if name not in RATES}
        capacity = arrays["scratchpad_size"]
        lanes = device["arrays"] * arrays.pop("element_ops_per_cycle") * plan.efficiency
        design = replace(plan.design, columns=arrays.pop("cols"), **arrays)
        total = np.zeros((3, len(self.clock)))
        total[0] = plan.dispatch
        if self.products.count:
            resident, operations, weights, reads, writes = self.products.columns[-5:]
            timing = array_cycles(design, self.shapes)
            free = np.floor(capacity - resident)
            loads = np.add(*reloads(design, self.shapes, timing, weights, reads, free))
            busy = timing.cycles
            if operations.any():
                busy = np.maximum(busy, operations / lanes)
            tiles = np.minimum(timing.parts, plan.overlap)
            self._add(total, self.products, busy, tiles, loads, writes, timing.ending)
        if self.fused.count:
            head, before, after, weights, reads, writes = self.fused.columns
            cycles = timing.cycles[head[:, 0].astype(np.intp)]
            busy = np.maximum(cycles, after / lanes) - np.maximum(cycles, before / lanes)
            self._add(total, self.fused, busy, plan.overlap, weights + reads, writes)
        if self.others.count:
            operations, weights, reads, writes = self.others.columns
            busy = operations / lanes
            self._add(total, self.others, busy, plan.overlap, weights + reads, writes)
        return total

    def _add(self, total, rows, busy, tiles, loads, writes, ending=None):
        def spread(values):
            return values if np.ndim(values) < 2 or values.shape[1] == 1 else values[:, self.array]

        busy_cycles = busy if ending is None else busy + ending
        for place, values in ((1, busy_cycles), (2, loads + writes)):
            values = np.broadcast_to(values, busy.shape)
            total[place] += (rows.times @ values)[self.array]
        loads, busy, writes, tiles = map(spread, (loads, busy, writes, tiles))
        end = 0.0 if ending is None else np.ceil(spread(ending) / self.clock * PICOSECONDS)
        times = (
            self._each(loads, self.bandwidth, tiles),
            self._each(busy, self.clock, tiles),
            self._each(writes, self.bandwidth, tiles),
        )
        shape = (rows.count, total.shape[1])
        total[0] += rows.times @ np.broadcast_to(_time(tiles, *times, end), shape)

    @staticmethod
    def _each(amount, rate, tiles):
        if amount.shape[1] == 1 and not amount.any():
            return 0.0
        return np.ceil(amount / rate * PICOSECONDS / tiles)


@dataclass(frozen=True)
class _Rows:
    """Different layers: a column (layers, 1) for each property, and how often each occurs."""

    columns: tuple[np.ndarray, ...]
    times: np.ndarray

    @property
    def count(self):
        return len(self.times)

    @classmethod
    def of(cls, rows, width):
        """The rows, and the place of each given one."""
        table = np.array(rows, np.float64).reshape(-1, width)
        unique, where, times = np.unique(table, axis=0, return_inverse=True, return_counts=True)
        columns = tuple(unique[:, k : k + 1].copy() for k in range(width))
        return cls(columns, times.astype(np.float64)), where.reshape(-1)


def _time(tiles, load, compute, store, ending):
    """`hwsim.models.dataflow.tiles.Job.time`, dispatch left out."""
    both = load + store
    last = compute + ending
    many = both + np.maximum(load, compute) + np.maximum(store, last)
    many += (tiles - 2) * np.maximum(both, compute)
    one = tiles == 1
    return np.where(one, both + last, many) if np.any(one) else many
