"""Ctrl-C, SIGTERM and SIGHUP as something that happened, for commands that decide themselves what follows."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Any

from .. import _core
from .._waiting import ENDING, wait_for

_SIGNALS = (signal.SIGINT, *ENDING)


class Interrupts:
    """From `take` to `release` Ctrl-C, SIGTERM and SIGHUP only count. For the main thread alone; `with` does both.

    A signal that was ignored when the command began stays ignored: that is how `nohup`, and shells for what they run in the background,
    ask to be left alone. SIGHUP never counts as the second one: kernel, shell and supervisor each send it when a terminal goes away.
    """

    def __init__(self) -> None:
        self.last = ""
        self._pressed = 0
        self._hung_up = False
        self._came = _core.Completion()  # its lock is never held while a signal's handler runs
        self._before: dict[int, Any] = {}

    @property
    def count(self) -> int:
        """How often somebody asked for the end."""
        return max(self._pressed, int(self._hung_up))

    def forget(self) -> None:
        """What came until now is settled."""
        self._pressed, self._hung_up = 0, False

    def take(self) -> None:
        """Idempotent."""
        for number in _SIGNALS:
            if number not in self._before and signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._count)

    def release(self) -> None:
        """They do again what they did before. Idempotent."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def __enter__(self) -> Interrupts:
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    def _count(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._hung_up = True
        else:
            self._pressed += 1
        self.last = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self._came.set()

    def wait(self, seconds: float) -> bool:
        """Whether one has come, within so many seconds."""
        return wait_for(self._came, seconds)
