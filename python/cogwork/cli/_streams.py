"""stdout and stderr of the shell. What becomes of them never changes what a command does, nor the status that it leaves with.

Commands that only look - `ls`, `show`, `history` - write as any program does, and end where nobody reads them (141, as a program that SIGPIPE
ended), or where it cannot be written. All others hand over what they say, and go on.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from .._context import current
from .._errors import CogworkError
from .._outlet import Outlet, complain, put, said

NOBODY_READS = 141
FAILED = 2


class OutputLost(CogworkError):
    """What a command is for cannot be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"the output cannot be written: {said(error)}")
        self.nobody_reads = isinstance(error, BrokenPipeError)


class Direct:
    """A stream that a command writes to by itself. OutputLost ends it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._pieces: list[str] = []
        self._length = 0
        self._lost: OutputLost | None = None

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._pieces.append(text)
        self._length += len(text)
        if self._length > io.DEFAULT_BUFFER_SIZE:
            self.flush()
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        text, self._pieces, self._length = "".join(self._pieces), [], 0
        if not text or self._lost is not None:
            return
        try:
            put(self.stream, text)
        except OSError as error:
            self._lost = OutputLost(error)
            raise self._lost from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Prints(Outlet):
    """stdout of a command that may run Cogs. What a Cog prints lands on its attempt, as what it logs does; what is shown as lines of its Labor is
    not written here, too."""

    shown: str | None = ""
    """The Labor whose Cogs' lines are shown. None: the one that is about to be, whichever that is."""

    def write(self, text: str) -> int:
        return len(text) if self.hears(text) else super().write(text)

    def hears(self, text: str) -> bool:
        """Whether that was all that is to be done with it. Any thread."""
        running = current.get()
        if running is None or not isinstance(text, str):
            return False
        running.add_printed(text)
        return self.shown is None or running.call.labor_id == self.shown


def will_show() -> None:
    """A Labor, that may begin before `showing` does."""
    if isinstance(sys.stdout, Prints):
        sys.stdout.shown = None


@contextlib.contextmanager
def showing(labor_id: str) -> Iterator[None]:
    """While the lines of its Cogs are shown."""
    stream = sys.stdout
    if isinstance(stream, Prints):
        stream.shown = labor_id
    try:
        yield
    finally:
        if isinstance(stream, Prints):
            stream.shown = ""


def told(lost: OutputLost) -> int:
    """Says why, where somebody may want to know; the exit status."""
    if lost.nobody_reads:
        return NOBODY_READS
    complain(str(lost))
    return FAILED


def take() -> None:
    """From here on what is written goes through streams of the shell's own. Once, at the start of the process."""
    for number in range(3):  # one that is closed would be the next file that is opened: a store, a socket
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Never freed: `print` of another thread may be in the middle of it (_printing.py).
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    sys.stdout = Direct(_or_nothing(sys.stdout))
    sys.stderr = Outlet(_or_nothing(sys.stderr), complains=False)


def detach() -> None:
    """From here on nothing that is written keeps this command waiting, or ends it."""
    if isinstance(sys.stdout, Direct):
        sys.stdout.flush()
        sys.stdout = outlet = Prints(sys.stdout.stream)
        if isinstance(sys.stderr, Outlet):
            sys.stderr.behind = outlet


def settle() -> None:
    """All is written, or cannot be. KeyboardInterrupt ends the waiting. OutputLost of a command that only looks."""
    try:
        if isinstance(sys.stdout, Direct):
            sys.stdout.flush()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Outlet):
                stream.settle()


def give_up() -> None:
    """Somebody does not want to wait for who reads."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Outlet):
            stream.give_up()


def leave() -> None:
    """What others left in the real streams' buffers, and cannot be written, is dropped: Python would leave with a status of its own for it."""
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _or_nothing(stream: TextIO | None) -> TextIO:
    return stream if stream is not None else open(os.devnull, "w", encoding="utf-8")
