"""How things look in a notebook: HTML made from data.

All text is escaped where it is put in; a picture needs no script and nothing from outside, and stays small however many Sequences
there are. Colours of text and lines are the page's own, so that it reads in light and dark; without its style, it reads as plain tables.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from datetime import datetime, timezone
from typing import Any, TypeVar

from ._core import error_line
from ._html_tasks import row_of, row_of_progress, task_table
from ._markup import (
    Html,
    badge,
    block,
    clip,
    dim,
    end_of,
    fold,
    look_of,
    moment_of,
    mono,
    note,
    picture,
    reason_of,
    table,
    tag,
    took,
)
from ._model import Hold, Job, Labor, Reason, Sequence, State, Task
from ._progress import Progress, TaskProgress
from ._provenance import in_words as made_with
from ._summary import half_way, holds, outline, reasons, where
from ._text import clock, date

T = TypeVar("T")

_TASKS = 40  # rows of a Labor's table of Tasks
_LOST = 10
_SEQUENCES = 10  # of each Task, in its fold
_FLIGHTS = 8
_LINE = 300  # characters of a line that a Cog said

_FIRST = {"bad": 0, "hold": 1, "run": 2, "stop": 3, "ok": 4, "idle": 5}  # who is shown where not all are


def notable(items: Seq[T], most: int, state: Callable[[T], State]) -> list[T]:
    """The `most` that are worth seeing - lost, held, under way, then the first - in the order that they have."""
    if len(items) <= most:
        return list(items)
    order = sorted(range(len(items)), key=lambda n: _FIRST[look_of(state(items[n]))])
    return [items[n] for n in sorted(order[:most])]


# ---- whole pictures ----


def labor_html(labor: Labor, remark: str = "") -> str:
    """A Labor: who and when, its Tasks, what was lost, what waits for a decision; each Task's Sequences in a fold."""
    now = datetime.now(timezone.utc)
    told = outline(labor)
    tasks = notable(labor.tasks, _TASKS, lambda task: task.state)
    facts = [labor.desc, " ".join(f"#{tag_}" for tag_ in labor.tags)]
    if labor.real_user:
        facts.append(f"for {labor.real_user}")
    return picture(
        _head(labor.name, labor.state, labor.reason, labor.started, labor.ended, now, "" if labor.id else "not submitted"),
        dim(*facts),
        dim(moment_of("submitted", labor.submitted), moment_of("started", labor.started), moment_of("ended", labor.ended)),
        dim(labor.id, cls="cw-mono"),
        dim(f"made with {made}" if (made := made_with(labor.provenance)) else ""),
        _remark(remark),
        *_why(told),
        task_table([row_of(task) for task in tasks], len(labor.tasks), now),
        *_half_way(told),
        _lost(told),
        *[fold(clip(task.name), _task_body(task, now)) for task in tasks if labor.id and task.sequences],
    )  # fmt: skip


def task_html(task: Task, remark: str = "") -> str:
    """A Task: its bar and budget, its checks, and the Sequences worth seeing."""
    now = datetime.now(timezone.utc)
    return picture(
        _head(task.name, task.state, task.reason, task.started, task.ended, now, "Task"),
        dim(task.desc),
        dim(moment_of("started", task.started), moment_of("ended", task.ended), _settings(task)),
        dim(task.id, cls="cw-mono"),
        _remark(remark),
        *_holds(task.holds),
        task_table([row_of(task)], 1, now, named=False) if task.sequences else None,
        _task_body(task, now),
    )


def sequence_html(sequence: Sequence, remark: str = "") -> str:
    """A Sequence and its Jobs."""
    now = datetime.now(timezone.utc)
    called = sequence.target + (f" ({sequence.name})" if sequence.name and sequence.name != sequence.target else "")
    return picture(
        _head(called, sequence.state, sequence.reason, sequence.started, sequence.ended, now, "Sequence"),
        dim(sequence.desc),
        dim(moment_of("started", sequence.started), moment_of("ended", sequence.ended)),
        dim(sequence.id, cls="cw-mono"),
        _remark(remark),
        *_holds(sequence.holds),
        _job_table(sequence.jobs, now),
    )


def job_html(job: Job) -> str:
    """A Job, its attempts, and the whole of its last error and log."""
    now = datetime.now(timezone.utc)
    attempts = job.attempts[-_SEQUENCES:]
    rows = [
        [
            f"round {a.round}, {a.number}" if a.round else a.number,
            "executing" if a.started and not a.ended else a.status.name,
            clock(a.started) if a.started else "",
            took(a.started, a.ended, now),
            mono(clip(error_line(a.error))) if a.error else _output(a.output) if a.ended else "",
        ]
        for a in attempts
    ]
    last = job.attempts[-1] if job.attempts else None
    return picture(
        _head(job.name or job.cog_path, job.state, job.reason, job.started, job.ended, now, f"Job of {job.cog_path}"),
        dim(job.desc),
        dim(clip(", ".join(f"{key}={value!r:.60}" for key, value in job.args.items())), cls="cw-mono"),
        dim(job.id, cls="cw-mono"),
        _undecided([(job.name or job.cog_path, job.id)], 1) if job.held else None,
        table(("attempt", "", "started", "took", "answered"), rows, len(job.attempts), "before these"),
        fold("error", tag("pre", end_of(last.error))) if last and last.error else None,
        fold("log", tag("pre", end_of(last.log))) if last and last.log else None,
    )


def progress_html(progress: Progress, remark: str = "", now: datetime | None = None, lines: Seq[str] = ()) -> str:
    """A Labor at a moment: Tasks, what is in flight, what was lost, and why nothing moves if nothing does. lines: what its Cogs said last."""
    now = now or datetime.now(timezone.utc)
    tasks = notable(progress.tasks, _TASKS, lambda task: task.state)
    flights = [
        [
            clip(flight.target) or "(check)",
            clip(flight.job_name or flight.cog),
            flight.attempt,
            took(flight.since, None, now),
            "" if flight.fraction is None else f"{flight.fraction:.0%}",
            clip(flight.message),
        ]
        for flight in progress.in_flight[:_FLIGHTS]
    ]
    retries = [
        [
            clip(waits.target) or "(check)",
            clip(waits.job_name or waits.cog),
            waits.attempt,
            took(now, waits.due, now) if waits.due else "",
            mono(clip(waits.error)),
        ]
        for waits in progress.retries[:_FLIGHTS]
    ]
    return picture(
        _head(progress.name, progress.state, progress.reason, progress.started, progress.ended, now),
        dim(progress.id, cls="cw-mono"),
        _remark(remark),
        *_why(progress),
        task_table([row_of_progress(task) for task in tasks], len(progress.tasks), now),
        *_half_way(progress),
        table(("in flight", "job", "attempt", "for", "", ""), flights, progress.in_flight_count, "in flight"),
        table(("retries", "job", "attempt", "in", "error"), retries, progress.retry_count, "retries"),
        _lost(progress),
        tag("pre", "\n".join(clip(line, _LINE) for line in lines)) if lines else None,
    )


def task_progress_html(task: TaskProgress, holds: list[Hold]) -> str:
    """A Task of a Labor that an engine has, at a moment."""
    now = datetime.now(timezone.utc)
    return picture(
        _head(task.name, task.state, task.reason, task.started, task.ended, now, "Task"),
        dim(moment_of("started", task.started), moment_of("ended", task.ended)),
        dim(task.id, cls="cw-mono"),
        *_holds(holds),
        task_table([row_of_progress(task)], 1, now, named=False),
        note("hold", clip(task.waiting)) if task.waiting and not task.state.ended else None,
    )


def labors_html(found: list[Labor], more: bool) -> str:
    """Labors that a search found, without their Tasks."""
    now = datetime.now(timezone.utc)
    rows = [
        [
            tag("b", clip(labor.name)),
            badge(labor.state),
            reason_of(labor.reason),
            date(labor.submitted),
            took(labor.started, labor.ended, now),
            clip(" ".join(map(str, labor.tags))),
            mono(labor.id),
        ]
        for labor in found
    ]
    return picture(
        table(("Labor", "state", "", "submitted", "took", "tags", "id"), rows),
        None if found else tag("div", "no Labor found", cls="cw-dim"),
        tag("div", f"the first {len(found)}; there are more", cls="cw-dim") if more else None,
    )


def remark_html(text: str) -> str:
    """Where there is nothing to show but why."""
    return picture(_remark(text))


# ---- their parts ----


def _task_body(task: Task, now: datetime) -> Html:
    """A Task's checks, and the Sequences worth seeing."""
    checks = [("before", job) for job in task.pre_checks] + [("all the while", job) for job in task.cont_checks]
    shown = notable(checks, _SEQUENCES, lambda pair: pair[1].state)
    rows = [[when, *_job_cells(job, now), job.rounds or ""] for when, job in shown]
    sequences = notable(task.sequences, _SEQUENCES, lambda sequence: sequence.state)
    heads = ("target", "state", "job", "attempts", "took", "answered")
    return block(
        table(("check", "job", "state", "attempts", "took", "answered", "rounds passed"), rows, len(checks), "checks"),
        table(heads, [_sequence_cells(sequence, now) for sequence in sequences], len(task.sequences), "targets"),
    )


def _sequence_cells(sequence: Sequence, now: datetime) -> list[object]:
    """With the Job that it has come to: the one that decided it, or runs."""
    jobs = sequence.jobs
    at = next((job for job in jobs if job.state != State.COMPLETED), jobs[-1] if jobs else None)
    job, _, attempts, _, answered = _job_cells(at, now) if at else [""] * 5
    span = took(sequence.started, sequence.ended, now)
    return [tag("b", clip(sequence.target)), badge(sequence.state), job, attempts, span, answered]


def _job_table(jobs: list[Job], now: datetime) -> Html | None:
    shown = notable(jobs, _TASKS, lambda job: job.state)
    heads = ("job", "state", "attempts", "took", "answered")
    return table(heads, [_job_cells(job, now) for job in shown], len(jobs), "Jobs")


def _job_cells(job: Job, now: datetime) -> list[object]:
    answered: object = ""
    if job.error:
        answered = mono(clip(error_line(job.error)))
    elif job.state == State.COMPLETED:
        answered = _output(job.output)
    return [
        clip(job.name or job.cog_path), badge(job.state), len(job.attempts) or "", took(job.started, job.ended, now), answered,
    ]  # fmt: skip


def _lost(progress: Progress) -> Html | None:
    """What failed, checks too, before what only was stopped."""
    latest = progress.losses[::-1]
    losses = [*progress.failed_checks, *sorted(latest, key=lambda loss: loss.state == State.STOPPED)]
    rows = [
        [
            clip(f"{loss.task} / {loss.target or '(check)'}" if loss.task else loss.target),
            badge(loss.state),
            clip(where(loss)),
            mono(clip(loss.error)),
        ]
        for loss in losses[:_LOST]
    ]
    stopped_or_failed = sum(task.failed + task.stopped for task in progress.tasks)
    of = len(progress.failed_checks) + max(len(progress.losses), stopped_or_failed)
    return table((f"lost: {of}", "", "job", "error"), rows, of, "lost")


def _head(
    name: str,
    state: State,
    reason: Reason,
    started: datetime | None,
    ended: datetime | None,
    now: datetime,
    kind: str = "",
) -> Html:
    return tag(
        "div",
        tag("span", clip(name) or "(no name)", cls="cw-name"),
        " ",
        badge(state),
        " ",
        reason_of(reason),
        " ",
        tag("span", " · ".join(filter(None, [took(started, ended, now), clip(kind)])), cls="cw-dim"),
    )


def _why(progress: Progress) -> list[Html | None]:
    """Why nothing moves, if so."""
    said: list[Html | None] = [note("hold", clip(why)) for why in reasons(progress)]
    if progress.held and not progress.state.ended:
        said.append(_undecided([(str(held), held.job_id) for held in progress.held[:_LOST]], progress.held_count))
    return said


def _half_way(progress: Progress) -> list[Html]:
    return [note("hold", clip(line)) for line in half_way(progress, _LOST)]


def _holds(of: list[Hold]) -> list[Html]:
    return [note("hold", clip(held)) for held in holds(of)[:_LOST]]


def _undecided(jobs: list[tuple[str, str]], count: int) -> Html | None:
    """Names and ids of held Jobs (R2)."""
    if not jobs:
        return None
    rows = [[clip(name), mono(id)] for name, id in jobs]
    why = "executing when the engine ended; each waits for a decision: rerun, completed or failed (engine.decide). Then admin_resume"
    return block(note("hold", why), table(("job", "id"), rows, count, "held"))


def _remark(text: str) -> Html | None:
    return note("idle", text) if text else None


def _settings(task: Task) -> str:
    said = ["strict"] if task.strict else []
    said += ["passes its failures on"] if task.pass_failures else []
    return ", ".join(said)


def _output(output: Any) -> str:
    return "" if output is None else mono(clip(output))
