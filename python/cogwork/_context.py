"""What a Cog may know of the call that it is in, and say about it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Generator, Iterator, Mapping
from typing import Any

from . import _core
from ._codec import any_decoder

MOST_LOG = 64 * 1024
"""Bytes of log that an attempt keeps."""


class CallLog:
    """The log of one attempt: lines, up to MOST_LOG bytes; what is beyond is counted."""

    __slots__ = ("dropped", "lines", "size")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.dropped = 0

    def add(self, line: str) -> None:
        size = len(line) + 1
        if self.size + size > MOST_LOG:
            self.dropped += 1
            return
        self.size += size
        self.lines.append(line)

    def text(self) -> str:
        if self.dropped:
            return "\n".join([*self.lines, f"... {self.dropped} more lines were dropped"])
        return "\n".join(self.lines)


class Outputs(Mapping[str, Any]):
    """Outputs of the Jobs before this one in its Sequence, by Job name, else Cog name (X7)."""

    def __init__(self, outputs: list[tuple[str, bytes]]) -> None:
        self._packed = dict(outputs)

    def __getitem__(self, name: str) -> Any:
        try:
            packed = self._packed[name]
        except KeyError:
            known = ", ".join(map(repr, self._packed)) or "none"
            raise KeyError(f"no Job before this one is called {name!r}; there are: {known}") from None
        return any_decoder.decode(packed) if packed else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class Running:
    """A call while it goes on: what the logging of its thread or task belongs to."""

    __slots__ = ("call", "is_async", "log", "queue")

    def __init__(self, queue: _core.PullQueue, call: _core.Call, is_async: bool = False) -> None:
        self.queue = queue
        self.call = call
        self.is_async = is_async
        self.log: CallLog | None = None

    def add_log(self, line: str) -> None:
        if self.log is None:
            self.log = CallLog()
        self.log.add(line)


current: contextvars.ContextVar[Running | None] = contextvars.ContextVar("cogwork_call", default=None)


class Context:
    """What a Cog knows of its call. It is the first parameter, and annotated: `def upgrade(ctx: cw.Context, host: str)`.

    One call's own; any thread of that call may use it.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._call = running.call
        self._outputs: Outputs | None = None

    @property
    def job_id(self) -> str:
        return self._call.job_id

    @property
    def labor_id(self) -> str:
        return self._call.labor_id

    @property
    def labor_name(self) -> str:
        return self._call.labor_name

    @property
    def target(self) -> str:
        """The Sequence's target; empty in a check."""
        return self._call.target

    @property
    def attempt(self) -> int:
        """The attempt's number, from 1."""
        return self._call.number

    @property
    def real_user(self) -> str:
        """On whose behalf the Labor runs."""
        return self._call.real_user

    @property
    def timeout(self) -> float:
        """Seconds that this attempt may take, from its beginning."""
        return self._call.timeout

    @property
    def cancelled(self) -> bool:
        """Whether the engine asked this call to end: its time is over, or the Labor is stopped (X8a)."""
        return self._call.cancelled

    @property
    def outputs(self) -> Outputs:
        """Outputs of the Jobs before this one in its Sequence: `ctx.outputs["backup"]` (X7)."""
        if self._outputs is None:
            self._outputs = Outputs(self._call.outputs)
        return self._outputs

    def log(self, message: object, *args: object) -> None:
        """Adds a line to the attempt's log; `args` as in logging: `ctx.log("%s copied", n)`."""
        text = str(message)
        self._running.add_log(text % args if args else text)

    def progress(self, fraction: float, message: str = "") -> None:
        """Says how far the call is, 0 to 1, for those who watch. It is not stored."""
        self._running.queue.progress(self._call, float(fraction), message)

    def sleep(self, seconds: float) -> Slept:
        """Sleeps, and wakes at once when the call is cancelled; true where the time was slept out. In an async Cog it is awaited:
        `await ctx.sleep(5)`, which the cancelling of the call cancels."""
        if self._running.is_async:
            return Slept(float(seconds), False)
        return Slept(0, self._running.queue.sleep(self._call, float(seconds)))


class Slept(Awaitable[bool]):
    """How `ctx.sleep` ended: true where the time was slept out, and not cut short by a cancel. In an async Cog, what to await."""

    __slots__ = ("_out", "_seconds")

    def __init__(self, seconds: float, out: bool) -> None:
        self._seconds = seconds
        self._out = out

    def __bool__(self) -> bool:
        return self._out

    def __await__(self) -> Generator[Any, None, bool]:
        yield from asyncio.sleep(self._seconds).__await__()
        return True


_format = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
_installed = False


def install_logging() -> None:
    """What a Cog logs by the standard logging lands on its attempt, and log records carry labor, target and attempt.

    Once in a process, when its first engine opens. It is done where records are made, not by a handler: a handler of ours on the
    root logger would keep `logging.basicConfig` from doing anything, and warnings from reaching stderr.
    """
    global _installed
    if _installed:
        return
    _installed = True
    make = logging.getLogRecordFactory()

    def make_tagged(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        running = current.get()
        if running is None:
            record.labor, record.target, record.attempt = "", "", 0
            return record
        call = running.call
        record.labor, record.target, record.attempt = call.labor_name, call.target, call.number
        # A record that cannot be formatted is for its own handlers to complain about.
        with contextlib.suppress(Exception):
            running.add_log(_format.format(record))
        return record

    logging.setLogRecordFactory(make_tagged)


logging.getLogger("cogwork").addHandler(logging.NullHandler())
