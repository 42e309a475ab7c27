"""What is typed for an object: an id, any unique beginning of one, or `ID/task/target`; and what the shell proposes while it is typed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Protocol

import typer

from .._errors import CogworkError, NotFound, StorageError
from .._model import Job, Labor, LaborFilter, Sequence, Task, did_you_mean
from .._storage import BuiltinStorage, open_store
from .._text import shown
from ._app import Refused

_LENGTH = 36  # of a whole id
_OF_LABOR = "00000000"  # how a Labor's id ends; what is below it has its place in the tree there
_MOST = 5
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

    def __str__(self) -> str:
        names = [f"'{shown(self.labor.name)}' {self.labor.id[:8]}"]
        names += [shown(_name(step)) for step in self.path]
        return "/".join(names)


def open_existing(db: str) -> BuiltinStorage:
    """The store, to read it. Refused where there is none; nothing is made."""
    if db == "memory" or db.startswith("memory:"):
        raise Refused("a store in memory is its own process's alone; there is nothing to look at from here")
    try:
        return open_store(db)
    except (NotFound, StorageError):
        if os.path.exists(db) or ":" in db:
            raise
        raise Refused(
            f"there is no store {db}; --db PATH names another one, and `cogwork run` or `serve` makes one"
        ) from None


def find(reads: Reads, text: str, db: str) -> Address:
    """The object that is meant. Refused where there is none, or where there are several."""
    head, _, rest = text.partition("/")
    head = head.lower()
    if len(head) == _LENGTH and not head.endswith(_OF_LABOR):
        if rest:
            raise Refused(f"{head} is no Labor's id; only behind a Labor's come names of Tasks and targets")
        return _by_whole_id(reads, head)
    labor = _labor(reads, head, db)
    if not rest:
        return Address(labor)
    labor = reads.read_labor(labor.id)
    return Address(labor, _steps(labor, rest))


def _labor(reads: Reads, head: str, db: str) -> Labor:
    if len(head) == _LENGTH:
        with contextlib.suppress(NotFound):
            return reads.read_labor(head, False)
    ids = _ids(reads, head) if head else []
    if len(ids) == 1:
        return reads.read_labor(ids[0], False)
    if not ids:
        raise Refused(f"no Labor in {db} has an id that begins with {head!r}; `cogwork ls` lists them")
    found = [reads.read_labor(id, False) for id in ids[:_MOST]]
    lines = [f"\n  {labor.id}  {labor.state.name}  {shown(labor.name)}" for labor in found]
    more = f"\n  and {len(ids) - _MOST} more" if len(ids) > _MOST else ""
    raise Refused(f"{head!r} is the beginning of {len(ids)} ids; type more of it:{''.join(lines)}{more}")


def _ids(reads: Reads, prefix: str) -> list[str]:
    """Ids that begin so. A store has an index of them: none of its Labors is read."""
    store: Any = getattr(reads, "store", reads)
    found: list[str] = store.ids(prefix)
    return found


def _by_whole_id(reads: Reads, id: str) -> Address:
    labor = reads.read_labor(id[: -len(_OF_LABOR)] + _OF_LABOR)
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


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID[/TASK[/TARGET]]", help="Any unique beginning of an id will do.", autocompletion=complete
    ),
]
LaborId = Annotated[
    str, typer.Argument(metavar="ID", help="Any unique beginning of a Labor's id will do.", autocompletion=complete)
]
