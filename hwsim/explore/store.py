"""Results on disk as they come: a SQLite database, which several runs may share.

SQLite, because it comes with Python and a transaction survives whatever ends a process: results
arrive in chunks of columns that nobody queries value by value, so that Parquet and DuckDB would
bring two dependencies and no way to add a chunk and a claim in one step.

A chunk of points is claimed before it is evaluated, by one run at a time. Claims of a run that has
ended, or that has not been heard of for half a minute, are void.
"""

import contextlib
import json
import os
import secrets
import socket
import sqlite3
import threading
import time
from pathlib import Path

__all__ = ["Store"]

_TABLES = """
CREATE TABLE IF NOT EXISTS spaces (job TEXT PRIMARY KEY, about TEXT);
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, host TEXT, pid INTEGER, beat REAL);
CREATE TABLE IF NOT EXISTS claims (job TEXT, chunk TEXT, run TEXT, PRIMARY KEY (job, chunk));
CREATE TABLE IF NOT EXISTS chunks
    (job TEXT, chunk TEXT, run TEXT, seconds REAL, data BLOB, PRIMARY KEY (job, chunk));
CREATE TABLE IF NOT EXISTS refined
    (job TEXT, point INTEGER, fidelity TEXT, data TEXT, PRIMARY KEY (job, point, fidelity));
"""
_BEAT = 5.0
_SILENCE = 30.0
_APPLICATION = 0x68777369  # "hwsi"


class Store:
    """Results of one job in a database.

    Parameters
    ----------
    path : path or None
        Made if missing; None for one that is gone at the end.
    job : Job
    """

    def __init__(self, path, job):
        self.path = None if path is None else Path(path)
        self.job = job.key
        self.run = secrets.token_hex(8)
        self._ended = threading.Event()
        self._base = self._open()
        about = json.dumps({"network": job.name, "space": job.space.to_dict()})
        with self._base:
            self._base.execute("INSERT OR IGNORE INTO spaces VALUES (?, ?)", (self.job, about))
            self._base.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?)",
                (self.run, socket.gethostname(), os.getpid(), time.time()),
            )
        if self.path is not None:
            self._pulse = threading.Thread(target=self._beat, args=(self.path,), daemon=True)
            self._pulse.start()

    def _open(self):
        if self.path is not None and not self.path.parent.is_dir():
            raise FileNotFoundError(2, "No such folder", str(self.path.parent))
        base = sqlite3.connect(":memory:" if self.path is None else self.path, timeout=60)
        try:
            number = base.execute("PRAGMA application_id").fetchone()[0]
            tables = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.DatabaseError as error:
            base.close()
            raise ValueError(f"store {self.path} is not one of hwsim: {error}") from None
        if tables and number != _APPLICATION:
            base.close()
            raise ValueError(f"store {self.path} is another program's database")
        base.execute("PRAGMA journal_mode=WAL")
        # A process that is killed loses nothing, a machine without power at most the last chunks.
        base.execute("PRAGMA synchronous=NORMAL")
        base.execute(f"PRAGMA application_id={_APPLICATION}")
        base.executescript(_TABLES)
        return base

    def _beat(self, path):
        base = sqlite3.connect(path, timeout=60)
        with contextlib.closing(base):
            while not self._ended.wait(_BEAT):
                with contextlib.suppress(sqlite3.OperationalError), base:
                    base.execute("UPDATE runs SET beat = ? WHERE run = ?", (time.time(), self.run))

    def close(self):
        """End the run: what it claimed and did not finish is free."""
        if not self._ended.is_set():
            self._ended.set()
            if self.path is not None:
                self._pulse.join()
            with self._base:
                self._base.execute("DELETE FROM claims WHERE run = ?", (self.run,))
                self._base.execute("DELETE FROM runs WHERE run = ?", (self.run,))
            self._base.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def get(self, chunk):
        """What was stored for a chunk: (data, seconds, whether by this run), or None."""
        found = self._base.execute(
            "SELECT data, seconds, run FROM chunks WHERE job = ? AND chunk = ?", (self.job, chunk)
        ).fetchone()
        return found and (found[0], found[1], found[2] == self.run)

    def done(self):
        """Names of all chunks that are there."""
        rows = self._base.execute("SELECT chunk FROM chunks WHERE job = ?", (self.job,))
        return {chunk for (chunk,) in rows}

    def claim(self, chunk):
        """Take a chunk: "mine", "done" if it is there, "busy" if another run has it."""
        self._base.execute("BEGIN IMMEDIATE")
        with self._base:
            key = self.job, chunk
            if self._base.execute(
                "SELECT 1 FROM chunks WHERE job = ? AND chunk = ?", key
            ).fetchone():
                return "done"
            owner = self._base.execute(
                "SELECT run FROM claims WHERE job = ? AND chunk = ?", key
            ).fetchone()
            if owner and owner[0] != self.run and self._lives(owner[0]):
                return "busy"
            self._base.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (*key, self.run))
            return "mine"

    def _lives(self, run):
        found = self._base.execute(
            "SELECT host, pid, beat FROM runs WHERE run = ?", (run,)
        ).fetchone()
        if found is None or time.time() - found[2] > _SILENCE:
            return False
        if found[0] != socket.gethostname():
            return True
        try:
            os.kill(found[1], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def put(self, chunk, data, seconds):
        """Keep the results of a chunk and give the claim back, both or neither."""
        with self._base:
            self._base.execute(
                "INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)",
                (self.job, chunk, self.run, seconds, data),
            )
            self._base.execute("DELETE FROM claims WHERE job = ? AND chunk = ?", (self.job, chunk))

    def get_refined(self, point, fidelity):
        """What was kept of a point at a fidelity, or None."""
        found = self._base.execute(
            "SELECT data FROM refined WHERE job = ? AND point = ? AND fidelity = ?",
            (self.job, point, fidelity),
        ).fetchone()
        return found and json.loads(found[0])

    def put_refined(self, point, fidelity, data):
        """Keep what a fidelity says of a point."""
        with self._base:
            self._base.execute(
                "INSERT OR REPLACE INTO refined VALUES (?, ?, ?, ?)",
                (self.job, point, fidelity, json.dumps(data)),
            )
