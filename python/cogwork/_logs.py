"""What Cogs say while they run: `handle.logs()`, and the displays."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ._codec import from_micros
from ._errors import CogworkError, EngineClosed
from ._feed import Feed
from ._text import clock, shown

if TYPE_CHECKING:
    from ._handle import LaborHandle


class LogLine(msgspec.Struct, frozen=True):
    """One line that a Cog said: by `ctx.log`, by the standard logging, or printed by its program. The text is the Cog's own, whatever it
    holds; it is cut at 4 KiB, and that is marked."""

    number: int
    """Goes up by one from line to line of a Labor. `logs(since=number)` goes on behind it."""
    at: datetime
    """When it was said."""
    job_id: str
    """The id of the Job. Empty where a process printed it that serves several calls of the Labor."""
    attempt: int
    """The attempt's number, from 1; 0 where job_id is empty."""
    target: str
    """The Sequence's target; empty for a check."""
    name: str
    """The Job's name, else its Cog's; else the program's."""
    text: str
    """What was said, without the end of the line."""
    dropped: int
    """Above 0: no Cog's line. So many lines of this attempt were left out here, as it said more than 1,000 in a second."""


class Logs(Feed[LogLine]):
    """Lines, one after another, as Cogs say them. One reader. It ends when its Labor has ended, or the engine closes."""

    missed = 0
    """Lines that were not kept any more when this reader came for them. The engine keeps the latest, at most 4,096 of a Labor and 1 MiB of
    them, and waits for no reader."""

    def _decode(self, piece: bytes) -> list[LogLine]:
        raw: dict[str, Any] = msgspec.msgpack.decode(piece)
        self.missed += raw["missed"]
        return [LogLine(**{**line, "at": from_micros(line["at"])}) for line in raw["lines"]]


NO_LINES = msgspec.msgpack.encode({"missed": 0, "lines": []})


def told(line: LogLine) -> str:
    """A line for people, as text: `10:02:11 edge-7 upgrade | copying`."""
    who = shown(line.name) if not line.job_id else f"{shown(line.target) or 'check'} {shown(line.name)}"
    again = f" (attempt {line.attempt})" if line.attempt > 1 else ""
    return f"{clock(line.at)} {who}{again} | {shown(line.text)}"


def left_out(count: int) -> str:
    """Where lines would have been."""
    return f"... {count:,} {'line' if count == 1 else 'lines'} left out"


class Heard:
    """What the Cogs of a Labor say, look by look: for displays, which may be older or younger than the engine and see several of them."""

    def __init__(self) -> None:
        self._handle: LaborHandle | None = None
        self._logs: Logs | None = None
        self._last = 0

    def look(self, handle: LaborHandle, to_the_end: bool = False) -> tuple[list[LogLine], int]:
        """The lines since the last look, and how many were missed before them. to_the_end: of a Labor that has ended, all that is left. The
        handle may be another one of the same Labor."""
        logs = self._logs
        if logs is None or handle is not self._handle:
            logs = self._open(handle)
        if logs is None:
            return [], 0
        before = logs.missed
        lines = list(logs) if to_the_end else logs.poll()
        if lines:
            self._last = lines[-1].number
        elif logs._feed.over():
            self._logs = None  # the engine may be gone, and the next one be there at the next look
        return lines, logs.missed - before

    def _open(self, handle: LaborHandle) -> Logs | None:
        try:
            self._logs = handle.logs(self._last)
        except EngineClosed:
            raise
        except CogworkError:  # an engine of an older version, which tells no lines
            self._logs = None
        self._handle = handle
        return self._logs
