"""Who runs the calls: Python threads for plain Cogs, an asyncio loop for async ones. Both pull from the core's queues, so no thread of
the core ever waits for the GIL (docs/internals/threads.md)."""

from __future__ import annotations

import asyncio
import itertools
import threading

from . import _core
from ._calling import NO_RETRIES, Answer, Caller, run_loop
from ._cog import find_cog
from ._context import CallLog, Running

_thread_numbers = itertools.count(1)


class _Pulled(Running):
    """A call from one of the core's queues."""

    __slots__ = ("_call", "_log", "_queue")

    def __init__(self, queue: _core.PullQueue, call: _core.Call, is_async: bool = False) -> None:
        super().__init__(call, is_async)
        self._call = call
        self._queue = queue
        self._log: CallLog | None = None

    def add_log(self, line: str) -> None:
        if self._log is None:
            self._log = CallLog()
        self._log.add(line)
        self._queue.log(self._call, line)  # and to those who watch

    @property
    def cancelled(self) -> bool:
        return self._call.cancelled

    def progress(self, fraction: float, message: str) -> None:
        self._queue.progress(self._call, fraction, message)

    def sleep(self, seconds: float) -> bool:
        return self._queue.sleep(self._call, seconds)

    def finish(self, answer: Answer) -> None:
        status, output, error, marks = answer
        self._queue.finish(self._call, status, output, error, self._log.take() if self._log is not None else "", marks)


class Runner(Caller):
    """Threads for plain Cogs. It holds no engine, so that an engine that nobody uses any more can be let go of."""

    def start_thread(self, queue: _core.PullQueue) -> None:
        thread = threading.Thread(
            target=self._work, args=(queue,), name=f"cogwork-worker-{next(_thread_numbers)}", daemon=True
        )
        thread.start()

    def _work(self, queue: _core.PullQueue) -> None:
        queue.enter()
        try:
            take = queue.next
            while (taken := take()) is not None:
                call, name, args, grow = taken
                if grow:
                    try:
                        self.start_thread(queue)
                    except RuntimeError:  # no more threads to be had: those that there are go on
                        queue.not_grown()
                running = _Pulled(queue, call)
                cog = find_cog(name)
                running.finish(_unknown(name) if cog is None else self.call(cog, running, args))
                del call, taken, running, args, cog  # nothing of a call outlives it in an idle thread
        finally:
            queue.leave()


def _unknown(name: str) -> Answer:
    return NO_RETRIES, None, f"cog {name!r} is not registered in this process", 0


class AsyncRunner:
    """Runs async Cogs on an event loop: its own, in a thread that starts with the first of them, or one that was given."""

    def __init__(self, runner: Runner, queue: _core.PullQueue, loop: asyncio.AbstractEventLoop | None) -> None:
        self._runner = runner
        self._queue = queue
        self._loop = loop
        self._own = loop is None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._started = False
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Idempotent; called when the first async Cog is about to be needed."""
        with self._lock:
            if self._started:
                return
            self._started = True
        if self._own:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=run_loop, args=(self._loop,), name="cogwork-async", daemon=True)
            self._thread.start()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._watch)

    def stop(self) -> None:
        """After the queue was closed. Does not wait for tasks that swallow their cancellation."""
        loop = self._loop
        if not self._started or loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._end)
        except RuntimeError:  # the loop that was given is closed already
            return
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        assert self._loop is not None
        self._loop.add_reader(self._queue.fileno(), self._drain)
        self._drain()

    def _end(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._queue.fileno())
        for task in self._tasks.values():
            task.cancel()
        if self._own:
            self._loop.stop()

    def _drain(self) -> None:
        assert self._loop is not None
        calls, cancelled = self._queue.drain()
        for call, name, args in calls:
            key = call.key
            task = self._loop.create_task(self._call(call, name, args))
            self._tasks[key] = task
            task.add_done_callback(lambda _, key=key: self._tasks.pop(key, None))  # type: ignore[misc]
        for key in cancelled:
            if (running := self._tasks.get(key)) is not None:
                running.cancel()

    async def _call(self, call: _core.Call, name: str, args: bytes) -> None:
        running = _Pulled(self._queue, call, is_async=True)
        cog = find_cog(name)
        running.finish(_unknown(name) if cog is None else await self._runner.call_async(cog, running, args))
