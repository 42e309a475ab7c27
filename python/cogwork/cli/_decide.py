"""`decide`: what is to become of a Job whose attempt was executing when its engine ended (R2)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from .._client import Client, connect
from .._model import AttemptStatus, Decision, Job, Labor, OnInterrupt, Sequence, Task
from .._steering import decision_of
from .._text import shown
from ._app import DB, By, Db, Json, Note, Refused, Status, app, command
from ._ids import complete, find, open_existing
from ._json import put
from ._steer import serve_command

_SHARED = 28  # of the 36 letters of an id; the rest is the object's place in its Labor
_MOST = 5


class _Found(NamedTuple):
    """A Job, and how it is called."""

    labor: Labor
    job: Job
    name: str

    def __str__(self) -> str:
        return f"'{shown(self.labor.name)}' {self.labor.id[:8]}/{shown(self.name)}"


@app.command()
def decide(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="A Job's id; or ID[/TASK[/TARGET]] of what has one held Job in it.",
            autocompletion=complete,
        ),
    ],
    decision: Annotated[str, typer.Argument(metavar="rerun|completed|failed", help="Call it again; or end it so.")],
    by: By = None,
    note: Note = "",
    json: Json = False,
    db: Db = DB,
) -> None:
    """Says what is to become of a held Job: one that was executing when its engine ended."""
    try:
        word = decision_of(decision)
    except ValueError as error:
        raise Refused(str(error)) from None
    open_existing(db).close()  # says in its own words that there is no such store
    with connect(db) as client:
        found = _find(client, job, db)
        client.decide(found.job.id, word, by=by, note=note)
        after = client.read_labor(found.labor.id)
        unattended = client.engine is None
    left = [other for other in _jobs(after) if awaits_decision(other.job)]
    stored = any(other.job.id == found.job.id for other in left)
    now = next(other.job for other in _jobs(after) if other.job.id == found.job.id)
    if json:
        put(
            {
                "id": found.job.id,
                "decision": word.value,
                "stored": stored,
                "state": now.state,
                "left": len(left) - stored,
            }
        )
    elif stored:
        _tell_stored(found, word, db, unattended)
    else:
        _tell(found, word, now, after, len(left), db)
    raise typer.Exit(Status.OK)


def _tell_stored(found: _Found, word: Decision, db: str, unattended: bool) -> None:
    who = f"no engine runs on {db}" if unattended else "its Labor waits for Cogs that the engine does not know"
    print(
        f"{found}: {who}, so '{word.value}' is stored; the next engine applies it, or records why not:\n"
        f"  {serve_command(found.labor, db)}"
    )


def _tell(found: _Found, word: Decision, job: Job, labor: Labor, left: int, db: str) -> None:
    print(f"{found}: {'runs again' if word == Decision.RERUN else job.state.name}")
    if labor.state.ended:
        print(f"the Labor is {labor.state.name}")
    elif left:
        print(
            f"{left} {'Job of it is' if left == 1 else 'Jobs of it are'} still held; {command('show', labor.id[:8], db=db)}"
        )
    else:
        print(f"nothing of it is held any more; {command('resume', '--admin', labor.id[:8], db=db)} goes on with it")


def awaits_decision(job: Job) -> bool:
    """Whether it is held, or will be as soon as an engine takes its Labor up."""
    if job.held:
        return True
    last = job.attempts[-1] if job.attempts else None
    return last is not None and last.status == AttemptStatus.OPEN and job.on_interrupt == OnInterrupt.HOLD


def _jobs(labor: Labor, within: Task | Sequence | None = None) -> list[_Found]:
    found = []
    for task in labor.tasks:
        for check in (*task.pre_checks, *task.cont_checks):
            if within is None or within is task:
                found.append(_Found(labor, check, f"{task.name} check {check.name or check.cog_path}"))
        for sequence in task.sequences:
            if within is None or within is task or within is sequence:
                found += [
                    _Found(labor, job, f"{task.name}/{sequence.target} {job.name or job.cog_path}")
                    for job in sequence.jobs
                ]
    return found


def _find(client: Client, text: str, db: str) -> _Found:
    if _SHARED < len(text) < 36 and "/" not in text:
        return _by_beginning(client, text.lower(), db)
    address = find(client, text, db)
    labor = address.labor if address.path else client.read_labor(address.id)
    meant = address.object
    if isinstance(meant, Job):
        return next(found for found in _jobs(labor) if found.job.id == meant.id)
    below = _jobs(labor, None if isinstance(meant, Labor) else meant)
    return _only([found for found in below if awaits_decision(found.job)], str(address), "held Job")


def _by_beginning(client: Client, text: str, db: str) -> _Found:
    """An id of which the last letters are missing."""
    labor = client.read_labor(find(client, text[:_SHARED], db).id)
    return _only([found for found in _jobs(labor) if found.job.id.startswith(text)], f"{text!r}", "Job")


def _only(found: list[_Found], where: str, what: str) -> _Found:
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"{where} has no {what}; `cogwork show` says what is held")
    lines = "".join(f"\n  {one.job.id}  {shown(one.name)}" for one in found[:_MOST])
    more = f"\n  and {len(found) - _MOST} more" if len(found) > _MOST else ""
    raise Refused(f"{where} has {len(found)} of them; give the id of the {what}:{lines}{more}")
