"""Waits that would never end are an error at once that says so; what can go on is allowed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import State

PATIENCE = 60


def within(function: Callable[[], Any]) -> Any:
    """What it returned or raised; a wait that goes on for ever is a failure of the test, not of its run."""
    box: list[Any] = []

    def run() -> None:
        try:
            box.append(function())
        except BaseException as error:
            box.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert box, "it waits for itself"
    return box[0]


def error_of(labor: cw.Labor, job: int = 0) -> str:
    return labor.tasks[0].sequences[0].jobs[job].error or ""


@pytest.fixture
def ping(make_cog):
    async def ping() -> str:
        await asyncio.sleep(0.01)
        return "pong"

    return make_cog(ping)


@pytest.fixture
def plain(make_cog):
    def plain() -> bool:
        return True

    return make_cog(plain)


@pytest.fixture
def refusing(make_cog):
    """A Cog that calls a function, and fails as that does."""

    def make(function, kind="plain", **options):
        def calls(ctx: cw.Context) -> Any:
            return function(ctx)

        async def calls_async(ctx: cw.Context) -> Any:
            made = function(ctx)
            return await made if asyncio.iscoroutine(made) else made

        return make_cog(calls if kind == "plain" else calls_async, timeout=PATIENCE, **options)

    return make


# ---- a loop that was given ----


def test_a_loop_that_is_closed_is_refused_at_once():
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(ValueError, match="loop is closed"):
        cw.Engine("memory:", loop=loop)


def test_a_loop_that_does_not_run_is_said_where_somebody_waits(ping, plain):
    loop = asyncio.new_event_loop()
    engine = cw.Engine("memory:", loop=loop, grace=0.1)
    try:
        for wait in (lambda h: h.wait(), lambda h: h.wait(0.1), lambda h: h.wait(50)):
            error = within(lambda wait=wait: wait(engine.submit(one(ping.job()))))
            assert isinstance(error, cw.CogworkError)
            assert "does not run" in str(error)
        assert engine.run(one(plain.job()), timeout=PATIENCE).state == State.COMPLETED, "it needs no loop"
        handle = engine.submit(one(ping.job()))
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        assert handle.wait(PATIENCE).state == State.COMPLETED, "it runs now"
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
    finally:
        engine.close(interrupt=True)
        loop.close()


def test_a_loop_that_was_closed_meanwhile_is_said(ping):
    loop = asyncio.new_event_loop()
    with cw.Engine("memory:", loop=loop, grace=0.1) as engine:
        loop.close()
        error = within(lambda: engine.run(one(ping.job())))
        assert isinstance(error, cw.CogworkError)
        assert "closed" in str(error) or "does not run" in str(error)
        engine.close(interrupt=True)


@pytest.mark.filterwarnings("ignore::cogwork.CogworkWarning")
@pytest.mark.parametrize(
    "wait",
    ["run", "wait", "wait a little", "leave", "leave by an error", "close"],
)
def test_who_blocks_the_loop_of_the_cogs_is_told_at_once(ping, wait):
    async def main() -> Any:
        engine = cw.Engine("memory:", loop=asyncio.get_running_loop(), grace=0.1)
        if wait == "run":
            try:
                return engine.run(one(ping.job()))
            finally:
                assert list(engine.search()) == [], "nothing was submitted"
        handle = await engine.asubmit(one(ping.job()))
        if wait == "wait":
            return handle.wait()
        if wait == "wait a little":
            return handle.wait(30)
        if wait == "close":
            return engine.close()
        with engine:
            if wait == "leave by an error":
                raise KeyError("mine")
        return "left"

    error = within(lambda: asyncio.run(main()))
    if wait.startswith(("leave", "close")) and not isinstance(error, BaseException):
        return  # it had not begun, so there was nothing to wait for
    if wait == "leave by an error":
        assert isinstance(error, KeyError), error
        assert "waits for itself" in "".join(getattr(error, "__notes__", ["waits for itself"]))
        return
    assert isinstance(error, cw.CogworkError), error
    assert "waits for itself" in str(error)
    assert "await" in str(error)


def test_what_needs_no_loop_may_be_waited_for_in_it(plain, ping):
    async def main() -> list[State]:
        with cw.Engine("memory:", loop=asyncio.get_running_loop()) as engine:
            states = [engine.run(one(plain.job())).state, (await (await engine.asubmit(one(ping.job())))).state]
            with cw.Engine("memory:") as other:  # another engine has a loop of its own
                states.append(other.run(one(ping.job())).state)
        return states

    assert within(lambda: asyncio.run(main())) == [State.COMPLETED] * 3


# ---- in a Cog ----


def hold(labor_id: str) -> str:
    return labor_id


WAITS = {
    "its Labor": lambda engine, ctx: engine.handle(ctx.labor_id).wait(),
    "its Labor, a little": lambda engine, ctx: engine.handle(ctx.labor_id).wait(30),
    "its Labor's display": lambda engine, ctx: engine.handle(ctx.labor_id).watch(),
    "a pause of its Labor": lambda engine, ctx: engine.handle(ctx.labor_id).pause().wait(),
    "a stop of its Task": lambda engine, ctx: engine.handle(ctx.labor_id).task("task").stop().wait(),
    "a pause of its Sequence": lambda engine, ctx: (
        engine.handle(ctx.labor_id).task("task").sequence(ctx.target).admin_pause().wait(30)
    ),
    "a crisis over its Labor": lambda engine, ctx: engine.crisis_pause(note="all").wait(),
    "the end of its engine": lambda engine, ctx: engine.close(),
    "the end of its engine, a little": lambda engine, ctx: engine.close(grace=30),
}


@pytest.mark.filterwarnings("ignore::cogwork.CogworkWarning")
@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("what", WAITS)
def test_a_call_that_waits_for_itself_fails_and_says_so(refusing, what, kind):
    with cw.Engine("memory:", grace=1) as engine:
        cog = refusing(lambda ctx: WAITS[what](engine, ctx), kind)
        handle = engine.submit(one(cog.job()))
        until = threading.Event()

        def ended() -> str:
            for change in engine.changes(handle.id, 0):
                if change.to_state == State.FAILED:
                    break
            until.set()
            job = handle.read().tasks[0].sequences[0].jobs[0]
            return job.attempts[0].error or ""

        assert "waits for itself" in within(ended)
        assert not engine.closed
        for latch in engine.crises():
            engine.crisis_resume(latch.id)
        engine.close(interrupt=True)


@pytest.mark.parametrize("await_", ["labor", "pause", "crisis"])
@pytest.mark.filterwarnings("ignore::cogwork.CogworkWarning")
def test_an_async_call_that_awaits_itself_too(refusing, await_):
    with cw.Engine("memory:", grace=1) as engine:

        async def waits(ctx: cw.Context) -> Any:
            handle = engine.handle(ctx.labor_id)
            if await_ == "labor":
                return await handle
            if await_ == "pause":
                return await handle.pause()
            return await engine.crisis_pause(note="all")

        handle = engine.submit(one(refusing(waits, "async").job()))
        error = within(lambda: next(c for c in engine.changes(handle.id, 0) if c.to_state == State.FAILED))
        assert not isinstance(error, Exception)
        assert "waits for itself" in error_of(handle.read())
        engine.close(interrupt=True)


def test_what_a_call_may_wait_for(refusing, plain, ping):
    with cw.Engine("memory:", workers=2) as engine:

        def waits(ctx: cw.Context) -> list[str]:
            handle = engine.handle(ctx.labor_id)
            with pytest.raises(TimeoutError):
                handle.wait(0)
            other = engine.submit(one(plain.job()), start=False)
            other.start()
            states = [other.wait().state.name, engine.run(one(ping.job())).state.name]
            neighbour = handle.task("task").sequence("host-1")
            assert neighbour.pause().wait(30), "it has not begun"
            assert neighbour.resume().wait(30)
            with cw.Engine("memory:") as own:
                states.append(own.run(one(plain.job(), ping.job())).state.name)
            return states

        cog = refusing(waits)
        labor = many(lambda n: cog.job() if n == 0 else plain.job(), 2)
        done = within(lambda: engine.run(labor))
        assert done.state == State.COMPLETED, done
        assert done.tasks[0].sequences[0].jobs[0].output == ["COMPLETED"] * 3


# ---- workers ----


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_wait_that_takes_the_last_worker_is_an_error_at_once(refusing, plain, workers):
    all_wait = threading.Barrier(workers, timeout=PATIENCE)
    with cw.Engine("memory:", workers=workers) as engine:

        def nests(ctx: cw.Context) -> str:
            all_wait.wait()
            return engine.run(one(plain.job())).state.name

        cog = refusing(nests)
        done = within(
            lambda: engine.run(many(lambda n: cog.job(), workers, concurrency=workers, tolerated_failures=-1))
        )
        jobs = [sequence.jobs[0] for sequence in done.tasks[0].sequences]
        failed = [job for job in jobs if job.state == State.FAILED]
        assert len(failed) == 1, "the others have a worker then"
        assert "all workers" in failed[0].error
        assert "Engine(workers=...)" in failed[0].error
        assert all(job.output == "COMPLETED" for job in jobs if job.state == State.COMPLETED)


def test_a_wait_that_needs_no_worker_is_allowed_with_the_last_one(refusing, ping, plain):
    with cw.Engine("memory:", workers=1) as engine:
        only_checks = cw.Task("checked", sequences=[cw.Sequence("h", jobs=[ping.job()])], pre_checks=[plain.job()])

        def nests(ctx: cw.Context) -> list[str]:
            labors = [one(ping.job()), one(cw.command.job(["true"])), cw.Labor("x", tasks=[only_checks])]
            return [engine.run(labor).state.name for labor in labors]

        done = within(lambda: engine.run(one(refusing(nests).job())))
        assert done.tasks[0].sequences[0].jobs[0].output == ["COMPLETED"] * 3, done


def test_checks_have_workers_of_their_own_here_too(refusing, plain):
    with cw.Engine("memory:", workers=1) as engine:

        def checks(ctx: cw.Context) -> bool:
            return engine.run(one(plain.job())).state == State.COMPLETED

        def checks_by_a_check(ctx: cw.Context) -> bool:
            return engine.run(one(plain.job(), pre_checks=[plain.job()])).state == State.COMPLETED

        labor = one(plain.job(), pre_checks=[refusing(checks).job()])
        assert within(lambda: engine.run(labor)).state == State.COMPLETED
        done = within(lambda: engine.run(one(plain.job(), pre_checks=[refusing(checks_by_a_check).job()])))
        assert done.state == State.FAILED
        assert "all workers" in done.tasks[0].pre_checks[0].error


def test_labors_that_wait_for_each_other(refusing):
    """Through a plain and an async call, which hold no worker in common."""
    ids: dict[str, str] = {}
    both = threading.Barrier(2, timeout=PATIENCE)
    with cw.Engine("memory:", workers=8) as engine:

        def waits(ctx: cw.Context) -> str:
            both.wait()
            return engine.handle(ids["second" if ctx.labor_name == "first" else "first"]).wait().state.name

        async def awaits(ctx: cw.Context) -> str:
            await asyncio.to_thread(both.wait)
            return (await engine.handle(ids["first"])).state.name

        kinds = {"first": refusing(waits), "second": refusing(awaits, "async")}
        handles = {name: engine.submit(one(cog.job(), name=name), start=False) for name, cog in kinds.items()}
        ids.update({name: handle.id for name, handle in handles.items()})
        for handle in handles.values():
            handle.start()
        ended = [within(handle.wait) for handle in handles.values()]
        assert sorted(labor.state.name for labor in ended) == ["COMPLETED", "FAILED"]
        (failed,) = [labor for labor in ended if labor.state == State.FAILED]
        assert "waits for itself" in error_of(failed)


def test_a_client_in_a_cog_that_waits_for_its_own_labor(tmp_path, refusing):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:

        def waits(ctx: cw.Context) -> Any:
            with cw.connect(path) as client:
                return client.handle(ctx.labor_id).wait()

        done = within(lambda: engine.run(one(refusing(waits).job())))
        assert "waits for itself" in error_of(done)


def test_a_client_that_blocks_the_loop_of_its_engine_is_told_at_once(tmp_path, ping):
    path = tmp_path / "labors.db"

    async def main() -> Any:
        async with cw.Engine(path, loop=asyncio.get_running_loop()) as engine:
            with cw.connect(path) as client:
                try:
                    client.run(one(ping.job()))
                except cw.CogworkError as error:
                    assert list(engine.search()) == [], "nothing was submitted"
                    handle = await client.asubmit(one(ping.job()))
                    assert (await handle).state == State.COMPLETED
                    return error
        return None

    error = within(lambda: asyncio.run(main()))
    assert "blocks the event loop" in str(error)


def test_a_client_that_takes_the_last_worker_of_its_engine_is_told_at_once(tmp_path, refusing, plain):
    path = tmp_path / "labors.db"
    with cw.Engine(path, workers=1) as engine:

        def waits(ctx: cw.Context) -> Any:
            with cw.connect(path) as client:
                return client.run(one(plain.job())).state.name

        done = within(lambda: engine.run(one(refusing(waits).job())))
        assert "waits for itself" in error_of(done)


def test_a_client_of_a_loop_that_does_not_run_is_told(tmp_path, ping):
    path = tmp_path / "labors.db"
    loop = asyncio.new_event_loop()
    with cw.Engine(path, loop=loop, grace=0.1) as engine, cw.connect(path) as client:
        handle = client.submit(one(ping.job()))
        error = within(lambda: handle.wait())
        assert "does not run" in str(error)
        with pytest.warns(cw.CogworkWarning):
            engine.close(interrupt=True)
    loop.close()
