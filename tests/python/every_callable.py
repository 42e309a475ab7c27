"""Every public callable, and how it is called, for test_every_callable.py: of engines, clients, handles, acks, feeds, stores and Cogs.

`faces()` has them. A Row makes what it calls before the situation begins that it is called in (every_situation.py). A public name without a row is
a failure of the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import itertools
import os
import pathlib
import re
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import msgspec
from test_storage import DictStore

import cogwork as cw
from cogwork._control import Control
from cogwork._engine import Cogs
from cogwork._storage import BuiltinStorage

numbers = itertools.count(1)


# ---- what the callables are called on ----


@cw.cog(idempotent=True, name="every-callable-quick")
def quick(ctx: cw.Context) -> int:
    ctx.log("quick")
    _contexts.append(ctx)
    return 1


@cw.cog(idempotent=True)
async def gentle() -> int:
    await asyncio.sleep(0)
    return 2


_contexts: list[cw.Context] = []


class World:
    """An engine, and one of each kind of what it gives. mine: the id of the Labor whose Cog calls, if one does."""

    def __init__(self, folder: pathlib.Path, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.folder = folder
        self.db = folder / "labors.db"
        self.cog: cw.Cog[..., Any] = quick
        self.mine = ""
        self.submitted: list[tuple[str, str]] = []
        self.submitted_there: list[tuple[str, str]] = []
        self.kept: list[Any] = []
        self.engine = cw.Engine(self.db, grace=0.2, loop=loop)
        self.ended = self.engine.run(tree("ended", quick.job())).id
        self.other = cw.Engine(DictStore(), grace=0.2, loop=loop)
        self.ended_there = self.other.run(tree("ended", quick.job())).id
        self.client = cw.connect(self.db)
        self.reader = cw.open_store(self.db)
        self.context = _contexts[0]
        self.file = folder / "a_cog"
        self.file.write_text(
            f"#!{sys.executable}\nimport cogwork as cw\n@cw.cog\ndef far() -> int:\n    return 1\ncw.serve_cogs()\n"
        )
        self.file.chmod(0o755)

    def path(self) -> pathlib.Path:
        return self.folder / f"own-{next(numbers)}.db"

    def own(self) -> cw.Engine:
        """An engine that nobody else uses."""
        return self.keep(cw.Engine(self.path(), grace=0.2))

    def own_there(self) -> cw.Engine:
        return self.keep(cw.Engine(DictStore(), grace=0.2))

    def own_client(self) -> cw.Client:
        return self.keep(cw.connect(self.db))

    def keep(self, made: Any) -> Any:
        """Closes it when all is over."""
        self.kept.append(made)
        return made

    def labor(self, cog: Any = None) -> cw.Labor:
        """Another one, which ends at once, and is known by its name."""
        return tree(f"counted {next(numbers)}", (cog or self.cog).job(*(["true"],) if cog is cw.command else ()))

    def noted(self, on: Any, labor: cw.Labor, made: Any) -> Any:
        """Keeps the id that somebody was given for it."""
        (self.submitted_there if on is self.other else self.submitted).append((labor.name, made.id))
        return made

    def ended_on(self, on: Any) -> str:
        """A Labor that has ended."""
        return self.ended_there if on is self.other else self.ended

    def live(self, on: Any) -> cw.LaborHandle:
        """A Labor that goes on: its Task is held where it is entered."""
        labor = tree("live", quick.job())
        labor.tasks[0].pause_on_entry = True
        return on.submit(labor)

    def whole(self, on: Any) -> cw.LaborHandle:
        """One that can be waited for: the Labor whose Cog calls, or else one that has ended."""
        return on.handle(self.mine or self.ended)

    def pausing(self, on: Any) -> cw.Ack:
        """Of a pause; of the Labor whose Cog calls, if one does: that is done when the call has ended."""
        handle = on.handle(self.mine) if self.mine else self.live(on)
        with contextlib.suppress(cw.SignalNotAllowed):
            handle.resume()
        return handle.pause()

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for made in (*self.kept, self.client, self.reader, self.engine, self.other):
                made.close()
        self.kept.clear()


def tree(name: str, job: cw.Job, **fields: Any) -> cw.Labor:
    return cw.Labor(name, tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[job])])], **fields)


def ids_of(on: Any, world: World) -> tuple[str, str, str]:
    """Of a Task, a Sequence and a Job."""
    task = on.read_labor(world.ended_on(on)).tasks[0]
    return task.id, task.sequences[0].id, task.sequences[0].jobs[0].id


def row_of(store: Any) -> cw.Labor:
    """Writes a Labor into a store, with ids."""
    labor = next(iter(store.labors(cw.LaborFilter())), None)
    if labor is not None:
        return store.read_labor(labor.id)
    with cw.Engine("memory:") as engine:
        labor = engine.read_labor(engine.run(tree("written", quick.job())).id)
    with contextlib.suppress(cw.StorageError):
        store.write_labor(labor)
    return labor


# ---- how each is called ----


@dataclasses.dataclass
class Row:
    """make: what it is called on, before the situation begins. call: what is called in it. Where that gives an awaitable, it is awaited."""

    make: Callable[[World], Any]
    call: Callable[[Any, World], Any]


Rows = dict[str, Row]


def on(make: Callable[[World], Any], **calls: Callable[[Any, World], Any]) -> Rows:
    return {name: Row(make, call) for name, call in calls.items()}


def left(entered: Any, _: World) -> None:
    with entered:
        pass


async def left_async(entered: Any, _: World) -> None:
    async with entered:
        pass


async def awaited(what: Any, _: World) -> Any:
    return await what


async def following(feed: Any, _: World) -> Any:
    async for one in feed:
        return one
    return None


async def resubmitted(steering: Any, world: World) -> Any:
    labor = world.labor()
    return world.noted(steering, labor, await steering.asubmit(labor))


def submit_twice(steering: Any, world: World) -> Any:
    labor = world.labor()
    labor.tasks[0].sequences.append(cw.Sequence("h", jobs=[quick.job()]))
    return world.noted(steering, labor, steering.submit(labor))


def steering(get: Callable[[World], Any]) -> Rows:
    """What an Engine and a Client share."""

    def submit(cog: Any = None) -> Callable[[Any, World], Any]:
        def call(steering: Any, world: World) -> Any:
            labor = world.labor(cog)
            return world.noted(steering, labor, steering.submit(labor))

        return call

    def run(steering: Any, world: World) -> Any:
        labor = world.labor()
        try:
            return world.noted(steering, labor, steering.run(labor))
        except cw.CogworkError as error:
            if found := re.search(r"handle\('(.*?)'\)", str(error)):  # it was submitted, and could not be waited for
                world.noted(steering, labor, types.SimpleNamespace(id=found[1]))
            raise

    def held_job(world: World) -> tuple[Any, str]:
        return get(world), ids_of(get(world), world)[2]

    def read(kind: str, place: int) -> Row:
        return Row(lambda w: (get(w), ids_of(get(w), w)[place]), lambda x, w: getattr(x[0], f"read_{kind}")(x[1]))

    return {
        **on(
            get,
            __repr__=lambda s, w: repr(s),
            submit=submit(),
            run=run,
            asubmit=resubmitted,
            handle=lambda s, w: s.handle(w.ended_on(s)),
            take_up=lambda s, w: s.take_up(w.ended_on(s)),
            crisis_pause=lambda s, w: s.crisis_pause(["nobody"]),
            crises=lambda s, w: s.crises(),
            search=lambda s, w: list(s.search()),
            read_labor=lambda s, w: s.read_labor(w.ended_on(s)),
            at=lambda s, w: s.at(w.ended_on(s), 1),
            verify=lambda s, w: s.verify(),
            changes=lambda s, w: s.changes(),
            stats=lambda s, w: s.stats(),
        ),
        "submit, a target twice": Row(get, submit_twice),
        "submit, a command": Row(get, submit(cw.command)),
        "submit, an async Cog": Row(get, submit(gentle)),
        "submit, a process": Row(
            lambda w: (get(w), cw.process_cog(str(w.file), idempotent=True)), lambda x, w: submit(x[1])(x[0], w)
        ),
        "decide": Row(held_job, lambda x, w: x[0].decide(x[1], "rerun")),
        "adecide": Row(held_job, lambda x, w: x[0].adecide(x[1], "rerun")),
        "signal": Row(lambda w: (get(w), w.live(get(w)).id), lambda x, w: x[0].signal(x[1], cw.Signal.STOP)),
        "crisis_resume": Row(
            lambda w: (get(w), get(w).crisis_pause(["nobody"]).id), lambda x, w: x[0].crisis_resume(x[1])
        ),
        "read_task": read("task", 0),
        "read_sequence": read("sequence", 1),
        "read_job": read("job", 2),
    }


CLOSING = {
    "close": lambda s, w: s.close(),
    "__enter__": lambda s, w: s.__enter__(),
    "__exit__": left,
}
CLOSING_ASYNC = {"__aenter__": lambda s, w: s.__aenter__(), "__aexit__": left_async}


def calling(name: str) -> Callable[[Any, World], Any]:
    return lambda subject, w: getattr(subject, name)()


def looking_at(name: str) -> Callable[[Any, World], Any]:
    return lambda subject, w: getattr(subject, name)


SIGNALS = {
    name: calling(name)
    for name in ("pause", "admin_pause", "crisis_pause", "resume", "admin_resume", "crisis_resume", "stop")
}


def handle(make: Callable[[World, Any], Any], get: Callable[[World], Any]) -> Rows:
    return on(
        lambda w: make(w, get(w)),
        **SIGNALS,
        __repr__=lambda h, w: repr(h),
        _repr_html_=lambda h, w: h._repr_html_(),
        read=lambda h, w: h.read(),
    )


def handles(get: Callable[[World], Any]) -> dict[str, tuple[type, Rows]]:
    def started(w: World) -> cw.LaborHandle:
        return get(w).submit(tree("waits", quick.job()), start=False)

    labor = {
        **handle(lambda w, on: w.live(on), get),
        **on(
            lambda w: w.whole(get(w)),
            task=lambda h, w: h.task("t"),
            wait=lambda h, w: h.wait(),
            __await__=awaited,
            changes=lambda h, w: h.changes(0),
            logs=lambda h, w: h.logs(),
            at=lambda h, w: h.at(1),
            progress=lambda h, w: h.progress(),
            held=lambda h, w: h.held(),
            watch=lambda h, w: h.watch(),
        ),
        "start": Row(started, lambda h, w: h.start()),
        "wait, of one that goes on": Row(lambda w: w.live(get(w)), lambda h, w: h.wait(0.01)),
        "stop, interrupt": Row(lambda w: w.live(get(w)), lambda h, w: h.stop(True)),
    }
    task = {
        **handle(lambda w, on: w.live(on).task("t"), get),
        **on(lambda w: w.whole(get(w)).task("t"), sequence=lambda h, w: h.sequence("h")),
    }
    ack = on(
        lambda w: w.pausing(get(w)),
        __repr__=lambda a, w: repr(a),
        wait=lambda a, w: a.wait(),
        __await__=awaited,
    )
    latch = on(
        lambda w: get(w).crisis_pause([w.mine or "nobody"]),
        __str__=lambda latch, w: str(latch),
        wait=lambda latch, w: latch.wait(),
        __await__=awaited,
        holds=lambda latch, w: latch.holds(tree("any", quick.job())),
    )
    feeds = {
        "__iter__": lambda f, w: iter(f),
        "__next__": lambda f, w: next(f, None),
        "__aiter__": lambda f, w: f.__aiter__(),
        "__anext__": following,
        "poll": lambda f, w: f.poll(),
    }
    return {
        "LaborHandle": (cw.LaborHandle, labor),
        "TaskHandle": (cw.TaskHandle, task),
        "SequenceHandle": (cw.SequenceHandle, handle(lambda w, on: w.live(on).task("t").sequence("h"), get)),
        "Ack": (cw.Ack, ack),
        "Latch": (cw.Latch, latch),
        "Changes": (cw.Changes, on(lambda w: get(w).changes(w.ended, 0), **feeds)),
        "Logs": (cw.Logs, on(lambda w: get(w).handle(w.ended).logs(), **feeds)),
        "SearchResult": (
            cw.SearchResult,
            on(
                lambda w: get(w).search(),
                __iter__=lambda s, w: iter(s),
                __next__=lambda s, w: next(s, None),
                __repr__=lambda s, w: repr(s),
                _repr_html_=lambda s, w: s._repr_html_(),
                read_all=lambda s, w: list(s.read_all()),
            ),
        ),
    }


def store(make: Callable[[World], Any], fresh: Callable[[World], Any]) -> Rows:
    def with_labor(w: World) -> tuple[Any, cw.Labor]:
        made = make(w)
        return made, row_of(made)

    def locked(store: Any, w: World) -> None:
        store.lock(cw.Owner(os.getpid(), "here", "me", "test", None)).release()

    return {
        **on(
            make,
            __repr__=lambda s, w: repr(s),
            name=lambda s, w: s.name(),
            identity=lambda s, w: s.identity(),
            ids=lambda s, w: s.ids(),
            labors=lambda s, w: list(s.labors(cw.LaborFilter())),
            search=lambda s, w: list(s.search()),
            verify=lambda s, w: s.verify(),
            history=lambda s, w: list(s.history()),
            changes=lambda s, w: list(s.changes()),
            records=lambda s, w: s.records(cw.RecordKind.LATCH),
            last_change=lambda s, w: s.last_change(),
            apply=lambda s, w: s.apply(cw.Batch([], [], [])),
        ),
        **on(fresh, **{n: CLOSING[n] for n in ("close", "__enter__", "__exit__")}, lock=locked),
        **on(
            with_labor,
            read_labor=lambda x, w: x[0].read_labor(x[1].id),
            read_task=lambda x, w: x[0].read_task(x[1].tasks[0].id),
            read_sequence=lambda x, w: x[0].read_sequence(x[1].tasks[0].sequences[0].id),
            read_job=lambda x, w: x[0].read_job(x[1].tasks[0].sequences[0].jobs[0].id),
            write_labor=lambda x, w: x[0].write_labor(x[1]),
            write_labor_state=lambda x, w: x[0].write_labor_state(msgspec.structs.replace(x[1], tasks=[])),
            write_task=lambda x, w: x[0].write_task(
                msgspec.structs.replace(x[1].tasks[0], sequences=[], pre_checks=[], cont_checks=[])
            ),
            write_sequence=lambda x, w: x[0].write_sequence(
                msgspec.structs.replace(x[1].tasks[0].sequences[0], jobs=[])
            ),
            write_job=lambda x, w: x[0].write_job(msgspec.structs.replace(x[1].tasks[0].sequences[0].jobs[0], args={})),
            last_link=lambda x, w: x[0].last_link(x[1].id),
            at=lambda x, w: x[0].at(x[1].id, 1),
        ),
    }


def kept_memory(w: World) -> BuiltinStorage:
    return w.__dict__.setdefault("_memory", cw.open_store("memory:"))


def kept_dict(w: World) -> DictStore:
    return w.__dict__.setdefault("_dict", DictStore())


def made_cog() -> cw.Cog[..., Any]:
    @cw.cog(name=f"made_{next(numbers)}")
    def made(n: int = 1) -> int:
        return n

    return made


def made_async_cog() -> cw.Cog[..., Any]:
    @cw.cog(name=f"made_{next(numbers)}")
    async def made(n: int = 1) -> int:
        return n

    return made


def served(_: Any, w: World) -> object:
    try:
        cw.serve_cogs(quick)
    except SystemExit as error:  # run by hand
        return error.code


def no_check(args: dict[str, Any]) -> None: ...


COG = on(
    lambda w: made_cog(),
    __repr__=lambda c, w: repr(c),
    __call__=lambda c, w: c(n=2),
    job=lambda c, w: c.job(n=2),
    describe=lambda c, w: c.describe(),
    validate=lambda c, w: c.validate({"n": 2}),
    validator=lambda c, w: c.validator(no_check),
)

FUNCTIONS: Rows = {
    **on(
        lambda w: None,
        connect=lambda _, w: w.keep(cw.connect(w.db)),
        doctor=lambda _, w: cw.doctor(w.db),
        open_store=lambda _, w: w.keep(cw.open_store(w.db)),
        stores=lambda _, w: cw.stores(),
        register_store=lambda _, w: cw.register_store(f"store_{next(numbers)}", DictStore),
        process_cog=lambda _, w: cw.process_cog(str(w.file), idempotent=True),
        serve_cogs=served,
        cog=lambda _, w: made_cog(),
    ),
    **on(
        lambda w: w.whole(w.engine),
        timeline=lambda h, w: cw.timeline(h),
        to_frame=lambda h, w: cw.to_frame(h),
    ),
    "cog, an async one": Row(lambda w: None, lambda _, w: made_async_cog()),
}


@dataclasses.dataclass
class Face:
    """A public class, and how each of its callables is called."""

    of: type | None
    rows: Rows


def context_rows() -> Rows:
    return on(
        lambda w: w.context,
        log=lambda c, w: c.log("a line"),
        progress=lambda c, w: c.progress(0.5),
        sleep=lambda c, w: slept(c, w),
    )


def slept(context: cw.Context, _: World) -> Any:
    made = context.sleep(0.001)
    return awaited(made, _) if context._running.is_async else bool(made)


def faces() -> dict[str, Face]:
    found = {
        "cogwork": Face(None, FUNCTIONS),
        "Engine": Face(
            cw.Engine,
            {
                **steering(lambda w: w.engine),
                **on(lambda w: w.own(), **CLOSING, **CLOSING_ASYNC),
                "close, interrupt": Row(lambda w: w.own(), lambda e, w: e.close(interrupt=True)),
                "close, with Labors left": Row(lambda w: w.live(w.own())._engine, lambda e, w: e.close()),
                "__init__": Row(lambda w: w.path(), lambda path, w: w.keep(cw.Engine(path))),
            },
        ),
        "Engine on a store of one's own": Face(
            cw.Engine,
            {**steering(lambda w: w.other), **on(lambda w: w.own_there(), **CLOSING, **CLOSING_ASYNC)},
        ),
        "Client": Face(
            cw.Client,
            {
                **steering(lambda w: w.client),
                **on(lambda w: w.own_client(), **CLOSING, **CLOSING_ASYNC),
                "__init__": Row(lambda w: None, lambda _, w: w.keep(cw.Client(w.db))),
            },
        ),
        "Cogs": Face(
            Cogs,
            on(
                lambda w: w.engine.cogs,
                names=lambda c, w: c.names(),
                crashes=lambda c, w: c.crashes(quick.name),
                reset=lambda c, w: c.reset(quick.name),
            ),
        ),
        "Control": Face(Control, on(lambda w: w.engine.control, __str__=lambda c, w: str(c))),
        "BuiltinStorage": Face(BuiltinStorage, store(lambda w: w.reader, lambda w: cw.open_store(w.db))),
        "BuiltinStorage in memory": Face(BuiltinStorage, store(kept_memory, lambda w: cw.open_store("memory:"))),
        "SimpleStorage": Face(
            cw.SimpleStorage,
            {
                **{
                    name: row
                    for name, row in store(kept_dict, lambda w: DictStore()).items()
                    if name not in ("search", "changes")
                },
                "__init__": Row(lambda w: None, lambda _, w: DictStore()),
            },
        ),
        "Cog": Face(cw.Cog, COG),
        "CommandCog": Face(
            cw.CommandCog,
            on(lambda w: cw.command, __repr__=lambda c, w: repr(c), job=lambda c, w: c.job(["true"])),
        ),
        "ProcessCog": Face(
            cw.ProcessCog,
            on(
                lambda w: cw.process_cog(str(w.file), idempotent=True),
                __repr__=lambda c, w: repr(c),
                job=lambda c, w: c.job(),
            ),
        ),
        "Context": Face(cw.Context, context_rows()),
    }
    for name, get in (("an Engine", lambda w: w.engine), ("a Client", lambda w: w.client)):
        for kind, (of, rows) in handles(get).items():
            found[f"{kind} of {name}"] = Face(of, rows)
    return found


PROTOCOL = {
    "__init__", "__repr__", "__str__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__await__", "__iter__", "__next__",
    "__aiter__", "__anext__", "_repr_html_",
}  # fmt: skip
"""What Python and notebooks call."""


def members(of: type | None) -> dict[str, bool]:
    """The public names of a class of cogwork - of the package itself, where there is none -, and whether each is called."""
    if of is None:
        return {name: True for name in cw.__all__ if inspect.isfunction(getattr(cw, name))}
    own = {name for base in of.__mro__ if base.__module__.partition(".")[0] == "cogwork" for name in vars(base)}
    names = [name for name in dir(of) if not name.startswith("_") or name in PROTOCOL & own]
    return {name: callable(getattr(of, name)) for name in names}


def every_row(face: Face) -> Rows:
    """With what is no callable: it is looked at, on what `__repr__` or any other row is called on."""
    first = next(iter(face.rows.values())).make
    rows = dict(face.rows)
    for name, called in members(face.of).items():
        if not called:
            rows[name] = Row(first, looking_at(name))
    return rows
