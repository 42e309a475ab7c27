"""The history as something to look at: a Labor as it stood, and whether nobody changed what was written (D7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import msgspec

from . import _codec, _core
from ._errors import NotFound, StorageError
from ._model import Labor
from ._moment import utc_of
from ._text import zone

Moment = datetime | int
"""An aware datetime, or the number of a change."""

_MOST = 20
"""Findings of one Labor; more of them would say no more."""
_ALL = 2**31
_KINDS = ("chain", "history", "tree")


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is not as it should be in what is stored. `str()` says it in a line."""

    kind: str
    """"chain": a row of the history is damaged, changed, missing or in another's place. "history": the history does not lead to the tree
    that is stored. "tree": the tree is one that no engine leaves, or cannot be read. "file": SQLite says that the file is damaged, or rows
    in it belong to nothing. "record": a small record belongs to nothing. The last two come from `doctor` alone."""
    what: str
    """What is wrong, in words."""
    remedy: str = ""
    """What to do about it."""
    labor_id: str = ""
    """In which Labor; empty where it is in none."""
    labor: str = ""
    """That Labor's name."""
    object_id: str = ""
    """Which object of it."""
    number: int = 0
    """The change, or the first one of the row, that it is about; 0: none in particular."""
    at: datetime | None = None
    """When that was."""

    def __str__(self) -> str:
        parts = []
        if self.labor_id:
            parts.append(f"Labor {self.labor!r} ({self.labor_id})" if self.labor else f"Labor {self.labor_id}")
        if self.number:
            parts.append(f"change {self.number}" + (f" of {self.at:%Y-%m-%d %H:%M:%S.%f} UTC" if self.at else ""))
        return (", ".join(parts) + ": " if parts else "") + self.what


REMEDIES = {
    "chain": "somebody, or something, wrote into the history beside the engine: compare it with a copy of the file; states are "
    "not taken from it, so Labors go on all the same",
    "history": "compare it with a copy of the file; engines go by the tree, and the history no longer tells how it came to that",
    "tree": "restore a copy of the file, or stop this Labor and submit what is left of it anew",
}


def moment_of(when: Moment) -> tuple[int | None, int | None]:
    """A number, or microseconds. What is neither is an error that says what would be."""
    if isinstance(when, datetime):
        return None, _codec.to_micros(utc_of(when, "when"))
    if isinstance(when, bool) or not isinstance(when, int):
        raise TypeError(f"when is an aware datetime or the number of a change, not {when!r}")
    if when < 0:
        raise ValueError(f"numbers of changes begin with 1 (0: before all of them), so {when} is none")
    return when, None


def labor_at(store: _core.Store, id: str, when: Moment) -> Labor:
    """The tree as it stood. NotFound; ValueError where there was no such Labor yet, or no such change."""
    number, at = moment_of(when)
    if number is not None and number > (last := store.last_change()):
        raise ValueError(f"there is no change {number} in {store.name()} yet; the last one is {last}")
    labor = _codec.labor_decoder.decode(_core.read_at(store, id, number, at))
    if at is not None and labor.submitted is not None and _codec.to_micros(labor.submitted) > at:
        raise ValueError(
            f"Labor {labor.id} was not there yet at {_codec.from_micros(at)}; it was submitted at {labor.submitted}"
        )
    return labor


class LaborCheck(msgspec.Struct):
    """What was looked at in one Labor."""

    labor_id: str
    changes: int
    findings: list[Finding]


def check_labors(store: _core.Store, id: str | None, tree: bool = False) -> Iterator[LaborCheck]:
    """One Labor or all, one after another."""
    if id is None:
        try:
            ids = _core.labor_ids(store, "", _ALL)
        except StorageError as error:
            yield LaborCheck("", 0, [Finding("tree", f"the Labors cannot be listed: {error}", REMEDIES["tree"])])
            return
    else:
        ids = [id]
    for labor_id in ids:
        try:
            name, _rows, changes, found, more = _core.check_labor(store, labor_id, tree, _MOST)
        except NotFound:
            if id is not None:
                raise
            continue  # it was removed meanwhile
        except StorageError as error:
            yield LaborCheck(labor_id, 0, [Finding("tree", str(error), REMEDIES["tree"], labor_id)])
            continue
        findings = [
            Finding(
                _KINDS[kind], what, REMEDIES[_KINDS[kind]], labor_id, name, object_id, number,
                None if at is None else _codec.from_micros(at),
            )
            for kind, number, at, object_id, what in found
        ]  # fmt: skip
        if more:
            last = findings[-1]
            findings[-1] = msgspec.structs.replace(last, what=f"{last.what} (and more: these are the first {_MOST})")
        yield LaborCheck(labor_id, changes, findings)


def verify(store: _core.Store, id: str | None) -> list[Finding]:
    """What is wrong with the histories."""
    return [finding for check in check_labors(store, id) for finding in check.findings]


def utc(text: str, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> Moment:
    """A moment as somebody types it: a number, `10:02`, `10:02:11.5`, `2026-03-01 10:02:11+01:00`. Where no zone is said it is the one
    that moments are shown in: the local one, if nobody wants UTC."""
    text = text.strip()
    if text.isdecimal():
        return int(text)
    iso = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    for candidate in (iso, f"{now().astimezone(zone()):%Y-%m-%d}T{iso}"):
        try:
            read = datetime.fromisoformat(_padded(candidate))
            return (read if read.tzinfo else read.replace(tzinfo=zone())).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            continue
    raise ValueError(
        f"{text!r} is no moment: give a change's number, a time of today (10:02:11), or a date with a time "
        "(2026-03-01 10:02:11, with +01:00 or Z behind it if it is no local time)"
    )


def _padded(iso: str) -> str:
    """Python 3.10 reads fractions of a second in three or six digits alone."""
    head, dot, tail = iso.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return f"{head}.{digits[:6]:0<6}{tail[len(digits) :]}" if dot and digits else iso
