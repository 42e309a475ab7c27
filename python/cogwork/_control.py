"""The engine's side of the control socket that only Python can do: looking at Labors that come from other processes.

All else of it is the core's (cpp/cogwork/engine/control_server.h); docs/internals/control-protocol.md describes the wire.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from . import _codec, _core
from ._address import Address, parse
from ._errors import (
    CogError,
    CogworkError,
    EngineClosed,
    NotFound,
    ResourceError,
    SignalNotAllowed,
    StorageError,
    StoreInUse,
    ValidationError,
)
from ._expected import Expected, require
from ._resources import start_thread
from ._submit import LABOR, Fault, prepare

log = logging.getLogger("cogwork.engine")


class Control(msgspec.Struct, frozen=True):
    """Where an engine listens to other processes: `engine.control`."""

    addresses: list[str]
    """The preferred one first, as D-Bus writes such: `unix:path=...`, `unix:abstract=...`. They stand in the store's `-owner` file too, where
    clients find them whatever their environment is."""
    passed_over: list[str]
    """Where it would have rather listened, and why it does not."""
    problem: str
    """Why no other process can reach it; empty where one can."""

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        return f"it listens at {' and '.join(map(str, self._places))}"

    @property
    def _places(self) -> list[Address]:
        """The addresses, taken apart."""
        return [place for text in self.addresses if (place := parse(text, b"/"))]


def control_of(core: _core.Engine, store: str) -> Control:
    addresses, passed_over, problem = core.control()
    if not addresses and not problem:
        problem = f"no other process can reach an engine on {store}, which is in this process alone"
    return Control(addresses, passed_over, problem)


_KINDS: dict[str, type[CogworkError]] = {
    kind.__name__: kind
    for kind in (
        CogError,
        EngineClosed,
        NotFound,
        ResourceError,
        SignalNotAllowed,
        StorageError,
        StoreInUse,
        ValidationError,
        CogworkError,
    )
}


def error_from(raw: Any) -> CogworkError:
    """An error as it came over the socket."""
    if not isinstance(raw, dict):
        return CogworkError(f"the engine answered with an error that is none: {raw!r:.200}")
    message = str(raw.get("message", ""))
    kind = _KINDS.get(str(raw.get("kind")), CogworkError)
    if kind is ValidationError:
        return ValidationError([(str(p), str(m), int(n)) for p, m, n in raw.get("errors", [])])
    if kind is SignalNotAllowed:
        return SignalNotAllowed(message, int(raw.get("signal", -1)), int(raw.get("state", 0)))
    if kind is StorageError:
        return StorageError(message, bool(raw.get("temporary", False)))
    return kind(message)


def error_map(error: BaseException) -> dict[str, Any]:
    """The other way."""
    if isinstance(error, ValidationError):
        return {
            "kind": "ValidationError",
            "message": str(error),
            "errors": [[issue.place, issue.message, issue.count] for issue in error.errors],
        }
    kind = type(error).__name__ if type(error).__name__ in _KINDS else "CogworkError"
    message = str(error) if isinstance(error, CogworkError) else f"the engine failed: {type(error).__name__}: {error}"
    return {"kind": kind, "message": _codec.encodable(message)}


_MOST_LOOKING = 16


class Submits:
    """Threads that take Labors which come over the socket, until the engine closes. Looking at one may hang, in a Cog or its process, so another
    takes over then. They hold nothing that would keep an Engine alive."""

    def __init__(self, desk: _core.SubmitDesk, core: _core.Engine, start_async: Callable[[], None]) -> None:
        """Starts the first of them. Raises ResourceError."""
        self._desk = desk
        self._core = core
        self._start_async = start_async
        self._threads: list[threading.Thread] = []
        self._start()

    def _start(self) -> None:
        if len(self._threads) < _MOST_LOOKING:
            self._threads.append(start_thread("cogwork-submits", self._take))

    def join(self, timeout: float) -> None:
        """After the engine has closed. One that hangs is not waited for longer."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def _take(self) -> None:
        desk = self._desk
        while (call := desk.take()) is not None:
            token, document, faults, expected, start, by, alone = call
            if alone:
                with contextlib.suppress(ResourceError):  # what comes next waits for this one
                    self._start()
            try:
                if expected:
                    require(msgspec.msgpack.decode(expected, type=Expected))
                desk.settle(token, _submit(self._core, self._start_async, document, faults, start, by))
            except BaseException as error:
                if not isinstance(error, CogworkError):
                    log.exception("a Labor from another process could not be looked at")
                desk.refuse(token, _codec.encoder.encode(error_map(error)))


def _submit(
    core: _core.Engine, start_async: Callable[[], None], document: bytes, faults: bytes, start: bool, by: str
) -> _core.Pending:
    """As Engine.submit does it, with what the client found wrong already."""
    known: list[Fault] = [(w, t, s, j, str(m)) for w, t, s, j, m in msgspec.msgpack.decode(faults)] if faults else []
    try:
        labor = _codec.labor_decoder.decode(document)
    except msgspec.MsgspecError as error:
        # Of wrong types somewhere: the core reads it too, and says where. What it does not find is a fault all the same.
        unread: Fault = (LABOR, 0, 0, 0, f"it cannot be read: {error}")
        try:
            return core.submit(document, [*known, unread], "", start, by)
        except ValidationError as refused:
            raise ValidationError([i for i in refused.errors if i.message != unread[-1]] or refused.errors) from None
    document, found, fingerprint, uses_async = prepare(labor)
    if uses_async:
        start_async()
    return core.submit(document, [*known, *(f for f in found if f not in known)], fingerprint, start, by)
