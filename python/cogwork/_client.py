"""Steering an engine from another process: `cogwork.connect` (R1).

A Client reads the store itself, which needs no engine, and asks the engine that owns it for all else, over the engine's control socket.
Where no engine runs, signals are stored for the next one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import _advice, _storage
from ._codec import by_whom
from ._durations import seconds_of
from ._errors import EngineClosed, StorageError, StoreInUse
from ._expected import Expected
from ._finding import find
from ._line import EngineInfo, Line
from ._model import Duration, Labor
from ._remote import Remote
from ._steering import Steering
from ._submit import prepare, twice
from ._unattended import Unattended, Unreached
from ._waiting import Origin, forked
from ._warn import warn

_FRESH = 3.0
"""Seconds in which it is not looked again for an engine that could not be reached."""


def connect(store: str | os.PathLike[str] | _storage.Storage, *, timeout: Duration = 5) -> Client:
    """Steers, from this process, the engine that owns the store: submit, signal, changes, stats; and reads the store.

    An engine that opens later is found too. With none running, signals and starts are stored for the next one (`ack.stored`, R1).
    timeout: seconds or timedelta that the engine may take to answer at first, or to open or close. Raises StorageError where there is no such store, or where
    no other process can reach it ("memory:").
    """
    return Client(store, timeout=timeout)


class Client(Steering):
    """Made by `cogwork.connect`. Any thread may call any method; `with` closes it."""

    def __init__(self, store: str | os.PathLike[str] | _storage.Storage, *, timeout: Duration = 5) -> None:
        self._spec = store
        self._store = _storage.resolve(store, reader=True)
        if not self._store.identity():
            raise StorageError(
                f"{self._store.name()} cannot be reached from another process: it is no file, and names no identity()"
            )
        self._timeout = seconds_of(timeout)
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._hangs_up: Callable[[], object] = _nothing
        self._trouble: tuple[float, str] = (-_FRESH, "")
        self._closed = False
        self._origin = Origin()
        with contextlib.suppress(StoreInUse):  # the store can be read; whatever needs the engine says so
            self._reach()

    @property
    def engine(self) -> EngineInfo | None:
        """The engine that owns the store now; None where none runs. StoreInUse where one does that cannot be reached: who it is, where it
        was looked for, and what helps."""
        line = self._reach()
        return None if line is None else line.info

    def close(self) -> None:
        """Hangs up. Labors go on. Idempotent."""
        with self._lock:
            self._closed = True
            self._line = None
            hang_up, self._hangs_up = self._hangs_up, _nothing
        if self._origin.here:
            hang_up()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        with self._lock:
            if self._closed:
                state = "closed"
            elif self._line is not None:
                state = f"engine {self._line.info.pid}"
            else:
                state = "an engine out of reach" if self._trouble[1] else "no engine"
        return f"<Client of {self._store.name()!r}, {state}>"

    @property
    def _core(self) -> Any:
        """Who answers at this moment: the engine, or, without one, the store."""
        try:
            line = self._reach()
        except StoreInUse as error:
            return Unreached(self, error)
        return Unattended(self) if line is None else Remote(self, line)

    def _submit(self, labor: Labor, start: bool, by: str | None, meant: Expected | None = None) -> Any:
        """meant: what the engine's Cogs must be, to the code; CogError where they are not."""
        document, faults, _, _ = prepare(labor)
        if not faults:
            warn(*twice(labor))
        line = self._reach()
        if line is None:
            raise EngineClosed(
                f"no engine runs on {self._store.name()}, and a Labor is checked by the engine that runs it: submit it with an "
                f"Engine of your own, or start one:\n  {_advice.serve(['FILE.py'], self._store.name())}"
            )
        request = line.request(
            "submit", document=document, faults=faults, expected=meant, start=bool(start), by=by_whom(by)
        )
        # Unsent: the engine was about to close. Another one may be there.
        return self._submit(labor, start, by, meant) if request.unsent else request

    def _reach(self, in_use: StoreInUse | None = None) -> Line | None:
        """The connection to the engine; None where no engine runs. in_use: what whoever tried to lock the store was told. StoreInUse
        where the engine that runs cannot be reached."""
        if not self._origin.here:
            raise forked()
        with self._lock:
            if self._closed:
                raise EngineClosed("this client is closed; connect again")
            if self._line is not None and not self._line.lost:
                return self._line
            self._hangs_up()
            self._line, self._hangs_up = None, _nothing
            since, words = self._trouble
            if time.monotonic() - since < _FRESH and in_use is None:
                raise StoreInUse(words)
            try:
                line = find(self._store, self._timeout, in_use)
            except StoreInUse as error:
                self._trouble = time.monotonic(), str(error)
                raise
            self._trouble = -_FRESH, ""
            if line is not None:
                self._line = line
                hang_up = weakref.finalize(self, line.close)
                hang_up.atexit = False
                self._hangs_up = hang_up
            return line


def _nothing() -> None:
    pass
