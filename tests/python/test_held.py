"""Held Jobs (R2): decided through an engine, a client and the shell; and Labors that wait for their Cogs (R4)."""

from __future__ import annotations

import asyncio
import io
import json
import pathlib
import re
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from cli_support import Shell, only_labor, settled, shell, write_script
from conftest import many, one
from typer.testing import CliRunner

import cogwork as cw
from cogwork import ChangeKind, Decision, State
from cogwork.cli import app

SCRIPT = """
import pathlib
import cogwork as cw

@cw.cog
def flash(ctx: cw.Context, host: str) -> str:
    print(f"begun {host}\\n", end="", flush=True)
    while not pathlib.Path("go").exists():
        ctx.sleep(0.01)
    return host

labor = cw.Labor("flash", tasks=[
    cw.Task("rest", concurrency=2, sequences=[cw.Sequence(f"h{n}", jobs=[flash.job(host=f"h{n}")]) for n in range(2)]),
])
"""


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def db(tmp_path) -> pathlib.Path:
    return tmp_path / "labors.db"


def close(engine: cw.Engine) -> None:
    with pytest.warns(cw.CogworkWarning):
        engine.close(interrupt=True)


@pytest.fixture
def left(db, make_cog, gate):
    """A Labor of three targets, each of whose calls was executing when the engine closed; nothing says that they may run again."""
    risky = make_cog(lambda: gate() or "done")
    engine = cw.Engine(db, grace=0.1)
    handle = engine.submit(many(lambda _: risky.job(), 3, name="rollout", concurrency=3, tolerated_failures=1))
    gate.wait_for(3)
    close(engine)
    gate.open()
    return handle.id


@pytest.fixture
def engine(db, left):
    with pytest.warns(cw.CogworkWarning, match="held"), cw.Engine(db, grace=0.2) as opened:
        give_up = time.monotonic() + 20  # what is read is what is stored (G1)
        while opened.read_labor(left, False).state is not State.ADMIN_PAUSED:
            assert time.monotonic() < give_up
            time.sleep(0.005)
        yield opened


def job_ids(labor: cw.Labor) -> list[str]:
    return [sequence.jobs[0].id for task in labor.tasks for sequence in task.sequences]


def test_r1_opening_says_which_jobs_are_held(db, left, caplog):
    with pytest.warns(cw.CogworkWarning) as warned, cw.Engine(db) as engine:
        engine.handle(left).stop().wait(30)
    text = str(warned[0].message)
    for id in job_ids(cw.open_store(db).read_labor(left)):
        assert f"engine.decide('{id}', ...)" in text
    assert "task/host-0" in text
    assert "admin_resume" in text
    assert text in caplog.text


def test_r2_held_jobs_are_decided_and_the_labor_resumed(engine, left):
    handle = engine.handle(left)
    assert handle.state is State.ADMIN_PAUSED
    assert engine.taken_up == [left]
    held = handle.held()
    assert [str(h).split(" ")[0] for h in held] == ["task/host-0", "task/host-1", "task/host-2"]
    assert {h.labor_id for h in held} == {left}
    assert engine.stats().held == held
    with pytest.raises(cw.SignalNotAllowed, match="3 Jobs of it are held") as refused:
        handle.admin_resume()
    assert held[0].job_id in str(refused.value)

    engine.decide(held[0].job_id, "rerun", by="ann", note="nothing had happened")
    engine.decide(held[1].job_id, Decision.COMPLETED, by="ann", note="looked at it")
    engine.decide(held[2].job_id, "failed", by="bob")
    assert handle.held() == []
    assert handle.state is State.ADMIN_PAUSED, "it still needs its ADMIN_RESUME"
    assert handle.admin_resume().wait(30)
    done = handle.wait(30)
    assert done.state is State.COMPLETED
    first, second, third = (sequence.jobs[0] for sequence in done.tasks[0].sequences)
    assert (first.decision, [a.status.name for a in first.attempts]) == (None, ["INTERRUPTED", "SUCCESS"])
    assert first.attempts[0].decision is Decision.RERUN
    assert (second.state, second.decision, len(second.attempts)) == (State.COMPLETED, Decision.COMPLETED, 1)
    assert 'ann decided: completed "looked at it"' in second.error
    assert (third.state, third.decision) == (State.FAILED, Decision.FAILED)
    assert "bob decided: failed" in str(done), "in the recap"
    decisions = [c for c in engine.store.changes(left) if c.kind is ChangeKind.DECISION]
    assert [(c.decision.value, c.by, c.note, c.to_state.name) for c in decisions] == [
        ("rerun", "ann", "nothing had happened", "RUNNING"),
        ("completed", "ann", "looked at it", "COMPLETED"),
        ("failed", "bob", "", "FAILED"),
    ]
    assert done.as_new().tasks[0].sequences[0].jobs[0].decision is None


def test_r2_only_a_held_job_is_decided(engine, left):
    (held, *others) = engine.handle(left).held()
    engine.decide(held.job_id, "rerun")
    with pytest.raises(cw.SignalNotAllowed, match="is RUNNING and not held: 'rerun' was decided") as refused:
        engine.decide(held.job_id, "failed")
    assert (refused.value.signal, refused.value.state) == (None, State.RUNNING)
    with pytest.raises(ValueError, match=r"not 'complete' - did you mean 'completed'\?"):
        engine.decide(others[0].job_id, "complete")
    with pytest.raises(ValueError, match="not None"):
        engine.decide(others[0].job_id, None)
    with pytest.raises(cw.NotFound, match="no Job's"):
        engine.decide(left, "rerun")
    with pytest.raises(cw.NotFound):
        engine.decide(left[:-1] + "f", "rerun")
    with pytest.raises(cw.NotFound):
        engine.decide("01234567-89ab-4def-8123-456700000003", "rerun")
    assert engine.handle(left).stop().wait(30)
    with pytest.raises(cw.SignalNotAllowed, match="is STOPPED and not held"):
        engine.decide(others[0].job_id, "rerun")


def test_r2_the_async_face(db, left):
    async def main() -> State:
        with pytest.warns(cw.CogworkWarning):
            engine = cw.Engine(db)
        async with engine:
            handle = engine.handle(left)
            await asyncio.gather(*(engine.adecide(held.job_id, "completed") for held in handle.held()))
            return (await handle).state

    assert asyncio.run(main()) is State.COMPLETED


def test_r2_from_another_process(engine, left, db):
    with cw.connect(db) as client:
        handle = client.handle(left)
        assert handle.held() == engine.handle(left).held()
        assert client.stats().held_count == 3
        for held in handle.held():
            client.decide(held.job_id, "completed", by="ann")
        with pytest.raises(cw.SignalNotAllowed, match="not held"):
            client.decide(job_ids(client.read_labor(left))[0], "rerun")
        assert handle.wait(30).state is State.COMPLETED


def test_r1_without_an_engine_decisions_are_stored_and_applied_first(db, left):
    ids = job_ids(cw.open_store(db).read_labor(left))
    with cw.connect(db) as client:
        assert len(client.handle(left).held()) == 3, "they will be, as soon as an engine opens"
        client.decide(ids[0], "completed", by="ann", note="at night")
        client.decide(ids[1], "rerun")
        client.decide(ids[2], "rerun")
        assert client.handle(left).admin_resume().stored
        with pytest.raises(cw.NotFound):
            client.decide(left, "rerun")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is held any more
        warnings.filterwarnings("ignore", "the engine took up", cw.CogworkWarning)
        with cw.Engine(db) as engine:
            done = engine.handle(left).wait(30)
    assert done.state is State.COMPLETED
    assert [len(s.jobs[0].attempts) for s in done.tasks[0].sequences] == [1, 2, 2]
    with cw.connect(db) as client, pytest.raises(cw.SignalNotAllowed, match="is COMPLETED and not held"):
        client.decide(ids[0], "rerun")
    last = list(cw.open_store(db).changes(left))[-1]
    assert (last.kind, last.decision, last.refused) == (ChangeKind.DECISION, Decision.RERUN, True)


def test_r2_displays_say_what_is_held_and_what_to_do(engine, left):
    from rich.console import Console

    from cogwork._screen import picture

    handle = engine.handle(left)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(picture(handle.progress()))
    text = console.export_text()
    assert "3 Jobs are held, and must be decided" in text
    assert "cogwork decide JOB rerun|completed|failed" in text
    assert f"cogwork resume --admin {left[:8]}" in text
    assert f"{left[:8]}/task/host-1" in text
    html = handle.progress()._repr_html_()
    assert handle.held()[0].job_id in html
    assert "must be decided" in str(handle.read())
    assert handle.held()[0].job_id in handle.read()._repr_html_()
    handle.stop().wait(30)


def test_r2_the_decisions_of_many_threads_are_heard_once(engine, left):
    ids = job_ids(engine.read_labor(left))

    def decide(n: int) -> int:
        try:
            engine.decide(ids[n % 3], "completed", by=f"n{n}")
        except cw.SignalNotAllowed:
            return 0
        return 1

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(decide, range(60))) == 3
    assert engine.handle(left).wait(30).state is State.COMPLETED


# ---- in the shell ----


def call(*words: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="cogwork")
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    return result.output


def test_decide_with_an_engine(engine, left, db):
    ids = job_ids(engine.read_labor(left))
    assert "3 of them" in call("decide", left[:6], "rerun", "--db", db, status=2)
    assert "did you mean 'rerun'" in call("decide", ids[0], "rerum", "--db", db, status=2)
    said = call("decide", f"{left[:6]}/task/host-0", "completed", "--by", "ann", "--note", "INC-12", "--db", db)
    assert "COMPLETED" in said
    assert "2 Jobs of it are still held" in said
    assert "has no held Job" in call("decide", f"{left[:6]}/task/host-0", "rerun", "--db", db, status=2)
    assert "not held" in call("decide", ids[0], "rerun", "--db", db, status=1)
    answer = json.loads(call("decide", ids[1], "rerun", "--json", "--db", db))
    assert answer == {"id": ids[1], "decision": "rerun", "stored": False, "state": "RUNNING", "left": 1}
    said = call("decide", left[:6], "rerun", "--db", db)
    assert f"cogwork resume --admin {left[:8]}" in said
    history = call("history", left[:6], "--signals", "--db", db)
    assert re.search(r'DECIDED +task/host-0 .* completed by ann "INC-12"', history), history
    assert "decided completed" in call("show", f"{left[:6]}/task/host-0", "--db", db)
    call("resume", "--admin", left[:6], "--db", db)
    assert engine.handle(left).wait(30).state is State.COMPLETED


def test_show_and_ls_say_what_is_held(engine, left, db, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "were executing when the engine ended" in call("ls", "--db", db)
    ids = job_ids(engine.read_labor(left))
    assert f"cogwork decide {ids[0]}" in call("show", f"{left[:6]}/task/host-0", "--db", db)
    assert "held, and waits for a decision" in call("show", f"{left[:6]}/task", "--db", db)
    assert "cogwork decide JOB" in call("show", left[:6], "--db", db)
    engine.handle(left).stop().wait(30)


def test_r2_killed_decided_and_gone_on_with(tmp_path):
    write_script(tmp_path, text=SCRIPT)
    with Shell(tmp_path, "run", "rollout.py") as run:
        run.wait_for("begun h0")
        run.wait_for("begun h1")
        run.kill()
    labor = only_labor(tmp_path / "cogwork.db")
    code, said = shell(tmp_path, "decide", f"{labor.id[:8]}/rest/h0", "completed", "--note", "by hand")
    assert code == 0, said
    assert "no engine runs on cogwork.db, so 'completed' is stored" in said
    with Shell(tmp_path, "serve", "rollout.py") as serve:
        serve.wait_for("held: 'flash' .* rest/h1 flash: cogwork decide")
        settled(tmp_path / "cogwork.db", lambda tree: tree["rest"]["h0"].state is State.COMPLETED)
        code, said = shell(tmp_path, "resume", "--admin", labor.id[:8])
        assert code == 1
        assert "a Job of it is held" in said
        (tmp_path / "go").touch()
        code, said = shell(tmp_path, "decide", labor.id[:8], "rerun", "--by", "ann")
        assert code == 0, said
        serve.wait_for("rest/h1 flash: DECIDED rerun by ann")
        assert shell(tmp_path, "resume", "--admin", labor.id[:8])[0] == 0
        serve.wait_for("Labor 'flash': COMPLETED")
    done = only_labor(tmp_path / "cogwork.db")
    assert [a.status.name for a in done["rest"]["h1"]["flash"].attempts] == ["INTERRUPTED", "SUCCESS"]
    assert [a.status.name for a in done["rest"]["h0"]["flash"].attempts] == ["INTERRUPTED"]


# ---- R4: a Labor that waits for its Cogs ----


@pytest.fixture
def waits(tmp_path):
    """A Labor in whose Job a process was killed, and whose Cog is not known here."""
    write_script(tmp_path, text=SCRIPT)
    with Shell(tmp_path, "run", "rollout.py") as run:
        run.wait_for("begun h1")
        run.kill()
    return tmp_path / "cogwork.db", only_labor(tmp_path / "cogwork.db").id


def test_r4_a_labor_that_waits_is_stopped_without_its_cogs(waits):
    db, id = waits
    with cw.Engine(db) as engine, cw.connect(db) as client:
        assert [w.labor_id for w in engine.stats().waiting] == [id]
        ack = client.handle(id).stop(by="ann")
        assert not ack.stored
        assert ack.wait(30)
        assert (ack.applied, ack.state) == (True, State.STOPPED)
        assert engine.stats().waiting == []
        assert engine.handle(id).wait(30).state is State.STOPPED


def test_r4_other_signals_are_kept(waits):
    db, id = waits
    with cw.Engine(db) as engine, cw.connect(db) as client:
        for steering in (engine, client):
            ack = steering.handle(id).task("rest").pause(by="ann")
            assert ack.stored
            with pytest.raises(cw.EngineClosed, match="stored"):
                ack.wait(1)
        job = job_ids(engine.read_labor(id))[0]
        client.decide(job, "failed")
        said = call("decide", job_ids(engine.read_labor(id))[1], "rerun", "--db", db)
        assert "it waits: its cog is not known" in said
        assert "it waits: its cog is not known" in call("pause", id[:6], "--db", db)
    assert len(cw.open_store(db).records(cw.RecordKind.SIGNAL)) == 5
    folder = db.parent
    (folder / "go").touch()
    with Shell(folder, "serve", "rollout.py") as serve:
        serve.wait_for("took up 'flash'")
        labor = settled(
            db, lambda tree: tree["rest"]["h0"].state is State.FAILED and tree["rest"]["h1"]["flash"].decision
        )
        assert labor["rest"]["h1"]["flash"].decision is Decision.RERUN
        assert labor.state is State.ADMIN_PAUSED, "it still needs its ADMIN_RESUME"
    assert cw.open_store(db).records(cw.RecordKind.SIGNAL) == {}


# ---- S3, from everywhere at once, and across restarts ----


def test_s3_one_client_id_is_one_labor_whoever_submits_and_however_engines_come_and_go(db, make_cog):
    quick = make_cog(lambda: None)

    def labor(n: int) -> cw.Labor:
        tree = one(quick.job(), name=f"change {n}")
        tree.client_id = f"change-{n}"
        return tree

    ids: dict[int, set[str]] = {n: set() for n in range(6)}
    told = threading.Lock()
    failures: list[BaseException] = []

    def submit(client: cw.Client, n: int) -> None:
        try:
            while True:
                try:
                    id = client.submit(labor(n)).id
                except cw.EngineClosed:  # between two engines, or in the middle: nobody knows whether it is stored
                    time.sleep(0.01)
                    continue
                with told:
                    ids[n].add(id)
                return
        except BaseException as error:
            failures.append(error)

    clients = []
    threads = []
    for life in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cw.CogworkWarning)
            with cw.Engine(db) as engine:
                clients += [cw.connect(db, timeout=30) for _ in range(2)]
                new = [threading.Thread(target=submit, args=(client, n)) for client in clients for n in range(6)]
                for thread in new:
                    thread.start()
                threads += new
                engine.submit(labor(life))
    with cw.Engine(db) as engine:
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert failures == []
        assert all(len(found) == 1 for found in ids.values()), ids
        assert len(list(engine.search())) == 6
        for (id,) in ids.values():
            assert engine.handle(id).wait(20).state is State.COMPLETED
        with pytest.raises(cw.ValidationError, match="change-1"):
            other = labor(1)
            other.name = "another"
            clients[0].submit(other)
    for client in clients:
        client.close()
