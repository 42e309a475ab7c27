"""What an Engine and a Client share: everything that goes through a store and whoever runs what is in it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from . import _self_wait, _storage
from ._codec import by_whom, encode_filter, since_of, text_of
from ._durations import check_timeout
from ._errors import CogworkError, EngineClosed, NotFound, SignalNotAllowed
from ._handle import Ack, Changes, LaborHandle
from ._history import Finding, Moment
from ._latch import Latch, criteria, latches_from
from ._model import Decision, Duration, Job, Labor, LaborFilter, Sequence, Signal, State, Task, did_you_mean
from ._progress import Progress, Stats, progress_from, stats_from
from ._search import SearchResult
from ._waiting import be_ready_to_wait, in_thread, wait_async, wait_for

log = logging.getLogger("cogwork.engine")


_RECORDED = 2.0
"""Seconds in which a store that is well has recorded a latch."""


class Steering:
    """Submitting, signals and reading. `_core` speaks the core's language: the core's own engine, or somebody who asks it."""

    _store: _storage.Storage

    if TYPE_CHECKING:

        @property
        def _core(self) -> Any: ...

    def __reduce__(self) -> NoReturn:
        """A copy would be a second face of the same engine or connection; neither goes to another process, nor does a handle of it."""
        kind = type(self).__name__
        raise TypeError(
            f"{kind} objects, and handles of them, are neither copied nor pickled: another process opens cogwork.connect(db), "
            "and takes the handle of a Labor by its id there"
        )

    # ---- Labors ----

    def submit(self, labor: Labor, start: bool = True, *, by: str | None = None) -> LaborHandle:
        """Validates the whole tree (S1, S2), stores it, and runs it; start=False waits for `handle.start()` (S5).

        Durable when it returns (D1). Raises ValidationError with every fault and its place, StorageError; nothing is stored then. The
        tree that was given stays as it is.
        """
        pending = self._submit(labor, start, by)
        wait_for(pending.completion)
        handle = LaborHandle(self, pending.result())
        if self._in_crisis:
            self._say_if_held(handle.id)
        return handle

    async def asubmit(self, labor: Labor, start: bool = True, *, by: str | None = None) -> LaborHandle:
        """`submit`, without blocking the running loop."""
        be_ready_to_wait()
        pending = await in_thread(self._submit, labor, start, by)
        await wait_async(pending.completion)
        handle = LaborHandle(self, pending.result())
        if self._in_crisis:
            await in_thread(self._say_if_held, handle.id)
        return handle

    def run(self, labor: Labor, timeout: Duration | None = None) -> Labor:
        """Submits, waits, and returns the Labor as it ended."""
        check_timeout(timeout)
        if isinstance(labor, Labor) and timeout is None:
            _self_wait.before_run(self, labor)
        handle = self.submit(labor)
        try:
            return handle.wait(timeout)
        except CogworkError as error:  # the wait failed, for want of a thread say: who submitted must know what goes on
            if handle.id not in str(error):
                error.args = (
                    f"{error}; Labor {handle.id} was submitted: handle({handle.id!r}) has it",
                    *error.args[1:],
                )
            raise

    def handle(self, id: str) -> LaborHandle:
        """The handle of a Labor in the store. NotFound where there is none."""
        self._core.state(id_of(id))
        labor = id[:-8] + "00000000"  # ids of a Labor end in the object's place in the tree (docs/decisions/0002)
        if labor != id:
            raise NotFound(f"{id} is no Labor; it belongs to the Labor {labor}, whose handle gives those of its Tasks")
        return LaborHandle(self, id.lower())

    def take_up(self, id: str) -> None:
        """Goes on with a Labor that the engine left when it was opened with `recover="later"` (R1): what was sent to it meanwhile is applied first.

        Where it runs there already, this does nothing. Raises SignalNotAllowed where it has ended, where its Cogs are not known to the engine
        (R4) - then it goes on waiting for these -, or where the engine leaves it for good; NotFound; EngineClosed.
        """
        if why := self._core.take_up(id_of(id)):
            raise SignalNotAllowed(f"Labor {id} is not taken up: {why}", state=int(self._core.state(id)))

    def signal(self, id: str, signal: Signal, *, interrupt: bool = False, by: str | None = None, note: str = "") -> Ack:
        """Sends a signal to a Labor, Task or Sequence by id; returns once the engine has taken it (G1).

        interrupt: with STOP, executing attempts are ended too (G3a). by: the login name if not given. note: why.

        Raises SignalNotAllowed where the state of a Labor does not allow it (G2), NotFound.
        """
        sent = Signal(signal)
        ack = self._core.signal(id_of(id), int(sent), interrupt, by_whom(by), text_of(note, "note"))
        return Ack(ack, self, id.lower(), sent)

    def decide(self, id: str, decision: Decision | str, *, by: str | None = None, note: str = "") -> None:
        """Says what is to become of a held Job (R2): "rerun" calls it again, "completed" and "failed" end it so.

        Durable when it returns. Its Labor goes on at its ADMIN_RESUME, once each of its held Jobs is decided. `handle.held()` and
        `stats().held` list them. Where no engine runs its Labor, it is stored, and applied before anything of the Labor begins (R1).

        Raises SignalNotAllowed where the Job is not held, NotFound, ValueError where the word is no decision.
        """
        pending = self._core.decide(*_decision(id, decision, by, note))
        wait_for(pending.completion)
        pending.result()

    async def adecide(self, id: str, decision: Decision | str, *, by: str | None = None, note: str = "") -> None:
        """`decide`, without blocking the running loop."""
        be_ready_to_wait()
        pending = await in_thread(self._core.decide, *_decision(id, decision, by, note))
        await wait_async(pending.completion)
        pending.result()

    # ---- crises ----

    def crisis_pause(
        self, tags: Iterable[str] | None = None, name_prefix: str | None = None, cogs: Iterable[str] | None = None,
        *, by: str | None = None, note: str = "",
    ) -> Latch:  # fmt: skip
        """Sets a latch: every Labor that it matches begins to pause at once, and none of them goes on, or starts, until it is lifted (G8).

        tags, cogs: any of them; name_prefix: how the name begins. Kinds are AND-ed; with none given it holds every Labor. An empty list is
        a mistake, not everything. by: the login name if not given. note: why.

        In force as soon as the engine has taken it, which waits for nothing. It returns when the latch is durable - or, while the store fails or
        hangs (D6), after 2 s: then `latch.durable` is False, it holds as long as the engine lives, and is stored when the store is well again. With no
        engine it is stored, and the next one obeys it. `latch.wait()` waits until nothing executes any more. Raises ValueError, TypeError,
        CogworkError where 1000 are in force.
        """
        id, recorded = self._begin_crisis(criteria(tags, name_prefix, cogs), by, note)
        if not wait_for(recorded.completion, _RECORDED):
            log.warning("the crisis latch %s is in force, and not stored yet: the store fails or hangs", id)
        elif recorded.closed:
            raise EngineClosed(
                "the engine closed before the crisis latch was stored; set it again, for the next engine"
            )
        return next(latch for latch in self.crises(lifted=True) if latch.id == id)

    def crisis_resume(self, latch: str, *, by: str | None = None, note: str = "") -> Ack:
        """Lifts the latch of that id, and no other. A Labor that no other one holds goes on, or is held as its own pauses say.

        Returns once it is taken. Labors go on when the lifting is durable; the Ack is done when their states are durable, too. (A latch
        has no state: `ack.state` is UNKNOWN.) Raises NotFound where it is not in force, saying who lifted it.
        """
        return Ack(self._core.crisis_resume(id_of(latch), by_whom(by), text_of(note, "note")))

    def crises(self, lifted: bool = False) -> list[Latch]:
        """The latches in force, in the order in which they were set, and what each holds at this moment. lifted: before them those that
        were lifted last, too, at most 100."""
        return latches_from(self._core.crises(bool(lifted)), self)

    def _begin_crisis(self, what: tuple[list[str], str, list[str]], by: str | None, note: str) -> tuple[str, Any]:
        """Once it is in force: its id, and what is done when it is durable."""
        in_force: tuple[str, Any] = self._core.crisis_pause(*what, by_whom(by), text_of(note, "note"))
        return in_force

    @property
    def _in_crisis(self) -> bool:
        """Whether a latch may be in force; who does not know at once says yes."""
        return True

    def _say_if_held(self, id: str) -> None:
        """What was submitted to run, and is held by a latch."""
        with contextlib.suppress(CogworkError):  # it is submitted, whatever comes now
            if State(self._core.state(id)) == State.CRISIS_PAUSED:
                for latch in self._progress(id).latches[:1]:
                    log.warning("Labor %s is held, and does not run: %s", id, latch)

    # ---- reading ----

    def search(self, filter: LaborFilter | None = None) -> SearchResult:
        """Labors that pass, without their tasks, earliest first (T3)."""
        if isinstance(self._store, _storage.BuiltinStorage):
            encode_filter(filter or LaborFilter())  # a filter of wrong types is refused here, not where it is iterated
        return SearchResult(self._store.labors, self.read_labor, filter or LaborFilter())

    def read_labor(self, id: str, full: bool = True) -> Labor:
        """A copy of what is stored (T1); full=False: without tasks. NotFound."""
        return self._store.read_labor(id_of(id), full)

    def read_task(self, id: str) -> Task:
        """A Task without what is below it. NotFound."""
        return self._store.read_task(id_of(id))

    def read_sequence(self, id: str) -> Sequence:
        """A Sequence without its Jobs. NotFound."""
        return self._store.read_sequence(id_of(id))

    def read_job(self, id: str, full: bool = True) -> Job:
        """A Job; full=False: without args and output. NotFound."""
        return self._store.read_job(id_of(id), full)

    def at(self, id: str, when: Moment) -> Labor:
        """A Labor as it stood (D7), rebuilt from its history. when: an aware datetime, or the number of a change, right after which it is.
        Of checks in rounds that passed only the latest are known (X11).

        Raises NotFound; ValueError where the datetime has no time zone, or there was no such Labor or change yet.
        """
        return self._store.at(id_of(id), when)

    def verify(self, id: str | None = None) -> list[Finding]:
        """Follows the history of a Labor, or of all, from hash to hash and to the tree that is stored, and names what was changed, removed
        or moved by hand (D7). Empty: nothing is wrong."""
        return self._store.verify(None if id is None else id_of(id))

    def changes(self, id: str | None = None, since: int | None = None) -> Changes:
        """Every change of state as it becomes durable: of one Labor until it ends, or of all until the engine closes.

        since: a change's number, to go on behind it without loss; None: from now. For `for` and `async for`.
        """
        return Changes(self._core.changes(None if id is None else id_of(id), since_of(since)))

    def stats(self) -> Stats:
        """Counters, queues, workers, abandoned calls, whether the store is degraded, and which Labors wait for something."""
        return stats_from(msgspec.msgpack.decode(self._core.stats()))

    @property
    def store(self) -> _storage.Storage:
        """The store; reading it needs no engine."""
        return self._store

    def _progress(self, id: str) -> Progress:
        return progress_from(msgspec.msgpack.decode(self._core.progress(id)))

    def _submit(self, labor: Labor, start: bool, by: str | None) -> Any:
        raise NotImplementedError


def _decision(id: str, decision: Decision | str, by: str | None, note: str) -> tuple[str, str, str, str]:
    return id_of(id), decision_of(decision).value, by_whom(by), text_of(note, "note")


def decision_of(word: Decision | str) -> Decision:
    """ValueError for anything else."""
    try:
        return Decision(word)
    except ValueError:
        meant = did_you_mean(word.lower(), [known.value for known in Decision]) if isinstance(word, str) else ""
        raise ValueError(f"a decision is 'rerun', 'completed' or 'failed', not {word!r}{meant}") from None


def id_of(value: Any) -> str:
    """An id that was given. TypeError for anything but text; NotFound for text that no id can be, which the core would not even say back."""
    if not isinstance(value, str):
        raise TypeError(f"an id is text, not {value!r}")
    if not value.isprintable():  # also a surrogate that stands alone
        raise NotFound(f"{value!r} is not an id")
    return value
