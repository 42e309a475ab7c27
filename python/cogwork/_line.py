"""A Client's line to the engine that owns its store: the control socket, its frames, and what waits for answers.

The bytes are described in docs/internals/control-protocol.md.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
import weakref
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from . import _codec, _core
from ._codec import from_micros
from ._control import error_from
from ._errors import CogworkError, EngineClosed
from ._waiting import wait_for

if TYPE_CHECKING:
    from ._remote import RemoteEnd

PROTOCOL = 1


class EngineInfo(msgspec.Struct, frozen=True):
    """The engine that owns a store."""

    pid: int
    host: str
    user: str
    program: str
    since: datetime | None
    version: str
    """Of the cogwork that it runs."""


def dial(identity: str, timeout: float) -> Line | None:
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
        line = Line(sock)
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


class Message(msgspec.Struct):
    """What the engine sends. One of the others than `id` is set."""

    id: int = -1
    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    done: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ended: bool | msgspec.UnsetType = msgspec.UNSET
    changes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    lines: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    over: msgspec.UnsetType | None = msgspec.UNSET

    @property
    def piece(self) -> bytes | None:
        """What comes of a feed."""
        for raw in (self.changes, self.lines):
            if raw is not msgspec.UNSET:
                return bytes(raw)
        return None


_messages = msgspec.msgpack.Decoder(Message)


class Request:
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


class Line:
    """One connection. A thread of its own reads what the engine says; whoever asks, writes."""

    info: EngineInfo

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self._sock = sock
        self._ids = itertools.count(1)
        # Of _requests and lost. Whoever holds it may meet a feed that is let go of, and that comes back here.
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._requests: dict[int, Request] = {}
        self.ends: dict[str, RemoteEnd] = {}
        """Of Labors whose ends somebody has waited for: a wait that ran out leaves nothing behind for the next one to add to."""
        self.lost = False
        self._thread = threading.Thread(
            target=_listen, args=(weakref.ref(self), sock), name="cogwork-client", daemon=True
        )
        self._thread.start()

    def request(self, op: str, follower: Any = None, **fields: Any) -> Request:
        """Sends it; the answer comes later."""
        request = Request(follower)
        number = next(self._ids)
        if follower is not None:
            follower.number = number
        with self._lock:
            if self.lost:
                request.reply(error=gone())
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

    def take(self, message: Message) -> None:
        """Reader's thread."""
        with self._lock:
            request = self._requests.get(message.id)
            if request is not None:
                goes_on = message.piece is not None or (
                    message.ok is not msgspec.UNSET and request.follower is not None
                )
                if not goes_on:
                    del self._requests[message.id]
        if request is None:
            if message.piece is not None:  # of a feed that nobody holds any more
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
                request.reply(error=gone())
            if request.follower is not None:
                request.follower.hang_up()

    def close(self) -> None:
        self.hang_up()
        if threading.current_thread() is not self._thread:
            self._thread.join(2)
        self._sock.close()


def gone() -> EngineClosed:
    return EngineClosed(
        "the engine that owned the store is gone; what it had not finished is stored, and goes on when one opens it again"
    )


def _listen(ref: weakref.ref[Line], sock: socket.socket) -> None:
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
