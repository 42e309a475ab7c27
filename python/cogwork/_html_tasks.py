"""Tasks in a table: a row each, with a bar of their targets; of Tasks that were read, and of those that are at hand."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import NamedTuple

from ._markup import Html, badge, clip, count, reason_of, table, tag, took
from ._model import Reason, State, Task
from ._progress import TaskProgress
from ._summary import counts


class TaskRow(NamedTuple):
    """A Task in a table of Tasks, whether it was read or is at hand."""

    name: str
    state: State
    reason: Reason
    started: datetime | None
    ended: datetime | None
    sequences: int
    completed: int
    failed: int
    stopped: int
    under_way: int
    budget: str
    concurrency: str
    checks: str


def row_of(task: Task) -> TaskRow:
    states = Counter(sequence.state for sequence in task.sequences)
    completed, failed, stopped = (states[state] for state in (State.COMPLETED, State.FAILED, State.STOPPED))
    checks = [*task.pre_checks, *task.cont_checks]
    lost = sum(job.state == State.FAILED for job in checks)
    under_way = len(task.sequences) - completed - failed - stopped - states[State.NOT_STARTED]
    said = count(len(checks), "check") + (f", {lost} failed" if lost else "") if checks else ""
    if rounds := max((job.rounds for job in task.cont_checks), default=0):
        said += f", {count(rounds, 'round')} passed"
    return TaskRow(
        task.name, task.state, task.reason, task.started, task.ended, len(task.sequences), completed, failed, stopped, under_way,
        _budget(task.failures, task.tolerated_number, task.tolerated_failures),
        _share(task.concurrency_number, task.concurrency), said,
    )  # fmt: skip


def row_of_progress(task: TaskProgress) -> TaskRow:
    checks = f"{count(task.checks, 'check')}, {count(task.rounds, 'round')} passed" if task.checks else ""
    return TaskRow(
        task.name, task.state, task.reason, task.started, task.ended, task.sequences, task.completed, task.failed,
        task.stopped, task.under_way, _budget(task.failures, task.tolerated, task.tolerated), str(task.concurrency), checks,
    )  # fmt: skip


def task_table(rows: list[TaskRow], of: int, now: datetime, named: bool = True) -> Html | None:
    """named=False: below a head that says name and state already."""
    cells = [
        [
            tag("b", clip(row.name)) if named else "",
            Html(badge(row.state) + " " + reason_of(row.reason)) if named else "",
            _bar(row),
            _counts(row),
            row.budget,
            row.concurrency,
            row.checks,
            took(row.started, row.ended, now),
        ]
        for row in rows
    ]
    heads = ("Task", "state", "", "targets", "failures", "at once", "checks", "took")
    return table(heads, cells, of, "Tasks")


def _bar(row: TaskRow) -> Html:
    parts = [("ok", row.completed), ("bad", row.failed), ("stop", row.stopped), ("run", row.under_way)]
    total = max(row.sequences, 1)
    spans = [tag("span", cls=f"cw-{look}", style=f"width:{100 * n / total:.2f}%") for look, n in parts if n]
    return tag("div", *spans, cls="cw-bar", role="img", title=_counts(row))


def _counts(row: TaskRow) -> str:
    untouched = row.sequences - row.completed - row.failed - row.stopped - row.under_way
    said = [counts(row.completed, row.failed + row.stopped, row.sequences)]
    said += [f"{n} {what}" for n, what in ((row.under_way, "under way"), (untouched, "not started")) if n]
    return ", ".join(said)


def _budget(failures: int, tolerated: int | None, written: int | str) -> str:
    if (tolerated is not None and tolerated < 0) or written == -1:
        return f"{failures}, no limit"
    return f"{failures} of {_share(tolerated, written)} tolerated"


def _share(number: int | None, written: int | str) -> str:
    """A share says what it came to, once it is known."""
    if number is None or str(number) == str(written):
        return clip(str(written))
    return f"{number} ({clip(str(written))})"
