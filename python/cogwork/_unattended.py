"""A store that no engine owns, in the words of `_core.Engine`: what is stored is what there is, and signals wait in it (R1)."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from . import _advice, _codec, _core, _storage
from ._codec import login_name, program_name
from ._errors import CogworkError, EngineClosed, NotFound, StoreInUse
from ._latch import latch_from
from ._line import Request
from ._logs import NO_LINES
from ._model import Change, LaborFilter, State
from ._remote import RemoteAck, RemoteEnd

if TYPE_CHECKING:
    from ._client import Client


_T = TypeVar("_T")
_PAUSE = 0.02


class _Stored:
    """What can be said of a store by reading it, in the words of `_core.Engine`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = client._store

    def state(self, id: str) -> int:
        store = self._store
        for read in (lambda i: store.read_labor(i, False), store.read_task, store.read_sequence):
            with contextlib.suppress(NotFound):
                return int(read(id).state)
        return int(store.read_job(id, False).state)

    def find_task(self, id: str, name: str) -> str:
        return _core.find_stored(_storage.core_store(self._store), id, name)

    def progress(self, id: str) -> bytes:
        stored = _core.stored_progress(_storage.core_store(self._store), id)
        told = msgspec.msgpack.decode(stored)
        if State(told["state"]).ended:
            return stored
        return _codec.encoder.encode({**told, "unattended": self._why()})

    def changes(self, id: str | None, since: int | None) -> _StoredFeed:
        return _StoredFeed(self._store, id, since)

    def logs(self, id: str, since: int | None) -> _NoLines:
        self.state(id)  # NotFound
        return _NoLines()

    def end_of(self, id: str) -> RemoteEnd:
        if not State(self.state(id)).ended:
            raise self._nobody(f"Labor {id} has not ended and nothing will happen to it")
        end = RemoteEnd()
        end.completion.set()
        return end

    def _nobody(self, what: str) -> CogworkError:
        """Why there is no engine for that."""
        raise NotImplementedError

    def _why(self) -> str:
        """Why what is stored is all that can be said, in one line."""
        raise NotImplementedError


class Unreached(_Stored):
    """A store whose engine cannot be reached: it can be read, and all else says why not."""

    def __init__(self, client: Client, error: StoreInUse) -> None:
        super().__init__(client)
        self._error = error

    def __getattr__(self, _name: str) -> Any:
        raise self._error

    def _nobody(self, _what: str) -> CogworkError:
        return self._error

    def _why(self) -> str:
        return str(self._error).partition("\n")[0]


class Unattended(_Stored):
    """A store that no engine owns, in the words of `_core.Engine`: what is stored is what there is, and signals wait in it."""

    def _why(self) -> str:
        return f"no engine runs on {self._store.name()}"

    def stats(self) -> bytes:
        raise self._nobody("figures of an engine are the engine's to give")

    def take_up(self, id: str) -> str:
        self.state(id)  # NotFound
        raise self._nobody(f"nobody can take Labor {id} up")

    def start(self, id: str, by: str, note: str) -> Any:
        if self._store_signal(id, None, False, by, note) is None:
            return self._client._core.start(id, by, note)
        done = Request()
        done.reply(_codec.encoder.encode(id))
        return done

    def decide(self, id: str, decision: str, by: str, note: str) -> Any:
        def store(store: _core.Store, user: str, program: str) -> bool:
            _core.store_decision(store, id, decision, by, note, user, program)
            return True

        if self._briefly(store) is None:
            return self._client._core.decide(id, decision, by, note)
        done = Request()
        done.reply(_codec.encoder.encode(id))
        return done

    def signal(self, id: str, signal: int, interrupt: bool, by: str, note: str) -> Any:
        stored = self._store_signal(id, signal, interrupt, by, note)
        if stored is None:
            return self._client._core.signal(id, signal, interrupt, by, note)
        ack = _StoredAck()
        if not stored:  # a Task or Sequence that has ended ignores it
            ack.stored, ack.state = False, self.state(id)
            ack.completion.set()
        return ack

    # ---- crises ----

    def crisis_pause(self, tags: list[str], name_prefix: str, cogs: list[str], by: str, note: str) -> tuple[str, Any]:
        id = self._briefly(
            lambda store, user, program: _core.store_latch(store, tags, name_prefix, cogs, by, note, user, program)
        )
        if id is None:
            redirected: tuple[str, Any] = self._client._core.crisis_pause(tags, name_prefix, cogs, by, note)
            return redirected
        return id, _settled()

    def crisis_resume(self, id: str, by: str, note: str) -> Any:
        def lift(store: _core.Store, user: str, program: str) -> bool:
            _core.lift_stored(store, id, by, note, user, program)
            return True

        return _settled() if self._briefly(lift) else self._client._core.crisis_resume(id, by, note)

    def latch_settled(self, id: str) -> RemoteAck:
        if not any(latch["id"] == id for latch in msgspec.msgpack.decode(self.crises(False))):
            raise NotFound(f"no crisis latch in force has the id {id}")
        return _settled()  # nothing executes

    def crises(self, lifted: bool) -> bytes:
        found = msgspec.msgpack.decode(_core.stored_crises(_storage.core_store(self._store), lifted))
        latches = [latch_from(raw) for raw in found]
        if any(latch.in_force for latch in latches):
            unfinished = LaborFilter(states=[state for state in State if state != State.UNKNOWN and not state.ended])
            for labor in self._store.labors(unfinished):
                for raw, latch in zip(found, latches, strict=True):
                    raw["labors"] += latch.holds(labor)
        return _codec.encoder.encode(found)

    def _nobody(self, what: str) -> EngineClosed:
        return EngineClosed(
            f"no engine runs on {self._store.name()}: {what}; open one in a script, or in a shell:\n"
            f"  {_advice.serve(['FILE.py'], self._store.name())}"
        )

    def _store_signal(self, id: str, signal: int | None, interrupt: bool, by: str, note: str) -> bool | None:
        """Whether it is stored. None: an engine has opened in this moment, and is the one to ask."""
        return self._briefly(
            lambda store, user, program: _core.store_signal(store, id, signal, interrupt, by, note, user, program)
        )

    def _briefly(self, write: Callable[[_core.Store, str, str], _T]) -> _T | None:
        """What `write` returns, which owns the store for a moment. None: an engine has opened in this moment, and is the one to ask."""
        store = _storage.core_store(_storage.resolve(self._client._spec))
        give_up = time.monotonic() + self._client._timeout
        while True:
            try:
                return write(store, login_name(), program_name())
            except StoreInUse as error:
                # An engine owns the store for a moment before its socket is there, and for a moment after it is gone.
                patience_is_over = time.monotonic() >= give_up
                if self._client._reach(error if patience_is_over else None) is not None:
                    return None
                time.sleep(_PAUSE)


class _StoredAck(RemoteAck):
    stored = True


def _settled() -> RemoteAck:
    """Of what is done, as no engine runs."""
    ack = RemoteAck()
    ack.applied = True
    ack.completion.set()
    return ack


class _NoLines:
    """As `_core.LogFeed` is: nobody says anything."""

    def ready(self) -> _core.Completion:
        now = _core.Completion()
        now.set()
        return now

    def poll(self) -> bytes:
        return NO_LINES

    def over(self) -> bool:
        return True


class _StoredFeed:
    """As `_core.ChangeFeed` is: what is stored, and no more."""

    def __init__(self, store: _storage.Storage, id: str | None, since: int | None) -> None:
        self._rows = iter(()) if since is None else store.history(id, since)
        self._since = since or 0
        self._ready = _core.Completion()
        self._ready.set()

    def ready(self) -> _core.Completion:
        return self._ready

    def poll(self) -> bytes:
        found: list[Change] = []
        for row in itertools.islice(self._rows, 256):
            found += (change for change in row.changes() if change.number > self._since)
        return _codec.encoder.encode(found)

    def over(self) -> bool:
        return True
