"""`run` and `serve`: the commands that have an engine."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from datetime import datetime, timezone
from typing import Annotated

import typer

from .._cog import cog_names
from .._display import BEAT, End, display, say
from .._engine import Engine
from .._errors import CogworkError, CogworkWarning, SignalNotAllowed
from .._handle import Ack, LaborHandle
from .._latch import Latch, stored_latches
from .._lines import Lines
from .._model import Change, Labor, LaborFilter, OnInterrupt, Rank, State, all_jobs
from .._storage import open_store
from .._text import clock, shown
from .._waiting import sigterm_interrupts, wait_for
from ._app import DB, Db, Status, app, command, status_of
from ._load import import_source, load
from ._signals import Interrupts

_UNFINISHED: list[State] = [state for state in State if state != State.UNKNOWN and not state.ended]


# ---- run ----


@app.command()
def run(
    what: Annotated[str, typer.Argument(metavar="FILE.py[:NAME]", help="A script or module, and the Labor in it, or a function that makes one.")],
    values: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="For the function, typed by its own hints.")] = None,
    db: Db = DB,
) -> None:  # fmt: skip
    """Runs a Labor and shows it until it ends. Ctrl-C pauses it; a second one interrupts what executes."""
    labor = load(what, values or [])
    script = what.rpartition(":")[0] or what
    with sigterm_interrupts():
        engine = Engine(db, recover="all" if _goes_on(db, labor) else "none")
        interrupts = Interrupts()
        try:
            handle = engine.submit(labor)  # may wait for the store; Ctrl-C still ends that
            interrupts.take()
            _say_hello(engine, handle, db, script)
            final = _Watching(engine, handle, interrupts).until_it_ends()
        finally:
            _close(engine, interrupts)
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
        return any(other.client_id == labor.client_id for other in store.search(LaborFilter(states=_UNFINISHED)))
    return False


def _say_hello(engine: Engine, handle: LaborHandle, db: str, script: str) -> None:
    say(f"Labor '{shown(handle.read(False).name)}' is {handle.id} in {db}")
    for latch in handle.progress().latches:
        say(f"it is held, and does not run: {latch}; {command('crisis', 'resume', latch.id[:8], db=db)} lifts that")
    known = {handle.id, *engine.taken_up}
    others = [other for other in engine.search(LaborFilter(states=_UNFINISHED)) if other.id not in known]
    if others:
        names = ", ".join(f"'{shown(other.name)}' {other.id[:8]}" for other in others[:3]) + (
            ", ..." if len(others) > 3 else ""
        )
        say(f"unfinished in {db}, and left alone: {names}; {command('serve', script, db=db)} goes on with such")


class _Watching:
    """Shows a Labor, and answers Ctrl-C: pauses it, and leaves when that has settled."""

    def __init__(self, engine: Engine, handle: LaborHandle, interrupts: Interrupts) -> None:
        self._engine = engine
        self._handle = handle
        self._interrupts = interrupts
        self._seen = 0
        self._ack: Ack | None = None

    def until_it_ends(self) -> Labor | None:
        """The Labor as it ended; None where it is left before that."""
        end = End(self._handle)
        with display() as shows:
            while True:
                shows.update(self._handle, self._notes())
                if self._leaves():
                    shows.update(self._handle)
                    return None
                if (labor := end.within(BEAT)) is not None:
                    shows.end(self._handle)
                    return labor

    def _leaves(self) -> bool:
        if self._interrupts.count > 1:
            return True
        if self._interrupts.count > self._seen:
            self._seen = self._interrupts.count
            with contextlib.suppress(SignalNotAllowed):  # paused already, or it is being stopped
                self._ack = self._handle.pause(note=f"{self._interrupts.last} in cogwork run")
        if not self._seen:
            return False
        if self._ack is not None and self._ack.done and not self._ack.applied and self._handle.state == State.RUNNING:
            # Somebody resumed it meanwhile: it is to go on.
            self._seen = self._interrupts.count = 0
            self._ack = None
            return False
        return self._handle.state.paused and (self._ack is None or self._ack.done)

    def _notes(self) -> list[str]:
        notes = []
        if self._seen:
            what = "pausing" if self._ack else "waiting for it to settle"
            notes.append(f"{self._interrupts.last}: {what}; what executes may end. Once more interrupts it")
        stats = self._engine.stats()
        if stats.degraded:
            notes.append(f"the store fails, and work waits for it: {stats.degraded_reason}")
        return notes


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


# ---- serve ----


@app.command()
def serve(
    modules: Annotated[list[str], typer.Argument(metavar="MODULE...", help="Scripts and modules that define Cogs.")],
    db: Db = DB,
) -> None:
    """Stays up: takes up what is unfinished, and runs what is submitted, until Ctrl-C or SIGTERM."""
    for source in modules:
        import_source(source)
    last = _last_change(db)
    with sigterm_interrupts(), Interrupts() as interrupts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CogworkWarning)  # _say_what_there_is says it
            engine = Engine(db)
        try:
            events = _Events(engine, last)
            say(f"serves {db}, pid {os.getpid()}, with the Cogs {', '.join(map(shown, cog_names())) or '(none)'}")
            _say_what_there_is(engine, db)
            while not interrupts.wait(2 * BEAT):
                events.say_new()
            say("closes; what executes may end, and Ctrl-C once more interrupts it")
        finally:
            _close(engine, interrupts)
    events.say_new()
    _say_what_is_left(db, modules)


def _last_change(db: str) -> int:
    with contextlib.suppress(CogworkError), open_store(db) as store:
        return store.last_change()
    return 0


def _say_what_there_is(engine: Engine, db: str) -> None:
    for latch in engine.crises():
        say(f"a crisis is on: {latch}; holds {latch.labors} {'Labor' if latch.labors == 1 else 'Labors'}")
    stats = engine.stats()
    waiting = {waits.labor_id: waits for waits in stats.waiting}
    for id in engine.taken_up:
        labor = engine.read_labor(id, False)
        say(f"took up '{shown(labor.name)}' {id[:8]}, {labor.state.name}")
    for waits in waiting.values():
        say(f"waits: '{shown(waits.name)}' {waits.labor_id[:8]}: {shown(waits.why)}")
    for held in stats.held:
        say(
            f"held: '{shown(held.labor_name)}' {held.labor_id[:8]}: {shown(str(held))}: {command('decide', held.job_id, db=db)} rerun|completed|failed"
        )
    if stats.held_count > len(stats.held):
        say(f"and {stats.held_count - len(stats.held)} more are held")
    if not engine.taken_up and not waiting:
        say("nothing is unfinished")


class _Events:
    """A line for each event of each Labor, and when the store fails or mends."""

    def __init__(self, engine: Engine, last: int) -> None:
        self._engine = engine
        self._feed = engine.changes(since=last)
        self._lines: dict[str, Lines] = {}
        self._degraded = ""

    def say_new(self) -> None:
        for change in self._feed.poll():
            if line := self._line(change):
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

    def _line(self, change: Change) -> str | None:
        lines = self._lines.get(change.labor_id)
        if lines is None:
            labor = self._engine.read_labor(change.labor_id)
            lines = self._lines[change.labor_id] = Lines(labor, self._engine.read_job)
        line = lines.line(change)
        if change.object_id == change.labor_id and change.to_state.ended:
            del self._lines[change.labor_id]
        return line


def _say_what_is_left(db: str, modules: list[str]) -> None:
    if db.startswith("memory:"):
        return
    with open_store(db) as store:
        left = list(store.search(LaborFilter(states=_UNFINISHED)))
    if not left:
        say("closed; nothing is left")
        return
    say(f"closed; {len(left)} {'Labor is' if len(left) == 1 else 'Labors are'} left, stored in {db}:")
    for labor in left[:10]:
        say(f"  {labor.id[:8]} {labor.state.name} '{shown(labor.name)}'")
    if len(left) > 10:
        say(f"  and {len(left) - 10} more")
    say(f"to go on: {command('serve', *modules, db=db)}")


# ---- both ----


def _close(engine: Engine, interrupts: Interrupts) -> None:
    """In order: what executes may end, unless there is a further Ctrl-C. The shell says itself what is left."""
    with interrupts, warnings.catch_warnings():
        warnings.simplefilter("ignore", CogworkWarning)
        quiet = engine._core.begin_close()
        known = min(interrupts.count, 1)
        while interrupts.count == known and not wait_for(quiet, BEAT):
            pass
        engine.close(interrupt=True)  # of what is not quiet by now
