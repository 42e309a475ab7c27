"""The picture of a Labor at a moment: where it is, what is in flight, what was lost, and why nothing moves if nothing does."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence as Seq
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, TypeVar

from rich.console import Group
from rich.text import Text

from . import _advice
from ._columns import GAP, columns, fit, line
from ._model import State
from ._progress import Flight, Loss, Progress, Retry, TaskProgress
from ._summary import REASONS, counts_of, half_way, reasons, where
from ._text import first_line, format_span, shown

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
_AIRY = 18
"""Lines from which on there are empty ones between the sections."""
_BARS = (8, 40)
"""The shortest bar and the longest one, in cells."""
TASKS, FLIGHTS, RETRIES, LOSSES = range(4)
T = TypeVar("T")


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
    retries: int = 5
    half_way: int = 5
    to_go: tuple[str, timedelta] | None = None
    """The name of a Task, and how long it may still take."""
    notes: Seq[str] = ()
    """Said at the end: by whoever shows it, not by the Labor."""
    db: str = ""
    """The store, as a shell is told of it."""
    helps: Seq[str] = ()
    """Commands that make it go on, where whoever shows it knows other ones than the picture does."""


_FRAME = Frame()
_MOST_HELD = 5


def picture(progress: Progress, frame: Frame = _FRAME, now: datetime | None = None) -> Group:
    """At most `frame.height` lines of at most `frame.width` cells."""
    now = now or datetime.now(timezone.utc)
    above = [_head(progress, frame, now)]
    above += [
        _line(why, "yellow", frame) for why in reasons(progress, now) if not any(why in note for note in frame.notes)
    ]
    above += _undecided(progress, frame)
    above += [_line(rest, "yellow", frame) for rest in half_way(progress, min(frame.half_way, 1 + frame.height // 8))]
    losses = [*progress.failed_checks, *_worst(progress.losses)]
    stopped_or_failed = sum(task.failed + task.stopped for task in progress.tasks)
    lost = len(progress.failed_checks) + max(len(progress.losses), stopped_or_failed)
    flights, retries = ([], []) if progress.state.ended else (progress.in_flight, progress.retries)
    wants = [
        len(progress.tasks),
        min(len(flights), frame.flights),
        min(len(retries), frame.retries),
        min(len(losses), frame.losses),
    ]
    airy = frame.height >= _AIRY
    notes = [part for note in frame.notes for line in note.split("\n") for part in _wrapped(line, frame.width)]
    room = frame.height - len(above) - len(notes) - (airy and bool(notes))
    # The least important last: what has no room for its head and a line is left out.
    for kind in (TASKS, LOSSES, FLIGHTS, RETRIES):
        if wants[kind] and room > 1 + airy:
            room -= 1 + airy
        else:
            wants[kind] = 0
    rooms = _allot(room, wants)
    sections = [
        _tasks(progress.tasks, rooms[TASKS], frame, now) if rooms[TASKS] else [],
        _flights(flights, progress.in_flight_count, rooms[FLIGHTS], frame, now) if rooms[FLIGHTS] else [],
        _retries(retries, progress.retry_count, rooms[RETRIES], frame, now) if rooms[RETRIES] else [],
        _losses(losses, lost, rooms[LOSSES], frame) if rooms[LOSSES] else [],
        notes,
    ]
    lines = above
    for part in sections:
        lines += [Text(""), *part] if airy and part else part
    return Group(*lines[: max(1, frame.height)])


def _wrapped(note: str, width: int) -> list[Text]:
    """A note is for reading: it is not cut."""
    indent = " " * (len(note) - len(note.lstrip(" ")))
    pieces = textwrap.wrap(
        shown(note.strip()), max(10, width), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    ) or [""]
    return [Text(piece, style="bold yellow", no_wrap=True) for piece in pieces]


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
        where = f" in {fit(Text(shown(task)), 20, frame.unicode)}" if len(progress.tasks) > 1 else ""
        rest.append(f"  about {_roughly(left)} to go{where}", style="dim")
    rest.append(f"  {progress.id[:8]}", style="dim")
    name = fit(Text(shown(progress.name) or "(no name)", "bold"), max(12, frame.width - rest.cell_len), frame.unicode)
    return fit(Text.assemble(name, rest), frame.width, frame.unicode)


def _roughly(left: timedelta) -> str:
    """No more exact than an estimate is."""
    seconds = left.total_seconds()
    if seconds < 60:
        return f"{max(1, round(seconds))} s" if seconds < 10 else f"{round(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 1800) / 2:g} h"


def _undecided(progress: Progress, frame: Frame) -> list[Text]:
    """The held Jobs (R2), and what to do about them. Commands are not cut: they are typed."""
    if not progress.held or progress.state.ended:
        return []
    labor = progress.id[:8]
    one = progress.held_count == 1
    lines = [
        f"{progress.held_count} {'Job' if one else 'Jobs'} must be decided: what was executing when the engine ended. Look at the targets, then"
    ]
    lines += [f"  {line}" for line in frame.helps or _advice.released(progress, frame.db)]
    lines += ["or, instead of all at once, of each JOB", f"  {_advice.decide('JOB', frame.db)}"]
    for held in progress.held[:_MOST_HELD]:
        where = shlex.quote(f"{labor}/{held.task}/{held.target}") if held.target else held.job_id
        lines.append(f"  {shown(str(held))}: {shown(where)}")
    more = progress.held_count - min(len(progress.held), _MOST_HELD)
    lines += [f"  and {more} more"] * bool(more)
    return [piece for line in lines for piece in _wrapped(line, frame.width)]


def _line(text: str, style: str, frame: Frame) -> Text:
    return fit(Text(f"  {shown(text)}", style), frame.width, frame.unicode)


# ---- Tasks ----


def _tasks(tasks: list[TaskProgress], room: int, frame: Frame, now: datetime) -> list[Text]:
    before, window, after = _window(tasks, room)
    rows = [
        _HEADERS,
        *[_folded(before)] * bool(before),
        *[_row(task, now) for task in window],
        *[_folded(after)] * bool(after),
    ]
    drawn = [None, *[None] * bool(before), *window, *[None] * bool(after)]
    # The bar gives way first, then the names.
    widths = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
    taken = 1 + GAP * len(widths)
    left = frame.width - taken - sum(widths)
    bar = max(_BARS[0], min(_BARS[1], left))
    if left < bar:
        widths[0] = max(8, widths[0] - (bar - left))
        bar = max(0, min(bar, frame.width - taken - sum(widths)))
    glyphs = UNICODE if frame.unicode else ASCII
    lines = []
    for row, task in zip(rows, drawn, strict=True):
        cells = [*row[:2], Text() if task is None else _bar(task, bar, glyphs), *row[2:]]
        whole = line(cells, [*widths[:2], bar, *widths[2:]], indent=1, unicode=frame.unicode)
        lines.append(fit(whole, frame.width, frame.unicode))
    return lines


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


def _folded(tasks: list[TaskProgress]) -> list[Text]:
    states = {task.state for task in tasks}
    state = _state(states.pop()) if len(states) == 1 else Text("ended", style="dim")
    name = Text(f"{len(tasks)} {'Task' if len(tasks) == 1 else 'Tasks'}", style="dim")
    return [name, state, _counts(tasks, "dim"), Text(), Text()]


_HEADERS = [Text(word, style="dim") for word in ("task", "state", "targets", "budget", "check rounds")]


def _row(task: TaskProgress, now: datetime) -> list[Text]:
    return [
        Text(shown(task.name) or "(no name)", style="" if task.state != State.NOT_STARTED else "dim"),
        _state(task.state),
        _counts([task]),
        _budget(task),
        _rounds(task, now),
    ]


def _counts(tasks: list[TaskProgress], style: str = "") -> Text:
    text = Text(counts_of(tasks), style=style)
    text.highlight_regex(r"lost \d+", "red")
    return text


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
    if task.next_round is not None and task.state == State.RUNNING:
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


def _flights(flights: list[Flight], count: int, room: int, frame: Frame, now: datetime) -> list[Text]:
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
    return _list(rows, [f"in flight {count}", "job", "attempt", "for", ""], count, room, frame)


def _said(flight: Flight) -> Text:
    text = Text()
    if flight.fraction is not None:
        text.append(f"{flight.fraction:4.0%}  ", style="cyan")
    return text.append(shown(flight.message), style="dim")


def _retries(retries: list[Retry], count: int, room: int, frame: Frame, now: datetime) -> list[Text]:
    rows = [
        [
            Text(shown(retry.target) or "(check)"),
            Text(shown(retry.job_name or retry.cog)),
            Text(str(retry.attempt), style="yellow"),
            Text(_in(retry, now), style="dim"),
            Text(first_line(retry.error)),
        ]
        for retry in _first(retries, count, room)
    ]
    return _list(rows, [f"retries {count}", "job", "attempt", "in", ""], count, room, frame)


def _in(retry: Retry, now: datetime) -> str:
    return format_span(max(timedelta(0), retry.due - now)) if retry.due else ""


def _losses(losses: list[Loss], count: int, room: int, frame: Frame) -> list[Text]:
    rows = [
        [
            Text(shown(loss.target) or "(check)"),
            _state(loss.state),
            Text(shown(where(loss))),
            Text(first_line(loss.error)),
        ]
        for loss in _first(losses, count, room)
    ]
    return _list(rows, [f"lost {count}", "", "job", ""], count, room, frame, gives=(0, 2))


def _worst(losses: list[Loss]) -> list[Loss]:
    """The latest first; what only was stopped after what failed."""
    latest = losses[::-1]
    return sorted(latest, key=lambda loss: loss.state == State.STOPPED)


def _first(items: list[T], count: int, room: int) -> list[T]:
    """As many as fit; a line is kept to say how many more there are."""
    return items[:room] if count <= room else items[: max(1, room - 1)]


def _list(
    rows: list[list[Text]], headers: list[str], count: int, room: int, frame: Frame, gives: tuple[int, int] = (0, 1)
) -> list[Text]:
    table = [[Text(header, style="dim") for header in headers], *rows]
    widths = columns(table, frame.width - 1, gives)
    lines = [fit(line(row, widths, indent=1, unicode=frame.unicode), frame.width, frame.unicode) for row in table]
    if count > len(rows) and room > 1:
        lines.append(Text(f" and {count - len(rows)} more", style="dim", no_wrap=True))
    return lines
