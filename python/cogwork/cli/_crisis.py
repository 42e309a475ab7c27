"""`crisis pause`, `resume`, `status`: latches, which hold every Labor that they match, now and later (G8)."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Any

import typer

from .. import _advice
from .._client import Client, connect
from .._errors import CogworkError, StoreInUse
from .._handle import Ack
from .._latch import Executing, Latch, criteria, stored_latches
from .._outlet import complain
from .._text import clock, shown
from .._waiting import wait_for
from ._app import DB, By, Db, Json, Note, NoWait, Refused, Status, Timeout, app, fail
from ._ids import open_existing
from ._json import plain, put
from ._waits import executing, until_done

crisis = typer.Typer(
    no_args_is_help=True,
    help="Holds every Labor that matches, at once.\n\nThose that start later, too, until it is lifted; kept over restarts.",
)
app.add_typer(crisis, name="crisis")

_PATIENCE = 2.0
"""Seconds after which it is said what the store's trouble is."""
_FLIGHTS = 3
_LABORS = 10

Tag = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Labors with any of these.")]
Name = Annotated[str | None, typer.Option("--name", metavar="PREFIX", help="Labors whose name begins so.")]
Cog = Annotated[list[str] | None, typer.Option("--cog", metavar="COG", help="Labors that call any of these, in a Job or a check.")]  # fmt: skip
All = Annotated[bool, typer.Option("--all", help="Every Labor.")]


@crisis.command()
def pause(
    tag: Tag = None, name: Name = None, cog: Cog = None, all: All = False, by: By = None, note: Note = "",
    no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Sets a latch: what it matches pauses at once.

    Waits until nothing of it executes any more. Several options together hold the Labors that pass all of them.
    """
    wanted = _wanted(tag, name, cog, all)
    if wanted is None:
        raise Refused("say what is to be held: --tag, --name, --cog, or --all for every Labor")
    open_existing(db).close()
    with connect(db) as client:
        id, recorded = client._begin_crisis(wanted, by, note)
        if not wait_for(recorded.completion, _PATIENCE) and not _until_stored(client, recorded, timeout):
            raise typer.Exit(Status.UNFINISHED)
        if recorded.closed:
            raise Refused(
                "the engine closed before the latch was stored; set it again: it is stored for the next engine"
            )
        latch = _find(client, id, lifted=True)
        attended = client.engine is not None
        if not json:
            _tell_set(latch, attended, db)
        settled = not attended or (latch.attempts == 0 if no_wait else _until_settled(client, latch, timeout, db))
        latch = _find(client, latch.id, lifted=True)
        if json:
            put({**plain(latch), "stored": not attended, "settled": settled})
        elif attended:
            _tell_settled(client, latch, settled, no_wait, db)
    raise typer.Exit(Status.OK if settled or no_wait else Status.UNFINISHED)


@crisis.command()
def resume(
    latch: Annotated[list[str] | None, typer.Argument(metavar="LATCH", help="Ids of latches; any unique beginning will do.")] = None,
    tag: Tag = None, name: Name = None, cog: Cog = None, all: All = False, by: By = None, note: Note = "",
    no_wait: NoWait = False, timeout: Timeout = None, json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Lifts latches.

    Those of these ids, or those that were set with just these options. A Labor goes on when no latch holds it any more; pauses of its own stay.
    """
    wanted = _wanted(tag, name, cog, all)
    if bool(latch) == (wanted is not None):
        raise Refused(
            f"say which latch: its id, or the options that it was set with; to list them:\n  {_advice.crises(db)}"
        )
    open_existing(db).close()
    done = True
    with connect(db) as client:
        known = client.crises()
        found = [_named(known, text, db) for text in latch] if latch else _set_with(known, wanted, db)
        attended = client.engine is not None
        for one in found:
            ack = client.crisis_resume(one.id, by=by, note=note)
            done &= _tell_lifted(
                one, ack.done if no_wait else _until_lifted(client, one, ack, timeout), ack, attended, json
            )
    raise typer.Exit(Status.OK if done or no_wait else Status.UNFINISHED)


@crisis.command()
def status(
    tag: Tag = None, name: Name = None, cog: Cog = None, all: All = False,
    lifted: Annotated[bool, typer.Option("--lifted", help="Those that were lifted last, too.")] = False,
    json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Shows the latches that are in force.

    Who set them and why, what they hold, and what of it still executes.
    """
    wanted = _wanted(tag, name, cog, all)
    open_existing(db).close()
    with connect(db) as client:
        try:
            found = [one for one in client.crises(lifted) if wanted is None or _criteria_of(one) == wanted]
            attended = client.engine is not None
        except StoreInUse as error:
            _show_stored(client, lifted, json, db)
            fail(error)
        if json:
            for one in found:
                put(one)
            return
        if not found:
            print(f"no crisis: no latch is in force on {db}" + (" that was set with these options" if wanted else ""))
        for one in found:
            _show(client, one, attended, db)


def _show_stored(client: Client, lifted: bool, json: bool, db: str) -> None:
    """What there is to say where the engine does not answer: never that there is no crisis."""
    found = stored_latches(client.store, lifted)
    for one in found:
        if json:
            put(one)
        else:
            print(f"{one}\n  as stored; what of it still executes is the engine's to say")
    if not found and not json:
        print(f"no latch is stored on {db}; whether its engine has set one since is not known, as it does not answer")
    sys.stdout.flush()


# ---- which ----


def _wanted(
    tag: list[str] | None, name: str | None, cog: list[str] | None, all: bool
) -> tuple[list[str], str, list[str]] | None:
    """What a latch matches; None where nothing is said."""
    try:
        some = criteria(tag or None, name, cog or None)
    except ValueError as error:
        raise Refused(str(error)) from None
    if all and any(some):
        raise Refused("--all is every Labor; leave the other options out, or --all")
    tags, prefix, cogs = some
    return (sorted(set(tags)), prefix, sorted(set(cogs))) if all or any(some) else None


def _criteria_of(latch: Latch) -> tuple[list[str], str, list[str]]:
    """In no order, as they are any of them."""
    return sorted(set(latch.tags)), latch.name_prefix, sorted(set(latch.cogs))


def _find(client: Client, id: str, lifted: bool = False) -> Latch:
    return next(latch for latch in client.crises(lifted) if latch.id == id)


def _named(known: list[Latch], text: str, db: str) -> Latch:
    found = [latch for latch in known if text and latch.id.startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(f"{text!r} is the beginning of {len(found)} latches' ids; type more of it:{_listed(found)}")
    raise Refused(f"no latch in force has an id that begins with {text!r}{_in_force(known, db)}")


def _set_with(known: list[Latch], wanted: tuple[list[str], str, list[str]] | None, db: str) -> list[Latch]:
    found = [latch for latch in known if _criteria_of(latch) == wanted]
    if not found:
        raise Refused(f"no latch in force was set with just these options{_in_force(known, db)}")
    return found


def _in_force(known: list[Latch], db: str) -> str:
    return f"; in force on {db}:{_listed(known)}" if known else f"; none is in force on {db}"


def _listed(latches: list[Latch]) -> str:
    return "".join(f"\n  {latch}" for latch in latches[:_LABORS])


# ---- what is said ----


def _until_settled(client: Client, latch: Latch, timeout: float | None, db: str) -> bool:
    def what_for() -> str:
        now = _find(client, latch.id, lifted=True)
        labors = [
            f"'{shown(labor.name)}' {labor.labor_id[:8]}: {_flights(client, labor)}"
            for labor in now.executing[:_FLIGHTS]
        ]
        more = now.executing_count - len(labors)
        said = "; ".join(labors) + (f"; and {_many(more, 'more Labor')}" if more > 0 else "")
        return (
            f"the latch holds; {_many(now.attempts, 'attempt')} still {'executes' if now.attempts == 1 else 'execute'}: {said}"
            if said
            else ""
        )

    stands = f"the latch stands: what it holds pauses when what executes has ended; to see how far it is:\n  {_advice.crises(db)}"
    return until_done(latch.wait, what_for, stands, timeout)


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 's'}"


def _until_stored(client: Client, pending: Any, timeout: float | None) -> bool:
    def what_for() -> str:
        why = ""
        with contextlib.suppress(CogworkError):
            stats = client.stats()
            why = f": {shown(stats.degraded_reason)}" if stats.degraded else ""
        return (
            f"the latch is in force and Labors pause; it is not stored yet, as the store does not take it{why}; waiting"
        )

    complain(what_for())
    stands = "the latch is in force as long as its engine runs; it is not stored yet"
    return until_done(lambda seconds: wait_for(pending.completion, seconds), what_for, stands, timeout)


def _tell_set(latch: Latch, attended: bool, db: str) -> None:
    print(f"{latch}")
    print(f"  holds {_many(latch.labors, 'Labor')}", end="")
    print("" if attended else f", stored: no engine runs on {db}, and the next one obeys it", flush=True)


def _tell_settled(client: Client, latch: Latch, settled: bool, no_wait: bool, db: str) -> None:
    if settled:
        print("  nothing of it executes any more")
    elif not latch.in_force:
        print(f"  it was lifted by {shown(latch.lifted_by)} before all was paused")
    else:
        _show_executing(client, latch)
        if not no_wait:
            print(f"  how far it is:\n    {_advice.crises(db)}")


def _until_lifted(client: Client, latch: Latch, ack: Ack, timeout: float | None) -> bool:
    def what_for() -> str:
        stats = client.stats()
        why = f": the store fails: {shown(stats.degraded_reason)}" if stats.degraded else ""
        return f"the latch is being lifted, and holds until that is stored{why}"

    return until_done(ack.wait, what_for, f"{latch}: the lifting stands", timeout)


def _tell_lifted(latch: Latch, done: bool, ack: Ack, attended: bool, json: bool) -> bool:
    if json:
        put({"id": latch.id, "done": done, "applied": ack.applied, "stored": not attended})
    elif not attended:
        print(f"{latch}: lifted; no engine runs")
    elif done:
        print(f"{latch}: lifted; what no other latch and no pause of its own holds goes on")
    else:
        print(f"{latch}: it is being lifted, and that is not done yet")
    return done


def _show(client: Client, latch: Latch, attended: bool, db: str) -> None:
    print(latch)
    if not latch.in_force:
        note = f' "{shown(latch.lifted_note)}"' if latch.lifted_note else ""
        when = f" {clock(latch.lifted)}" if latch.lifted else ""
        print(f"  lifted by {shown(latch.lifted_by) or 'somebody'}{when}{note}")
        return
    if latch.lifting:
        print("  it is being lifted, and holds until that is stored")
    if not latch.durable:
        print("  it is not stored yet, as the store fails; it is in force")
    if not attended:
        print(f"  holds {_many(latch.labors, 'Labor')} that nobody runs: there is no engine on {db}")
        return
    print(f"  holds {_many(latch.labors, 'Labor')}", end="")
    if latch.attempts:
        print()
        _show_executing(client, latch)
    else:
        print("; nothing of it executes")


def _show_executing(client: Client, latch: Latch) -> None:
    print(f"  {_many(latch.attempts, 'attempt')} of {_many(latch.executing_count, 'Labor')} still {'executes' if latch.attempts == 1 else 'execute'}:")  # fmt: skip
    for labor in latch.executing[:_LABORS]:
        print(f"    {labor.labor_id[:8]} '{shown(labor.name)}' {labor.state.name}: {_flights(client, labor)}")
    if latch.executing_count > _LABORS:
        print(f"    and {latch.executing_count - _LABORS} more Labors")


def _flights(client: Client, labor: Executing) -> str:
    try:
        return executing(client._progress(labor.labor_id)) or "it has just paused"
    except CogworkError as error:
        return str(error)
