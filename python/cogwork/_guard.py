"""While the shell imports a script, the script must not open engines: what `cogwork run` and `serve` import is run by them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ._errors import CogworkError

_lock = threading.Lock()
_importing: list[str] = []


@contextlib.contextmanager
def importing(what: str) -> Iterator[None]:
    """For as long as it is entered, `check` raises in every thread; `what` is named in the error."""
    with _lock:
        _importing.append(what)
    try:
        yield
    finally:
        with _lock:
            _importing.remove(what)


def check() -> None:
    """Called where an Engine is made. CogworkError while a script is imported."""
    with _lock:
        what = _importing[-1] if _importing else None
    if what is not None:
        raise CogworkError(
            f"{what} makes a cogwork.Engine while it is imported; the shell runs its Labors in an engine of its own. "
            'Put what is for running it as a script under `if __name__ == "__main__":`'
        )
