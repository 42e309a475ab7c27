"""From a tree of objects to the document that the core takes, with every fault that only Python can see (S1)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from . import _mistakes
from ._codec import DEEPEST, encoder, sorted_encoder, too_deep
from ._cog import _Cog, find_cog, lost_cog, raise_from_handler, registry
from ._mistakes import is_list
from ._model import Job, Labor, Sequence, Task
from ._plain import TEXT_TYPES
from ._provenance import of_this_program

# Fault.where in the core.
LABOR, TASK, PRE_CHECK, CONT_CHECK, SEQUENCE, JOB = range(6)

Fault = tuple[int, int, int, int, str]
"""Where, the Task's index, the Sequence's, the Job's (or check's), and what is wrong."""
Place = tuple[int, int, int, int]

_NAMED = 5
"""Targets of a Task that stand there twice and are named in a warning."""


def prepare(labor: Labor) -> tuple[bytes, list[Fault], str, bool]:
    """The document, faults, the fingerprint of S3, and whether an async Cog is called. The user's objects stay as they were."""
    if not isinstance(labor, Labor):
        raise TypeError(f"a cogwork.Labor is what can be submitted, not {_mistakes.what_is(labor)}")
    faults: list[Fault] = []
    if not labor.provenance:
        labor = msgspec.structs.replace(labor, provenance=of_this_program())
    document, failed = _document(labor)
    uses_async, fits = _check_args(labor, faults) if document is not None else (False, False)
    if (
        document is None or not fits
    ):  # which part of it is of a wrong kind, or cannot be encoded, is found by a second walk
        faults = []
        labor = _sound(labor, faults)
        if failed is not None and not faults:
            raise failed
        document = encoder.encode(labor)
        uses_async, _ = _check_args(labor, faults, {fault[:4] for fault in faults})
    fingerprint = _fingerprint(labor) if labor.client_id else ""
    return document, faults, fingerprint, uses_async


def twice(labor: Labor) -> list[str]:
    """What to say of a Labor, of the right shape, of which a Task names a target twice (S2): its Sequences may run side by side. Nothing where none
    does."""
    found = []
    for t, task in enumerate(_items(labor.tasks)):
        targets = [sequence.target for sequence in _items(task.sequences) if isinstance(sequence.target, str)]
        if len(set(targets)) == len(targets):
            continue
        many = [(target, count) for target, count in Counter(targets).items() if count > 1]
        named = ", ".join(f"{target!r} ({count} times)" for target, count in many[:_NAMED])
        more = f", and {len(many) - _NAMED} more" if len(many) > _NAMED else ""
        found.append(f"Task[{t}] ({task.name!r}): {named}{more}")
    if not found:
        return []
    return ["a target stands twice in one Task, and its Sequences may run side by side:\n  " + "\n  ".join(found)]


def _document(labor: Labor) -> tuple[bytes | None, Exception | None]:
    """Nothing where it is not of the right shape, or, with the error, cannot be encoded."""
    if not _is_shaped(labor):
        return None, None
    try:
        return encoder.encode(labor), None
    except Exception as error:
        raise_from_handler(error)
        return None, error


def _is_shaped(labor: Labor) -> bool:
    """Whether lists are lists, and hold what they are to hold. It is asked of every Job, so it finds out nothing else."""
    if not (is_list(labor.tasks) and is_list(labor.tags)):
        return False
    for task in _items(labor.tasks):
        if not isinstance(task, Task) or not is_list(task.sequences):
            return False
        for checks in (task.pre_checks, task.cont_checks):
            if not is_list(checks) or not all(map(_is_job, _items(checks))):
                return False
        if any(map(_is_text, (task.cont_check_interval, task.bake, task.entry_delay))):
            return False
        for sequence in _items(task.sequences):
            if not isinstance(sequence, Sequence) or not is_list(sequence.jobs) or not _is_name(sequence.target):
                return False
            if not all(map(_is_job, _items(sequence.jobs))):
                return False
    return True


def _is_job(job: Any) -> bool:
    return (
        isinstance(job, Job)
        and (job.args is None or isinstance(job.args, dict))
        and isinstance(job.cog_path, str)
        and not (_is_text(job.timeout) or _is_text(job.retry_delay) or _is_text(job.retry_max_delay))
    )


def _is_name(target: Any) -> bool:
    return target is None or isinstance(target, (str, *TEXT_TYPES))


def _is_text(duration: Any) -> bool:
    """Whether a length of time is given as a text, and not as that which a timedelta is encoded to."""
    return isinstance(duration, str) and not duration.lstrip("+-").startswith("P")


def _items(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else ()


# ---- args ----


def _check_args(labor: Labor, faults: list[Fault], known: Container[Place] = ()) -> tuple[bool, bool]:
    """Whether an async Cog is called, and whether no args are nested too deep to be read. known: places that have faults already."""
    uses_async, fits = False, True
    last_path: Any = None
    cog: _Cog | None = None
    broken: dict[str, str | None] = {}  # Cogs that cannot be called, whatever the args
    no_check: dict[str, str | None] = {}
    for place, job in _jobs(labor):
        path = job.cog_path
        if path is not last_path:
            last_path = path
            cog = find_cog(path) if isinstance(path, str) else None
            if cog is not None and path not in broken:
                uses_async = uses_async or cog.is_async
                broken[path] = cog.problem()
                no_check[path] = cog.no_check()
            if (lost := lost_cog(path)) is not None:
                faults.append((*place, lost))
        if cog is None or place in known:
            continue
        if place[0] in (PRE_CHECK, CONT_CHECK) and (said := no_check[path]) is not None:
            faults.append((*place, said))
        packed = encoder.encode(job.args or {})
        if too_deep(packed):
            fits = False
        elif problem := broken[path] or cog.check_packed(packed):
            faults.append((*place, problem))
    return uses_async, fits


def _jobs(labor: Labor) -> Iterator[tuple[Place, Job]]:
    """Every Job of a Labor of the right shape, with its place."""
    for t, task in enumerate(_items(labor.tasks)):
        for where, checks in ((PRE_CHECK, task.pre_checks), (CONT_CHECK, task.cont_checks)):
            for j, job in enumerate(_items(checks)):
                yield (where, t, 0, j), job
        for s, sequence in enumerate(_items(task.sequences)):
            for j, job in enumerate(_items(sequence.jobs)):
                yield (JOB, t, s, j), job


def _misfits(name: str, packed: list[bytes]) -> list[tuple[int, str]]:
    """R4: which args of stored Jobs their Cog does not take any more, and why."""
    cog = find_cog(name)
    if cog is None:
        return []
    check = cog.check_packed
    return [(place, problem) for place, args in enumerate(packed) if (problem := check(args))]


registry.set_args_check(_misfits)


# ---- S3: what the user wrote, in one form ----


def _fingerprint(labor: Labor) -> str:
    normal = msgspec.structs.replace(labor, tasks=[_normal_task(task) for task in _items(labor.tasks)], provenance={})
    return hashlib.sha256(sorted_encoder.encode(normal)).hexdigest()


def _normal_task(task: Task) -> Task:
    return msgspec.structs.replace(
        task,
        sequences=[
            msgspec.structs.replace(sequence, jobs=[_normal_job(job) for job in _items(sequence.jobs)])
            for sequence in _items(task.sequences)
        ],
        pre_checks=[_normal_job(job) for job in _items(task.pre_checks)],
        cont_checks=[_normal_job(job) for job in _items(task.cont_checks)],
        **{name: _normal(getattr(task, name)) for name in ("cont_check_interval", "bake", "entry_delay")},
    )


def _normal_job(job: Job) -> Job:
    names = ("timeout", "retry_delay", "retry_max_delay", "retry_backoff")
    return msgspec.structs.replace(job, **{name: _normal(getattr(job, name)) for name in names})


def _normal(value: Any) -> Any:
    """30, 30.0 and timedelta(seconds=30) are one length of time."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


# ---- what is of a wrong kind, or cannot be encoded ----

# They stand where something else stood, so that the core finds nothing more to say of that place.
_JOB = Job("command", {"argv": ["true"]})
_SEQUENCE = Sequence("?", jobs=[_JOB])
_TASK = Task("?", sequences=[_SEQUENCE])


def _sound(labor: Labor, faults: list[Fault]) -> Labor:
    """A copy of the right shape that can be encoded, with a fault for whatever was not so."""
    place = (LABOR, 0, 0, 0)
    tasks = _listed("tasks", labor.tasks, place, faults, _TASK)
    tags = _listed("tags", labor.tags, place, faults, "?")
    tasks = [_sound_task(task, t, faults) for t, task in enumerate(tasks)]
    return _clean(labor, place, faults, {"tasks": tasks, "tags": tags})


def _sound_task(task: Any, t: int, faults: list[Fault]) -> Task:
    place = (TASK, t, 0, 0)
    if not isinstance(task, Task):
        faults.append((*place, _mistakes.not_an_item(Task, task)))
        return _TASK
    below: dict[str, list[Any]] = {}
    for where, field in ((PRE_CHECK, "pre_checks"), (CONT_CHECK, "cont_checks")):
        checks = _listed(field, getattr(task, field), place, faults, _JOB)
        below[field] = [_sound_job(job, (where, t, 0, j), faults) for j, job in enumerate(checks)]
    sequences = _listed("sequences", task.sequences, place, faults, _SEQUENCE)
    below["sequences"] = [_sound_sequence(sequence, t, s, faults) for s, sequence in enumerate(sequences)]
    return _clean(task, place, faults, below)


def _sound_sequence(sequence: Any, t: int, s: int, faults: list[Fault]) -> Sequence:
    place = (SEQUENCE, t, s, 0)
    if not isinstance(sequence, Sequence):
        faults.append((*place, _mistakes.not_an_item(Sequence, sequence)))
        return _SEQUENCE
    target = sequence.target if isinstance(sequence.target, str) else ""
    jobs = _listed("jobs", sequence.jobs, place, faults, _JOB, target)
    jobs = [_sound_job(job, (JOB, t, s, j), faults, target) for j, job in enumerate(jobs)]
    if not _is_name(sequence.target):
        faults.append((*place, _mistakes.not_a_target(sequence.target)))
        return _clean(sequence, place, faults, {"jobs": jobs, "target": _SEQUENCE.target})
    return _clean(sequence, place, faults, {"jobs": jobs})


def _sound_job(job: Any, place: Place, faults: list[Fault], target: str = "") -> Job:
    if not isinstance(job, Job):
        faults.append((*place, _mistakes.not_an_item(Job, job, target)))
        return _JOB
    if not isinstance(job.cog_path, str):
        faults.append((*place, _mistakes.not_a_name(job.cog_path)))
        job = msgspec.structs.replace(job, cog_path=_JOB.cog_path, args=_JOB.args)
    if not (job.args is None or isinstance(job.args, dict)):
        faults.append((*place, _mistakes.not_args(job.args, job.cog_path)))
        job = msgspec.structs.replace(job, args={})
    args = dict(job.args or {})
    for key, item in list(args.items()):
        if (problem := _problem({key: item})) is not None:
            faults.append((*place, f"args: {key!r} cannot be encoded: {problem}"))
            del args[key]
    return _clean(job, place, faults, {"args": args})


def _listed(field: str, value: Any, place: Place, faults: list[Fault], instead: Any, target: str = "") -> list[Any]:
    """The items of a list; of what is none, one that there is nothing to say of."""
    if is_list(value):
        return list(_items(value))
    faults.append((*place, _mistakes.not_a_list(field, value, target)))
    return [instead]


S = TypeVar("S", Labor, Task, Sequence, Job)


def _clean(obj: S, place: Place, faults: list[Fault], sound: dict[str, Any]) -> S:
    """A copy with what is sound already; any other field that cannot be encoded has its default."""
    changes = dict(sound)
    for field in msgspec.structs.fields(obj):
        if field.name in sound:
            continue
        value = getattr(obj, field.name)
        is_text = field.name in _DURATIONS and _is_text(value)
        problem = _mistakes.not_a_duration(value) if is_text else _problem(value)
        if problem is not None:
            changes[field.name] = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            faults.append((*place, f"{field.name}: {problem}"))
    return msgspec.structs.replace(obj, **changes)


_DURATIONS = {"timeout", "retry_delay", "retry_max_delay", "cont_check_interval", "bake", "entry_delay"}


def _problem(value: Any) -> str | None:
    try:
        packed = encoder.encode(value)
    except RecursionError:
        return f"it contains itself, or is nested deeper than {DEEPEST} levels"
    except UnicodeEncodeError:
        return "its text cannot be encoded as UTF-8"
    except Exception as error:
        raise_from_handler(error)
        return str(error) or type(error).__name__
    return f"it is nested deeper than {DEEPEST} levels" if too_deep(packed) else None
