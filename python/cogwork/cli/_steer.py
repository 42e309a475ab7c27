"""`start`, `pause`, `resume`, `stop`: signals to the engine that owns the store, wherever it runs (G1, G2, G5, G9)."""

from __future__ import annotations

import re
import sys
from datetime import timezone
from typing import Annotated, NamedTuple

import typer

from .. import _advice
from .._client import Client, connect
from .._codec import by_whom, text_of
from .._errors import EngineClosed, SignalNotAllowed
from .._handle import Ack
from .._model import Job, Labor, Rank, Signal, State
from .._text import clock
from ._app import DB, By, Db, Json, Note, NoWait, Refused, Status, Timeout, app
from ._ids import Address, Id, find, open_existing
from ._json import put
from ._waits import until_done, until_stored, what_of


class Answer(NamedTuple):
    """What became of a signal, or of a start."""

    stored: bool
    done: bool
    applied: bool
    state: State


_FOR_PROGRAMS = re.compile(r"( \(as_new\(\) makes a copy\)|: engine\.\w+\(.*\))$")
"""What a refusal advises programs; a shell has commands of its own for it."""
Admin = Annotated[bool, typer.Option("--admin", help="A stronger pause: only `resume --admin` releases it.")]
Crisis = Annotated[bool, typer.Option("--crisis", help="The strongest pause: only `resume --crisis` releases it.")]
OfAdmin = Annotated[bool, typer.Option("--admin", help="Releases a `pause --admin`, or what an engine holds itself.")]
OfCrisis = Annotated[bool, typer.Option("--crisis", help="Releases a `pause --crisis`; latches: `crisis resume`.")]


_PAUSES = {(False, False): Signal.PAUSE, (True, False): Signal.ADMIN_PAUSE, (False, True): Signal.CRISIS_PAUSE}
_RESUMES = {(False, False): Signal.RESUME, (True, False): Signal.ADMIN_RESUME, (False, True): Signal.CRISIS_RESUME}
_RANK_OF = {Signal.RESUME: Rank.USER, Signal.ADMIN_RESUME: Rank.ADMIN, Signal.CRISIS_RESUME: Rank.CRISIS}


@app.command()
def start(
    id: Id = None, by: By = None, note: Note = "", no_wait: NoWait = False, timeout: Timeout = None,
    json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Runs a Labor that waits to be started."""
    _send(id, db, None, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


@app.command()
def pause(
    id: Id = None, admin: Admin = False, crisis: Crisis = False, by: By = None, note: Note = "",
    no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Nothing new begins, until it is resumed.

    Comes back when nothing executes any more.
    """
    signal = _at_rank(_PAUSES, admin, crisis)
    _send(id, db, signal, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


@app.command()
def resume(
    id: Id = None, admin: OfAdmin = False, crisis: OfCrisis = False, by: By = None, note: Note = "",
    no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Releases a pause.

    What was paused goes on, unless something else holds it.
    """
    signal = _at_rank(_RESUMES, admin, crisis)
    _send(id, db, signal, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


@app.command()
def stop(
    id: Id = None, now: Annotated[bool, typer.Option("--now", help="What executes is ended, too.")] = False, by: By = None,
    note: Note = "", no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Ends a Labor for good.

    Nothing new begins. Comes back when what executes has ended.
    """
    _send(id, db, Signal.STOP, interrupt=now, by=by, note=note, wait=not no_wait, timeout=timeout, json=json)


def _at_rank(signals: dict[tuple[bool, bool], Signal], admin: bool, crisis: bool) -> Signal:
    if admin and crisis:
        raise Refused("--admin and --crisis are two ranks; give one of them")
    return signals[admin, crisis]


def _send(
    id: str | None, db: str, signal: Signal | None, *, by: str | None, note: str, wait: bool, timeout: float | None, json: bool,
    interrupt: bool = False,
) -> None:  # fmt: skip
    """signal None: start."""
    open_existing(db).close()  # says in its own words that there is no such store
    with connect(db) as client:
        address = find(client, id, db)
        if isinstance(address.object, Job):
            raise Refused(f"{address} is a Job; a signal is sent to a Labor, a Task or a Sequence")
        try:
            if signal is None:
                answer = _start(client, address, by, note, timeout)
            else:
                ack = client.signal(address.id, signal, interrupt=interrupt, by=by, note=note)
                done = not ack.stored and (
                    _until_done(client, address, ack, signal.name, timeout, db) if wait else ack.done
                )
                answer = Answer(ack.stored, done, ack.applied, ack.state)
        except SignalNotAllowed as error:
            said = _for_people(client, address.labor.id, error)
            help = what_helps(client, address.labor.id, signal, db)
            raise SignalNotAllowed("\n  ".join([f"{said}. So:", *help] if help else [said])) from None
        why = why_stored(client, address.labor, db) if answer.stored else []
    word = "START" if signal is None else signal.name
    if json:
        put({"id": address.id, "signal": word, **answer._asdict()})
    else:
        _tell(address, word, answer, db, wait, why)
    raise typer.Exit(_status(answer, wait))


def _until_done(client: Client, address: Address, ack: Ack, word: str, timeout: float | None, db: str) -> bool:
    below = address.below()

    def what_for() -> str:
        why = what_of(client, address.labor.id, below)
        return f"{address}: {word} is taken" + (f"; {why}" if why else ", and not done yet")

    stands = f"{address}: {word} stands, and is done when what executes has ended; to see it:\n  {_advice.watch(address.labor.id, db)}"
    return until_done(ack.wait, what_for, stands, timeout)


def _start(client: Client, address: Address, by: str | None, note: str, timeout: float | None) -> Answer:
    if address.path:
        raise Refused(f"{address} is no Labor; a Labor is started as a whole")
    pending = client._core.start(address.id, by_whom(by), text_of(note, "note"))
    if not until_stored(pending, client, address.id, f"{address}: START", timeout):
        return Answer(False, False, False, address.object.state)
    pending.result()
    state = client.handle(address.id).state
    waits = state in (State.NOT_STARTED, State.ADMIN_NOT_STARTED)
    return Answer(waits, not waits, not waits, state)


def _status(answer: Answer, wait: bool) -> Status:
    if answer.done:
        return Status.OK if answer.applied else Status.FAILED
    return Status.UNFINISHED if wait and not answer.stored else Status.OK


def _tell(address: Address, word: str, answer: Answer, db: str, wait: bool, why: list[str]) -> None:
    if answer.stored:
        print(
            "\n  ".join(
                [f"{address}: {why[0]}, so {word} is stored; the next engine applies it, or records why not:", *why[1:]]
            )
        )
    elif answer.done and answer.applied:
        print(f"{address}: {answer.state.name}")
    elif answer.done:
        print(f"cogwork: {address}: {word} did nothing; it is {answer.state.name}", file=sys.stderr)
    elif wait:
        print(f"{address}: {word} is taken, and not done yet; to see it:\n  {_advice.watch(address.labor.id, db)}")
    else:
        print(f"{address}: {word} is sent")


# ---- what helps ----


def _for_people(client: Client, id: str, error: SignalNotAllowed) -> str:
    """A refusal as a shell says it: without what programs call, and with times as they are shown elsewhere; the engine's own are UTC."""
    said = _FOR_PROGRAMS.sub("", str(error))
    progress = client.handle(id).progress()
    held = [(one.by, one.since) for one in progress.holds] + [(one.by, one.since) for one in progress.latches]
    for by, since in held:
        if since is not None:
            said = said.replace(f"by {by} {since.astimezone(timezone.utc):%H:%M}", f"by {by} {clock(since)}", 1)
    return said


def what_helps(client: Client, id: str, signal: Signal | None, db: str) -> list[str]:
    """Commands, in their order, for who met a refusal and wanted a Labor to go on. Empty for others, and for what has ended."""
    labor = client.read_labor(id)
    if labor.state.ended or (signal is not None and signal not in _RANK_OF):
        return []
    if labor.state in (State.NOT_STARTED, State.ADMIN_NOT_STARTED):
        return [] if signal is None else [_advice.start(id, db)]
    progress = client.handle(id).progress()
    if client.engine is None:
        return _advice.way_back(labor, [latch.id for latch in progress.latches], db)
    return _advice.released(progress, db) if progress.state.paused else []


def why_stored(client: Client, labor: Labor, db: str) -> list[str]:
    """Why nobody runs it, and then the commands that help. Empty where somebody does."""
    engine = client.engine
    if engine is None:
        return [f"no engine runs on {db}", _advice.serve_it(labor, db)]
    try:
        waits = next((waits for waits in client.stats().waiting if waits.labor_id == labor.id), None)
    except EngineClosed:
        return [f"no engine runs on {db}", _advice.serve_it(labor, db)]
    if waits is None:
        return []
    if waits.later:
        return [f"the engine of process {engine.pid} was opened for other Labors", _advice.go_on(labor, db)]
    return [f"it waits: {waits.why}", *_advice.restart(engine, _advice.sources(labor), db)]


def nobody(client: Client, id: str, db: str) -> tuple[str, list[str]]:
    """Of a Labor that no engine runs: that it is so, and the commands that help."""
    labor = client.read_labor(id)
    latches = [latch.id for latch in client.crises() if latch.holds(labor)]
    return f"no engine runs on {db}", _advice.way_back(labor, latches, db)
