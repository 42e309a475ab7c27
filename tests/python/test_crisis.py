"""Crises (G8): latches on engines, clients and stores, a process that is killed, and what people are shown."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import random
import signal
import subprocess
import sys
import threading

import pytest
from conftest import many, one, wait_until_alone

import cogwork as cw
from cogwork import State

PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)


@pytest.fixture
def db(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "labors.db"


def states(engine: cw.Engine, *handles: cw.LaborHandle) -> list[State]:
    return [handle.state for handle in handles]


# ---- on an engine ----


def test_g8_a_crisis_pauses_waits_and_lets_go(engine, make_cog, gate):
    block = make_cog(lambda: gate())
    handle = engine.submit(many(lambda _: block.job(), 4, concurrency=2))
    gate.wait_for(2)
    latch = engine.crisis_pause(by="bob", note="INC-12")
    assert (latch.by, latch.note, latch.matches, latch.in_force) == ("bob", "INC-12", "all Labors", True)
    assert handle.state is State.PAUSING
    assert not latch.wait(0.01)
    (now,) = engine.crises()
    assert (now.id, now.labors, now.attempts, now.executing_count) == (latch.id, 1, 2, 1)
    assert [(e.labor_id, e.name, e.state, e.attempts) for e in now.executing] == [
        (handle.id, "labor", State.PAUSING, 2)
    ]
    gate.open()
    assert latch.wait(30)
    assert handle.state is State.CRISIS_PAUSED
    assert handle.read(False).holds == [], "it is no pause of the Labor's own"
    assert gate.entered == 2
    assert engine.crises()[0].attempts == 0

    with pytest.raises(cw.SignalNotAllowed, match=f'by bob .* "INC-12", latch {latch.id}.*engine.crisis_resume'):
        handle.crisis_resume()

    ack = engine.crisis_resume(latch.id, by="carl", note="mended")
    assert ack.wait(30)
    assert (ack.applied, ack.state) == (True, State.UNKNOWN)
    assert handle.wait(30).state is State.COMPLETED
    assert engine.crises() == []
    (past,) = engine.crises(lifted=True)
    assert (past.lifted_by, past.lifted_note, past.in_force) == ("carl", "mended", False)
    assert past.lifted >= past.since
    changes = [c for c in engine.store.changes(handle.id) if c.object_id == handle.id]
    told = [(c.to_state.name, c.by, c.note) for c in changes if c.kind is cw.ChangeKind.STATE]
    short = latch.id[:8]
    assert ("CRISIS_PAUSED", "bob", f"latch {short}: INC-12") in told
    assert ("RUNNING", "carl", f"latch {short} lifted: mended") in told
    assert any(c.refused for c in changes), "G9"


def test_g8_what_is_submitted_and_started_under_a_latch_is_paused(engine, make_cog, caplog):
    quick = make_cog(lambda: None)
    latch = engine.crisis_pause(tags=["edge"], by="bob", note="INC-12")
    free = engine.submit(one(quick.job()))
    assert free.wait(30).state is State.COMPLETED
    labor = one(quick.job())
    labor.tags = ["edge"]
    with caplog.at_level(logging.WARNING, "cogwork.engine"):
        held = engine.submit(labor)
    assert f"Labor {held.id} is held, and does not run: latch {latch.id[:8]} on tag edge, by bob" in caplog.text
    waits = engine.submit(labor, start=False)
    assert states(engine, held, waits) == [State.CRISIS_PAUSED, State.ADMIN_NOT_STARTED]
    waits.start(by="ann")
    assert waits.state is State.CRISIS_PAUSED
    (holds,) = held.progress().latches
    assert (holds.id, holds.by, holds.note) == (latch.id, "bob", "INC-12")
    assert f"held by latch {latch.id[:8]} on tag edge, by bob" in held._repr_html_()
    engine.crisis_resume(latch.id)
    assert {held.wait(30).state, waits.wait(30).state} == {State.COMPLETED}


def test_g8_two_latches_on_one_labor_and_its_own_pause(engine, make_cog):
    quick = make_cog(lambda: None)
    both = engine.crisis_pause(note="first")
    cog = engine.crisis_pause(cogs=[quick.name], note="second")
    handle = engine.submit(one(quick.job(), pause_on_entry=True))
    assert [latch.note for latch in handle.progress().latches] == ["first", "second"]
    assert engine.crisis_resume(both.id).wait(30)
    assert handle.state is State.CRISIS_PAUSED
    assert engine.crisis_resume(cog.id).wait(30)
    assert handle.state is State.RUNNING
    assert handle.task("task").state is State.ADMIN_PAUSED, "holds of its own stay"
    assert handle.task("task").admin_resume().wait(30)
    assert handle.wait(30).state is State.COMPLETED


def test_g6_a_stop_works_under_a_latch(engine, make_cog):
    quick = make_cog(lambda: None)
    engine.crisis_pause()
    running, waits = engine.submit(one(quick.job())), engine.submit(one(quick.job()), start=False)
    for handle in (running, waits):
        assert handle.stop().wait(30)
        assert handle.wait(30).state is State.STOPPED


def test_only_its_own_latch_is_lifted_and_only_once(engine):
    latch = engine.crisis_pause()
    with pytest.raises(cw.NotFound, match=f"in force is {latch.id} .all Labors."):
        engine.crisis_resume("00000000-0000-4000-8000-000000000000")
    assert engine.crisis_resume(latch.id, by="carl", note="mended").wait(30)
    with pytest.raises(cw.NotFound, match=r'was lifted by carl .* "mended"'):
        engine.crisis_resume(latch.id)
    with pytest.raises(cw.NotFound, match="none is in force"):
        engine.crisis_resume("00000000-0000-4000-8000-000000000000")
    with pytest.raises(cw.NotFound):
        latch.wait(1)


def test_a_wait_that_is_overtaken_by_the_lifting_says_so(engine, make_cog, gate):
    block = make_cog(lambda: gate())
    engine.submit(one(block.job()))
    gate.wait_for(1)
    latch = engine.crisis_pause()
    assert not latch.wait(0.01)
    assert engine.crisis_resume(latch.id).wait(30)
    assert latch.wait(30) is False


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"tags": []}, ValueError, "empty list"),
        ({"cogs": []}, ValueError, "empty list"),
        ({"name_prefix": ""}, ValueError, "leave it out"),
        ({"tags": ["two words"]}, ValueError, "one word"),
        ({"cogs": [""]}, ValueError, "empty text"),
        ({"tags": "edge"}, TypeError, "list"),
        ({"tags": [3]}, TypeError, "text"),
        ({"note": 3}, TypeError, "text"),
    ],
)
def test_what_could_not_be_meant_is_refused(engine, given, error, said):
    with pytest.raises(error, match=said):
        engine.crisis_pause(**given)
    assert engine.crises() == []


def test_await_a_latch(tmp_path, make_cog):
    async def main() -> None:
        async with cw.Engine("memory:") as engine:
            latch = engine.crisis_pause()
            assert await latch
            assert (await engine.asubmit(one(make_cog(lambda: None).job()))).state is State.CRISIS_PAUSED
            await engine.crisis_resume(latch.id)

    asyncio.run(main())


# ---- from another process, and without an engine ----


def test_g8_a_client_sees_and_does_the_same(db, make_cog, gate):
    block = make_cog(lambda: gate())
    with cw.Engine(db) as engine, cw.connect(db) as client:
        handle = engine.submit(many(lambda _: block.job(), 4, concurrency=2))
        gate.wait_for(2)
        latch = client.crisis_pause(tags=None, name_prefix="lab", by="bob", note="INC-12")
        assert client.crises() == engine.crises()
        assert client.handle(handle.id).progress().latches[0].id == latch.id
        assert not latch.wait(0.01)
        gate.open()
        assert latch.wait(30)
        assert client.crises()[0].wait(30), "whoever finds it may wait, too"
        with pytest.raises(cw.SignalNotAllowed, match=latch.id):
            client.signal(handle.id, cw.Signal.CRISIS_RESUME)
        with pytest.raises(cw.NotFound):
            client.crisis_resume(handle.id)
        assert client.crisis_resume(latch.id, by="carl").wait(30)
        assert client.crises(lifted=True)[0].lifted_by == "carl"
        assert handle.wait(30).state is State.COMPLETED


def test_r1_without_an_engine_it_is_stored_and_obeyed(db, make_cog, caplog):
    quick = make_cog(lambda: None)
    with cw.Engine(db) as engine:
        handle = engine.submit(one(quick.job()), start=False)
    with cw.connect(db) as client:
        latch = client.crisis_pause(cogs=[quick.name], by="bob", note="INC-12")
        client.crisis_pause(tags=["other"])
        assert [(found.labors, found.attempts) for found in client.crises()] == [(1, 0), (0, 0)]
        assert latch.wait(0), "nothing runs"
        assert [holds.id for holds in client.handle(handle.id).progress().latches] == [latch.id]
        client.handle(handle.id).start()
        with caplog.at_level(logging.WARNING, "cogwork.engine"), cw.Engine(db) as engine:
            assert f"a crisis is on, and what it holds does not run: latch {latch.id[:8]}" in caplog.text
            assert engine.handle(handle.id).state is State.CRISIS_PAUSED
            assert client.crises() == engine.crises()
        wait_until_alone(client)
        ack = client.crisis_resume(latch.id, by="carl")
        assert ack.wait(0)
        assert ack.applied
        with pytest.raises(cw.NotFound, match="lifted by carl"):
            client.crisis_resume(latch.id)
        assert [found.matches for found in client.crises()] == ["tag other"]
    with cw.Engine(db) as engine:
        assert engine.handle(handle.id).wait(30).state is State.COMPLETED


def test_t5_it_is_one_record_of_the_store(engine):
    latch = engine.crisis_pause()
    assert list(engine.store.records(cw.RecordKind.LATCH)) == [latch.id]
    assert engine.crisis_resume(latch.id).wait(30)
    assert len(engine.store.records(cw.RecordKind.LATCH)) == 1, "who lifted it can be found"


CHILD = """
import os, sys, time
import cogwork as cw

@cw.cog(idempotent=True)
def touch(folder: str, name: str) -> None:
    with open(os.path.join(folder, "effects"), "a") as log:
        log.write(f"{time.time():.6f} {name}\\n")
    time.sleep(0.002 if os.path.exists(os.path.join(folder, "fast")) else 0.1)

def labor(folder, n):
    sequences = [cw.Sequence(f"{n}-{i}", jobs=[touch.job(folder=folder, name=f"{n}-{i}")]) for i in range(400)]
    return cw.Labor(f"labor {n}", tags=["even" if n % 2 == 0 else "odd"], tasks=[cw.Task("all", concurrency=4, sequences=sequences)])

if __name__ == "__main__":
    db, folder, count = sys.argv[1:4]
    with cw.Engine(db) as engine:
        for n in range(int(count)):
            engine.submit(labor(folder, n))
        print("submitted", flush=True)
        for handle in [engine.handle(id) for id in engine.taken_up]:
            handle.wait()
        time.sleep(1000)
"""


class Child:
    """An engine in a process of its own."""

    def __init__(self, folder: pathlib.Path, db: pathlib.Path, labors: int) -> None:
        import os

        script = folder / "child.py"
        script.write_text(CHILD)
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(db), str(folder), str(labors)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": PACKAGE},
            text=True,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def submitted(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "submitted\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def effects(folder: pathlib.Path) -> list[str]:
    log = folder / "effects"
    return log.read_text().splitlines() if log.exists() else []


def test_r1_crisis_kill_restart_nothing_starts_until_it_is_lifted(db, tmp_path):
    with Child(tmp_path, db, 4) as child:
        child.submitted()
        with cw.connect(db) as client:
            latch = client.crisis_pause(by="bob", note="INC-12")
            assert latch.wait(30)
            stood = effects(tmp_path)
            child.kill()
            with Child(tmp_path, db, 0) as again:
                again.submitted()
                assert [(found.id, found.labors, found.attempts) for found in client.crises()] == [(latch.id, 4, 0)]
                assert {labor.state for labor in client.search()} == {State.CRISIS_PAUSED}
                assert effects(tmp_path) == stood
                again.kill()
            assert effects(tmp_path) == stood
            with Child(tmp_path, db, 0) as last:
                last.submitted()
                (tmp_path / "fast").touch()
                assert client.crisis_resume(latch.id, by="carl").wait(30)
                for labor in client.search():
                    assert client.handle(labor.id).wait(60).state is State.COMPLETED
    names = [line.split()[1] for line in effects(tmp_path)]
    assert len(set(names)) == 1600
    assert len(names) == 1600, "what had ended before the kill ran once"


def test_g8_a_crisis_from_another_process_while_a_hundred_labors_run(db, tmp_path):
    with Child(tmp_path, db, 100) as child:
        child.submitted()
        with cw.connect(db) as client:
            latch = client.crisis_pause(tags=["even"], by="bob", note="INC-12")
            (now,) = client.crises()
            assert now.labors == 50
            assert latch.wait(60)
            assert client.crises()[0].attempts == 0
            held = {labor.name for labor in client.search() if labor.state is State.CRISIS_PAUSED}
            assert held == {f"labor {n}" for n in range(0, 100, 2)}
            before = [line.split()[1] for line in effects(tmp_path)]
            (tmp_path / "fast").touch()
            for labor in client.search(cw.LaborFilter(tags=["odd"])):  # the others go on
                if not labor.state.ended:
                    client.handle(labor.id).wait(120)
                    break
            after = [line.split()[1] for line in effects(tmp_path)]
            assert len(after) > len(before)
            assert not [name for name in after[len(before) :] if int(name.split("-")[0]) % 2 == 0]
            assert client.crisis_resume(latch.id).wait(60)
            assert client.crises() == []


def test_g8_no_attempt_begins_while_a_latch_is_acknowledged(tmp_path, make_cog):
    """Judged from what the calls themselves write down."""
    held: dict[str, int] = {"a": 0, "b": 0}
    lock = threading.Lock()
    breaches: list[str] = []

    def touch(tag: str) -> None:
        with lock:
            if held[tag]:
                breaches.append(tag)

    cog = make_cog(touch)
    over = threading.Event()
    handles: list[cw.LaborHandle] = []
    with cw.Engine(tmp_path / "labors.db", workers=8) as engine:

        def submit(seed: int) -> None:
            rng = random.Random(seed)
            while not over.is_set():
                tag = rng.choice("ab")
                labor = many(lambda _, tag=tag: cog.job(tag=tag), 3, name=tag, concurrency=2)
                labor.tags = [tag]
                start = rng.random() < 0.5
                handle = engine.submit(labor, start=start)
                if not start:
                    handle.start()
                handles.append(handle)

        def crises(seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(25):
                tag = rng.choice("ab")
                latch = engine.crisis_pause(tags=[tag]) if rng.random() < 0.5 else engine.crisis_pause(name_prefix=tag)
                assert latch.wait(30)
                with lock:
                    held[tag] += 1
                engine.stats()
                with lock:
                    held[tag] -= 1
                engine.crisis_resume(latch.id)

        submitters = [threading.Thread(target=submit, args=(n,)) for n in range(4)]
        steerers = [threading.Thread(target=crises, args=(n,)) for n in range(2)]
        for thread in submitters + steerers:
            thread.start()
        for thread in steerers:
            thread.join()
        over.set()
        for thread in submitters:
            thread.join()
        for handle in handles:
            assert handle.wait(60).state is State.COMPLETED
        assert engine.crises() == []
        assert len(engine.crises(lifted=True)) == 50
    assert breaches == []
