"""Looking back: `--at`, and a store as it stood (D7)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated

import msgspec
import typer

from .. import _core
from .._errors import CogworkError
from .._history import Moment, moment_of, utc
from .._model import Job, Labor, LaborFilter, all_jobs
from .._progress import Flight, Progress, progress_from
from .._storage import BuiltinStorage
from .._text import clock
from ._app import Refused

At = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="WHEN",
        help="As it stood then: a time (10:02:11, 2026-03-01 10:02), or right after the change of that number.",
    ),
]


def moment(text: str) -> Moment:
    """What was typed. Refused where it is no moment."""
    try:
        return utc(text)
    except ValueError as error:
        raise Refused(f"--at: {error}") from None


def in_words(when: Moment) -> str:
    return f"at {clock(when)}" if isinstance(when, datetime) else f"after change {when}"


class Past:
    """A store in which each Labor is as it stood at a moment."""

    def __init__(self, store: BuiltinStorage, when: Moment) -> None:
        self.store = store
        self.when = when

    def search(self, filter: LaborFilter | None = None) -> Iterator[Labor]:
        return self.store.search(filter)

    def read_labor(self, id: str, full: bool = True) -> Labor:
        try:
            return self.store.at(id, self.when)
        except CogworkError:
            raise
        except ValueError as error:
            raise Refused(str(error)) from None

    def time_of(self, labor: Labor) -> datetime:
        """The moment as a time, for what lasts."""
        if isinstance(self.when, datetime):
            return self.when
        change = next(self.store.changes(None, self.when - 1), None) if self.when else None
        return change.at if change else labor.submitted or datetime.now(timezone.utc)

    def progress(self, labor: Labor) -> Progress:
        """How far it was, from the tree as it stood."""
        number, at = moment_of(self.when)
        report = progress_from(msgspec.msgpack.decode(_core.progress_at(self.store.core, labor.id, number, at)))
        tasks = []
        flights: list[Flight] = []
        for task, shown in zip(labor.tasks, report.tasks, strict=True):
            under_way = sum(sequence.started is not None and not sequence.state.ended for sequence in task.sequences)
            tasks.append(msgspec.structs.replace(shown, under_way=under_way))
            flights += (flight for job in (*task.pre_checks, *task.cont_checks) for flight in _flights(job, ""))
            flights += (
                f for sequence in task.sequences for job in sequence.jobs for f in _flights(job, sequence.target)
            )
        flights.sort(key=lambda flight: flight.since or _LONG_AGO)
        # What was executing then was nobody's to decide about: only what is held is.
        held_jobs = {job.id for job in all_jobs(labor) if job.held}
        return msgspec.structs.replace(
            report, tasks=tasks, in_flight=flights[:_MOST], in_flight_count=len(flights),
            held=[held for held in report.held if held.job_id in held_jobs], held_count=len(held_jobs),
        )  # fmt: skip


_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MOST = 100


def _flights(job: Job, target: str) -> Iterator[Flight]:
    if job.attempts and job.attempts[-1].ended is None:
        last = job.attempts[-1]
        yield Flight(job.id, target, job.cog_path, job.name, last.number, last.started, None, "")


__all__ = ["At", "Past", "in_words", "moment"]
