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
from ._moment import utc_of

T = TypeVar("T")

Duration = Union[float, timedelta]  # noqa: UP007 - a value, on 3.10 too
"""Seconds, or a timedelta."""


class State(IntEnum):
    """The state of an object; the numbers are M3's. A Job is only ever NOT_STARTED, RUNNING, COMPLETED, FAILED or STOPPED."""

    UNKNOWN = 0
    """Not known: what an Ack says that is not done yet, and what a search shows of a Labor whose row is damaged: reading it says how."""
    NOT_STARTED = 1
    """Not yet its turn."""
    ADMIN_NOT_STARTED = 2
    """A Labor that was submitted with start=False, until `start` (S5)."""
    RUNNING = 3
    """Under way."""
    PAUSING = 4
    """A pause was taken, and something still executes."""
    PAUSED = 5
    """Paused by `pause`: nothing executes (G4)."""
    ADMIN_PAUSED = 6
    """Paused by `admin_pause`, or by pause_on_entry."""
    CRISIS_PAUSED = 7
    """Paused by `crisis_pause`."""
    COMPLETED = 8
    """Ended well."""
    FAILED = 9
    """Ended badly; `reason` says by what."""
    STOPPING = 10
    """A stop was taken, and something still executes."""
    STOPPED = 11
    """Ended by a STOP, with something left undone (G7)."""

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
    """It has not failed; or it is a Sequence or a Job, whose errors are those of their attempts."""
    PRE_CHECK_FAILURE = 1
    """A pre-check failed (X2)."""
    CONT_CHECK_FAILURE = 2
    """A continuous check failed (X2, X6)."""
    MAX_FAILURES = 3
    """More Sequences were lost than tolerated (X3)."""


class Signal(IntEnum):
    """What can be sent to a Labor, Task or Sequence (M5)."""

    STOP = 0
    """Nothing new begins; it ends when nothing executes any more (G6)."""
    PAUSE = 1
    """Nothing new begins, until RESUME (G4)."""
    CRISIS_PAUSE = 2
    """The pause of the highest rank (G5)."""
    ADMIN_PAUSE = 3
    """A pause of a rank above PAUSE (G5)."""
    RESUME = 4
    """Releases PAUSE."""
    CRISIS_RESUME = 5
    """Releases CRISIS_PAUSE."""
    ADMIN_RESUME = 6
    """Releases ADMIN_PAUSE, and pause_on_entry."""


class AttemptStatus(IntEnum):
    """How an attempt ended (X8)."""

    OPEN = 0
    """It has not: it is executing."""
    SUCCESS = 1
    """The Cog returned; its Job is completed."""
    FAILURE = 2
    """The Cog raised an error, or returned False; tried again where retries are left."""
    FAILURE_NO_RETRIES = 3
    """The Cog raised NoRetry; its Job has failed."""
    TIMED_OUT = 4
    """It took longer than its timeout; tried again, unless the call cannot be ended (X8a)."""
    CRASHED = 5
    """The Cog's process died (X10); counts as FAILURE."""
    INTERRUPTED = 6
    """The engine's process died, or closed, while it executed; on_interrupt decides (R2)."""
    STOPPED = 7
    """A stop with interrupt=True ended it (G3a)."""
    WITHDRAWN = 8
    """A signal came before the Cog was called: it never ran, and uses up no retry (G3)."""


class OnInterrupt(str, Enum):
    """What becomes of a Job whose attempt was executing when the process died (R2)."""

    RETRY = "RETRY"
    """It is called again; that uses up no retry. So it is for Cogs that are `idempotent`, and for checks."""
    FAIL = "FAIL"
    """It fails."""
    HOLD = "HOLD"
    """It is held, and waits for a person: `engine.decide`."""


class Decision(str, Enum):
    """What a person decided about a held Job (R2)."""

    RERUN = "rerun"
    """It is called again; that uses up no retry."""
    COMPLETED = "completed"
    """What it was to do is done: it ends COMPLETED, without a successful attempt."""
    FAILED = "failed"
    """It ends FAILED."""


class Rank(IntEnum):
    """The rank of a pause, low to high (G5)."""

    NONE = 0
    """No pause."""
    USER = 1
    """`pause`."""
    ADMIN = 2
    """`admin_pause`."""
    CRISIS = 3
    """`crisis_pause`."""


class ChangeKind(IntEnum):
    """What an entry of the history is about."""

    STATE = 0
    """A state changed."""
    SIGNAL = 1
    """A signal was sent."""
    DECISION = 2
    """Somebody decided about a held Job (R2)."""
    ENGINE = 3
    """An engine that the Labor concerned opened, closed, or was found dead."""


class EngineEvent(str, Enum):
    """What became of an engine that ran a Labor (D7)."""

    OPENED = "OPENED"
    """It took the Labor up."""
    CLOSED = "CLOSED"
    """It closed in order, and left the Labor."""
    DIED = "DIED"
    """It did not close: the next engine found it dead."""


class Hold(msgspec.Struct, omit_defaults=True):
    """A pause, held where it was sent (G5a)."""

    rank: Rank
    """Which pause."""
    since: datetime | None = None
    """When it was taken."""
    by: str = ""
    """Who sent it."""
    note: str = ""
    """Why, if that was said."""


class Attempt(msgspec.Struct, omit_defaults=True):
    """One attempt of a Job (X8)."""

    number: int
    """From 1; of a check, within its round."""
    started: datetime | None = None
    """When its start was recorded, just before the Cog is called."""
    ended: datetime | None = None
    """When its end was recorded; None while it executes."""
    status: AttemptStatus = AttemptStatus.OPEN
    """How it ended."""
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
    version: str = ""
    """Of the Cog that ran, where it has one: of a process Cog, what its program says, or its file's (C3)."""
    decision: Decision | None = None
    """Of one that was INTERRUPTED and whose Job was held: what a person decided (R2)."""


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
    """A call of a Cog, with how to call it (X8). What is not given is the Cog's default, else M6's.

    `upgrade.job(host="edge-1")` makes one with the Cog's own parameters; this says the same by name:

    >>> cw.Job("upgrade", {"host": "edge-1"}, timeout=60)
    Job(cog_path='upgrade', args={'host': 'edge-1'}, timeout=60)
    """

    cog_path: str = ""
    """The name of the Cog that it calls."""
    args: dict[str, Any] = {}
    """What the Cog is called with, by the names of its parameters."""
    name: str = ""
    """Says which Job this is, in a recap and in `ctx.outputs`; the Cog's name serves where it is empty."""
    desc: str = ""
    """For people."""
    timeout: Duration | None = None
    """Bounds each attempt. Default: 5 minutes."""
    retries: int | None = None
    """How often it is tried again. Default: 0."""
    retry_delay: Duration | None = None
    """From the end of an attempt to the begin of the next. Default: 0."""
    retry_backoff: float | None = None
    """Each delay is that many times the one before. Default: 1."""
    retry_max_delay: Duration | None = None
    """No delay becomes longer than this. Default: no limit."""
    on_interrupt: OnInterrupt | None = None
    """After a crash of the engine: RETRY, FAIL or HOLD (R2)."""
    id: str = ""
    """Given at submit."""
    state: State = State.NOT_STARTED
    """Its state."""
    reason: Reason = Reason.NO_FAILURE
    """Always NO_FAILURE; the errors of a Job are those of its attempts."""
    started: datetime | None = None
    """When its first attempt began."""
    ended: datetime | None = None
    """When its last attempt ended."""
    held: bool = False
    """It waits for a decision (R2)."""
    rounds: int = 0
    """Of a check: how many rounds it has passed (X11)."""
    attempts: list[Attempt] = []
    """All tries, in order; of a check, those of its first and its last rounds (X11)."""
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

    @property
    def decision(self) -> Decision | None:
        """What a person decided about its last attempt (R2). COMPLETED: the Job has no successful attempt. Who and why is in the history."""
        return self.attempts[-1].decision if self.attempts else None

    def _repr_html_(self) -> str:
        from ._html import job_html

        return job_html(self)


class Sequence(_Object, omit_defaults=True):
    """The Jobs for one target, run one after another (X7).

    >>> upgrade, look = cw.Job("upgrade", {"host": "edge-1"}), cw.Job("verify", {"host": "edge-1"}, name="look")
    >>> sequence = cw.Sequence("edge-1", jobs=[upgrade, look])
    >>> sequence["look"].cog_path
    'verify'
    """

    target: str = ""
    """What this is done to: a host, a service. It must not be empty."""
    jobs: list[Job] = []
    """Run in order; the first that does not complete ends the Sequence."""
    name: str = ""
    """For people, and to find it by, beside the target."""
    desc: str = ""
    """For people."""
    id: str = ""
    """Given at submit."""
    state: State = State.NOT_STARTED
    """Its state."""
    reason: Reason = Reason.NO_FAILURE
    """Always NO_FAILURE."""
    started: datetime | None = None
    """When it was entered."""
    ended: datetime | None = None
    """When it ended."""
    holds: list[Hold] = []
    """The pauses that were sent to itself (G5a)."""

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
    """A step of a Labor: checks, and Sequences that run concurrently (X2-X6).

    Eight hosts at a time; it fails when a twentieth of them is lost, or as soon as a check says no:

    >>> task = cw.Task("rest", concurrency=8, tolerated_failures="5%", strict=True,
    ...                cont_checks=[cw.Job("healthy", {"host": "lb"})], cont_check_interval=10)
    >>> for host in ("edge-2", "edge-3"):
    ...     task.sequences.append(cw.Sequence(host, jobs=[cw.Job("upgrade", {"host": host})]))
    >>> task["edge-3"].target
    'edge-3'
    """

    name: str = ""
    """For people, and to find it by: `labor[name]`."""
    sequences: list[Sequence] = []
    """Started in this order."""
    pre_checks: list[Job] = []
    """Jobs that must all complete before a Sequence starts (X2)."""
    cont_checks: list[Job] = []
    """Jobs that run before the first Sequence, in rounds while Sequences run, and once more at the end (X6). One that fails stops
    the Task."""
    concurrency: int | str = 1
    """How many Sequences at once; a share of them as "10%" (X4a)."""
    tolerated_failures: int | str = 0
    """How many Sequences may fail before no more start; -1: no limit; a share as "10%" (X3, X4a)."""
    strict: bool = False
    """What is in flight counts as if it would fail (X3)."""
    pass_failures: bool = False
    """The next Task starts with this Task's failures (X5)."""
    cont_check_interval: Duration = 30
    """From the end of a round of cont_checks to the begin of the next."""
    bake: Duration = 0
    """How long after the last Sequence the last round of continuous checks begins (X6a)."""
    pause_on_entry: bool = False
    """It enters ADMIN_PAUSED, and begins at its ADMIN_RESUME (X2a)."""
    entry_delay: Duration = 0
    """It begins that long after it was entered (X2a)."""
    desc: str = ""
    """For people."""
    id: str = ""
    """Given at submit."""
    state: State = State.NOT_STARTED
    """Its state."""
    reason: Reason = Reason.NO_FAILURE
    """What it failed by."""
    started: datetime | None = None
    """When it was entered."""
    ended: datetime | None = None
    """When it ended."""
    failures: int = 0
    """Its own and those passed to it (X4, X5)."""
    holds: list[Hold] = []
    """The pauses that were sent to itself, or that pause_on_entry made (G5a)."""
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
    """The Task's name."""
    target: str
    """Of the Sequence; empty for a check."""
    job: str
    """The first Job that did not complete: the one that failed, or where it was stopped."""
    state: State
    """FAILED or STOPPED."""
    error: str
    """The error of its last attempt."""
    after: str = ""
    """The last Job that completed; empty: none."""
    begun: bool = False
    """Whether an attempt of `job` had begun."""

    def __str__(self) -> str:
        from ._summary import lost

        return lost(self)


class Labor(_Object, omit_defaults=True):
    """The whole change: Tasks that run one after another (X1).

    >>> @cw.cog
    ... def upgrade(host: str) -> str:
    ...     return f"{host} is upgraded"
    >>> one = cw.Sequence("edge-1", jobs=[upgrade.job(host="edge-1")])
    >>> labor = cw.Labor("edge upgrade", tags=["edge"], tasks=[cw.Task("canary", sequences=[one])])
    >>> with cw.Engine("memory:") as engine:
    ...     done = engine.run(labor)
    >>> done.state.name, done["canary"]["edge-1"]["upgrade"].output
    ('COMPLETED', 'edge-1 is upgraded')

    The Labor that was submitted stays as it was; `done` is the copy that has ids, states and outputs.
    """

    name: str = ""
    """For people, and to search by."""
    tasks: list[Task] = []
    """Run one after another; the first that does not complete ends the Labor."""
    tags: list[str] = []
    """Words to search by; no white space in them."""
    desc: str = ""
    """For people: why."""
    client_id: str = ""
    """Makes a submit idempotent (S3)."""
    real_user: str = ""
    """On whose behalf it runs."""
    id: str = ""
    """Given at submit."""
    state: State = State.NOT_STARTED
    """Its state."""
    reason: Reason = Reason.NO_FAILURE
    """That of the Task that failed it."""
    submitted: datetime | None = None
    """When it was stored."""
    started: datetime | None = None
    """When it began to run."""
    ended: datetime | None = None
    """When it ended."""
    holds: list[Hold] = []
    """The pauses that were sent to itself (G5a)."""
    cogs: dict[str, str] = {}
    """The Cogs that it calls, as they were at submit: name, and where that came from (R4)."""
    provenance: dict[str, str] = {}
    """What it was made with, for people: `file` and its `blob` (the id that git gives those contents), `arguments`, git `revision`, `host`,
    `user`, cogwork's `version`; what is not known is left out. Filled in at submit where it is empty."""

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
        """A fresh copy to submit: without ids, states, times, attempts and client_id. So a Labor that has ended is run again:

        >>> @cw.cog
        ... def greet(name: str) -> str:
        ...     return f"hello, {name}"
        >>> one = cw.Sequence("world", jobs=[greet.job("world")])
        >>> labor = cw.Labor("hello", tasks=[cw.Task("all", sequences=[one])])
        >>> with cw.Engine("memory:") as engine:
        ...     first = engine.run(labor)
        ...     second = engine.run(first.as_new())
        >>> first.id != second.id, second.state.name
        (True, 'COMPLETED')
        """
        return _fresh(
            self,
            {*_COMMON_RESULTS, "submitted", "client_id", "cogs", "provenance"},
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
    """One entry of the history (D7, G9): a change of state, a signal that was sent, a decision about a held Job (R2), or what became of an
    engine."""

    number: int
    """Its place in the store's history."""
    at: datetime
    """When."""
    labor_id: str
    """In which Labor."""
    object_id: str
    """Which object: the Labor itself, a Task, a Sequence or a Job."""
    kind: ChangeKind
    """A change of state, a signal, a decision, or an engine."""
    from_state: State
    """The state before; of what is no change of state, the state that it came in."""
    to_state: State
    """The state after."""
    reason: Reason = Reason.NO_FAILURE
    """Of a change to FAILED."""
    signal: Signal | None = None
    """Of a signal."""
    decision: Decision | None = None
    """Of a decision."""
    event: EngineEvent | None = None
    """Of an engine."""
    sent: datetime | None = None
    """Of a signal, a start or a decision that was stored while no engine ran the Labor (R1): when it was sent. `at` is when it was applied."""
    refused: bool = False
    """Of a signal: not allowed, or ignored (G2). Of a decision: the Job was not held."""
    interrupt: bool = False
    """Of a STOP: executing attempts were to end too (G3a)."""
    rounds: int = 0
    """Of a check: how many rounds it has passed."""
    by: str = ""
    """Who sent the signal, or decided, or caused the change by a signal; of an engine its user."""
    note: str = ""
    """Why, if that was said; of an engine its version, program, process and host."""


class LaborFilter(msgspec.Struct, omit_defaults=True):
    """Which Labors a search returns (T3). Kinds of filter are AND-ed; an empty one lets all pass.

    >>> waiting = cw.LaborFilter(states=[cw.State.ADMIN_NOT_STARTED], name_prefix="edge", limit=10)
    >>> with cw.Engine("memory:") as engine:
    ...     [labor.name for labor in engine.search(waiting)]
    []
    """

    states: list[State] = []
    """Any of them; empty: all."""
    name_prefix: str = ""
    """How the name begins, letter by letter."""
    name_suffix: str = ""
    """How the name ends."""
    tags: list[str] = []
    """Any of them."""
    submit_begin: datetime | None = None
    """submitted >= submit_begin, which is aware: a datetime without a time zone is a ValueError"""
    submit_end: datetime | None = None
    """submitted < submit_end"""
    targets: list[str] = []
    """Any of them is the target of a Sequence."""
    cogs: list[str] = []
    """Any of them is called."""
    newest_first: bool = False
    """The latest first, instead of the earliest."""
    limit: int | None = None
    """At most that many; None: all."""

    def __post_init__(self) -> None:
        utc_of(self.submit_begin, "submit_begin")
        utc_of(self.submit_end, "submit_end")

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


def written(parts: Any, kind: type[T]) -> Iterator[T]:
    """Of what a user wrote where a list belongs, whatever is of that kind: until it is submitted, a tree may be anything."""
    if isinstance(parts, (list, tuple)):
        yield from (part for part in parts if isinstance(part, kind))


_COMMON_RESULTS = {"id", "state", "reason", "started", "ended", "holds"}
JOB_OPTIONS = ("name", "desc", "timeout", "retries", "retry_delay", "retry_backoff", "retry_max_delay", "on_interrupt")
"""What `Job.replace` is mostly called with."""
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
            done = [job for job in sequence.jobs if job.state == State.COMPLETED]
            lost = next((job for job in sequence.jobs if job.state != State.COMPLETED), None)
            yield Failure(
                task.name,
                sequence.target,
                (lost.name or lost.cog_path) if lost else "",
                sequence.state,
                (lost.error or "") if lost else "",
                (done[-1].name or done[-1].cog_path) if done else "",
                lost is not None and lost.started is not None,
            )
