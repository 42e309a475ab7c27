"""The recap that `print(labor)` shows, and that the shell writes below its lines."""

from __future__ import annotations

from ._model import Labor, Reason
from ._progress import Progress, TaskProgress
from ._summary import counts, half_way, lost, outline, reasons
from ._text import format_span, shown

_MOST_LOSSES = 10
_WIDTH = 140


def recap(labor: Labor) -> str:
    return recap_of(outline(labor), "labor.failures()")


def recap_of(progress: Progress, more: str = "") -> str:
    """Of a Labor at a moment. more: where more losses than are listed can be had."""
    head = f"Labor {progress.name!r} {progress.state.name}"
    if progress.reason != Reason.NO_FAILURE:
        head += f" ({progress.reason.name})"
    if progress.started and progress.ended:
        head += f" in {format_span(progress.ended - progress.started)}"
    if progress.id:
        head += f"  [{progress.id}]"
    lines = [head]
    lines += [f"  {why}" for why in reasons(progress)]
    if progress.held:
        names = ", ".join(f"{held} ({held.job_id})" for held in progress.held[:3])
        others = f" and {progress.held_count - 3} more" if progress.held_count > 3 else ""
        lines.append(f"  must be decided, as the engine ended while they were executing: {names}{others}")
    width = max((len(task.name) for task in progress.tasks), default=0)
    lines += [f"  {task.name:{width}}  {_task(task, bool(progress.id))}" for task in progress.tasks]
    lines += [f"  {line}" for line in half_way(progress)]
    losses = [*progress.failed_checks, *progress.losses]
    count = len(progress.failed_checks) + max(
        len(progress.losses), sum(task.failed + task.stopped for task in progress.tasks)
    )
    if losses:
        lines.append("  lost:")
        lines += [_clip(f"    {lost(loss)}") for loss in losses[:_MOST_LOSSES]]
        if count > _MOST_LOSSES:
            lines.append(f"    ... and {count - _MOST_LOSSES} more{f' ({more})' if more else ''}")
    return "\n".join(map(shown, lines))


def _task(task: TaskProgress, submitted: bool) -> str:
    text = task.state.name
    if task.reason != Reason.NO_FAILURE:
        text += f" ({task.reason.name})"
    if not task.sequences:
        return text
    parts = [counts(task.completed, task.failed + task.stopped, task.sequences)]
    untouched = task.sequences - task.completed - task.failed - task.stopped - task.under_way
    parts += [f"{count} {what}" for count, what in ((task.under_way, "under way"), (untouched, "not started")) if count]
    if submitted:
        budget = ", no limit" if task.tolerated < 0 else f" of {task.tolerated} tolerated"
        parts.append(f"failures {task.failures}{budget}")
    if task.started and task.ended:
        parts.append(format_span(task.ended - task.started))
    return f"{text}: {', '.join(parts)}"


def _clip(line: str) -> str:
    line = line.partition("\n")[0]
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
