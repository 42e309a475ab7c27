"""The Cog protocol's frames and messages, as a Cog's process sees them (docs/internals/cog-protocol.md)."""

from __future__ import annotations

import collections
import socket
import struct
import threading
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from ._calling import Answer
from ._codec import any_decoder, encodable, encoder
from ._context import Call, CallLog, Running
from ._model import AttemptStatus

PROTOCOL = 1
DESCRIPTOR = "COGWORK_COG_FD"
MOST_CONCURRENCY = 10_000
MOST_FRAME = 64 * 1024 * 1024
MOST_OUTPUT = MOST_FRAME - 4096
"""Bytes of an output, or of an error: what is around it takes a few."""
_MOST_WORDS = 4096
"""Characters of what a Cog says about its progress."""

_WORDS = {int(status): status.name for status in AttemptStatus}

Message = dict[str, Any]


class Broken(Exception):
    """What the engine's side sent is not of the protocol."""


# ---- requests ----

_Id = Annotated[int, msgspec.Meta(gt=0)]
_NIL = encoder.encode(None)
_NO_ARGS = encoder.encode({})


class Describe(msgspec.Struct, tag_field="op", tag="describe"):
    id: _Id
    cog: str | None = None


class Validate(msgspec.Struct, tag_field="op", tag="validate"):
    id: _Id
    cog: str | None = None
    args: msgspec.Raw = msgspec.Raw(_NIL)


class Execute(msgspec.Struct, tag_field="op", tag="execute"):
    id: _Id
    cog: str | None = None
    args: msgspec.Raw = msgspec.Raw(_NIL)
    job: str | None = None
    labor: str | None = None
    labor_name: str | None = None
    job_name: str | None = None
    target: str | None = None
    attempt: int | None = None
    check: bool | None = None
    real_user: str | None = None
    timeout: float | None = None
    outputs: list[tuple[str, msgspec.Raw]] | None = None


class Cancel(msgspec.Struct, tag_field="op", tag="cancel"):
    of: int


class Shutdown(msgspec.Struct, tag_field="op", tag="shutdown"):
    pass


class Strange(msgspec.Struct):
    """A map that is none of these: which request it may have been, and what is wrong with it."""

    id: int | None
    op: str
    problem: str


Request = Describe | Validate | Execute | Cancel | Shutdown | Strange
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Describe | Validate | Execute | Cancel | Shutdown)


def read_request(body: bytes) -> Request:
    """Broken where it is no map; what else is wrong with it is one request's affair."""
    try:
        request: Request = _decoder.decode(body)
        return request
    except (msgspec.DecodeError, RecursionError) as error:
        problem = str(error).replace("`", "")
    try:
        fields = any_decoder.decode(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise Broken(f"a frame does not hold one msgpack map: {error}") from None
    if not isinstance(fields, dict):
        raise Broken(f"a frame holds a value of type {type(fields).__name__}, not a map")
    number, op = fields.get("id"), fields.get("op")
    known = isinstance(number, int) and not isinstance(number, bool) and number > 0
    return Strange(
        number if known else None, op if isinstance(op, str) else "", f"the request cannot be read: {problem}"
    )


def args_of(request: Validate | Execute) -> bytes:
    args = bytes(request.args)
    return _NO_ARGS if args == _NIL else args


class Called:
    """What an `execute` says of its call. Most Cogs ask for little of it."""

    __slots__ = ("_request",)

    def __init__(self, request: Execute) -> None:
        self._request = request

    @property
    def job_id(self) -> str:
        return self._request.job or ""

    @property
    def labor_id(self) -> str:
        return self._request.labor or ""

    @property
    def labor_name(self) -> str:
        return self._request.labor_name or ""

    @property
    def job_name(self) -> str:
        return self._request.job_name or ""

    @property
    def check(self) -> bool:
        return bool(self._request.check)

    @property
    def target(self) -> str:
        return self._request.target or ""

    @property
    def number(self) -> int:
        return self._request.attempt or 1

    @property
    def real_user(self) -> str:
        return self._request.real_user or ""

    @property
    def timeout(self) -> float:
        return self._request.timeout or 0.0

    @property
    def outputs(self) -> list[tuple[str, bytes]]:
        return [(name, bytes(value)) for name, value in self._request.outputs or ()]


# ---- frames ----

_LENGTH = struct.Struct(">I")


def frame(message: Message) -> bytes:
    body = encoder.encode(message)
    if len(body) > MOST_FRAME:
        raise ValueError(f"a message of {len(body)} bytes; a frame holds {MOST_FRAME}")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Bodies of frames, from bytes as they come. What was only promised takes no memory."""

    def __init__(self) -> None:
        self._rest = bytearray()  # of the last frame, which is not whole yet

    def feed(self, data: bytes) -> list[bytes]:
        """Those that are whole now. Broken on a length that none may have."""
        if not self._rest and len(data) > _LENGTH.size and len(data) == _LENGTH.size + _size_at(data, 0):
            return [data[_LENGTH.size :]]  # as most come
        if self._rest:
            self._rest += data
            if len(self._rest) < _LENGTH.size or len(self._rest) < _LENGTH.size + _size_at(self._rest, 0):
                return []
            data, self._rest = bytes(self._rest), bytearray()
        bodies = []
        at, end = 0, len(data)
        while end - at >= _LENGTH.size:
            begin = at + _LENGTH.size
            size = _size_at(data, at)
            if end - begin < size:
                break
            bodies.append(data[begin : begin + size])
            at = begin + size
        if at < end:
            self._rest += data[at:]
        return bodies


def _size_at(data: bytes | bytearray, at: int) -> int:
    size: int = _LENGTH.unpack_from(data, at)[0]
    if not 1 <= size <= MOST_FRAME:
        raise Broken(f"a frame of {size} bytes; it holds 1 to {MOST_FRAME}")
    return size


# ---- what is said ----


class Outbox:
    """What is to be sent, and the thread that sends it, so that no call ever waits for the engine to read. An answer needs no thread
    while the socket takes it.

    Notes wait with their call, and are fetched when the one before has gone: a call that says much has few, large ones. An answer comes
    behind its call's notes. Any thread.
    """

    def __init__(self, sock: socket.socket, failed: Callable[[], None]) -> None:
        self._sock = sock
        self._failed = failed
        # Reentrant: what is collected as garbage meanwhile may log.
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._messages: collections.deque[Message | bytes] = (
            collections.deque()
        )  # bytes: the rest of what the socket did not take
        self._sending = False  # the thread has taken what it sends now
        self._noisy: dict[int, Served] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="cogwork-outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, *messages: Message) -> None:
        with self.lock:
            self._messages.extend(messages)
            self._changed.notify()

    def has_notes(self, call: Served) -> None:
        """With the lock held."""
        if call.id not in self._noisy:
            self._noisy[call.id] = call
            self._changed.notify()

    def finish(self, call: Served, answer: Answer) -> None:
        status, output, error, _ = answer
        result: Message = {"status": _WORDS[status], "error": encodable(error) if error else ""}
        if output is not None:
            result["output"] = msgspec.Raw(output)
        message: Message = {"id": call.id, "result": result}
        with self.lock:
            self._noisy.pop(call.id, None)
            notes = call.take_notes(last=True)
            if self._messages or self._sending:
                self.send(*notes, message)
                return
            data = frame(message)
            if notes:
                data = b"".join(map(frame, notes)) + data
            if rest := self._send_now(data):
                self._messages.append(rest)
                self._changed.notify()

    def _send_now(self, data: bytes) -> bytes:
        """What the socket takes without waiting. The rest."""
        try:
            return data[self._sock.send(data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return data
        except OSError:
            return b""  # the engine is gone: who reads from it learns that too

    def close(self) -> None:
        """Waits until all is sent."""
        with self.lock:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def forget(self) -> None:
        """In a forked child: nobody sends there, and the lock may be held by a thread that is not there."""
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._noisy, self._closed = {}, True
        self._sock.close()

    def _work(self) -> None:
        try:
            self._send_all()
        except OSError:
            pass  # the engine is gone: who reads from it learns that too
        except BaseException:
            self._failed()

    def _send_all(self) -> None:
        while True:
            with self.lock:
                self._sending = False
                while not self._noisy and not self._messages:
                    if self._closed:
                        return
                    self._changed.wait()
                # The rest of a frame goes first.
                messages = [self._messages.popleft()] if self._messages and isinstance(self._messages[0], bytes) else []
                messages += [note for call in self._noisy.values() for note in call.take_notes(last=False)]
                self._noisy.clear()
                messages += self._messages
                self._messages.clear()
                self._sending = True
            for message in messages:
                self._sock.sendall(message if isinstance(message, bytes) else frame(message))


class Served(Running):
    """A call that an `execute` asked for."""

    __slots__ = ("_cancelled", "_ended", "_log", "_outbox", "_progress", "_woken", "id")

    def __init__(self, id: int, call: Call, outbox: Outbox, is_async: bool) -> None:
        super().__init__(call, is_async)
        self.id = id
        self._outbox = outbox
        self._cancelled = False
        self._ended = False
        # Made by those who need them: most calls are over before they have said or waited for anything.
        self._woken: threading.Event | None = None
        self._log: CallLog | None = None
        self._progress: Message | None = None

    def add_log(self, line: str) -> None:
        with self._outbox.lock:
            if not self._ended:
                if self._log is None:
                    self._log = CallLog()
                self._log.add(line)
                if self._log.lines:
                    self._outbox.has_notes(self)

    def progress(self, fraction: float, message: str) -> None:
        with self._outbox.lock:
            if not self._ended:
                # Those that were not sent yet are out of date.
                self._progress = {"id": self.id, "progress": fraction, "message": encodable(message[:_MOST_WORDS])}
                self._outbox.has_notes(self)

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def ask_to_end(self) -> None:
        with self._outbox.lock:
            self._cancelled = True
            if self._woken is not None:
                self._woken.set()

    def sleep(self, seconds: float) -> bool:
        with self._outbox.lock:
            if self._cancelled:
                return False
            if self._woken is None:
                self._woken = threading.Event()
        return not self._woken.wait(min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def take_notes(self, last: bool) -> list[Message]:
        """What it has said since the last time. With the lock held; after the last nothing comes any more."""
        notes = [] if self._progress is None else [self._progress]
        if self._log is not None and (text := self._log.take()):
            notes.append({"id": self.id, "log": encodable(text)})
        self._progress, self._ended = None, last
        return notes
