"""How a process ends in the middle of a call: a Cog's server whose engine is gone, and a child that a Cog forked off."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from typing import NoReturn

_FLUSHING = 0.5
"""Seconds that the streams have to take what they hold."""


def end_child(error: BaseException | None) -> NoReturn:
    """Ends a child that came out of the Cog's function: with the status that Python would give it, and without an answer, which is its parent's
    to give. It has none of the threads that would take one."""
    if error is None:
        leave(0)
    if not isinstance(error, SystemExit):
        leave(1, "".join(traceback.format_exception(error)))
    if error.code is None or isinstance(error.code, int):
        leave((error.code or 0) & 0xFF)
    leave(1, f"{error.code}\n")


def leave(status: int, said: str = "") -> NoReturn:
    """Ends the process at once, whatever its threads do. One of them may hold the streams."""

    def flush() -> None:
        for stream, text in ((sys.stdout, ""), (sys.stderr, said)):
            with contextlib.suppress(Exception):
                stream.write(text)
                stream.flush()

    with contextlib.suppress(RuntimeError):
        flusher = threading.Thread(target=flush, daemon=True)
        flusher.start()
        flusher.join(_FLUSHING)
    os._exit(status)
