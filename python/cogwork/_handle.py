"""Handles: a running Labor, Task or Sequence as somebody holds it who steers it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from . import _codec, _core, _self_wait
from ._durations import check_timeout, seconds_of
from ._errors import CogworkError, EngineClosed
from ._feed import Feed
from ._history import Moment
from ._logs import Logs
from ._model import Change, Duration, Labor, Sequence, Signal, State, Task
from ._progress import HeldJob, Progress
from ._resources import descriptors
from ._waiting import Origin, in_thread, wait_async, wait_for

if TYPE_CHECKING:
    from ._steering import Steering


_LOOP_STARTS = 1.0
"""Seconds that a loop which an engine was given may take to begin to run, when somebody waits for it."""


class Ack:
    """The acknowledgement of a signal (G1). Done when the object and all below it have finished processing it, and that is durable."""

    def __init__(
        self, core: _core.Ack, steering: Steering | None = None, id: str = "", signal: Signal | None = None
    ) -> None:
        self._core = core
        self._origin = Origin()
        self._of = None if steering is None or signal is None else (steering, id, signal)

    @property
    def done(self) -> bool:
        return self._core.done

    @property
    def state(self) -> State:
        """The state that the object was in when it was done; UNKNOWN before."""
        return State(self._core.state)

    @property
    def applied(self) -> bool:
        """Whether the signal did what it says. False before it is done."""
        return self._core.applied

    @property
    def stored(self) -> bool:
        """No engine ran, so it was stored: the next one that opens the store applies it, or records why not (R1). Or its Labor waits for
        Cogs that the engine does not know: it is applied when that is taken up (R4). It is not done, and waiting for it raises EngineClosed."""
        return bool(getattr(self._core, "stored", False))

    def wait(self, timeout: Duration | None = None) -> bool:
        """Waits until it is done; False where the time ran out. Raises EngineClosed where the engine closed before."""
        check_timeout(timeout)
        self._origin.check()
        self._check()
        with self._waiting(timeout):
            if not wait_for(self._core.completion, timeout):
                return False
        self._check()
        return True

    def _waiting(self, timeout: Duration | None) -> AbstractContextManager[None]:
        if self._of is None or self.done or timeout == 0:
            return nullcontext()
        return _self_wait.for_ack(*self._of, bounded=timeout is not None)

    def __await__(self) -> Generator[Any, None, Ack]:
        """`await ack`: the Ack itself, when it is done."""
        self._origin.check()
        self._check()
        with self._waiting(None):
            yield from wait_async(self._core.completion).__await__()
        self._check()
        return self

    def _check(self) -> None:
        if self.stored:
            raise EngineClosed(
                "no engine runs the Labor: the signal is stored, and the one that takes it up applies it, or records why not"
            )
        if self._core.closed:
            raise EngineClosed(
                "the engine closed before this signal was done; it is stored, and goes on at the next opening"
            )

    def __repr__(self) -> str:
        if not self.done:
            return "<Ack: stored for the engine that takes it up>" if self.stored else "<Ack: not done yet>"
        return f"<Ack: {'applied' if self.applied else 'not applied'}, {self.state.name}>"


class Handle:
    """What handles of Labors, Tasks and Sequences share: state, and signals. Any thread."""

    def __init__(self, engine: Steering, id: str) -> None:
        self._engine = engine
        self.id = id

    @property
    def state(self) -> State:
        """The engine's state at once; what is read and watched is what is durable (G1)."""
        return State(self._engine._core.state(self.id))

    def pause(self, *, by: str | None = None, note: str = "") -> Ack:
        """Nothing new begins; PAUSED when nothing executes any more (G4). RESUME goes on."""
        return self._engine.signal(self.id, Signal.PAUSE, by=by, note=note)

    def admin_pause(self, *, by: str | None = None, note: str = "") -> Ack:
        """A pause of a higher rank: only admin_resume releases it (G5)."""
        return self._engine.signal(self.id, Signal.ADMIN_PAUSE, by=by, note=note)

    def crisis_pause(self, *, by: str | None = None, note: str = "") -> Ack:
        """A pause of the highest rank: only crisis_resume releases it (G5)."""
        return self._engine.signal(self.id, Signal.CRISIS_PAUSE, by=by, note=note)

    def resume(self, *, by: str | None = None, note: str = "") -> Ack:
        """Releases the own pause of `pause` (G5a)."""
        return self._engine.signal(self.id, Signal.RESUME, by=by, note=note)

    def admin_resume(self, *, by: str | None = None, note: str = "") -> Ack:
        """Releases the own pause of `admin_pause`, and of pause_on_entry."""
        return self._engine.signal(self.id, Signal.ADMIN_RESUME, by=by, note=note)

    def crisis_resume(self, *, by: str | None = None, note: str = "") -> Ack:
        """Releases the own pause of `crisis_pause`."""
        return self._engine.signal(self.id, Signal.CRISIS_RESUME, by=by, note=note)

    def stop(self, interrupt: bool = False, *, by: str | None = None, note: str = "") -> Ack:
        """Nothing new begins; ends when what executes has ended (G6). interrupt: that is asked to end too (G3a)."""
        return self._engine.signal(self.id, Signal.STOP, interrupt=interrupt, by=by, note=note)

    def __repr__(self) -> str:
        try:
            state = self.state.name
        except Exception:
            state = "engine closed"
        return f"<{type(self).__name__} {self.id} {state}>"


class SequenceHandle(Handle):
    """A Sequence of a running Labor."""

    def read(self) -> Sequence:
        """The Sequence as it is stored, without its Jobs."""
        return self._engine.read_sequence(self.id)

    def _repr_html_(self) -> str:
        with descriptors("what shows it"):
            from ._notebook import sequence_handle_html

        return sequence_handle_html(self)


class TaskHandle(Handle):
    """A Task of a running Labor."""

    def read(self) -> Task:
        """The Task as it is stored, without what is below it."""
        return self._engine.read_task(self.id)

    def sequence(self, target: str) -> SequenceHandle:
        """The Sequence of that target (or name), with the same signals. NotFound says which there are."""
        return SequenceHandle(self._engine, self._engine._core.find_task(self.id, target))

    def _repr_html_(self) -> str:
        with descriptors("what shows it"):
            from ._notebook import task_handle_html

        return task_handle_html(self)


class LaborHandle(Handle):
    """A Labor in an engine. `await handle` is the Labor as it ended."""

    def read(self, full: bool = True) -> Labor:
        """The Labor as it is stored: a copy (T1)."""
        return self._engine.read_labor(self.id, full)

    def task(self, name: str) -> TaskHandle:
        """The Task of that name, with the same signals. NotFound says which there are."""
        return TaskHandle(self._engine, self._engine._core.find_task(self.id, name))

    def start(self, *, by: str | None = None, note: str = "") -> LaborHandle:
        """Runs a Labor that was submitted with start=False (S6). Durable when it returns."""
        pending = self._engine._core.start(self.id, _codec.by_whom(by), _codec.text_of(note, "note"))
        wait_for(pending.completion)
        pending.result()
        return self

    def wait(self, timeout: Duration | None = None) -> Labor:
        """Waits for its end and returns the Labor. TimeoutError where the time ran out; EngineClosed where the engine closed."""
        check_timeout(timeout)
        end = self._engine._core.end_of(self.id)
        if not end.completion.done and timeout != 0:
            with _self_wait.for_labor(self._engine, self.id, blocks=True, bounded=timeout is not None):
                self._wait_for(end.completion, timeout)
        if not end.completion.done:
            raise TimeoutError(self._unended(timeout))
        self._check(end)
        return self.read()

    def _unended(self, timeout: Duration | None) -> str:
        state = self.state
        if not state.ended:
            return f"Labor {self.id} has not ended within {timeout}; it is {state.name}"
        why = self._engine.stats().degraded_reason
        return f"Labor {self.id} is {state.name}, and that was not recorded within {timeout}{': ' + why if why else ''}"

    def _wait_for(self, completion: _core.Completion, timeout: Duration | None) -> None:
        if _self_wait.stands_still(self._engine, self.id):
            first = _LOOP_STARTS if timeout is None else min(_LOOP_STARTS, seconds_of(timeout))
            if not wait_for(completion, first) and _self_wait.stands_still(self._engine, self.id):
                raise CogworkError(
                    f"Labor {self.id} does not end: the event loop that Engine(loop=...) was given does not run, so none of its async Cogs is called"
                )
        wait_for(completion, timeout)

    def __await__(self) -> Generator[Any, None, Labor]:
        return self._ended().__await__()

    async def _ended(self) -> Labor:
        end = await in_thread(self._engine._core.end_of, self.id)
        with _self_wait.for_labor(self._engine, self.id, blocks=False):
            await wait_async(end.completion)
        self._check(end)
        labor: Labor = await in_thread(self.read)
        return labor

    def _check(self, end: _core.LaborEnd) -> None:
        if end.closed:
            raise EngineClosed(
                f"the engine closed before Labor {self.id} ended; it is stored, and goes on when an engine opens the store again"
            )

    def changes(self, since: int | None = None) -> Changes:
        """Every change of state from now on, or after the change numbered `since`; ends with the Labor. For `for` and `async for`."""
        return self._engine.changes(self.id, since)

    def logs(self, since: int | None = 0) -> Logs:
        """What its Cogs say, line by line, while they run; ends with the Labor. For `for` and `async for`.

        since: the number of a line, to go on behind it; 0: from the first that is still kept; None: from now. Only the engine that runs the
        Labor has them, while it does, and of the last 16 Labors that ended; what an attempt keeps for good is its `log`. No Cog ever waits for a reader (`Logs.missed`,
        `LogLine.dropped`).
        """
        return Logs(self._engine._core.logs(self.id, _codec.since_of(since)))

    def at(self, when: Moment) -> Labor:
        """The Labor as it stood at an aware datetime, or right after the change of that number (D7). Raises ValueError where the datetime has
        no time zone, or there was no such Labor or change yet."""
        return self._engine.at(self.id, when)

    def progress(self) -> Progress:
        """How far it is, what is in flight, what was lost, and why nothing moves if nothing does."""
        return self._engine._progress(self.id)

    def held(self) -> list[HeldJob]:
        """Its Jobs that must be decided before it goes on (R2), in the order of the tree; at most 100. `engine.decide(job_id, ...)`."""
        return self.progress().held

    def watch(self) -> Labor:
        """A live display until it ends; then the Labor. Ctrl-C ends the display and raises KeyboardInterrupt; the Labor goes on."""
        with descriptors("a display"):
            from . import _display, _notebook

        watch = _notebook.watch if _notebook.at_hand() else _display.watch
        if self.state.ended:
            return watch(self)
        with _self_wait.for_labor(self._engine, self.id, blocks=True):
            return watch(self)

    def _repr_html_(self) -> str:
        with descriptors("what shows it"):
            from ._notebook import handle_html

        return handle_html(self)


class Changes(Feed[Change]):
    """Changes, one after another, as they become durable (D7). One reader. It ends when its Labor has ended, or the engine closes."""

    def _decode(self, piece: bytes) -> list[Change]:
        return _codec.changes_decoder.decode(piece)
