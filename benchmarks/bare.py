"""Bare work: what the same result costs without an engine. Every figure of a budget is read beside one of these."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# As long as the rows that an engine writes for a Job of one attempt, and for a row of history.
_JOB = (2, 0, 0, 1, 0, 0, 1_700_000_000_000_000, 1_700_000_000_000_000, "no_op", 300_000_000, 0, 0, 1.0, 1, b"a" * 48)
_SEQUENCE = (0, 0, 1, 1, 0, 1_700_000_000_000_000, 1_700_000_000_000_000, "edge-000000")
_CHANGES = b"c" * 40
_LINK = b"l" * 16

_TABLES = """
CREATE TABLE jobs(key INTEGER PRIMARY KEY, state, task, sequence, kind, held, rounds, started, ended, cog, timeout, retries,
  retry_delay, retry_backoff, on_interrupt, attempts);
CREATE TABLE sequences(key INTEGER PRIMARY KEY, task, first_job, jobs, state, reason, started, ended, target);
CREATE TABLE history(first INTEGER PRIMARY KEY, labor, at, count, changes, link);
"""
_INSERT_JOB = "INSERT INTO jobs VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_SEQUENCE = "INSERT INTO sequences VALUES(?,?,?,?,?,?,?,?,?)"
_UPDATE_JOB = (
    "UPDATE jobs SET state=?2, task=?3, sequence=?4, kind=?5, held=?6, rounds=?7, started=?8, ended=?9, cog=?10, timeout=?11, "
    "retries=?12, retry_delay=?13, retry_backoff=?14, on_interrupt=?15, attempts=?16 WHERE key=?1"
)
_UPDATE_SEQUENCE = "UPDATE sequences SET task=?2, first_job=?3, jobs=?4, state=?5, reason=?6, started=?7, ended=?8, target=?9 WHERE key=?1"
_INSERT_HISTORY = "INSERT INTO history VALUES(?,?,?,?,?,?)"


class BareStore:
    """Python's own sqlite3 with the settings of a cogwork store (WAL, synchronous=FULL), on a file of its own."""

    def __init__(self, path: Path, jobs: int) -> None:
        self._path = path
        self._jobs = jobs
        self._history = 0
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")
        self._db.executemany(_INSERT_JOB, ((key, *_JOB) for key in range(jobs)))
        self._db.executemany(_INSERT_SEQUENCE, ((key, *_SEQUENCE) for key in range(jobs)))
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)

    def commit(self) -> float:
        """One commit of one Job's row and one row of history. Seconds."""
        self._history += 1
        key = self._history % self._jobs
        begin = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_UPDATE_JOB, (key, *_JOB))
        self._db.execute(_INSERT_HISTORY, (self._history, 1, 0, 1, _CHANGES, _LINK))
        self._db.execute("COMMIT")
        return time.perf_counter() - begin

    def run_in_batches(self, batch: int) -> float:
        """The rows that starts and ends of all Jobs write, `batch` Jobs at a time: two commits for each batch, one where they start
        and one where they end. Seconds."""
        begin = time.perf_counter()
        for first in range(0, self._jobs, batch):
            keys = range(first, min(first + batch, self._jobs))
            for _ in ("start", "end"):
                self._history += 1
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(_UPDATE_SEQUENCE, [(key, *_SEQUENCE) for key in keys])
                self._db.executemany(_UPDATE_JOB, [(key, *_JOB) for key in keys])
                self._db.execute(_INSERT_HISTORY, (self._history, 1, 0, len(keys), _CHANGES * batch, _LINK))
                self._db.execute("COMMIT")
        return time.perf_counter() - begin


def pool_seconds(call: Callable[[str], object], arguments: Iterable[str], threads: int) -> float:
    """The same calls by a plain thread pool that stores nothing."""
    with ThreadPoolExecutor(threads) as pool:
        begin = time.perf_counter()
        for _ in pool.map(call, arguments):
            pass
        return time.perf_counter() - begin


def fsync_seconds(folder: Path, repeats: int = 100) -> float:
    """What the disk takes to make one overwritten page durable; the median."""
    path = folder / "fsync"
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        times = []
        for _ in range(repeats):
            os.pwrite(file, b"x" * 4096, 0)
            begin = time.perf_counter()
            os.fsync(file)
            times.append(time.perf_counter() - begin)
        return statistics.median(times)
    finally:
        os.close(file)
        path.unlink()


def load() -> float:
    """What else the machine is doing: the load of the last minute."""
    return round(os.getloadavg()[0], 2)


def machine(folder: Path) -> dict[str, object]:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "load": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fsync_us": round(fsync_seconds(folder) * 1e6, 1),
    }
