"""While somebody imports a script to run what is in it - the shell, a worker -, the script opens no engine, and what makes a Labor calls no Cog."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ._errors import CogError, CogworkError

_lock = threading.Lock()
_importing: list[tuple[str, str]] = []
_building: list[str] = []


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


@contextlib.contextmanager
def building(what: str) -> Iterator[None]:
    """While it is entered somebody makes a Labor, to run it later: `check_call` raises in every thread."""
    with _lock:
        _building.append(what)
    try:
        yield
    finally:
        with _lock:
            _building.remove(what)


def check_call(cog: str) -> None:
    """Called where a Cog is called as a function, outside of any other. CogError while a tree is built: nothing is to run yet."""
    if _building:
        raise CogError(
            f"cog {cog!r} is called while {_building[-1]} makes a Labor, and would run at once; what runs it later is a Job: {cog}.job(...)"
        )


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
