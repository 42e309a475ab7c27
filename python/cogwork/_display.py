"""`handle.watch()`, `cogwork run` and `cogwork watch`: one calm screen in a terminal, one line for each notable change elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ._lines import Lines
from ._logs import Heard, LogLine, told
from ._model import Change, Labor, Reason, State
from ._pace import Pace
from ._printing import Kept, keeping
from ._progress import Loss, Progress
from ._screen import Frame, picture
from ._text import clock, shown
from ._waiting import ending_interrupts, wait_for

if TYPE_CHECKING:
    from ._handle import Changes, LaborHandle

BEAT = 0.2
"""Seconds between two looks."""
MOST_LINES = 200
"""Lines of Cogs that a screen shows of one look: more cannot be read, and its picture would be drawn late."""
_TICK = 1.0  # seconds after which a picture is drawn again although nothing changed but the clock


def watch(handle: LaborHandle) -> Labor:
    """Shows a Labor until it ends; the main thread may be interrupted."""
    with ending_interrupts(), display() as shows:
        end = End(handle)
        while True:
            shows.update(handle)
            if (labor := end.within(BEAT)) is not None:
                shows.end(handle)
                return labor


class End:
    """The end of a Labor, to be waited for again and again. SignalNotAllowed where nobody runs it, EngineClosed without an engine."""

    def __init__(self, handle: LaborHandle) -> None:
        self._handle = handle
        self._end = handle._engine._core.end_of(handle.id)

    def within(self, seconds: float) -> Labor | None:
        """The Labor, where it ends within so many seconds. EngineClosed where its engine closed."""
        if not wait_for(self._end.completion, seconds):
            return None
        self._handle._check(self._end)
        return self._handle.read()


class Display(Protocol):
    """Shows one Labor."""

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        """What there is now. notes: said by whoever shows it. The handle may be another one of the same Labor."""

    def end(self, handle: LaborHandle) -> None:
        """The Labor has ended: all of it is shown."""


@contextlib.contextmanager
def display(console: Console | None = None) -> Iterator[Display]:
    """A screen where stdout is a terminal, lines elsewhere."""
    console = console or Console()
    if not on_screen(console):
        yield LineDisplay()
        return
    console.file = console.file  # what stdout is now; it is about to be replaced
    # Rich's own stand-ins for stdout and stderr call back into the console that goes away: a Cog that prints at that moment failed.
    live = Live(
        console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, vertical_overflow="crop"
    )
    with keeping() as kept, live:
        yield ScreenDisplay(live, kept)


def on_screen(console: Console) -> bool:
    forced = "FORCE_COLOR" in os.environ and not console.file.isatty()  # colours in a pipe do not make it a screen
    return console.is_terminal and not console.is_dumb_terminal and not forced


def unicode_on(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


class ScreenDisplay:
    """Drawn by the thread that calls `update`, and by no other."""

    def __init__(self, live: Live, kept: Kept) -> None:
        self._live = live
        self._kept = kept
        self._pace = Pace()
        self._shown: tuple[Progress, Sequence[str]] | None = None
        self._drawn = 0.0
        self._checks: list[Loss] | None = None
        self._heard = Heard()

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        self._draw(handle, notes, False)

    def _draw(self, handle: LaborHandle, notes: Sequence[str], ended: bool) -> None:
        console = self._live.console
        self._kept.labor_id = handle.id
        said = _spoken(*self._heard.look(handle, ended), MOST_LINES)
        progress = handle.progress()
        now = datetime.now(timezone.utc)
        to_go = self._pace.see(progress, now)
        printed = self._kept.lines()
        if (
            (progress, list(notes)) == self._shown
            and not printed
            and not said
            and time.monotonic() - self._drawn < _TICK
        ):
            return
        if printed:
            console.print(Text.from_ansi(printed), soft_wrap=True)
        if said:
            console.print(Text("\n".join(said), style="dim"), soft_wrap=True)
        frame = Frame(
            width=console.width,
            height=console.height - 1,
            unicode=unicode_on(console),
            to_go=None if to_go is None else (to_go[0].name, to_go[1]),
            checks=self._failed_checks(handle, progress),
            notes=notes,
            db=handle._engine.store.name(),
        )
        self._live.update(picture(progress, frame, now), refresh=True)
        self._shown, self._drawn = (progress, list(notes)), time.monotonic()

    def end(self, handle: LaborHandle) -> None:
        self._draw(handle, (), True)

    def _failed_checks(self, handle: LaborHandle, progress: Progress) -> list[Loss]:
        """Which check failed is told by the tree alone; it is read once, when there is one."""
        if self._checks is None and check_failed(progress):
            self._checks = failed_checks(handle.read())
        return self._checks or []


def _spoken(lines: list[LogLine], missed: int, most: int) -> list[str]:
    """What Cogs said, the latest of it where that is too much."""
    missed += sum(line.dropped or 1 for line in lines[:-most])
    return [_missed(missed)] * bool(missed) + [told(line) for line in lines[-most:]]


def _missed(count: int) -> str:
    return f"... {count:,} {'line' if count == 1 else 'lines'} left out"


def check_failed(progress: Progress) -> bool:
    return any(task.reason in (Reason.PRE_CHECK_FAILURE, Reason.CONT_CHECK_FAILURE) for task in progress.tasks)


def failed_checks(labor: Labor) -> list[Loss]:
    """Checks that failed, as a picture shows them beside Sequences."""
    return [
        Loss(job.id, f"check {job.name or job.cog_path}", job.state, job.error or "")
        for task in labor.tasks
        for job in (*task.pre_checks, *task.cont_checks)
        if job.state == State.FAILED
    ]


class LineDisplay:
    """One line for each notable change: no escapes, and nothing is written twice."""

    def __init__(self) -> None:
        self._handle: LaborHandle | None = None
        self._feed: Changes | None = None
        self._lines: Lines | None = None
        self._last = 0
        self._said: list[str] = []
        self._heard = Heard()

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        if self._lines is None:
            self._lines = Lines(handle.read(), lambda id: handle._engine.read_job(id))
        if self._feed is None or handle is not self._handle:
            self._handle, self._feed = handle, handle.changes(since=self._last)
        self._say(self._feed.poll(), *self._heard.look(handle))
        for note in notes:
            if note not in self._said:
                say(f"{clock(datetime.now(timezone.utc))} {shown(note)}")
        self._said = list(notes)

    def end(self, handle: LaborHandle) -> None:
        self.update(handle)
        # What is on its way is waited for: it ends with the Labor.
        self._say(self._feed or (), *self._heard.look(handle, True))

    def _say(self, changes: Iterable[Change], lines: list[LogLine], missed: int) -> None:
        told_at: list[tuple[datetime, str]] = []
        for change in changes:
            self._last = change.number
            if self._lines is not None and (line := self._lines.line(change)):
                told_at.append((change.at, f"{clock(change.at)} {line}"))
        if missed:
            told_at.append((lines[0].at, _missed(missed)))
        told_at += [(line.at, told(line)) for line in lines]
        for _, text in sorted(told_at, key=lambda one: one[0]):
            say(text)


def say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
