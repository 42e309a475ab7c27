"""The event loop that async Cogs are called on: a thread of its own, in which nothing that one of them does ends it for the others."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterable
from types import FrameType
from typing import Any

from ._context import Running, current
from ._errors import ResourceError
from ._resources import begin, new_event_loop

log = logging.getLogger("cogwork.engine")

_BEAT = 2.0
"""Seconds from one look at a loop that has something to do to the next."""
_BLOCKED = 5.0
"""Seconds that a loop may take to come round before another takes its place."""
_LEAVING = 5.0
"""Seconds that closing waits for a loop's thread."""

_REFUSED = ("stop", "close", "shutdown_asyncgens", "shutdown_default_executor")
"""What would end a loop for everybody who is on it."""

_numbers = itertools.count(1)


class CallTask(asyncio.Task[None]):
    """Runs the call of an async Cog. Other calls cannot cancel it: `for task in asyncio.all_tasks(): task.cancel()` is an error there."""

    def __init__(self, work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, running: Running) -> None:
        super().__init__(work, loop=loop)
        self._running = running
        running.task = self

    def cancel(self, msg: Any = None) -> bool:
        asking = current.get()
        if asking is not None and asking is not self._running:
            raise RuntimeError("this task is another call of a Cog; a Cog cancels the tasks that it has made itself")
        return super().cancel(msg)


class Calls:
    """The calls on one event loop. `begin` and `cancel` are for the loop's own thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.tasks: dict[int, CallTask] = {}

    def soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Calls back in the loop's thread, outside of any Cog's context. Any thread. RuntimeError where the loop is closed."""
        self.loop.call_soon_threadsafe(callback, *args, context=contextvars.Context())

    def begin(
        self, key: int, running: Running, work: Coroutine[Any, Any, None], ended: Callable[[CallTask], None]
    ) -> None:
        """Runs it in a task, with context variables of its own."""
        task = contextvars.Context().run(CallTask, work, self.loop, running)
        self.tasks[key] = task
        task.add_done_callback(lambda _: self._ended(key, task, ended), context=contextvars.Context())

    def _ended(self, key: int, task: CallTask, ended: Callable[[CallTask], None]) -> None:
        del self.tasks[key]
        ended(task)

    def cancel(self, key: int) -> None:
        if (task := self.tasks.get(key)) is not None:
            task.cancel()

    def cancel_all(self) -> None:
        for task in self.tasks.values():
            task.cancel()


class LoopThread(Calls):
    """A loop of cogwork's own, and its thread."""

    def __init__(self) -> None:
        self._over = False
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name=f"cogwork-async-{next(_numbers)}", daemon=True)
        loop = new_event_loop()
        try:
            super().__init__(loop)
            self._stop = loop.stop
            for name in _REFUSED:
                setattr(loop, name, _refusal(name))
        except BaseException:  # a signal's handler may raise anywhere
            self._release(loop)
            loop.close()
            raise

    def start(self) -> None:
        """Raises ResourceError where there is no thread to be had."""
        begin(self._thread, "async Cogs")

    def give_up(self) -> None:
        """Ends it, whether it has begun or not."""
        if self.alive:
            with contextlib.suppress(RuntimeError):
                self.soon(self.end)
        else:
            self._release(self.loop)
            self.loop.close()

    def end(self) -> None:
        """In the loop's thread: it ends, and what is on it is cancelled. Tasks that swallow that are not waited for."""
        self._over = True
        self._stop()

    def leave(self) -> None:
        """In the loop's thread: it ends when the calls that are on it have."""
        self._leaving = True
        self._look()

    def _ended(self, key: int, task: CallTask, ended: Callable[[CallTask], None]) -> None:
        super()._ended(key, task, ended)
        self._look()

    def _look(self) -> None:
        if self._leaving and not self.tasks:
            self.end()

    def join(self) -> None:
        """Waits for its thread, but not for long: it may hang in a Cog."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_LEAVING)

    @property
    def alive(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    @property
    def here(self) -> bool:
        """Whether the caller is in its thread."""
        return self._thread is threading.current_thread()

    def stack(self) -> list[FrameType]:
        """What its thread does now, the innermost frame last."""
        frames = []
        frame = sys._current_frames().get(self._thread.ident or 0)
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        return frames[::-1]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._over:
            try:
                self.loop.run_forever()
            except (
                BaseException
            ) as error:  # SystemExit, KeyboardInterrupt: asyncio lets them out of tasks and callbacks
                _blame(error)
        self._release(self.loop)
        with contextlib.suppress(Exception):
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=1))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        with contextlib.suppress(Exception):
            self.loop.close()

    @staticmethod
    def _release(loop: asyncio.AbstractEventLoop) -> None:
        for name in _REFUSED:
            with contextlib.suppress(AttributeError):
                delattr(loop, name)


class Loops:
    """The loop that calls begin on; another takes its place where a Cog blocks it. attach: tells where from now on, in that loop's thread.
    waits: whether there is something that the loop is to do."""

    def __init__(self, attach: Callable[[LoopThread], None], waits: Callable[[], bool]) -> None:
        self._attach = attach
        self._waits = waits
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[LoopThread] = []
        self._came_round = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="cogwork-async-beat", daemon=True)

    @property
    def current(self) -> LoopThread:
        return self._threads[-1]

    @property
    def here(self) -> bool:
        """Whether the caller is in one of their threads."""
        return any(thread.here for thread in self._threads)

    def start(self) -> None:
        """Raises ResourceError where there are no threads to be had."""
        try:
            self._add()
            begin(self._beats, "async Cogs")
        except BaseException:
            self.stop()
            raise

    def _add(self) -> None:
        before = self._all()
        others = [other for other in before if other.alive]
        thread = LoopThread()
        try:
            with self._lock:
                self._threads = [*others, thread]
            thread.start()
            thread.soon(self._attach, thread)
        except BaseException:
            with self._lock:
                self._threads = before
            thread.give_up()
            raise

    def cancel(self, key: int) -> None:
        """Any thread."""
        for thread in self._all():
            with contextlib.suppress(RuntimeError):  # that loop is over, and what was on it, too
                thread.soon(thread.cancel, key)

    def stop(self) -> None:
        """Ends them, and waits for the thread of the current one."""
        self._over.set()
        self._came_round.set()
        threads = self._all()
        for thread in threads:
            with contextlib.suppress(RuntimeError):
                thread.soon(thread.end)
        for thread in threads[-1:]:
            thread.join()
        if self._beats.is_alive() and self._beats is not threading.current_thread():
            self._beats.join(_LEAVING)

    def _all(self) -> list[LoopThread]:
        with self._lock:
            return list(self._threads)

    # ---- a loop that a Cog blocks ----

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            thread = self.current
            if not thread.tasks and not self._waits():
                continue
            self._came_round.clear()
            with contextlib.suppress(RuntimeError):
                thread.soon(self._came_round.set)
            if not (self._came_round.wait(_BLOCKED) or self._over.is_set()):
                self._replace(thread)

    def _replace(self, thread: LoopThread) -> None:
        stack = thread.stack()
        text = f"an async Cog blocks the event loop for {_BLOCKED:g} s and more; what blocks belongs in a plain function. It is here:\n"
        text += "".join(traceback.format_list(traceback.StackSummary.extract((f, f.f_lineno) for f in stack[-8:])))
        if (running := _running_of(stack)) is not None:
            call = running.call
            text = f"{call.labor_name!r}, target {call.target!r}: {text}"
            running.add_log(text)
        log.warning("%sCalls that begin now go on another loop.", text)
        try:
            self._add()
        except ResourceError as error:
            log.error("the event loop of async Cogs is blocked, and no other takes its place: %s", error)
            return
        with contextlib.suppress(RuntimeError):
            thread.soon(thread.leave)


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        error = RuntimeError(f"loop.{name}() would end the event loop of all async Cogs; a Cog does not call it")
        if (running := current.get()) is not None:
            running.blame(error)
        raise error

    return refuse


def _blame(error: BaseException) -> None:
    """Fails the call whose task or callback raised what ends a loop."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    running = _running_of(frames)
    what = f"a task or callback raised {type(error).__name__}, which would have ended the event loop of all async Cogs"
    if running is None or running.task is None or running.task.done():
        log.error("%s; the loop goes on", what, exc_info=error)
        return
    fault = RuntimeError(f"of this call {what}")
    fault.__cause__ = error
    running.blame(fault)


def _running_of(frames: Iterable[FrameType]) -> Running | None:
    """The call that these frames of a loop's thread belong to: its context is in the handle of what the loop runs."""
    found = None
    for frame in frames:
        handle = frame.f_locals.get("self")
        if isinstance(handle, asyncio.Handle):
            found = handle._context.get(current) or found  # type: ignore[attr-defined]
    return found
