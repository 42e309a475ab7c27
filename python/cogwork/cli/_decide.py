"""`decide`: what is to become of Jobs whose attempts were executing when their engine ended (R2)."""

from __future__ import annotations

import sys
from typing import Annotated, NamedTuple

import msgspec
import typer

from .. import _advice
from .._advice import DECISIONS, awaits_decision
from .._client import Client, connect
from .._codec import by_whom, text_of
from .._errors import SignalNotAllowed
from .._model import Decision, Job, Labor, Sequence, Task, did_you_mean
from .._steering import decision_of
from .._storage import RecordKind, Storage
from .._text import shown
from ._app import DB, By, Db, Json, Note, Refused, Status, app
from ._ids import complete, find, open_existing
from ._json import put
from ._steer import why_stored
from ._waits import until_stored

_SHARED = 28  # of the 36 letters of an id; the rest is the object's place in its Labor
_MOST = 5


class _Found(NamedTuple):
    """A Job, and how it is called."""

    labor: Labor
    job: Job
    name: str
    task: str

    def __str__(self) -> str:
        return f"'{shown(self.labor.name)}' {self.labor.id[:8]}/{shown(self.name)}"


@app.command()
def decide(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar=f"[ID] {DECISIONS}",
            help="A Job's id, or ID[/TASK[/TARGET]] of what has one such Job in it, with --all more; and what became of the call, or is to.",
            autocompletion=complete,
        ),
    ],
    all: Annotated[bool, typer.Option("--all", help="All undecided Jobs of it.")] = False,
    cog: Annotated[list[str] | None, typer.Option("--cog", metavar="COG", help="With --all: only Jobs that call this; several: any of them.")] = None,
    task: Annotated[list[str] | None, typer.Option("--task", metavar="TASK", help="With --all: only Jobs of this Task; several: any of them.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --all: do not ask back.")] = False,
    by: By = None,
    note: Note = "",
    json: Json = False,
    db: Db = DB,
) -> None:  # fmt: skip
    """Decides about calls that a crash cut off.

    Nobody but you can know what they did: look at the targets first. rerun calls again; completed and failed end the Job so. With no engine
    running, the decision is kept for the next one.
    """
    id, word = _taken_apart(words, db)
    if not all and (cog or task or yes):
        raise Refused("--cog, --task and --yes go with --all, which decides about several Jobs at once")
    open_existing(db).close()  # says in its own words that there is no such store
    with connect(db) as client:
        labor, chosen = _all(client, id, cog or [], task or [], db) if all else _one(client, id, db)
        if all and not yes and sys.stdin.isatty() and sys.stdout.isatty():
            _ask_back(chosen, word)
        refused = _decide(client, labor.id, chosen, word, by, note)
        after = client.read_labor(labor.id)
        why = why_stored(client, labor, db)
        attended = client.engine is not None
    known = stored_decisions(client.store)  # where nobody runs it, they are not in the tree yet
    still = [found for found in _jobs(after) if _awaits(found.job, not why)]
    stored = {found.job.id for found in still if found.job.id in known}
    left = len(still) - len(stored)
    now = {found.job.id: found.job for found in _jobs(after)}
    for found in chosen:
        if json and found.job.id not in refused:
            put(
                {
                    "id": found.job.id, "decision": word.value, "stored": found.job.id in stored,
                    "state": now[found.job.id].state, "left": left,
                }
            )  # fmt: skip
    if not json:
        _tell([found for found in chosen if found.job.id not in refused], word, now, stored, why)
        _tell_next(after, left, bool(stored), why, attended, db)
    for id, error in refused.items():
        print(f"cogwork: {id}: {error}", file=sys.stderr)
    raise typer.Exit(Status.FAILED if refused else Status.OK)


def stored_decisions(store: Storage) -> set[str]:
    """The Jobs about which a decision waits for the engine that takes their Labors up (R1)."""
    words = [decision.value for decision in Decision]
    found = (msgspec.msgpack.decode(value) for value in store.records(RecordKind.SIGNAL).values())
    return {record["object"] for record in found if record.get("decision") in words}


def _taken_apart(words: list[str], db: str) -> tuple[str | None, Decision]:
    """The id, and the decision; who typed them the other way round meant the same."""
    if len(words) > 2:
        raise Refused(f"{' '.join(words)!r} is too much; type an id, and {DECISIONS.replace('|', ', ')}")
    known = [decision.value for decision in Decision]
    if len(words) == 2 and words[0].lower() in known and words[1].lower() not in known:
        words = [words[1], words[0]]
    if len(words) == 1 and words[0].lower() not in known and not did_you_mean(words[0].lower(), known):
        raise Refused(f"say what is to become of it, too:\n  {_advice.decide(words[0], db)}")
    try:
        return words[0] if len(words) == 2 else None, decision_of(words[-1].lower())
    except ValueError as error:
        raise Refused(str(error)) from None


def _decide(
    client: Client, labor_id: str, chosen: list[_Found], word: Decision, by: str | None, note: str
) -> dict[str, SignalNotAllowed]:
    """Those that were refused. Where there is one, its refusal is raised."""
    refused: dict[str, SignalNotAllowed] = {}
    for found in chosen:
        try:
            pending = client._core.decide(found.job.id, word.value, by_whom(by), text_of(note, "note"))
            until_stored(pending, client, labor_id, f"{found.name}: {word.value}")
            pending.result()
        except SignalNotAllowed as error:
            if len(chosen) == 1:
                raise
            refused[found.job.id] = error  # somebody else has decided meanwhile
    return refused


# ---- what is said ----


def _ask_back(chosen: list[_Found], word: Decision) -> None:
    for found in chosen[:_MOST]:
        print(f"  {shown(found.name)}")
    if len(chosen) > _MOST:
        print(f"  and {len(chosen) - _MOST} more")
    one = len(chosen) == 1
    typer.confirm(f"{'This' if one else f'These {len(chosen)}'} {word.value}?", abort=True)


def _tell(chosen: list[_Found], word: Decision, now: dict[str, Job], stored: set[str], why: list[str]) -> None:
    for found in chosen:
        if found.job.id in stored:
            said = f"{why[0] if why else 'it waits'}, so '{word.value}' is stored"
        else:
            said = "runs again" if word == Decision.RERUN else now[found.job.id].state.name
        print(f"{found}: {said}")


def _tell_next(labor: Labor, left: int, stored: bool, why: list[str], attended: bool, db: str) -> None:
    """What follows, and the command for it."""
    if labor.state.ended:
        print(f"the Labor is {labor.state.name}")
    elif left:
        print(
            f"{left} {'Job of it is' if left == 1 else 'Jobs of it are'} still held; the next:\n  {_advice.decide_all(labor.id, db)}"
        )
    elif stored:
        lines = why[1:] if attended else [_advice.go_on(labor, db)]
        print("\n  ".join(["the next engine applies it, or records why not:", *lines]))
    else:
        lines = _advice.releases(labor.id, [], False, labor.holds, db)
        print("\n  ".join(["nothing of it is held any more; it goes on with:", *lines]))


# ---- which ----


def _awaits(job: Job, is_run: bool) -> bool:
    """An open attempt is one that was cut off only where no engine runs the Labor: else it executes."""
    return job.held if is_run else awaits_decision(job)


def _undecided(client: Client, labor: Labor, below: list[_Found], db: str) -> list[_Found]:
    is_run = not why_stored(client, labor, db)
    return [found for found in below if _awaits(found.job, is_run)]


def _jobs(labor: Labor, within: Task | Sequence | None = None) -> list[_Found]:
    found = []
    for task in labor.tasks:
        for check in (*task.pre_checks, *task.cont_checks):
            if within is None or within is task:
                found.append(_Found(labor, check, f"{task.name} check {check.name or check.cog_path}", task.name))
        for sequence in task.sequences:
            if within is None or within is task or within is sequence:
                found += [
                    _Found(labor, job, f"{task.name}/{sequence.target} {job.name or job.cog_path}", task.name)
                    for job in sequence.jobs
                ]
    return found


def _one(client: Client, text: str | None, db: str) -> tuple[Labor, list[_Found]]:
    if text is not None and _SHARED < len(text) < 36 and "/" not in text:
        return _by_beginning(client, text.lower(), db)
    address = find(client, text, db)
    labor = address.labor if address.path else client.read_labor(address.id)
    meant = address.object
    if isinstance(meant, Job):
        return labor, [next(found for found in _jobs(labor) if found.job.id == meant.id)]
    below = _jobs(labor, None if isinstance(meant, Labor) else meant)
    return labor, _only(_undecided(client, labor, below, db), str(address), db, labor)


def _all(client: Client, text: str | None, cogs: list[str], tasks: list[str], db: str) -> tuple[Labor, list[_Found]]:
    address = find(client, text, db)
    labor = address.labor if address.path else client.read_labor(address.id)
    meant = address.object
    if isinstance(meant, Job):
        raise Refused(f"{address} is one Job; --all is for a Labor, a Task or a target")
    below = _jobs(labor, None if isinstance(meant, Labor) else meant)
    for wanted, known, what in (
        (cogs, {f.job.cog_path for f in below}, "Cog"),
        (tasks, {f.task for f in below}, "Task"),
    ):
        for name in wanted:
            if name not in known:
                raise Refused(
                    f"{address} has no {what} {name!r}{did_you_mean(name, known)}; there is {', '.join(sorted(map(shown, known)))}"
                )
    decided = stored_decisions(client.store)
    held = [found for found in _undecided(client, labor, below, db) if found.job.id not in decided]
    chosen = [f for f in held if (not cogs or f.job.cog_path in cogs) and (not tasks or f.task in tasks)]
    if not chosen:
        others = f"; {len(held)} others of it must be" if held else ""
        raise Refused(f"no Job of {address}{' that is meant' if cogs or tasks else ''} must be decided{others}")
    return labor, chosen


def _by_beginning(client: Client, text: str, db: str) -> tuple[Labor, list[_Found]]:
    """An id of which the last letters are missing."""
    labor = client.read_labor(find(client, text[:_SHARED], db).id)
    return labor, _only([found for found in _jobs(labor) if found.job.id.startswith(text)], f"{text!r}", db, labor)


def _only(found: list[_Found], where: str, db: str, labor: Labor) -> list[_Found]:
    if len(found) == 1:
        return found
    if not found:
        raise Refused(f"{where} has no held Job; what it is about:\n  {_advice.show(labor.id, db)}")
    lines = "".join(f"\n  {one.job.id}  {shown(one.name)}" for one in found[:_MOST])
    more = f"\n  and {len(found) - _MOST} more" if len(found) > _MOST else ""
    raise Refused(f"{where} has {len(found)} of them; give the id of one, or --all:{lines}{more}")
