"""The commands that cogwork advises. Every one is made here, from what is so at that moment, so that each leads on when it is typed as it stands:
tests/python/test_advice.py follows each of them to the end of a Labor."""

from __future__ import annotations

import os
import pathlib
import shlex
from collections.abc import Iterable

from ._codec import login_name
from ._importing import scripts
from ._line import EngineInfo
from ._model import AttemptStatus, Hold, Job, Labor, OnInterrupt, Rank, all_jobs
from ._progress import Progress

DB = "cogwork.db"
"""The store of a shell that names none."""
DECISIONS = "rerun|completed|failed"
_LENGTH = 8
"""Letters of an id that are typed."""
_RANKS: dict[Rank, list[str]] = {Rank.ADMIN: ["--admin"], Rank.CRISIS: ["--crisis"]}
RUN = "cogwork run"
SERVE = "cogwork serve"
"""How programs begin that own a store, as others are told of them."""
_ENGINES = ("the engine", "cogwork")
"""As whom an engine holds a Labor itself, until a person has decided (R2)."""


def command(*words: str, db: str) -> str:
    """A command as it can be typed again, in the same folder."""
    usual = db == DB and os.environ.get("COGWORK_DB", DB) == DB
    return shlex.join(["cogwork", *words, *([] if usual or not db else ["--db", db])])


# ---- looking ----


def ls(db: str) -> str:
    return command("ls", db=db)


def show(id: str, db: str) -> str:
    return command("show", id[:_LENGTH], db=db)


def watch(id: str, db: str) -> str:
    return command("watch", id[:_LENGTH], db=db)


def doctor(db: str) -> str:
    return shlex.join(["cogwork", "doctor", *[db] * (command(db=db) != "cogwork")])


def crises(db: str) -> str:
    return command("crisis", "status", db=db)


# ---- what releases a Labor ----


def start(id: str, db: str) -> str:
    return command("start", id[:_LENGTH], db=db)


def resume(id: str, rank: Rank, db: str) -> str:
    return command("resume", *_RANKS.get(rank, []), id[:_LENGTH], db=db)


def lift(latch: str, db: str) -> str:
    return command("crisis", "resume", latch[:_LENGTH], db=db)


def decide(where: str, db: str) -> str:
    """where: a Job's id, or the way to it. One of the three words is to be typed."""
    return f"{command('decide', where, db='')} {DECISIONS}{_behind(db)}"


def decide_all(id: str, db: str) -> str:
    return f"{command('decide', id[:_LENGTH], '--all', db='')} {DECISIONS}{_behind(db)}"


def _behind(db: str) -> str:
    return command(db=db).removeprefix("cogwork")


# ---- who runs it ----


def run(*words: str, db: str) -> str:
    return command("run", *words, db=db)


def serve(modules: Iterable[str], db: str) -> str:
    return command("serve", *modules, db=db)


def go_on(labor: Labor, db: str, script: str = "") -> str:
    """Runs one Labor that no engine runs. script: where its Cogs are from, if that is known better than its own record does."""
    return command("run", *([script] if script else sources(labor)), "--resume", labor.id[:_LENGTH], db=db)


def serve_it(labor: Labor, db: str) -> str:
    return serve(sources(labor), db)


def restart(engine: EngineInfo, modules: Iterable[str], db: str) -> list[str]:
    """Of an engine that lacks some Cogs: it ends in order, and one that has them takes its place. Nothing where it is no `serve`: what another
    program imports is not the shell's affair, nor is a process that is not seen from here."""
    if not engine.program.startswith(SERVE) or engine.pid <= 0:
        return []
    served = shlex.split(engine.program.removeprefix(SERVE))
    return [f"kill {engine.pid}", serve(dict.fromkeys([*served, *modules]), db)]


def sources(labor: Labor) -> list[str]:
    """The scripts and modules that its Cogs come from. None for commands and programs: every engine has those."""
    named = (origin.partition(":")[0] for name, origin in labor.cogs.items() if not _is_everywhere(name, origin))
    return [as_typed(module) for module in dict.fromkeys(named) if module]


def _is_everywhere(name: str, origin: str) -> bool:
    return origin.partition(":")[0] == "cogwork" or name.startswith(("/", "./", "../", "python:"))


def as_typed(module: str) -> str:
    """A script by its path, as it was given or is called here; any other module by its name."""
    if os.sep in module:
        near = os.path.relpath(module)
        return module if near.startswith(os.pardir) else near
    if module in scripts:
        return scripts[module]
    return f"{module}.py" if pathlib.Path(f"{module}.py").is_file() else module


# ---- the way back ----


def way_back(labor: Labor, latches: Iterable[str], db: str, script: str = "") -> list[str]:
    """What is to be typed, in this order, so that a Labor goes on that no engine runs: its latches are lifted, its undecided Jobs decided, and pauses
    of others released, the strongest first. The last command runs it, and releases the rest."""
    undecided = any(awaits_decision(job) for job in all_jobs(labor))
    others = [hold for hold in labor.holds if not is_released(hold)]
    return [*releases(labor.id, latches, undecided, others, db), go_on(labor, db, script)]


def releases(id: str, latches: Iterable[str], undecided: bool, holds: Iterable[Hold], db: str) -> list[str]:
    """The same where an engine runs it."""
    lines = [lift(latch, db) for latch in latches] + [decide_all(id, db)] * undecided
    return lines + [resume(id, hold.rank, db) for hold in sorted(holds, key=lambda hold: -hold.rank)]


def released(progress: Progress, db: str) -> list[str]:
    """`releases`, of a Labor as its engine tells of it."""
    latches = [latch.id for latch in progress.latches]
    return releases(progress.id, latches, progress.held_count > 0, progress.holds, db)


def is_released(hold: Hold) -> bool:
    """Whether `run --resume` releases it: one's own pause, and what an engine holds until people have decided."""
    return is_of_engine(hold) or (hold.rank == Rank.USER and hold.by == login_name())


def awaits_decision(job: Job) -> bool:
    """Whether it is held, or will be as soon as an engine takes its Labor up (R2)."""
    if job.held:
        return True
    last = job.attempts[-1] if job.attempts else None
    return last is not None and last.status == AttemptStatus.OPEN and job.on_interrupt == OnInterrupt.HOLD


def is_of_engine(hold: Hold) -> bool:
    """Whether an engine holds it by itself, because of Jobs that nobody had decided about."""
    return hold.rank == Rank.ADMIN and hold.by in _ENGINES
