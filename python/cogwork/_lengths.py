"""Lengths of time as people type them: `90`, `90s`, `5m`, `1h30`, `1h30m`, `250ms`, `2 min`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_BELOW = {"w": "d", "d": "h", "h": "m", "m": "s", "min": "s"}
"""Of a last number without a unit: `1h30` is 1 h 30 min."""
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|sec|min|s|m|h|d|w)?", re.ASCII | re.IGNORECASE)
LOOKS_LIKE = "30, 90s, 5m, 1h30m, 250ms"


def length_of(text: str) -> timedelta | None:
    """Seconds where no unit is given. None for what is no length."""
    text = text.strip()
    pieces = _PIECE.findall(text)
    if not pieces or _PIECE.sub("", text).strip():
        return None
    seconds, before = 0.0, ""
    for n, (number, unit) in enumerate(pieces):
        unit = unit.lower()
        if not unit:
            if n and (n < len(pieces) - 1 or before not in _BELOW):
                return None
            unit = _BELOW[before] if n else "s"
            if not n and len(pieces) > 1:
                return None
        if before and _UNITS[unit] >= _UNITS[before]:
            return None  # `5m1h` is a slip
        seconds += float(number) * _UNITS[unit]
        before = unit
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return None
