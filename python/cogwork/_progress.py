"""What is known of a running engine and its Labors at a moment: for displays, and for people who ask why nothing moves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ._codec import from_micros
from ._model import Hold, Rank, Reason, State


class Flight(msgspec.Struct, frozen=True):
    """An attempt that is executing."""

    job_id: str
    target: str
    cog: str
    job_name: str
    attempt: int
    since: datetime | None
    fraction: float | None
    """What the Cog said by ctx.progress, if anything."""
    message: str


class Loss(msgspec.Struct, frozen=True):
    """A Sequence that failed or was stopped."""

    sequence_id: str
    target: str
    state: State
    error: str


class TaskProgress(msgspec.Struct, frozen=True):
    id: str
    name: str
    state: State
    reason: Reason
    started: datetime | None
    ended: datetime | None
    sequences: int
    under_way: int
    completed: int
    failed: int
    stopped: int
    failures: int
    """With those passed to it (X5)."""
    tolerated: int
    """-1: no limit."""
    concurrency: int
    checks: int
    rounds: int
    """Rounds of checks that passed."""
    next_round: datetime | None
    waiting: str
    """Why nothing (more) starts, in words; empty where things run."""

    @property
    def done(self) -> int:
        """Sequences that have ended, whatever way."""
        return self.completed + self.failed + self.stopped


class Progress(msgspec.Struct, frozen=True):
    id: str
    name: str
    state: State
    reason: Reason
    started: datetime | None
    ended: datetime | None
    holds: list[Hold]
    tasks: list[TaskProgress]
    in_flight: list[Flight]
    """At most 100, the oldest first."""
    in_flight_count: int
    losses: list[Loss]
    """The latest, at most 100."""

    @property
    def sequences(self) -> int:
        return sum(task.sequences for task in self.tasks)

    @property
    def done(self) -> int:
        return sum(task.done for task in self.tasks)

    def _repr_html_(self) -> str:
        from ._html import progress_html

        return progress_html(self)


class Counter(msgspec.Struct, frozen=True):
    executing: int
    processed: int


class Workers(msgspec.Struct, frozen=True):
    threads: int
    idle: int
    queued: int
    running: int
    abandoned: int
    """Calls that still go on after their attempt was closed (X8a)."""
    abandoned_ever: int


class Waiting(msgspec.Struct, frozen=True):
    """A Labor in the store that has not ended and is not taken up (R2, R4)."""

    labor_id: str
    name: str
    why: str


class Stats(msgspec.Struct, frozen=True):
    """Figures of an engine, since it opened (X12). Checks count as jobs."""

    labors: Counter
    tasks: Counter
    sequences: Counter
    jobs: Counter
    queued_jobs: int
    """Jobs that wait for a worker."""
    queued_checks: int
    workers: Workers
    check_workers: Workers
    async_calls: Workers
    degraded: bool
    """The store fails; work waits (D6)."""
    degraded_reason: str
    degraded_since: datetime | None
    failed_writes: int
    stuck: list[str]
    """Labors whose own writes fail for good, while others go on."""
    commits: int
    commit_units: int
    commit_queue: int
    waiting: list[Waiting]
    steps: int

    @property
    def abandoned(self) -> int:
        """Calls that still go on after their attempt was closed (X8a)."""
        return self.workers.abandoned + self.check_workers.abandoned + self.async_calls.abandoned


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
            "losses": [Loss(**{**loss, "state": State(loss["state"])}) for loss in raw["losses"]],
        }
    )


def stats_from(raw: dict[str, Any]) -> Stats:
    return Stats(
        **{
            **raw,
            **{kind: Counter(**raw[kind]) for kind in ("labors", "tasks", "sequences", "jobs")},
            **{kind: Workers(**raw[kind]) for kind in ("workers", "check_workers", "async_calls")},
            "degraded_since": from_micros(raw["degraded_since"]),
            "waiting": [Waiting(**w) for w in raw["waiting"]],
        }
    )
