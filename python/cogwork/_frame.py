"""`to_frame`: Labors as a table of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Union

from ._codec import to_micros
from ._handle import LaborHandle, TaskHandle
from ._model import AttemptStatus, Labor, Sequence, State, Task
from ._resources import descriptors
from ._search import SearchResult
from ._tree import Place, places

if TYPE_CHECKING:
    import pandas as pd

Source = Union[Labor, Task, LaborHandle, SearchResult, Iterable[Labor]]  # noqa: UP007 - a value, on 3.10 too

KINDS = ("job", "pre_check", "cont_check")
_NO_TIME = -(2**63)  # what numpy takes for NaT


def to_frame(x: Source, what: str = "jobs") -> pd.DataFrame:
    """A DataFrame of a Labor, a Task, a handle, several Labors, or a search result, which is read in full by a search of its own.

    what: "jobs", a row for each Job, checks included; "attempts", a row for each attempt of theirs; "sequences", a row for each Sequence.
    Times are datetime64[us, UTC], durations timedelta64[us]; names that repeat, kinds, states and statuses are categories. Of what has
    not ended, `ended` and `duration` are NaT. Raises ImportError without pandas; ValueError for a Labor that was read without its Tasks.
    """
    if what not in _ROWS:
        raise ValueError(f"what is one of {', '.join(map(repr, _ROWS))}, not {what!r}")
    pandas = _pandas()
    columns, rows = _ROWS[what]
    lists: list[list[Any]] = [[] for _ in columns]
    for row in rows(whole(x)):
        for values, value in zip(lists, row, strict=True):
            values.append(value)
    made = {name: _TYPES[kind](pandas, values) for (name, kind), values in zip(columns.items(), lists, strict=True)}
    frame: pd.DataFrame = pandas.DataFrame(made)
    frame.insert(frame.columns.get_loc("ended") + 1, "duration", frame["ended"] - frame["started"])
    return frame


def whole(x: Source) -> Iterator[Labor]:
    """Labors with their Tasks. A Task stands in a Labor without a name."""
    if isinstance(x, Task):
        yield Labor(tasks=[x])
        return
    if isinstance(x, TaskHandle):
        raise TypeError("a Task's handle reads no Sequences: give its Labor's handle, or labor['task']")
    if isinstance(x, LaborHandle):
        x = x.read()
    if isinstance(x, Labor):
        x = [x]
    elif isinstance(x, SearchResult):
        x = x.read_all()
    for labor in x:
        if not isinstance(labor, Labor):
            raise TypeError(f"expected Labors, got {type(labor).__name__}")
        if labor.id and not labor.tasks:
            raise ValueError(
                f"Labor {labor.name!r} ({labor.id}) was read without its Tasks; give the search result itself, or read_labor(id)"
            )
        yield labor


# ---- rows ----

_WHERE = {
    "labor": "name",
    "labor_id": "name",
    "task": "name",
    "target": "text",
    "sequence": "text",
}
_JOB = {**_WHERE, "job": "name", "job_id": "text", "cog": "name", "kind": "kind"}
_JOBS = {
    **_JOB, "state": "state", "attempts": "count", "rounds": "count", "held": "flag", "started": "time", "ended": "time",
    "output": "object", "error": "text",
}  # fmt: skip
_ATTEMPTS = {
    **_JOB, "round": "count", "number": "count", "status": "status", "started": "time", "ended": "time",
    "output": "object", "error": "text", "log": "text", "cut": "flag", "still_running": "flag",
}  # fmt: skip
_SEQUENCES = {
    **_WHERE, "sequence_id": "text", "state": "state", "jobs": "count", "attempts": "count", "started": "time", "ended": "time",
    "job": "name", "error": "text",
}  # fmt: skip


def _where(labor: Labor, task: Task, sequence: Sequence | None) -> tuple[Any, ...]:
    target, name = (sequence.target, sequence.name or sequence.target) if sequence else (None, None)
    return labor.name or None, labor.id or None, task.name, target, name


def _job(place: Place) -> tuple[Any, ...]:
    job = place.job
    return (
        *_where(place.labor, place.task, place.sequence), job.name or job.cog_path, job.id or None, job.cog_path, place.kind,
    )  # fmt: skip


def _job_rows(labors: Iterator[Labor]) -> Iterator[tuple[Any, ...]]:
    for labor in labors:
        for place in places(labor):
            job = place.job
            yield (
                *_job(place), job.state.name, len(job.attempts), job.rounds, job.held, job.started, job.ended, job.output, job.error,
            )  # fmt: skip


def _attempt_rows(labors: Iterator[Labor]) -> Iterator[tuple[Any, ...]]:
    for labor in labors:
        for place in places(labor):
            for a in place.job.attempts:
                yield (
                    *_job(place), a.round, a.number, a.status.name, a.started, a.ended, a.output, a.error, a.log or None, a.cut,
                    a.still_running,
                )  # fmt: skip


def _sequence_rows(labors: Iterator[Labor]) -> Iterator[tuple[Any, ...]]:
    for labor in labors:
        for task in labor.tasks:
            for s in task.sequences:
                undone = (job for job in s.jobs if job.state != State.COMPLETED)
                lost = next(undone, None) if s.state in (State.FAILED, State.STOPPED) else None
                name = (lost.name or lost.cog_path) if lost else None
                attempts = sum(len(job.attempts) for job in s.jobs)
                yield (
                    *_where(labor, task, s), s.id or None, s.state.name, len(s.jobs), attempts, s.started, s.ended, name,
                    lost.error if lost else None,
                )  # fmt: skip


_ROWS = {
    "jobs": (_JOBS, _job_rows),
    "attempts": (_ATTEMPTS, _attempt_rows),
    "sequences": (_SEQUENCES, _sequence_rows),
}

# ---- types ----


def _pandas() -> Any:
    try:
        with descriptors("pandas"):
            import pandas
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install 'cogwork[notebook]'") from error
    return pandas


def _times(pandas: Any, values: list[datetime | None]) -> Any:
    import numpy

    micros = [_NO_TIME if value is None else to_micros(value) for value in values]
    series = pandas.Series(numpy.array(micros, dtype="int64").view("datetime64[us]"))
    return series.dt.tz_localize("UTC")


def _categories(names: Iterable[str]) -> Any:
    known = list(names)
    return lambda pandas, values: pandas.Series(pandas.Categorical(values, categories=known))


_TYPES: dict[str, Any] = {
    "name": lambda pandas, values: pandas.Series(values, dtype="object").astype("category"),
    "text": lambda pandas, values: pandas.Series(values, dtype="string"),
    "object": lambda pandas, values: pandas.Series(values, dtype="object"),
    "count": lambda pandas, values: pandas.Series(values, dtype="int32"),
    "flag": lambda pandas, values: pandas.Series(values, dtype="bool"),
    "time": _times,
    "kind": _categories(KINDS),
    "state": _categories(state.name for state in State),
    "status": _categories(status.name for status in AttemptStatus),
}
