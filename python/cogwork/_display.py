"""`handle.watch()`: one calm screen in a terminal, one line for each notable change elsewhere."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ._model import Change, ChangeKind, Labor, Reason, State, last_line
from ._progress import Progress, TaskProgress
from ._recap import format_span
from ._waiting import sigterm_interrupts, wait_for

if TYPE_CHECKING:
    from ._handle import LaborHandle

_STYLES = {
    State.RUNNING: "cyan",
    State.PAUSING: "yellow",
    State.PAUSED: "yellow",
    State.ADMIN_PAUSED: "yellow",
    State.CRISIS_PAUSED: "bold yellow",
    State.COMPLETED: "green",
    State.FAILED: "red",
    State.STOPPING: "magenta",
    State.STOPPED: "magenta",
}
_FLIGHTS = 6
_LOSSES = 5
_REFRESH = 0.1  # seconds between two pictures, at the least


def watch(handle: LaborHandle) -> Labor:
    console = Console()
    with sigterm_interrupts():
        if console.is_terminal:
            _watch_screen(handle, console)
        else:
            _watch_lines(handle)
        return handle.wait()  # its end is shown a moment before it is durable


# ---- in a terminal ----


def _watch_screen(handle: LaborHandle, console: Console) -> None:
    """A picture after each burst of changes, and one a second for the clock; drawn by this thread alone."""
    end = handle._engine._core.end_of(handle.id)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            news = handle.changes()  # from now: nothing is missed that happens while the picture is made
            progress = handle.progress()
            live.update(picture(progress, console.width), refresh=True)
            if progress.state.ended or wait_for(end.completion, _REFRESH):
                break
            wait_for(news._feed.ready(), 1.0)
        if not progress.state.ended:
            live.update(picture(handle.progress(), console.width), refresh=True)


def picture(progress: Progress, width: int = 80) -> RenderableType:
    """The screen for a moment: Tasks, what is in flight, what was lost, and why nothing moves if nothing does."""
    now = datetime.now(timezone.utc)
    parts: list[RenderableType] = [_head(progress, now), _tasks(progress, width)]
    if not progress.state.ended:
        for task in progress.tasks:
            if task.waiting:
                parts.append(Text(f"  {task.name}: {task.waiting}", style="yellow", overflow="ellipsis", no_wrap=True))
        parts += _flights(progress, now)
    parts += _losses(progress)
    return Group(*parts)


def _head(progress: Progress, now: datetime) -> Text:
    text = Text(overflow="ellipsis", no_wrap=True)
    text.append(progress.name, style="bold")
    text.append("  ")
    text.append(progress.state.name, style=_STYLES.get(progress.state, ""))
    if progress.reason != Reason.NO_FAILURE:
        text.append(f" ({progress.reason.name})", style="red")
    if progress.started:
        text.append(f"  {format_span((progress.ended or now) - progress.started)}", style="dim")
    for hold in progress.holds:
        text.append(f"  held by {hold.by or 'somebody'}" + (f' "{hold.note}"' if hold.note else ""), style="yellow")
    return text


def _tasks(progress: Progress, width: int) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim", expand=False)
    table.add_column("task", no_wrap=True, overflow="ellipsis", max_width=max(12, width // 4))
    table.add_column("state", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("budget", no_wrap=True)
    table.add_column("checks", no_wrap=True)
    bar_width = max(6, min(24, width - 62))
    for task in progress.tasks:
        state = Text(task.state.name.replace("NOT_STARTED", "-"), style=_STYLES.get(task.state, "dim"))
        if task.reason == Reason.MAX_FAILURES:
            state.append(" budget gone", style="red")
        elif task.reason != Reason.NO_FAILURE:
            state.append(" check failed", style="red")
        table.add_row(
            task.name, state, _bar(task, bar_width), f"{task.done}/{task.sequences}", _budget(task), _rounds(task)
        )
    return table


def _bar(task: TaskProgress, width: int) -> Text:
    total = max(1, task.sequences)
    cells = [
        ("green", task.completed),
        ("red", task.failed),
        ("magenta", task.stopped),
        ("cyan", task.under_way),
    ]
    bar = Text()
    used = 0
    for style, count in cells:
        # Whatever is there at all is seen.
        length = min(width - used, max(1 if count else 0, round(count * width / total)))
        bar.append("━" * length, style=style)
        used += length
    bar.append("━" * (width - used), style="grey30")
    return bar


def _budget(task: TaskProgress) -> Text:
    if task.tolerated < 0:
        return Text(f"{task.failures} lost", style="dim" if not task.failures else "yellow")
    left = task.tolerated - task.failures
    style = "red" if left < 0 else "yellow" if task.failures else "dim"
    return Text(f"{task.failures} of {task.tolerated}", style=style)


def _rounds(task: TaskProgress) -> Text:
    if not task.checks:
        return Text("")
    return Text(f"{task.rounds} round{'' if task.rounds == 1 else 's'}", style="dim")


def _flights(progress: Progress, now: datetime) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for flight in progress.in_flight[:_FLIGHTS]:
        text = Text("  > ", style="cyan", overflow="ellipsis", no_wrap=True)
        text.append(flight.target or "(check)")
        text.append(f" {flight.job_name or flight.cog}", style="dim")
        if flight.attempt > 1:
            text.append(f" attempt {flight.attempt}", style="yellow")
        if flight.since:
            text.append(f" {format_span(now - flight.since)}", style="dim")
        if flight.fraction is not None:
            text.append(f" {flight.fraction:.0%}", style="cyan")
        if flight.message:
            text.append(f" {flight.message}", style="dim")
        parts.append(text)
    more = progress.in_flight_count - min(len(progress.in_flight), _FLIGHTS)
    if more > 0:
        parts.append(Text(f"    and {more} more in flight", style="dim"))
    return parts


def _losses(progress: Progress) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for loss in progress.losses[-_LOSSES:]:
        text = Text("  x ", style="red", overflow="ellipsis", no_wrap=True)
        text.append(f"{loss.target} {loss.state.name}")
        if loss.error:
            text.append(f"  {last_line(loss.error)}", style="dim")
        parts.append(text)
    if len(progress.losses) > _LOSSES:
        parts.append(Text(f"    {len(progress.losses) - _LOSSES} lost before these", style="dim"))
    return parts


# ---- in a log file, or a pipe ----


def _watch_lines(handle: LaborHandle) -> None:
    """What a person would want to find in a log: Tasks, signals, losses, and every tenth of the way."""
    names = _Names(handle)
    for change in handle.changes(since=0):
        if line := names.line(change):
            print(f"{change.at.astimezone():%H:%M:%S} {line}", file=sys.stdout, flush=True)


class _Names:
    def __init__(self, handle: LaborHandle) -> None:
        labor = handle.read()
        self._labor = labor
        self._of = {labor.id: f"Labor {labor.name!r}"}
        self._sequences: dict[str, str] = {}
        self._task_of: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        for task in labor.tasks:
            self._of[task.id] = f"Task {task.name!r}"
            self._sizes[task.id] = len(task.sequences)
            for check in (*task.pre_checks, *task.cont_checks):
                self._of[check.id] = f"check {check.name or check.cog_path!r} of Task {task.name!r}"
            for sequence in task.sequences:
                self._sequences[sequence.id] = f"{task.name}/{sequence.target}"
                self._task_of[sequence.id] = task.id

    def line(self, change: Change) -> str | None:
        who = f" by {change.by}" if change.by else ""
        note = f' "{change.note}"' if change.note else ""
        name = self._of.get(change.object_id) or self._sequences.get(change.object_id)
        if change.kind == ChangeKind.SIGNAL and change.signal is not None:
            return (
                f"{name or change.object_id}: {change.signal.name}{who}{note}{' (refused)' if change.refused else ''}"
            )
        if change.object_id in self._sequences:
            return self._sequence_line(change)
        if change.object_id in self._of and self._of[change.object_id].startswith("check"):
            return f"{name}: FAILED" if change.to_state == State.FAILED else None
        if name is None:
            return None
        reason = f" ({change.reason.name})" if change.reason != Reason.NO_FAILURE else ""
        return f"{name}: {change.to_state.name}{reason}"

    def _sequence_line(self, change: Change) -> str | None:
        if not change.to_state.ended:
            return None
        task = self._task_of[change.object_id]
        size = self._sizes[task]
        done = self._done[task] = self._done.get(task, 0) + 1
        text = f"{self._sequences[change.object_id]}: {change.to_state.name} ({done}/{size})"
        if (
            change.to_state != State.COMPLETED
            or size <= 20
            or done == size
            or done * 10 // size != (done - 1) * 10 // size
        ):
            return text
        return None
