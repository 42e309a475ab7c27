"""Looking back: `--at`, and a store as it stood (D7)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated

import msgspec
import typer

from .._errors import CogworkError
from .._history import Moment, utc
from .._model import Labor, LaborFilter, all_jobs
from .._progress import Flight, Progress
from .._storage import BuiltinStorage
from .._summary import outline
from .._text import clock, date
from .._tree import Place, places
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
        now = datetime.now(timezone.utc)
        if isinstance(when, datetime) and when > now and when > (self._latest() or now):
            raise Refused(f"--at: {date(when)} is yet to come; it is {date(now)} now")

    def _latest(self) -> datetime | None:
        """When the last change was: it lies ahead where the clock was put back."""
        change = next(self.store.changes(None, max(0, self.store.last_change() - 1)), None)
        return change.at if change else None

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
        flights = [flight for place in places(labor) for flight in _flights(place)]
        flights.sort(key=lambda flight: flight.since or _LONG_AGO)
        return msgspec.structs.replace(outline(labor), in_flight=flights[:_MOST], in_flight_count=len(flights))


def only_held(progress: Progress, labor: Labor) -> Progress:
    """Without the Jobs that merely execute: those are nobody's to decide about, as long as an engine does, or did, run them."""
    held_jobs = {job.id for job in all_jobs(labor) if job.held}
    held = [one for one in progress.held if one.job_id in held_jobs]
    return msgspec.structs.replace(progress, held=held, held_count=len(held_jobs))


_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MOST = 100


def _flights(place: Place) -> Iterator[Flight]:
    job = place.job
    if job.attempts and job.attempts[-1].ended is None:
        last = job.attempts[-1]
        target = place.sequence.target if place.sequence else ""
        yield Flight(job.id, target, job.cog_path, job.name, last.number, last.started, None, "")


__all__ = ["At", "Past", "in_words", "moment", "only_held"]
