"""Stores (section 7): the built-in ones as Python sees them, and how to write one's own."""

from __future__ import annotations

import abc
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from . import _codec, _core
from ._errors import CogworkError, NotFound, StorageError, StoreInUse
from ._history import Finding, Moment, labor_at, verify
from ._model import Change, Job, Labor, LaborFilter, Sequence, Task, did_you_mean
from ._search import SearchResult

NO_LINK = bytes(16)

_BRIEF = 10.0
"""Seconds that an owner which only stores something is waited for."""
_UNNAMED = 1.0
"""The same, of one that may be such."""
_AGAIN = 0.005


class RecordKind(IntEnum):
    """Kinds of the small records beside the trees (T5)."""

    LATCH = 0
    SIGNAL = 1
    HELD_JOB = 2
    CLIENT_ID = 3


class WriteKind(IntEnum):
    """The writes of T2."""

    LABOR = 0
    LABOR_STATE = 1
    TASK = 2
    SEQUENCE = 3
    JOB = 4


class HistoryRow(NamedTuple):
    """All changes of one Labor in one commit (D7). Keep it as it is; `changes()` unpacks it."""

    first: int
    """Number of its first change."""
    count: int  # type: ignore[assignment]  # a row has no use for tuple.count
    labor_id: str
    """Of which Labor."""
    at: int
    """Microseconds since 1970."""
    packed: bytes
    """The changes; docs/internals/document.md has their form."""
    link: bytes
    """Chains it to the Labor's row before."""

    def changes(self) -> list[Change]:
        """The changes in it. StorageError where the bytes are damaged."""
        return _codec.changes_decoder.decode(_core.unpack_row(self))


class Record(NamedTuple):
    """A small value under a kind and a key; a value of None removes it."""

    kind: RecordKind
    key: str
    value: bytes | None


class Owner(NamedTuple):
    """Who owns a store (R1)."""

    pid: int
    host: str
    user: str
    program: str
    since: datetime | None
    brief: bool = False
    """It only stores something and goes at once: an engine that opens meanwhile waits for it."""


class Batch(NamedTuple):
    """What one commit holds: all of it, in this order, or nothing."""

    writes: list[tuple[WriteKind, Labor | Task | Sequence | Job]]
    history: list[HistoryRow]
    records: list[Record]


class Releasable(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Lets go of it."""


class Reader(abc.ABC):
    """T1. What is returned is the caller's own copy; a missing id raises NotFound. Any thread, at any time."""

    @abc.abstractmethod
    def read_labor(self, id: str, full: bool = True) -> Labor:
        """full=False: the Labor's own fields, without tasks."""

    @abc.abstractmethod
    def read_task(self, id: str) -> Task:
        """Without checks and sequences."""

    @abc.abstractmethod
    def read_sequence(self, id: str) -> Sequence:
        """Without jobs."""

    @abc.abstractmethod
    def read_job(self, id: str, full: bool = True) -> Job:
        """full=False: without args and output."""


class Writer(abc.ABC):
    """T2. Each is durable when it returns; one thread at a time."""

    @abc.abstractmethod
    def write_labor(self, labor: Labor) -> None:
        """The whole tree, with args. At ingest and recovery only."""

    @abc.abstractmethod
    def write_labor_state(self, labor: Labor) -> None:
        """state, reason, started, ended and holds of a Labor; its tasks are empty here."""

    @abc.abstractmethod
    def write_task(self, task: Task) -> None:
        """A Task's own fields; checks and sequences are empty here."""

    @abc.abstractmethod
    def write_sequence(self, sequence: Sequence) -> None:
        """A Sequence's own fields; jobs are empty here."""

    @abc.abstractmethod
    def write_job(self, job: Job) -> None:
        """All of a Job but its args, which are empty here: they are written once, by write_labor."""


class Searcher(abc.ABC):
    """T3."""

    @abc.abstractmethod
    def labors(self, filter: LaborFilter) -> Iterator[Labor]:
        """Labors that pass, without tasks, ordered by `submitted`, earliest first unless filter.newest_first."""


class Storage(Reader, Writer, Searcher):
    """A store of one's own: T1-T3, and what an engine needs beyond (T5).

    Writing calls come from one thread at a time; reading ones from any, also beside a writing one. What a writing call raises is tried
    again for as long as it takes: OSError and StorageError(temporary=True) hold up everything, other errors only the Labors
    that cause them (D6). `SimpleStorage` is the shorter way, for stores that need not be atomic.
    """

    @abc.abstractmethod
    def apply(self, batch: Batch) -> None:
        """One atomic commit; durable when it returns, and nothing of it stored when it raises."""

    @abc.abstractmethod
    def history(self, labor_id: str | None = None, since: int = 0) -> Iterator[HistoryRow]:
        """Rows by their first number, of one Labor or of all, which hold a change numbered above `since`."""

    @abc.abstractmethod
    def records(self, kind: RecordKind) -> dict[str, bytes]:
        """All records of a kind, by key."""

    @abc.abstractmethod
    def lock(self, owner: Owner) -> Releasable:
        """Makes `owner` the owner, until the lock that it returns is released. Raises StoreInUse at once where there is one - with
        `owner=` who that is, so that one that is brief is waited for (R1)."""

    def last_change(self) -> int:
        """The highest number of a change; 0 where there is none. A store that knows better overrides it."""
        return max((row.first + row.count - 1 for row in self.history()), default=0)

    def last_link(self, labor_id: str) -> bytes:
        """The link of a Labor's last row; sixteen zeros where it has none."""
        link = NO_LINK
        for row in self.history(labor_id):
            link = row.link
        return link

    def ids(self, prefix: str = "", most: int = 2**31) -> list[str]:
        """The ids of Labors that begin with `prefix`, in their order, at most `most`."""
        return _core.labor_ids(core_store(self), prefix.lower(), most)

    def at(self, id: str, when: Moment) -> Labor:
        """A Labor as it stood at an aware datetime, or right after the change of that number: the tree, rebuilt from the history (D7).
        NotFound; ValueError where there was no such Labor yet, or `when` names no moment."""
        return labor_at(core_store(self), id, when)

    def verify(self, id: str | None = None) -> list[Finding]:
        """Follows the history of a Labor, or of all, and says which rows were changed, removed or moved, and where it does not lead to what
        is stored (D7). Empty: nothing is wrong."""
        return verify(core_store(self), id)

    def name(self) -> str:
        """How the store is called in messages."""
        return type(self).__name__

    def identity(self) -> str:
        """What names this store, and no other, in every process of this machine, so that `cogwork.connect` finds the engine that owns
        it. Empty where no other process can open it."""
        return ""

    def close(self) -> None:
        """Lets go of what it holds. Called by its owner, never by an engine that was given it."""

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SimpleStorage(Storage):
    """A store that writes only T1-T3 itself; `apply` is made from its single writes.

    It is not atomic: a crash in the middle of a commit leaves a part of it stored, and what an engine finds then may be a state
    that never was. History and records are kept beside: in a cogwork store of its own, `beside`
    (a path, for SQLite), or in memory, and then they are gone with the process.

    A whole one, made of a dict, is in docs/writing-stores.md; `cogwork.testing.check_storage` says whether it keeps the contract.
    """

    def __init__(self, beside: str | os.PathLike[str] = "memory:") -> None:
        self._beside = _core.open_store(os.fsencode(beside), False)
        self._owned = threading.Lock()
        self._owner: Owner | None = None
        self._known: set[str] = set()

    def apply(self, batch: Batch) -> None:
        writers: dict[WriteKind, Callable[[Any], None]] = {
            WriteKind.LABOR: self.write_labor,
            WriteKind.LABOR_STATE: self.write_labor_state,
            WriteKind.TASK: self.write_task,
            WriteKind.SEQUENCE: self.write_sequence,
            WriteKind.JOB: self.write_job,
        }
        for kind, value in batch.writes:
            writers[kind](value)
        for labor_id in {row.labor_id for row in batch.history}:
            self._know(labor_id)
        self._beside.apply([], [tuple(row) for row in batch.history], [tuple(record) for record in batch.records])

    def _know(self, labor_id: str) -> None:
        """The store beside keeps history only of Labors that it has: of these it has the id."""
        if labor_id in self._known:
            return
        try:
            self._beside.read_labor(labor_id, False)
        except NotFound:
            stub = _codec.encoder.encode(Labor(id=labor_id))
            self._beside.apply([(int(WriteKind.LABOR), stub)], [], [])
        self._known.add(labor_id)

    def history(self, labor_id: str | None = None, since: int = 0) -> Iterator[HistoryRow]:
        return _rows(self._beside, labor_id, since)

    def records(self, kind: RecordKind) -> dict[str, bytes]:
        return dict(self._beside.records(int(kind)))

    def last_change(self) -> int:
        return self._beside.last_change()

    def last_link(self, labor_id: str) -> bytes:
        return self._beside.last_link(labor_id)

    def lock(self, owner: Owner) -> Releasable:
        """One engine at a time, in this process. Where processes share the data, override it."""
        if not self._owned.acquire(blocking=False):
            raise StoreInUse(
                f"{self.name()} is in use by another engine of this process; one at a time owns a store", self._owner
            )
        self._owner = owner
        return _Released(self._owned)


class _Released:
    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def release(self) -> None:
        self._lock.release()


def _rows(store: _core.Store, labor_id: str | None, since: int) -> Iterator[HistoryRow]:
    piece = 1000
    while True:
        rows = [HistoryRow(*row) for row in store.history(labor_id, since, piece)]
        yield from rows
        if len(rows) < piece:
            return
        since = rows[-1].first + rows[-1].count - 1


class BuiltinStorage(Storage):
    """A store of the core - memory, SQLite - as a Storage. Made by `open_store`."""

    def __init__(self, core: _core.Store) -> None:
        self._core_store: _core.Store | None = core

    @property
    def core(self) -> _core.Store:
        if self._core_store is None:
            raise StorageError("this store is closed")
        return self._core_store

    def read_labor(self, id: str, full: bool = True) -> Labor:
        return _codec.labor_decoder.decode(self.core.read_labor(id, full))

    def read_task(self, id: str) -> Task:
        return _codec.task_decoder.decode(self.core.read_task(id))

    def read_sequence(self, id: str) -> Sequence:
        return _codec.sequence_decoder.decode(self.core.read_sequence(id))

    def read_job(self, id: str, full: bool = True) -> Job:
        return _codec.job_decoder.decode(self.core.read_job(id, full))

    def write_labor(self, labor: Labor) -> None:
        self.apply(Batch([(WriteKind.LABOR, labor)], [], []))

    def write_labor_state(self, labor: Labor) -> None:
        self.apply(Batch([(WriteKind.LABOR_STATE, labor)], [], []))

    def write_task(self, task: Task) -> None:
        self.apply(Batch([(WriteKind.TASK, task)], [], []))

    def write_sequence(self, sequence: Sequence) -> None:
        self.apply(Batch([(WriteKind.SEQUENCE, sequence)], [], []))

    def write_job(self, job: Job) -> None:
        self.apply(Batch([(WriteKind.JOB, job)], [], []))

    def labors(self, filter: LaborFilter | None = None) -> SearchResult:
        return SearchResult(lambda wanted: stream(self.core, wanted), self.read_labor, filter or LaborFilter())

    def apply(self, batch: Batch) -> None:
        writes = [(int(kind), _codec.encoder.encode(value)) for kind, value in batch.writes]
        self.core.apply(writes, [tuple(row) for row in batch.history], [tuple(record) for record in batch.records])

    def history(self, labor_id: str | None = None, since: int = 0) -> Iterator[HistoryRow]:
        return _rows(self.core, labor_id, since)

    def records(self, kind: RecordKind) -> dict[str, bytes]:
        return dict(self.core.records(int(kind)))

    def last_change(self) -> int:
        return self.core.last_change()

    def last_link(self, labor_id: str) -> bytes:
        return self.core.last_link(labor_id)

    def lock(self, owner: Owner) -> Releasable:
        since = 0 if owner.since is None else _codec.to_micros(owner.since)
        return _CoreLock(self.core.lock(owner.pid, owner.host, owner.user, owner.program, since, owner.brief))

    def changes(self, id: str | None = None, since: int = 0) -> Iterator[Change]:
        """Every change that is stored, of one Labor or of all, numbered above `since` (D7)."""
        for row in self.history(id, since):
            for change in row.changes():
                if change.number > since:
                    yield change

    def search(self, filter: LaborFilter | None = None) -> SearchResult:
        """The same as `labors`."""
        return self.labors(filter)

    def name(self) -> str:
        return self.core.name()

    def identity(self) -> str:
        return self.core.identity()

    def close(self) -> None:
        self._core_store = None

    def __enter__(self) -> BuiltinStorage:
        return self

    def __repr__(self) -> str:
        return f"<store {self.name()!r}>" if self._core_store is not None else "<closed store>"


class _CoreLock:
    def __init__(self, lock: _core.StoreLock) -> None:
        self._lock: _core.StoreLock | None = lock

    def release(self) -> None:
        self._lock = None


def stream(store: _core.Store, labor_filter: LaborFilter) -> Iterator[Labor]:
    """Labors as the core finds them; raises where the stream breaks."""
    found = store.labors(_codec.encode_filter(labor_filter))
    while (document := found.next()) is not None:
        yield _codec.labor_decoder.decode(document)


# ---- the registry (T4) ----

_factories: dict[str, Callable[[str], Storage]] = {}
_BUILT_IN = ("memory", "sqlite")


def register_store(name: str, factory: Callable[[str], Storage]) -> None:
    """Makes `cw.Engine("name:where")` open `factory(where)`. CogworkError where the name is taken, or is no word (T4)."""
    if not isinstance(name, str) or not name.isidentifier():
        raise CogworkError(f"a store's name is one word, not {name!r}")
    if name in _factories or name in _BUILT_IN:
        raise CogworkError(f"a store is registered as {name!r} already; choose another name")
    if not callable(factory):
        raise CogworkError(f"register_store takes a class or a function that makes a store, not {factory!r}")
    _factories[name] = factory


def stores() -> list[str]:
    """The names of all registered stores."""
    return sorted([*_BUILT_IN, *_factories])


def resolve(store: Any, reader: bool = False) -> Storage:
    """A store from what a user gave: a path, "name:where", or a Storage."""
    if isinstance(store, Storage):
        return store
    if not isinstance(store, (str, os.PathLike)):
        raise TypeError(f"a store is a path, 'name:where', or a cogwork.Storage, not {type(store).__name__}")
    spec = os.fspath(store)
    if not isinstance(spec, str):
        spec = os.fsdecode(spec)
    if not spec:
        raise StorageError("the store's path is empty")
    name, colon, where = spec.partition(":")
    if colon and name in _factories:
        made = _factories[name](where)
        if not isinstance(made, Storage):
            raise StorageError(f"the store {name!r} made a {type(made).__name__}, which is no cogwork.Storage")
        return made
    if colon and name.isidentifier() and name not in _BUILT_IN and not os.path.exists(spec):
        raise StorageError(
            f"no store is registered as {name!r}{did_you_mean(name, stores())}; a path with a colon in it: './{spec}'"
        )
    if not colon or name not in _BUILT_IN:
        demand_folder(spec)
    elif where:
        demand_folder(where)
    return BuiltinStorage(_core.open_store(os.fsencode(spec), reader))


def demand_folder(path: str) -> None:
    """Raises StorageError where a path begins at the current folder, and that was removed."""
    if not os.path.isabs(path):
        try:
            os.getcwd()
        except OSError as error:
            raise StorageError(
                f"cannot open {path}: the current folder cannot be found ({error.strerror}); go to one that exists, or give the whole path"
            ) from None


def open_store(store: str | os.PathLike[str]) -> BuiltinStorage:
    """Reads a store without an engine, also while one runs; it changes nothing and waits for nobody (R1).

    Raises StorageError where there is no such file, or where it is no store of cogwork.
    """
    opened = resolve(store, reader=True)
    if isinstance(opened, BuiltinStorage):
        return opened
    return opened  # type: ignore[return-value]  # a store of one's own reads as it is


# ---- a store written in Python, as the core calls it ----


class Adapter:
    """Speaks documents to the core and objects to a Storage. Called on the core's threads, with the GIL."""

    def __init__(self, store: Storage) -> None:
        self._store = store

    def name(self) -> str:
        return self._store.name()

    def identity(self) -> str:
        return self._store.identity()

    def read_labor(self, id: str, full: bool) -> bytes:
        return _codec.encoder.encode(self._store.read_labor(id, full))

    def read_task(self, id: str, _full: bool) -> bytes:
        return _codec.encoder.encode(self._store.read_task(id))

    def read_sequence(self, id: str, _full: bool) -> bytes:
        return _codec.encoder.encode(self._store.read_sequence(id))

    def read_job(self, id: str, full: bool) -> bytes:
        return _codec.encoder.encode(self._store.read_job(id, full))

    def labors(self, states: list[int]) -> Iterator[bytes]:
        for labor in self._store.labors(LaborFilter(states=states)):  # type: ignore[arg-type]  # their numbers
            yield _codec.encoder.encode(msgspec.structs.replace(labor, tasks=[]))

    def apply(self, writes: list[tuple[int, bytes]], history: list[Any], records: list[Any]) -> None:
        decoders: dict[int, Callable[[bytes], Any]] = {
            WriteKind.LABOR: _codec.labor_decoder.decode,
            WriteKind.LABOR_STATE: _codec.labor_decoder.decode,
            WriteKind.TASK: _codec.task_decoder.decode,
            WriteKind.SEQUENCE: _codec.sequence_decoder.decode,
            WriteKind.JOB: _codec.job_decoder.decode,
        }
        self._store.apply(
            Batch(
                [(WriteKind(kind), decoders[kind](document)) for kind, document in writes],
                [HistoryRow(*row) for row in history],
                [Record(RecordKind(kind), key, value) for kind, key, value in records],
            )
        )

    def history(self, labor_id: str | None, since: int) -> Iterable[tuple[Any, ...]]:
        return (tuple(row) for row in self._store.history(labor_id, since))

    def last_change(self) -> int:
        return self._store.last_change()

    def last_link(self, labor_id: str) -> bytes:
        return self._store.last_link(labor_id)

    def records(self, kind: int) -> list[tuple[str, bytes]]:
        return list(self._store.records(RecordKind(kind)).items())

    def lock(self, pid: int, host: str, user: str, program: str, since: int, brief: bool) -> Releasable:
        """Waits for an owner that is brief (R1), and a moment for one of which the store does not say who it is."""
        owner = Owner(pid, host, user, program, _codec.from_micros(since), brief)
        began = time.monotonic()
        while True:
            try:
                return self._store.lock(owner)
            except StoreInUse as error:
                holder = error.owner
                patience = _UNNAMED if holder is None else _BRIEF if holder.brief else 0
                if time.monotonic() - began >= patience:
                    raise
            time.sleep(_AGAIN)


def core_store(store: Storage) -> _core.Store:
    """A Storage as the core takes it."""
    return store.core if isinstance(store, BuiltinStorage) else _core.python_store(Adapter(store))


def describe_error(error: BaseException) -> str:
    """What a store raised, in words; with its traceback where it is no error that stores are meant to raise."""
    try:
        if isinstance(error, (CogworkError, OSError)):
            return _codec.encodable(str(error)) or type(error).__name__
        return _codec.encodable("the store raised an error: " + "".join(traceback.format_exception(error)).rstrip("\n"))
    except BaseException:
        return f"the store raised {type(error).__name__}"


__all__ = [
    "Batch",
    "BuiltinStorage",
    "HistoryRow",
    "NotFound",
    "Owner",
    "Reader",
    "Record",
    "RecordKind",
    "Searcher",
    "SimpleStorage",
    "Storage",
    "WriteKind",
    "Writer",
    "open_store",
    "register_store",
    "stores",
]
