"""Ctrl-C and SIGTERM as something that happened, for commands that decide themselves what follows."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, Ctrl-C and SIGTERM only count; the main thread alone enters it."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self._came = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """From now on they do what they did before. Idempotent."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: object) -> None:
        self.count += 1
        self.last = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        self._came.set()

    def wait(self, seconds: float) -> bool:
        """Whether one has come, within so many seconds."""
        return self._came.wait(seconds)
