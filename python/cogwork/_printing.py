"""What others print while a screen is shown is kept, and shown above it.

Cogs print from their own threads, at any moment, also while the screen goes away. So the streams that stand in for stdout and stderr do
nothing but keep the text, or pass it on where no screen is shown; only the thread that draws writes to the terminal.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

_MOST = 1_000_000
"""Characters that are kept between two pictures; what comes beyond is left out, and that is said."""


class Kept:
    """The text that waits to be shown. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._length = 0
        self._open = True

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


_ever: list[_Stream] = []
"""All stand-ins. `print` looks sys.stdout up without holding it (CPython before 3.14): one that went while a Cog's thread is in the middle of
printing to it would take the process with it."""


class _Stream:
    """Stands for a text stream, for as long as somebody may hold it: also after the screen is gone."""

    def __init__(self, stream: TextIO, kept: Kept) -> None:
        self._stream = stream
        self._kept = kept
        _ever.append(self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        return len(text) if self._kept.add(text) else self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def keeping() -> Iterator[Kept]:
    """Keeps what is printed to stdout and stderr where these are the terminal, and what the root logger's handlers write there."""
    kept = Kept()
    replaced: dict[str, tuple[TextIO, _Stream]] = {}
    moved: list[tuple[logging.StreamHandler[Any], Any]] = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            replaced[name] = stream, _Stream(stream, kept)
            setattr(sys, name, replaced[name][1])
    for handler in logging.getLogger().handlers:
        for stream, stand_in in replaced.values():
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                handler.setStream(stand_in)
                moved.append((handler, stream))
    try:
        yield kept
    finally:
        for name, (stream, stand_in) in replaced.items():
            if getattr(sys, name) is stand_in:  # somebody else may have put theirs there meanwhile
                setattr(sys, name, stream)
        for handler, stream in moved:
            if isinstance(handler.stream, _Stream):
                handler.setStream(stream)
        if rest := kept.close():
            out = next(iter(replaced.values()))[0]
            out.write(rest)
            out.flush()
