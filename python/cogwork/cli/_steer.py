"""`start`, `pause`, `resume`, `stop`: signals to the engine that owns the store, wherever it runs (G1, G2, G5, G9)."""

from __future__ import annotations

import pathlib
import sys
from typing import Annotated, NamedTuple

import typer

from .._client import Client, connect
from .._model import Job, Labor, Signal, State
from ._app import DB, By, Db, Json, Note, Refused, Status, app, command
from ._ids import Address, complete, find, open_existing
from ._json import put


class Answer(NamedTuple):
    """What became of a signal, or of a start."""

    stored: bool
    done: bool
    applied: bool
    state: State


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID[/TASK[/TARGET]]",
        help="What it is sent to; any unique beginning of an id will do.",
        autocompletion=complete,
    ),
]
Admin = Annotated[bool, typer.Option("--admin", help="At admin rank (G5).")]
Crisis = Annotated[bool, typer.Option("--crisis", help="At crisis rank, the highest.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is done.")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait at most.")]


_PAUSES = {(False, False): Signal.PAUSE, (True, False): Signal.ADMIN_PAUSE, (False, True): Signal.CRISIS_PAUSE}
_RESUMES = {(False, False): Signal.RESUME, (True, False): Signal.ADMIN_RESUME, (False, True): Signal.CRISIS_RESUME}


@app.command()
def start(
    id: Id,
    by: By = None,
    note: Note = "",
    no_wait: NoWait = False,
    timeout: Timeout = None,
    json: Json = False,
    db: Db = DB,
) -> None:
    """Runs a Labor that was submitted to wait for it."""
    _send(id, db, None, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


@app.command()
def pause(
    id: Id, admin: Admin = False, crisis: Crisis = False, by: By = None, note: Note = "",
    no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Nothing new begins; done when nothing executes any more."""
    signal = _at_rank(_PAUSES, admin, crisis)
    _send(id, db, signal, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


@app.command()
def resume(
    id: Id, admin: Admin = False, crisis: Crisis = False, by: By = None, note: Note = "",
    no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Releases a pause of the same rank; what is below goes on."""
    signal = _at_rank(_RESUMES, admin, crisis)
    _send(id, db, signal, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


@app.command()
def stop(
    id: Id, now: Annotated[bool, typer.Option("--now", help="What executes is ended, too.")] = False, by: By = None,
    note: Note = "", no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Nothing new begins, ever; done when what executes has ended."""
    _send(id, db, Signal.STOP, interrupt=now, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


def _at_rank(signals: dict[tuple[bool, bool], Signal], admin: bool, crisis: bool) -> Signal:
    if admin and crisis:
        raise Refused("--admin and --crisis are two ranks; give one of them")
    return signals[admin, crisis]


def _send(
    id: str, db: str, signal: Signal | None, *, by: str | None, note: str, wait: bool, timeout: float | None, json: bool,
    interrupt: bool = False,
) -> None:  # fmt: skip
    """signal None: start."""
    open_existing(db).close()  # says in its own words that there is no such store
    with connect(db) as client:
        address = find(client, id, db)
        if isinstance(address.object, Job):
            raise Refused(f"{address} is a Job; a signal is sent to a Labor, a Task or a Sequence")
        if signal is None:
            answer = _start(client, address, by, note)
        else:
            ack = client.signal(address.id, signal, interrupt=interrupt, by=by, note=note)
            done = not ack.stored and (ack.wait(timeout) if wait else ack.done)
            answer = Answer(ack.stored, done, ack.applied, ack.state)
        unattended = client.engine is None
    word = "START" if signal is None else signal.name
    if json:
        put({"id": address.id, "signal": word, **answer._asdict()})
    else:
        _tell(address, word, answer, db, wait, unattended)
    raise typer.Exit(_status(answer, wait))


def _start(client: Client, address: Address, by: str | None, note: str) -> Answer:
    if address.path:
        raise Refused(f"{address} is no Labor; a Labor is started as a whole")
    handle = client.handle(address.id).start(by=by, note=note)
    stored = handle.state in (State.NOT_STARTED, State.ADMIN_NOT_STARTED)
    return Answer(stored, not stored, not stored, handle.state)


def _status(answer: Answer, wait: bool) -> Status:
    if answer.done:
        return Status.OK if answer.applied else Status.FAILED
    return Status.UNFINISHED if wait and not answer.stored else Status.OK


def _tell(address: Address, word: str, answer: Answer, db: str, wait: bool, unattended: bool) -> None:
    if answer.stored:
        who = f"no engine runs on {db}" if unattended else "it waits for Cogs that the engine does not know"
        print(
            f"{address}: {who}, so {word} is stored; the next engine applies it, or records why not:\n"
            f"  {serve_command(address.labor, db)}"
        )
    elif answer.done and answer.applied:
        print(f"{address}: {answer.state.name}")
    elif answer.done:
        print(f"cogwork: {address}: {word} did nothing; it is {answer.state.name}", file=sys.stderr)
    elif wait:
        print(f"{address}: {word} is taken, and not done yet; {command('watch', address.labor.id[:8], db=db)} shows it")
    else:
        print(f"{address}: {word} is sent")


def serve_command(labor: Labor, db: str) -> str:
    """What goes on with a Labor: `cogwork serve` with the scripts or modules that its Cogs come from."""
    modules = dict.fromkeys(origin.partition(":")[0] for origin in labor.cogs.values())
    words = [f"{name}.py" if pathlib.Path(f"{name}.py").is_file() else name for name in modules if name]
    return command("serve", *(words or ["MODULE"]), db=db)


def nobody(labor: Labor, db: str) -> str:
    return f"no engine runs on {db}; {serve_command(labor, db)} goes on with it"
