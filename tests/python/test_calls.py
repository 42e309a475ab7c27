"""What a Cog does stays with its call: event loops, context variables, logs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import decimal
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import State, _loops


def run_one(engine: cw.Engine, job: cw.Job) -> cw.Job:
    return engine.run(one(job), timeout=60).tasks[0].sequences[0].jobs[0]


@pytest.fixture
def neighbour(make_cog):
    """An async Cog that is under way while another one does harm, and ends well."""
    begun, harm_done = threading.Event(), threading.Event()

    async def neighbour() -> str:
        begun.set()
        while not harm_done.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        return "fine"

    cog = make_cog(neighbour)
    cog.begun, cog.harm_done = begun, harm_done
    return cog


async def exits_in_a_task():
    async def sub():
        sys.exit(3)

    task = asyncio.get_running_loop().create_task(sub())
    await asyncio.sleep(30)
    return task


async def exits_in_a_task_that_is_awaited():
    async def sub():
        raise KeyboardInterrupt

    await asyncio.get_running_loop().create_task(sub())


async def exits_in_a_group():
    async def sub():
        raise SystemExit(1)

    await asyncio.gather(sub(), asyncio.sleep(30))


async def exits_in_a_callback():
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(30)


async def exits_later():
    asyncio.get_running_loop().call_later(0.001, sys.exit)
    await asyncio.sleep(30)


async def exits_when_a_task_is_done():
    async def sub(): ...

    task = asyncio.get_running_loop().create_task(sub())
    task.add_done_callback(lambda _: sys.exit("over"))
    await asyncio.sleep(30)


async def exits_from_another_thread():
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(loop.call_soon_threadsafe, sys.exit)
    await asyncio.sleep(30)


async def swallows_what_it_did():
    asyncio.get_running_loop().call_soon(sys.exit)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        return "nothing happened"


async def stops_the_loop():
    asyncio.get_running_loop().stop()


async def stops_it_later():
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)
    await asyncio.sleep(30)


async def stops_it_from_a_thread():
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: loop.call_soon_threadsafe(loop.stop))
    await asyncio.sleep(30)


async def closes_the_loop():
    asyncio.get_running_loop().close()


async def shuts_the_executor_down():
    await asyncio.get_running_loop().shutdown_default_executor()


async def shuts_generators_down():
    await asyncio.get_running_loop().shutdown_asyncgens()


async def runs_the_loop():
    asyncio.get_running_loop().run_forever()


async def cancels_everybody():
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def exits():
    sys.exit(2)


async def cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(30)


async def awaits_what_is_cancelled():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def exits_in_an_executor():
    await asyncio.get_running_loop().run_in_executor(None, sys.exit)


HARM = {
    exits_in_a_task: "SystemExit",
    exits_in_a_task_that_is_awaited: "KeyboardInterrupt",
    exits_in_a_group: "SystemExit",
    exits_in_a_callback: "SystemExit",
    exits_later: "SystemExit",
    exits_when_a_task_is_done: "SystemExit",
    exits_from_another_thread: "SystemExit",
    swallows_what_it_did: "SystemExit",
    stops_the_loop: r"loop.stop\(\)",
    stops_it_later: r"loop.stop\(\)",
    stops_it_from_a_thread: r"loop.stop\(\)",
    closes_the_loop: r"loop.close\(\)",
    shuts_the_executor_down: r"loop.shutdown_default_executor\(\)",
    shuts_generators_down: r"loop.shutdown_asyncgens\(\)",
    runs_the_loop: "already running",
    cancels_everybody: "another call",
    exits: "SystemExit",
    cancels_itself: "cancelled",
    awaits_what_is_cancelled: "cancelled",
    exits_in_an_executor: "SystemExit",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_x8_what_a_cog_does_to_the_loop_fails_itself_and_nobody_else(tmp_path, make_cog, neighbour, harm):
    with cw.Engine("memory:", grace=30) as engine:
        beside = engine.submit(one(neighbour.job(), neighbour.job()))
        assert neighbour.begun.wait(30)
        guilty = run_one(engine, make_cog(harm, timeout=60).job())
        neighbour.harm_done.set()
        assert guilty.state == State.FAILED
        assert guilty.attempts[0].status.name == "FAILURE"
        assert re.search(HARM[harm], guilty.error), guilty.error
        done = beside.wait(60)
        assert [job.output for job in done.tasks[0].sequences[0].jobs] == ["fine", "fine"], done
        assert run_one(engine, neighbour.job()).output == "fine", "and so do those that come later"


def test_x8_who_has_ended_is_blamed_in_the_log(engine, make_cog, neighbour, caplog):
    logged = threading.Event()

    class Catch(logging.Handler):
        def emit(self, record):
            if "the loop goes on" in record.getMessage():
                logged.set()

    catch = Catch()
    logging.getLogger("cogwork.engine").addHandler(catch)

    async def leaves_a_bomb():
        asyncio.get_running_loop().call_later(0.05, sys.exit)

    try:
        assert run_one(engine, make_cog(leaves_a_bomb).job()).state == State.COMPLETED
        assert logged.wait(30)
    finally:
        logging.getLogger("cogwork.engine").removeHandler(catch)
    neighbour.harm_done.set()
    assert run_one(engine, neighbour.job()).output == "fine"


def test_x8_a_cog_that_blocks_the_loop_is_named_and_calls_go_on_elsewhere(monkeypatch, make_cog, neighbour, caplog):
    monkeypatch.setattr(_loops, "_BEAT", 0.05)
    monkeypatch.setattr(_loops, "_BLOCKED", 0.2)
    release, inside = threading.Event(), threading.Event()

    async def blocks() -> str:
        inside.set()
        release.wait(60)
        await asyncio.sleep(0)
        return "came back"

    neighbour.harm_done.set()
    with cw.Engine("memory:") as engine:
        cog = make_cog(blocks)
        blocked = engine.submit(one(cog.job()))
        assert inside.wait(30)
        for _ in range(2):
            assert run_one(engine, neighbour.job()).output == "fine"
        release.set()
        job = blocked.wait(60).tasks[0].sequences[0].jobs[0]
        assert job.output == "came back", "what was on the blocked loop goes on there"
        assert "blocks the event loop" in job.attempts[0].log
        assert "release.wait(60)" in job.attempts[0].log, "the place"
        assert run_one(engine, neighbour.job()).output == "fine"
    assert "blocks the event loop" in caplog.text


def test_x8a_a_call_on_a_blocked_loop_can_still_be_cancelled(monkeypatch, make_cog):
    monkeypatch.setattr(_loops, "_BEAT", 0.05)
    monkeypatch.setattr(_loops, "_BLOCKED", 0.2)
    release, inside, waits = threading.Event(), threading.Event(), threading.Event()

    async def waits_long() -> None:
        waits.set()
        await asyncio.sleep(600)

    async def blocks() -> None:
        inside.set()
        release.wait(60)

    with cw.Engine("memory:", grace=60) as engine:
        long = engine.submit(one(make_cog(waits_long).job()))
        assert waits.wait(30)
        blocked = engine.submit(one(make_cog(blocks).job()))
        assert inside.wait(30)

        async def quick() -> int:
            return 1

        assert run_one(engine, make_cog(quick).job()).output == 1
        ack = long.stop(interrupt=True)
        release.set()
        assert ack.wait(60)
        assert long.wait(60).state == State.STOPPED
        blocked.wait(60)


# ---- context variables ----

host_var: contextvars.ContextVar[str] = contextvars.ContextVar("host", default="-")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_c2_context_variables_are_a_calls_own(engine, make_cog, kind):
    def touch(host: str) -> list:
        before = [host_var.get(), decimal.getcontext().prec]
        host_var.set(host)
        decimal.getcontext().prec = 3
        return before

    async def touch_async(host: str) -> list:
        return touch(host)

    cog = make_cog(touch if kind == "plain" else touch_async)
    # Nor do they see those of whoever opened the engine, or submitted first.
    token = host_var.set("the caller's")
    with cw.Engine("memory:", workers=1) as own:
        for where in (engine, own):
            done = where.run(many(lambda n: cog.job(f"h{n}"), 5), timeout=60)
            assert [s.jobs[0].output for s in done.tasks[0].sequences] == [["-", 28]] * 5
    host_var.reset(token)


def test_c2_a_calls_own_tasks_and_threads_see_its_context_variables(engine, make_cog):
    async def sets(host: str) -> list:
        host_var.set(host)

        async def sub():
            return host_var.get()

        task = asyncio.get_running_loop().create_task(sub())
        return [await task, await asyncio.to_thread(host_var.get)]

    assert run_one(engine, make_cog(sets).job("r1")).output == ["r1", "r1"]


# ---- logs ----


@pytest.mark.parametrize("program", ["here", "process"])
def test_a_call_may_log_from_many_threads(engine, make_cog, tmp_path, program):
    source = """
    import concurrent.futures
    import cogwork as cw

    @cw.cog
    def talk(ctx: cw.Context) -> int:
        def say(thread: int) -> None:
            for n in range(200):
                ctx.log("%d %d", thread, n)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(say, range(8)))
        return 1
    """
    if program == "here":

        def talk(ctx: cw.Context) -> int:
            def say(thread: int) -> None:
                for n in range(200):
                    ctx.log("%d %d", thread, n)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(say, range(8)))
            return 1

        job = make_cog(talk).job()
    else:
        path = tmp_path / "talker.py"
        path.write_text(textwrap.dedent(source))
        job = cw.process_cog(f"python:{path}:talk").job()
    log = run_one(engine, job).attempts[0].log
    assert sorted(log.splitlines()) == sorted(f"{thread} {n}" for thread in range(8) for n in range(200))


# ---- in a process of its own ----


def test_x8_a_process_cogs_loop_outlives_its_cogs_too(engine, tmp_path):
    path = tmp_path / "harmful.py"
    path.write_text(
        textwrap.dedent(
            """
            import asyncio, contextvars, sys
            import cogwork as cw

            var = contextvars.ContextVar("var", default="-")

            @cw.cog
            async def harm(how: str) -> str:
                loop = asyncio.get_running_loop()
                if how == "stop":
                    loop.stop()
                loop.call_soon(sys.exit)
                await asyncio.sleep(30)
                return "?"

            @cw.cog
            async def good(host: str) -> str:
                before = var.get()
                var.set(host)
                await asyncio.sleep(0.01)
                return before

            @cw.cog
            def check(n: int):
                return [None, True, False, "text"][n]
            """
        )
    )
    cogs = {name: cw.process_cog(f"python:{path}:{name}") for name in ("harm", "good", "check")}
    assert "loop.stop()" in run_one(engine, cogs["harm"].job(how="stop")).error
    assert "SystemExit" in run_one(engine, cogs["harm"].job(how="exit")).error
    for _ in range(3):
        assert run_one(engine, cogs["good"].job(host="a")).output == "-"
    states = []
    for n in range(4):
        done = engine.run(one(cogs["good"].job(host="a"), pre_checks=[cogs["check"].job(n=n)]), timeout=60)
        states.append((done.state.name, done.tasks[0].pre_checks[0].error or ""))
    assert [state for state, _ in states] == ["FAILED", "COMPLETED", "FAILED", "FAILED"]
    assert "neither yes nor no" in states[0][1]
    assert "neither yes nor no" in states[3][1]


def test_no_thread_is_left_of_an_engine_with_async_cogs(tmp_path):
    script = """
    import asyncio, threading
    import cogwork as cw

    @cw.cog
    async def ping() -> int:
        await asyncio.sleep(0)
        return 1

    for _ in range(3):
        with cw.Engine("memory:") as engine:
            engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[ping.job()])])]))
    print([t.name for t in threading.enumerate() if "async" in t.name and "beat" not in t.name])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=tmp_path, env=os.environ
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
