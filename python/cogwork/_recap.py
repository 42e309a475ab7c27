"""The recap that `print(labor)` shows."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from ._model import Labor, Reason, State, Task, all_jobs, last_line

_MOST_LOSSES = 10
_WIDTH = 100


def recap(labor: Labor) -> str:
    head = f"Labor {labor.name!r} {labor.state.name}"
    if labor.reason != Reason.NO_FAILURE:
        head += f" ({labor.reason.name})"
    if took := _took(labor.started, labor.ended):
        head += f" in {took}"
    if labor.id:
        head += f"  [{labor.id}]"
    lines = [head]
    for hold in labor.holds:
        lines.append(f"  held at {hold.rank.name.lower()} rank by {hold.by or 'somebody'}{_note(hold.note)}")
    if held := [job for job in all_jobs(labor) if job.held]:
        names = ", ".join(f"{job.name or job.cog_path} ({job.id})" for job in held[:3])
        more = f" and {len(held) - 3} more" if len(held) > 3 else ""
        lines.append(f"  must be decided, as the engine ended while they were executing: {names}{more}")
    width = max((len(task.name) for task in labor.tasks), default=0)
    lines += [f"  {task.name:{width}}  {_task(task)}" for task in labor.tasks]
    losses = labor.failures()
    if losses:
        lines.append("  lost:")
        lines += [_clip(f"    {loss}") for loss in losses[:_MOST_LOSSES]]
        if len(losses) > _MOST_LOSSES:
            lines.append(f"    ... and {len(losses) - _MOST_LOSSES} more (labor.failures())")
    return "\n".join(lines)


def _task(task: Task) -> str:
    text = task.state.name
    if task.reason != Reason.NO_FAILURE:
        text += f" ({task.reason.name})"
    if not task.sequences:
        return text
    counts = Counter(sequence.state for sequence in task.sequences)
    parts = [f"{counts.pop(State.COMPLETED, 0)}/{len(task.sequences)} completed"]
    untouched = counts.pop(State.NOT_STARTED, 0)
    parts += [f"{count} {state.name.lower()}" for state, count in sorted(counts.items())]
    if untouched:
        parts.append(f"{untouched} untouched")
    if task.tolerated_number is not None:
        budget = "no limit" if task.tolerated_number < 0 else str(task.tolerated_number)
        parts.append(f"failures {task.failures} of {budget} tolerated")
    if took := _took(task.started, task.ended):
        parts.append(took)
    return f"{text}: {', '.join(parts)}"


def _took(started: datetime | None, ended: datetime | None) -> str:
    return format_span(ended - started) if started and ended else ""


def format_span(span: timedelta) -> str:
    """A length of time as people say it: `0.2 s`, `12 s`, `3 min 5 s`, `2 h 4 min`."""
    seconds = span.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _note(note: str) -> str:
    return f' "{note}"' if note else ""


def _clip(line: str) -> str:
    line = last_line(line) if "\n" in line else line
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
