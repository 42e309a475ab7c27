"""`serve`: an engine that stays up."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timezone
from typing import Annotated

import typer

from .. import _advice
from .._client import connect
from .._cog import cog_names
from .._display import BEAT, say
from .._engine import Engine
from .._errors import CogworkError, StoreInUse
from .._lines import Lines
from .._model import Change, ChangeKind, LaborFilter
from .._progress import clock_was_set
from .._storage import open_store
from .._text import clock, shown
from ._app import DB, Db, Workers, app
from ._closing import close, say_where
from ._ids import UNFINISHED
from ._load import import_source, source_of
from ._place import open_engine
from ._signals import Interrupts


@app.command()
def serve(
    modules: Annotated[list[str] | None, typer.Argument(metavar="FILE.py|MODULE", help="Scripts and modules that define Cogs; commands and programs need none.")] = None,
    workers: Workers = 64,
    db: Db = DB,
) -> None:  # fmt: skip
    """Stays up, and runs what is unfinished or submitted.

    Until Ctrl-C or SIGTERM; what is not finished then is stored, and the next one goes on with it.
    """
    sources = [source_of(text) for text in modules or []]
    for source in sources:
        import_source(source)
    last = _last_change(db)
    with Interrupts() as interrupts:
        try:
            engine = open_engine(db, ["serve", *sources], workers, "all", interrupts)
        except StoreInUse as error:
            raise _with_what_helps(error, sources, db) from None
        try:
            events = _Events(engine, last)
            say(
                f"serves {db}, pid {os.getpid()}, with the Cogs {', '.join(map(shown, cog_names())) or '(commands and programs alone)'}"
            )
            say_where(engine)
            _say_what_there_is(engine, sources, db)
            while not interrupts.wait(2 * BEAT):
                events.say_new()
            say("closes; what executes may end, and Ctrl-C once more interrupts it")
        finally:
            close(engine, interrupts)
    events.say_new()
    _say_what_is_left(db, sources)


def _with_what_helps(error: StoreInUse, sources: list[str], db: str) -> StoreInUse:
    """Where a `serve` has the store, one takes its place that serves these, too."""
    with connect(db) as client:
        lines = [] if client.engine is None else _advice.restart(client.engine, sources, db)
    return StoreInUse("\n  ".join([f"{error}. To serve these as well:", *lines])) if lines else error


def _last_change(db: str) -> int:
    with contextlib.suppress(CogworkError), open_store(db) as store:
        return store.last_change()
    return 0


def _say_what_there_is(engine: Engine, modules: list[str], db: str) -> None:
    for latch in engine.crises():
        say(f"a crisis is on: {latch}; holds {latch.labors} {'Labor' if latch.labors == 1 else 'Labors'}")
    stats = engine.stats()
    waiting = {waits.labor_id: waits for waits in stats.waiting}
    for id in engine.taken_up:
        labor = engine.read_labor(id, False)
        say(f"took up '{shown(labor.name)}' {id[:8]}, {labor.state.name}")
    for waits in waiting.values():
        say(f"waits: '{shown(waits.name)}' {waits.labor_id[:8]}: {shown(waits.why)}")
    if missing := [module for id in waiting for module in _advice.sources(engine.read_labor(id, False))]:
        say("their Cogs are not all known here; to take them up, end this one, and:")
        say(f"  {_advice.serve(dict.fromkeys([*modules, *missing]), db)}")
    for held in stats.held:
        say(
            f"held: '{shown(held.labor_name)}' {held.labor_id[:8]}: {shown(str(held))}: {_advice.decide(held.job_id, db)}"
        )
    if stats.held_count > len(stats.held):
        say(f"and {stats.held_count - len(stats.held)} more are held")
    for id in engine.taken_up:
        _say_what_releases(engine, id, db)
    if not engine.taken_up and not waiting:
        say("nothing is unfinished")


def _say_what_releases(engine: Engine, id: str, db: str) -> None:
    """Of a Labor that was taken up and does not go on by itself."""
    progress = engine.handle(id).progress()
    if progress.state.paused and (lines := _advice.released(progress, db)):
        say(f"'{shown(progress.name)}' {id[:8]} is {progress.state.name}, and goes on with:")
        for line in lines:
            say(f"  {line}")


class _Events:
    """A line for each event of each Labor, and when the store fails or mends."""

    def __init__(self, engine: Engine, last: int) -> None:
        self._engine = engine
        self._feed = engine.changes(since=last)
        self._lines: dict[str, Lines] = {}
        self._degraded = ""
        self._jumps = 0

    def say_new(self) -> None:
        for change in self._feed.poll():
            if change.kind != ChangeKind.ENGINE and (line := self._line(change)):  # what it takes up, it has said
                say(f"{clock(change.at)} {change.labor_id[:8]} {line}")
        stats = None if self._engine.closed else self._engine.stats()
        if stats is not None and (reason := stats.degraded_reason if stats.degraded else "") != self._degraded:
            now = clock(datetime.now(timezone.utc))
            say(
                f"{now} the store fails, and work waits for it: {shown(reason)}"
                if reason
                else f"{now} the store works again"
            )
            self._degraded = reason
        if stats is not None and stats.clock_jumps > self._jumps:
            self._jumps = stats.clock_jumps
            say(f"{clock(datetime.now(timezone.utc))} {clock_was_set(stats.clock_jumps, stats.clock_jumped)}")

    def _line(self, change: Change) -> str | None:
        lines = self._lines.get(change.labor_id)
        if lines is None:
            labor = self._engine.read_labor(change.labor_id)
            lines = self._lines[change.labor_id] = Lines(labor, self._engine.read_job, change.at)
        line = lines.line(change)
        if change.object_id == change.labor_id and change.to_state.ended:
            del self._lines[change.labor_id]
        return line


def _say_what_is_left(db: str, modules: list[str]) -> None:
    if db.startswith("memory:"):
        return
    with open_store(db) as store:
        left = list(store.search(LaborFilter(states=UNFINISHED)))
    if not left:
        say("closed; nothing is left")
        return
    say(f"closed; {len(left)} {'Labor is' if len(left) == 1 else 'Labors are'} left, stored in {db}:")
    for labor in left[:10]:
        say(f"  {labor.id[:8]} {labor.state.name} '{shown(labor.name)}'")
    if len(left) > 10:
        say(f"  and {len(left) - 10} more")
    say(f"to go on:\n  {_advice.serve(modules, db)}")
