"""Lengths of time as the API takes them: seconds, or a timedelta. Text is for the shell (docs/decisions)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ._lengths import length_of


def seconds_of(duration: float | timedelta) -> float:
    """Seconds, from seconds or a timedelta. TypeError for anything else."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"expected seconds or a timedelta, got {duration!r}{meant(duration)}")
    if duration != duration:
        raise ValueError("expected seconds or a timedelta, got nan")
    return float(duration)


def check_timeout(timeout: float | timedelta | None) -> None:
    """Raises as seconds_of for what is no length of time. Called before anything else is done, also where nothing is waited for."""
    if timeout is not None:
        seconds_of(timeout)


def meant(value: Any) -> str:
    """Of a text that is a length of time in the shell, how to say it in Python."""
    length = length_of(value) if isinstance(value, str) else None
    if length is None:
        return ""
    seconds = f"{length.total_seconds():.6f}".rstrip("0").rstrip(".")
    return f"; did you mean {seconds}, or timedelta(seconds={seconds})?"
