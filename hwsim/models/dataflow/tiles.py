"""Layers as tiles that pass through double buffers: SimPy processes around one memory.

A layer is cut into tiles of equal cost. For each tile a DMA engine loads weights and feature maps,
the compute engine works, and the DMA engine stores the result. Weights, inputs and results each
have a buffer of a few tiles. The DMA engine carries out its list of transfers in order
(`_transfers`), one at a time, as a descriptor-driven engine does; loads run ahead as far as the
buffers allow. Several programs may share the memory: then their transfers queue for it.

A layer starts when the layer before it has stored its last tile and the dispatch time has passed;
only weights may run ahead of that. Time is in integer picoseconds, so that equal runs give equal
results.

Alone, a layer of ``n`` tiles with load time L, compute time C and store time S per tile takes
(`Job.time`)::

    L + max(L, C) + (n - 2) * max(L + S, C) + max(S, C) + S        n >= 2
    L + C + S                                                      n == 1

because L and S share the memory, and everything but the first load and the last store overlaps.
"""

from dataclasses import dataclass
from itertools import accumulate

import simpy

from hwsim.blocks.checks import check_integer, check_positive

__all__ = ["Interval", "Job", "Pages", "Program", "Run", "finish", "run"]


@dataclass(frozen=True)
class Job:
    """A layer as tiles of equal cost; times are integer picoseconds for one tile.

    Parameters
    ----------
    name : str
    tiles : int
    weights, inputs, outputs : int
        Memory time to load a tile's weights, to load its feature maps and to store its result.
    compute : int
    dispatch : int
        Time before the layer starts, once.
    ending : int
        Compute time after the last tile, once: a systolic array drains.
    """

    name: str
    tiles: int = 1
    weights: int = 0
    inputs: int = 0
    compute: int = 0
    outputs: int = 0
    dispatch: int = 0
    ending: int = 0

    def __post_init__(self):
        check_positive("tiles", self.tiles)
        for name in ("weights", "inputs", "compute", "outputs", "dispatch", "ending"):
            check_integer(name, getattr(self, name), 0)

    @property
    def compute_time(self):
        """Of all tiles."""
        return self.tiles * self.compute + self.ending

    @property
    def memory_time(self):
        """Of all tiles."""
        return self.tiles * (self.weights + self.inputs + self.outputs)

    @property
    def time(self):
        """The layer alone with double buffers and nothing loaded ahead, dispatch included."""
        load, store = self.weights + self.inputs, self.outputs
        if self.tiles == 1:
            return self.dispatch + load + self.compute + self.ending + store
        middle = (self.tiles - 2) * max(load + store, self.compute)
        last = max(store, self.compute + self.ending)
        return self.dispatch + load + max(load, self.compute) + middle + last + store


@dataclass(frozen=True)
class Program:
    """Jobs in order on one compute engine.

    Parameters
    ----------
    jobs : tuple of Job
    weights_ahead : bool
        Whether weights of later layers may be loaded while a layer runs.
    weight_buffer : int
        Tiles of weights that fit in their buffer; the other two buffers hold two tiles.
    """

    jobs: tuple[Job, ...]
    weights_ahead: bool = False
    weight_buffer: int = 2

    def __post_init__(self):
        check_integer("weight_buffer", self.weight_buffer, 2)


@dataclass(frozen=True)
class Interval:
    """A resource, "memory" or "compute", is busy with a job from ``start`` to ``end`` (ps)."""

    resource: str
    job: int
    start: int
    end: int


@dataclass(frozen=True)
class Run:
    """Result of `run` for one program.

    Members
    -------
    ends : tuple of int
        Picosecond in which each job's last result is stored.
    intervals : tuple of Interval
        In order of their start; back-to-back tiles of a job are one interval.
    """

    ends: tuple[int, ...]
    intervals: tuple[Interval, ...]


def _transfers(program):
    """List the DMA engine's transfers (kind, tile, job) as they become possible.

    What takes no time is not a transfer, and occupies no buffer.
    """
    owner = [index for index, job in enumerate(program.jobs) for _ in range(job.tiles)]
    weighted: list[int] = []  # tiles with weights so far
    order = []
    for tile, index in enumerate(owner):
        job = program.jobs[index]
        starts = tile == 0 or owner[tile - 1] != index
        # A transfer becomes possible in step k: when tile k - 1 is computed. Loads of a layer wait
        # for the tile before its first; after that they are one tile ahead.
        load = tile if starts else tile - 1
        if job.weights:
            step = load
            if program.weights_ahead:
                full = len(weighted) >= program.weight_buffer
                step = weighted[-program.weight_buffer] + 1 if full else 0
            order.append((step, 1, tile, 0, "weights", index))
            weighted.append(tile)
        if job.inputs:
            order.append((load, 1, tile, 1, "inputs", index))
        if job.outputs:
            order.append((tile + 1, 0, tile, 0, "outputs", index))
    return [(kind, tile, index) for _, _, tile, _, kind, index in sorted(order)]


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What a memory with pages loses between transfers; times in integer picoseconds.

    Parameters
    ----------
    page_time : int
        For which the data of a page take the memory.
    page_miss : int
        Seen at each page of a transfer beyond its first; 0 if pages open in time.
    switch : int
        Seen by the first transfer, and by one behind a transfer of another program.
    turnaround : int
        Between loads and stores.
    """

    page_time: int
    page_miss: int = 0
    switch: int = 0
    turnaround: int = 0

    def __post_init__(self):
        check_positive("page_time", self.page_time)
        for name in ("page_miss", "switch", "turnaround"):
            check_integer(name, getattr(self, name), 0)


class _Memory:
    """The memory that programs share, one transfer at a time."""

    def __init__(self, env, pages):
        self.port = simpy.Resource(env, capacity=1)
        self.pages = pages
        self.last = None

    def time(self, user, kind, time):
        """Time that a transfer takes, now that it is its turn."""
        pages, last = self.pages, self.last
        if pages is None:
            return time
        store = kind == "outputs"
        self.last = user, store
        time += ((time - 1) // pages.page_time) * pages.page_miss
        if last is None or last[0] is not user:
            time += pages.switch
        if last is not None and last[1] != store:
            time += pages.turnaround
        return time


class _Machine:
    """One program in an environment."""

    def __init__(self, env, program, memory):
        self.env, self.program, self.memory = env, program, memory
        depth = {"weights": program.weight_buffer, "inputs": 2, "outputs": 2}
        self.free = {
            kind: simpy.Container(env, capacity=size, init=size) for kind, size in depth.items()
        }
        self.full = {kind: simpy.Container(env, capacity=size) for kind, size in depth.items()}
        self.started = [env.event() for _ in program.jobs]
        self.stored = [0] * len(program.jobs)
        self.ends = [0] * len(program.jobs)
        self.intervals = []
        env.process(self._transfer())
        env.process(self._compute())
        env.process(self._start(0))

    def _start(self, job):
        if job < len(self.program.jobs):
            yield self.env.timeout(self.program.jobs[job].dispatch)
            self.started[job].succeed()

    def _transfer(self):
        ahead = self.program.weights_ahead
        for kind, _, index in _transfers(self.program):
            job = self.program.jobs[index]
            if kind == "outputs":
                yield self.full[kind].get(1)
            else:
                yield self.free[kind].get(1)
                if not self.started[index].processed and not (ahead and kind == "weights"):
                    yield self.started[index]
            with self.memory.port.request() as request:
                yield request
                time = self.memory.time(self, kind, getattr(job, kind))
                yield from self._busy("memory", index, time)
            if kind == "outputs":
                yield self.free[kind].put(1)
                self._store(index)
            else:
                yield self.full[kind].put(1)

    def _compute(self):
        for index, job in enumerate(self.program.jobs):
            yield self.started[index]
            for tile in range(job.tiles):
                if job.weights:
                    yield self.full["weights"].get(1)
                if job.inputs:
                    yield self.full["inputs"].get(1)
                if job.outputs:
                    yield self.free["outputs"].get(1)
                time = job.compute + (job.ending if tile == job.tiles - 1 else 0)
                if time:
                    yield from self._busy("compute", index, time)
                if job.weights:
                    yield self.free["weights"].put(1)
                if job.inputs:
                    yield self.free["inputs"].put(1)
                if job.outputs:
                    yield self.full["outputs"].put(1)
                else:
                    self._store(index)

    def _store(self, index):
        """Count a stored tile; the last one ends the layer and starts the next."""
        self.stored[index] += 1
        if self.stored[index] == self.program.jobs[index].tiles:
            self.ends[index] = self.env.now
            self.env.process(self._start(index + 1))

    def _busy(self, resource, index, time):
        start = self.env.now
        yield self.env.timeout(time)
        self.intervals.append(Interval(resource, index, start, self.env.now))


def _merged(intervals):
    merged: list[Interval] = []
    last: dict[str, int] = {}
    for entry in sorted(intervals, key=lambda i: (i.start, i.end, i.resource)):
        place = last.get(entry.resource)
        if (
            place is not None
            and merged[place].job == entry.job
            and merged[place].end == entry.start
        ):
            merged[place] = Interval(entry.resource, entry.job, merged[place].start, entry.end)
        else:
            last[entry.resource] = len(merged)
            merged.append(entry)
    return tuple(merged)


def finish(program):
    """When each job of a program ends that has the memory for itself, without events.

    Transfers and tiles each have their order, so that the time of each follows from those before;
    equal to what `run` gives.

    Returns
    -------
    tuple of int
        Picoseconds.
    """
    if not program.weights_ahead:
        return tuple(accumulate(job.time for job in program.jobs))
    return _Recurrence(program).run()


class _Recurrence:
    """Times of a program's tiles and transfers, each from those before."""

    def __init__(self, program):
        self.program, self.jobs = program, program.jobs
        self.owner = [index for index, job in enumerate(self.jobs) for _ in range(job.tiles)]
        self.starts = [job.dispatch for job in self.jobs[:1]]
        self.stored = [0] * len(self.jobs)
        self.ends: list[int] = []
        self.computed: list[int] = []
        # Per kind: ends of the loads, and of the tiles that give their buffers free.
        self.loads: dict[str, list[int]] = {"weights": [], "inputs": []}
        self.frees: dict[str, list[int]] = {"weights": [], "inputs": []}
        self.buffers = [
            [(self.loads[kind], self.frees[kind]) for kind in self.loads if getattr(job, kind)]
            for job in self.jobs
        ]
        self.stores: list[int] = []
        self.results = 0

    def run(self):
        depth = {"weights": self.program.weight_buffer, "inputs": 2}
        memory = 0
        for kind, tile, index in _transfers(self.program):
            if kind == "outputs":
                while len(self.computed) <= tile:
                    self._compute()
                memory = max(memory, self.computed[tile]) + self.jobs[index].outputs
                self.stores.append(memory)
                self._store(index, memory)
                continue
            before = len(self.loads[kind]) - depth[kind]
            if before >= 0:
                while len(self.frees[kind]) <= before:
                    self._compute()
                memory = max(memory, self.frees[kind][before])
            if kind == "inputs":
                while len(self.starts) <= index:
                    self._compute()
                memory = max(memory, self.starts[index])
            memory += getattr(self.jobs[index], kind)
            self.loads[kind].append(memory)
        while len(self.computed) < len(self.owner):
            self._compute()
        return tuple(self.ends)

    def _compute(self):
        """The next tile."""
        tile = len(self.computed)
        index = self.owner[tile]
        job, buffers = self.jobs[index], self.buffers[index]
        time = self.starts[index]
        # Comparisons and not max(), which takes longer than all else here.
        if tile and self.computed[-1] > time:
            time = self.computed[-1]
        for loads, frees in buffers:
            if loads[len(frees)] > time:
                time = loads[len(frees)]
        if job.outputs and self.results >= 2 and self.stores[self.results - 2] > time:
            time = self.stores[self.results - 2]
        time += job.compute
        if tile + 1 == len(self.owner) or self.owner[tile + 1] != index:
            time += job.ending
        self.computed.append(time)
        for _, frees in buffers:
            frees.append(time)
        if job.outputs:
            self.results += 1
        else:
            self._store(index, time)

    def _store(self, index, time):
        """Count a finished tile; the last one ends the job and starts the next."""
        self.stored[index] += 1
        if self.stored[index] == self.jobs[index].tiles:
            self.ends.append(time)
            if index + 1 < len(self.jobs):
                self.starts.append(time + self.jobs[index + 1].dispatch)


def run(programs, pages=None):
    """Run programs side by side, each on a compute engine of its own, all on one memory.

    Parameters
    ----------
    programs : sequence of Program
    pages : Pages, optional
        What the memory loses between transfers, e.g. `hwsim.models.dataflow.memory.Dram.pages`;
        nothing unless given.

    Returns
    -------
    tuple of Run
    """
    env = simpy.Environment()
    memory = _Memory(env, pages)
    machines = [_Machine(env, program, memory) for program in programs]
    env.run()
    return tuple(Run(tuple(machine.ends), _merged(machine.intervals)) for machine in machines)
