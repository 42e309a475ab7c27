"""What there is to say of a Labor, in words: the same on a screen, in lines, in a recap and in HTML. Names are as they are; who shows them
makes them text.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from ._core import error_line
from ._model import Failure, Hold, Job, Labor, Rank, Reason, Sequence, State, Task
from ._progress import HalfWay, HeldJob, Loss, Progress, Retry, TaskProgress
from ._text import clock
from ._tree import Place, places

REASONS = {
    Reason.PRE_CHECK_FAILURE: "a check failed before it began",
    Reason.CONT_CHECK_FAILURE: "a continuous check failed",
    Reason.MAX_FAILURES: "more failed than are tolerated",
}
PAUSED_AT = {Rank.USER: "paused", Rank.ADMIN: "admin-paused", Rank.CRISIS: "crisis-paused"}
_MOST = 3  # holds, latches, and reasons of Tasks
_NAME = 24


def counts(completed: int, lost: int, of: int) -> str:
    """How far it is: `ok 21 of 24`, `ok 21, lost 3 of 24`."""
    return f"ok {completed}, lost {lost} of {of}" if lost else f"ok {completed} of {of}"


def counts_of(tasks: list[TaskProgress]) -> str:
    lost = sum(task.failed + task.stopped for task in tasks)
    return counts(sum(task.completed for task in tasks), lost, sum(task.sequences for task in tasks))


def place(after: str, job: str, begun: bool) -> str:
    """Where a Sequence stands among its Jobs: `after install, before undrain`, `after drain, in install`. after: the last Job that
    completed, if one has; job: the next one."""
    if not job:
        return ""
    if not after and not begun:
        return "nothing of it ran"
    return (f"after {after}, " if after else "") + f"{'in' if begun else 'before'} {job}"


def where(loss: Loss | Failure) -> str:
    """What a lost one was lost in: the Job that failed, or where it was stopped."""
    return loss.job if loss.state == State.FAILED else place(loss.after, loss.job, loss.begun)


def lost(loss: Loss | Failure) -> str:
    """`rest/edge-3: install FAILED: OSError: disk full`, `rest/edge-4: STOPPED after install, before undrain`."""
    whose = f"{loss.task}/{loss.target}" if loss.target else f"{loss.task} (check)"
    what = f"{loss.job} FAILED" if loss.state == State.FAILED else f"{loss.state.name} {where(loss)}"
    return f"{whose}: {what.strip()}{': ' + error_line(loss.error) if loss.error else ''}"


def held(hold: Hold, now: datetime | None = None) -> str:
    """`paused by alice since 10:02:11 "INC-12"`."""
    since = f" since {clock(hold.since, now)}" if hold.since else ""
    note = f' "{hold.note}"' if hold.note else ""
    return f"{PAUSED_AT.get(hold.rank, 'held')} by {hold.by or 'somebody'}{since}{note}"


def holds(all_of_them: list[Hold], now: datetime | None = None) -> list[str]:
    """The one in force first."""
    return [held(hold, now) for hold in sorted(all_of_them, key=lambda hold: -hold.rank)]


def trouble(progress: Progress, now: datetime | None = None) -> str:
    """That its store fails, if so."""
    if not progress.failing:
        return ""
    since = f" since {clock(progress.failing_since, now)}" if progress.failing_since else ""
    return f"the store fails{since}, and work waits for it: {progress.failing}"


def reasons(progress: Progress, now: datetime | None = None) -> list[str]:
    """Why nothing (more) moves: the store, nobody who runs it, pauses, latches, and what its Tasks wait for."""
    if progress.state.ended:
        return []
    said = [why] if (why := trouble(progress, now)) else []
    if progress.unattended:
        said.append(progress.unattended)
    if progress.state == State.ADMIN_NOT_STARTED:
        said.append("it was submitted to wait, and has not been started")
    said += holds(progress.holds, now)[:_MOST]
    said += [f"held by {latch}" for latch in progress.latches[:_MOST]]
    return [*said, *waits(progress)]


def waits(progress: Progress) -> list[str]:
    """What its Tasks wait for; not the pauses that are the Labor's own."""
    known = bool(progress.holds or progress.latches)
    waiting = [task for task in progress.tasks if task.waiting and not (known and task.waiting.startswith("held by "))]
    return [f"{_short(task.name)}: {task.waiting}" for task in waiting[:_MOST]]


def _short(name: str) -> str:
    """What is said of a Task matters more than the end of its name."""
    return name if len(name) <= _NAME else name[: _NAME - 3] + "..."


def half_way(progress: Progress, most: int = 5) -> list[str]:
    """Targets to which something was done, and not all, while nothing goes on with them: `half way: r7 after install, before undrain`."""
    rests = progress.state != State.RUNNING or bool(progress.unattended)
    found: list[HalfWay | Loss] = [one for one in progress.half_way if rests or one.state != State.RUNNING]
    left_out = progress.half_way_count - len(progress.half_way) if rests else 0
    if rests:
        found += [loss for loss in progress.losses if loss.after or (loss.begun and loss.state == State.STOPPED)]
    lines = [f"half way: {one.target} {place(one.after, one.job, one.begun)}" for one in found[:most]]
    more = len(found) - len(lines) + left_out
    return [*lines, *[f"half way: and {more} more"] * (more > 0)]


def retry(waiting: Retry) -> str:
    """Whose it is: `edge-7 upgrade`, `check healthy`."""
    return f"{waiting.target or 'check'} {waiting.job_name or waiting.cog}"


# ---- of a Labor that was read ----


def outline(labor: Labor) -> Progress:
    """What an engine would say of it, from the tree. Of the losses all."""
    losses, resting = [], []
    for task in labor.tasks:
        for sequence in task.sequences:
            if sequence.state in (State.FAILED, State.STOPPED):
                losses.append(_loss(task, sequence))
            elif sequence.started is not None and not sequence.state.ended and not _executes(sequence):
                rest = HalfWay(sequence.id, task.name, sequence.target, sequence.state, *place_of(sequence))
                if rest.job and (rest.after or rest.begun):
                    resting.append(rest)
    every = list(places(labor))
    undecided = [HeldJob(*_whose(one), *_interrupted(one.job)) for one in every if one.job.held]
    return Progress(
        id=labor.id, name=labor.name, state=labor.state, reason=labor.reason, started=labor.started, ended=labor.ended, holds=labor.holds,
        tasks=[outline_of(task) for task in labor.tasks], in_flight=[], in_flight_count=0, losses=losses,
        held=undecided, held_count=len(undecided), half_way=resting, half_way_count=len(resting),
        failed_checks=[_failed_check(one) for one in every if one.sequence is None and one.job.state == State.FAILED],
    )  # fmt: skip


def outline_of(task: Task) -> TaskProgress:
    """A Task that was read."""
    states = Counter(sequence.state for sequence in task.sequences)
    completed, failed, stopped = (states[state] for state in (State.COMPLETED, State.FAILED, State.STOPPED))
    untouched = states[State.NOT_STARTED]
    checks = [*task.pre_checks, *task.cont_checks]
    return TaskProgress(
        id=task.id, name=task.name, state=task.state, reason=task.reason, started=task.started, ended=task.ended,
        sequences=len(task.sequences), under_way=len(task.sequences) - completed - failed - stopped - untouched,
        completed=completed, failed=failed, stopped=stopped, failures=task.failures, tolerated=task.tolerated_number or 0,
        concurrency=task.concurrency_number or 1, checks=len(checks), rounds=max((job.rounds for job in checks), default=0),
        next_round=None, waiting="",
    )  # fmt: skip


def _executes(sequence: Sequence) -> bool:
    return any(job.attempts and job.attempts[-1].ended is None for job in sequence.jobs)


def place_of(sequence: Sequence) -> tuple[str, str, bool]:
    """The last Job that completed, the first that has not, and whether an attempt of that has begun."""
    after = ""
    for job in sequence.jobs:
        if job.state != State.COMPLETED:
            return after, job.name or job.cog_path, job.started is not None
        after = job.name or job.cog_path
    return after, "", False


def _loss(task: Task, sequence: Sequence) -> Loss:
    lost = next((job for job in sequence.jobs if job.state != State.COMPLETED), None)
    error = error_line(lost.error or "") if lost else ""
    return Loss(sequence.id, sequence.target, sequence.state, error, task.name, *place_of(sequence))


def _failed_check(one: Place) -> Loss:
    name = one.job.name or one.job.cog_path
    return Loss(one.job.id, "", one.job.state, error_line(one.job.error or ""), one.task.name, "", name, True)


def _whose(one: Place) -> tuple[str, str, str, str, str, str]:
    target = one.sequence.target if one.sequence else ""
    return one.job.id, one.labor.name, one.task.name, target, one.job.cog_path, one.job.name


def _interrupted(job: Job) -> tuple[int, datetime | None]:
    return (job.attempts[-1].number, job.attempts[-1].started) if job.attempts else (0, None)
