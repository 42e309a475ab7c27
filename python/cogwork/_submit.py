"""From a tree of objects to the document that the core takes, with every fault that only Python can see (S1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec

from ._codec import encoder, sorted_encoder
from ._cog import _Cog, find_cog
from ._model import Job, Labor, Sequence, Task

# Fault.where in the core.
LABOR, TASK, PRE_CHECK, CONT_CHECK, SEQUENCE, JOB = range(6)

Fault = tuple[int, int, int, int, str]
"""Where, the Task's index, the Sequence's, the Job's (or check's), and what is wrong."""


def prepare(labor: Labor) -> tuple[bytes, list[Fault], str, bool]:
    """The document, faults, the fingerprint of S3, and whether an async Cog is called. The user's objects stay as they were."""
    if not isinstance(labor, Labor):
        raise TypeError(f"a cogwork.Labor is what can be submitted, not {type(labor).__name__}")
    faults: list[Fault] = []
    try:
        document = encoder.encode(labor)
    except Exception:  # something in it cannot be encoded; which, and where, is found by a second walk
        labor = _encodable(labor, faults)
        document = encoder.encode(labor)
    uses_async = _check_args(labor, faults)
    fingerprint = _fingerprint(labor) if labor.client_id else ""
    return document, faults, fingerprint, uses_async


def _jobs(labor: Labor) -> Iterator[tuple[int, int, int, int, Job]]:
    """Every Job with its place. Whatever is no list, or no Job, is passed over: the core says so when it reads the document."""
    for t, task in enumerate(_items(labor.tasks)):
        if not isinstance(task, Task):
            continue
        for where, checks in ((PRE_CHECK, task.pre_checks), (CONT_CHECK, task.cont_checks)):
            for j, job in enumerate(_items(checks)):
                if isinstance(job, Job):
                    yield where, t, 0, j, job
        for s, sequence in enumerate(_items(task.sequences)):
            if not isinstance(sequence, Sequence):
                continue
            for j, job in enumerate(_items(sequence.jobs)):
                if isinstance(job, Job):
                    yield JOB, t, s, j, job


def _items(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else ()


def _check_args(labor: Labor, faults: list[Fault]) -> bool:
    uses_async = False
    last_path: Any = None
    cog: _Cog | None = None
    broken: dict[str, str | None] = {}  # Cogs that cannot be called, whatever the args
    for where, t, s, j, job in _jobs(labor):
        path = job.cog_path
        if path is not last_path:
            last_path = path
            cog = find_cog(path) if isinstance(path, str) else None
            if cog is not None and path not in broken:
                uses_async = uses_async or cog.is_async
                broken[path] = cog.problem()
        if cog is None or not isinstance(job.args, dict):
            continue
        if problem := broken[path] or cog.check(job.args):
            faults.append((where, t, s, j, problem))
    return uses_async


# ---- S3: what the user wrote, in one form ----


def _fingerprint(labor: Labor) -> str:
    normal = msgspec.structs.replace(
        labor, tasks=[_normal_task(t) if isinstance(t, Task) else t for t in _items(labor.tasks)]
    )
    return hashlib.sha256(sorted_encoder.encode(normal)).hexdigest()


def _normal_task(task: Task) -> Task:
    return msgspec.structs.replace(
        task,
        sequences=[
            msgspec.structs.replace(s, jobs=[_normal_job(j) for j in _items(s.jobs)]) if isinstance(s, Sequence) else s
            for s in _items(task.sequences)
        ],
        pre_checks=[_normal_job(job) for job in _items(task.pre_checks)],
        cont_checks=[_normal_job(job) for job in _items(task.cont_checks)],
        **{name: _normal(getattr(task, name)) for name in ("cont_check_interval", "bake", "entry_delay")},
    )


def _normal_job(job: Job) -> Job:
    if not isinstance(job, Job):
        return job
    names = ("timeout", "retry_delay", "retry_max_delay", "retry_backoff")
    return msgspec.structs.replace(job, **{name: _normal(getattr(job, name)) for name in names})


def _normal(value: Any) -> Any:
    """30, 30.0 and timedelta(seconds=30) are one length of time."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


# ---- what cannot be encoded ----


def _encodable(labor: Labor, faults: list[Fault]) -> Labor:
    """A copy in which whatever cannot be encoded has its default, with a fault for each."""
    tasks = []
    for t, task in enumerate(_items(labor.tasks)):
        if not isinstance(task, Task):
            tasks.append(_plain(task, (TASK, t, 0, 0), faults))
            continue
        sequences = []
        for s, sequence in enumerate(_items(task.sequences)):
            if not isinstance(sequence, Sequence):
                sequences.append(_plain(sequence, (SEQUENCE, t, s, 0), faults))
                continue
            jobs = [_clean(job, (JOB, t, s, j), faults) for j, job in enumerate(_items(sequence.jobs))]
            sequences.append(_clean(sequence, (SEQUENCE, t, s, 0), faults, jobs=jobs))
        tasks.append(
            _clean(
                task,
                (TASK, t, 0, 0),
                faults,
                sequences=sequences,
                pre_checks=[_clean(j, (PRE_CHECK, t, 0, i), faults) for i, j in enumerate(_items(task.pre_checks))],
                cont_checks=[_clean(j, (CONT_CHECK, t, 0, i), faults) for i, j in enumerate(_items(task.cont_checks))],
            )
        )
    clean: Labor = _clean(labor, (LABOR, 0, 0, 0), faults, tasks=tasks)
    return clean


def _clean(obj: Any, place: tuple[int, int, int, int], faults: list[Fault], **below: Any) -> Any:
    if not isinstance(obj, msgspec.Struct):
        return _plain(obj, place, faults)
    changes = dict(below)
    for field in msgspec.structs.fields(obj):
        if field.name in below:
            continue
        value = getattr(obj, field.name)
        if (problem := _problem(value)) is None:
            continue
        changes[field.name] = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        if field.name == "args" and isinstance(value, dict):
            for key, item in value.items():
                if (problem := _problem({key: item})) is not None:
                    faults.append((*place, f"args: {key!r} cannot be encoded: {problem}"))
        else:
            faults.append((*place, f"{field.name}: {problem}"))
    return msgspec.structs.replace(obj, **changes) if changes else obj


def _plain(value: Any, place: tuple[int, int, int, int], faults: list[Fault]) -> Any:
    if (problem := _problem(value)) is None:
        return value
    faults.append((*place, problem))
    return None


def _problem(value: Any) -> str | None:
    try:
        encoder.encode(value)
    except RecursionError:
        return "it contains itself, or is nested too deep"
    except UnicodeEncodeError:
        return "its text cannot be encoded as UTF-8"
    except Exception as error:
        return str(error) or type(error).__name__
    return None
