"""The engine at the other end of a line, in the words of `_core.Engine`: so a Client steers as an Engine does."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from . import _codec, _core
from ._errors import EngineClosed
from ._line import EngineInfo, Line, Message, NotTaken, Request
from ._logs import NO_LINES
from ._model import State
from ._waiting import wait_for

if TYPE_CHECKING:
    from ._client import Client

_EMPTY = _codec.encoder.encode([])


_PAUSE = 0.05
"""Seconds until an engine that closes is asked again."""


def _same(one: EngineInfo, other: EngineInfo) -> bool:
    """Whether they are one engine, reached by whatever way."""
    return (one.pid, one.host, one.since) == (other.pid, other.host, other.since)


def _closing(info: EngineInfo) -> str:
    where = f"of process {info.pid}" if info.pid else f"of {info.program}"
    return (
        f"the engine {where} is closing, and waits for what executes to end; it takes a crisis, and no other order: "
        "give this one when it has closed, and it is stored for the next engine"
    )


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _falls_back(method: _Method, on: type[EngineClosed] = EngineClosed) -> _Method:
    """Asks who answers now - the next engine, or the store - where this one closed in this very moment."""

    @functools.wraps(method)
    def asked(self: Remote, *args: Any) -> Any:
        given_up = time.monotonic() + self._client._timeout
        answering: Any = self
        while True:
            try:
                return method(answering, *args)
            except on:
                closing = answering._line.info
                answering = answering._next()
            if not isinstance(answering, Remote):
                return getattr(answering, method.__name__)(*args)
            if _same(answering._line.info, closing):  # it waits for what executes
                if time.monotonic() > given_up:
                    raise EngineClosed(_closing(closing))
                time.sleep(_PAUSE)

    return cast(_Method, asked)


def _order(method: _Method) -> _Method:
    """What is an order is given again only where it was surely not taken."""
    return _falls_back(method, NotTaken)


class Remote:
    """The engine at the other end, in the words of `_core.Engine`. What it does not hear any more, as it closes, who comes after it does."""

    def __init__(self, client: Client, line: Line) -> None:
        self._client = client
        self._line = line

    def _next(self) -> Any:
        """Who answers after this engine."""
        self._line.hang_up()
        return self._client._core

    def _ask(self, op: str, follower: Any = None, **fields: Any) -> Request:
        request = self._line.request(op, follower, **fields)
        wait_for(request.completion)
        request.document()  # raises
        return request

    # ---- questions ----

    @_falls_back
    def state(self, id: str) -> int:
        return int(self._ask("state", object=id).result())

    @_falls_back
    def find_task(self, id: str, name: str) -> str:
        return str(self._ask("find", object=id, name=name).result())

    @_falls_back
    def progress(self, id: str) -> bytes:
        return self._ask("progress", object=id).document()

    @_falls_back
    def stats(self) -> bytes:
        return self._ask("stats").document()

    @_falls_back
    def crises(self, lifted: bool) -> bytes:
        return self._ask("crises", lifted=lifted).document()

    @_falls_back
    def latch_settled(self, id: str) -> RemoteAck:
        return self._ack("crisis_wait", object=id)

    @_falls_back
    def end_of(self, id: str) -> RemoteEnd:
        end = self._line.ends.get(id)
        if end is not None and not end.completion.done:
            return end
        end = RemoteEnd()
        self._ask("end", end, object=id)
        self._line.ends[id] = end
        return end

    @_falls_back
    def changes(self, id: str | None, since: int | None) -> RemoteFeed:
        return self._feed("changes", id, since, _EMPTY)

    @_falls_back
    def logs(self, id: str, since: int | None) -> RemoteFeed:
        return self._feed("logs", id, since, NO_LINES)

    def _feed(self, op: str, id: str | None, since: int | None, nothing: bytes) -> RemoteFeed:
        pieces = _Pieces()
        self._ask(op, pieces, object=id, since=since)
        return RemoteFeed(self._line, pieces, nothing)

    # ---- orders ----

    @_order
    def take_up(self, id: str) -> str:
        return str(self._ask("take_up", object=id).result())

    @_order
    def signal(self, id: str, signal: int, interrupt: bool, by: str, note: str) -> RemoteAck:
        return self._ack("signal", object=id, signal=signal, interrupt=bool(interrupt), by=by, note=note)

    @_order
    def crisis_resume(self, id: str, by: str, note: str) -> RemoteAck:
        return self._ack("crisis_resume", object=id, by=by, note=note)

    def _ack(self, op: str, **fields: Any) -> RemoteAck:
        ack = RemoteAck()
        if self._ask(op, ack, **fields).result() is True:  # its Labor waits there (R4): nothing more will be said of it
            ack.stored = True
            self._line.forget(ack.number)
        return ack

    @_order
    def start(self, id: str, by: str, note: str) -> Request:
        return self._sent("start", (id, by, note), object=id, by=by, note=note)

    @_order
    def decide(self, id: str, decision: str, by: str, note: str) -> Request:
        return self._sent("decide", (id, decision, by, note), object=id, decision=decision, by=by, note=note)

    @_order
    def crisis_pause(
        self, tags: list[str], name_prefix: str, cogs: list[str], by: str, note: str
    ) -> tuple[str, RemoteAck]:
        recorded = RemoteAck()
        request = self._ask("crisis_pause", recorded, tags=tags, name=name_prefix, cogs=cogs, by=by, note=note)
        return str(request.result()), recorded

    def _sent(self, op: str, args: tuple[Any, ...], **fields: Any) -> Request:
        """What is answered when it is durable: nobody waits for that here."""
        request = self._line.request(op, **fields)
        if request.unsent:
            request.document()  # raises

        def again() -> bytes:
            pending = getattr(self._next(), op)(*args)
            wait_for(pending.completion)
            document: bytes = pending.document()
            return document

        request.again = again
        return request


class RemoteAck:
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

    def follow(self, message: Message) -> None:
        if message.done is not msgspec.UNSET:
            raw = msgspec.msgpack.decode(message.done)
            self.state, self.applied, self.closed = raw["state"], raw["applied"], raw["closed"]
            self.completion.set()

    def hang_up(self) -> None:
        if not self.completion.done:
            self.closed = True
            self.completion.set()


class RemoteEnd:
    """As `_core.LaborEnd` is."""

    def __init__(self) -> None:
        self.completion = _core.Completion()
        self.number = 0
        self.closed = False

    def follow(self, message: Message) -> None:
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

    def follow(self, message: Message) -> None:
        with self.lock:
            if (piece := message.piece) is not None:
                self.piece = piece
            else:
                self.over = True
            ready = self.ready
        ready.set()

    def hang_up(self) -> None:
        with self.lock:
            self.over = True
            ready = self.ready
        ready.set()


class RemoteFeed:
    """As `_core.ChangeFeed` and `_core.LogFeed` are. The engine sends one piece for each time that it is asked for more, so nothing
    gathers here. nothing: an empty piece."""

    def __init__(self, line: Line, pieces: _Pieces, nothing: bytes) -> None:
        self._nothing = nothing
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
            return self._nothing
        self._more()
        return piece

    def over(self) -> bool:
        with self._pieces.lock:
            return self._pieces.over and self._pieces.piece is None

    def __del__(self) -> None:
        # The engine is told when the next piece comes: nothing may be sent from here, as somebody may be in the middle of sending.
        self._line.forget(self._pieces.number)
