"""A Labor as lines, for pipes and logs: notable changes, what Cogs say, why nothing moves; at its end a recap."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ._lines import Lines
from ._logs import Heard, LogLine, left_out, told
from ._model import Change
from ._outlet import Outlet
from ._progress import Progress
from ._recap import recap_of
from ._summary import half_way, reasons, trouble, waits
from ._text import clock, shown

if TYPE_CHECKING:
    from ._handle import Changes, LaborHandle

_LASTS = 1.0  # seconds after which it is said why nothing moves
_AGAIN = 60.0  # seconds without that reason after which it is said anew


class LineDisplay:
    """No escapes, and nothing is written twice."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._handle: LaborHandle | None = None
        self._feed: Changes | None = None
        self._lines: Lines | None = None
        self._last = 0
        self._notes: list[str] = []
        self._heard = Heard()
        self._standstill = Standstill()

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        if self._lines is None:
            self._lines = Lines(handle.read(), lambda id: handle._engine.read_job(id))
        if self._feed is None or handle is not self._handle:
            self._handle, self._feed = handle, handle.changes(since=self._last)
        self._say(self._feed.poll(), *self._heard.look(handle))
        self._say_now([note for note in notes if note not in self._notes])
        self._notes = list(notes)
        standing = self._standstill.look(handle.progress(), time.monotonic())
        self._say_now([why for why in standing if not any(why in note for note in notes)])

    def end(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        self.update(handle, notes)
        progress = handle.progress()
        if progress.state.ended:  # what is on its way is waited for: it ends with the Labor
            self._say(self._feed or (), *self._heard.look(handle, True))
        self._put(recap_of(progress))

    def _say(self, changes: Iterable[Change], lines: list[LogLine], missed: int) -> None:
        told_at: list[tuple[datetime, str]] = []
        for change in changes:
            self._last = change.number
            if self._lines is not None and (line := self._lines.line(change)):
                told_at.append((change.at, f"{clock(change.at)} {line}"))
        if missed:
            told_at.append((lines[0].at, left_out(missed)))
        told_at += [(line.at, told(line)) for line in lines]
        for _, text in sorted(told_at, key=lambda one: one[0]):
            self._put(text)

    def _say_now(self, notes: list[str]) -> None:
        for note in notes:
            first, *more = map(shown, note.split("\n"))
            self._put("\n".join([f"{clock(datetime.now(timezone.utc))} {first}", *more]))

    def _put(self, text: str) -> None:
        self._outlet.write(f"{text}\n")


class Standstill:
    """Why nothing moves, said when that has lasted for a moment; that the store fails, and that it works again, at once."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._said: set[str] = set()
        self._failing = ""

    def look(self, progress: Progress, now: float) -> list[str]:
        """What is to be said now. now: seconds of a clock that never jumps."""
        lines = []
        if progress.failing != self._failing:
            self._failing = progress.failing
            lines.append(trouble(progress) or "the store works again")
        moves = bool(progress.in_flight_count)
        there = (
            waits(progress)
            if moves
            else [why for why in reasons(progress) if why != trouble(progress)] + half_way(progress)
        )
        for why in there:
            key = re.sub(r"\d+", "0", why)  # what it counts, and how long it still takes, changes all the time
            if now - self._seen.get(key, -_AGAIN) >= _AGAIN:
                self._said.discard(key)
            if key not in self._seen or now - self._seen[key] > _LASTS:
                self._since[key] = now
            self._seen[key] = now
            if key not in self._said and now - self._since[key] >= _LASTS:
                self._said.add(key)
                lines.append(why)
        return lines
