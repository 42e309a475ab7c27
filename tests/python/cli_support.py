"""What the shell's tests share: a script to run, and the shell in a process of its own, in a pipe or in a terminal."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable

import pyte

import cogwork as cw

PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)  # the shell is that of the package under test
PATIENCE = 40  # seconds until a test gives up; none waits so long where all is well

SCRIPT = """
import enum, pathlib
from datetime import timedelta
import cogwork as cw

@cw.cog(idempotent=True)
def step(ctx: cw.Context, host: str) -> str:
    print(f"begun {host}\\n", end="", flush=True)
    while not pathlib.Path("go").exists():
        ctx.sleep(0.01)
        if ctx.cancelled:
            raise RuntimeError("cancelled")
    return host

@cw.cog(idempotent=True)
def quick(host: str) -> str:
    return host

@cw.cog
def bad(host: str) -> None:
    raise RuntimeError(f"{host}: no space left")

def made(name, cog, hosts=4, **task):
    return cw.Labor(name, tasks=[
        cw.Task("canary", sequences=[cw.Sequence("c0", jobs=[quick.job(host="c0")])]),
        cw.Task("rest", concurrency=2, sequences=[cw.Sequence(f"h{n}", jobs=[cog.job(host=f"h{n}")]) for n in range(hosts)], **task),
    ])

def good(hosts: int = 4) -> cw.Labor:
    return made("good one", quick, hosts)

def slow(hosts: int = 4) -> cw.Labor:
    return made("slow one", step, hosts)

def broken() -> cw.Labor:
    return made("broken one", bad)

labor = good
"""


def write_script(folder: pathlib.Path, name: str = "rollout.py", text: str = SCRIPT) -> pathlib.Path:
    path = folder / name
    path.write_text(text)
    return path


def only_labor(db: pathlib.Path) -> cw.Labor:
    with cw.open_store(db) as store:
        (labor,) = store.search()
        return store.read_labor(labor.id)


def settled(db: pathlib.Path, is_there: Callable[[cw.Labor], bool]) -> cw.Labor:
    """The only Labor, once it is so: an engine tells what it has taken up before all that follows from that is stored."""
    until = time.monotonic() + PATIENCE
    while not is_there(labor := only_labor(db)):
        assert time.monotonic() < until, f"it has not come to that:\n{labor}"
        time.sleep(0.005)
    return labor


class Shell:
    """`cogwork ...` in a process of its own; what it writes is gathered by a thread."""

    def __init__(
        self,
        folder: pathlib.Path,
        *words: str,
        terminal: tuple[int, int] | None = None,
        before: Callable[[], None] | None = None,
        **env: str,
    ) -> None:
        """terminal: columns and lines, of a terminal of its own; a pipe without it. before: called in its process before it begins."""
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "TERM": "xterm-256color",
            **env,
        }
        environment["PYTHONPATH"] = os.pathsep.join([PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])])
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "COGWORK_DB"):
            if name not in env:
                environment.pop(name, None)
        self._changed = threading.Condition()
        self.text = ""
        self.screen = pyte.Screen(*(terminal or (200, 50)))
        self._stream = pyte.Stream(self.screen)
        command = [sys.executable, "-m", "cogwork", *words]
        if terminal is None:
            self._read, write = os.pipe()
        else:
            self._read, write = pty.openpty()
            fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", terminal[1], terminal[0], 0, 0))
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=write if terminal else subprocess.DEVNULL, stdout=write, stderr=write,
            start_new_session=True, preexec_fn=_begin(before, terminal is not None),
        )  # fmt: skip
        os.close(write)
        self._reader = threading.Thread(target=self._gather, daemon=True)
        self._reader.start()

    def _gather(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                piece = os.read(self._read, 65536)
            except OSError:  # a terminal's other end is gone
                piece = b""
            with self._changed:
                if piece:
                    text = decoder.decode(piece)
                    self.text += text
                    self._stream.feed(text)
                self._changed.notify_all()
            if not piece:
                return

    @property
    def shown(self) -> str:
        """What the terminal shows."""
        with self._changed:
            return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def wait_for(self, pattern: str, on_screen: bool = False) -> str:
        """Until it was written, or is shown."""

        def found() -> bool:
            text = "\n".join(self.screen.display) if on_screen else self.text
            return re.search(pattern, text) is not None or not self._reader.is_alive()

        with self._changed:
            self._changed.wait_for(found, PATIENCE)
            text = "\n".join(self.screen.display) if on_screen else self.text
            assert re.search(pattern, text), f"{pattern!r} never came:\n{self.text[-3000:]}"
        return text

    def type(self, text: str) -> None:
        """Into its terminal."""
        os.write(self._read, text.encode())

    def ctrl_c(self, number: signal.Signals = signal.SIGINT) -> None:
        os.killpg(self.process.pid, number)

    def hang_up(self) -> None:
        """Closes the terminal: the kernel sends SIGHUP, and what is written then fails with EIO."""
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, self._read)
        os.close(null)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """The exit status, when it has ended."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler says where it hangs
            self.process.wait(PATIENCE)
            raise AssertionError(f"it hangs:\n{self.text}") from None
        self._reader.join(PATIENCE)
        return code

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        os.close(self._read)


def _begin(before: Callable[[], None] | None, terminal: bool) -> Callable[[], None]:
    def begin() -> None:
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if before is not None:
            before()

    return begin


def shell(folder: pathlib.Path, *words: str) -> tuple[int, str]:
    """Runs it to its end."""
    with Shell(folder, *words) as made:
        return made.end(), made.text
