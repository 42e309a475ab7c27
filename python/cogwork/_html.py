"""How things look in a notebook: HTML made from data.

All text is escaped where it is put in; a picture needs no script and nothing from outside, and stays small however many Sequences
there are. Colours of text and lines are the page's own, so that it reads in light and dark; without its style, it reads as plain tables.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from datetime import datetime, timezone
from typing import Any, TypeVar

from ._html_tasks import row_of, row_of_progress, task_table
from ._markup import (
    Html,
    badge,
    block,
    clip,
    clock,
    date,
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
from ._model import Hold, Job, Labor, Reason, Sequence, State, Task, all_jobs, last_line
from ._progress import Progress, TaskProgress

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
    losses = labor.failures()
    tasks = notable(labor.tasks, _TASKS, lambda task: task.state)
    held = [job for job in all_jobs(labor) if job.held]
    facts = [labor.desc, " ".join(f"#{tag_}" for tag_ in labor.tags)]
    if labor.real_user:
        facts.append(f"for {labor.real_user}")
    return picture(
        _head(labor.name, labor.state, labor.reason, labor.started, labor.ended, now, "" if labor.id else "not submitted"),
        dim(*facts),
        dim(moment_of("submitted", labor.submitted), moment_of("started", labor.started), moment_of("ended", labor.ended)),
        dim(labor.id, cls="cw-mono"),
        _remark(remark),
        *_holds(labor.holds),
        _held(held),
        task_table([row_of(task) for task in tasks], len(labor.tasks), now),
        _lost([(loss.task, loss.target or "(check)", loss.job, loss.state, loss.error) for loss in losses], len(losses)),
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
            clock(a.started),
            took(a.started, a.ended, now),
            mono(clip(last_line(end_of(a.error)))) if a.error else _output(a.output) if a.ended else "",
        ]
        for a in attempts
    ]
    last = job.attempts[-1] if job.attempts else None
    return picture(
        _head(job.name or job.cog_path, job.state, job.reason, job.started, job.ended, now, f"Job of {job.cog_path}"),
        dim(job.desc),
        dim(clip(", ".join(f"{key}={value!r:.60}" for key, value in job.args.items())), cls="cw-mono"),
        dim(job.id, cls="cw-mono"),
        _held([job] if job.held else []),
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
    waiting = [task for task in tasks if task.waiting and not progress.state.ended]
    losses = [("", loss.target, "", loss.state, loss.error) for loss in progress.losses[::-1]]
    return picture(
        _head(progress.name, progress.state, progress.reason, progress.started, progress.ended, now),
        dim(progress.id, cls="cw-mono"),
        _remark(remark),
        *[note("hold", clip(f"held by {latch}")) for latch in progress.latches],
        *_holds(progress.holds),
        None
        if progress.state.ended
        else _undecided([(str(h), h.job_id) for h in progress.held[:_LOST]], progress.held_count),
        task_table([row_of_progress(task) for task in tasks], len(progress.tasks), now),
        *[note("hold", tag("b", clip(task.name)), f": {clip(task.waiting)}") for task in waiting],
        table(("in flight", "job", "attempt", "for", "", ""), flights, progress.in_flight_count, "in flight"),
        _lost(losses, sum(task.failed + task.stopped for task in progress.tasks)),
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
        table(("Labor", "state", "", "submitted (UTC)", "took", "tags", "id"), rows),
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
        answered = mono(clip(last_line(end_of(job.error))))
    elif job.state == State.COMPLETED:
        answered = _output(job.output)
    return [
        clip(job.name or job.cog_path), badge(job.state), len(job.attempts) or "", took(job.started, job.ended, now), answered,
    ]  # fmt: skip


def _lost(losses: Seq[tuple[str, str, str, State, str]], of: int) -> Html | None:
    """task, target, job, state and error of each."""
    rows = [
        [
            clip(f"{task} / {target}" if task else target),
            badge(state),
            clip(job),
            mono(clip(last_line(end_of(error)))),
        ]
        for task, target, job, state, error in losses[:_LOST]
    ]
    return table((f"lost: {of}", "", "", "error"), rows, of, "lost")


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


def _holds(holds: list[Hold]) -> list[Html]:
    said = []
    for hold in holds[:_LOST]:
        since = f" since {clock(hold.since)} UTC" if hold.since else ""
        why = f" “{clip(hold.note)}”" if hold.note else ""
        said.append(note("hold", f"held at {hold.rank.name.lower()} rank by {clip(hold.by) or 'somebody'}{since}{why}"))
    return said


def _held(jobs: list[Job]) -> Html | None:
    return _undecided([(job.name or job.cog_path, job.id) for job in jobs[:_LOST]], len(jobs))


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
