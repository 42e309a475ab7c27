"""`run`: a Labor, and what is shown of it until it ends."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from .._display import say
from .._engine import Engine
from .._errors import CogworkError
from .._handle import LaborHandle
from .._latch import Latch, stored_latches
from .._model import Labor, LaborFilter, OnInterrupt, Rank, all_jobs
from .._storage import open_store
from .._text import shown
from ._app import DB, Db, Status, app, command, status_of
from ._closing import UNFINISHED, close
from ._load import load
from ._signals import Interrupts
from ._watching import Watching, submitted


@app.command()
def run(
    what: Annotated[str, typer.Argument(metavar="FILE.py[:NAME]", help="A script or module, and the Labor in it, or a function that makes one.")],
    values: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="For the function, typed by its own hints.")] = None,
    db: Db = DB,
) -> None:  # fmt: skip
    """Runs a Labor and shows it until it ends. Ctrl-C pauses it; a second one interrupts what executes."""
    labor = load(what, values or [])
    script = what.rpartition(":")[0] or what
    with Interrupts() as interrupts:  # before the Labor may run: from here on Ctrl-C pauses it
        engine = Engine(db, recover="all" if _goes_on(db, labor) else "none")
        try:
            handle = submitted(engine, labor, interrupts)
            _say_hello(engine, handle, db, script)
            final = Watching(engine, handle, interrupts).until_it_ends()
        finally:
            close(engine, interrupts)
    if final is not None:
        raise typer.Exit(status_of(final.state))
    labor = engine.read_labor(handle.id)
    latches = [latch for latch in stored_latches(engine.store) if latch.holds(labor)]
    _say_how_to_go_on(labor, latches, db, script)
    raise typer.Exit(Status.PAUSED)


def _goes_on(db: str, labor: Labor) -> bool:
    """Whether a Labor of the same client_id is stored and has not ended: then it is that one which runs. Others are left alone: they are
    `serve`'s, and a second run of a script must not wake the first one beside it."""
    if not labor.client_id or db.startswith("memory:"):
        return False
    with contextlib.suppress(CogworkError), open_store(db) as store:
        return any(other.client_id == labor.client_id for other in store.search(LaborFilter(states=UNFINISHED)))
    return False


def _say_hello(engine: Engine, handle: LaborHandle, db: str, script: str) -> None:
    say(f"Labor '{shown(handle.read(False).name)}' is {handle.id} in {db}")
    for latch in handle.progress().latches:
        say(f"it is held, and does not run: {latch}; {command('crisis', 'resume', latch.id[:8], db=db)} lifts that")
    known = {handle.id, *engine.taken_up}
    others = [other for other in engine.search(LaborFilter(states=UNFINISHED)) if other.id not in known]
    if others:
        names = ", ".join(f"'{shown(other.name)}' {other.id[:8]}" for other in others[:3]) + (
            ", ..." if len(others) > 3 else ""
        )
        say(f"unfinished in {db}, and left alone: {names}; {command('serve', script, db=db)} goes on with such")


def _say_how_to_go_on(labor: Labor, latches: list[Latch], db: str, script: str) -> None:
    """labor: as it is stored now. latches: those that hold it."""
    held = max(labor.holds, key=lambda hold: hold.rank, default=None)
    rank = _RANKS.get(held.rank, []) if held else []
    by = f" by {shown(held.by)}" if held and held.by else ""
    resume = [command("resume", labor.id, *rank, db=db)] if held or not latches else []
    for latch in latches:
        resume.append(command("crisis", "resume", latch.id[:8], db=db))
        by += f", held by {latch}"
    interrupted = _interrupted(labor)
    if db.startswith("memory:"):
        go_on = "It was in memory alone, and is gone: --db PATH would have kept it."
    else:
        go_on = "\n  ".join(["To go on with it:", *resume, command("serve", script, db=db)])
    gap = "\n" if sys.stderr.isatty() else ""  # the screen stays above
    print(f"{gap}Labor '{shown(labor.name)}' is left {labor.state.name}{by}{interrupted}. {go_on}", file=sys.stderr)


def _interrupted(labor: Labor) -> str:
    """What was ended in the middle: its attempts are open, until the next engine closes them (R2)."""
    jobs = [job for job in all_jobs(labor) if job.attempts and job.attempts[-1].ended is None]
    if not jobs:
        return ""
    held = sum(job.on_interrupt not in (OnInterrupt.RETRY, OnInterrupt.FAIL) for job in jobs)
    told = f"; {len(jobs)} {'attempt was' if len(jobs) == 1 else 'attempts were'} interrupted"
    return told + (f", and a person has to decide about {held}, whose Cogs are not idempotent" if held else "")


_RANKS = {Rank.ADMIN: ["--admin"], Rank.CRISIS: ["--crisis"]}
