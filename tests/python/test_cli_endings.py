"""How the shell ends: by Ctrl-C at any moment, with its terminal or without it. The rollout is never lost with the display."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from cli_support import PATIENCE, Shell, only_labor, settled, shell, write_script

import cogwork as cw


@pytest.fixture
def folder(tmp_path):
    write_script(tmp_path)
    return tmp_path


def begun(run: Shell) -> None:
    for target in ("h0", "h1"):
        run.wait_for(f"begun {target}")


# ---- Ctrl-C, early ----

# A module that the shell imports late in its start, in place of the real one: it sends Ctrl-C in the middle of the imports.
INTERRUPTS = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize("module", ["rich", "typer", "msgspec"])
def test_ctrl_c_while_the_shell_still_imports_is_no_traceback(tmp_path, module):
    write_script(tmp_path, f"{module}.py", INTERRUPTS)
    with Shell(tmp_path, "ls", PYTHONPATH=str(tmp_path)) as run:
        assert run.end() in (-signal.SIGINT, 130)
        assert run.text == ""


def test_a_console_script_is_known_as_the_shell(tmp_path):
    write_script(tmp_path, "typer.py", INTERRUPTS)
    script = write_script(tmp_path, "cogwork", "import sys\nfrom cogwork.cli import main\nsys.exit(main())\n")
    package = str(tmp_path) + ":" + cw.__path__[0].rpartition("/")[0]
    ran = subprocess.run(
        [sys.executable, "-P", str(script), "ls"] if sys.version_info >= (3, 11) else [sys.executable, str(script), "ls"],
        env={"PYTHONPATH": package}, capture_output=True, text=True, timeout=PATIENCE, preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    assert ran.returncode == -signal.SIGINT
    assert ran.stderr == ""


def _hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_importing_the_package_elsewhere_leaves_ctrl_c_alone(tmp_path):
    text = "import cogwork, signal\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    script = write_script(tmp_path, "cogwork_tool.py", text)
    package = cw.__path__[0].rpartition("/")[0]
    subprocess.run(
        [sys.executable, script], check=True, env={"PYTHONPATH": package}, timeout=PATIENCE, preexec_fn=_hears_ctrl_c
    )


AT_ONCE = """
import os, signal, cogwork as cw
from cogwork._engine import Engine
real = Engine._submit
def submit(self, labor, start, by):
    pending = real(self, labor, start, by)
    {before}
    pending.completion.wait(30)
    {after}
    return pending
Engine._submit = submit
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_moment_of_the_submit_pauses(folder, moment):
    press = "os.kill(os.getpid(), signal.SIGINT)"
    text = AT_ONCE.format(**{"before": "", "after": "", moment: press})
    path = folder / "rollout.py"
    path.write_text(text + path.read_text())
    with Shell(folder, "run", "rollout.py:slow") as run:
        run.wait_for("pausing|is left PAUSED")
        (folder / "go").touch()
        assert run.end() == 4
        assert "Traceback" not in run.text
    assert only_labor(folder / "cogwork.db").state == cw.State.PAUSED


# ---- SIGHUP ----


def test_sighup_pauses_in_order_and_never_counts_as_the_second(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        run.ctrl_c(signal.SIGHUP)
        run.wait_for("SIGHUP: pausing")
        run.ctrl_c(signal.SIGHUP)
        run.ctrl_c(signal.SIGHUP)
        time.sleep(0.3)
        assert run.process.poll() is None, "it waits until nothing executes"
        (folder / "go").touch()
        assert run.end() == 4
    labor = only_labor(folder / "cogwork.db")
    assert labor.state == cw.State.PAUSED
    assert labor.holds[0].note == "SIGHUP in cogwork run"
    assert sum(s.state == cw.State.COMPLETED for s in labor["rest"].sequences) == 2


def test_serve_closes_in_order_at_sighup(folder):
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("nothing is unfinished")
        server.ctrl_c(signal.SIGHUP)
        assert server.end() == 0
        assert "closed; nothing is left" in server.text


def test_a_script_that_waits_ends_in_order_at_sighup(tmp_path):
    script = write_script(
        tmp_path,
        "script.py",
        """
import cogwork as cw
@cw.cog(idempotent=True)
def nap(ctx: cw.Context) -> None:
    print("begun", flush=True)
    ctx.sleep(60)
    raise RuntimeError("interrupted")
if __name__ == "__main__":
    with cw.Engine("l.db", grace=0.3) as engine:
        engine.submit(cw.Labor("rollout", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[nap.job()])])])).wait()
""",
    )
    package = cw.__path__[0].rpartition("/")[0]
    with subprocess.Popen(
        [sys.executable, script], cwd=tmp_path, env={"PYTHONPATH": package}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert "begun" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        _out, err = process.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt: SIGHUP" in err
    assert "0 of 1 sequences ended" in err, "it says what it leaves"
    assert only_labor(tmp_path / "l.db").state == cw.State.RUNNING


def _ignores(*numbers: signal.Signals):
    def before() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return before


def test_what_is_ignored_stays_ignored(folder):
    """`nohup`, and what a shell runs in the background."""
    (folder / "go").touch()
    with Shell(folder, "serve", "rollout.py", before=_ignores(signal.SIGHUP, signal.SIGINT)) as server:
        server.wait_for("nothing is unfinished")
        server.ctrl_c(signal.SIGHUP)
        server.ctrl_c(signal.SIGINT)
        with cw.connect(folder / "cogwork.db") as client:
            assert client.engine is not None
        time.sleep(0.5)
        assert server.process.poll() is None
        server.ctrl_c(signal.SIGTERM)
        assert server.end() == 0


# ---- stdout, lost ----

TALKS = """
import sys
import cogwork as cw
@cw.cog
def up(ctx: cw.Context, host: str) -> None:
    ctx.log("on " + host)
    print("said by " + host, flush=True)
    print("moaned by " + host, file=sys.stderr)
    ctx.sleep(0.2)
    open("done", "a").write(host + "\\n")
labor = cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence(f"h{i}", jobs=[up.job(f"h{i}")]) for i in range(5)])])
"""


def in_bash(folder, line: str) -> tuple[int, str]:
    """cogwork's own status in a line of bash, `$CLI` stands for it; and what came on stderr."""
    environment = {
        "CLI": f"{sys.executable} -m cogwork",
        "PYTHONPATH": cw.__path__[0].rpartition("/")[0],
        "PATH": "/usr/bin:/bin",
    }
    line = f"{line}\necho ${{PIPESTATUS[0]}} > status"
    ran = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    return int((folder / "status").read_text()), ran.stderr


@pytest.mark.parametrize(
    "out",
    [
        "| head -1",
        "2>&1 | head -1",
        "<&- >&- 2>&-",
        "| true",
        "> /dev/full",
        ">&-",
        ">&- 2>&-",
        "> /dev/full 2>&1",
        "2> /dev/full",
    ],
)
def test_a_lost_stdout_does_not_take_the_rollout_with_it(tmp_path, out):
    write_script(tmp_path, text=TALKS)
    status, err = in_bash(tmp_path, f"$CLI run rollout.py {out}")
    assert status == 0
    labor = only_labor(tmp_path / "cogwork.db")
    assert labor.state == cw.State.COMPLETED
    assert len((tmp_path / "done").read_text().split()) == 5
    if out in ("| true", "> /dev/full"):
        assert "the output cannot be written any more" in err
        assert "what runs goes on" in err


def test_a_labor_that_fails_has_its_status_without_a_stdout(folder):
    assert in_bash(folder, "$CLI run rollout.py:broken > /dev/full")[0] == 1
    assert in_bash(folder, "$CLI run rollout.py:broken | true")[0] == 1


def test_what_only_looks_ends_where_nobody_reads(folder):
    assert shell(folder, "run", "rollout.py:good", "hosts=3000")[0] == 0
    id = only_labor(folder / "cogwork.db").id
    for words in (
        f"history {id}",
        f"history --json {id}",
        f"show --json {id}",
        f"show {id}/rest",
        f"watch --json {id}",
    ):
        status, err = in_bash(folder, f"$CLI {words} | head -c 1 > /dev/null")
        assert (status, err) == (141, ""), words
    status, err = in_bash(folder, "$CLI ls > /dev/full")
    assert (status, err) == (2, "cogwork: the output cannot be written: No space left on device\n")
    status, err = in_bash(folder, "$CLI --help | true")
    assert (status in (0, 141), err) == (True, "")


def test_what_was_done_is_not_undone_by_a_lost_stdout(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        id = only_labor(folder / "cogwork.db").id
        assert in_bash(folder, f"$CLI pause {id}/rest --no-wait > /dev/full")[0] == 0
        assert in_bash(folder, f"$CLI resume {id}/rest >&- 2>&-")[0] == 0
        assert in_bash(folder, "$CLI crisis pause --all --no-wait | true")[0] == 0
        (folder / "go").touch()
        assert in_bash(folder, "$CLI crisis resume --all >&-")[0] == 0
        assert run.end() == 0


def test_a_watch_ends_where_nobody_reads_and_the_labor_goes_on(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        id = only_labor(folder / "cogwork.db").id
        with subprocess.Popen(
            ["bash", "-c", f"{sys.executable} -m cogwork watch {id} | head -1; echo ${{PIPESTATUS[0]}}"], cwd=folder,
            env={"PYTHONPATH": cw.__path__[0].rpartition("/")[0], "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, text=True,
        ) as watch:  # fmt: skip
            (folder / "go").touch()
            out, _ = watch.communicate(timeout=PATIENCE)
        assert run.end() == 0
    assert out.splitlines()[-1] in ("141", "0"), "0: it had ended before the second line"


def test_serve_goes_on_without_a_stdout(folder):
    (folder / "go").touch()
    with subprocess.Popen(
        [sys.executable, "-m", "cogwork", "serve", "rollout.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PYTHONPATH": cw.__path__[0].rpartition("/")[0]},
    ) as server:  # fmt: skip
        assert server.stdout is not None
        assert "serves" in server.stdout.readline()
        server.stdout.close()
        sys.path.insert(0, str(folder))
        with cw.connect(folder / "cogwork.db") as client:
            job = cw.Job("quick", {"host": "a"})
            labor = cw.Labor(
                "sent", tasks=[cw.Task("t", sequences=[cw.Sequence(f"s{n}", jobs=[job]) for n in range(3)])]
            )
            assert client.run(labor, timeout=PATIENCE).state == cw.State.COMPLETED
        server.send_signal(signal.SIGTERM)
        assert server.stderr is not None
        err = server.stderr.read()
        assert server.wait(PATIENCE) == 0
    assert "Traceback" not in err


def test_ctrl_c_pauses_although_nobody_reads_the_output(folder):
    """A terminal that is stopped with Ctrl-S, a pager that waits: the pipe is full, and whoever writes to it hangs."""
    loud = "\n@cw.cog\ndef loud(ctx: cw.Context, host: str) -> None:\n    while not pathlib.Path('go').exists():\n        print('x' * 5000)\n        ctx.sleep(0.001)\n"
    more = "\ndef noisy() -> cw.Labor:\n    return made('noisy', loud, 40)\n"
    path = folder / "rollout.py"
    path.write_text(path.read_text() + loud + more)
    with subprocess.Popen(
        [sys.executable, "-m", "cogwork", "run", "rollout.py:noisy"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": cw.__path__[0].rpartition("/")[0]}, preexec_fn=_hears_ctrl_c,
    ) as run, ended(run):  # fmt: skip
        wait_for(lambda: (folder / "cogwork.db").exists() and is_submitted(folder))
        with cw.connect(folder / "cogwork.db") as client:
            settled(folder / "cogwork.db", lambda labor: labor["canary"].state == cw.State.COMPLETED)
            handle = client.handle(only_labor(folder / "cogwork.db").id)
            time.sleep(1)  # the pipe fills up
            run.send_signal(signal.SIGINT)
            wait_for(lambda: handle.state == cw.State.PAUSING)
            (folder / "go").touch()
            wait_for(lambda: client.engine is None)
        assert only_labor(folder / "cogwork.db").state == cw.State.PAUSED, (
            "and its engine has closed, while nobody reads yet"
        )
        assert run.stdout is not None
        text = run.stdout.read()
        assert run.wait(PATIENCE) == 4
    assert b"Labor 'noisy' PAUSED" in text, "the rest of it, for who reads late"


def is_submitted(folder) -> bool:
    with contextlib.suppress(cw.CogworkError), cw.open_store(folder / "cogwork.db") as store:
        return any(store.search())
    return False


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """It does not outlive a test that fails."""
    try:
        yield
    except BaseException:
        process.kill()
        raise


def wait_for(is_so) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


# ---- the terminal, lost ----


def test_a_terminal_that_is_closed_pauses_the_labor_in_order(folder):
    with Shell(folder, "run", "rollout.py:slow", terminal=(100, 30)) as run:
        begun(run)
        run.hang_up()
        settled(folder / "cogwork.db", lambda labor: labor.state == cw.State.PAUSING)
        (folder / "go").touch()
        assert run.process.wait(PATIENCE) == 4
    labor = only_labor(folder / "cogwork.db")
    assert labor.state == cw.State.PAUSED
    assert all(not job.attempts or job.attempts[-1].ended for job in (s[0] for s in labor["rest"].sequences))


def test_under_nohup_the_labor_runs_to_its_end(folder):
    with Shell(folder, "run", "rollout.py:slow", terminal=(100, 30), before=_ignores(signal.SIGHUP)) as run:
        begun(run)
        run.hang_up()
        (folder / "go").touch()
        assert run.process.wait(PATIENCE) == 0
    assert only_labor(folder / "cogwork.db").state == cw.State.COMPLETED


# ---- in a pipe ----


def test_a_pipe_has_a_recap_at_the_end_as_a_screen_has(folder):
    status, text = shell(folder, "run", "rollout.py:broken")
    assert status == 1
    assert "Labor 'broken one' FAILED (MAX_FAILURES)" in text
    assert "  rest    FAILED (MAX_FAILURES): ok 0, lost 2 of 4, 2 not started" in text
    assert "    rest/h0: bad FAILED: RuntimeError: h0: no space left" in text


# ---- what is waited for ----


def test_a_pause_says_what_it_waits_for_and_at_ctrl_c_that_it_stands(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        id = only_labor(folder / "cogwork.db").id
        with Shell(folder, "pause", id) as pause:
            pause.wait_for("PAUSE is taken; still executing: h0 step for .* s, h1 step for .* s")
            pause.ctrl_c()
            assert pause.end() == 130
            assert "PAUSE stands" in pause.text
            assert "Traceback" not in pause.text
        with Shell(folder, "stop", f"{id}/rest/h1") as stop:
            stop.wait_for("STOP is taken; still executing: h1 step for")
            assert "h0" not in stop.text.replace(id, "")
            (folder / "go").touch()
            assert stop.end() in (0, 1)
        settled(folder / "cogwork.db", lambda labor: labor.state == cw.State.PAUSED)
        run.kill()


def test_a_crisis_says_what_it_waits_for_and_at_ctrl_c_that_it_stands(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        with Shell(folder, "crisis", "pause", "--all") as pause:
            pause.wait_for("2 attempts still execute: 'slow one' .*: h0 step for")
            pause.ctrl_c()
            assert pause.end() == 130
            assert "the latch stands" in pause.text
        run.kill()


def test_r3_counts_go_on_where_they_were_when_another_engine_takes_up(folder):
    mixed = """
def mixed() -> cw.Labor:
    cogs = [quick, bad, step, quick]
    sequences = [cw.Sequence(f"h{n}", jobs=[cog.job(host=f"h{n}")]) for n, cog in enumerate(cogs)]
    return cw.Labor("mixed", tasks=[cw.Task("rest", tolerated_failures=1, sequences=sequences)])
"""
    path = folder / "rollout.py"
    path.write_text(path.read_text() + mixed)
    with Shell(folder, "run", "rollout.py:mixed") as run:
        run.wait_for("begun h2")
        run.wait_for(r"rest/h1: FAILED \(ok 1, lost 1 of 4\): RuntimeError: h1: no space left")
        run.kill()
    (folder / "go").touch()
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for(r"rest/h2: COMPLETED \(ok 2, lost 1 of 4\)")
        server.wait_for(r"rest/h3: COMPLETED \(ok 3, lost 1 of 4\)")
        server.ctrl_c()
        assert server.end() == 0
