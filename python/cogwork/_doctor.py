"""`cogwork.doctor`: whether a store's file is sound, from SQLite's pages to the history of each Labor."""

from __future__ import annotations

import os
import time

import msgspec

from . import _core
from ._client import connect
from ._codec import from_micros
from ._errors import CogworkError, StorageError
from ._history import Finding, check_labors
from ._line import EngineInfo
from ._owner import owner_of
from ._storage import BuiltinStorage, demand_folder, open_store, stores

_ANSWER = 2.0
"""Seconds that an engine may take to say who it is."""


class Checkup(msgspec.Struct):
    """What `doctor` looked at, and what it found."""

    path: str
    """The file."""
    version: int
    """Of its tables."""
    bytes: int
    """Of the file."""
    log_bytes: int
    """Of the write-ahead log beside it: there while an engine works on it, or after one died."""
    labors: int
    """How many it holds."""
    changes: int
    """How many its history holds."""
    seconds: float
    """What it took to look at all of it."""
    engine: EngineInfo | None
    """Who works on it now."""
    findings: list[Finding]
    """What is wrong; empty: nothing."""

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def doctor(path: str | os.PathLike[str]) -> Checkup:
    """Examines a store's file and changes nothing, also while an engine works on it: SQLite's own check, rows and records that belong to
    nothing, and of each Labor what `verify` looks at and the rules that every stored tree keeps.

    Damage is a finding. Raises StorageError where there is nothing to examine: no such file, a folder, no right to read it, no database, or
    one of another program or of another version of cogwork.

    >>> with cw.Engine("labors.db") as engine:
    ...     pass
    >>> cw.doctor("labors.db").findings
    []
    """
    began = time.monotonic()
    spec = os.fspath(path)
    where = os.fsdecode(spec)
    where = where.removeprefix("sqlite:")
    name, colon, _ = where.partition(":")
    if colon and name in stores() and not os.path.exists(where):
        raise StorageError(
            f"{where} is no file, and the doctor examines files; open_store({where!r}).verify() looks at its histories"
        )
    demand_folder(where)
    version, size, log, labors, changes, troubles = _core.examine_sqlite(os.fsencode(where))
    findings = [Finding("file", what, remedy) for what, remedy in troubles]
    engine = None
    try:
        with open_store(os.path.join(".", where)) as store:
            assert isinstance(store, BuiltinStorage)
            engine = _engine_of(where, store)
            for check in check_labors(store.core, None, tree=True):
                findings += check.findings
            findings += (
                Finding("record", what, "nothing reads it; it takes room, and its key")
                for what in _core.lost_records(store.core)
            )
    except StorageError as error:
        if not findings:  # else it says once more that the file is damaged
            findings.append(Finding("file", str(error), "restore a copy"))
    return Checkup(where, version, size, log, labors, changes, time.monotonic() - began, engine, findings)


def _engine_of(path: str, store: BuiltinStorage) -> EngineInfo | None:
    try:
        with connect(os.path.join(".", path), timeout=_ANSWER) as client:
            return client.engine
    except CogworkError:  # one that cannot be reached has left its name
        seen = owner_of(store)
        if not seen.holds:
            return None
        return EngineInfo(seen.pid, seen.host, seen.user, seen.program, from_micros(seen.since), "")
