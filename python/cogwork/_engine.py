"""The engine: owns a store, and runs the Labors in it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import pathlib
import sys
import threading
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _cog, _core, _guard, _notices, _self_wait, _storage
from ._codec import by_whom, login_name, program_name
from ._context import install_logging
from ._control import Control, Submits, control_of
from ._durations import seconds_of
from ._errors import CogworkError, CogworkWarning, EngineClosed, ResourceError
from ._model import Duration, Labor, LaborFilter, State
from ._outlet import settle_all
from ._resources import begin
from ._steering import Steering
from ._submit import prepare, twice
from ._waiting import Origin, forked, in_thread, wait_for
from ._warn import warn
from ._workers import AsyncRunner, Runner

if TYPE_CHECKING:
    from ._core import Engine as CoreEngine
    from ._core import Pending

log = logging.getLogger("cogwork.engine")


class Cogs:
    """What an engine knows of Cogs that crash (X10)."""

    def crashes(self, cog: str) -> int:
        """How often the Cog's process died since its version was loaded, or its count was reset."""
        return _cog.registry.crashes(cog)

    def reset(self, cog: str) -> None:
        """Forgets its crashes: it is called again."""
        _cog.registry.reset(cog)

    def names(self) -> list[str]:
        """The Cogs of this process."""
        return _cog.cog_names()


class Engine(Steering):
    """Owns a store and runs the Labors in it. `with Engine("labors.db") as engine:` closes it in order.

    store: a path (SQLite), "memory:" (nothing is kept), "name:where" of a registered store, or a Storage.
    workers: how many plain calls of Jobs run at once, and as many of checks beside them (X13).
    grace: seconds or timedelta that a call which was asked to end may take (X8a). max_crashes: how often a Cog's process may die before
    the Cog is refused (X10). max_output: bytes of an output that are kept (X9).
    recover: "all" takes up the Labors that had not ended (R1), "none" leaves them; "later" leaves each until `take_up(id)`, and stores what is
    sent to it meanwhile.
    loop: runs async Cogs, instead of a loop of the engine's own.

    Raises StoreInUse where another engine owns the store, StorageError where it cannot be opened. Any thread may call any method.

    >>> @cw.cog
    ... def greet(name: str) -> str:
    ...     return f"hello, {name}"
    >>> one = cw.Sequence("world", jobs=[greet.job("world")])
    >>> labor = cw.Labor("hello", tasks=[cw.Task("all", sequences=[one])])
    >>> with cw.Engine("labors.db") as engine:
    ...     handle = engine.submit(labor)
    ...     done = handle.wait()
    >>> done["all"]["world"][0].output
    'hello, world'
    """

    _core: CoreEngine

    def __init__(
        self,
        store: str | os.PathLike[str] | _storage.Storage = "cogwork.db",
        *,
        workers: int = 64,
        grace: Duration = 2,
        max_crashes: int = 3,
        max_output: int = 2**20,
        recover: str = "all",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        _guard.check()
        if recover not in ("all", "none", "later"):
            raise ValueError(f"recover is 'all', 'none' or 'later', not {recover!r}")
        if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 10_000:
            raise ValueError(f"workers is a whole number from 1 to 10000, not {workers!r}")
        if isinstance(max_output, bool) or not isinstance(max_output, int) or max_output < 1:
            raise ValueError(f"max_output is a number of bytes, 1 or more, not {max_output!r}")
        if isinstance(max_crashes, bool) or not isinstance(max_crashes, int) or not 0 <= max_crashes < 2**31:
            raise ValueError(f"max_crashes is a whole number, 0 or more, not {max_crashes!r}")
        self._grace = seconds_of(grace)
        if self._grace < 0:
            raise ValueError(f"grace must not be negative, is {grace!r}")
        if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError(f"loop is the event loop that async Cogs are called on, not {loop!r}")
        if loop is not None and loop.is_closed():
            raise ValueError("loop is closed; async Cogs are called on one that runs")
        install_logging()
        self._workers = workers
        self._origin = Origin()
        self.cogs = Cogs()
        try:
            self._store = _storage.resolve(store)
            self._core = _core.Engine(
                _storage.core_store(self._store),
                _cog.registry,
                workers,
                self._grace,
                max_crashes,
                max_output,
                recover,
                login_name(),
                program_name(),
                os.fsencode(pathlib.Path(_core.__file__).with_name("_guardian")),
                os.fsencode(sys.executable or ""),
            )
            self._open(Runner(max_output), loop)
            self._say_what_there_is()
            self._core.begin()
        except BaseException:  # whatever it was, and whenever it came: a signal's handler, a warning that is an error
            self._leave_nothing(store)
            raise

    def _open(self, runner: Runner, loop: asyncio.AbstractEventLoop | None) -> None:
        self._async = AsyncRunner(runner, self._core.async_calls(), loop)
        self._closer = _Closer(self._core, self._async, self._store.name())
        self._finalizer = weakref.finalize(self, _let_go, self._closer)
        self._finalizer.atexit = False  # _close_all sees to it, in the main thread
        _live.add(self._closer)
        self._queues = (self._core.jobs(), self._core.checks(), self._core.async_calls())
        for queue in self._queues[:2]:
            runner.start_thread(queue)
        if (desk := self._core.submits()) is not None:
            self._closer.submits = Submits(desk, self._core, self._async.start)
        _cog.engines.add(self)
        if _cog.any_async():
            self._async.start()

    def _leave_nothing(self, given: object) -> None:
        """Of an engine that could not be opened. Nothing of it has begun; a store that was given stays open."""
        made = self.__dict__
        if "_finalizer" in made:
            self._finalizer.detach()
        if "_closer" in made:
            self._closer.close(0.0, True)
        elif "_core" in made:
            self._core.begin_close()
            self._core.finish_close()
        if "_store" in made and self._store is not given:
            self._store.close()
        _cog.engines.discard(self)

    def _say_what_there_is(self) -> None:
        """R1, R2: what it found, before anything goes on."""
        unreachable = self._say_where()
        for latch in self.crises() if self._in_crisis else []:
            log.warning("a crisis is on, and what it holds does not run: %s", latch)
        stats = self.stats()
        for waiting in stats.waiting:
            if not waiting.later:
                log.warning("Labor %r (%s) is not taken up: %s", waiting.name, waiting.labor_id, waiting.why)
        db = self._store.name() if self._store.identity() else ""
        taken_up = _notices.taken_up(self.taken_up, self._progress, self._store.name())
        ahead = _notices.records_ahead(stats, self._store.name())
        warn(*_notices.held(stats, db), *taken_up, *unreachable, *ahead)

    @property
    def taken_up(self) -> list[str]:
        """The ids of the Labors that opening took up (R1)."""
        return self._core.taken_up()

    @property
    def closed(self) -> bool:
        """Whether it has closed."""
        return self._core.closed

    @property
    def control(self) -> Control:
        """Where other processes reach it: `cogwork pause`, `cogwork crisis`, `cogwork.connect`. A CogworkWarning says at opening where none can."""
        return control_of(self._core, self._store.name())

    # ---- the end ----

    def close(self, grace: Duration | None = None, interrupt: bool = False) -> None:
        """Ends the engine in order; idempotent. No attempt begins any more; those that execute may end.

        grace: how long they may take before they are interrupted; None: as long as they do. interrupt: at once. A call that then does not end
        within the engine's own grace is left. What is not finished is stored, and taken up at the next opening; a
        CogworkWarning says which Labors, how far they are, and how to go on. Ctrl-C while it waits interrupts.
        """
        if not self._origin.here:
            return  # a forked child has a copy of the object, not of its threads
        if not (interrupt or self.closed):
            _self_wait.check_close(self)
        report = self._closer.close(None if grace is None else seconds_of(grace), interrupt)
        self._finalizer.detach()
        _cog.engines.discard(self)
        if report is not None:
            warn(*_notices.left(report, self._store.name()))

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Left by an error or Ctrl-C: what executes gets the engine's grace and is then interrupted, so that nobody waits for a hung
        # call. Left in order: it may end.
        with _beside(error):
            try:
                self.close(grace=None if kind is None else self._grace)
            except CogworkError:  # it would wait for itself
                self.close(interrupt=True)
                raise

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with _beside(error):
            _self_wait.check_close(self, blocks=False)
            try:
                await in_thread(self.close, None if kind is None else self._grace)
            except (
                ResourceError
            ) as no_thread:  # the loop waits then: an engine that was left open would go on with nobody there
                log.warning("%s; the event loop waits until the engine has closed", no_thread)
                self.__exit__(kind, None, tb)

    def __repr__(self) -> str:
        if not self._origin.here:
            return "<Engine of the process that this one was forked off>"
        return f"<Engine on {self._store.name()!r}{', closed' if self._core.closed else ''}>"

    # ---- inside ----

    @property
    def _in_crisis(self) -> bool:
        return self._core.in_crisis

    def _submit(self, labor: Labor, start: bool, by: str | None) -> Pending:
        self._origin.check()
        document, faults, fingerprint, uses_async = prepare(labor)
        if not faults:
            warn(*twice(labor))
        if uses_async:
            self._async.start()
        return self._core.submit(document, faults, fingerprint, bool(start), by_whom(by))

    def _say_where(self) -> list[str]:
        """Returns what to warn of: that no other process can reach it."""
        control = self.control
        if control.addresses:
            log.info("%s: %s", self._store.name(), control)
            if wanted := os.environ.get("COGWORK_RUNTIME_DIR", ""):
                folder = os.fsencode(os.path.normpath(wanted))
                if not any(os.path.normpath(place.path).startswith(folder) for place in control._places):
                    why = "; ".join(control.passed_over) if os.path.isabs(wanted) else "it is no absolute path"
                    log.warning("COGWORK_RUNTIME_DIR is not used: %s; %s", why, control)
        elif self._store.identity():
            return [f"{control}. Until then no shell can pause, stop or hold what it runs"]
        return []

    def _calls(self, cog: str) -> bool:
        """Whether a Labor that calls it may go on here."""
        if self.closed:
            return False
        unfinished: list[State] = [state for state in State if state != State.UNKNOWN and not state.ended]
        try:
            return any(True for _ in self.search(LaborFilter(cogs=[cog], states=unfinished)))
        except CogworkError:
            return True

    def _in_child(self) -> None:
        """After a fork, in the child: what would wait for threads that the child does not have says so instead."""
        self._finalizer.detach()
        self._core = self._store = _FOREIGN

    def _cog_registered(self) -> None:
        """A Labor may have waited for it (R4). Not for a worker's thread, or one that holds a lock: it reads the store."""
        if self.closed:
            return
        try:
            if _cog.any_async():
                self._async.start()
            self._core.recheck_waiting()
        except EngineClosed:
            pass
        except CogworkError as error:
            log.warning("could not look again at the Labors that wait for a Cog: %s", error)


class _Foreign:
    """Stands for the core and the store of an engine in a child that was forked off its process."""

    def __getattr__(self, name: str) -> Any:
        raise forked()


_FOREIGN: Any = _Foreign()


_LEAVING = 10.0
"""Seconds that closing waits for idle threads to end, as a loaded machine may wake them late; those that hang in a Cog are not waited for."""


class _Closer:
    """Closes an engine's core; apart from Engine, so that one that nobody holds any more can be let go of."""

    def __init__(self, core: _core.Engine, runner: AsyncRunner, store: str) -> None:
        self._core = core
        self._runner = runner
        self.store = store
        self.submits: Submits | None = None
        self._lock = threading.Lock()
        self._done = False

    def close(self, grace: float | None, interrupt: bool) -> dict[str, Any] | None:
        """Returns the report, the first time."""
        quiet = self._core.begin_close()
        interrupted: BaseException | None = None
        try:
            ended = quiet.done if interrupt else wait_for(quiet, grace)
        except BaseException as error:  # Ctrl-C while it waits: somebody wants it to end now
            interrupted, ended = error, False
        if not ended:
            self._core.interrupt_calls()
            quiet.wait(None) if interrupted is None else _wait_through(quiet)
        report = self._core.finish_close()
        self._runner.stop()
        for queue in (self._core.jobs(), self._core.checks()):
            # A thread that comes back into the core while Python ends cannot take the GIL any more, and would bring the process down.
            queue.wait_for_leavers(_LEAVING)
        if self.submits is not None:
            self.submits.join(_LEAVING)
        with self._lock:
            first, self._done = not self._done, True
        _live.discard(self)
        if interrupted is not None:
            raise interrupted
        return report if first else None


def _wait_through(completion: _core.Completion) -> None:
    """The core ends calls within its grace: more Ctrl-C does not make it faster, and must not lose what is recorded."""
    while not completion.done:
        try:
            completion.wait(None)
        except KeyboardInterrupt:
            continue


@contextlib.contextmanager
def _beside(error: BaseException | None) -> Iterator[None]:
    """While a block is left by an error, that is what its user is to see: what closing has to say goes with it as a note."""
    try:
        yield
    except (CogworkWarning, CogworkError) as other:
        if error is None:
            raise
        log.error("%s", other)
        if hasattr(error, "add_note"):  # Python 3.11
            error.add_note(f"{type(other).__name__}: {other}")


_live: set[_Closer] = set()


def _let_go(closer: _Closer) -> None:
    """Nobody holds the engine any more. This may be any thread, even one of its own inside a call: closing waits for those, so it is done
    elsewhere."""
    thread = threading.Thread(target=closer.close, args=(0.0, True), name="cogwork-closer")
    with contextlib.suppress(
        ResourceError
    ):  # where the interpreter is ending, _close_all has been, or is about to be, here
        begin(thread, "closing an engine")


def _close_all() -> None:
    """At exit, while Python still runs: after this no thread of an engine asks for the GIL."""
    said: CogworkWarning | None = None
    for closer in list(_live):
        try:
            report = closer.close(0.0, True)
            if report is not None:
                warn(*_notices.left(report, closer.store))
        except (
            CogworkWarning
        ) as error:  # warnings are errors: Python prints it when all are closed, as nobody can catch it here
            said = said or error
        except Exception:
            log.exception("closing an engine at exit failed")
    if said is not None:
        raise said


def _in_child() -> None:
    """In a forked child: its parent's engines are not its own, and must never be destroyed."""
    for closer in _live:
        closer._core.abandon()
    _live.clear()
    for engine in list(_cog.engines):
        engine._in_child()
    _cog.engines.clear()


atexit.register(settle_all)  # after the engines are closed: what is registered last comes first
atexit.register(_close_all)
os.register_at_fork(after_in_child=_in_child)

__all__ = ["Cogs", "Engine"]
