"""The command Cog in an engine (C2, G3a, X8, X8a, X9, R2, S2)."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import many, one
from process_support import alive, children_of, descriptors, processes_of

import cogwork as cw
from cogwork import AttemptStatus, Signal, State


def test_c2_a_program_runs_once_for_each_attempt(engine):
    done = engine.run(one(cw.command.job(["echo", "hello"]))).raise_for_state()
    assert done["task"]["host"].jobs[0].output == "hello"


def test_c2_by_name(engine):
    done = engine.run(one(cw.Job("command", {"shell": "echo $COGWORK_TARGET"})))
    assert done["task"]["host"].jobs[0].output == "host"


def test_parse_and_outputs_of_earlier_jobs(engine, make_cog):
    def look(ctx: cw.Context) -> list[object]:
        return [ctx.outputs["facts"], ctx.outputs["list"]]

    looks = make_cog(look)
    jobs = [
        cw.command.job(shell='echo \'{"up": true, "load": [0.5, 1]}\'', parse="json").replace(name="facts"),
        cw.command.job(["printf", "a\\nb\\n"], parse="lines").replace(name="list"),
        looks.job(),
    ]
    done = engine.run(one(*jobs)).raise_for_state()
    assert done["task"]["host"].jobs[2].output == [{"up": True, "load": [0.5, 1]}, ["a", "b"]]


def test_s2_args_are_checked_at_submit_with_their_places(engine):
    labor = one(
        cw.Job("command", {}),
        cw.Job("command", {"argv": "ls"}),
        cw.Job("command", {"argv": ["ls"], "shel": "ls"}),
        cw.command.job(["ls"], parse="xml"),  # type: ignore[arg-type]
    )
    labor.tasks[0].pre_checks.append(cw.Job("command", {"shell": 1}))
    with pytest.raises(cw.ValidationError) as refused:
        engine.submit(labor)
    said = [str(issue) for issue in refused.value.errors]
    assert len(said) == 5
    for words in ("PreCheck[0]", "needs argv", "list of texts", "no 'shel'", "'text', 'json' or 'lines'"):
        assert any(words in text for text in said), said


def test_s2_a_real_user_that_cannot_be_is_an_error_at_submit(engine):
    labor = one(cw.command.job(["true"]))
    labor.real_user = "no-such-user-here"
    with pytest.raises(cw.ValidationError, match="no user 'no-such-user-here'"):
        engine.submit(labor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_real_user(engine):
    labor = one(cw.command.job(["id", "-un"]))
    labor.real_user = "nobody"
    assert engine.run(labor)["task"]["host"].jobs[0].output == "nobody"
    assert os.geteuid() == 0


def test_c1_its_name_is_taken():
    with pytest.raises(cw.CogError, match="cogwork:command"):

        @cw.cog(name="command")
        def mine() -> None: ...


def test_x8_exit_codes_retries_and_errors(engine):
    done = engine.run(one(cw.command.job(shell="echo broken >&2; exit 7").replace(retries=2)))
    job = done["task"]["host"].jobs[0]
    assert [a.status for a in job.attempts] == [AttemptStatus.FAILURE] * 3
    assert job.attempts[0].error == "broken\nexit status 7"
    done = engine.run(one(cw.command.job(shell="exit 9", no_retry_codes=[9]).replace(retries=2)))
    assert [a.status for a in done["task"]["host"].jobs[0].attempts] == [AttemptStatus.FAILURE_NO_RETRIES]
    assert engine.run(one(cw.command.job(shell="exit 3", ok_codes=[0, 3]))).state is State.COMPLETED


def test_x8_a_time_out_ends_it_and_all_it_started(engine, tmp_path):
    script = f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >> {tmp_path}/children; while :; do sleep 1; done' & wait; sleep 60"
    done = engine.run(one(cw.command.job(shell=script).replace(timeout=1, retries=1)))
    job = done["task"]["host"].jobs[0]
    assert [a.status for a in job.attempts] == [AttemptStatus.TIMED_OUT] * 2
    assert done.state is State.FAILED
    children = [int(line) for line in (tmp_path / "children").read_text().split()]
    assert children
    assert not any(map(alive, children))
    assert engine.stats().abandoned == 0


def test_g3a_an_interrupting_stop_ends_it(engine, tmp_path):
    handle = engine.submit(one(cw.command.job(shell=f"echo $$ > {tmp_path}/pid; exec sleep 60")))
    pid = wait_for_pid(tmp_path / "pid")
    ack = handle.stop(interrupt=True)
    assert ack.wait(30)
    done = handle.wait(30)
    assert done.state is State.STOPPED
    assert done["task"]["host"].jobs[0].attempts[0].status is AttemptStatus.STOPPED
    assert not alive(pid)


def test_g3a_what_ignores_term_is_gone_with_its_grandchild_soon_after_the_grace(tmp_path, figure):
    grace = 0.5
    deaf = tmp_path / "deaf"
    deaf.write_text(
        "#!/bin/sh\ntrap '' TERM\necho $$ > $1\nif test -n \"$2\"; then $0 $2 & fi\nwhile :; do sleep 1; done\n"
    )
    deaf.chmod(0o755)
    with cw.Engine("memory:", grace=grace) as engine:
        handle = engine.submit(one(cw.command.job([str(deaf), str(tmp_path / "pid"), str(tmp_path / "child")])))
        pids = [wait_for_pid(tmp_path / "pid"), wait_for_pid(tmp_path / "child")]
        assert pids[0] != pids[1]
        begin = time.monotonic()
        assert handle.stop(interrupt=True).wait(30)
        took = time.monotonic() - begin
        assert not any(alive(pid) for pid in pids)
        assert handle.wait(30).state is State.STOPPED
    figure(
        f"a command and its grandchild that ignore TERM: gone {took * 1000:.0f} ms after the stop, grace {grace * 1000:.0f} ms"
    )
    assert grace <= took < grace + 10


def test_commands_leave_no_descriptor_process_or_zombie(tmp_path):
    with cw.Engine("memory:") as engine:
        engine.run(one(cw.command.job(["true"]))).raise_for_state()  # the guardian is there, its pipe and its list
        before, children = descriptors(), children_of(os.getpid())
        word = str(tmp_path)
        jobs = [
            cw.command.job(shell="cat >&2; echo done", stdin="x"),
            cw.command.job(["sh", "-c", "(sleep 60; true) & echo left", word]),
            cw.command.job(["/no/such/program"]),
            cw.command.job(shell="kill -9 $$"),
        ]
        done = engine.run(many(lambda n: jobs[n % 4], 200, concurrency=20, tolerated_failures=-1)).raise_for_state()
        assert done.tasks[0].failures == 100
        assert children_of(os.getpid()) == children, "a zombie is a child too"
        assert processes_of(word) == []
        assert descriptors() <= before


def test_g3_an_ordinary_stop_and_a_pause_let_it_end(engine, tmp_path):
    script = f"echo $$ > {tmp_path}/pid; while ! test -e {tmp_path}/go; do sleep 0.01; done; echo done"
    handle = engine.submit(many(lambda _: cw.command.job(shell=script), 2))
    wait_for_pid(tmp_path / "pid")
    ack = handle.pause()
    assert handle.state is State.PAUSING
    (tmp_path / "go").touch()
    assert ack.wait(30)
    assert ack.state is State.PAUSED
    handle.resume()
    assert handle.wait(30).state is State.COMPLETED


def test_checks_may_be_commands(engine):
    labor = one(cw.command.job(["true"]), pre_checks=[cw.command.job(["false"])])
    done = engine.run(labor)
    assert (done.state, done.reason) == (State.FAILED, cw.Reason.PRE_CHECK_FAILURE)


def test_many_commands_need_no_threads(engine):
    before = threading.active_count()
    done = engine.run(many(lambda n: cw.command.job(["echo", str(n)]), 200, concurrency=50)).raise_for_state()
    assert threading.active_count() <= before + 1
    assert [s.jobs[0].output for s in done.tasks[0].sequences] == [str(n) for n in range(200)]


def test_r2_closing_interrupts_and_the_next_engine_runs_it_again(tmp_path):
    db = tmp_path / "labors.db"
    script = f"echo $$ >> {tmp_path}/pids; test -e {tmp_path}/go || exec sleep 60"
    engine = cw.Engine(db, grace=0.2)
    handle = engine.submit(one(cw.command.job(shell=script).replace(on_interrupt=cw.OnInterrupt.RETRY)))
    pid = wait_for_pid(tmp_path / "pids")
    with pytest.warns(cw.CogworkWarning):
        engine.close(interrupt=True)
    assert not alive(pid)
    (tmp_path / "go").touch()
    with cw.Engine(db) as engine:
        done = engine.handle(handle.id).wait(30)
        assert done.state is State.COMPLETED
        assert [a.status for a in done["task"]["host"].jobs[0].attempts] == [
            AttemptStatus.INTERRUPTED,
            AttemptStatus.SUCCESS,
        ]


def test_no_command_outlives_an_engine_that_is_killed(tmp_path):
    code = f"""
import cogwork as cw
script = "trap '' TERM; echo $$ > {tmp_path}/pid; sh -c 'echo $$ > {tmp_path}/child; exec sleep 60' & while :; do sleep 1; done"
with cw.Engine({str(tmp_path / "l.db")!r}, grace=0.2) as engine:
    engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[cw.command.job(shell=script)])])]))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    pids = [wait_for_pid(tmp_path / "pid"), wait_for_pid(tmp_path / "child")]
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    for _ in range(6000):
        if not any(alive(pid) for pid in pids):
            break
        threading.Event().wait(0.005)
    assert not any(alive(pid) for pid in pids)


def test_a_signal_by_id_reaches_it_while_python_is_not_needed(engine, tmp_path):
    handle = engine.submit(one(cw.command.job(shell=f"echo $$ > {tmp_path}/pid; exec sleep 60")))
    wait_for_pid(tmp_path / "pid")
    assert engine.signal(handle.id, Signal.STOP, interrupt=True).wait(30)


def wait_for_pid(path: pathlib.Path) -> int:
    for _ in range(6000):
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text.split()[0])
        threading.Event().wait(0.005)
    raise AssertionError(f"nothing in {path}")
