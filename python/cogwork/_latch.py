"""Crises: latches, which hold every Labor that they match (G8)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from . import _core, _self_wait, _storage
from ._codec import from_micros, text_of
from ._model import Duration, Labor, State
from ._text import clock, shown

if TYPE_CHECKING:
    from ._handle import Ack
    from ._steering import Steering


class Executing(msgspec.Struct, frozen=True):
    """A Labor under a latch, of which something still executes."""

    labor_id: str
    """The id of the Labor."""
    name: str
    """Its name."""
    state: State
    """PAUSING, or STOPPING."""
    attempts: int
    """How many attempts of it execute; `handle.progress().in_flight` tells which."""


class Latch(msgspec.Struct, dict=True):
    """A crisis: while it is in force every Labor that it matches, and that has not ended, is held at crisis rank (G8).

    `engine.crisis_pause` sets one, `engine.crises()` lists them, `engine.crisis_resume(latch.id)` lifts it. What it holds is told as it
    was at the moment of asking.
    """

    id: str
    tags: list[str]
    """Any of these is a tag of the Labor. The kinds - tags, name_prefix, cogs - are AND-ed; an empty one lets all pass."""
    name_prefix: str
    """How its name begins: literal, case-sensitive."""
    cogs: list[str]
    """Any of these is called by a Job or a check of it."""
    by: str
    """Who set it."""
    note: str
    """Why."""
    since: datetime | None
    """When."""
    lifted: datetime | None = None
    """When it was lifted; None while it is in force."""
    lifted_by: str = ""
    """Who lifted it."""
    lifted_note: str = ""
    """Why."""
    durable: bool = True
    """Whether it is stored. While the store fails (D6) it is in force, and would not survive the engine's death."""
    lifting: bool = False
    """Somebody lifts it; until that is stored it holds."""
    labors: int = 0
    """How many Labors it holds: of those that the engine runs, or, where none runs, of those that are stored and have not ended."""
    attempts: int = 0
    """How many attempts of these still execute; 0: all are paused."""
    executing_count: int = 0
    """Of how many Labors something still executes."""
    executing: list[Executing] = []
    """Which: at most 100 of them, by name."""

    @property
    def in_force(self) -> bool:
        return self.lifted is None

    @property
    def matches(self) -> str:
        """What it matches, in words: `all Labors`; `tag edge or core, name "edge-*", cog upgrade`."""
        kinds = [
            f"tag {' or '.join(map(shown, self.tags))}" if self.tags else "",
            f'name "{shown(self.name_prefix)}*"' if self.name_prefix else "",
            f"cog {' or '.join(map(shown, self.cogs))}" if self.cogs else "",
        ]
        return ", ".join(filter(None, kinds)) or "all Labors"

    def holds(self, labor: Labor) -> bool:
        """Whether it is in force, matches the Labor, and that has not ended."""
        return (
            self.in_force
            and not labor.state.ended
            and labor.name.startswith(self.name_prefix)
            and (not self.tags or any(tag in self.tags for tag in labor.tags))
            and (not self.cogs or any(cog in self.cogs for cog in labor.cogs))
        )

    def wait(self, timeout: Duration | None = None) -> bool:
        """Waits until nothing executes any more of what it held when it was set, and that is durable. True: all are paused, or have ended.

        False where the time, in seconds or a timedelta, ran out, or where it was lifted before. Raises EngineClosed where the engine closed
        before, NotFound where it is not in force any more.
        """
        self._check_self()
        return self._settled.wait(timeout) and self._settled.applied

    def __await__(self) -> Generator[Any, None, bool]:
        """`await latch`: as `wait()`, without blocking the loop."""
        self._check_self()
        yield from self._settled.__await__()
        return self._settled.applied

    def _check_self(self) -> None:
        steering: Steering = self.__dict__["_steering"]
        _self_wait.check_latch(lambda labor: self.holds(steering.read_labor(labor, False)))

    @property
    def _settled(self) -> Ack:
        """Asked for once, so that many waits that run out leave nothing behind."""
        from ._handle import Ack

        found: Ack | None = self.__dict__.get("_ack")
        if found is None:
            steering: Steering = self.__dict__["_steering"]
            found = self.__dict__["_ack"] = Ack(steering._core.latch_settled(self.id))
        return found

    def __str__(self) -> str:
        why = f' "{shown(self.note)}"' if self.note else ""
        since = f" since {clock(self.since)}" if self.since else ""
        return f"latch {self.id[:8]} on {self.matches}, by {shown(self.by) or 'somebody'}{since}{why}"


def latch_from(raw: dict[str, Any]) -> Latch:
    """As the core writes one (report.cpp), with or without what it holds."""
    times = {key: from_micros(raw[key]) for key in ("since", "lifted")}
    executing = [Executing(**{**e, "state": State(e["state"])}) for e in raw.get("executing", [])]
    return Latch(**{**raw, **times, "executing": executing})


def latches_from(document: bytes, steering: Steering | None = None) -> list[Latch]:
    """A list of them; those can be waited for who are told by whom."""
    latches = [latch_from(raw) for raw in msgspec.msgpack.decode(document)]
    for latch in latches:
        latch.__dict__["_steering"] = steering
    return latches


def stored_latches(store: _storage.Storage, lifted: bool = False) -> list[Latch]:
    """Those in force, as the store holds them, whoever owns it. lifted: those that were lifted, too, before them."""
    return latches_from(_core.stored_crises(_storage.core_store(store), lifted))


def criteria(
    tags: Iterable[str] | None, name_prefix: str | None, cogs: Iterable[str] | None
) -> tuple[list[str], str, list[str]]:
    """What a latch is to match, checked: what can match nothing is a mistake, and so is a list that came out empty where everything would
    be held."""
    words = _words(tags, "tags")
    for tag in words:
        if tag.split() != [tag]:
            raise ValueError(f"a tag is one word, not {tag!r}: no Labor has that one")
    if name_prefix is not None and not text_of(name_prefix, "name_prefix"):
        raise ValueError("name_prefix is empty; leave it out to hold Labors of any name")
    return words, name_prefix or "", _words(cogs, "cogs")


def _words(values: Iterable[str] | None, kind: str) -> list[str]:
    if values is None:
        return []
    if isinstance(values, str):
        raise TypeError(f"{kind} is a list of texts, not the text {values!r}")
    words = [text_of(value, kind) for value in values]
    if not words:
        raise ValueError(f"{kind} is an empty list; leave it out to hold Labors with any {kind}")
    if not all(words):
        raise ValueError(f"{kind} holds an empty text, which matches nothing")
    return words
