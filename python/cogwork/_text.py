"""Text for people: whatever a name holds is shown as text, and moments as people say them."""

from __future__ import annotations

import itertools
import unicodedata
from datetime import datetime

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


def first_line(text: str) -> str:
    """Of an error with its traceback, the line that says what happened: the last one, as text."""
    return shown(text.strip().rpartition("\n")[2])


def clock(moment: datetime, now: datetime | None = None) -> str:
    """A moment in local time: `10:02:11`, with its date where that is not today's."""
    local = moment.astimezone()
    today = (now or datetime.now().astimezone()).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def shortest(ids: list[str], least: int = 8) -> int:
    """How many characters tell these ids from each other, `least` at the least."""
    ordered = sorted(set(ids))
    length = least
    for one, other in itertools.pairwise(ordered):
        common = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        length = max(length, common + 1)
    return length
