"""Waiting in the shell: what for is said every few seconds, and at Ctrl-C what stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import typer

from .._client import Client
from .._errors import CogworkError
from .._outlet import complain
from .._progress import Progress
from .._summary import trouble
from .._text import format_span, shown
from .._waiting import wait_for
from ._app import Status

EVERY = 3.0
"""Seconds between two lines."""
_FLIGHTS = 3


def until_done(
    wait: Callable[[float], bool], what_for: Callable[[], str], stands: str, timeout: float | None = None
) -> bool:
    """Waits until `wait(seconds)` says that it is done; False where the time ran out. what_for: in words, or nothing. stands: what is said at
    Ctrl-C, which ends the waiting and nothing else."""
    until = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            left = EVERY if until is None else min(EVERY, until - time.monotonic())
            if wait(max(0.0, left)):
                return True
            if until is not None and time.monotonic() >= until:
                return False
            if why := what_for():
                complain(why)
    except KeyboardInterrupt:
        complain(stands)
        raise typer.Exit(Status.INTERRUPTED) from None


def until_stored(pending: Any, client: Client, labor_id: str, what: str, timeout: float | None = None) -> bool:
    """Waits until what was asked for is stored: at once, if the store does not fail. False where the time ran out. what: `START`."""

    def what_for() -> str:
        try:
            why = trouble(client._progress(labor_id))
        except CogworkError as error:
            why = str(error)
        return f"{what} is sent, and not stored yet" + (f": {why}" if why else "")

    stands = f"{what} was sent and not acknowledged: look whether it took effect"
    return until_done(lambda seconds: wait_for(pending.completion, seconds), what_for, stands, timeout)


def what_of(client: Client, labor_id: str, below: set[str] | None = None) -> str:
    """What still executes of a Labor, or what else keeps it; empty where nothing is known. below: of these ids alone."""
    try:
        progress = client._progress(labor_id)
    except CogworkError as error:
        return str(error)
    if why := trouble(progress):
        return why
    flights = executing(progress, below)
    return f"still executing: {flights}" if flights else ""


def executing(progress: Progress, below: set[str] | None = None) -> str:
    """The attempts that have executed longest: what one waits for is among them."""
    now = datetime.now(timezone.utc)
    flights = [flight for flight in progress.in_flight if below is None or flight.job_id in below]
    count = progress.in_flight_count if below is None else len(flights)
    told = []
    for flight in flights[:_FLIGHTS]:
        since = f" for {format_span(now - flight.since)}" if flight.since else ""
        told.append(f"{shown(flight.target) or '(check)'} {shown(flight.job_name or flight.cog)}{since}")
    return ", ".join(told) + (f", and {count - len(told)} more" if count > len(told) else "")
