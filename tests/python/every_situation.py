"""One situation in a process of its own, for test_every_callable.py: every public callable (every_callable.py) is called in it.

Each call is said before it begins, and what came of it: as lines of JSON, on a descriptor of its own. At the end it says what is left behind. Where
something hangs, faulthandler says where.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import gc
import inspect
import json
import os
import pathlib
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from every_callable import Row, World, every_row, faces, gentle, quick, tree

import cogwork as cw

STACK = 1 << 30
"""Bytes of a thread's stack, where there are to be no threads: no room is left for one."""
HANGS = 80
"""Seconds after which a situation hangs."""


# ---- saying what came of it ----


class Reports:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, **what: Any) -> None:
        os.write(self._descriptor, (json.dumps(what) + "\n").encode())


def outcome(value: Any = None, error: BaseException | None = None) -> dict[str, Any]:
    if error is None:
        return {"ok": True}
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place, trace = f"{pathlib.Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}", trace.tb_next
    return {
        "ok": False,
        "kind": type(error).__name__,
        "own": isinstance(error, (cw.CogworkError, cw.CogworkWarning)),
        "words": str(error),
        "place": place,
    }


class Situation:
    """How the calls are made. The base: by the main thread, with nothing wrong."""

    def __init__(self, world: World, reports: Reports, names: list[str] | None = None) -> None:
        self.world = world
        self.reports = reports
        self.names = names

    def inside(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def prepared(self) -> Iterator[tuple[str, Row, Any]]:
        for face_name, face in faces().items():
            for name, row in every_row(face).items():
                if self.names is None or f"{face_name}.{name}" in self.names:
                    self.reports.say(makes=f"{face_name}.{name}")
                    yield f"{face_name}.{name}", row, row.make(self.world)

    def run(self) -> None:
        for name, row, subject in self.prepared():
            self.one(name, row, subject)

    def one(self, name: str, row: Row, subject: Any) -> None:
        loop = asyncio.new_event_loop()
        self.reports.say(begins=name)
        try:
            with self.inside():
                value = row.call(subject, self.world)
                if inspect.isawaitable(value) and not isinstance(value, (cw.Ack, cw.LaborHandle, cw.Latch)):
                    loop.run_until_complete(until(value))
            came = outcome()
        except BaseException as error:
            came = outcome(error=error)
        if loop._default_executor is not None:  # type: ignore[attr-defined]
            loop._default_executor.shutdown()  # type: ignore[attr-defined]
        loop.close()
        self.reports.say(call=name, **came)

    async def one_async(self, name: str, row: Row, subject: Any) -> None:
        self.reports.say(begins=name)
        try:
            value = row.call(subject, self.world)
            if inspect.isawaitable(value) and not isinstance(value, (cw.Ack, cw.LaborHandle, cw.Latch)):
                await value
            came = outcome()
        except BaseException as error:
            came = outcome(error=error)
        self.reports.say(call=name, **came)


async def until(value: Any) -> Any:
    return await value


class NoDescriptor(Situation):
    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.open("/dev/null", os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class NoThread(Situation):
    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + STACK // 2, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Prepared(Situation):
    """All subjects are made, then something happens, then all are called."""

    def run(self) -> None:
        rows = list(self.prepared())
        self.happens(lambda: [self.one(*row) for row in rows])

    def happens(self, calls: Callable[[], Any]) -> None:
        raise NotImplementedError


class Closed(Prepared):
    def happens(self, calls: Callable[[], Any]) -> None:
        for made in (self.world.client, self.world.engine, self.world.other):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made.close()
        calls()


class Forked(Prepared):
    def happens(self, calls: Callable[[], Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads
            faulthandler.cancel_dump_traceback_later()  # its thread is not in the child, which would wait for it
            child = os.fork()
        if child == 0:
            faulthandler.register(signal.SIGALRM, chain=True)
            signal.alarm(HANGS - 5)
            calls()
            sys.exit(0)
        self.reports.say(child=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class InACog(Situation):
    """In a plain Cog of the engine; handles are those of its own Labor."""

    def run(self) -> None:
        @cw.cog(idempotent=True, timeout=HANGS)
        def calls(ctx: cw.Context) -> None:
            self.world.context = ctx
            self.world.mine = ctx.labor_id
            super(InACog, self).run()

        done = self.world.engine.run(tree("calls", calls.job()))
        job = done.tasks[0].sequences[0].jobs[0]
        self.reports.say(cog=job.state.name, error=job.error or "")
        self.world.mine = ""


class InAnAsyncCog(Situation):
    """In an async Cog: in the thread of the engine's own loop."""

    def run(self) -> None:
        @cw.cog(idempotent=True, timeout=HANGS)
        async def calls(ctx: cw.Context) -> None:
            self.world.context = ctx
            self.world.mine = ctx.labor_id
            self.world.cog = gentle
            for row in self.prepared():
                await self.one_async(*row)

        done = self.world.engine.run(tree("calls", calls.job()))
        job = done.tasks[0].sequences[0].jobs[0]
        self.reports.say(cog=job.state.name, error=job.error or "")
        self.world.mine, self.world.cog = "", quick
        del self.world.context  # it holds the call's task, and that the loop


class InTheLoop(Situation):
    """In the thread of the loop that the engine was given."""

    async def run_async(self) -> None:
        self.world.cog = gentle
        for row in self.prepared():
            await self.one_async(*row)
        self.world.cog = quick


SITUATIONS: dict[str, type[Situation]] = {
    "nothing wrong": Situation,
    "no descriptor": NoDescriptor,
    "no thread": NoThread,
    "-W error": Situation,
    "a forked child": Forked,
    "a Cog": InACog,
    "an async Cog": InAnAsyncCog,
    "the loop's thread": InTheLoop,
    "after close": Closed,
}
ENDS = ["before cogwork's end", "after cogwork's end", "the end of modules"]


# ---- what is left behind ----


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def settled(figure: Callable[[], int], most: int) -> int:
    """Once it is no more than that; or what it is after a while."""
    until = time.monotonic() + 30
    while (found := figure()) > most and time.monotonic() < until:
        time.sleep(0.01)
    return found


def say_what_is_left(world: World, reports: Reports, before: tuple[int, int]) -> None:
    """After all is closed."""
    in_use = []
    for path in sorted(world.folder.glob("*.db")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cw.Engine(path, recover="none").close()
        except cw.CogworkError as error:
            in_use.append(f"{path.name}: {error}")
    gc.collect()
    with cw.open_store(world.db) as store:
        stored = dict(counted(store))
        damage = [str(finding) for finding in (*store.verify(), *world.other.store.verify())]
    stored_there = dict(counted(world.other.store))
    del store
    reports.say(
        left={
            "threads": [
                settled(threads, before[0]) - before[0],
                [pathlib.Path("/proc/self/task", t, "comm").read_text() for t in os.listdir("/proc/self/task")],
            ],
            "descriptors": [settled(descriptors, before[1]) - before[1], described()],
            "children": children(),
            "in use": in_use,
            "damage": damage,
            "lost": [pair for pair in world.submitted if stored.get(pair[0]) != pair[1]]
            + [pair for pair in world.submitted_there if stored_there.get(pair[0]) != pair[1]],
            "unknown": sorted(set(stored) - {name for name, _ in world.submitted})
            + sorted(set(stored_there) - {name for name, _ in world.submitted_there}),
        }
    )


def counted(store: cw.Storage) -> Iterator[tuple[str, str]]:
    """Names and ids of the Labors that were submitted one by one."""
    return ((labor.name, labor.id) for labor in store.labors(cw.LaborFilter()) if labor.name.startswith("counted "))


def described() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


def children() -> list[int]:
    """Processes of this one, dead ones too."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(entry.name))
    return found


# ---- the end of Python ----


class AtTheEnd(Prepared):
    """All subjects are made; they are called when Python ends."""

    def __init__(self, world: World, reports: Reports, hook: Callable[[Callable[[], Any]], object]) -> None:
        super().__init__(world, reports)
        self.happens = hook  # type: ignore[method-assign]


class Late:
    """Calls when it goes."""

    def __init__(self, calls: Callable[[], Any]) -> None:
        self.calls = calls

    def __del__(self) -> None:
        self.calls()


def main(
    situation: str, folder: pathlib.Path, descriptor: int, after: list[Callable[[], Any]], late: list[Any]
) -> None:
    """after: what is called when Python ends, after cogwork has closed its engines. late: what goes with the main module."""
    faulthandler.enable()
    faulthandler.dump_traceback_later(HANGS, exit=True)
    reports = Reports(descriptor)
    asyncio.new_event_loop().close()
    cw.to_frame(cw.Labor("any"))  # libraries have threads of their own
    cw.timeline(cw.Labor("any"))
    before = threads(), descriptors()
    if situation == "the loop's thread":

        async def within() -> World:
            world = World(folder, asyncio.get_running_loop())
            await InTheLoop(world, reports).run_async()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for made in world.kept:
                    if isinstance(made, cw.Engine):
                        await asyncio.to_thread(made.close)
                for engine in (world.engine, world.other):
                    await asyncio.to_thread(engine.close)
            return world

        world = asyncio.run(within())
    elif situation in ENDS:
        world = World(folder)
        hooks = dict(zip(ENDS, (atexit.register, after.append, lambda calls: late.append(Late(calls))), strict=True))
        AtTheEnd(world, reports, hooks[situation]).run()
        reports.say(ended=True)
        return
    else:
        world = World(folder)
        SITUATIONS[situation](world, reports).run()
    world.close()
    gc.collect()
    say_what_is_left(world, reports, before)
    reports.say(ended=True)
