"""What a Cog may know of the call that it is in, and say about it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator, Iterator, Mapping
from typing import Any, Protocol, cast

from ._codec import any_decoder, encodable
from ._durations import seconds_of
from ._model import Duration

MOST_LOG = 64 * 1024
"""Bytes of log that an attempt keeps."""


class CallLog:
    """Lines that wait to be taken: up to MOST_LOG bytes; what is beyond is counted."""

    __slots__ = ("dropped", "dropped_bytes", "lines", "size")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.dropped = 0
        self.dropped_bytes = 0

    def add(self, line: str) -> None:
        data = encodable(line).encode()
        room = MOST_LOG - self.size
        if len(data) < room:
            self.size += len(data) + 1
            self.lines.append(line)
            return
        # The first that does not fit is kept as far as it does - it may be the only one - and nothing behind it.
        if begin := data[: max(0, room - 4)].decode(errors="ignore"):
            self.lines.append(begin + "...")
        self.size = MOST_LOG
        self.dropped += 1
        self.dropped_bytes += len(data) - len(begin.encode())

    def take(self) -> str:
        """What there is, and how much was dropped; then there is room again."""
        lines = self.lines
        if self.dropped:
            lines.append(f"... {self.dropped_bytes} bytes of {self.dropped} more lines were dropped")
        self.lines, self.size, self.dropped, self.dropped_bytes = [], 0, 0, 0
        return "\n".join(lines)


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


class Call(Protocol):
    """What is known of a call."""

    @property
    def job_id(self) -> str: ...
    @property
    def labor_id(self) -> str: ...
    @property
    def labor_name(self) -> str: ...
    @property
    def job_name(self) -> str: ...
    @property
    def check(self) -> bool: ...
    @property
    def target(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def real_user(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def outputs(self) -> list[tuple[str, bytes]]: ...


# A call may print from several threads, and so may what is collected as garbage meanwhile.
_printing = threading.RLock()


class Running(ABC):
    """A call while it goes on: what the logging of its thread or task belongs to. Who carries it out says where its words go."""

    __slots__ = ("_printed", "call", "fault", "is_async", "task")

    def __init__(self, call: Call, is_async: bool = False) -> None:
        self.call = call
        self.is_async = is_async
        self.task: asyncio.Task[Any] | None = None
        """That runs it, if it is async."""
        self.fault: BaseException | None = None
        """What a task or a callback of it did: it fails by that, whatever it answers itself."""
        self._printed = ""

    def blame(self, fault: BaseException) -> None:
        """Fails an async call by something that it did where nobody awaits it. Any thread."""
        self.fault = self.fault or fault
        if self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel, context=contextvars.Context())

    lane: Any = None
    """Of a plain call, in the engine's process: the queue that it came from, and whose place it has."""

    def add_printed(self, text: str) -> None:
        """Its log has what it prints, line by line."""
        with _printing:
            *lines, self._printed = f"{self._printed}{text}".split("\n")
            for line in lines:
                self.add_log(line)

    def end_printed(self) -> None:
        """A line that is not ended is one."""
        if self._printed:
            self.add_printed("\n")

    @abstractmethod
    def add_log(self, line: str) -> None: ...
    @property
    @abstractmethod
    def cancelled(self) -> bool: ...
    @abstractmethod
    def progress(self, fraction: float, message: str) -> None: ...
    @abstractmethod
    def sleep(self, seconds: float) -> bool:
        """Of a plain Cog: false where a cancel cut it short."""


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
        """The id of the Job."""
        return self._call.job_id

    @property
    def labor_id(self) -> str:
        """The id of the Labor."""
        return self._call.labor_id

    @property
    def labor_name(self) -> str:
        """The Labor's name."""
        return self._call.labor_name

    @property
    def job_name(self) -> str:
        """The Job's name; its Cog's, where it has none."""
        return self._call.job_name

    @property
    def check(self) -> bool:
        """Whether the Job is a check of a Task."""
        return self._call.check

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
        return self._running.cancelled

    @property
    def outputs(self) -> Outputs:
        """Outputs of the Jobs before this one in its Sequence: `ctx.outputs["backup"]` (X7)."""
        if self._outputs is None:
            self._outputs = Outputs(self._call.outputs)
        return self._outputs

    def log(self, message: object, *args: object) -> None:
        """Adds a line to the attempt's log; `args` as in logging: `ctx.log("%s copied", n)`. As there, args that do not fit are no
        error: they are shown beside the message."""
        text = str(message)
        if args:
            try:
                text %= args[0] if len(args) == 1 and isinstance(args[0], Mapping) else args
            except Exception:
                text = f"{text} {args!r}"
        self._running.add_log(text)

    def progress(self, fraction: float, message: str = "") -> None:
        """Says how far the call is, 0 to 1, for those who watch. It is not stored."""
        self._running.progress(min(1.0, max(0.0, float(fraction))), str(message))

    def sleep(self, duration: Duration) -> Slept:
        """Sleeps - seconds, or a timedelta - and wakes at once when the call is cancelled; True where the time was slept out. In an async
        Cog it is awaited: `await ctx.sleep(5)`, which the cancelling of the call cancels."""
        seconds = seconds_of(duration)
        if self._running.is_async:
            return Slept(seconds)
        # A bool, so that a Cog may return it: what can be awaited is a promise.
        return cast(Slept, self._running.sleep(seconds))


class Slept(Awaitable[bool]):
    """How `ctx.sleep` ended: True where the time was slept out, and not cut short by a cancel. A plain Cog is given that bool; an async one
    awaits it."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __bool__(self) -> bool:
        return False

    def __await__(self) -> Generator[Any, None, bool]:
        yield from asyncio.sleep(self._seconds).__await__()
        return True


_format = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
_installed = False


def install_logging() -> None:
    """What a Cog logs by the standard logging lands on its attempt, and log records carry labor, target and attempt.

    Once in a process, when its first engine opens. It is done where loggers make their records. A handler of ours on the root logger
    would keep `logging.basicConfig` from doing anything, and warnings from reaching stderr; a record factory
    would make an error of everybody's `extra={"attempt": 2}`, as names that a record has already are refused there. What
    `extra` says stands.
    """
    global _installed
    if _installed:
        return
    _installed = True
    make = logging.Logger.makeRecord

    @functools.wraps(make)
    def make_tagged(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(self, *args, **kwargs)
        running = current.get()
        fields = record.__dict__
        if running is None:
            for name, nothing in _NOWHERE:
                fields.setdefault(name, nothing)
            return record
        call = running.call
        fields.setdefault("labor", call.labor_name)
        fields.setdefault("target", call.target)
        fields.setdefault("attempt", call.number)
        # A record that cannot be formatted is for its own handlers to complain about.
        with contextlib.suppress(Exception):
            before = record.exc_text
            line = _format.format(record)
            record.exc_text = before  # handlers format exceptions in ways of their own
            running.add_log(line)
        return record

    logging.Logger.makeRecord = make_tagged  # type: ignore[method-assign]


_NOWHERE = (("labor", ""), ("target", ""), ("attempt", 0))

logging.getLogger("cogwork").addHandler(logging.NullHandler())
