"""What others print while a screen is shown is kept, and shown above it.

Cogs print from their own threads, at any moment, also while the screen goes away. So the streams that stand in for stdout and stderr do
nothing but keep the text, or pass it on where no screen is shown; only the thread that draws writes to the terminal.

`print` in CPython up to 3.13 looks up sys.stdout once and holds no reference to it while it writes. A stand-in that is freed when the
screen goes away is then used after that: it lacks its attributes, which ended in a RecursionError, or in a crash. So a stand-in is
never freed; the next screen on the same stream has the same one.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from ._context import current

_MOST = 1_000_000
"""Characters that are kept between two pictures; what comes beyond is left out, and that is said."""


class Kept:
    """The text that waits to be shown. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._length = 0
        self._open = True
        self.labor_id = ""
        """The Labor whose Cogs' log lines the screen shows itself."""

    def add(self, text: str) -> bool:
        """False where no screen is shown any more: it is for the stream itself then."""
        with self._lock:
            if self._open:
                self._pieces.append(text[: max(0, _MOST - self._length)])
                self._length += len(text)
            return self._open

    def lines(self) -> str:
        """The whole lines that came since."""
        with self._lock:
            text, left_out = "".join(self._pieces), self._length - _MOST
            text, newline, rest = (text, "", "") if left_out > 0 else text.rpartition("\n")
            self._pieces, self._length = [rest] if rest else [], len(rest)
        return text + (f"\n... {left_out} characters left out\n" if left_out > 0 else newline)

    def close(self) -> str:
        """What is left; from now on nothing is kept."""
        with self._lock:
            self._open = False
            text = "".join(self._pieces)
            self._pieces = []
        return text


class _NotShownAnyway(logging.Filter):
    """Keeps a handler from printing what the screen shows as a line of its Cog."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self._kept = kept

    def filter(self, record: logging.LogRecord) -> bool:
        running = current.get()
        return running is None or running.call.labor_id != self._kept.labor_id


class _Stream:
    """Stands for a text stream, for as long as the process lives."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.kept: Kept | None = None

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        hears = getattr(self.stream, "hears", None)
        kept = self.kept
        if (hears is not None and hears(text)) or (kept is not None and kept.add(text)):
            return len(text)
        return self.stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_stand_ins: list[_Stream] = []
_lock = threading.Lock()


def _stand_in(stream: TextIO) -> _Stream:
    """The one of this stream. A process has few streams that ever were its stdout."""
    with _lock:
        found = next((stands for stands in _stand_ins if stands.stream is stream), None)
        if found is None:
            found = _Stream(stream)
            _stand_ins.append(found)
        return found


@contextlib.contextmanager
def keeping(rest: Any = None) -> Iterator[Kept]:
    """Keeps what is printed to stdout and stderr where these are the terminal, and what the root logger's handlers write there. rest: the
    stream that gets what is left in the end; the terminal, if not given."""
    kept = Kept()
    replaced: dict[str, _Stream] = {}
    moved: list[logging.StreamHandler[Any]] = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            replaced[name] = stands = _stand_in(stream)
            stands.kept = kept
            setattr(sys, name, stands)
    for handler in logging.getLogger().handlers:
        for stands in replaced.values():
            if isinstance(handler, logging.StreamHandler) and handler.stream is stands.stream:
                handler.setStream(stands)
                moved.append(handler)
    not_shown_anyway = _NotShownAnyway(kept)
    filtered: list[logging.Handler] = [*moved]
    if "stderr" in replaced and logging.lastResort is not None:
        filtered.append(logging.lastResort)
    for each in filtered:
        each.addFilter(not_shown_anyway)
    try:
        yield kept
    finally:
        for each in filtered:
            each.removeFilter(not_shown_anyway)
        for name, stands in replaced.items():
            if getattr(sys, name) is stands:  # somebody else may have put theirs there meanwhile
                setattr(sys, name, stands.stream)
        for handler in moved:
            if isinstance(handler.stream, _Stream):
                handler.setStream(handler.stream.stream)
        if left := kept.close():
            out = rest or next(iter(replaced.values())).stream
            with contextlib.suppress(Exception):  # the terminal may be gone
                out.write(left)
                out.flush()
