"""What is typed for an object: an id, any unique beginning of one, or `ID/task/target`; and what the shell proposes while it is typed."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Protocol

import typer

from .. import _advice
from .._errors import CogworkError, NotFound, StorageError
from .._model import Job, Labor, LaborFilter, Sequence, State, Task, did_you_mean
from .._storage import BuiltinStorage, open_store
from .._text import shown
from ._app import Refused

_LENGTH = 36  # of a whole id
_OF_LABOR = "00000000"  # how a Labor's id ends; what is below it has its place in the tree there
_MOST = 5
LAST = "last"
"""The Labor that was submitted last."""
UNFINISHED: list[State] = [state for state in State if state != State.UNKNOWN and not state.ended]
_PROPOSED = 1000


class Reads(Protocol):
    """A store, or somebody who has one: a client of the engine that owns it."""

    def search(self, filter: LaborFilter | None = None) -> Iterator[Labor]: ...
    def read_labor(self, id: str, full: bool = True) -> Labor: ...


class Address(NamedTuple):
    """An object, and the way to it from its Labor, which is read whole where the way has steps."""

    labor: Labor
    path: tuple[Task | Sequence | Job, ...] = ()

    @property
    def object(self) -> Labor | Task | Sequence | Job:
        return self.path[-1] if self.path else self.labor

    @property
    def id(self) -> str:
        return self.object.id

    def below(self) -> set[str] | None:
        """The ids of the object and of what is below it; None: all of the Labor."""
        if not self.path:
            return None
        part = self.object
        sequences = part.sequences if isinstance(part, Task) else [part] if isinstance(part, Sequence) else []
        jobs = [job for sequence in sequences for job in sequence.jobs]
        if isinstance(part, Task):
            jobs += [*part.pre_checks, *part.cont_checks]
        return {part.id, *(sequence.id for sequence in sequences), *(job.id for job in jobs)}

    def __str__(self) -> str:
        names = [f"'{shown(self.labor.name)}' {self.labor.id[:8]}"]
        names += [shown(_name(step)) for step in self.path]
        return "/".join(names)


def is_missing(db: str) -> bool:
    """Whether there is no such file, in a folder where one could be made."""
    return ":" not in db and not os.path.lexists(db) and os.path.isdir(os.path.dirname(os.path.abspath(db)))


def open_existing(db: str) -> BuiltinStorage:
    """The store, to read it. Refused where there is none; nothing is made."""
    if db == "memory" or db.startswith("memory:"):
        raise Refused("a store in memory is its own process's alone; there is nothing to look at from here")
    try:
        return open_store(db)
    except (NotFound, StorageError):
        if not is_missing(db):
            raise
        raise Refused(
            f"there is no store {db}; --db PATH names another one, and a Labor that is run makes one: {_advice.run('FILE.py', db=db)}"
        ) from None


def find(reads: Reads, text: str | None, db: str) -> Address:
    """The object that is meant: by an id or the beginning of one, `last`, or nothing at all for the only unfinished Labor. Refused where there is none,
    or where there are several."""
    if text is None:
        return Address(the_unfinished(reads, db))
    with contextlib.suppress(UnicodeError):  # names are UTF-8, whatever the locale took what was typed for
        text = os.fsencode(text).decode()
    head, _, rest = text.partition("/")
    head = head.lower()
    if len(head) == _LENGTH and not head.endswith(_OF_LABOR):
        if rest:
            raise Refused(f"{head} is no Labor's id; only behind a Labor's come names of Tasks and targets")
        return _by_whole_id(reads, head, db)
    labor = _the_last(reads, db) if head == LAST else _labor(reads, head, db)
    if not rest:
        return Address(labor)
    labor = reads.read_labor(labor.id)
    return Address(labor, _steps(labor, rest))


def the_unfinished(reads: Reads, db: str) -> Labor:
    """Of who typed no id: the only Labor that has not ended. It is said which."""
    found = list(reads.search(LaborFilter(states=UNFINISHED, newest_first=True, limit=_MOST + 1)))
    if len(found) == 1:
        print(f"the only unfinished Labor is {_short(found[0])}", file=sys.stderr, flush=True)
        return found[0]
    if not found:
        last = next(iter(reads.search(LaborFilter(newest_first=True, limit=1))), None)
        latest = f"; the latest is {_short(last)}, {last.state.name}: type its id, or {LAST!r}" if last else ""
        raise Refused(f"no Labor in {db} is unfinished{latest}")
    more = "\n  and more" if len(found) > _MOST else ""
    raise Refused(f"several Labors in {db} are unfinished; type the id of one:{_listed(found[:_MOST])}{more}")


def _the_last(reads: Reads, db: str) -> Labor:
    for labor in reads.search(LaborFilter(newest_first=True, limit=1)):
        return labor
    raise Refused(f"there is no Labor in {db} yet")


def _labor(reads: Reads, head: str, db: str) -> Labor:
    if len(head) == _LENGTH:
        with contextlib.suppress(NotFound):
            return reads.read_labor(head, False)
    ids = _ids(reads, head) if head else []
    if len(ids) == 1:
        return reads.read_labor(ids[0], False)
    if not ids:
        raise Refused(f"no Labor in {db} has an id that begins with {head!r}{_like(reads, head, db)}")
    found = [reads.read_labor(id, False) for id in ids[:_MOST]]
    more = f"\n  and {len(ids) - _MOST} more" if len(ids) > _MOST else ""
    raise Refused(f"{head!r} is the beginning of {len(ids)} ids; type more of it:{_listed(found)}{more}")


def _like(reads: Reads, text: str, db: str) -> str:
    """What may be meant by something that is no id: a Labor's name, or an id with a slip in it."""
    labors = list(reads.search(LaborFilter(newest_first=True, limit=_PROPOSED)))
    named = [labor for labor in labors if text in labor.name.lower()]
    if not named:
        beginnings = {labor.id[: len(text)]: labor for labor in reversed(labors)}
        close = difflib.get_close_matches(text, beginnings, n=1, cutoff=0.7)
        named = [beginnings[text] for text in close]
    if not named:
        return f"; to list them:\n  {_advice.ls(db)}" if labors else ": there is none yet"
    return f" - did you mean {_short(named[0])}?"


def _short(labor: Labor) -> str:
    return f"'{shown(labor.name)}' {labor.id[:8]}"


def _listed(labors: list[Labor]) -> str:
    return "".join(f"\n  {labor.id}  {labor.state.name}  {shown(labor.name)}" for labor in labors)


def _ids(reads: Reads, prefix: str) -> list[str]:
    """Ids that begin so. A store has an index of them: none of its Labors is read."""
    store: Any = getattr(reads, "store", reads)
    found: list[str] = store.ids(prefix)
    return found


def _by_whole_id(reads: Reads, id: str, db: str) -> Address:
    labor = reads.read_labor(_labor(reads, id[: -len(_OF_LABOR)] + _OF_LABOR, db).id)
    for path in _paths(labor):
        if path[-1].id == id:
            return Address(labor, path)
    raise Refused(f"{labor.id} has no object {id}")


def _paths(labor: Labor) -> Iterator[tuple[Task | Sequence | Job, ...]]:
    for task in labor.tasks:
        yield (task,)
        for check in (*task.pre_checks, *task.cont_checks):
            yield task, check
        for sequence in task.sequences:
            yield task, sequence
            for job in sequence.jobs:
                yield task, sequence, job


def _steps(labor: Labor, rest: str) -> tuple[Task | Sequence, ...]:
    """Names may have a slash in them: every way of reading it is tried."""
    found: list[tuple[Task | Sequence, ...]] = []
    for task in labor.tasks:
        if rest == task.name:
            found.append((task,))
        elif rest.startswith(f"{task.name}/"):
            target = rest[len(task.name) + 1 :]
            found += [(task, sequence) for sequence in task.sequences if target in (sequence.target, sequence.name)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(steps[-1].id for steps in found[:_MOST])
        raise Refused(
            f"{len(found)} objects of Labor '{shown(labor.name)}' are called {rest!r}; give the id of one: {ids}"
        )
    within = [task for task in labor.tasks if rest.startswith(f"{task.name}/")]
    if within:
        task = max(within, key=lambda task: len(task.name))
        raise _nothing(
            "Sequence", rest[len(task.name) + 1 :], f"Task '{shown(task.name)}'", [s.target for s in task.sequences]
        )
    raise _nothing("Task", rest, f"Labor '{shown(labor.name)}'", [task.name for task in labor.tasks])


def _nothing(kind: str, name: str, where: str, names: list[str]) -> Refused:
    there = ", ".join(repr(known) for known in names[:_MOST]) + (", ..." if len(names) > _MOST else "")
    return Refused(f"{where} has no {kind} {name!r}{did_you_mean(name, names)}; there is {there}")


def _name(step: Task | Sequence | Job) -> str:
    if isinstance(step, Task):
        return step.name
    return step.target if isinstance(step, Sequence) else step.name or step.cog_path


# ---- completion ----


def complete(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Ids of Labors in the --db that was typed, with what they are; behind a slash, their Tasks and targets. Never an error."""
    try:
        with open_existing(ctx.params.get("db") or "cogwork.db") as store:
            return list(_completions(store, incomplete))
    except (CogworkError, OSError):
        return []


def _completions(store: BuiltinStorage, incomplete: str) -> Iterator[tuple[str, str]]:
    head, slash, rest = incomplete.partition("/")
    if not head:
        labors = list(store.search(LaborFilter(newest_first=True, limit=_PROPOSED)))
    else:
        labors = [store.read_labor(id, False) for id in store.ids(head, _PROPOSED)]
    if not slash:
        for labor in labors:
            yield labor.id, f"{labor.state.name} {shown(labor.name)}"
        return
    if len(labors) != 1:
        return
    for task in store.read_labor(labors[0].id).tasks:
        if task.name.startswith(rest):
            yield f"{head}/{task.name}", task.state.name
        if rest.startswith(f"{task.name}/"):
            for sequence in task.sequences:
                if f"{task.name}/{sequence.target}".startswith(rest):
                    yield f"{head}/{task.name}/{sequence.target}", sequence.state.name


_HELP = "The beginning of a Labor's id, or `last`; nothing: the only unfinished Labor."
Id = Annotated[
    str | None, typer.Argument(metavar="ID[/TASK[/TARGET]]", help=_HELP, autocompletion=complete, show_default=False)
]
LaborId = Annotated[str | None, typer.Argument(metavar="ID", help=_HELP, autocompletion=complete, show_default=False)]
