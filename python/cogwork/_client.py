"""Steering an engine from another process: `cogwork.connect` (R1).

A Client reads the store itself, which needs no engine, and asks the engine that owns it for all else, over the engine's control socket.
Where no engine runs, signals are stored for the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any

import msgspec

from . import _codec, _core, _storage
from ._codec import by_whom, from_micros, login_name, seconds_of
from ._control import error_from
from ._errors import CogworkError, EngineClosed, NotFound, StorageError, StoreInUse
from ._model import Change, Duration, Labor, State
from ._steering import Steering
from ._submit import prepare
from ._waiting import Origin, forked, wait_for

PROTOCOL = 1
_PAUSE = 0.02


class EngineInfo(msgspec.Struct, frozen=True):
    """The engine that owns a store."""

    pid: int
    host: str
    user: str
    program: str
    since: datetime | None
    version: str
    """Of the cogwork that it runs."""


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
        self._identity = self._store.identity()
        if not self._identity:
            raise StorageError(
                f"{self._store.name()} cannot be reached from another process: it is no file, and names no identity()"
            )
        self._timeout = seconds_of(timeout)
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._closed = False
        self._origin = Origin()
        self._reach()

    @property
    def engine(self) -> EngineInfo | None:
        """The engine that owns the store now; None where none runs."""
        line = self._reach()
        return None if line is None else line.info

    def close(self) -> None:
        """Hangs up. Labors go on. Idempotent."""
        with self._lock:
            self._closed = True
            line, self._line = self._line, None
        if line is not None and self._origin.here:
            line.close()

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
            state = "closed" if self._closed else "no engine" if self._line is None else f"engine {self._line.info.pid}"
        return f"<Client of {self._store.name()!r}, {state}>"

    @property
    def _core(self) -> Any:
        """Who answers at this moment: the engine, or, without one, the store."""
        line = self._reach()
        return _Unattended(self) if line is None else _Remote(line)

    def _submit(self, labor: Labor, start: bool, by: str | None) -> Any:
        document, faults, _, _ = prepare(labor)
        line = self._reach()
        if line is None:
            raise EngineClosed(
                f"no engine runs on {self._store.name()}, and a Labor is checked by the engine that runs it: "
                "start one (cogwork serve MODULE...), or submit with an Engine of your own"
            )
        return line.request("submit", document=document, faults=faults, start=bool(start), by=by_whom(by))

    def _reach(self) -> _Line | None:
        """The connection to the engine; None where no engine runs."""
        if not self._origin.here:
            raise forked()
        with self._lock:
            if self._closed:
                raise EngineClosed("this client is closed; connect again")
            if self._line is not None and not self._line.lost:
                return self._line
            self._line = dial(self._identity, self._timeout)
            if self._line is not None:
                weakref.finalize(self, self._line.close).atexit = False
            return self._line


# ---- with an engine ----


def dial(identity: str, timeout: float) -> _Line | None:
    """Connects to the engine that owns the store; None where none does. CogworkError where somebody is there and does not answer."""
    for path in _core.control_paths(identity):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(path)
            if _peer_uid(sock) not in (os.geteuid(), None):
                raise OSError("it belongs to another user")
        except OSError:  # none there, or a stale one that nobody listens at
            sock.close()
            continue
        line = _Line(sock)
        try:
            hello = line.request("hello", protocol=PROTOCOL)
            if not wait_for(hello.completion, timeout):
                raise CogworkError(
                    f"an engine listens at {path} but does not answer within {timeout:g} s; look at its process"
                )
            raw = hello.result()
        except EngineClosed:  # it closed in this very moment
            line.close()
            continue
        except BaseException:
            line.close()
            raise
        engine = raw["engine"]
        since = from_micros(engine["since"])
        line.info = EngineInfo(engine["pid"], engine["host"], engine["user"], engine["program"], since, raw["version"])
        return line
    return None


def _peer_uid(sock: socket.socket) -> int | None:
    """Who is at the other end; None where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


class _Message(msgspec.Struct):
    """What the engine sends. One of the others than `id` is set."""

    id: int = -1
    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    done: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ended: bool | msgspec.UnsetType = msgspec.UNSET
    changes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    over: msgspec.UnsetType | None = msgspec.UNSET


_messages = msgspec.msgpack.Decoder(_Message)


class _Request:
    """A request and its reply. As `_core.Pending` is: `completion`, then `result()`."""

    def __init__(self, follower: Any = None) -> None:
        self.completion = _core.Completion()
        self.follower = follower
        """Who is told what comes after the reply: `follow(message)`, and `hang_up()`."""
        self._value = b""
        self._error: BaseException | None = None

    def reply(self, value: bytes = b"", error: BaseException | None = None) -> None:
        self._value, self._error = value, error
        self.completion.set()

    def document(self) -> bytes:
        """The reply as it came."""
        if self._error is not None:
            raise self._error
        return self._value

    def result(self) -> Any:
        return msgspec.msgpack.decode(self.document())


class _Line:
    """One connection. A thread of its own reads what the engine says; whoever asks, writes."""

    info: EngineInfo

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self._sock = sock
        self._ids = itertools.count(1)
        # Of _requests and lost. Whoever holds it may meet a feed that is let go of, and that comes back here.
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._requests: dict[int, _Request] = {}
        self.ends: dict[str, _RemoteEnd] = {}
        """Of Labors whose ends somebody has waited for: a wait that ran out leaves nothing behind for the next one to add to."""
        self.lost = False
        self._thread = threading.Thread(
            target=_listen, args=(weakref.ref(self), sock), name="cogwork-client", daemon=True
        )
        self._thread.start()

    def request(self, op: str, follower: Any = None, **fields: Any) -> _Request:
        """Sends it; the answer comes later."""
        request = _Request(follower)
        number = next(self._ids)
        if follower is not None:
            follower.number = number
        with self._lock:
            if self.lost:
                request.reply(error=_gone())
                return request
            self._requests[number] = request
        self.send(number, op, fields)
        return request

    def send(self, number: int, op: str, fields: dict[str, Any]) -> None:
        body = _codec.encoder.encode({"id": number, "op": op, **fields})
        try:
            with self._sending:
                self._sock.sendall(struct.pack(">I", len(body)) + body)
        except OSError:
            self.hang_up()

    def tell(self, op: str, of: int) -> None:
        """Says something about an earlier request, to which nothing is answered."""
        if not self.lost:
            self.send(next(self._ids), op, {"of": of})

    def forget(self, number: int) -> None:
        with self._lock:
            self._requests.pop(number, None)

    def take(self, message: _Message) -> None:
        """Reader's thread."""
        with self._lock:
            request = self._requests.get(message.id)
            if request is not None:
                goes_on = message.changes is not msgspec.UNSET or (
                    message.ok is not msgspec.UNSET and request.follower is not None
                )
                if not goes_on:
                    del self._requests[message.id]
        if request is None:
            if message.changes is not msgspec.UNSET:  # of a feed that nobody holds any more
                self.tell("forget", message.id)
        elif message.ok is not msgspec.UNSET:
            request.reply(bytes(message.ok))
        elif message.error is not msgspec.UNSET:
            error = error_from(msgspec.msgpack.decode(message.error))
            if request.follower is not None and request.completion.done:
                request.follower.hang_up()
            request.reply(error=error)
        elif request.follower is not None:
            request.follower.follow(message)

    def hang_up(self) -> None:
        """The connection is gone: everybody who waits is told."""
        with self._lock:
            if self.lost:
                return
            self.lost = True
            requests, self._requests = list(self._requests.values()), {}
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        for request in requests:
            if not request.completion.done:
                request.reply(error=_gone())
            if request.follower is not None:
                request.follower.hang_up()

    def close(self) -> None:
        self.hang_up()
        if threading.current_thread() is not self._thread:
            self._thread.join(2)
        self._sock.close()


def _gone() -> EngineClosed:
    return EngineClosed(
        "the engine that owned the store is gone; what it had not finished is stored, and goes on when one opens it again"
    )


def _listen(ref: weakref.ref[_Line], sock: socket.socket) -> None:
    """Reads frames until the other end is gone. It holds the line only while it hands a message over."""
    buffer = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            buffer += piece
            at = 0
            while len(buffer) - at >= 4:
                (length,) = struct.unpack_from(">I", buffer, at)
                if len(buffer) - at - 4 < length:
                    break
                message = _messages.decode(bytes(buffer[at + 4 : at + 4 + length]))
                at += 4 + length
                if (line := ref()) is None:
                    return
                line.take(message)
                del line
            del buffer[:at]
    except (OSError, msgspec.MsgspecError):
        pass
    finally:
        if (line := ref()) is not None:
            line.hang_up()


class _Remote:
    """The engine at the other end, in the words of `_core.Engine`."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def _ask(self, op: str, **fields: Any) -> _Request:
        request = self._line.request(op, **fields)
        wait_for(request.completion)
        return request

    def state(self, id: str) -> int:
        return int(self._ask("state", object=id).result())

    def find_task(self, id: str, name: str) -> str:
        return str(self._ask("find", object=id, name=name).result())

    def progress(self, id: str) -> bytes:
        return self._ask("progress", object=id).document()

    def stats(self) -> bytes:
        return self._ask("stats").document()

    def start(self, id: str, by: str, note: str) -> _Request:
        return self._line.request("start", object=id, by=by, note=note)

    def decide(self, id: str, decision: str, by: str, note: str) -> _Request:
        return self._line.request("decide", object=id, decision=decision, by=by, note=note)

    def signal(self, id: str, signal: int, interrupt: bool, by: str, note: str) -> _RemoteAck:
        ack = _RemoteAck()
        request = self._line.request(
            "signal", ack, object=id, signal=signal, interrupt=bool(interrupt), by=by, note=note
        )
        wait_for(request.completion)
        if request.result() is True:  # its Labor waits there (R4): nothing more will be said of it
            ack.stored = True
            self._line.forget(ack.number)
        return ack

    def end_of(self, id: str) -> _RemoteEnd:
        end = self._line.ends.get(id)
        if end is not None and not end.completion.done:
            return end
        end = _RemoteEnd()
        request = self._line.request("end", end, object=id)
        wait_for(request.completion)
        request.document()
        self._line.ends[id] = end
        return end

    def changes(self, id: str | None, since: int | None) -> _RemoteFeed:
        pieces = _Pieces()
        request = self._line.request("changes", pieces, object=id, since=since)
        wait_for(request.completion)
        request.document()
        return _RemoteFeed(self._line, pieces)


class _RemoteAck:
    """As `_core.Ack` is."""

    stored = False

    def __init__(self) -> None:
        self.completion = _core.Completion()
        self.number = 0
        self.state = int(State.UNKNOWN)
        self.applied = False
        self.closed = False

    @property
    def done(self) -> bool:
        return self.completion.done

    def follow(self, message: _Message) -> None:
        if message.done is not msgspec.UNSET:
            raw = msgspec.msgpack.decode(message.done)
            self.state, self.applied, self.closed = raw["state"], raw["applied"], raw["closed"]
            self.completion.set()

    def hang_up(self) -> None:
        if not self.completion.done:
            self.closed = True
            self.completion.set()


class _RemoteEnd:
    """As `_core.LaborEnd` is."""

    def __init__(self) -> None:
        self.completion = _core.Completion()
        self.number = 0
        self.closed = False

    def follow(self, message: _Message) -> None:
        if message.ended is not msgspec.UNSET:
            self.closed = bool(message.ended)
            self.completion.set()

    def hang_up(self) -> None:
        if not self.completion.done:
            self.closed = True
            self.completion.set()


class _Pieces:
    """Of a feed: what came last, and has not been taken. The line holds it; the feed that a user holds is another object, so that it
    is seen when nobody holds that one any more."""

    def __init__(self) -> None:
        self.number = 0
        self.lock = threading.Lock()
        self.piece: bytes | None = None
        self.over = False
        self.ready = _core.Completion()

    def follow(self, message: _Message) -> None:
        with self.lock:
            if message.changes is not msgspec.UNSET:
                self.piece = bytes(message.changes)
            else:
                self.over = True
            ready = self.ready
        ready.set()

    def hang_up(self) -> None:
        with self.lock:
            self.over = True
            ready = self.ready
        ready.set()


class _RemoteFeed:
    """As `_core.ChangeFeed` is. The engine sends one piece for each time that it is asked for more, so nothing gathers here."""

    def __init__(self, line: _Line, pieces: _Pieces) -> None:
        self._line = line
        self._pieces = pieces
        self._more()

    def _more(self) -> None:
        self._line.tell("more", self._pieces.number)

    def ready(self) -> _core.Completion:
        with self._pieces.lock:
            return self._pieces.ready

    def poll(self) -> bytes:
        pieces = self._pieces
        with pieces.lock:
            piece, pieces.piece = pieces.piece, None
            if piece is not None and not pieces.over:
                pieces.ready = _core.Completion()
        if piece is None:
            return _EMPTY
        self._more()
        return piece

    def over(self) -> bool:
        with self._pieces.lock:
            return self._pieces.over and self._pieces.piece is None

    def __del__(self) -> None:
        # The engine is told when the next piece comes: nothing may be sent from here, as somebody may be in the middle of sending.
        self._line.forget(self._pieces.number)


_EMPTY = _codec.encoder.encode([])

# ---- without an engine ----


class _Unattended:
    """A store that no engine owns, in the words of `_core.Engine`: what is stored is what there is, and signals wait in it."""

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
        return _core.stored_progress(_storage.core_store(self._store), id)

    def stats(self) -> bytes:
        raise self._no_engine("figures of an engine are the engine's to give")

    def start(self, id: str, by: str, note: str) -> Any:
        if self._store_signal(id, None, False, by, note) is None:
            return self._client._core.start(id, by, note)
        done = _Request()
        done.reply(_codec.encoder.encode(id))
        return done

    def decide(self, id: str, decision: str, by: str, note: str) -> Any:
        def store(store: _core.Store, user: str, program: str) -> bool:
            _core.store_decision(store, id, decision, by, note, user, program)
            return True

        if self._while_free(store) is None:
            return self._client._core.decide(id, decision, by, note)
        done = _Request()
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

    def end_of(self, id: str) -> _RemoteEnd:
        if not State(self.state(id)).ended:
            raise self._no_engine(f"Labor {id} has not ended and nothing will happen to it")
        end = _RemoteEnd()
        end.completion.set()
        return end

    def changes(self, id: str | None, since: int | None) -> _StoredFeed:
        return _StoredFeed(self._store, id, since)

    def _no_engine(self, what: str) -> EngineClosed:
        return EngineClosed(
            f"no engine runs on {self._store.name()}: {what}; start one with `cogwork serve MODULE...`, or in a script"
        )

    def _store_signal(self, id: str, signal: int | None, interrupt: bool, by: str, note: str) -> bool | None:
        """Whether it is stored. None: an engine has opened in this moment, and is the one to ask."""

        def store(store: _core.Store, user: str, program: str) -> bool:
            return _core.store_signal(store, id, signal, interrupt, by, note, user, program)

        return self._while_free(store)

    def _while_free(self, act: Callable[[_core.Store, str, str], bool]) -> bool | None:
        """Does it to the store, which no engine may own. None: an engine has opened in this moment, and is the one to ask."""
        store = _storage.core_store(_storage.resolve(self._client._spec))
        program = os.path.basename(sys.argv[0]) if sys.argv else ""
        give_up = time.monotonic() + self._client._timeout
        while True:
            try:
                return act(store, login_name(), program)
            except StoreInUse:
                # An engine owns the store for a moment before its socket is there, and for a moment after it is gone.
                if self._client._reach() is not None:
                    return None
                if time.monotonic() >= give_up:
                    raise
                time.sleep(_PAUSE)


class _StoredAck(_RemoteAck):
    stored = True


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
