"""Moments as users give them: aware datetimes."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import overload


@overload
def utc_of(moment: None, what: str) -> None: ...
@overload
def utc_of(moment: datetime, what: str) -> datetime: ...
def utc_of(moment: datetime | None, what: str) -> datetime | None:
    """An aware datetime in UTC; None stays None. TypeError for what is no datetime, ValueError for one that names no moment: it has no time
    zone, or lies outside the years 1 to 9999. The error says what to write instead."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        instead = ""
        if isinstance(moment, date):
            instead = "; the beginning of a day is datetime(2026, 3, 1).astimezone(), in local time"
        elif isinstance(moment, str):
            instead = "; datetime.fromisoformat makes one of a text with a zone, '2026-03-01T10:02:11+01:00'"
        elif isinstance(moment, (int, float)):
            instead = "; datetime.fromtimestamp(seconds, timezone.utc) makes one of seconds since 1970"
        raise TypeError(f"{what} is an aware datetime, not {moment!r}{instead}")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(
            f"{what}: {moment!r} has no time zone, so it names no moment; give it one: datetime.now(timezone.utc), or "
            "moment.astimezone() for local time"
        )
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(f"{what}: {moment!r} is not between the years 1 and 9999 in UTC") from None
