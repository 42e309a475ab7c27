"""`timeline`: a chart of what ran when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ._core import error_line
from ._handle import LaborHandle
from ._markup import count
from ._model import Attempt, AttemptStatus, Change, ChangeKind, Labor, State, Task
from ._resources import descriptors
from ._text import clock, date, format_span, zone
from ._tree import places

if TYPE_CHECKING:
    import altair as alt

_COLORS = {
    AttemptStatus.SUCCESS: "#5aa469",
    AttemptStatus.OPEN: "#4a90d9",
    AttemptStatus.FAILURE: "#e0604c",
    AttemptStatus.FAILURE_NO_RETRIES: "#b3352a",
    AttemptStatus.TIMED_OUT: "#e08a3c",
    AttemptStatus.CRASHED: "#7d2181",
    AttemptStatus.INTERRUPTED: "#b07cc6",
    AttemptStatus.STOPPED: "#8c8c8c",
    AttemptStatus.WITHDRAWN: "#c8c8c8",
}
_NAMES = {AttemptStatus.OPEN: "EXECUTING"}
_HELD = {State.PAUSING, State.PAUSED, State.ADMIN_PAUSED, State.CRISIS_PAUSED}
_ATTEMPTS = 50  # of a row: the first, and the last of them
_LIGHT_AND_DARK = {  # reads on either
    "background": "transparent",
    "view": {"stroke": "#8884"},
    "axis": {"labelColor": "#888", "gridColor": "#8883", "domainColor": "#8886", "tickColor": "#8886"},
    "title": {"color": "#888", "subtitleColor": "#888"},
    "legend": {"labelColor": "#888", "titleColor": "#888"},
}
_Millis = Callable[[datetime], float]
_STEP = 15  # pixels of a row
_TEXT = 200  # characters of a tooltip


class _Line(NamedTuple):
    """A row of the chart: a target, or a check."""

    label: str
    attempts: list[tuple[str, Attempt]]
    """With the Job's name, in the order that they began."""
    rank: tuple[int, float]
    """Low is worth seeing: lost, tried again, slow."""


def timeline(
    labor: Labor | LaborHandle, *, rows: int = 60, changes: Iterable[Change] | None = None, width: int = 640
) -> alt.VConcatChart:
    """An Altair chart of what ran when: a row for each target and each check, grouped by Task, a bar for each attempt.

    rows: the most that are shown in all; the chart says how many are left out, and shows those that were lost, tried again, or slow.
    changes: the Labor's history (`store.changes(id)`), from which pauses are drawn; a handle brings its own. width: pixels.
    What still executes lasts until now. Times are local, as the zone is
    when the Labor begins; UTC with COGWORK_UTC=1. Raises ImportError without altair; ValueError for a Labor read without its Tasks.
    """
    altair = _altair()
    if rows < 1:
        raise ValueError(f"rows is 1 or more, not {rows!r}")
    if isinstance(labor, LaborHandle):
        changes = _so_far(labor) if changes is None else changes
        labor = labor.read()
    if labor.id and not labor.tasks:
        raise ValueError(f"Labor {labor.name!r} ({labor.id}) was read without its Tasks; read_labor(id) has them")
    now = labor.ended or datetime.now(timezone.utc)
    pauses = _pauses(labor, changes or (), now)
    lines = {n: _lines(task, now) for n, task in enumerate(labor.tasks)}
    shown = _share_out(lines, rows)
    axes = _axes(altair, labor, [line for some in shown.values() for line in some], now)
    charts = [
        _task_chart(altair, axes, task, lines[n], shown[n], pauses.get(task.id, []), now).properties(width=width)
        for n, task in enumerate(labor.tasks)
        if shown[n]
    ]
    untouched = [task.name for n, task in enumerate(labor.tasks) if not lines[n]]
    title = altair.TitleParams(
        text=f"{labor.name or '(no name)'}: {labor.state.name}",
        subtitle=_subtitle(labor, untouched),
        anchor="start",
    )
    if not charts:
        charts = [altair.Chart(altair.InlineData(values=[])).mark_bar().properties(width=width, height=_STEP)]
    chart = altair.vconcat(*charts, spacing=14, title=title).resolve_scale(x="shared", color="shared")
    return chart.configure(**_LIGHT_AND_DARK)


def _subtitle(labor: Labor, untouched: list[str]) -> str:
    parts = []
    if labor.started:
        parts.append(f"began {date(labor.started)}")
    if labor.started and labor.ended:
        parts.append(f"took {format_span(labor.ended - labor.started)}")
    if untouched:
        few = ", ".join(untouched[:5]) + (f" and {len(untouched) - 5} more" if len(untouched) > 5 else "")
        parts.append(f"nothing ran of {few}")
    return "; ".join(parts)


# ---- rows ----


def _lines(task: Task, now: datetime) -> list[_Line]:
    """The rows of a Task, checks first; those without an attempt have nothing to show."""
    grouped: dict[int, tuple[str, bool, list[tuple[str, Attempt]], State]] = {}
    for place in places(Labor(tasks=[task])):
        owner = place.sequence or place.job
        name = place.job.name or place.job.cog_path
        label = place.sequence.target if place.sequence else f"check: {name}"
        row = grouped.setdefault(id(owner), (label, place.sequence is None, [], owner.state))
        row[2].extend((name, attempt) for attempt in place.job.attempts if attempt.started)
    made = []
    seen: dict[str, int] = {}
    for label, check, attempts, state in grouped.values():
        if not attempts:
            continue
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:  # two rows of one name would become one
            label = f"{label} ({seen[label]})"
        tried_again = any(attempt.number > 1 for _, attempt in attempts)
        worth = 0 if state in (State.FAILED, State.STOPPED) else 1 if check else 2 if tried_again else 3
        made.append(_Line(label, attempts, (worth, -_length(attempts, now))))
    return made


def _length(attempts: list[tuple[str, Attempt]], now: datetime) -> float:
    begin = min(a.started for _, a in attempts if a.started)
    return (max(a.ended or now for _, a in attempts) - begin).total_seconds()


def _share_out(lines: dict[int, list[_Line]], rows: int) -> dict[int, list[_Line]]:
    """The rows that are shown of each Task, in its order: every Task gets its fair part of them."""
    room = dict.fromkeys(lines, 0)
    wanting = [n for n in lines if lines[n]]
    while rows and wanting:
        each = max(1, rows // len(wanting))
        for n in list(wanting):
            more = min(each, len(lines[n]) - room[n], rows)
            room[n] += more
            rows -= more
            if room[n] == len(lines[n]):
                wanting.remove(n)
    shown = {}
    for n, all_lines in lines.items():
        best = sorted(range(len(all_lines)), key=lambda i: all_lines[i].rank)[: room[n]]
        shown[n] = [all_lines[i] for i in sorted(best)]
    return shown


# ---- pauses ----


class _Pause(NamedTuple):
    begin: datetime
    end: datetime
    state: State
    by: str
    note: str


def _so_far(handle: LaborHandle) -> list[Change]:
    """What the history holds now, without waiting for the Labor's end."""
    news = handle.changes(since=0)
    found = []
    while piece := news.poll():
        found += piece
    return found


def _pauses(labor: Labor, changes: Iterable[Change], now: datetime) -> dict[str, list[_Pause]]:
    """When each Task was held, by whom and why: a pause of a Labor shows in its Tasks (G5a)."""
    tasks = {task.id for task in labor.tasks}
    since: dict[str, Change] = {}
    found: dict[str, list[_Pause]] = {}
    for change in changes:
        if change.kind != ChangeKind.STATE or change.object_id not in tasks:
            continue
        if change.to_state in _HELD:
            before = since.setdefault(change.object_id, change)
            if before.to_state != change.to_state:  # PAUSING became its pause, or a higher rank came
                since[change.object_id] = msgspec.structs.replace(change, at=before.at)
        elif begun := since.pop(change.object_id, None):
            found.setdefault(change.object_id, []).append(_pause(begun, change.at))
    for object_id, begun in since.items():
        found.setdefault(object_id, []).append(_pause(begun, now))
    return found


def _pause(begun: Change, end: datetime) -> _Pause:
    return _Pause(begun.at, end, begun.to_state, begun.by, begun.note)


# ---- the chart ----


def _axes(altair: Any, labor: Labor, lines: list[_Line], now: datetime) -> dict[str, Any]:
    """What all charts share: the time, and the colours of the statuses that there are."""
    span = now - labor.started if labor.started else timedelta()
    shape = "%H:%M:%S.%L" if span < timedelta(seconds=20) else "%H:%M:%S" if span < timedelta(days=1) else "%d. %H:%M"
    axis = altair.Axis(format=shape, labelOverlap=True, grid=True, tickCount=6)
    there = {attempt.status for line in lines for _, attempt in line.attempts}
    colors = {_name(status): color for status, color in _COLORS.items() if status in there}
    scale = altair.Scale(domain=list(colors), range=list(colors.values()))
    extent = min(180, max((6 * len(line.label) for line in lines), default=0))  # so that all charts begin at one place
    return {
        "millis": _reckoned(labor, now),
        "names": altair.Axis(labelLimit=180, minExtent=extent),
        "x": altair.X("begin:T", title=None, scale=altair.Scale(type="utc"), axis=axis),
        "color": altair.Color("status:N", title="attempt", scale=scale),
    }


def _task_chart(
    altair: Any,
    axes: dict[str, Any],
    task: Task,
    lines: list[_Line],
    shown: list[_Line],
    pauses: list[_Pause],
    now: datetime,
) -> Any:
    x, color = axes["x"], axes["color"]
    order = [line.label for line in shown]
    y = altair.Y("row:N", sort=order, title=None, axis=axes["names"], scale=altair.Scale(domain=order))
    tooltip = [f"{name}:N" for name in ("row", "job", "attempt", "status", "began", "took", "answered")]
    millis = axes["millis"]
    bars = altair.Chart(altair.InlineData(values=[value for line in shown for value in _bars(line, now, millis)]))
    layers = [
        bars.mark_bar(opacity=0.75, height=_STEP - 5).encode(x=x, x2="end:T", y=y, color=color, tooltip=tooltip),
        # Where each begins: what is too short for a bar is seen, and retries can be told apart.
        bars.mark_tick(thickness=2, height=_STEP - 3).encode(x=x, y=y, color=color, tooltip=tooltip),
    ]
    if pauses:
        held = altair.Chart(altair.InlineData(values=[_pause_value(pause, millis) for pause in pauses]))
        layers.insert(
            0, held.mark_rect(color="#e0b020", opacity=0.25).encode(x=x, x2="end:T", tooltip=["held:N", "by:N", "note:N", "took:N"])
        )  # fmt: skip
    return altair.layer(*layers).properties(
        height=altair.Step(_STEP),
        title=altair.TitleParams(text=task.name, subtitle=_counts(task, lines, shown), anchor="start", fontSize=12),
    )


def _counts(task: Task, lines: list[_Line], shown: list[_Line]) -> str:
    reason = f" ({task.reason.name})" if task.reason else ""
    text = f"{task.state.name}{reason}"
    if left := len(lines) - len(shown):
        text += f"; {len(shown)} of {len(lines)} rows: those that were lost, tried again or slow; {left} left out"
    text += "".join(
        f"; {line.label}: the first and the last of {len(line.attempts)} attempts"
        for line in shown
        if len(line.attempts) > _ATTEMPTS
    )
    for job in (*task.pre_checks, *task.cont_checks):
        kept = len({attempt.round for attempt in job.attempts})
        if job.rounds > kept:  # of rounds that passed the first and the last are kept (X11)
            text += f"; check {job.name or job.cog_path}: {kept} of {job.rounds:,} rounds"
    if untouched := sum(sequence.state == State.NOT_STARTED for sequence in task.sequences):
        text += f"; {count(untouched, 'target')} not started"
    return text


def _bars(line: _Line, now: datetime, millis: _Millis) -> list[dict[str, Any]]:
    attempts = line.attempts
    if len(attempts) > _ATTEMPTS:
        attempts = attempts[: _ATTEMPTS // 2] + attempts[-_ATTEMPTS // 2 :]
    return [
        {
            "row": line.label,
            "job": job,
            "attempt": a.number,
            "status": _name(a.status),
            "begin": millis(a.started or now),
            "end": millis(a.ended or now),
            "began": clock(a.started or now, now, millis=True),
            "took": format_span(max((a.ended or now) - (a.started or now), timedelta())),
            "answered": (error_line(a.error) if a.error else "" if a.output is None else repr(a.output))[:_TEXT],
        }
        for job, a in attempts
    ]


def _pause_value(pause: _Pause, millis: _Millis) -> dict[str, Any]:
    return {
        "begin": millis(pause.begin),
        "end": millis(pause.end),
        "held": pause.state.name,
        "by": pause.by,
        "note": pause.note[:_TEXT],
        "took": format_span(pause.end - pause.begin),
    }


def _name(status: AttemptStatus) -> str:
    return _NAMES.get(status, status.name)


def _reckoned(labor: Labor, now: datetime) -> _Millis:
    """Moments as the chart takes them. It knows no zone but UTC and the reader's own; so they are moved by what the zone that is meant differs."""
    offset = (labor.started or now).astimezone(zone()).utcoffset() or timedelta()
    return lambda moment: (moment + offset).timestamp() * 1000


def _altair() -> Any:
    try:
        with descriptors("altair"):
            import altair
    except ImportError as error:
        raise ImportError("timeline needs altair: pip install 'cogwork[notebook]'") from error
    return altair
