"""Where displays write: nobody is kept waiting, nothing fails for who writes, and what can be written is written, in order."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pathlib
import pty
import subprocess
import sys
import termios
import threading
import time

import pytest
from conftest import many

import cogwork as cw
from cogwork import _display, _outlet
from cogwork._outlet import Outlet

PATIENCE = 40


class Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


class Stuck(io.StringIO):
    """Nobody reads until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.reads.wait(PATIENCE)
        return super().write(text)


def test_all_of_it_is_written_in_order():
    stream = io.StringIO()
    outlet = Outlet(stream)
    for n in range(1000):
        print(n, file=outlet)
    outlet.write("half")
    assert outlet.settle(PATIENCE)
    assert stream.getvalue() == "".join(f"{n}\n" for n in range(1000)) + "half"
    assert not outlet.busy
    assert outlet.failed is None


def test_lines_come_out_whole():
    stream = Stuck()
    outlet = Outlet(stream)
    print("first", file=outlet)
    assert stream.entered.wait(PATIENCE)  # its thread is in the middle of that
    outlet.write("second:\n  its end")
    stream.reads.set()
    while outlet._writing or outlet._pieces:
        time.sleep(0.001)
    assert stream.getvalue() == "first\nsecond:\n", "another stream may come in here, and not within a line"
    assert outlet.busy
    print(file=outlet)
    assert outlet.settle(PATIENCE)
    outlet.write("a prompt ")
    outlet.flush()
    assert outlet.settle(PATIENCE)
    assert stream.getvalue() == "first\nsecond:\n  its end\na prompt "


ERRORS = [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.EIO, "Input/output error"), ValueError("closed"), RuntimeError()]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_stream_raises_is_said_once_and_hurts_nobody(error, capsys):
    outlet = Outlet(Broken(error))
    for _ in range(3):
        print("text", file=outlet)
        assert outlet.settle(PATIENCE)
    assert outlet.failed is error
    assert capsys.readouterr().err.count("the output cannot be written any more") == 1


def test_an_outlet_without_a_stream_takes_all():
    outlet = Outlet(None)
    print("text", file=outlet)
    assert outlet.settle(PATIENCE)
    assert not outlet.isatty()


def test_only_text_is_written():
    with pytest.raises(TypeError, match="must be str"):
        Outlet(io.StringIO()).write(b"bytes")  # type: ignore[arg-type]


def test_letters_that_the_stream_lacks_are_escaped(tmp_path):
    with open(tmp_path / "out", "w", encoding="ascii") as stream:
        outlet = Outlet(stream)
        print("縦 \ud800", file=outlet)
        assert outlet.settle(PATIENCE)
    assert (tmp_path / "out").read_text() == "\\u7e26 \\ud800\n"


def test_who_writes_is_not_kept_waiting_by_a_stream_that_nobody_reads(monkeypatch):
    monkeypatch.setattr(_outlet, "_MOST", 100)
    monkeypatch.setattr(_outlet, "_MOMENT", 0.01)
    stream = Stuck()
    outlet = Outlet(stream)
    print("first", file=outlet)
    assert stream.entered.wait(PATIENCE)
    for _ in range(50):
        print("x" * 9, file=outlet)
    assert outlet.busy
    assert not outlet.settle(0)
    stream.reads.set()
    assert outlet.settle(PATIENCE)
    text = stream.getvalue()
    assert text.startswith("first\n" + "xxxxxxxxx\n" * 10)
    assert text.endswith("\n... 400 characters left out\n")
    print("last", file=outlet)
    assert outlet.settle(PATIENCE)
    assert stream.getvalue().endswith("last\n")


def test_its_thread_ends_when_nothing_comes(monkeypatch):
    monkeypatch.setattr(_outlet, "_IDLE", 0.01)
    stream = io.StringIO()
    outlet = Outlet(stream)
    print("one", file=outlet)
    thread = outlet._thread
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()
    print("two", file=outlet)
    assert outlet.settle(PATIENCE)
    assert stream.getvalue() == "one\ntwo\n"


def test_without_a_thread_to_be_had_it_writes_itself(monkeypatch):
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    stream = io.StringIO()
    outlet = Outlet(stream)
    print("one", file=outlet)
    assert stream.getvalue() == "one\n"


def test_a_forked_child_writes_at_once(tmp_path):
    with open(tmp_path / "out", "w") as stream:
        outlet = Outlet(stream)
        print("parent", file=outlet)
        assert outlet.settle(PATIENCE)
        pid = os.fork()
        if pid == 0:
            print("child", file=outlet)
            os._exit(0)
        os.waitpid(pid, 0)
    assert (tmp_path / "out").read_text() == "parent\nchild\n"


SCRIPT = """
import sys
import cogwork as cw
@cw.cog
def step(n: int) -> int:
    return n
if __name__ == "__main__":
    with cw.Engine("l.db") as engine:
        tasks = [cw.Task("t", sequences=[cw.Sequence(f"s{n}", jobs=[step.job(n)]) for n in range(20)])]
        done = engine.submit(cw.Labor("rollout", tasks=tasks)).watch()
    open("state", "w").write(done.state.name)
"""


@pytest.mark.parametrize("out", ["> /dev/full", ">&-", "| true", ">&- 2>&-", "> /dev/full 2>&1"])
def test_a_script_whose_stdout_is_gone_watches_to_the_end(tmp_path, out):
    (tmp_path / "script.py").write_text(SCRIPT)
    package = str(pathlib.Path(cw.__file__).parent.parent)
    command = f"{sys.executable} script.py {out}; echo ${{PIPESTATUS[0]}} > status"
    ran = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": package}, capture_output=True, text=True, timeout=2 * PATIENCE
    )  # fmt: skip
    assert (tmp_path / "state").read_text() == "COMPLETED", ran.stderr
    assert (tmp_path / "status").read_text().strip() == "0", ran.stderr
    assert "Traceback" not in ran.stderr
    if "full" in out and "2>" not in out:
        assert "the output cannot be written any more (No space left on device)" in ran.stderr


class Evil:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"no {name}")


class Closed(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.close()


@pytest.mark.parametrize(
    "stream", [Evil, Closed, lambda: None, lambda: Broken(KeyError("odd"))], ids=["evil", "closed", "none", "odd"]
)
def test_a_watch_survives_any_stdout(engine, make_cog, monkeypatch, stream):
    cog = make_cog(lambda n: n)
    handle = engine.submit(many(lambda n: cog.job(n=n), 3))
    monkeypatch.setattr(sys, "stdout", stream())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert handle.watch().state == cw.State.COMPLETED


def test_a_watch_does_not_wait_for_who_never_reads(engine, make_cog, monkeypatch):
    monkeypatch.setattr(_display, "_LINGER", 0.05)
    stream = Stuck()
    cog = make_cog(lambda n: n)
    handle = engine.submit(many(lambda n: cog.job(n=n), 3))
    monkeypatch.setattr(sys, "stdout", stream)
    assert handle.watch().state == cw.State.COMPLETED
    assert stream.getvalue() == ""
    stream.reads.set()
    _outlet.settle_all()
    assert "Labor 'labor' COMPLETED" in stream.getvalue()


def test_what_nobody_reads_yet_is_written_when_python_ends(tmp_path):
    loud = SCRIPT.replace('cw.Task("t"', 'cw.Task("t" * 20_000')  # more than a pipe holds
    (tmp_path / "script.py").write_text(loud)
    package = str(pathlib.Path(cw.__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": package}, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        until = time.monotonic() + 2 * PATIENCE
        while not (tmp_path / "state").exists():
            assert time.monotonic() < until, "it waits for who reads"
            time.sleep(0.05)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Labor 'rollout' COMPLETED" in out


def test_in_the_background_of_a_terminal_that_stops_writers_it_goes_on(tmp_path):
    """`stty tostop`: whoever writes from the background is stopped, and a rollout with it."""
    (tmp_path / "rollout.py").write_text(
        SCRIPT + "\nlabor = cw.Labor('x', tasks=[cw.Task('t', sequences=[cw.Sequence('s', jobs=[step.job(1)])])])\n"
    )
    package = str(pathlib.Path(cw.__file__).parent.parent)
    pid, terminal = pty.fork()
    if pid == 0:
        attributes = termios.tcgetattr(0)
        attributes[3] |= termios.TOSTOP
        termios.tcsetattr(0, termios.TCSANOW, attributes)
        command = [sys.executable, "-m", "cogwork", "run", "rollout.py"]
        ran = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": package}, preexec_fn=lambda: os.setpgid(0, 0)
        )
        _, status = os.waitpid(ran.pid, os.WUNTRACED)
        os._exit(99 if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status))
    reader = threading.Thread(target=_drain, args=(terminal,), daemon=True)
    reader.start()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
