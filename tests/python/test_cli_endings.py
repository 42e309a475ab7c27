"""How the shell ends: by Ctrl-C at any moment, with its terminal or without it. The rollout is never lost with the display."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from cli_support import PATIENCE, Shell, only_labor, write_script

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
    with cw.Engine("l.db", grace=20) as engine:
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
