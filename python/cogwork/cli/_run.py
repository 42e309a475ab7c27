"""`run`: a Labor, and what is shown of it until it ends."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from .. import _advice
from .._display import say
from .._errors import EngineClosed, SignalNotAllowed
from .._handle import LaborHandle
from .._model import Labor
from ._app import DB, ClientId, Db, Refused, Status, TakesValues, Workers, app, status_of
from ._hello import say_hello, say_how_to_go_on, say_same_targets, say_what_holds
from ._ids import complete, find, open_existing
from ._load import import_source, load, source_of
from ._place import Place
from ._resume import go_on
from ._signals import Interrupts
from ._watching import Watching

Resume = Annotated[
    str,
    typer.Option(
        "--resume", metavar="ID", autocompletion=complete, help="Goes on with this Labor, which no engine runs any more; FILE: where its Cogs are.",
    ),
]  # fmt: skip


@app.command(cls=TakesValues)
def run(
    what: Annotated[str, typer.Argument(metavar="FILE.py[:NAME]", help="A script or module, and the Labor in it, or a function that makes one.", show_default=False)] = "",
    values: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="For the function, typed by its own hints.")] = None,
    resume: Resume = "",
    client_id: ClientId = "",
    workers: Workers = 64,
    db: Db = DB,
) -> None:  # fmt: skip
    """Runs a Labor and shows it until it ends.

    Ctrl-C pauses it; a second one interrupts what executes. Where another engine has the file already, the Labor runs there, and is shown here.
    """
    words = [what, *(values or [])] if what else []
    if resume:
        raise typer.Exit(_go_on(resume, words, workers, db, bool(client_id)))
    if not what:
        raise Refused(
            f"say what is to be run, or with --resume ID what is to go on:\n  {_advice.run('FILE.py', db=db)}"
        )
    labor = load(what, values or [])
    if client_id:
        labor.client_id = client_id
    script = source_of(what)
    with Interrupts() as interrupts:  # before the Labor may run: from here on Ctrl-C pauses it
        place = Place.find(db, [script], workers, interrupts)
        try:
            say_same_targets(place.steer, labor, db)
            handle = place.submit(labor, interrupts)
            say_hello(place, handle, script)
        except BaseException:
            place.close(interrupts)
            raise
        status = _follow(place, handle.id, script, workers, interrupts)
    raise typer.Exit(status)


def _go_on(id: str, modules: list[str], workers: int, db: str, client_id: bool) -> Status:
    """`--resume`."""
    if client_id:
        raise Refused("--client-id is for a new Labor; leave it out, or --resume")
    if value := next((word for word in modules[1:] if "=" in word), ""):
        raise Refused(f"{value!r} is for a new Labor; --resume goes on with one as it was submitted")
    with open_existing(db) as store:
        address = find(store, id, db)
        if address.path:
            raise Refused(f"{address} is a part of a Labor; what is gone on with is a Labor: {address.labor.id[:8]}")
        labor = store.read_labor(address.id)
    if labor.state.ended:
        say(f"Labor '{labor.name}' {labor.id[:8]} has ended: {labor.state.name}")
        return status_of(labor.state)
    for module in modules or _advice.sources(labor):
        import_source(source_of(module))
    script = source_of(modules[0]) if modules else ""
    with Interrupts() as interrupts:
        place = Place.find(db, modules or _advice.sources(labor), workers, interrupts)
        try:
            handle = go_on(place, labor)
            say_hello(place, handle, script)
            say_what_holds(place, handle)
        except BaseException:
            place.close(interrupts)
            raise
        return _follow(place, labor.id, script, workers, interrupts)


def _follow(place: Place, id: str, script: str, workers: int, interrupts: Interrupts) -> Status:
    """Shows it until it ends, or is left, whoever runs it; and closes the place."""
    final: Labor | None = None
    try:
        while True:
            try:
                final = Watching(place, LaborHandle(place.steer, id), interrupts).until_it_ends()
            except EngineClosed:
                if place.own:
                    raise
                found = _next_place(place, id, script, workers, interrupts)
                if isinstance(found, Place):
                    place = found
                    continue
                final = found
            break
        if final is not None:
            _stay(place, id, interrupts)
    except SignalNotAllowed as error:  # the engine that owns the file has not taken it up
        say(str(error))
        return Status.UNFINISHED
    finally:
        place.close(interrupts)
    if final is not None:
        return status_of(final.state)
    return say_how_to_go_on(place, id, script)


def _next_place(place: Place, id: str, script: str, workers: int, interrupts: Interrupts) -> Place | Labor | None:
    """The engine that ran it is gone: who goes on with it, unless it has ended, or is left (None). That of a `run` is followed by one here; any other
    is waited for, as somebody starts it again."""
    labor = place.steer.read_labor(id)
    if labor.state.ended or interrupts.count:
        return labor if labor.state.ended else None
    before = place.who()
    if place.goes_with_its_labor:
        say(f"{before} has ended; the Labor goes on here")
        place.close(interrupts)
        place = Place.find(place.db, [script] if script else _advice.sources(labor), workers, interrupts)
        place.take_up(labor)
        return place
    say(f"{before} is gone; waits for the next one, and Ctrl-C leaves. To go on with it here:")
    say(f"  {_advice.go_on(labor, place.db, script)}")
    while not interrupts.count:
        time.sleep(1)
        if place.steer.read_labor(id, False).state.ended:  # in an engine that has gone again
            return place.steer.read_labor(id)
        if (found := place.again()) is not None:
            found.take_up(labor)
            return found
    return None


def _stay(place: Place, id: str, interrupts: Interrupts) -> None:
    """Its engine also runs what others handed to it: they would be left in the middle."""
    said = False
    while not interrupts.count and (others := place.runs_others(id)):
        if not said:
            names = ", ".join(f"'{labor.name}' {labor.id[:8]}" for labor in others[:3]) + (
                ", ..." if len(others) > 3 else ""
            )
            say(f"stays, as this engine also runs what was handed to it: {names}. Ctrl-C leaves that stored")
            said = True
        interrupts.wait(1)
