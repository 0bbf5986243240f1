"""`explore`: from a network and a space to a study."""

import time

import numpy as np

from hwsim.blocks.checks import check_integer, check_positive

from .evaluate import COLUMNS, make_job, unpack
from .executor import make_executor
from .search import choose, sample
from .space import Space
from .store import Store
from .study import Study

__all__ = ["explore"]

# Between two looks at a chunk that another run has.
_PATIENCE_S = 0.1


def explore(
    network,
    space,
    *,
    store=None,
    workers=None,
    scheduler=None,
    method=None,
    samples=None,
    seed=0,
    refine=0,
    progress=None,
):
    """Explore the designs of a space for a network.

    Parameters
    ----------
    network : Network
    space : path, mapping or Space
        A TOML file, or what it would hold; see ``docs/exploration.md``.
    store : path, optional
        A database for results as they come. With it a run that was interrupted goes on where it
        was, and two runs share the work.
    workers : int, optional
        Local processes; one for each processor unless given, and 1 for this process itself. The
        result does not depend on it.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://host:port``, instead of local processes.
    method : str, optional
        "exhaustive", "nsga2" or "tpe"; unless given, exhaustive for small spaces, nsga2 for others.
    samples : int, optional
        Points that nsga2 or tpe asks for; 2,048 unless given.
    seed : int
        Of nsga2 and tpe.
    refine : int
        Designs of the front, those nearest to the knee, to look at with events too; the knee also
        with RTL simulation and synthesis. See `Study.refine`.
    progress : callable, optional
        Called with the numbers of points done and of all.

    Returns
    -------
    Study

    Raises
    ------
    NetworkError
        If an architecture cannot run the network.
    ValueError
        If the space or another argument is not right.
    """
    space = Space.load(space)
    method, samples = choose(space, method, samples)
    check_integer("seed", seed, 0)
    check_integer("refine", refine, 0)
    if workers is not None:
        check_positive("workers", workers)
    job = make_job(network, space)
    begin = time.perf_counter()
    with Store(store, job) as kept:
        executor = make_executor(job, workers, scheduler)
        work = _Work(kept, executor, progress, len(space) if samples is None else samples)
        try:
            if samples is None:
                numbers, columns = None, _all(space, work)
            else:
                numbers, columns = sample(space, method, samples, seed, work.gather)
        finally:
            executor.close()
    study = Study(
        network=network,
        job=job,
        numbers=numbers,
        columns=columns,
        method=method,
        seed=seed,
        seconds=time.perf_counter() - begin,
        evaluated=work.evaluated,
        reused=work.reused,
        cpu_s=work.cpu_s,
        workers=executor.workers,
        store=store,
    )
    if refine:
        study.refine(refine)
    return study


def _all(space, work):
    """Columns of all points."""
    columns = {name: np.full(len(space), np.nan) for name in COLUMNS}
    columns["reason"] = np.zeros(len(space), np.uint8)

    def keep(chunk, found):
        for name, column in found.items():
            columns[name][slice(*chunk)] = column

    work.gather([(f"{first}-{stop}", (first, stop)) for first, stop in space.chunks()], keep)
    return columns


class _Work:
    """Chunks from the store if they are there, else from the executor, and then into the store."""

    def __init__(self, store, executor, progress, total):
        self.store, self.executor = store, executor
        self.progress, self.total = progress, total
        self.evaluated = self.reused = 0
        self.cpu_s = 0.0

    def gather(self, chunks, keep):
        """Call ``keep`` with the numbers and the columns of each chunk, in any order."""
        numbers = dict(chunks)
        busy = []

        def take(name, data):
            columns = unpack(data)
            keep(numbers[name], columns)
            return len(columns["reason"])

        def done(name):
            data, seconds, own = self.store.get(name)
            self.reused += take(name, data)
            self.cpu_s += seconds if own else 0.0
            self._tell()

        def claimed(names):
            for name in names:
                state = self.store.claim(name)
                if state == "mine":
                    yield name, numbers[name]
                elif state == "done":
                    done(name)
                else:
                    busy.append(name)

        def run(names):
            for name, data, seconds in self.executor.run(claimed(names)):
                self.store.put(name, data, seconds)
                self.evaluated += take(name, data)
                self.cpu_s += seconds
                self._tell()

        there = self.store.done()
        for name in numbers:
            if name in there:
                done(name)
        run([name for name in numbers if name not in there])
        while busy:
            time.sleep(_PATIENCE_S)
            names, busy[:] = list(busy), []
            run(names)

    def _tell(self):
        if self.progress is not None:
            self.progress(self.evaluated + self.reused, self.total)
