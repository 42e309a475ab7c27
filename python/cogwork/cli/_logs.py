"""`logs`: what Cogs said, as attempts keep it, and while they say it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import typer

from .._client import Client, connect
from .._errors import CogworkError, EngineClosed
from .._logs import LogLine, Logs, told
from .._model import Attempt, Job, Labor, Task
from .._text import shown
from ._app import DB, Db, Json, Status, app
from ._ids import Address, Id, find, open_existing
from ._json import put

_BEAT = 0.2


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
        while follow and reader.put_new():
            time.sleep(_BEAT)
    raise typer.Exit(Status.OK)


class _Kept(NamedTuple):
    """An attempt, and whose it is."""

    target: str
    job: Job
    attempt: Attempt


class _Reader:
    """First what attempts keep, then what the engine hears; nothing is shown twice."""

    def __init__(self, client: Client, address: Address, json: bool) -> None:
        self._client = client
        self._labor_id = address.labor.id
        self._below = _jobs_below(address)
        self._json = json
        self._feed: Logs | None = None
        self._missed = 0
        self._shown: dict[tuple[str, int], datetime] = {}
        """Until when an attempt was shown, as it keeps it."""

    def put_kept(self) -> None:
        """What there is now. Of attempts that go on the engine tells, or they themselves where none runs."""
        heard = self._hear()
        labor = self._client.read_labor(self._labor_id)
        told_by_engine = {(line.job_id, line.attempt) for line in heard}
        for kept in sorted(_attempts(labor), key=lambda kept: (kept.attempt.started is None, kept.attempt.started)):
            key = kept.job.id, kept.attempt.number
            if kept.attempt.ended is None and key in told_by_engine:
                continue
            if kept.attempt.ended is not None:
                self._shown[key] = kept.attempt.ended
            if self._is_below(kept.job.id):
                for text in (kept.attempt.log or "").splitlines():
                    self._put_kept_line(kept, text)
        self._put_lines(heard)

    def put_new(self) -> bool:
        """What was said since. False where nothing more will be: the Labor has ended, or nobody runs it."""
        try:
            self._put_lines(self._hear())
            if self._client.read_labor(self._labor_id, False).state.ended:
                self._put_lines(self._hear())
                return False
        except EngineClosed:
            return False
        return self._client.engine is not None

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
        missed, self._missed = (
            (self._feed.missed if self._feed else 0) - self._missed,
            self._feed.missed if self._feed else 0,
        )
        if missed > 0 and not self._json:
            print(f"... {missed:,} {'line' if missed == 1 else 'lines'} left out")
        for line in lines:
            shown_until = self._shown.get((line.job_id, line.attempt))
            if not self._is_below(line.job_id) or (shown_until is not None and line.at <= shown_until):
                continue
            if self._json:
                put(
                    {
                        "at": line.at,
                        "target": line.target,
                        "name": line.name,
                        "job_id": line.job_id,
                        "attempt": line.attempt,
                        "text": line.text,
                    }
                )
            else:
                print(told(line), flush=True)

    def _put_kept_line(self, kept: _Kept, text: str) -> None:
        job, number = kept.job, kept.attempt.number
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
