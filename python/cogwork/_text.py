"""Text for people: whatever a name holds is shown as text; moments, lengths of time and errors as people say them."""

from __future__ import annotations

import itertools
import os
import unicodedata
from datetime import datetime, timedelta, timezone, tzinfo

from ._core import error_line

_JOINERS = "\u200c\u200d"  # they join letters and emoji; without them words of some languages fall apart


def shown(text: str) -> str:
    """Text that a terminal shows and does not obey: control characters, escapes and what turns the direction of writing become
    their escapes, any other space a plain one."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char in _JOINERS:
        return char
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode()


def first_line(error: str) -> str:
    """What an error says, in one line: the type and the first line of the message; of an exception group its first leaf, and how many
    there are."""
    return shown(error_line(error))


# ---- moments: local, or UTC where the environment or an option wants that; the same wherever they are shown ----

_UTC = "COGWORK_UTC"
_utc = False


def use_utc(wanted: bool) -> None:
    """From now on moments are shown in UTC, whatever the environment says; or as it says."""
    global _utc
    _utc = wanted


def zone() -> tzinfo | None:
    """In which time zone moments are shown; None: the local one."""
    return timezone.utc if _utc or os.environ.get(_UTC, "0") not in ("", "0") else None


def clock(moment: datetime, now: datetime | None = None, millis: bool = False) -> str:
    """A moment: `10:02:11`, with its date where that is not today's, and a Z where it is UTC."""
    there = moment.astimezone(zone())
    today = (now or datetime.now(timezone.utc)).astimezone(zone()).date()
    day = "" if there.date() == today else f"{there:%Y-%m-%d} "
    return f"{day}{there:%H:%M:%S}" + (f".{there.microsecond // 1000:03}" if millis else "") + _z()


def date(moment: datetime | None) -> str:
    """A moment with its date and time zone: `2026-03-01 10:02:11 CET`; nothing of None."""
    if moment is None:
        return ""
    there = moment.astimezone(zone())
    return f"{there:%Y-%m-%d %H:%M:%S}{_z() or f' {there:%Z}'}"


def _z() -> str:
    return "Z" if zone() is timezone.utc else ""


def format_span(span: timedelta) -> str:
    """A length of time: `0.2 s`, `12 s`, `3 min 5 s`, `2 h 4 min`."""
    seconds = span.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def shortest(ids: list[str], least: int = 8) -> int:
    """How many characters tell these ids from each other, `least` at the least."""
    ordered = sorted(set(ids))
    length = least
    for one, other in itertools.pairwise(ordered):
        common = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        length = max(length, common + 1)
    return length
