"""A store that fails as it is told, to see what an engine, and what is built on it, makes of that (D6, R5)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._model import Job, Labor, LaborFilter, Sequence, Task
from .._storage import Batch, HistoryRow, Owner, RecordKind, Releasable, Storage, WriteKind, resolve


class _Fault(NamedTuple):
    first: int
    last: int | None
    before: Callable[[], None]
    after: Callable[[], None]

    def meets(self, write: int) -> bool:
        return self.first <= write and (self.last is None or write <= self.last)


def _nothing() -> None:
    pass


class FaultyStorage(Storage):
    """Any store, with faults at the n-th write. A write is a commit: what an engine records in one piece.

    store: a path (SQLite), "memory:", "name:where" of a registered store, or a Storage. Writes are counted from 1, from when this was made;
    `at=None` is the next one. Faults add up; `mend` takes them all away. Any thread.

    >>> from cogwork.testing import FaultyStorage
    >>> store = FaultyStorage("memory:")
    >>> store.fail(at=2, times=3)
    >>> store.delay(0.01, at=1)
    >>> with cw.Engine(store) as engine:
    ...     engine.run(cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[cw.command.job(["true"])])])])).state.name
    'COMPLETED'
    """

    def __init__(self, store: str | os.PathLike[str] | Storage) -> None:
        self.inner: Storage = resolve(store)
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._readable = threading.Event()
        self._readable.set()
        self._faults: list[_Fault] = []
        self._writes = 0
        self._failed = 0

    # ---- what goes wrong ----

    @property
    def writes(self) -> int:
        """How many writes there were, those that failed too."""
        return self._writes

    @property
    def failed(self) -> int:
        """How many writes were made to fail."""
        return self._failed

    def fail(self, at: int | None = None, times: int | None = 1, error: Exception | None = None) -> None:
        """That many writes, from number `at` on, raise the error, and nothing of them is stored. times: None is all, until `mend`.

        error: an OSError, or a StorageError that is temporary, may mend by waiting: the engine holds everything up and tries again. All others
        hinder only the Labors that are in the write (D6). Not given: an OSError that says that the disk is full.
        """
        raised = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if error is None else error

        def fail() -> None:
            self._failed += 1
            raise raised.with_traceback(None)

        self._add(at, times, before=fail)

    def delay(self, seconds: float, at: int | None = None, times: int | None = 1) -> None:
        """That many writes, from number `at` on, take that much longer."""
        self._add(at, times, before=lambda: time.sleep(seconds))

    def die(self, at: int | None = None, *, after: bool = False, status: int | None = None) -> None:
        """The process ends exactly before write number `at`, or exactly after it: it is stored, and nobody has learnt of it.

        status: by os._exit(status); else by SIGKILL. Neither lets anything clean up.
        """

        def die() -> None:
            if status is None:
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()
            os._exit(status or 0)

        self._add(at, 1, **{"after" if after else "before": die})

    @contextlib.contextmanager
    def held(self, *, reads: bool = False) -> Iterator[None]:
        """Inside, writes hang, and go on when it is left. reads: what is read hangs, too, as below a disk that does not answer."""
        self._flows.clear()
        if reads:
            self._readable.clear()
        try:
            yield
        finally:
            self._flows.set()
            self._readable.set()

    def mend(self) -> None:
        """From now on all is well."""
        with self._lock:
            self._faults.clear()

    def _add(
        self,
        at: int | None,
        times: int | None,
        before: Callable[[], None] = _nothing,
        after: Callable[[], None] = _nothing,
    ) -> None:
        with self._lock:
            first = self._writes + 1 if at is None else at
            if first < 1 or (times is not None and times < 1):
                raise ValueError(
                    f"writes are counted from 1, and at least one has the fault; not at={at!r}, times={times!r}"
                )
            self._faults.append(_Fault(first, None if times is None else first + times - 1, before, after))

    # ---- the store ----

    def apply(self, batch: Batch) -> None:
        self._flows.wait()
        with self._lock:
            self._writes += 1
            faults = [fault for fault in self._faults if fault.meets(self._writes)]
        for fault in faults:
            fault.before()
        self.inner.apply(batch)
        for fault in faults:
            fault.after()

    def _write(self, kind: WriteKind, value: Any) -> None:
        self.apply(Batch([(kind, value)], [], []))

    def write_labor(self, labor: Labor) -> None:
        self._write(WriteKind.LABOR, labor)

    def write_labor_state(self, labor: Labor) -> None:
        self._write(WriteKind.LABOR_STATE, labor)

    def write_task(self, task: Task) -> None:
        self._write(WriteKind.TASK, task)

    def write_sequence(self, sequence: Sequence) -> None:
        self._write(WriteKind.SEQUENCE, sequence)

    def write_job(self, job: Job) -> None:
        self._write(WriteKind.JOB, job)

    @property
    def _read(self) -> Storage:
        self._readable.wait()
        return self.inner

    def read_labor(self, id: str, full: bool = True) -> Labor:
        return self._read.read_labor(id, full)

    def read_task(self, id: str) -> Task:
        return self._read.read_task(id)

    def read_sequence(self, id: str) -> Sequence:
        return self._read.read_sequence(id)

    def read_job(self, id: str, full: bool = True) -> Job:
        return self._read.read_job(id, full)

    def labors(self, filter: LaborFilter) -> Iterator[Labor]:
        return iter(self._read.labors(filter))

    def history(self, labor_id: str | None = None, since: int = 0) -> Iterator[HistoryRow]:
        return self._read.history(labor_id, since)

    def records(self, kind: RecordKind) -> dict[str, bytes]:
        return self._read.records(kind)

    def lock(self, owner: Owner) -> Releasable:
        return self.inner.lock(owner)

    def last_change(self) -> int:
        return self._read.last_change()

    def last_link(self, labor_id: str) -> bytes:
        return self._read.last_link(labor_id)

    def name(self) -> str:
        return self.inner.name()

    def identity(self) -> str:
        return self.inner.identity()

    def close(self) -> None:
        self.inner.close()
