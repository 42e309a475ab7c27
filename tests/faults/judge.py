"""What must hold of stored Labors, whatever happened to the engines that ran them; each violation in words (R5, D1-D4, G4, S3, X1-X8).

Two sources. The store says what cogwork knows; and a log outside it, to which every Cog appends a line when it begins and when it has done its
work, says what happened to the world. A line is one write to a file that is opened for appending, so their order is that of the events:

    begin JOB ATTEMPT           a Cog was called
    end JOB ATTEMPT ANSWER      it has done its work (SUCCESS), or has not
    submitted CLIENT LABOR      submit returned
    paused LABOR, resuming LABOR    an ack was done, applied; before a Resume is sent
    stopped OBJECT              the ack of a STOP was done, applied
    deciding JOB WHAT           before a decision about a held Job is sent
"""

from __future__ import annotations

import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Iterator

import cogwork as cw
from cogwork import AttemptStatus, Decision, OnInterrupt, State

ENDED = {State.COMPLETED, State.FAILED, State.STOPPED}
COUNTED = {AttemptStatus.SUCCESS, AttemptStatus.FAILURE, AttemptStatus.TIMED_OUT, AttemptStatus.CRASHED}


def note(log: str | os.PathLike[str], *words: object) -> None:
    """Appends a line, in one write."""
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(fd)


def read_log(log: pathlib.Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def jobs_of(labor: cw.Labor) -> Iterator[cw.Job]:
    """Its Jobs, without checks."""
    for task in labor.tasks:
        for sequence in task.sequences:
            yield from sequence.jobs


def objects_of(labor: cw.Labor) -> Iterator[cw.Labor | cw.Task | cw.Sequence | cw.Job]:
    yield labor
    for task in labor.tasks:
        yield task
        yield from (*task.pre_checks, *task.cont_checks)
        for sequence in task.sequences:
            yield sequence
            yield from sequence.jobs


def wrong_with_tree(labor: cw.Labor) -> Iterator[str]:
    """What no commit may leave behind: a reader sees only such states."""

    def bad(what: str, obj: object) -> str:
        return f"{what}: {type(obj).__name__} {getattr(obj, 'id', '')} {getattr(obj, 'state', '')!r} of {labor.name!r}"

    under_way = 0
    if labor.state == State.COMPLETED and any(task.state != State.COMPLETED for task in labor.tasks):
        yield bad("X1: COMPLETED with a Task that is not", labor)
    for task in labor.tasks:
        begun = [sequence for sequence in task.sequences if sequence.state != State.NOT_STARTED]
        under_way += task.state not in ENDED and task.state != State.NOT_STARTED
        if task.state == State.COMPLETED and any(sequence.state not in ENDED for sequence in task.sequences):
            yield bad("X3: COMPLETED with a Sequence that has not ended", task)
        if task.state in ENDED and any(sequence.state not in ENDED for sequence in begun):
            yield bad("X3: ended with a Sequence under way", task)
        if task.state == State.NOT_STARTED and begun:
            yield bad("X2: not started, with a Sequence that is", task)
        if task.sequences[: len(begun)] != begun:
            yield bad("X3: Sequences did not start in order", task)
        if sum(sequence.state not in ENDED for sequence in begun) > (task.concurrency_number or 0):
            yield bad("X3: too many Sequences at once", task)
        for check in (*task.pre_checks, *task.cont_checks):
            if task.state in ENDED and check.state == State.RUNNING:
                yield bad("X6a: ended with a check that runs", task)
            if begun and check.rounds == 0 and check.state != State.FAILED:
                yield bad("X2: a Sequence started before a check had passed", check)
        for sequence in task.sequences:
            yield from (bad(what, sequence) for what in _wrong_with_sequence(sequence))
    if under_way > 1:
        yield bad("X1: two Tasks at once", labor)
    if labor.state in ENDED and under_way:
        yield bad("X1: ended with a Task under way", labor)


def _wrong_with_sequence(sequence: cw.Sequence) -> Iterator[str]:
    states = [job.state for job in sequence.jobs]
    done = 0
    while done < len(states) and states[done] == State.COMPLETED:
        done += 1
    if any(state != State.NOT_STARTED for state in states[done + 1 :]):
        yield "X7: a Job began before the one before it had completed"
    if sequence.state == State.COMPLETED and done != len(states):
        yield "X7: COMPLETED with a Job that is not"
    if sequence.state in ENDED and State.RUNNING in states:
        yield "X7: ended with a Job that runs"
    if sequence.state == State.FAILED and State.FAILED not in states:
        yield "X7: FAILED without a Job that is"
    for job in sequence.jobs:
        open_attempts = sum(attempt.status == AttemptStatus.OPEN for attempt in job.attempts)
        if open_attempts > (job.state == State.RUNNING):
            yield f"X8: Job {job.id} has an open attempt and is {job.state!r}"
        success = any(attempt.status == AttemptStatus.SUCCESS for attempt in job.attempts)
        if job.state == State.COMPLETED and not success and job.decision != Decision.COMPLETED:
            yield f"R5: Job {job.id} is COMPLETED without a success or a decision"


def wrong_with_job(job: cw.Job, log: list[list[str]]) -> Iterator[str]:
    """R5, R2 and X8 of one Job that has ended. log: its own begins, ends and decisions."""
    begun = Counter(int(words[2]) for words in log if words[0] == "begin")
    worked = {int(words[2]) for words in log if words[0] == "end" and words[3] == "SUCCESS"}
    decided = {words[2] for words in log if words[0] == "deciding"}
    numbers = [attempt.number for attempt in job.attempts]
    successes = [attempt for attempt in job.attempts if attempt.status == AttemptStatus.SUCCESS]
    interrupted = [attempt for attempt in job.attempts if attempt.status == AttemptStatus.INTERRUPTED]

    if numbers != list(range(1, len(numbers) + 1)):
        yield f"X8: attempts are numbered {numbers}"
    for number, times in begun.items():
        if number not in numbers:
            yield f"D2: attempt {number} began, and is not recorded"
        if times > 1:
            yield f"M1: attempt {number} began {times} times"
    if any(attempt.status == AttemptStatus.OPEN for attempt in job.attempts):
        yield "X8: an attempt is still open"
    if job.state == State.COMPLETED:
        if len(successes) > 1:
            yield f"R5: {len(successes)} attempts succeeded"
        if not successes and (job.decision != Decision.COMPLETED or "completed" not in decided):
            yield "R5: COMPLETED without a success, and nobody decided so"
        if successes and successes[0] is not job.attempts[-1]:
            yield "R5: an attempt is recorded after the one that succeeded"
        if successes and max(begun, default=0) > successes[0].number:
            yield "R5: an attempt began after the one that succeeded"
    elif successes:
        yield f"R5: an attempt succeeded, and it is {job.state!r}"
    for attempt in successes:
        if attempt.number not in worked:
            yield f"R5: attempt {attempt.number} is a SUCCESS without its effect"
    if sum(attempt.status in COUNTED for attempt in job.attempts) > 1 + (job.retries or 0):
        yield "X8: it was tried too often"
    if job.on_interrupt == OnInterrupt.FAIL and interrupted:
        if interrupted[0] is not job.attempts[-1]:
            yield "R2: FAIL ran again"
        if job.state != State.FAILED:
            yield f"R2: FAIL was interrupted and is {job.state!r}"
    if job.on_interrupt == OnInterrupt.HOLD:
        for attempt in interrupted:
            if attempt.decision is not None and attempt.decision.value not in decided:
                yield f"R2: {attempt.decision.value} is recorded of attempt {attempt.number}, and nobody decided so"
            if attempt is not job.attempts[-1] and attempt.decision != Decision.RERUN:
                yield "R2: HOLD ran again, and nobody decided so"
        if (
            interrupted
            and interrupted[-1] is job.attempts[-1]
            and interrupted[-1].decision is None
            and job.state != State.STOPPED
        ):
            yield f"R2: HOLD was never decided, and is {job.state!r}"
    elif any(attempt.decision is not None for attempt in interrupted):
        yield "R2: it was never held, and is decided"


def wrong_with_store(store: cw.Storage, log: list[list[str]], ended: bool) -> list[str]:
    """All that is wrong. ended: every Labor must have come to its end."""
    labors = [store.read_labor(found.id) for found in list(store.labors(cw.LaborFilter()))]
    by_job: dict[str, list[list[str]]] = defaultdict(list)
    for words in log:
        if words[0] in ("begin", "end", "deciding"):
            by_job[words[1]].append(words)
    wrong: list[str] = []
    ids: set[str] = set()
    known: dict[str, cw.Job] = {}
    for labor in labors:
        wrong += wrong_with_tree(labor)
        if ended and labor.state not in ENDED:
            wrong.append(f"R5: {labor.name!r} is {labor.state!r} in the end")
        for obj in objects_of(labor):
            if not obj.id or obj.id in ids:
                wrong.append(f"M2: the id {obj.id!r} is there twice, or empty")
            ids.add(obj.id)
        for job in jobs_of(labor):
            known[job.id] = job
            if job.state in ENDED:
                wrong += [f"{what}: Job {job.id} {job.attempts}" for what in wrong_with_job(job, by_job[job.id])]
    for job_id in by_job:
        if job_id not in known:
            wrong.append(f"D1: Job {job_id} began, and is not stored")
    wrong += _broken_promises(labors, log)
    return wrong


def _broken_promises(labors: list[cw.Labor], log: list[list[str]]) -> Iterator[str]:
    states = {obj.id: obj.state for labor in labors for obj in objects_of(labor)}
    labor_of = {job.id: labor.id for labor in labors for job in jobs_of(labor)}
    told: dict[str, str] = {}
    paused: set[str] = set()
    for words in log:
        if words[0] == "submitted":
            client, labor_id = words[1:]
            if told.setdefault(client, labor_id) != labor_id:
                yield f"S3: {client} is {told[client]} and {labor_id}"
            if labor_id not in states:
                yield f"D1: {client} was acknowledged as {labor_id}, and is not stored"
        elif words[0] == "stopped":
            if states.get(words[1]) != State.STOPPED:
                yield f"D4: {words[1]} was acknowledged as STOPPED, and is {states.get(words[1])!r}"
        elif words[0] == "paused":
            paused.add(words[1])
        elif words[0] == "resuming":
            paused.discard(words[1])
        elif words[0] == "begin" and labor_of.get(words[1]) in paused:
            yield f"G4: Job {words[1]} began while its Labor was paused"
    for client, times in Counter(labor.client_id for labor in labors).items():
        if times > 1:
            yield f"S3: {client} is stored {times} times"
