"""While somebody imports a script to run what is in it - the shell, a worker -, the script must not open engines."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ._errors import CogworkError

_lock = threading.Lock()
_importing: list[tuple[str, str]] = []


@contextlib.contextmanager
def importing(what: str, why: str) -> Iterator[None]:
    """For as long as it is entered, `check` raises in every thread; the error names `what`, and says why."""
    with _lock:
        _importing.append((what, why))
    try:
        yield
    finally:
        with _lock:
            _importing.remove((what, why))


def check() -> None:
    """Called where an Engine is made. CogworkError while a script is imported."""
    with _lock:
        last = _importing[-1] if _importing else None
    if last is not None:
        what, why = last
        raise CogworkError(
            f"{what} makes a cogwork.Engine while it is imported; {why}. "
            'Put what is for running it as a script under `if __name__ == "__main__":`'
        )
