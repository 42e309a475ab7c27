"""The command Cog in an engine (C2, G3a, X8, X8a, X9, R2, S2)."""

from __future__ import annotations

import os
import pathlib
import pwd
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


@pytest.mark.parametrize(
    ("job", "hint"),
    [
        (lambda: cw.command.job("ls -l"), "did you mean ['ls', '-l'] or shell='ls -l'?"),
        (lambda: cw.command.job(pathlib.Path("/bin/ls")), "did you mean ['/bin/ls'] or shell='/bin/ls'?"),
        (lambda: cw.command.job(b"ls -l"), "list of texts: the program and its arguments, got bytes"),
        (lambda: cw.command.job(5), "list of texts: the program and its arguments, got the number 5"),
        (lambda: cw.command.job(["sleep", 5]), "did you mean '5'?"),
        (lambda: cw.command.job(["ls", ["-l"]]), "expected a text, got a list"),
        (lambda: cw.command.job(shell=["ls", "-l"]), "a list of words is given as argv"),
        (lambda: cw.command.job(["ls"], env={"N": 5}), "did you mean '5'?"),
        (lambda: cw.command.job(["ls"], ok_codes=0), "a list of exit codes"),
        (lambda: cw.Job("command", {"argv": ["ls"], "timeout": 5}), ".replace(timeout=...)"),
    ],
)
def test_s2_first_mistakes_are_guessed_and_nothing_runs(engine, job, hint):
    with pytest.raises(cw.ValidationError) as refused:
        engine.submit(one(job()))
    assert hint in str(refused.value)


def test_words_may_come_from_anywhere(engine):
    words = (word for word in ("echo", "a", "b"))
    assert engine.run(one(cw.command.job(words)))["task"]["host"].jobs[0].output == "a b"


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


# ---- its environment ----


def environment_of(engine, **options) -> dict[str, str]:
    labor = one(cw.command.job(["/usr/bin/env"], parse="lines"))
    labor.real_user = options.get("real_user", "")
    lines = engine.run(labor).raise_for_state()["task"]["host"].jobs[0].output
    return dict(line.split("=", 1) for line in lines)


def test_what_a_script_sets_before_it_submits_counts(engine, monkeypatch):
    monkeypatch.setenv("STAGE", "one")
    assert environment_of(engine)["STAGE"] == "one"
    monkeypatch.setenv("STAGE", "two")
    assert environment_of(engine)["STAGE"] == "two"
    monkeypatch.delenv("STAGE")
    assert "STAGE" not in environment_of(engine)


def test_what_a_script_sets_before_it_starts_a_labor_counts(engine, monkeypatch):
    handle = engine.submit(one(cw.command.job(shell="echo $STAGE")), start=False)
    monkeypatch.setenv("STAGE", "later")
    assert handle.start().wait(30)["task"]["host"].jobs[0].output == "later"


def test_real_user_is_given_no_variable_of_ours(engine, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cr3t")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    me = pwd.getpwuid(os.geteuid())
    for user in {me.pw_name, "nobody"} if me.pw_uid == 0 else {me.pw_name}:
        seen = environment_of(engine, real_user=user)
        expected = pwd.getpwnam(user)
        assert (seen["USER"], seen["LOGNAME"], seen["HOME"]) == (user, user, expected.pw_dir)
        assert set(seen) <= {
            "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "COGWORK_TARGET", "COGWORK_JOB", "COGWORK_LABOR", "COGWORK_ATTEMPT",
        }  # fmt: skip


def test_changing_the_environment_while_commands_start_harms_nobody():
    """C's environment may be walked by no thread that does not hold the GIL: Python frees it while it changes it."""
    code = """
import os, cogwork as cw
with cw.Engine("memory:") as engine:
    sequences = [cw.Sequence(f"h{n}", jobs=[cw.command.job(["true"])]) for n in range(300)]
    handle = engine.submit(cw.Labor("x", tasks=[cw.Task("t", concurrency=30, sequences=sequences)]))
    n = 0
    while not handle.state.ended:
        os.environ[f"NEW_{n % 5000}"] = "x" * (n % 100)
        n += 1
    print(handle.wait(60).state.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "COMPLETED\n"), done.stderr


# ---- its engine's process ----


def test_a_closed_engine_keeps_no_guardian(tmp_path):
    before = children_of(os.getpid())
    engine = cw.Engine(tmp_path / "l.db")
    engine.run(one(cw.command.job(["true"]))).raise_for_state()
    [guardian] = set(children_of(os.getpid())) - set(before)
    os.kill(guardian, signal.SIGSTOP)  # as a debugger might, or a person who looks for what uses the machine
    engine.close()
    assert children_of(os.getpid()) == before
    del engine


def test_the_end_of_a_command_wakes_no_thread_of_the_host():
    """SIGCHLD that nobody handles goes to the thread that started the command, and is nothing there."""
    code = r"""
import os, re, threading, cogwork as cw
def switches():
    return int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", open(f"/proc/self/task/{os.getpid()}/status").read())[1])
with cw.Engine("memory:") as engine:
    sequences = [cw.Sequence(f"h{n}", jobs=[cw.command.job(["true"])]) for n in range(200)]
    handle = engine.submit(cw.Labor("x", tasks=[cw.Task("t", concurrency=8, sequences=sequences)]))
    ours, theirs = os.pipe()
    threading.Thread(target=lambda: (handle.wait(), os.write(theirs, b"x"))).start()
    before = switches()
    os.read(ours, 1)
    print(handle.wait().state.name, switches() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    state, woken = done.stdout.split()
    assert state == "COMPLETED"
    assert int(woken) < 50, "of 200 that ended"


def test_who_handles_sigchld_still_hears_of_his_own_children(tmp_path):
    code = """
import os, signal, subprocess, threading, cogwork as cw
heard = threading.Event()
signal.signal(signal.SIGCHLD, lambda *_: heard.set())
job = cw.command.job(["true"])
with cw.Engine("memory:") as engine:
    engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[job])])])).raise_for_state()
    heard.clear()
    child = subprocess.Popen(["true"])
    print(heard.wait(30), child.wait(30))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "True 0\n"), done.stderr


@pytest.mark.parametrize("how", ["signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "os.closerange(0, 3)"])
def test_a_host_that_is_odd_runs_commands_all_the_same(tmp_path, how):
    code = f"""
import os, signal, cogwork as cw
{how}
job = cw.command.job(shell="echo out; echo err >&2", ok_codes=[0])
with cw.Engine("memory:") as engine:
    done = engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[job])])]))
    [attempt] = done["t"]["h"].jobs[0].attempts
    open({str(tmp_path / "said")!r}, "w").write(f"{{attempt.output}} {{attempt.log}} {{attempt.error}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said").read_text().startswith("out err ")


# ---- no room ----


def test_without_threads_it_fails_in_words_and_later_ones_run(tmp_path):
    """The process lives on, and what fails is that attempt, which is tried again by its rules."""
    code = """
import resource, cogwork as cw, os
program = lambda: cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[cw.command.job(["echo", "ran"])])])])
with cw.Engine("memory:") as engine:
    limit = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, limit[1]))  # a thread's stack is larger
    job = engine.submit(program()).wait(60)["t"]["h"].jobs[0]
    resource.setrlimit(resource.RLIMIT_AS, limit)
    print(job.state.name, job.attempts[0].status.name, job.error)
    print(engine.run(program())["t"]["h"].jobs[0].output)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("FAILED FAILURE no thread could be started for"), first
    assert second == "ran"


def test_without_descriptors_commands_wait_for_one_another(tmp_path):
    code = f"""
import resource, os, cogwork as cw
with cw.Engine("memory:") as engine:
    engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[cw.command.job(["true"])])])]))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = os.dup(0)
    os.close(few)
    job = cw.command.job(shell="echo ran >> {tmp_path}/runs; sleep 0.1")
    sequences = [cw.Sequence(f"h{{n}}", jobs=[job]) for n in range(30)]
    handle = engine.submit(cw.Labor("x", tasks=[cw.Task("t", concurrency=30, sequences=sequences)]), start=False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few + 15, limit[1]))
    handle.start()
    print(handle.wait(60).state.name)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "COMPLETED\n"), done.stderr
    assert (tmp_path / "runs").read_text() == "ran\n" * 30, "each once"


def test_c1_its_name_is_taken():
    with pytest.raises(cw.CogError, match="cogwork:command"):

        @cw.cog(name="command")
        def mine() -> None: ...


def test_x8_exit_codes_retries_and_errors(engine):
    done = engine.run(one(cw.command.job(shell="echo broken >&2; exit 7").replace(retries=2)))
    job = done["task"]["host"].jobs[0]
    assert [a.status for a in job.attempts] == [AttemptStatus.FAILURE] * 3
    assert job.attempts[0].error == "exit status 7: broken"
    done = engine.run(one(cw.command.job(shell="exit 9", no_retry_codes=[9]).replace(retries=2)))
    assert [a.status for a in done["task"]["host"].jobs[0].attempts] == [AttemptStatus.FAILURE_NO_RETRIES]
    assert engine.run(one(cw.command.job(shell="exit 3", ok_codes=[0, 3]))).state is State.COMPLETED


@pytest.mark.parametrize(
    ("made", "words"), [("", "No such file or directory"), ("w", "Not a directory"), ("x", "Not a directory")]
)
def test_a_folder_that_is_none_is_said(engine, tmp_path, made, words):
    """A file, also one that may be executed."""
    folder = tmp_path / "folder"
    if made:
        folder.touch(0o755 if made == "x" else 0o644)
    job = engine.run(one(cw.command.job(["pwd"], cwd=folder)))["task"]["host"].jobs[0]
    assert (job.state, f"in {folder}: {words}" in job.error) == (State.FAILED, True), job.error


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


def test_x8_what_it_said_before_its_time_out_is_kept(engine):
    script = "echo 'waiting for the commit lock'; echo 'held by admin' >&2; exec sleep 60"
    done = engine.run(one(cw.command.job(shell=script).replace(timeout=1)))
    attempt = done["task"]["host"].jobs[0].attempts[0]
    assert attempt.status is AttemptStatus.TIMED_OUT
    assert attempt.output == "waiting for the commit lock"
    assert attempt.log == "held by admin"
    assert attempt.error.splitlines() == [
        "timed out",
        "ended by signal 15 (Terminated): held by admin",
        "its output ended:",
        "waiting for the commit lock",
    ]


def test_g3a_what_it_said_before_it_was_stopped_is_kept(engine, tmp_path):
    script = f"trap 'echo cleaned; exit 4' TERM; echo begun; echo $$ > {tmp_path}/pid; sleep 60 & wait"
    handle = engine.submit(one(cw.command.job(shell=script)))
    wait_for_pid(tmp_path / "pid")
    assert handle.stop(interrupt=True).wait(30)
    attempt = handle.wait(30)["task"]["host"].jobs[0].attempts[0]
    assert (attempt.status, attempt.output) == (AttemptStatus.STOPPED, "begun\ncleaned")
    assert "exit status 4" in attempt.error


@pytest.mark.parametrize(
    "how", ["timeout 300 $0", "set -m; $0 & wait", "setsid $0 & wait", "setsid timeout 300 $0 & wait"]
)
def test_x8a_no_retry_runs_beside_what_made_a_group_of_its_own(engine, tmp_path, how):
    inner = tmp_path / "inner"
    inner.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 300\n")
    inner.chmod(0o755)
    done = engine.run(one(cw.command.job(["bash", "-c", how, str(inner)]).replace(timeout=1, retries=1)))
    assert [a.status for a in done["task"]["host"].jobs[0].attempts] == [AttemptStatus.TIMED_OUT] * 2
    assert not any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())


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
