"""Section 4 from Python: signals, acknowledgements, watching; and the async face."""

from __future__ import annotations

import asyncio
import io
import os
import re
import threading
import time
from datetime import timedelta

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import Signal, State, _waiting


@pytest.fixture
def blocked(engine, make_cog, gate):
    """A Labor of 6 Sequences, 3 at once, whose Jobs are waiting in the gate."""

    def wait() -> None:
        gate()

    handle = engine.submit(many(lambda n: cog.job(), 6, concurrency=3) if (cog := make_cog(wait)) else None)
    gate.wait_for(3)
    return handle


def test_g4_paused_means_that_nothing_is_executing(blocked, gate):
    ack = blocked.pause(by="ann", note="INC-12")
    assert blocked.state == State.PAUSING, "G1: the engine's state at once"
    assert not ack.done
    assert not ack.wait(0.02)
    gate.open()
    assert ack.wait(20)
    assert (ack.state, ack.applied) == (State.PAUSED, True)
    assert gate.inside == 0
    labor = blocked.read()
    assert labor.state == State.PAUSED, "D4: durable when it is acknowledged"
    assert (labor.holds[0].by, labor.holds[0].note) == ("ann", "INC-12")
    assert [s.state.name for s in labor.tasks[0].sequences].count("NOT_STARTED") == 3
    assert blocked.resume().wait(20)
    assert blocked.wait(20).state == State.COMPLETED


def test_g2_an_error_that_says_who_and_what_would_help(blocked):
    blocked.crisis_pause(by="bob", note="INC-12")
    with pytest.raises(cw.SignalNotAllowed) as caught:
        blocked.resume()
    text = str(caught.value)
    assert "cannot RESUME a Labor that is PAUSING" in text
    assert "by bob" in text
    assert '"INC-12"' in text
    assert "crisis_resume" in text
    assert (caught.value.signal, caught.value.state) == (Signal.RESUME, State.PAUSING)


def test_g5_ranks(blocked, gate):
    first = blocked.pause()
    second = blocked.admin_pause()
    gate.open()
    assert first.wait(20)
    assert second.wait(20)
    assert first.applied, "G1: a pause under a higher one is applied"
    assert blocked.state == State.ADMIN_PAUSED
    assert blocked.admin_resume().wait(20)
    assert blocked.state == State.PAUSED, "the lower one is remembered"
    blocked.resume()
    assert blocked.wait(20).state == State.COMPLETED


def test_g5_a_resume_while_pausing_withdraws_the_pause(blocked, gate):
    pause = blocked.pause()
    assert blocked.resume().wait(20)
    assert pause.wait(20)
    assert not pause.applied
    gate.open()
    assert blocked.wait(20).state == State.COMPLETED


def test_g6_g7_stop(blocked, gate):
    ack = blocked.stop(by="ann")
    assert blocked.state == State.STOPPING
    gate.open()
    assert ack.wait(20)
    assert (ack.state, ack.applied) == (State.STOPPED, True)
    done = blocked.wait(20)
    assert [s.state.name for s in done.tasks[0].sequences] == ["COMPLETED"] * 3 + ["NOT_STARTED"] * 3


def test_g3a_stop_interrupt(patient, make_cog):
    begun = threading.Event()

    def sleeper(ctx: cw.Context) -> None:
        begun.set()
        ctx.sleep(60)

    handle = patient.submit(one(make_cog(sleeper, retries=3).job()))
    assert begun.wait(20)
    ack = handle.stop(interrupt=True)
    assert ack.wait(20)
    job = handle.wait(20).tasks[0].sequences[0].jobs[0]
    # The Cog returned: SUCCESS, answered before the attempt was closed, is its true end.
    assert job.state == State.COMPLETED
    assert len(job.attempts) == 1


def test_g3a_stop_interrupt_of_async_calls(engine, make_cog):
    begun = threading.Event()

    async def sleeper() -> None:
        begun.set()
        await asyncio.sleep(30)

    handle = engine.submit(one(make_cog(sleeper, retries=3).job()))
    assert begun.wait(20)
    assert handle.stop(interrupt=True).wait(20)
    job = handle.wait(20).tasks[0].sequences[0].jobs[0]
    assert (job.state, job.attempts[0].status.name) == (State.STOPPED, "STOPPED")


def test_signals_to_tasks_and_sequences(blocked, gate, engine):
    task = blocked.task("task")
    later = task.sequence("host-5")
    kept = later.pause(by="ann")
    assert kept.wait(20)
    assert (kept.state, kept.applied) == (State.NOT_STARTED, True), "X2a: kept"
    ignored = later.stop()
    assert ignored.wait(20)
    assert not ignored.applied
    gate.open()
    deadline = time.monotonic() + 20
    while later.state != State.PAUSED:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert task.state == State.RUNNING
    assert later.read().holds[0].by == "ann"
    assert engine.signal(later.id, Signal.RESUME).wait(20)
    assert blocked.wait(20).state == State.COMPLETED
    with pytest.raises(cw.NotFound, match="'task'"):
        blocked.task("tusk")


def test_unknown_ids(engine):
    for call in (engine.handle, engine.read_labor, engine.read_job, lambda id: engine.signal(id, Signal.STOP)):
        with pytest.raises(cw.NotFound):
            call("0f3c017f-b15a-4f90-b851-e34a00000000")
        with pytest.raises(cw.NotFound):
            call("nonsense")


def test_g9_d7_history_has_every_signal_refused_ones_too(blocked, gate, engine):
    blocked.pause(by="ann", note="why")
    with pytest.raises(cw.SignalNotAllowed):
        blocked.pause(by="bob", note="again")
    gate.open()
    blocked.resume(by="cid")
    done = blocked.wait(20)
    with pytest.raises(cw.SignalNotAllowed):
        engine.signal(done.id, Signal.STOP, by="late")
    seen = []
    deadline = time.monotonic() + 20
    while len(seen) < 4:
        assert time.monotonic() < deadline
        changes = list(engine.changes(done.id, since=0))
        seen = [(c.signal.name, c.by, c.note, c.refused) for c in changes if c.kind == cw.ChangeKind.SIGNAL]
    assert seen == [
        ("PAUSE", "ann", "why", False),
        ("PAUSE", "bob", "again", True),
        ("RESUME", "cid", "", False),
        ("STOP", "late", "", True),
    ]


def test_d7_replaying_the_history_gives_the_tree(blocked, gate, engine):
    blocked.pause()
    gate.open()
    blocked.resume()
    done = blocked.wait(20)
    states: dict[str, State] = {}
    for change in engine.changes(done.id, since=0):
        if change.kind == cw.ChangeKind.STATE:
            assert states.get(change.object_id, State.NOT_STARTED) == change.from_state
            states[change.object_id] = change.to_state
    assert states[done.id] == done.state
    for task in done.tasks:
        assert states[task.id] == task.state
        for sequence in task.sequences:
            assert states[sequence.id] == sequence.state
            assert states[sequence.jobs[0].id] == sequence.jobs[0].state


def test_changes_live_and_from_a_place(engine, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    live = engine.changes()
    done = engine.run(many(lambda n: cog.job(), 50, concurrency=5), timeout=30)
    first = [next(live) for _ in range(5)]
    assert [c.number for c in first] == sorted(c.number for c in first)
    rest = list(engine.changes(done.id, since=first[-1].number))
    assert rest[0].number == first[-1].number + 1
    assert rest[-1].object_id == done.id
    everything = list(engine.changes(done.id, since=0))
    assert [c.number for c in everything] == list(range(everything[0].number, everything[0].number + len(everything)))


def test_progress_says_why_nothing_moves(engine, make_cog):
    def good() -> None: ...

    labor = one(make_cog(good).job(), pause_on_entry=True)
    handle = engine.submit(labor)
    progress = handle.progress()
    assert progress.tasks[0].state == State.ADMIN_PAUSED
    assert "pause_on_entry" in progress.tasks[0].waiting
    handle.task("task").admin_resume()
    assert handle.wait(20).state == State.COMPLETED
    assert handle.progress().done == 1


def test_x12_counters(engine, make_cog):
    def good() -> bool:
        return True

    cog = make_cog(good)
    labor = many(lambda n: cog.job(), 10, concurrency=3, pre_checks=[cog.job()])
    engine.run(labor, timeout=30)
    stats = engine.stats()
    assert [c.processed for c in (stats.labors, stats.tasks, stats.sequences, stats.jobs)] == [1, 1, 10, 11]
    assert [c.executing for c in (stats.labors, stats.tasks, stats.sequences, stats.jobs)] == [0, 0, 0, 0]


def test_waits_run_out(blocked, gate):
    with pytest.raises(TimeoutError, match="RUNNING"):
        blocked.wait(timeout=0.01)
    assert blocked.stop().wait(timeout=0.01) is False
    gate.open()


def test_watch_in_a_log_file(engine, make_cog, capsys):
    def good(n: int) -> None:
        if n == 3:
            raise RuntimeError("disk full")

    cog = make_cog(good)
    labor = many(lambda n: cog.job(n=n), 10, name="rollout", tolerated_failures=1, concurrency=2)
    done = engine.submit(labor).watch()
    out = capsys.readouterr().out
    assert done.state == State.COMPLETED
    assert "\x1b" not in out, "no escapes"
    assert "Labor 'rollout': COMPLETED" in out
    assert "task/host-3: FAILED" in out


def test_watch_on_a_screen(engine, make_cog, monkeypatch):
    from rich.console import Console

    from cogwork import _display

    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(_display, "Console", lambda: console)

    def step(n: int) -> None:
        if n == 3:
            raise RuntimeError("disk full")

    cog = make_cog(step)
    labor = many(lambda n: cog.job(n=n), 10, name="rollout", tolerated_failures=1, concurrency=2)
    before = threading.active_count()
    handle = engine.submit(labor, start=False)
    starter = threading.Timer(0.3, handle.start)
    starter.start()
    done = handle.watch()
    starter.join()
    assert done.state == State.COMPLETED
    out = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert "rollout" in out
    assert "ok 9, lost 1 of 10" in out
    assert "disk full" in out
    assert not [t for t in threading.enumerate() if "watch" in t.name], "it has no thread of its own"
    others = [t.name for t in threading.enumerate() if not t.name.startswith("cogwork-worker")]
    assert len(others) <= before + 3, others


def test_timed_waits_leave_nothing_behind(blocked, gate):
    """Each wait has a descriptor; one that ran out must not keep it until the Labor ends."""
    ack = blocked.stop()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        assert ack.wait(timeout=0.0001) is False
        with pytest.raises(TimeoutError):
            blocked.wait(timeout=timedelta(microseconds=100))
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    gate.open()


def test_who_and_why_may_be_any_text(engine, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    handle = engine.submit(one(cog.job()), start=False)
    assert handle.stop(by="\udcff", note="n\ud800").wait(20)
    change = next(c for c in engine.changes(handle.id, since=0) if c.signal is not None)
    assert (change.by, change.note) == (r"\udcff", r"n\ud800")
    for wrong in ({"by": 5}, {"note": None}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            handle.stop(**wrong)


def test_a_handle_is_a_labors(engine, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    handle = engine.submit(one(cog.job()))
    handle.wait(20)
    with pytest.raises(cw.NotFound, match=handle.id):
        engine.handle(handle.task("task").id)
    assert engine.handle(handle.id.upper()).id == handle.id
    with pytest.raises(TypeError, match="text"):
        engine.handle(None)


# ---- the async face ----


def test_async_face(tmp_path, make_cog):
    ticks = 0

    async def step(n: int) -> int:
        await asyncio.sleep(0.01)
        while ticks < 5:  # of the other loop; where something blocks that one, this does not end
            await asyncio.sleep(0.01)
        return n

    cog = make_cog(step, timeout=30)

    async def main() -> None:
        async with cw.Engine(tmp_path / "l.db") as engine:

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.005)
                    ticks += 1

            ticking = asyncio.create_task(tick())
            handle = await engine.asubmit(many(lambda n: cog.job(n=n), 30, concurrency=3))
            changes = [change async for change in handle.changes(since=0)]
            done = await handle
            assert done.state == State.COMPLETED, "none of it blocks the loop"
            assert changes[-1].to_state == State.COMPLETED
            ticking.cancel()

            held = await engine.asubmit(many(lambda n: cog.job(n=n), 200))
            ack = await held.pause()
            assert (ack.state, ack.applied) == (State.PAUSED, True)
            waiting = asyncio.ensure_future(held._ended())
            await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert held.state == State.PAUSED, "cancelling an await does not touch the Labor"
            assert (await held.stop()).state == State.STOPPED
            with pytest.raises(cw.ValidationError):
                await engine.asubmit(cw.Labor("empty"))

    asyncio.run(main())


def test_awaits_that_are_given_up_leave_nothing_behind(tmp_path, make_cog):
    async def nap() -> None:
        await asyncio.sleep(60)

    cog = make_cog(nap)

    async def main() -> None:
        async with cw.Engine(tmp_path / "l.db", grace=0.2) as engine:
            handle = await engine.asubmit(one(cog.job()))
            changes = handle.changes()
            for _ in range(50):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(handle, 0.002)
            bridge = _waiting._bridges[asyncio.get_running_loop()]
            assert bridge._futures == {}
            seen: list[int] = []
            ack = handle.stop(interrupt=True)
            while True:  # giving up on a change, again and again, loses none
                try:
                    seen.append((await asyncio.wait_for(changes.__anext__(), 0.0001)).number)
                except asyncio.TimeoutError:
                    continue
                except StopAsyncIteration:
                    break
            assert (await ack).applied
            assert seen == [change.number for change in engine.changes(handle.id, since=seen[0] - 1)]

    asyncio.run(main())


def test_many_awaits_from_many_loops(tmp_path, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    results: list[State] = []

    with cw.Engine(tmp_path / "l.db") as engine:

        async def main() -> None:
            handles = [await engine.asubmit(one(cog.job())) for _ in range(20)]
            results.extend(labor.state for labor in await asyncio.gather(*[handle._ended() for handle in handles]))

        threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [State.COMPLETED] * 80


def test_a_run_that_cannot_wait_says_what_it_submitted(engine, make_cog, monkeypatch):
    def no_thread(handle, timeout):
        raise cw.ResourceError("no thread could be started")

    monkeypatch.setattr(cw.LaborHandle, "wait", no_thread)
    with pytest.raises(cw.ResourceError, match=r"no thread could be started; Labor .* was submitted") as failed:
        engine.run(many(lambda n: make_cog(lambda: None).job(), 1))
    monkeypatch.undo()
    (labor,) = engine.search()
    assert f"handle({labor.id!r})" in str(failed.value)
    assert engine.handle(labor.id).wait(30).state == State.COMPLETED
