"""What `run` says before it shows its Labor, and when it leaves it."""

from __future__ import annotations

import contextlib
import sys

from .. import _advice
from .._display import say
from .._engine import Engine
from .._errors import StorageError
from .._handle import LaborHandle
from .._latch import stored_latches
from .._model import Labor, LaborFilter, OnInterrupt, Sequence, Task, all_jobs, written
from .._steering import Steering
from .._summary import holds
from .._text import shown
from ._app import Status
from ._closing import say_where
from ._ids import UNFINISHED
from ._place import Place, who

_FEW = 3
_CHUNK = 400
"""Targets that one search looks for."""


def say_hello(place: Place, handle: LaborHandle, script: str) -> None:
    steer, db = place.steer, place.db
    labor = handle.read(False)
    by = f", run by {who(place.owner)}; Ctrl-C here pauses it there" if place.owner else ""
    say(f"Labor '{shown(labor.name)}' is {handle.id} in {db}{by}")
    if isinstance(steer, Engine):
        say_where(steer)
    for latch in handle.progress().latches:
        say(f"it is held, and does not run: {latch}; to lift that:\n  {_advice.lift(latch.id, db)}")
    if place.owner:
        return
    others = [waits for waits in steer.stats().waiting if waits.labor_id != handle.id]
    if others:
        names = ", ".join(f"'{shown(other.name)}' {other.labor_id[:8]}" for other in others[:_FEW])
        left = f"unfinished in {db}, and left alone: {names}{', ...' if len(others) > _FEW else ''}"
        one = _readable(steer, [other.labor_id for other in others])
        helps = (
            f"to go on with one:\n  {_advice.go_on(one, db)}" if one else f"what is damaged:\n  {_advice.doctor(db)}"
        )
        say(f"{left}; {helps}")


def _readable(steer: Steering, ids: list[str]) -> Labor | None:
    """The first that is. One that is damaged is no reason not to run another."""
    for id in ids:
        with contextlib.suppress(StorageError):
            return steer.read_labor(id, False)
    return None


def say_what_holds(place: Place, handle: LaborHandle) -> None:
    """Of a Labor that does not go on by itself."""
    progress = handle.progress()
    if not progress.state.paused or not (progress.holds or progress.held_count):
        return
    if progress.held_count:
        one = progress.held_count == 1
        say(
            f"{progress.held_count} {'Job' if one else 'Jobs'} of it must be decided: {'it was' if one else 'they were'} executing when the engine ended"
        )
    elif progress.holds:
        say(f"it does not go on: {shown(holds(progress.holds)[0])}")
    for line in _advice.released(progress, place.db):
        say(f"  {line}")


def say_same_targets(steer: Steering, labor: Labor, db: str) -> None:
    """A program that is run again makes another Labor: it is said loudly where one is unfinished on the same targets."""
    unfinished = [other for other in steer.search(LaborFilter(states=UNFINISHED)) if not _is_again(labor, other)]
    if not unfinished:
        return
    sequences = (s for task in written(labor.tasks, Task) for s in written(task.sequences, Sequence))
    targets = list(dict.fromkeys(s.target for s in sequences if isinstance(s.target, str)))
    found: dict[str, Labor] = {}
    for n in range(0, len(targets), _CHUNK):
        wanted = LaborFilter(states=UNFINISHED, targets=targets[n : n + _CHUNK])
        found.update((other.id, other) for other in steer.search(wanted) if not _is_again(labor, other))
    for other in list(found.values())[:_FEW]:
        try:
            same = set(targets) & {s.target for task in steer.read_labor(other.id).tasks for s in task.sequences}
        except StorageError as error:
            _warn(f"CAREFUL: {error}. It may work on the same targets")
            continue
        names = ", ".join(shown(target) for target in targets if target in same)
        _warn(
            f"CAREFUL: '{shown(other.name)}' {other.id[:8]} is unfinished ({other.state.name}) and works on {len(same)} of the same targets: {_cut(names)}. "
            f"This makes another Labor beside it. To go on with that one instead, press Ctrl-C and type\n  {_advice.go_on(other, db)}"
        )
    if len(found) > _FEW:
        _warn(
            f"CAREFUL: {len(found) - _FEW} more unfinished Labors work on some of these targets; {_advice.ls(db)} lists them"
        )


def _is_again(labor: Labor, other: Labor) -> bool:
    """Whether submitting it would be the other one again (S3)."""
    return bool(labor.client_id) and labor.client_id == other.client_id


def _cut(names: str, most: int = 60) -> str:
    return names if len(names) <= most else names[:most].rpartition(",")[0] + ", ..."


def _warn(text: str) -> None:
    print(f"cogwork: {text}", file=sys.stderr, flush=True)


# ---- leaving ----


def say_how_to_go_on(place: Place, id: str, script: str) -> Status:
    """The place is closed."""
    db = place.db
    gap = "\n" if sys.stderr.isatty() else ""  # the screen stays above
    labor = place.steer.read_labor(id)
    latches = [latch for latch in stored_latches(place.steer.store) if latch.holds(labor)]
    strongest = max(labor.holds, key=lambda hold: hold.rank, default=None)
    by = f" by {shown(strongest.by)}" if strongest and strongest.by else ""
    by += "".join(f", held by {latch}" for latch in latches)
    head = f"{gap}Labor '{shown(labor.name)}' is left {labor.state.name}{by}{_interrupted(labor) if place.own else ''}."
    if db.startswith("memory:"):
        print(f"{head} It was in memory alone, and is gone: --db PATH would have kept it.", file=sys.stderr)
        return Status.PAUSED
    held = [latch.id for latch in latches]
    undecided = any(map(_advice.awaits_decision, all_jobs(labor)))
    if place.owner is None:  # nobody runs it
        lines = _advice.way_back(labor, held, db, script)
    else:
        lines = _advice.releases(id, held, undecided, labor.holds, db)
    print("\n  ".join([f"{head} To go on with it:", *lines]), file=sys.stderr)
    for other in place.left:
        if other.id != id:
            print(
                f"Labor '{shown(other.name)}' was handed to this engine, and is left {other.state.name}: {_advice.go_on(other, db)}",
                file=sys.stderr,
            )
    return Status.PAUSED


def _interrupted(labor: Labor) -> str:
    """What was ended in the middle: its attempts are open, until the next engine closes them (R2)."""
    jobs = [job for job in all_jobs(labor) if job.attempts and job.attempts[-1].ended is None]
    if not jobs:
        return ""
    held = sum(job.on_interrupt not in (OnInterrupt.RETRY, OnInterrupt.FAIL) for job in jobs)
    told = f"; {len(jobs)} {'attempt was' if len(jobs) == 1 else 'attempts were'} interrupted"
    return told + (
        f", and a person has to decide about {held}, whose Cogs are not idempotent: look at the targets first"
        if held
        else ""
    )
