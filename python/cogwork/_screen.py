"""The picture of a Labor at a moment: where it is, what is in flight, what was lost, and why nothing moves if nothing does."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ._model import Hold, Rank, Reason, State
from ._progress import Flight, Loss, Progress, TaskProgress
from ._recap import format_span
from ._text import clock, first_line, shown

STYLES = {
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
REASONS = {
    Reason.PRE_CHECK_FAILURE: "a check failed before it began",
    Reason.CONT_CHECK_FAILURE: "a continuous check failed",
    Reason.MAX_FAILURES: "more failed than are tolerated",
}
PAUSED_AT = {Rank.USER: "paused", Rank.ADMIN: "admin-paused", Rank.CRISIS: "crisis-paused"}


class Glyphs(NamedTuple):
    """Parts of a bar differ in shape, not only in colour."""

    completed: str
    lost: str
    under_way: str
    untouched: str


UNICODE = Glyphs("━", "╳", "╍", "─")
ASCII = Glyphs("=", "x", ">", "-")


class Frame(NamedTuple):
    """What the picture must fit into, and what is said in it besides the figures."""

    width: int = 80
    height: int = 40
    unicode: bool = True
    """Whether the terminal shows more than ASCII."""
    flights: int = 10
    """How many are listed at most."""
    losses: int = 8
    to_go: tuple[str, timedelta] | None = None
    """The name of a Task, and how long it may still take."""
    checks: Seq[Loss] = ()
    """Checks that failed, as if they were Sequences."""
    notes: Seq[str] = ()
    """Said at the end: by whoever shows it, not by the Labor."""


_FRAME = Frame()


def picture(progress: Progress, frame: Frame = _FRAME, now: datetime | None = None) -> RenderableType:
    """At most `frame.height` lines of at most `frame.width` cells."""
    now = now or datetime.now(timezone.utc)
    above: list[RenderableType] = [_head(progress, frame, now)]
    above += [_line(_held(hold, now), "yellow", frame) for hold in _strongest_first(progress.holds)[:3]]
    above += [_line(why, "yellow", frame) for why in _why(progress)[:3]]
    below: list[RenderableType] = [Text(shown(note), style="bold yellow") for note in frame.notes]
    below_lines = sum(max(1, -(-cell_len(shown(note)) // max(1, frame.width))) for note in frame.notes)
    losses = [*frame.checks, *_worst(progress.losses)]
    lost = len(frame.checks) + max(len(progress.losses), sum(t.failed + t.stopped for t in progress.tasks))
    flights = [] if progress.state.ended else progress.in_flight
    wants = [len(progress.tasks), min(len(flights), frame.flights), min(len(losses), frame.losses)]
    airy = frame.height >= 18
    spent = len(above) + below_lines + sum(1 + airy for want in wants if want) + (airy and bool(below))
    rooms = _allot(frame.height - spent, wants)
    sections: list[RenderableType | None] = [
        _tasks(progress.tasks, rooms[0], frame, now) if wants[0] else None,
        _flights(flights, progress.in_flight_count, rooms[1], frame, now) if rooms[1] else None,
        _losses(losses, lost, rooms[2], frame) if rooms[2] else None,
        Group(*below) if below else None,
    ]
    parts = above
    for section in sections:
        if section is not None:
            parts += [Text(""), section] if airy else [section]
    return Group(*parts)


def _allot(room: int, wants: list[int]) -> list[int]:
    """Lines for each section: an equal share, and what one does not want goes to the others."""
    given = [0] * len(wants)
    while room > 0 and given != wants:
        for n, want in enumerate(wants):
            if given[n] < want and room > 0:
                given[n] += 1
                room -= 1
    return given


# ---- the head ----


def _head(progress: Progress, frame: Frame, now: datetime) -> Text:
    rest = Text("  ")
    rest.append(progress.state.name, style=STYLES.get(progress.state, "dim"))
    if progress.reason in REASONS:
        rest.append(f" {REASONS[progress.reason]}", style="red")
    if progress.started:
        rest.append(f"  {format_span((progress.ended or now) - progress.started)}", style="dim")
    if frame.to_go is not None and not progress.state.ended:
        task, left = frame.to_go
        where = f" in {_fit(Text(shown(task)), 20, frame)}" if len(progress.tasks) > 1 else ""
        rest.append(f"  about {_roughly(left)} to go{where}", style="dim")
    rest.append(f"  {progress.id[:8]}", style="dim")
    name = _fit(Text(shown(progress.name) or "(no name)", "bold"), max(12, frame.width - rest.cell_len), frame)
    head = _fit(Text.assemble(name, rest), frame.width, frame)
    head.no_wrap = True
    return head


def _roughly(left: timedelta) -> str:
    """No more exact than an estimate is."""
    seconds = left.total_seconds()
    if seconds < 60:
        return f"{max(1, round(seconds))} s" if seconds < 10 else f"{round(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 1800) / 2:g} h"


def _strongest_first(holds: list[Hold]) -> list[Hold]:
    return sorted(holds, key=lambda hold: -hold.rank)


def _held(hold: Hold, now: datetime) -> str:
    since = f" since {clock(hold.since, now)}" if hold.since else ""
    note = f' "{shown(hold.note)}"' if hold.note else ""
    return f"{PAUSED_AT.get(hold.rank, 'held')} by {shown(hold.by) or 'somebody'}{since}{note}"


def _why(progress: Progress) -> list[str]:
    """What the Tasks say; not what the holds above it say already."""
    if progress.state.ended:
        return []
    said = [(task.name, task.waiting) for task in progress.tasks if task.waiting]
    return [f"{shown(name)}: {shown(why)}" for name, why in said if not (progress.holds and why.startswith("held by "))]


def held_by(holds: list[Hold], now: datetime) -> str:
    """The hold in force, in words; empty where there is none."""
    return _held(_strongest_first(holds)[0], now) if holds else ""


def _line(text: str, style: str, frame: Frame) -> Text:
    line = _fit(Text(f"  {text}", style), frame.width, frame)
    line.no_wrap = True
    return line


def _fit(text: Text, width: int, frame: Frame) -> Text:
    """At most `width` cells of it."""
    if text.cell_len > width:
        text = text.copy()
        text.truncate(width, overflow="ellipsis" if frame.unicode else "crop")
    return text


# ---- Tasks ----


def _tasks(tasks: list[TaskProgress], room: int, frame: Frame, now: datetime) -> RenderableType:
    before, window, after = _window(tasks, max(1, room))
    rows = [_Row.of(task, now) for task in window]
    columns = list(zip(*[_HEADERS, *[row.columns for row in rows]], strict=True))
    widths = [max(cell_len(text.plain) for text in column) for column in columns]
    # The name gives way first, then the bar.
    fixed = sum(widths[1:]) + 2 + len(widths) + 1
    widths[0] = max(8, min(widths[0], max(frame.width // 4, frame.width - fixed - 30), frame.width - fixed - 8))
    bar = max(0, min(40, frame.width - fixed - widths[0]))
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    for n, width in enumerate(widths):
        table.add_column(width=width, no_wrap=True, overflow="ellipsis", justify="right" if n in (2, 3) else "left")
        if n == 1:
            table.add_column(width=bar, no_wrap=True)
    table.add_row("", *_HEADERS[:2], "", *_HEADERS[2:], style="dim")
    if before:
        table.add_row("", *_folded(before, frame))
    for row in rows:
        cells = [_fit(row.columns[0], widths[0], frame), *row.columns[1:]]
        table.add_row("", *cells[:2], _bar(row.task, bar, UNICODE if frame.unicode else ASCII), *cells[2:])
    if after:
        table.add_row("", *_folded(after, frame))
    return table


def _window(tasks: list[TaskProgress], room: int) -> tuple[list[TaskProgress], list[TaskProgress], list[TaskProgress]]:
    """The Tasks that matter: the current one, one before it, those after it; what does not fit is folded, a line on each side."""
    if len(tasks) <= room:
        return [], tasks, []
    current = next((n for n, task in enumerate(tasks) if not task.state.ended), len(tasks) - 1)
    failed = next((n for n, task in enumerate(tasks) if task.state == State.FAILED), None)
    current = current if failed is None else failed  # nothing runs after it
    rows = max(1, room - 2)
    begin = max(0, min(current - (rows > 1), len(tasks) - rows))
    if begin == 1 and room > 2:
        begin, rows = 0, rows + 1  # a line that folds one Task is no shorter
    return tasks[:begin], tasks[begin : begin + rows], tasks[begin + rows :]


def _folded(tasks: list[TaskProgress], frame: Frame) -> list[Text]:
    lost = sum(task.failed + task.stopped for task in tasks)
    name = Text(f"{len(tasks)} {'Task' if len(tasks) == 1 else 'Tasks'}", style="dim")
    ended = all(task.state.ended for task in tasks)
    same = {task.state for task in tasks}
    state = _state(same.pop()) if len(same) == 1 else Text("ended" if ended else "", style="dim")
    done = f"{sum(task.done for task in tasks)}/{sum(task.sequences for task in tasks)}"
    return [
        name,
        state,
        Text(""),
        Text(done, style="dim"),
        Text(f"{lost}" if lost else "", style="red"),
        Text(""),
        Text(""),
    ]


_HEADERS = [Text(word) for word in ("task", "state", "done", "lost", "budget", "check rounds")]


class _Row(NamedTuple):
    task: TaskProgress
    columns: list[Text]

    @staticmethod
    def of(task: TaskProgress, now: datetime) -> _Row:
        lost = task.failed + task.stopped
        return _Row(
            task,
            [
                Text(shown(task.name) or "(no name)", style="" if task.state != State.NOT_STARTED else "dim"),
                _state(task.state),
                Text(f"{task.done}/{task.sequences}"),
                Text(str(lost) if lost else "", style="red"),
                _budget(task),
                _rounds(task, now),
            ],
        )


def _state(state: State) -> Text:
    return Text("-" if state == State.NOT_STARTED else state.name, style=STYLES.get(state, "dim"))


def _budget(task: TaskProgress) -> Text:
    """How many more may fail."""
    if task.tolerated < 0:
        return Text("no limit", style="dim")
    left = task.tolerated - task.failures
    if left < 0:
        return Text("gone", style="red")
    return Text(f"{left} left", style="yellow" if task.failures and not task.state.ended else "dim")


def _rounds(task: TaskProgress, now: datetime) -> Text:
    if not task.checks:
        return Text("")
    text = str(task.rounds)
    if task.next_round is not None and not task.state.ended:
        seconds = round((task.next_round - now).total_seconds())
        text += f", next {seconds} s" if seconds > 0 else ", now"
    return Text(text, style="dim")


def _bar(task: TaskProgress, width: int, glyphs: Glyphs) -> Text:
    counts = [task.completed, task.failed + task.stopped, task.under_way]
    lengths = _lengths(counts, max(1, task.sequences), width)
    bar = Text()
    for glyph, style, length in zip(glyphs, ("green", "red", "cyan"), lengths, strict=False):
        bar.append(glyph * length, style=style)
    bar.append(glyphs.untouched * (width - sum(lengths)), style="dim")
    return bar


def _lengths(counts: list[int], total: int, width: int) -> list[int]:
    """Cells for each count. Whatever is there at all is seen, and the bar is full only when all are in it."""
    if width <= 0:
        return [0] * len(counts)
    lengths = [max(1, count * width // total) if count else 0 for count in counts]
    room = width if sum(counts) >= total else width - 1
    while sum(lengths) > room:
        lengths[lengths.index(max(lengths))] -= 1
    if sum(counts) >= total:
        lengths[counts.index(max(counts))] += width - sum(lengths)
    return lengths


# ---- what is in flight, what was lost ----


def _flights(flights: list[Flight], count: int, room: int, frame: Frame, now: datetime) -> RenderableType:
    rows = [
        [
            Text(shown(flight.target) or "(check)"),
            Text(shown(flight.job_name or flight.cog)),
            Text(str(flight.attempt), style="yellow" if flight.attempt > 1 else "dim"),
            Text(format_span(max(timedelta(0), now - flight.since)) if flight.since else "", style="dim"),
            _said(flight),
        ]
        for flight in _first(flights, count, room)
    ]
    headers = [f"in flight {count}", "job", "attempt", "for", ""]
    return _list(rows, headers, count, room, frame)


def _said(flight: Flight) -> Text:
    text = Text("" if flight.fraction is None else f"{flight.fraction:.0%} ", style="cyan")
    return text.append(shown(flight.message), style="dim")


def _losses(losses: list[Loss], count: int, room: int, frame: Frame) -> RenderableType:
    rows = [
        [Text(shown(loss.target)), _state(loss.state), Text(first_line(loss.error))]
        for loss in _first(losses, count, room)
    ]
    return _list(rows, [f"lost {count}", "", ""], count, room, frame)


def _worst(losses: list[Loss]) -> list[Loss]:
    """The latest first; what only was stopped after what failed."""
    latest = losses[::-1]
    return sorted(latest, key=lambda loss: loss.state == State.STOPPED)


def _first(items: list[Flight] | list[Loss], count: int, room: int) -> list:  # type: ignore[type-arg]
    """As many as fit; a line is kept to say how many more there are."""
    return items[:room] if count <= room else items[: max(1, room - 1)]


def _list(rows: list[list[Text]], headers: list[str], count: int, room: int, frame: Frame) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    columns = list(zip(*[[Text(header) for header in headers], *rows], strict=True))
    widths = [max(cell_len(text.plain) for text in column) for column in columns]
    # What is said last gets what is left; the names before it give way only where it would get nothing.
    names = max(8, (frame.width - 30) // 2)
    widths[0] = min(widths[0], names)
    widths[1] = min(widths[1], names)
    widths[-1] = max(1, frame.width - 1 - len(widths) - sum(widths[:-1]))
    for width in widths:
        table.add_column(width=width, no_wrap=True, overflow="ellipsis")
    table.add_row("", *headers, style="dim")
    for row in rows:
        table.add_row("", *[_fit(text, width, frame) for text, width in zip(row, widths, strict=True)])
    if count > len(rows) and room > 1:
        table.add_row("", Text(f"and {count - len(rows)} more", style="dim"))
    return table
