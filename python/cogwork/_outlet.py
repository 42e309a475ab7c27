"""Where displays write: a stream that keeps nobody waiting and never fails for who writes, whatever becomes of it.

A terminal goes away, a pager stops reading, a disk is full: what is shown ends, and what runs does not notice. A thread of its own writes;
who writes hands over text and goes on.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import threading
import weakref
from typing import Any, TextIO

from ._errors import ResourceError
from ._resources import start_thread

_MOST = 4_000_000
"""Characters that wait to be written. Who writes faster than somebody reads is kept for a moment; what then comes is left out, and that is said."""
_MOMENT = 1.0
_IDLE = 5.0  # seconds after which its thread ends; the next text has another one


class Outlet:
    """Stands for a text stream. Any thread. Lines come out whole, as another stream may lead to the same place: the beginning of one waits for
    its end, or for flush(). complains: says on stderr, once, that it failed. behind: another one, whose text comes out first where both
    wait."""

    def __init__(self, stream: TextIO | None, complains: bool = True, behind: Outlet | None = None) -> None:
        self.stream = stream
        self.failed: Exception | None = None
        """Why nothing can be written any more."""
        self._complains = complains
        self.behind = behind
        self._in_child = False
        self._renew()
        _outlets.add(self)

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._pieces: list[str] = []
        self._begun: list[str] = []  # a line whose end is still to come
        self._length = 0  # of both
        self._left_out = 0
        self._full = False  # it was waited for room, in vain; until all is written nobody waits again
        self._due = False  # somebody wants what there is to be written
        self._writing = False
        self._over = False
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._changed:
            if self.failed is None and self._has_room(len(text)):
                self._add_left_out()
                whole, newline, rest = text.rpartition("\n")  # print() writes a text and its newline one by one
                if newline:
                    self._pieces += [*self._begun, whole, newline]
                    self._begun = []
                if rest:
                    self._begun.append(rest)
                self._length += len(text)
            elif self.failed is None:
                self._left_out += len(text)
            if self._pieces:
                self._wake()
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def _has_room(self, length: int) -> bool:
        if self._length + length <= _MOST or not self._length:
            return True
        self._end_line()
        if not self._full and self._thread is not None:
            self._due = True
            self._changed.notify_all()
            self._full = not self._changed.wait_for(lambda: self._length + length <= _MOST, _MOMENT)
        return self._length + length <= _MOST

    def _add_left_out(self) -> None:
        if self._left_out:
            self._end_line()
            self._pieces.append(f"\n... {self._left_out:,} characters left out\n")
            self._left_out = 0

    def flush(self) -> None:
        """Sees to it that what was written until now will come out; does not wait for it."""
        with self._changed:
            self._end_line()
            if self._pieces:
                self._wake()

    def _end_line(self) -> None:
        self._pieces += self._begun
        self._begun = []

    def _wake(self) -> None:
        """Has the pieces written. Holds the lock."""
        self._due = True
        if self._in_child:
            self._write_all()
            return
        if self._thread is None:
            try:
                self._thread = start_thread("cogwork-outlet", self._run)
            except ResourceError:  # or Python is ending
                self._write_all()
                return
        self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Whether something of it is not written yet: who can wait with more does so, as nobody may be reading."""
        with self._changed:
            return bool(self._pieces or self._begun) or self._writing

    def settle(self, seconds: float | None = None) -> bool:
        """Waits until all is written, or it failed. False where the time ran out. Ctrl-C ends the waiting."""
        self.flush()
        with self._changed:
            return self._changed.wait_for(
                lambda: self.failed is not None or not (self._pieces or self._writing), seconds
            )

    def close(self) -> None:
        """No more is to come: its thread ends when all is written."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """Nobody waits for what is not written yet."""
        with self._changed:
            self.failed = self.failed or TimeoutError("nobody reads it")
            self._changed.notify_all()

    def isatty(self) -> bool:
        try:
            return self.stream is not None and self.stream.isatty()
        except Exception:
            return False

    @property
    def encoding(self) -> str:
        try:
            return getattr(self.stream, "encoding", None) or "utf-8"
        except Exception:
            return "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    # ---- its thread ----

    def _run(self) -> None:
        # In the background of a terminal that is set so (`stty tostop`), writing would stop the whole process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with self._changed:
            while self._changed.wait_for(lambda: self._due or self._over, _IDLE) and self._due:
                self._write_all()
            self._thread = None

    def _write_all(self) -> None:
        """Holds the lock, but not while it writes."""
        while self._pieces:
            self._add_left_out()
            text = "".join(self._pieces)
            self._pieces, self._length, self._writing = [], sum(map(len, self._begun)), True
            self._changed.notify_all()
            self._changed.release()
            try:
                if self.behind is not None and not self._in_child:
                    self.behind.settle(_MOMENT)
                put(self.stream, text)
            except Exception as error:
                self.failed = self.failed or error
                if self._complains:
                    complain(f"the output cannot be written any more ({said(error)}); what runs goes on")
            finally:
                self._changed.acquire()
                self._writing = False
            if self.failed is not None:
                self._pieces, self._begun, self._length, self._left_out = [], [], 0, 0
        self._due = self._full = False
        self._changed.notify_all()


def complain(text: str) -> None:
    """Says it on stderr, if that can be."""
    with contextlib.suppress(Exception):
        print(f"cogwork: {text}", file=sys.stderr, flush=True)


def said(error: BaseException) -> str:
    """An error of a stream in words."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def put(stream: TextIO | None, text: str) -> None:
    """Writes it now. Raises what the stream raises.

    A plain file is written past the buffer of its stream: what could not be written would stay there, and fail once more when Python
    ends, with a status of its own.
    """
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    data = text.encode(encoding, "backslashreplace")
    descriptor = _descriptor(stream)
    if descriptor is None:
        stream.write(data.decode(encoding))
        stream.flush()
        return
    stream.flush()  # what others wrote before
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _descriptor(stream: TextIO) -> int | None:
    if type(stream) is not io.TextIOWrapper:
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


_outlets: weakref.WeakSet[Outlet] = weakref.WeakSet()


def settle_all() -> None:
    """When Python ends: what is on its way is written, as what `print` keeps is. Ctrl-C ends the waiting."""
    for outlet in list(_outlets):
        try:
            outlet.settle()
        except KeyboardInterrupt:
            outlet.give_up()


def _in_child() -> None:
    """After a fork: the thread is the parent's, and may hold the lock for ever. A child that ends at once would not wait for one of its own."""
    for outlet in list(_outlets):
        outlet._in_child = True
        outlet._renew()


os.register_at_fork(after_in_child=_in_child)
