"""The end of an engine of the shell."""

from __future__ import annotations

import warnings

from .._display import BEAT, say
from .._engine import Engine
from .._errors import CogworkWarning
from .._waiting import wait_for
from ._signals import Interrupts


def say_where(engine: Engine) -> None:
    """Where other shells reach it, or that they do not."""
    if engine.control.addresses:
        say(str(engine.control))
    elif engine.store.identity():
        say(f"NOBODY CAN STEER THIS ENGINE: {engine.control}. No other shell can pause, stop or hold what it runs")


def close(engine: Engine, interrupts: Interrupts) -> None:
    """In order: what executes may end, unless there is a further Ctrl-C. The shell says itself what is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CogworkWarning)
        quiet = engine._core.begin_close()
        known = min(interrupts.count, 1)
        while interrupts.count == known and not wait_for(quiet, BEAT):
            pass
        engine.close(interrupt=True)  # of what is not quiet by now
