"""Waits that would never end: a call of a Cog that waits for itself, for a Labor that waits for it, or for a worker that waits for others; and a
thread that waits for what only its own event loop can do. They are an error at once; what can go on is allowed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ._cog import engines, find_cog
from ._context import Running, current
from ._errors import CogworkError
from ._model import Labor, Signal, all_jobs

if TYPE_CHECKING:
    from ._steering import Steering

Lane = tuple[Any, int]
"""The queue that plain calls come from, and how many of them run at once."""

_ENDS_CALLS = (Signal.PAUSE, Signal.ADMIN_PAUSE, Signal.CRISIS_PAUSE, Signal.STOP)
"""Signals whose acknowledgement waits for what executes."""


class _Wait:
    """A call of a Cog that waits. covers: whether what it waits for goes on until another call has ended. lanes: in which something may have to begin
    before; needs: those of them in which it must, which takes a look at the Labor."""

    def __init__(
        self,
        call: Running,
        covers: Callable[[Running], bool],
        lanes: tuple[Lane, ...] = (),
        needs: Callable[[], tuple[Lane, ...]] = tuple,
    ) -> None:
        self.call = call
        self.covers = covers
        self._lanes = lanes
        self._needs = needs
        self._known: tuple[Lane, ...] | None = None

    def lacks(self, taken: list[_Wait]) -> bool:
        """Whether a lane that it needs is full of these."""

        def is_full(lane: Lane) -> bool:
            queue, places = lane
            return sum(wait.call.lane is queue for wait in taken) >= places

        if not any(map(is_full, self._lanes)):
            return False
        if self._known is None:
            self._known = self._needs()
        return any(map(is_full, self._known))


_lock = threading.Lock()
_waits: list[_Wait] = []


@contextlib.contextmanager
def for_labor(steering: Steering, id: str, blocks: bool, bounded: bool = False) -> Iterator[None]:
    """While a thread, or with blocks=False a task, waits for the end of a Labor. bounded: not for ever, so it may wait for what it holds up itself for
    that long. CogworkError where it would never end."""
    call = current.get()
    if call is not None and call.call.labor_id == id:
        raise CogworkError(f"this call waits for itself: it is a call of the Labor {id}, which ends after it")
    if blocks and _runner_here(steering) is not None:
        _check_loop(steering.read_labor(id, False).cogs, f"the end of Labor {id}")
    if call is None or bounded:
        yield
        return

    def covers(other: Running) -> bool:
        return other.call.labor_id == id

    with _registered(_Wait(call, covers, _lanes(steering), lambda: _needed(steering, steering.read_labor(id)))):
        yield


def before_run(steering: Steering, labor: Labor) -> None:
    """Before a Labor is submitted to be waited for: CogworkError where that would never end. Nothing is submitted then."""
    if _runner_here(steering) is not None:
        _check_loop({job.cog_path for job in all_jobs(labor)}, "the Labor")
    if (call := current.get()) is not None:
        with _registered(_Wait(call, lambda _: False, _lanes(steering), lambda: _needed(steering, labor))):
            pass


@contextlib.contextmanager
def for_ack(steering: Steering, id: str, signal: Signal, bounded: bool = False) -> Iterator[None]:
    """While somebody waits for what executes in a Labor, Task or Sequence to end, by a signal."""
    call = current.get()
    if call is None or signal not in _ENDS_CALLS:
        yield
        return

    def covers(other: Running) -> bool:
        labor = id[:-8] + "00000000"
        if other.call.labor_id != labor:
            return False
        return id == labor or _holds(steering.read_labor(labor), id, other.call.job_id)

    if covers(call):
        raise CogworkError(
            f"this call waits for itself: {signal.name} of {id} is done when nothing executes any more, this call included"
        )
    if bounded:
        yield
        return
    with _registered(_Wait(call, covers)):
        yield


def check_latch(holds: Callable[[str], bool]) -> None:
    """Before somebody waits until nothing executes any more under a latch. holds: whether that is on a Labor."""
    call = current.get()
    if call is not None and holds(call.call.labor_id):
        raise CogworkError(
            "this call waits for itself: its Labor is under the latch, and goes on until this call has ended"
        )


def stands_still(steering: Steering, id: str) -> bool:
    """Whether a Labor needs an event loop that does not run: one that an engine was given."""
    runner = getattr(_engine_here(steering), "_async", None)
    return runner is not None and runner.stands_still and _calls_async(steering.read_labor(id, False).cogs)


def check_close(steering: Steering, blocks: bool = True) -> None:
    """Before an engine is closed and its calls are waited for, by a thread, or with blocks=False by a task."""
    call = current.get()
    if call is not None and call.lane is not None and call.lane in _queues(steering):
        raise CogworkError(
            "this call waits for itself: it is a call of the engine that it closes, which would wait for it; close(interrupt=True) does not"
        )
    runner = _runner_here(steering) if blocks else None
    if runner is None:
        return
    steering._core.begin_close()  # from here on nothing begins
    steering.stats()
    if runner.busy:
        raise CogworkError(
            "this call waits for itself: it blocks the event loop in which async Cogs of this engine run, which closing waits for. Nothing begins "
            "any more; `async with`, or await asyncio.to_thread(engine.close), closes it"
        )


def _check_loop(cogs: Iterable[str], what: str) -> None:
    if _calls_async(cogs):
        raise CogworkError(
            f"this call waits for itself: it blocks the event loop in which async Cogs of this engine run, and {what} needs them; "
            "use `await engine.asubmit(labor)` and `await handle`"
        )


def _calls_async(cogs: Iterable[str]) -> bool:
    return any(cog.is_async for name in cogs if (cog := find_cog(name)) is not None)


def _engine_here(steering: Steering) -> Any:
    """The engine of this process that runs what is in the store: itself, or the one that a Client reaches. None where another process has it."""
    if hasattr(steering, "_queues"):
        return steering
    if not engines:
        return None
    store = steering.store.identity()
    return next((engine for engine in list(engines) if not engine.closed and engine.store.identity() == store), None)


def _runner_here(steering: Steering) -> Any:
    """Who runs the async Cogs of an engine, if that is done in this very thread."""
    runner = getattr(_engine_here(steering), "_async", None)
    return runner if runner is not None and runner.here else None


def _queues(steering: Steering) -> tuple[Any, ...]:
    return getattr(_engine_here(steering), "_queues", ())


def _lanes(steering: Steering) -> tuple[Lane, ...]:
    """Where plain calls of an engine in this process begin: those of Jobs, and those of checks."""
    workers: int = getattr(_engine_here(steering), "_workers", 0)
    return tuple((queue, workers) for queue in _queues(steering)[:2])


def _needed(steering: Steering, labor: Labor) -> tuple[Lane, ...]:
    """The lanes in which plain calls of a Labor begin."""
    of_jobs = (job for task in labor.tasks for sequence in task.sequences for job in sequence.jobs)
    of_checks = (job for task in labor.tasks for job in (*task.pre_checks, *task.cont_checks))
    return tuple(
        lane
        for lane, jobs in zip(_lanes(steering), (of_jobs, of_checks), strict=False)
        if any((cog := find_cog(job.cog_path)) is not None and not cog.is_async for job in jobs)
    )


def _holds(labor: Labor, id: str, job_id: str) -> bool:
    """Whether a Task or Sequence of that id holds the Job."""
    for task in labor.tasks:
        jobs = [*task.pre_checks, *task.cont_checks] if task.id == id else []
        for sequence in task.sequences:
            if id in (task.id, sequence.id):
                jobs += sequence.jobs
        if any(job.id == job_id for job in jobs):
            return True
    return False


@contextlib.contextmanager
def _registered(wait: _Wait) -> Iterator[None]:
    with _lock:
        _waits.append(wait)
    try:
        if _is_stuck(wait):
            raise CogworkError(
                "this call waits for itself: what it waits for needs a worker, and all workers of its engine would wait, this one included - "
                "Engine(workers=...) - or it waits, by way of other calls, for this one"
            )
        yield
    finally:
        with _lock:
            _waits.remove(wait)


def _is_stuck(wait: _Wait) -> bool:
    """Whether a wait can never end, as far as only calls that wait hold it up. A wait can, if none of the calls that it waits for waits, and each lane
    that it needs has a place which no such call has."""
    with _lock:
        stuck = list(_waits)
    while wait in stuck:
        rest = [one for one in stuck if any(one.covers(other.call) for other in stuck) or one.lacks(stuck)]
        if len(rest) == len(stuck):
            return True
        stuck = rest
    return False
