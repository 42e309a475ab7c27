"""What is known of a running engine and its Labors at a moment: for displays, and for people who ask why nothing moves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from ._codec import from_micros
from ._latch import Latch, latch_from
from ._model import Hold, Rank, Reason, State


class Flight(msgspec.Struct, frozen=True):
    """An attempt that is executing."""

    job_id: str
    """The id of the Job."""
    target: str
    """The Sequence's target; empty for a check."""
    cog: str
    """The Cog that is called."""
    job_name: str
    """The Job's name, where it has one."""
    attempt: int
    """The attempt's number, from 1."""
    since: datetime | None
    """When it began."""
    fraction: float | None
    """What the Cog said by ctx.progress, if anything."""
    message: str
    """What the Cog said beside it."""


class Retry(msgspec.Struct, frozen=True):
    """A Job whose last attempt failed, and that waits for its next one."""

    job_id: str
    """The id of the Job."""
    target: str
    """The Sequence's target; empty for a check."""
    cog: str
    """The Cog that is called."""
    job_name: str
    """The Job's name, where it has one."""
    attempt: int
    """The number of the next attempt."""
    due: datetime | None
    """When it begins, if nothing holds it then."""
    error: str
    """What went wrong, in one line."""


class HalfWay(msgspec.Struct, frozen=True):
    """A Sequence that is under way and executes nothing: something was done to its target, and not all."""

    sequence_id: str
    """The id of the Sequence."""
    task: str
    """The name of its Task."""
    target: str
    """Its target."""
    state: State
    """RUNNING between two Jobs; else what holds or stops it."""
    after: str
    """The last Job that completed; empty: none."""
    job: str
    """The first Job that has not."""
    begun: bool
    """Whether an attempt of that Job has begun."""


class Loss(msgspec.Struct, frozen=True):
    """A Sequence that failed or was stopped; or a check that failed, which has no target."""

    sequence_id: str
    """The id of the Sequence, or of the check."""
    target: str
    """Its target; empty for a check."""
    state: State
    """FAILED or STOPPED."""
    error: str
    """What went wrong, in one line: the type and the first line of the message."""
    task: str = ""
    """The name of its Task."""
    after: str = ""
    """The last Job that completed; empty: none."""
    job: str = ""
    """The first Job that has not: the one that failed, or was stopped."""
    begun: bool = False
    """Whether an attempt of that Job had begun."""


class HeldJob(msgspec.Struct, frozen=True):
    """A Job whose attempt was executing when its engine ended, and of which a person must decide what became of it (R2)."""

    job_id: str
    """The id of the Job, for `engine.decide`."""
    labor_name: str
    """The name of its Labor."""
    task: str
    """The name of its Task."""
    target: str
    """The Sequence's target; empty for a check."""
    cog: str
    """The Cog that was called."""
    job_name: str
    """The Job's name, where it has one."""
    attempt: int
    """The number of the attempt that was interrupted."""
    started: datetime | None
    """When that attempt had begun."""

    @property
    def labor_id(self) -> str:
        """The id of its Labor."""
        return self.job_id[:-8] + "00000000"

    def __str__(self) -> str:
        name = self.job_name or self.cog
        return f"{self.task}/{self.target} {name}" if self.target else f"{self.task} check {name}"


class TaskProgress(msgspec.Struct, frozen=True):
    """How far a Task is."""

    id: str
    name: str
    state: State
    reason: Reason
    started: datetime | None
    ended: datetime | None
    sequences: int
    """How many there are."""
    under_way: int
    """Started and not ended."""
    completed: int
    """Ended COMPLETED."""
    failed: int
    """Ended FAILED."""
    stopped: int
    """Ended STOPPED."""
    failures: int
    """With those passed to it (X5)."""
    tolerated: int
    """-1: no limit."""
    concurrency: int
    """How many may be under way at once."""
    checks: int
    """How many checks it has, of both kinds."""
    rounds: int
    """Rounds of checks that passed."""
    next_round: datetime | None
    """When the next round of continuous checks begins."""
    waiting: str
    """Why nothing (more) starts, in words; empty where things run."""

    @property
    def done(self) -> int:
        """Sequences that have ended, whatever way."""
        return self.completed + self.failed + self.stopped


class Progress(msgspec.Struct, frozen=True):
    """How far a Labor is, at a moment: what `handle.progress()` returns."""

    id: str
    name: str
    state: State
    reason: Reason
    started: datetime | None
    ended: datetime | None
    holds: list[Hold]
    """The Labor's own pauses: who, when, why."""
    tasks: list[TaskProgress]
    """Task by Task, in order."""
    in_flight: list[Flight]
    """At most 100, the oldest first."""
    in_flight_count: int
    """How many attempts are executing."""
    losses: list[Loss]
    """The latest, at most 100."""
    latches: list[Latch] = []
    """The crisis latches that hold it (G8), the one that was set first first; what else they hold is not told here."""
    held: list[HeldJob] = []
    """Jobs that must be decided before it goes on (R2): at most 100, in the order of the tree."""
    held_count: int = 0
    """How many there are of them."""
    retries: list[Retry] = []
    """Jobs that wait for their next attempt: at most 100, the next first."""
    retry_count: int = 0
    """How many there are of them."""
    half_way: list[HalfWay] = []
    """Sequences under way that execute nothing at this moment: at most 100, in the order of the tree."""
    half_way_count: int = 0
    """How many there are of them."""
    failed_checks: list[Loss] = []
    """Checks that failed."""
    unattended: str = ""
    """Why nobody runs it, in words; empty where an engine does, or it has ended."""
    failing: str = ""
    """What keeps the store from taking what the engine writes (D6); empty where nothing does."""
    failing_since: datetime | None = None
    """Since when."""

    @property
    def sequences(self) -> int:
        """Sequences of all Tasks."""
        return sum(task.sequences for task in self.tasks)

    @property
    def done(self) -> int:
        """Sequences that have ended, whatever way."""
        return sum(task.done for task in self.tasks)

    def _repr_html_(self) -> str:
        from ._html import progress_html

        return progress_html(self)


class Counter(msgspec.Struct, frozen=True):
    """How many there are, and how many there were."""

    executing: int
    """Now: started and not ended."""
    processed: int
    """Ended since the engine opened."""


class Workers(msgspec.Struct, frozen=True):
    """Who makes the calls of one kind: of Jobs, of checks, or async ones."""

    threads: int
    """How many threads take calls."""
    idle: int
    """Threads that wait for a call."""
    queued: int
    """Calls that wait for a thread."""
    running: int
    """Calls that are being made."""
    abandoned: int
    """Calls that still go on after their attempt was closed (X8a)."""
    abandoned_ever: int
    """Those since the engine opened."""


class Waiting(msgspec.Struct, frozen=True):
    """A Labor in the store that has not ended and is not taken up (R4)."""

    labor_id: str
    """The id of the Labor."""
    name: str
    """Its name."""
    why: str
    """What it waits for, in words."""
    later: bool = False
    """Whether it waits for `take_up`, and for nothing else that is known (`recover="later"`)."""


class OutdatedProgram(msgspec.Struct, frozen=True):
    """A program of process Cogs whose file has changed, and cannot be used as it is: calls go on with the version before, where that still
    runs (C3)."""

    program: str
    """Its path, as Jobs name it."""
    real_user: str
    """Whom it runs as; empty: the engine's user."""
    why: str
    """What is wrong with the file."""
    since: datetime
    """When that was noticed."""


class Stats(msgspec.Struct, frozen=True):
    """Figures of an engine, since it opened (X12). Checks count as jobs."""

    labors: Counter
    """Labors."""
    tasks: Counter
    """Tasks."""
    sequences: Counter
    """Sequences."""
    jobs: Counter
    """Jobs."""
    queued_jobs: int
    """Jobs that wait for a worker."""
    queued_checks: int
    """Checks that wait for a worker."""
    workers: Workers
    """Who makes plain calls of Jobs."""
    check_workers: Workers
    """Who makes plain calls of checks."""
    async_calls: Workers
    """Calls on the event loop."""
    commands: int
    """Programs that run as attempts of `cogwork.command`."""
    processes: int
    """Processes of process Cogs, whether they have something to do or not."""
    process_calls: int
    """Calls that run in them, those too whose attempt was closed (X8a)."""
    degraded: bool
    """The store fails; work waits (D6)."""
    degraded_reason: str
    """What the store said."""
    degraded_since: datetime | None
    """Since when."""
    failed_writes: int
    """How often a write failed."""
    stuck: list[str]
    """Labors whose own writes fail for good, while others go on."""
    commits: int
    """Commits to the store."""
    commit_units: int
    """What was written by them: several share a commit (D5)."""
    commit_queue: int
    """What waits to be written."""
    waiting: list[Waiting]
    """Labors that are not taken up, and why."""
    steps: int
    """Steps of the machines."""
    held: list[HeldJob] = []
    """Jobs that must be decided before their Labors go on (R2): at most 100."""
    held_count: int = 0
    """How many there are of them."""
    closing: bool = False
    """Whether the engine closes: nothing begins any more."""
    outdated: list[OutdatedProgram] = []
    """Programs of process Cogs whose file cannot be used as it is (C3)."""
    writing_since: datetime | None = None
    """A write to the store is under way, and began then; one that has not returned for many seconds degrades it: it hangs."""
    clock_jumps: int = 0
    """How often the system's clock was set meanwhile, by more than a second. Waits and time-outs do not go by it."""
    clock_jumped: timedelta = timedelta(0)
    """By how much the last time; below zero: backwards."""
    clock_jumped_at: datetime | None = None
    """What the clock said right after it."""
    records_ahead: timedelta = timedelta(0)
    """How far what a Labor had recorded was ahead of the clock when this engine took it up. Its records go on from there."""

    @property
    def abandoned(self) -> int:
        """Calls that still go on after their attempt was closed (X8a)."""
        return self.workers.abandoned + self.check_workers.abandoned + self.async_calls.abandoned


def clock_was_set(jumps: int, by: timedelta) -> str:
    """In words: that somebody, or something, set the system's clock while the engine ran."""
    ahead = f"{abs(by)} {'back' if by < timedelta(0) else 'ahead'}"
    times = "was set" if jumps == 1 else f"was set {jumps} times, the last time"
    return (
        f"the system's clock {times} {ahead} while the engine ran; times in records before and after it do not compare"
    )


def _losses_from(raw: list[dict[str, Any]]) -> list[Loss]:
    return [Loss(**{**loss, "state": State(loss["state"])}) for loss in raw]


def _held_from(raw: dict[str, Any]) -> list[HeldJob]:
    return [HeldJob(**{**held, "started": from_micros(held["started"])}) for held in raw.get("held", [])]


def progress_from(raw: dict[str, Any]) -> Progress:
    return Progress(
        **{
            **raw,
            "state": State(raw["state"]),
            "reason": Reason(raw["reason"]),
            "started": from_micros(raw["started"]),
            "ended": from_micros(raw["ended"]),
            "holds": [Hold(Rank(h["rank"]), from_micros(h["since"]), h["by"], h["note"]) for h in raw["holds"]],
            "tasks": [
                TaskProgress(
                    **{
                        **t,
                        "state": State(t["state"]),
                        "reason": Reason(t["reason"]),
                        "started": from_micros(t["started"]),
                        "ended": from_micros(t["ended"]),
                        "next_round": from_micros(t["next_round"]),
                    }
                )
                for t in raw["tasks"]
            ],
            "in_flight": [Flight(**{**f, "since": from_micros(f["since"])}) for f in raw["in_flight"]],
            "latches": [latch_from(latch) for latch in raw["latches"]],
            "retries": [Retry(**{**r, "due": from_micros(r["due"])}) for r in raw["retries"]],
            "half_way": [HalfWay(**{**h, "state": State(h["state"])}) for h in raw["half_way"]],
            "losses": _losses_from(raw["losses"]),
            "failed_checks": _losses_from(raw["failed_checks"]),
            "failing_since": from_micros(raw["failing_since"]),
            "held": _held_from(raw),
        }
    )


def stats_from(raw: dict[str, Any]) -> Stats:
    return Stats(
        **{
            **raw,
            **{kind: Counter(**raw[kind]) for kind in ("labors", "tasks", "sequences", "jobs")},
            **{kind: Workers(**raw[kind]) for kind in ("workers", "check_workers", "async_calls")},
            "degraded_since": from_micros(raw["degraded_since"]),
            "writing_since": from_micros(raw.get("writing_since")),
            "clock_jumped": timedelta(microseconds=raw.get("clock_jumped", 0)),
            "clock_jumped_at": from_micros(raw.get("clock_jumped_at")),
            "records_ahead": timedelta(microseconds=raw.get("records_ahead", 0)),
            "waiting": [Waiting(**w) for w in raw["waiting"]],
            "outdated": [OutdatedProgram(**{**o, "since": from_micros(o["since"])}) for o in raw.get("outdated", [])],
            "held": _held_from(raw),
        }
    )
