"""`start`, `pause`, `resume`, `stop`: signals to the engine that owns the store, wherever it runs (G1, G2, G5, G9)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._model import Job, Labor, Signal
from ._app import DB, By, Db, Json, Note, Refused, Status, app, command
from ._ids import Address, complete, find, open_existing
from ._json import put

if TYPE_CHECKING:
    from .._client import Client

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


def connect(db: str) -> Client:
    import cogwork

    return cogwork.connect(db)


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
            if address.path:
                raise Refused(f"{address} is no Labor; a Labor is started as a whole")
            ack = client.start(address.id, by=by, note=note)
        else:
            ack = client.signal(address.id, signal, interrupt=interrupt, by=by, note=note)
        word = "START" if signal is None else signal.name
        done = not ack.stored and wait and ack.wait(timeout)
        if json:
            put({"id": address.id, "signal": word, "stored": ack.stored, "done": done, "applied": ack.applied,
                 "state": ack.state})  # fmt: skip
        else:
            _tell(client, address, word, ack, db, wait, done)
        raise typer.Exit(_status(ack, wait, done))


def _status(ack: Any, wait: bool, done: bool) -> Status:
    if ack.stored or not wait:
        return Status.OK
    if not done:
        return Status.UNFINISHED
    return Status.OK if ack.applied else Status.FAILED


def _tell(client: Client, address: Address, word: str, ack: Any, db: str, wait: bool, done: bool) -> None:
    if ack.stored:
        print(
            f"{address}: no engine runs on {db}, so {word} is stored; the next engine applies it, or records why not:\n"
            f"  {serve_command(address.labor, db)}"
        )
    elif not wait:
        print(f"{address}: {word} is sent")
    elif not done:
        print(
            f"{address}: {word} is taken, and not done yet; `{command('watch', address.labor.id[:8], db=db)}` shows it"
        )
    elif ack.applied:
        print(f"{address}: {ack.state.name}")
    else:
        print(f"cogwork: {address}: {word} did nothing; it is {ack.state.name}", file=sys.stderr)


def serve_command(labor: Labor, db: str) -> str:
    """What goes on with a Labor: `cogwork serve` with the scripts or modules that its Cogs come from."""
    import pathlib

    modules = dict.fromkeys(origin.partition(":")[0] for origin in labor.cogs.values())
    words = [f"{name}.py" if pathlib.Path(f"{name}.py").is_file() else name for name in modules if name]
    return command("serve", *(words or ["MODULE"]), db=db)
