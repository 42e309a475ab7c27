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
    target: str | None = None
    attempt: int | None = None
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


def read_request(body: bytes | bytearray) -> Request:
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
    """What an `execute` says of its call."""

    __slots__ = ("job_id", "labor_id", "labor_name", "number", "outputs", "real_user", "target", "timeout")

    def __init__(self, request: Execute) -> None:
        self.job_id = request.job or ""
        self.labor_id = request.labor or ""
        self.labor_name = request.labor_name or ""
        self.target = request.target or ""
        self.number = request.attempt or 1
        self.real_user = request.real_user or ""
        self.timeout = request.timeout or 0.0
        self.outputs = [(name, bytes(value)) for name, value in request.outputs or ()]


# ---- frames ----

_LENGTH = struct.Struct(">I")


def frame(message: Message) -> bytes:
    body = encoder.encode(message)
    if len(body) > MOST_FRAME:
        raise ValueError(f"a message of {len(body)} bytes; a frame holds {MOST_FRAME}")
    return _LENGTH.pack(len(body)) + body


def read_frame(sock: socket.socket) -> bytearray | None:
    """The body of the next one, in however many pieces it comes; None at the end."""
    head = _exactly(sock, _LENGTH.size)
    if head is None:
        return None
    (size,) = _LENGTH.unpack(head)
    if not 1 <= size <= MOST_FRAME:
        raise Broken(f"a frame of {size} bytes; it holds 1 to {MOST_FRAME}")
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        if not (count := sock.recv_into(rest)):
            return None
        rest = rest[count:]
    return data


# ---- what is said ----


class Outbox:
    """What is to be sent, and the thread that sends it, so that no call ever waits for the engine to read.

    Notes wait with their call, and are fetched when the one before has gone: a call that says much has few, large ones. An answer comes
    behind its call's notes. Any thread.
    """

    def __init__(self, sock: socket.socket, failed: Callable[[], None]) -> None:
        self._sock = sock
        self._failed = failed
        # Reentrant: what is collected as garbage meanwhile may log.
        self.changed = threading.Condition(threading.RLock())
        self._messages: collections.deque[Message] = collections.deque()
        self._noisy: dict[int, Served] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="cogwork-outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, *messages: Message) -> None:
        with self.changed:
            self._messages.extend(messages)
            self.changed.notify()

    def has_notes(self, call: Served) -> None:
        """With `changed` held."""
        if call.id not in self._noisy:
            self._noisy[call.id] = call
            self.changed.notify()

    def finish(self, call: Served, answer: Answer) -> None:
        status, output, error, _ = answer
        result: Message = {"status": AttemptStatus(status).name, "error": encodable(error)}
        if output is not None:
            result["output"] = msgspec.Raw(output)
        with self.changed:
            self._noisy.pop(call.id, None)
            self.send(*call.take_notes(last=True), {"id": call.id, "result": result})

    def close(self) -> None:
        """Waits until all is sent."""
        with self.changed:
            self._closed = True
            self.changed.notify()
        self._thread.join()

    def forget(self) -> None:
        """In a forked child: nobody sends there, and the lock may be held by a thread that is not there."""
        self.changed = threading.Condition(threading.RLock())
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
            with self.changed:
                while not self._noisy and not self._messages:
                    if self._closed:
                        return
                    self.changed.wait()
                messages = [note for call in self._noisy.values() for note in call.take_notes(last=False)]
                self._noisy.clear()
                messages += self._messages
                self._messages.clear()
            for message in messages:
                self._sock.sendall(frame(message))


class Served(Running):
    """A call that an `execute` asked for."""

    __slots__ = ("_asked", "_ended", "_log", "_outbox", "_progress", "id")

    def __init__(self, id: int, call: Call, outbox: Outbox, is_async: bool) -> None:
        super().__init__(call, is_async)
        self.id = id
        self._log = CallLog()
        self._outbox = outbox
        self._asked = threading.Event()
        self._ended = False
        self._progress: Message | None = None

    def add_log(self, line: str) -> None:
        with self._outbox.changed:
            if not self._ended:
                self._log.add(line)
                if self._log.lines:
                    self._outbox.has_notes(self)

    def progress(self, fraction: float, message: str) -> None:
        with self._outbox.changed:
            if not self._ended:
                # Those that were not sent yet are out of date.
                self._progress = {"id": self.id, "progress": fraction, "message": encodable(message[:_MOST_WORDS])}
                self._outbox.has_notes(self)

    @property
    def cancelled(self) -> bool:
        return self._asked.is_set()

    def ask_to_end(self) -> None:
        self._asked.set()

    def sleep(self, seconds: float) -> bool:
        return not self._asked.wait(min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def take_notes(self, last: bool) -> list[Message]:
        """What it has said since the last time. With `changed` held; after the last nothing comes any more."""
        notes = []
        if text := self._log.take():
            notes.append({"id": self.id, "log": encodable(text)})
        if self._progress is not None:
            notes.append(self._progress)
        self._progress, self._ended = None, last
        return notes
