"""Where nothing moves it is said why, and where targets were left half way they are named: by progress, recap, HTML, lines and the shell."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import State
from cogwork._line_display import Standstill
from cogwork._recap import recap_of
from cogwork._summary import counts, half_way, lost, outline, place, reasons
from cogwork._text import clock, date
from cogwork.testing import FaultyStorage

PATIENCE = 40


def wait_for(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "it has not come to that"
        time.sleep(0.005)


def everywhere(handle: cw.LaborHandle, words: str) -> None:
    """Whoever shows the Labor says it."""
    progress = handle.progress()
    assert words in "\n".join([*reasons(progress), *half_way(progress)])
    assert words in recap_of(progress)
    assert words.replace('"', "&quot;") in progress._repr_html_()


# ---- why nothing moves ----


def test_x8_a_job_that_waits_for_its_retry_says_until_when_and_why(engine, make_cog):
    def flaky(host: str) -> None:
        raise ConnectionError("refused by " + host + "\nand more")

    cog = make_cog(flaky)
    job = cog.job("edge-1").replace(retries=3, retry_delay=3600, name="flaky")
    handle = engine.submit(one(job, target="edge-1"))
    wait_for(lambda: handle.progress().retries)
    progress = handle.progress()
    assert re.fullmatch(
        r"edge-1 flaky: the next try in (59|60) min: ConnectionError: refused by edge-1", progress.tasks[0].waiting
    )
    everywhere(handle, "ConnectionError: refused by edge-1")
    (waits,) = progress.retries
    assert progress.retry_count == 1
    assert (waits.target, waits.job_name, waits.attempt, waits.error) == (
        "edge-1",
        "flaky",
        2,
        "ConnectionError: refused by edge-1",
    )
    assert waits.due is not None
    assert 3500 < (waits.due - datetime.now(timezone.utc)).total_seconds() <= 3600
    assert progress.half_way_count == 1
    handle.stop().wait(PATIENCE)


def test_x2_a_check_that_waits_for_its_retry(engine, make_cog):
    def no() -> bool:
        return False

    def step() -> None: ...

    check, cog = make_cog(no), make_cog(step)
    handle = engine.submit(one(cog.job(), pre_checks=[check.job().replace(retries=1, retry_delay=600, name="healthy")]))
    wait_for(lambda: handle.progress().retries)
    waiting = handle.progress().tasks[0].waiting
    assert re.fullmatch(
        r"waits for its checks; check healthy: the next try in (9|10) min: the cog returned False", waiting
    )
    handle.stop().wait(PATIENCE)


def test_x13_workers_that_are_all_busy_are_a_reason(spec, make_cog, gate):
    def busy(n: int) -> None:
        gate()

    cog = make_cog(busy)
    with cw.Engine(spec, workers=2) as engine:
        handle = engine.submit(many(lambda n: cog.job(n), 5, concurrency=5))
        gate.wait_for(2)
        wait_for(lambda: handle.progress().tasks[0].waiting)
        assert handle.progress().tasks[0].waiting == "3 Jobs wait for a free worker (2 of 2 busy)"
        everywhere(handle, "task: 3 Jobs wait for a free worker (2 of 2 busy)")
        other = engine.submit(one(cog.job(9), name="other"))
        wait_for(lambda: other.progress().tasks[0].waiting)
        assert other.progress().tasks[0].waiting == "1 Job waits for a free worker (2 of 2 busy)", (
            "those of others are not counted"
        )
        gate.open()
        handle.wait(PATIENCE)
        other.wait(PATIENCE)


def test_x13_workers_of_checks_that_are_all_busy(spec, make_cog, gate):
    def check() -> bool:
        gate()
        return True

    cog = make_cog(check)
    with cw.Engine(spec, workers=1) as engine:
        handle = engine.submit(one(cog.job(), pre_checks=[cog.job(), cog.job()]))
        gate.wait_for(1)
        # One of its checks executes, so it waits for its checks; who has none that executes waits for the worker.
        other = engine.submit(one(cog.job(), name="other", pre_checks=[cog.job()]))
        wait_for(lambda: "worker" in other.progress().tasks[0].waiting)
        assert (
            other.progress().tasks[0].waiting
            == "waits for its checks; 1 check waits for a free worker of checks (1 of 1 busy)"
        )
        gate.open()
        handle.wait(PATIENCE)
        other.wait(PATIENCE)


def test_g5a_a_sequence_that_is_held_by_itself_is_a_reason(engine, make_cog, gate):
    def step(n: int) -> None:
        gate()

    cog = make_cog(step)
    labor = cw.Labor("labor", tasks=[cw.Task("task", sequences=[cw.Sequence("edge-1", jobs=[cog.job(1), cog.job(2)])])])
    handle = engine.submit(labor)
    gate.wait_for(1)
    ack = handle.task("task").sequence("edge-1").pause(by="alice", note="INC-12")
    gate.open()
    assert ack.wait(PATIENCE)
    everywhere(handle, 'task: edge-1 is held by alice "INC-12" (PAUSED)')
    assert handle.state == State.RUNNING
    assert half_way(handle.progress()) == [f"half way: edge-1 after {cog.name}, before {cog.name}"]
    handle.stop().wait(PATIENCE)


def test_d6_a_store_that_fails_is_a_reason_and_since_when(make_cog, gate):
    store = FaultyStorage("memory:")

    def step(n: int) -> None:
        gate()

    cog = make_cog(step)
    with cw.Engine(store) as engine:
        handle = engine.submit(many(lambda n: cog.job(n), 3))
        gate.wait_for(1)
        store.fail(times=None, error=OSError(5, "the disk is on fire"))
        gate.open()
        wait_for(lambda: handle.progress().failing)
        progress = handle.progress()
        assert "the disk is on fire" in progress.failing
        assert progress.failing_since is not None
        everywhere(handle, f"the store fails since {clock(progress.failing_since)}, and work waits for it: ")
        store.mend()
        assert handle.wait(PATIENCE).state == State.COMPLETED
        assert not handle.progress().failing


def test_d6_an_end_that_is_not_recorded_yet_is_said(make_cog, gate):
    store = FaultyStorage("memory:")
    cog = make_cog(lambda: gate() or 1)
    with cw.Engine(store) as engine:
        handle = engine.submit(one(cog.job()))
        gate.wait_for(1)
        store.fail(times=None, error=OSError(5, "the disk is on fire"))
        gate.open()
        wait_for(lambda: handle.state.ended and engine.stats().degraded)
        with pytest.raises(TimeoutError, match=r"is COMPLETED, and that was not recorded within 0.2: .*on fire"):
            handle.wait(0.2)
        store.mend()
        assert handle.wait(PATIENCE).state == State.COMPLETED


def test_r4_what_nobody_runs_says_why(tmp_path, make_cog, gate):
    def step(n: int) -> None:
        gate()

    cog = make_cog(step)
    path = tmp_path / "l.db"
    with cw.Engine(path) as engine, pytest.warns(cw.CogworkWarning):
        handle = engine.submit(many(lambda n: cog.job(n), 3), start=False)
        engine.close()
    with cw.connect(path) as client:
        there = client.handle(handle.id)
        assert there.progress().unattended == f"no engine runs on {path}"
        everywhere(there, f"no engine runs on {path}")
        with cw.Engine(path, recover="none"):
            wait_for(lambda: client.engine is not None)
            assert "recover" in there.progress().unattended
            everywhere(there, 'opened without taking up what was unfinished (recover="none")')


def test_other_reasons_in_one_line_each(engine, make_cog, gate):
    def step() -> None:
        gate()

    cog = make_cog(step)
    delayed = engine.submit(one(cog.job(), name="delayed", entry_delay=7500))
    assert re.fullmatch(r"entry_delay: 2 h [45] min to go", delayed.progress().tasks[0].waiting)
    baked = engine.submit(
        one(make_cog(lambda: None).job(), name="baked", cont_checks=[make_cog(lambda: True).job()], bake=90)
    )
    wait_for(lambda: "bakes" in baked.progress().tasks[0].waiting)
    assert "the last round of checks begins in 1 min" in baked.progress().tasks[0].waiting
    held = engine.submit(one(cog.job(), name="held", pause_on_entry=True))
    wait_for(lambda: held.progress().tasks[0].waiting)
    assert "held by" in held.progress().tasks[0].waiting
    waits = engine.submit(one(cog.job(), name="waits"), start=False)
    everywhere(waits, "it was submitted to wait, and has not been started")
    for handle in (delayed, baked, held):
        handle.stop()
    gate.open()


# ---- half way ----


@pytest.fixture
def rollout(engine, make_cog, gate):
    """Runs until the install of two targets is under way."""

    def drain(host: str) -> None: ...

    def install(host: str) -> None:
        gate()

    cogs = [make_cog(function) for function in (drain, install)]
    jobs = [(cogs[0], "drain"), (cogs[1], "install"), (cogs[0], "undrain")]
    sequences = [
        cw.Sequence(f"r{n}", jobs=[cog.job(f"r{n}").replace(name=name) for cog, name in jobs]) for n in range(4)
    ]
    handle = engine.submit(cw.Labor("rollout", tasks=[cw.Task("rest", concurrency=2, sequences=sequences)]))
    gate.wait_for(2)
    return handle


HALF_WAY = [f"half way: r{n} after install, before undrain" for n in (0, 1)]


def test_targets_that_a_pause_leaves_half_way_are_named(rollout, gate):
    ack = rollout.pause()
    assert half_way(rollout.progress()) == [], "these still execute"
    gate.open()
    assert ack.wait(PATIENCE)
    for words in HALF_WAY:
        everywhere(rollout, words)
    assert half_way(outline(rollout.read())) == HALF_WAY, "as it is stored, too"
    assert HALF_WAY[0] in str(rollout.read())
    assert HALF_WAY[0] in rollout.read()._repr_html_()
    rollout.resume().wait(PATIENCE)
    assert half_way(rollout.progress()) == [] or rollout.state.ended
    done = rollout.wait(PATIENCE)
    assert done.state == State.COMPLETED
    assert "half way" not in str(done)


def test_targets_that_a_stop_leaves_half_way_are_named(rollout, gate):
    ack = rollout.stop()
    gate.open()
    assert ack.wait(PATIENCE)
    done = rollout.wait(PATIENCE)
    assert done.state == State.STOPPED
    for words in HALF_WAY:
        everywhere(rollout, words)
        assert words in str(done)
        assert words in done._repr_html_()
    assert str(done.failures()[0]) == "rest/r0: STOPPED after install, before undrain"
    first = min(rollout.progress().losses, key=lambda loss: loss.target)
    assert (first.task, first.target, first.after, first.job, first.begun) == (
        "rest",
        "r0",
        "install",
        "undrain",
        False,
    )


def test_targets_that_a_failed_check_leaves_half_way_are_named(engine, make_cog, gate):
    healthy = [True]

    def drain(host: str) -> None: ...

    def check() -> bool:
        return healthy[0]

    def install(host: str) -> None:
        gate()

    cogs = [make_cog(function) for function in (drain, install)]
    jobs = [
        cogs[0].job("r7").replace(name="drain"),
        cogs[1].job("r7").replace(name="install"),
        cogs[0].job("r7").replace(name="undrain"),
    ]
    task = cw.Task(
        "rest", cont_checks=[make_cog(check).job()], cont_check_interval=0.01, sequences=[cw.Sequence("r7", jobs=jobs)]
    )
    handle = engine.submit(cw.Labor("rollout", tasks=[task]))
    gate.wait_for(1)
    healthy[0] = False
    wait_for(lambda: "check failed" in handle.progress().tasks[0].waiting)
    gate.open()
    done = handle.wait(PATIENCE)
    assert done.state == State.FAILED
    everywhere(handle, "half way: r7 after install, before undrain")
    assert lost(handle.progress().losses[0]) == "rest/r7: STOPPED after install, before undrain"
    (failed,) = handle.progress().failed_checks
    assert failed.task == "rest"
    assert "the cog returned False" in failed.error
    assert "(check)" in str(done)


def test_a_sequence_that_failed_behind_its_first_job_is_half_way(engine, make_cog):
    def drain() -> None: ...

    def install() -> None:
        raise OSError("disk full")

    jobs = [make_cog(drain).job().replace(name="drain"), make_cog(install).job().replace(name="install")]
    handle = engine.submit(one(*jobs, target="r7"))
    done = handle.wait(PATIENCE)
    everywhere(handle, "half way: r7 after drain, in install")
    assert str(done.failures()[0]) == "task/r7: install FAILED: OSError: disk full"
    alone = engine.run(one(jobs[1], target="r8"))
    assert "half way" not in str(alone), "that is what was lost says already"


def test_the_places_of_a_sequence_in_words():
    assert place("", "drain", False) == "nothing of it ran"
    assert place("", "drain", True) == "in drain"
    assert place("drain", "install", True) == "after drain, in install"
    assert place("drain", "install", False) == "after drain, before install"
    assert place("undrain", "", False) == ""
    assert counts(21, 3, 24) == "ok 21, lost 3 of 24"
    assert counts(24, 0, 24) == "ok 24 of 24"


def test_many_are_counted(engine, make_cog, gate):
    def first(n: int) -> None: ...

    def second(n: int) -> None:
        gate()

    cogs = [make_cog(first), make_cog(second)]
    sequences = [cw.Sequence(f"h{n}", jobs=[cogs[0].job(n), cogs[1].job(n), cogs[0].job(n)]) for n in range(130)]
    handle = engine.submit(cw.Labor("wide", tasks=[cw.Task("t", concurrency=130, sequences=sequences)]))
    gate.wait_for(64)  # as many as there are workers: each first Job came before them
    wait_for(lambda: handle.progress().half_way_count >= 130 - 64)
    ack = handle.pause()
    gate.open()
    assert ack.wait(PATIENCE)
    progress = handle.progress()
    assert (progress.half_way_count, len(progress.half_way)) == (130, 100)
    assert half_way(progress)[-1] == "half way: and 125 more"
    handle.stop().wait(PATIENCE)


# ---- losses after a take-up ----


def test_r3_what_was_lost_is_still_listed_when_another_engine_goes_on(tmp_path, make_cog, gate):
    def step(n: int) -> None:
        if n < 2:
            raise OSError(f"disk {n} full")
        gate()

    cog = make_cog(step, idempotent=True)
    path = tmp_path / "l.db"
    with pytest.warns(cw.CogworkWarning), cw.Engine(path, grace=0.1) as engine:
        handle = engine.submit(many(lambda n: cog.job(n), 4, tolerated_failures=2))
        gate.wait_for(1)
        engine.close(interrupt=True)
    gate.open()
    with cw.Engine(path) as engine:
        progress = engine.handle(handle.id).progress()
        assert [loss.error for loss in progress.losses] == ["OSError: disk 0 full", "OSError: disk 1 full"]
        engine.handle(handle.id).wait(PATIENCE)


# ---- in lines ----


def test_a_reason_is_said_once_it_has_lasted_and_anew_when_it_comes_again():
    def progress(waiting: str, **fields) -> cw.Progress:
        task = outline(cw.Labor(tasks=[cw.Task("t")])).tasks[0]
        usual = {"in_flight": [], "in_flight_count": 0, "losses": [], "holds": [], "started": None, "ended": None}
        return cw.Progress(
            id="i", name="n", state=State.RUNNING, reason=cw.Reason.NO_FAILURE,
            tasks=[type(task)(**{f: getattr(task, f) for f in task.__struct_fields__} | {"waiting": waiting})], **usual | fields,
        )  # fmt: skip

    stands = Standstill()
    said = [stands.look(progress(f"entry_delay: {9 - n} s to go"), n / 2) for n in range(6)]
    assert [lines for lines in said if lines] == [["t: entry_delay: 7 s to go"]], "when it has lasted, and once"
    assert stands.look(progress(""), 3.5) == []
    assert stands.look(progress("entry_delay: 1 s to go"), 4.0) == []
    assert stands.look(progress("entry_delay: 1 s to go"), 5.5) == [], "it was away for a moment alone"
    assert stands.look(progress("entry_delay: 1 s to go"), 500) == []
    assert stands.look(progress("entry_delay: 1 s to go"), 501) == ["t: entry_delay: 1 s to go"]
    failing = progress("", failing="disk full", failing_since=datetime.now(timezone.utc))
    (line,) = stands.look(failing, 600)
    assert "work waits for it: disk full" in line, "at once"
    assert stands.look(failing, 700) == []
    assert stands.look(progress(""), 701) == ["the store works again"]


def test_lines_of_a_standing_labor_say_why(tmp_path, make_cog, capsys):
    def flaky() -> None:
        raise ConnectionError("refused")

    with cw.Engine(tmp_path / "l.db") as engine:
        handle = engine.submit(one(make_cog(flaky).job().replace(retries=1, retry_delay=2)))
        handle.watch()
    out = capsys.readouterr().out
    assert re.search(r"the next try in [01] s: ConnectionError: refused", out)
    assert "Labor 'labor' FAILED" in out, "a recap at the end"


# ---- moments ----


@pytest.fixture
def in_berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)


def test_moments_are_local_and_utc_on_demand_everywhere(in_berlin, monkeypatch):
    labor = cw.Labor(
        "l",
        tasks=[cw.Task("t")],
        id="i",
        state=State.PAUSED,
        submitted=BEGAN,
        holds=[cw.Hold(cw.Rank.USER, BEGAN, "ann", "")],
    )
    assert date(BEGAN) == "2026-01-02 04:04:05 CET"
    assert clock(BEGAN, BEGAN) == "04:04:05"
    assert clock(BEGAN, millis=True) == "2026-01-02 04:04:05.678"
    for text in (str(labor), labor._repr_html_()):
        assert "since 2026-01-02 04:04:05" in text
    assert "submitted 2026-01-02 04:04:05 CET" in labor._repr_html_()
    monkeypatch.setenv("COGWORK_UTC", "1")
    assert date(BEGAN) == "2026-01-02 03:04:05Z"
    assert clock(BEGAN, BEGAN, millis=True) == "03:04:05.678Z"
    for text in (str(labor), labor._repr_html_()):
        assert "since 2026-01-02 03:04:05Z" in text


def test_the_shells_times_are_local_and_utc_on_demand(in_berlin, tmp_path, make_cog):
    from typer.testing import CliRunner

    from cogwork.cli import app

    def step() -> None: ...

    path = tmp_path / "l.db"
    with cw.Engine(path) as engine:
        done = engine.run(one(make_cog(step).job()))

    def call(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--db", str(path)], prog_name="cogwork")
        assert result.exit_code == 0, result.output
        return result.output

    local, utc = f"{done.ended.astimezone():%H:%M:%S}", f"{done.ended:%H:%M:%S}"
    for words in (["show", done.id], ["history", done.id], ["watch", done.id], ["ls"]):
        assert f"{utc}Z" not in call(*words)
        assert re.search(rf"{local[:3]}|{local[:2]}:", call(*words))
        for line in (call(*words, "--utc"), call("--utc", *words)):
            assert re.search(r"\d\d:\d\d:\d\d(\.\d+)?Z", line)
    assert f"{local} CET" in call("show", done.id)
    moment = f"{done.ended:%H:%M:%S.%f}"
    assert "as it stood at" in call("show", done.id, "--utc", "--at", f"{done.ended:%Y-%m-%d} {moment}"), (
        "and is read so"
    )
    assert json.loads(call("show", done.id, "--json"))["ended"].endswith("Z")


def test_a_moment_that_is_yet_to_come_is_refused(tmp_path, make_cog):
    from typer.testing import CliRunner

    from cogwork.cli import app

    path = tmp_path / "l.db"
    with cw.Engine(path) as engine:
        done = engine.run(one(make_cog(lambda: None).job()))
        assert engine.at(done.id, datetime.now(timezone.utc)).state == State.COMPLETED
    result = CliRunner().invoke(
        app, ["show", done.id, "--at", "2999-01-01", "--db", os.fspath(path)], prog_name="cogwork"
    )
    assert result.exit_code == 2
    assert "is yet to come" in result.output


def test_a_recap_of_a_task_without_a_limit(engine, make_cog):
    def bad() -> None:
        raise RuntimeError("no")

    sequences = [cw.Sequence(f"h{n}", jobs=[make_cog(bad).job()]) for n in range(2)]
    done = engine.run(cw.Labor("x", tasks=[cw.Task("t", tolerated_failures=-1, sequences=sequences)]))
    assert "t  COMPLETED: ok 0, lost 2 of 2, failures 2, no limit, " in str(done)
