"""`logs`: what Cogs said, as attempts keep it, and while they say it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Annotated, Any, NamedTuple

import typer

from .._client import Client, connect
from .._errors import CogworkError, EngineClosed, StoreInUse
from .._logs import LogLine, Logs, told
from .._model import Attempt, Job, Labor, Task
from .._text import shown
from .._waiting import wait_for
from ._app import DB, Db, Json, Status, app, fail
from ._ids import Address, Id, find, open_existing
from ._json import put

_NOTHING = "no Cog has logged or printed anything; the standard logging drops INFO until the script sets a level"
_BEAT = 0.2
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_FIRST = 1.0
"""Seconds for the first that an engine tells."""


@app.command()
def logs(
    id: Id = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="What is said from now on too, until the Labor ends; Ctrl-C leaves.")] = False,
    json: Json = False,
    db: Db = DB,
) -> None:  # fmt: skip
    """What the Cogs of a Labor said.

    What they logged and printed, and the error output of commands: of a Labor, a Task or a target.
    """
    open_existing(db).close()
    with connect(db) as client:
        address = find(client, id, db)
        reader = _Reader(client, address, json)
        reader.put_kept()
        if not address.labor.state.ended:
            _say_who_is_not_heard(client)
        if not (reader.has_put or follow or json):
            print(f"{address}: {_NOTHING}", file=sys.stderr)
        while follow and reader.put_new():
            time.sleep(_BEAT)
    raise typer.Exit(Status.OK)


def _say_who_is_not_heard(client: Client) -> None:
    """What was shown may not be all."""
    try:
        client.engine  # noqa: B018
    except StoreInUse as error:
        fail(error, Status.UNFINISHED)


class _Kept(NamedTuple):
    """An attempt, and whose it is."""

    target: str
    job: Job
    attempt: Attempt


def _key(kept: _Kept) -> tuple[str, int]:
    return kept.job.id, kept.attempt.number


class _Reader:
    """First what attempts keep, then what the engine hears; nothing is shown twice."""

    def __init__(self, client: Client, address: Address, json: bool) -> None:
        self._client = client
        self._labor_id = address.labor.id
        self._below = _jobs_below(address)
        self._json = json
        self.has_put = False
        self._feed: Logs | None = None
        self._missed = 0
        self._shown: dict[tuple[str, int], datetime] = {}
        """Until when an attempt was shown, as it keeps it."""
        self._heard: dict[tuple[str, int], int] = {}
        """How many lines of an attempt were shown as the engine told them."""

    def put_kept(self) -> None:
        """What there is now. Of attempts that go on the engine tells, or they themselves where none runs."""
        heard = self._hear_all()
        labor = self._client.read_labor(self._labor_id)
        told_by_engine = {(line.job_id, line.attempt) for line in heard}
        self._put_attempts(labor, lambda kept: kept.attempt.ended is not None or _key(kept) not in told_by_engine)
        self._put_lines(heard)

    def put_new(self) -> bool:
        """What was said since. False where nothing more will be: the Labor has ended, or nobody runs it."""
        try:
            self._put_lines(self._hear())
        except EngineClosed:
            return False
        labor = self._client.read_labor(self._labor_id, False)
        if labor.state.ended:  # its engine may be gone with the rest of what it heard, which attempts keep
            self._put_attempts(self._client.read_labor(self._labor_id), lambda kept: _key(kept) not in self._shown)
            return False
        return self._client.engine is not None

    def _put_attempts(self, labor: Labor, is_meant: Callable[[_Kept], bool]) -> None:
        """What attempts keep, without what was shown of them already."""
        for kept in sorted(filter(is_meant, _attempts(labor)), key=lambda kept: kept.attempt.started or _LONG_AGO):
            if kept.attempt.ended is not None:
                self._shown[_key(kept)] = kept.attempt.ended
            if self._is_below(kept.job.id):
                for text in (kept.attempt.log or "").splitlines()[self._heard.get(_key(kept), 0) :]:
                    self._put_kept_line(kept, text)

    def _hear_all(self) -> list[LogLine]:
        """What the engine keeps now. It comes piece by piece, and nothing says that none is on its way: it is given a moment."""
        heard = self._hear()
        moment = _FIRST
        while self._feed is not None and wait_for(self._feed._feed.ready(), moment) and (lines := self._hear()):
            heard += lines
            moment = _BEAT
        return heard

    def _hear(self) -> list[LogLine]:
        try:
            if self._feed is None:
                self._feed = self._client.handle(self._labor_id).logs()
            lines = self._feed.poll()
        except EngineClosed:
            self._feed = None  # the next engine has a feed of its own
            return []
        except CogworkError:  # an engine of an older version, which tells no lines
            return []
        return lines

    def _put_lines(self, lines: list[LogLine]) -> None:
        missed = self._feed.missed if self._feed else 0
        if missed > self._missed and not self._json:
            print(f"... {missed - self._missed:,} lines left out")
        self._missed = missed
        for line in lines:
            key = line.job_id, line.attempt
            shown_until = self._shown.get(key)
            if not self._is_below(line.job_id) or (shown_until is not None and line.at <= shown_until):
                continue
            self.has_put = True
            self._heard[key] = self._heard.get(key, 0) + 1
            if self._json:
                put({name: getattr(line, name) for name in ("at", "target", "name", "job_id", "attempt", "text")})
            else:
                print(told(line), flush=True)

    def _put_kept_line(self, kept: _Kept, text: str) -> None:
        job, number = kept.job, kept.attempt.number
        self.has_put = True
        name = job.name or job.cog_path
        if self._json:
            put({"at": None, "target": kept.target, "name": name, "job_id": job.id, "attempt": number, "text": text})
            return
        again = f" (attempt {number})" if number > 1 else ""
        print(f"{shown(kept.target) or 'check'} {shown(name)}{again} | {shown(text)}")

    def _is_below(self, job_id: str) -> bool:
        return self._below is None or job_id in self._below


def _jobs_below(address: Address) -> set[str] | None:
    """None: all of the Labor, and what belongs to no Job."""
    part: Any = address.object
    if isinstance(part, Labor):
        return None
    if isinstance(part, Job):
        return {part.id}
    sequences = part.sequences if isinstance(part, Task) else [part]
    checks = [*part.pre_checks, *part.cont_checks] if isinstance(part, Task) else []
    return {job.id for job in (*checks, *(job for sequence in sequences for job in sequence.jobs))}


def _attempts(labor: Labor) -> Iterator[_Kept]:
    for task in labor.tasks:
        jobs: list[tuple[str, Job]] = [("", check) for check in (*task.pre_checks, *task.cont_checks)]
        jobs += [(sequence.target, job) for sequence in task.sequences for job in sequence.jobs]
        yield from (_Kept(target, job, attempt) for target, job in jobs for attempt in job.attempts)
