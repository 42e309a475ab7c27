"""Labor, Task, Sequence and Job: both what a user writes and what is read back (M1, M2).

Constructors check nothing; `submit` checks all. What is read is a copy. Durations may be given as seconds or `timedelta` and
read back as `timedelta`; times read back as aware UTC `datetime`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any, TypeVar, Union

import msgspec

from ._errors import LaborFailed

T = TypeVar("T")

Duration = Union[float, timedelta]  # noqa: UP007 - a value, on 3.10 too
"""Seconds, or a timedelta."""


class State(IntEnum):
    """The state of an object; the numbers are M3's."""

    UNKNOWN = 0
    NOT_STARTED = 1
    ADMIN_NOT_STARTED = 2
    RUNNING = 3
    PAUSING = 4
    PAUSED = 5
    ADMIN_PAUSED = 6
    CRISIS_PAUSED = 7
    COMPLETED = 8
    FAILED = 9
    STOPPING = 10
    STOPPED = 11

    @property
    def ended(self) -> bool:
        """COMPLETED, FAILED or STOPPED."""
        return self in (State.COMPLETED, State.FAILED, State.STOPPED)

    @property
    def paused(self) -> bool:
        """PAUSED, ADMIN_PAUSED or CRISIS_PAUSED: nothing executes (G4)."""
        return self in (State.PAUSED, State.ADMIN_PAUSED, State.CRISIS_PAUSED)


class Reason(IntEnum):
    """Why a Task or Labor failed (M4)."""

    NO_FAILURE = 0
    PRE_CHECK_FAILURE = 1
    CONT_CHECK_FAILURE = 2
    MAX_FAILURES = 3


class Signal(IntEnum):
    """What can be sent to a Labor, Task or Sequence (M5)."""

    STOP = 0
    PAUSE = 1
    CRISIS_PAUSE = 2
    ADMIN_PAUSE = 3
    RESUME = 4
    CRISIS_RESUME = 5
    ADMIN_RESUME = 6


class AttemptStatus(IntEnum):
    """How an attempt ended (X8)."""

    OPEN = 0
    """It has not: it is executing."""
    SUCCESS = 1
    FAILURE = 2
    FAILURE_NO_RETRIES = 3
    TIMED_OUT = 4
    CRASHED = 5
    INTERRUPTED = 6
    STOPPED = 7
    WITHDRAWN = 8


class OnInterrupt(str, Enum):
    """What becomes of a Job whose attempt was executing when the process died (R2)."""

    RETRY = "RETRY"
    FAIL = "FAIL"
    HOLD = "HOLD"


class Rank(IntEnum):
    """The rank of a pause, low to high (G5)."""

    NONE = 0
    USER = 1
    ADMIN = 2
    CRISIS = 3


class ChangeKind(IntEnum):
    STATE = 0
    SIGNAL = 1


class Hold(msgspec.Struct, omit_defaults=True):
    """A pause, held where it was sent (G5a)."""

    rank: Rank
    since: datetime | None = None
    by: str = ""
    note: str = ""


class Attempt(msgspec.Struct, omit_defaults=True):
    """One attempt of a Job (X8)."""

    number: int
    """From 1; of a check, within its round."""
    started: datetime | None = None
    ended: datetime | None = None
    status: AttemptStatus = AttemptStatus.OPEN
    output: Any = None
    """What the Cog answered."""
    error: str | None = None
    """What went wrong, with its traceback."""
    log: str = ""
    """What the Cog logged, a line each."""
    round: int = 0
    """Of a check: the round it belongs to, from 1."""
    cut: bool = False
    """Output or error was longer than the engine's max_output, and is cut (X9)."""
    repr: bool = False
    """msgpack cannot hold the output; its repr is kept (X9)."""
    still_running: bool = False
    """It was closed while its call went on: that could not be ended (X8a)."""


class _Object(msgspec.Struct, omit_defaults=True):
    def _shown(self) -> Iterator[tuple[str, Any]]:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if value != field.default and not (value == [] or value == {}):
                yield field.name, value

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(self._shown())

    def __repr__(self) -> str:
        parts = []
        for name, value in self._shown():
            if isinstance(value, list) and value and isinstance(value[0], msgspec.Struct):
                parts.append(f"{name}=[{len(value)}]")
            elif isinstance(value, IntEnum):
                parts.append(f"{name}={value.name}")
            else:
                parts.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Job(_Object, omit_defaults=True):
    """A call of a Cog, with how to call it (X8). What is not given is the Cog's default, else M6's."""

    cog_path: str = ""
    args: dict[str, Any] = {}
    name: str = ""
    desc: str = ""
    timeout: Duration | None = None
    """Bounds each attempt. Default: 5 minutes."""
    retries: int | None = None
    """How often it is tried again. Default: 0."""
    retry_delay: Duration | None = None
    retry_backoff: float | None = None
    """Each delay is that many times the one before. Default: 1."""
    retry_max_delay: Duration | None = None
    on_interrupt: OnInterrupt | None = None
    """After a crash of the engine: RETRY, FAIL or HOLD (R2)."""
    id: str = ""
    state: State = State.NOT_STARTED
    reason: Reason = Reason.NO_FAILURE
    started: datetime | None = None
    ended: datetime | None = None
    held: bool = False
    """It waits for a decision (R2)."""
    rounds: int = 0
    """Of a check: how many rounds it has passed (X11)."""
    attempts: list[Attempt] = []
    output: Any = None
    """The Cog's output, or the error text of the last attempt (X9)."""

    def replace(self, **options: Any) -> Job:
        """The same Job with other options: `job.replace(timeout=60, name="slow one")`."""
        return msgspec.structs.replace(self, **options)

    def as_new(self) -> Job:
        """A fresh copy to submit: without id, state, times and attempts."""
        return _fresh(self, _JOB_RESULTS)

    @property
    def error(self) -> str | None:
        """The error of the last attempt, if it has one."""
        return self.attempts[-1].error if self.attempts else None

    def _repr_html_(self) -> str:
        from ._html import job_html

        return job_html(self)


class Sequence(_Object, omit_defaults=True):
    """The Jobs for one target, run one after another (X7)."""

    target: str = ""
    jobs: list[Job] = []
    name: str = ""
    desc: str = ""
    id: str = ""
    state: State = State.NOT_STARTED
    reason: Reason = Reason.NO_FAILURE
    started: datetime | None = None
    ended: datetime | None = None
    holds: list[Hold] = []

    def __getitem__(self, key: str | int) -> Job:
        """A Job by its name (else its Cog's), or its index."""
        return _pick(self.jobs, key, "Job", lambda job: (job.name, job.cog_path))

    def as_new(self) -> Sequence:
        """A fresh copy to submit."""
        return _fresh(self, _COMMON_RESULTS, jobs=[job.as_new() for job in self.jobs])

    def _repr_html_(self) -> str:
        from ._html import sequence_html

        return sequence_html(self)


class Task(_Object, omit_defaults=True):
    """A step of a Labor: checks, and Sequences that run concurrently (X2-X6)."""

    name: str = ""
    sequences: list[Sequence] = []
    pre_checks: list[Job] = []
    cont_checks: list[Job] = []
    concurrency: int | str = 1
    """How many Sequences at once; a share of them as "10%" (X4a)."""
    tolerated_failures: int | str = 0
    """How many Sequences may fail before no more start; -1: no limit; a share as "10%" (X3, X4a)."""
    strict: bool = False
    """What is in flight counts as if it would fail (X3)."""
    pass_failures: bool = False
    """The next Task starts with this Task's failures (X5)."""
    cont_check_interval: Duration = 30
    bake: Duration = 0
    """How long after the last Sequence the last round of continuous checks begins (X6a)."""
    pause_on_entry: bool = False
    entry_delay: Duration = 0
    desc: str = ""
    id: str = ""
    state: State = State.NOT_STARTED
    reason: Reason = Reason.NO_FAILURE
    started: datetime | None = None
    ended: datetime | None = None
    failures: int = 0
    """Its own and those passed to it (X4, X5)."""
    holds: list[Hold] = []
    concurrency_number: int | None = None
    """What `concurrency` came to, at submit."""
    tolerated_number: int | None = None
    """What `tolerated_failures` came to, at submit."""

    def __getitem__(self, key: str | int) -> Sequence:
        """A Sequence by its target or name, or its index."""
        return _pick(self.sequences, key, "Sequence", lambda sequence: (sequence.target, sequence.name))

    def as_new(self) -> Task:
        """A fresh copy to submit."""
        return _fresh(
            self,
            {*_COMMON_RESULTS, "failures", "concurrency_number", "tolerated_number"},
            sequences=[sequence.as_new() for sequence in self.sequences],
            pre_checks=[job.as_new() for job in self.pre_checks],
            cont_checks=[job.as_new() for job in self.cont_checks],
        )

    def _repr_html_(self) -> str:
        from ._html import task_html

        return task_html(self)


class Failure(msgspec.Struct, frozen=True):
    """Something that was lost: a Sequence that failed or was stopped, or a check that failed."""

    task: str
    target: str
    """Of the Sequence; empty for a check."""
    job: str
    """The Job that decided it."""
    state: State
    error: str
    """The error of its last attempt."""

    def __str__(self) -> str:
        where = f"{self.task}/{self.target}" if self.target else f"{self.task} (check)"
        return f"{where}: {self.job} {self.state.name}{': ' + last_line(self.error) if self.error else ''}"


class Labor(_Object, omit_defaults=True):
    """The whole change: Tasks that run one after another (X1)."""

    name: str = ""
    tasks: list[Task] = []
    tags: list[str] = []
    desc: str = ""
    client_id: str = ""
    """Makes a submit idempotent (S3)."""
    real_user: str = ""
    """On whose behalf it runs."""
    id: str = ""
    state: State = State.NOT_STARTED
    reason: Reason = Reason.NO_FAILURE
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    holds: list[Hold] = []
    cogs: dict[str, str] = {}
    """The Cogs that it calls, as they were at submit: name, and where that came from (R4)."""

    def __getitem__(self, key: str | int) -> Task:
        """A Task by its name, or its index."""
        return _pick(self.tasks, key, "Task", lambda task: (task.name,))

    def failures(self) -> list[Failure]:
        """What was lost, in the order of the tree: failed checks, and Sequences that failed or were stopped."""
        return list(_failures(self))

    def raise_for_state(self) -> Labor:
        """Returns the Labor itself where it is COMPLETED; raises LaborFailed with a recap otherwise."""
        if self.state != State.COMPLETED:
            raise LaborFailed(self)
        return self

    def as_new(self) -> Labor:
        """A fresh copy to submit: without ids, states, times, attempts and client_id."""
        return _fresh(
            self,
            {*_COMMON_RESULTS, "submitted", "client_id", "cogs"},
            tags=list(self.tags),
            tasks=[task.as_new() for task in self.tasks],
        )

    def __str__(self) -> str:
        """A recap that a person can read."""
        from ._recap import recap

        return recap(self)

    def _repr_html_(self) -> str:
        from ._html import labor_html

        return labor_html(self)


class Change(msgspec.Struct, omit_defaults=True, frozen=True):
    """One entry of the history (D7, G9): a change of state, or a signal that was sent."""

    number: int
    """Its place in the store's history."""
    at: datetime
    labor_id: str
    object_id: str
    kind: ChangeKind
    from_state: State
    to_state: State
    reason: Reason = Reason.NO_FAILURE
    signal: Signal | None = None
    """Of a signal."""
    refused: bool = False
    """Of a signal: not allowed, or ignored (G2)."""
    interrupt: bool = False
    rounds: int = 0
    by: str = ""
    note: str = ""


class LaborFilter(msgspec.Struct, omit_defaults=True):
    """Which Labors a search returns (T3). Kinds of filter are AND-ed; an empty one lets all pass."""

    states: list[State] = []
    name_prefix: str = ""
    name_suffix: str = ""
    tags: list[str] = []
    """Any of them."""
    submit_begin: datetime | None = None
    submit_end: datetime | None = None
    """submit_begin <= submitted < submit_end"""
    targets: list[str] = []
    """Any of them is the target of a Sequence."""
    cogs: list[str] = []
    """Any of them is called."""
    newest_first: bool = False
    limit: int | None = None

    def matches(self, labor: Labor) -> bool:
        """Whether a whole Labor passes; order and limit aside."""
        submitted = labor.submitted
        return (
            (not self.states or labor.state in self.states)
            and labor.name.startswith(self.name_prefix)
            and labor.name.endswith(self.name_suffix)
            and (not self.tags or any(tag in self.tags for tag in labor.tags))
            and (self.submit_begin is None or (submitted is not None and submitted >= self.submit_begin))
            and (self.submit_end is None or (submitted is not None and submitted < self.submit_end))
            and (not self.targets or any(s.target in self.targets for t in labor.tasks for s in t.sequences))
            and (not self.cogs or any(job.cog_path in self.cogs for job in all_jobs(labor)))
        )


def all_jobs(labor: Labor) -> Iterator[Job]:
    """Every Job of a Labor in the order of the tree, checks included."""
    for task in labor.tasks:
        yield from task.pre_checks
        yield from task.cont_checks
        for sequence in task.sequences:
            yield from sequence.jobs


def last_line(text: str) -> str:
    """Of a traceback, the line that says what happened."""
    return text.strip().rpartition("\n")[2]


_COMMON_RESULTS = {"id", "state", "reason", "started", "ended", "holds"}
_JOB_RESULTS = {"id", "state", "reason", "started", "ended", "held", "rounds", "attempts", "output"}


def _fresh(obj: T, results: set[str], **changes: Any) -> T:
    names: tuple[str, ...] = obj.__struct_fields__  # type: ignore[attr-defined]
    fields = {f: getattr(obj, f) for f in names if f not in results and f not in changes}
    return type(obj)(**fields, **changes)


def _pick(items: list[T], key: str | int, kind: str, names: Callable[[T], tuple[str, ...]]) -> T:
    if isinstance(key, int):
        return items[key]
    for item in items:
        if key in names(item):
            return item
    known = [name for item in items for name in names(item) if name]
    raise KeyError(f"no {kind} is called {key!r}{did_you_mean(key, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" - did you mean {close[0]!r}?" if close else ""


def _failures(labor: Labor) -> Iterator[Failure]:
    for task in labor.tasks:
        for job in (*task.pre_checks, *task.cont_checks):
            if job.state == State.FAILED:
                yield Failure(task.name, "", job.name or job.cog_path, job.state, job.error or "")
        for sequence in task.sequences:
            if sequence.state not in (State.FAILED, State.STOPPED):
                continue
            lost = next((job for job in sequence.jobs if job.state != State.COMPLETED), None)
            yield Failure(
                task.name,
                sequence.target,
                (lost.name or lost.cog_path) if lost else "",
                sequence.state,
                (lost.error or "") if lost else "",
            )
