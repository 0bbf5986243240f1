"""Where chunks are evaluated: here, in local processes, or on a Dask cluster; one interface.

An executor takes (name, numbers of points) pairs and yields (name, columns, seconds) as they are
done, in any order. A chunk that is lost with its process is evaluated again.
"""

import os
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import numpy as np

from .evaluate import evaluate, pack

__all__ = ["Dask", "Local", "Processes", "make_executor"]

# How often a chunk may be lost before it is taken to be what ends the processes.
ATTEMPTS = 5
# Chunks in hand for each worker, so that none waits while results are stored.
AHEAD = 2
_job = None


def _begin(job):
    global _job
    _job = job


def _one(numbers, job=None):
    """Evaluate a chunk: packed columns, and seconds of the processor."""
    numbers = np.arange(*numbers) if isinstance(numbers, tuple) else numbers
    begin = time.process_time()
    data = pack(evaluate(_job if job is None else job, numbers))
    return data, time.process_time() - begin


class Local:
    """In this process.

    Parameters
    ----------
    job : Job
    """

    workers = 1

    def __init__(self, job):
        self.job = job

    def run(self, chunks):
        """Evaluate chunks; see the module."""
        for name, numbers in chunks:
            yield (name, *_one(numbers, self.job))

    def close(self):
        """Give back what was taken."""


class Processes:
    """In processes of this machine, started afresh, so that they work on every system.

    Parameters
    ----------
    job : Job
    workers : int
    """

    def __init__(self, job, workers):
        self.job, self.workers = job, workers
        self.lost = 0
        self._pool: Any = None

    def _start(self):
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=get_context("spawn"),
                initializer=_begin,
                initargs=(self.job,),
            )
        return self._pool

    def run(self, chunks):
        """Evaluate chunks; see the module."""
        source = iter(chunks)
        again: deque[tuple] = deque()
        flying: dict[Any, tuple] = {}
        attempts: dict[str, int] = {}
        while True:
            while len(flying) < AHEAD * self.workers:
                task = again.popleft() if again else next(source, None)
                if task is None:
                    break
                pool = self._start()
                try:
                    flying[pool.submit(_one, task[1])] = task, pool
                except BrokenProcessPool:
                    self._drop(pool)
                    again.append(task)
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                task, pool = flying.pop(future)
                try:
                    found = future.result()
                except BrokenProcessPool:
                    self._drop(pool)
                    again.append(_lost(task, attempts))
                    self.lost += 1
                    continue
                yield (task[0], *found)

    def _drop(self, pool):
        """Use a pool no more that has lost a process; chunks of it may be heard of later."""
        if pool is self._pool:
            self._pool = None
            pool.shutdown(wait=False)

    def close(self):
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class Dask:
    """On a Dask cluster.

    Parameters
    ----------
    job : Job
    scheduler : str
        Address, ``tcp://host:port``.
    """

    def __init__(self, job, scheduler):
        try:
            from distributed import Client
        except ImportError:
            raise ValueError(
                "a Dask cluster needs the package distributed; "
                "install it with pip install hwsim[cluster]"
            ) from None
        try:
            self._client = Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError):
            raise ValueError(
                f"there is no Dask scheduler at {scheduler}; an address looks like tcp://host:8786"
            ) from None
        self.job = job
        self.lost = 0
        self.workers = len(self._client.scheduler_info(n_workers=-1)["workers"]) or 1

    def run(self, chunks):
        """Evaluate chunks; see the module."""
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        source = iter(chunks)
        job = self._client.scatter(self.job, broadcast=True, hash=False)
        attempts: dict[str, int] = {}
        flying: dict[Any, tuple] = {}
        done = as_completed(loop=self._client.loop)

        def submit(task):
            future = self._client.submit(_one, task[1], job, pure=False, retries=ATTEMPTS)
            flying[future.key] = task
            done.add(future)

        def fill():
            while len(flying) < AHEAD * self.workers:
                task = next(source, None)
                if task is None:
                    return
                submit(task)

        fill()
        while flying:
            future = next(done)
            task = flying.pop(future.key)
            if future.status == "cancelled":
                # The job itself was on a worker that is gone.
                job = self._client.scatter(self.job, broadcast=True, hash=False)
                self.lost += 1
                submit(_lost(task, attempts))
                continue
            try:
                found = future.result()
            except KilledWorker:
                self.lost += 1
                submit(_lost(task, attempts))
                continue
            yield (task[0], *found)
            fill()

    def close(self):
        """Leave the cluster, which goes on."""
        self._client.close()


def _lost(task, attempts):
    attempts[task[0]] = attempts.get(task[0], 0) + 1
    if attempts[task[0]] >= ATTEMPTS:
        raise RuntimeError(f"chunk {task[0]} ended its process {ATTEMPTS} times")
    return task


def make_executor(job, workers=None, scheduler=None):
    """The executor for so many processes, or a cluster."""
    if scheduler is not None:
        if workers is not None:
            raise ValueError("give workers or a scheduler, not both: a cluster has its own workers")
        return Dask(job, scheduler)
    if workers is None:
        workers = os.cpu_count() or 1
    return Local(job) if workers == 1 else Processes(job, workers)
