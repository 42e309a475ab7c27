"""A Client's line to the engine that owns its store: the control socket, its frames, and what waits for answers.

The bytes are described in docs/internals/control-protocol.md.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import weakref
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from . import _codec, _core
from ._codec import from_micros
from ._control import error_from
from ._errors import CogworkError, EngineClosed
from ._resources import start_thread
from ._waiting import wait_for

if TYPE_CHECKING:
    from ._remote import RemoteEnd

PROTOCOL = 1
_LEAVING = 2.0
"""Seconds that the reading thread may take to end."""
_LARGEST = 1 << 30
"""Bytes of a frame. Root's clients speak with engines of users, who may send anything."""


class EngineInfo(msgspec.Struct, frozen=True):
    """The engine that owns a store."""

    pid: int
    """As this process knows it; 0: it does not see that process, as of one in another container."""
    host: str
    user: str
    program: str
    since: datetime | None
    version: str
    """Of the cogwork that it runs."""
    address: str = ""
    """Where it was reached."""


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
        self.unsent = False
        """Whether the engine was gone before it could have heard of it."""
        self.again: Callable[[], bytes] | None = None
        """Asks somebody else, where the engine answers that it is closed."""
        self._value = b""
        self._error: BaseException | None = None

    def reply(self, value: bytes = b"", error: BaseException | None = None) -> None:
        self._value, self._error = value, error
        self.completion.set()

    def document(self) -> bytes:
        """The reply as it came."""
        if isinstance(self._error, NotTaken) and self.again is not None:
            return self.again()
        if self._error is not None:
            raise self._error
        return self._value

    def result(self) -> Any:
        return msgspec.msgpack.decode(self.document())


class Line:
    """One connection. A thread of its own reads what the engine says; whoever asks, writes. Making it raises ResourceError where there is no
    thread."""

    info: EngineInfo

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self._sock = sock
        self._ids = itertools.count(1)
        # Of _requests and lost. Whoever holds it may meet a feed that is let go of, and that comes back here.
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._requests: dict[int, Request] = {}
        self.ends: weakref.WeakValueDictionary[str, RemoteEnd] = weakref.WeakValueDictionary()
        """Of Labors whose ends somebody waits for, or has waited for while it has not come: the next one waits for the same."""
        self.lost = False
        self._last_words: CogworkError | None = None
        """What the engine said about the whole connection, before it hung up."""
        self._thread = start_thread("cogwork-client", _listen, weakref.ref(self), sock)

    def greet(self, timeout: float, address: str) -> str | None:
        """Says hello; `info` is who answers. Returns the identity of the store that it serves; None: it is too old to say. Raises TimeoutError
        where it does not answer, CogworkError where it has an objection, or hangs up."""
        hello = self.request("hello", protocol=PROTOCOL)
        if not wait_for(hello.completion, timeout):
            raise TimeoutError
        try:
            raw = hello.result()
        except EngineClosed as error:  # it may have said why before it hung up, and before it heard anything
            self._thread.join(_LEAVING)
            raise self._last_words or error from None
        engine = raw["engine"]
        since = from_micros(engine["since"])
        self.info = EngineInfo(
            engine["pid"], engine["host"], engine["user"], engine["program"], since, raw["version"], address
        )
        identity: str | None = raw.get("identity")
        return identity

    def request(self, op: str, follower: Any = None, **fields: Any) -> Request:
        """Sends it; the answer comes later."""
        request = Request(follower)
        number = next(self._ids)
        if follower is not None:
            follower.number = number
        with self._lock:
            if self.lost:
                request.unsent = True
                request.reply(error=NotTaken(_GONE))
                return request
            self._requests[number] = request
        if not self.send(number, op, fields):
            request.unsent = True
            request.reply(error=NotTaken(_GONE))
        return request

    def send(self, number: int, op: str, fields: dict[str, Any]) -> bool:
        """False where the engine hung up before all of it was on its way: then it has not heard of it."""
        body = _codec.encoder.encode({"id": number, "op": op, **fields})
        try:
            with self._sending:
                self._sock.sendall(struct.pack(">I", len(body)) + body)
        except OSError:
            self.hang_up()
            return False
        return True

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
            elif message.id < 0 and message.error is not msgspec.UNSET:
                self._last_words = error_from(msgspec.msgpack.decode(message.error))
        elif message.ok is not msgspec.UNSET:
            request.reply(bytes(message.ok))
        elif message.error is not msgspec.UNSET:
            error = error_from(msgspec.msgpack.decode(message.error))
            if isinstance(error, EngineClosed):
                error = NotTaken(str(error))
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
                request.reply(error=self._last_words or EngineClosed(_GONE + _UNKNOWN))
            if request.follower is not None:
                request.follower.hang_up()

    def close(self) -> None:
        """Gives its descriptor back. Idempotent."""
        self.hang_up()
        if threading.current_thread() is not self._thread:
            self._thread.join(_LEAVING)
        with self._sending:  # a number that is free again must not be written to
            self._sock.close()


class NotTaken(EngineClosed):
    """The engine closed, and did nothing of what it was asked. Users see an EngineClosed."""

    def __reduce__(self) -> tuple[type[EngineClosed], tuple[Any, ...]]:
        return EngineClosed, self.args


NotTaken.__name__ = NotTaken.__qualname__ = "EngineClosed"
NotTaken.__module__ = EngineClosed.__module__

_GONE = (
    "the engine that owned the store is gone; what it had not finished is stored, and goes on when one opens it again"
)
_UNKNOWN = (
    ". It went before it answered: whether it took this is not known; look at the Labor and its history before "
    "you send it again"
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
                if length > _LARGEST:  # no engine sends that
                    return
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
