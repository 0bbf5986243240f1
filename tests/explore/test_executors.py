"""One result, wherever points are evaluated and whatever ends half-way."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from hwsim.explore import Space, explore
from hwsim.explore.evaluate import make_job, pack
from hwsim.explore.executor import Dask
from hwsim.explore.store import Store
from hwsim.networks import network as known
from tests.explore.runner import SPACE


@pytest.fixture(scope="module")
def network():
    return known("alexnet")


@pytest.fixture(scope="module")
def alone(network):
    return explore(network, SPACE, workers=1)


def equal(first, second):
    return first.front.equals(second.front) and all(
        np.array_equal(first._columns[name], second._columns[name], equal_nan=True)
        for name in first._columns
    )


def test_two_processes_find_the_same(network, alone):
    assert len(alone.space.chunks()) == 5
    assert equal(alone, explore(network, SPACE, workers=2))


def test_two_processes_sample_the_same(network):
    options = {"method": "nsga2", "samples": 192, "seed": 5}
    first = explore(network, SPACE, workers=1, **options)
    second = explore(network, SPACE, workers=2, **options)
    assert first.frame().equals(second.frame())


def test_seeds_differ(network):
    first, second = (
        explore(network, SPACE, workers=1, method="nsga2", samples=64, seed=seed) for seed in (1, 2)
    )
    assert not np.array_equal(first._numbers, second._numbers)


def test_a_store_is_used_again(network, alone, tmp_path):
    first = explore(network, SPACE, workers=1, store=tmp_path / "a.db")
    second = explore(network, SPACE, workers=1, store=tmp_path / "a.db")
    assert (first.evaluated, first.reused) == (first.points, 0)
    assert (second.evaluated, second.reused) == (0, first.points)
    assert equal(alone, first)
    assert equal(alone, second)
    # Another network has results of its own.
    other = explore(known("vgg16"), SPACE, workers=1, store=tmp_path / "a.db")
    assert other.reused == 0


def runner(store, workers, log, delay):
    command = [sys.executable, "-m", "tests.explore.runner"]
    return subprocess.Popen(
        [*command, str(store), str(workers), str(log), str(delay)],
        stdout=subprocess.PIPE,
        text=True,
    )


def stored(store):
    if not store.exists():
        return 0
    base = sqlite3.connect(store)
    try:
        return base.execute("SELECT count(*) FROM chunks").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        base.close()


def wait_for_chunks(process, store, count):
    deadline = time.monotonic() + 60
    while stored(store) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_run_goes_on_where_it_was(network, alone, tmp_path):
    store, log = tmp_path / "a.db", tmp_path / "log"
    process = runner(store, 1, log, 0.3)
    wait_for_chunks(process, store, 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stored(store)
    assert 2 <= before < 5
    finished = runner(store, 1, log, 0)
    text, _ = finished.communicate(timeout=60)
    evaluated, reused = map(int, text.split())
    assert evaluated + reused == alone.points
    assert stored(store) == 5
    # Every chunk once, but for the one that was lost with the process.
    starts = [int(line) for line in log.read_text().split()]
    assert len(set(starts)) == 5
    assert len(starts) - 5 <= 1
    again = explore(network, SPACE, workers=1, store=store)
    assert again.evaluated == 0
    assert equal(alone, again)


def test_two_runs_share_a_store(network, alone, tmp_path):
    store, log = tmp_path / "a.db", tmp_path / "log"
    both = [runner(store, 1, log, 0.2) for _ in range(2)]
    counts = [list(map(int, p.communicate(timeout=60)[0].split())) for p in both]
    starts = log.read_text().split()
    assert len(starts) == len(set(starts)) == 5
    assert sum(evaluated for evaluated, _ in counts) == alone.points
    assert equal(alone, explore(network, SPACE, workers=1, store=store))


def test_claims_of_a_run_that_is_gone_are_void(network, tmp_path):
    job = make_job(network, Space.load(SPACE))
    with Store(tmp_path / "a.db", job) as first, Store(tmp_path / "a.db", job) as second:
        assert first.claim("x") == "mine"
        assert second.claim("x") == "busy"
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        with first._base:
            first._base.execute("UPDATE runs SET pid = ? WHERE run = ?", (gone.pid, first.run))
        assert second.claim("x") == "mine"
        second.put("x", pack({"reason": np.zeros(1, np.uint8)}), 0.0)
        assert first.claim("x") == "done"


def test_another_programs_database(network, tmp_path):
    path = tmp_path / "other.db"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE notes (text TEXT)")
    base.close()
    with pytest.raises(ValueError) as caught:
        explore(network, SPACE, workers=1, store=path)
    assert str(caught.value) == f"store {path} is another program's database"
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at as one")
    with pytest.raises(ValueError, match="is not one of hwsim"):
        explore(network, SPACE, workers=1, store=tmp_path / "text")


@pytest.mark.filterwarnings("default")
def test_a_cluster_that_loses_a_worker_finds_the_same(network, alone):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        killed = []

        def progress(done, total):
            if not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        found = explore(network, SPACE, scheduler=cluster.scheduler_address, progress=progress)
        assert killed
        assert found.evaluated == alone.points
        assert equal(alone, found)


@pytest.mark.parametrize(
    ("package", "options", "message"),
    [
        (
            "distributed",
            {"scheduler": "tcp://localhost:1"},
            "a Dask cluster needs the package distributed; "
            "install it with pip install hwsim[cluster]",
        ),
        (
            "optuna",
            {"method": "tpe", "workers": 1},
            "the method tpe needs the package optuna; install it with pip install hwsim[explore]",
        ),
    ],
)
def test_a_package_is_missing(network, monkeypatch, package, options, message):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError) as caught:
        explore(network, SPACE, **options)
    assert str(caught.value) == message


def test_a_worker_that_is_killed_loses_nothing(network, alone):
    killed = []

    def progress(done, total):
        if not killed:
            children = multiprocessing.active_children()
            killed.append(children[0].pid)
            os.kill(children[0].pid, signal.SIGKILL)

    found = explore(network, SPACE, workers=2, progress=progress)
    assert killed
    assert found.evaluated == alone.points
    assert equal(alone, found)


def test_no_scheduler(network, monkeypatch):
    pytest.importorskip("distributed")
    job = make_job(network, Space.load(SPACE))
    with pytest.raises(ValueError) as caught:
        Dask(job, "nonsense://x")
    assert str(caught.value) == (
        "there is no Dask scheduler at nonsense://x; an address looks like tcp://host:8786"
    )
