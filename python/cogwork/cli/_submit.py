"""`submit`: a Labor for the engine that runs already."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import _advice
from .._client import connect
from .._model import State
from .._text import shown
from ._app import DB, ClientId, Db, Json, Refused, Status, TakesValues, app
from ._hello import say_same_targets
from ._ids import is_missing
from ._json import plain, put
from ._load import load, source_of
from ._look import follow
from ._place import Place, who
from ._signals import Interrupts


@app.command(cls=TakesValues)
def submit(
    what: Annotated[str, typer.Argument(metavar="FILE.py[:NAME]", help="A script or module, and the Labor in it, or a function that makes one.")],
    values: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="For the function, typed by its own hints.")] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="It waits for `cogwork start`.")] = False,
    client_id: ClientId = "",
    watch: Annotated[bool, typer.Option("--watch", help="Shows it until it ends; Ctrl-C ends the watching, and nothing else.")] = False,
    json: Json = False,
    db: Db = DB,
) -> None:  # fmt: skip
    """Hands a Labor to the engine that runs already.

    That is a `cogwork serve`, or a program with an Engine of its own, on the same --db. Prints the Labor's id.
    """
    labor = load(what, values or [])
    if client_id:
        labor.client_id = client_id
    script = source_of(what)
    nobody = Refused(
        f"no engine runs on {db} that could take it. Start one that stays, or run the Labor here:\n"
        f"  {_advice.serve([script], db)}\n  {_advice.run(what, *(values or []), db=db)}"
    )
    if db.startswith("memory") or is_missing(db):
        raise nobody
    with connect(db) as client:
        if client.engine is None:
            raise nobody
        place = Place(client, db)
        say_same_targets(client, labor, db)
        handle = place.submit(labor, Interrupts(), start=not no_start)
        engine = client.engine
        state = handle.state
        if json:
            put({"id": handle.id, "name": labor.name, "state": state.name, "engine": plain(engine)})
        else:
            print(handle.id, flush=True)
            by = f" by {who(engine)}" if engine else ""
            waits = state == State.ADMIN_NOT_STARTED
            then = (
                f"waits for\n  {_advice.start(handle.id, db)}"
                if waits
                else f"is run{by}; to see it:\n  {_advice.watch(handle.id, db)}"
            )
            if not watch:
                print(f"'{shown(labor.name)}' {then}", file=sys.stderr, flush=True)
            for latch in handle.progress().latches:
                print(
                    f"it is held, and does not run: {latch}; to lift that:\n  {_advice.lift(latch.id, db)}",
                    file=sys.stderr,
                )
        if watch:
            raise typer.Exit(follow(client, handle.id, db, json))
    raise typer.Exit(Status.OK)
