"""Who runs the calls: Python threads for plain Cogs, an asyncio loop for async ones. Both pull from the core's queues, so no thread of
the core ever waits for the GIL (docs/internals/threads.md)."""

from __future__ import annotations

import asyncio
import itertools
import select
import threading

from . import _core
from ._calling import NO_RETRIES, Answer, Caller
from ._cog import find_cog
from ._context import CallLog, Running
from ._errors import CogworkError, ResourceError
from ._loops import Calls, CallTask, Loops
from ._model import AttemptStatus
from ._resources import start_thread

_thread_numbers = itertools.count(1)
# A call may log from any of its threads, and so may what is collected as garbage meanwhile.
_logging = threading.RLock()
_WITHDRAWN = int(AttemptStatus.WITHDRAWN)


class _Pulled(Running):
    """A call from one of the core's queues."""

    __slots__ = ("_call", "_log", "_queue")

    def __init__(self, queue: _core.PullQueue, call: _core.Call, is_async: bool = False) -> None:
        super().__init__(call, is_async)
        self._call = call
        self._queue = queue
        self._log: CallLog | None = None

    @property
    def lane(self) -> _core.PullQueue:
        return self._queue

    def add_log(self, line: str) -> None:
        with _logging:
            if self._log is None:
                self._log = CallLog()
            self._log.add(line)
        self._queue.log(self._call, line)  # and to those who watch

    def begun(self) -> None:
        """The Cog is called now: its time-out counts from here."""
        self._call.begun()

    @property
    def cancelled(self) -> bool:
        return self._call.cancelled

    def progress(self, fraction: float, message: str) -> None:
        self._queue.progress(self._call, fraction, message)

    def sleep(self, seconds: float) -> bool:
        return self._queue.sleep(self._call, seconds)

    def finish(self, answer: Answer) -> None:
        status, output, error, marks = answer
        self.end_printed()
        log = ""
        if self._log is not None:
            with _logging:
                log = self._log.take()
        self._queue.finish(self._call, status, output, error, log, marks)

    def ended(self, task: CallTask) -> None:
        """Its task has. One that was cancelled before its first step has not called the Cog."""
        if task.cancelled():
            self._queue.finish(self._call, _WITHDRAWN, None, "", "", 0)


class Runner(Caller):
    """Threads for plain Cogs. It holds no engine, so that an engine that nobody uses any more can be let go of."""

    def start_thread(self, queue: _core.PullQueue) -> None:
        """Raises ResourceError."""
        start_thread(f"cogwork-worker-{next(_thread_numbers)}", self._work, queue)

    def _work(self, queue: _core.PullQueue) -> None:
        queue.enter()
        try:
            take = queue.next
            while (taken := take()) is not None:
                call, name, args, grow = taken
                if grow:
                    try:
                        self.start_thread(queue)
                    except ResourceError:  # those that there are go on
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
    """Runs async Cogs on an event loop: one of its own, which starts with the first of them, or one that was given."""

    def __init__(self, runner: Runner, queue: _core.PullQueue, loop: asyncio.AbstractEventLoop | None) -> None:
        self._runner = runner
        self._queue = queue
        self._given = None if loop is None else Calls(loop)
        self._loops: Loops | None = None
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._over = False

    @property
    def here(self) -> bool:
        """Whether the caller is in the thread of its loop, and that runs."""
        given, loops = self._given, self._loops
        if given is not None:
            return asyncio._get_running_loop() is given.loop
        return loops is not None and loops.here

    @property
    def busy(self) -> bool:
        """Whether calls are on its loop, or wait for it."""
        given, loops = self._given, self._loops
        calls = given if given is not None else loops.current if loops is not None else None
        return calls is not None and (bool(calls.tasks) or self._waits())

    @property
    def stands_still(self) -> bool:
        """Whether the loop that was given does not run, and so calls nothing."""
        given = self._given
        return given is not None and not given.loop.is_running()

    def start(self) -> None:
        """Idempotent; called when the first async Cog is about to be needed. Raises ResourceError where there is no thread or descriptor to be
        had; it may be called again then."""
        with self._lock:
            if self._fd is not None or self._over:
                return
            self._fd = self._queue.fileno()
            try:
                if self._given is not None:
                    try:
                        self._given.soon(self._attach, self._given)
                    except RuntimeError:
                        raise CogworkError(
                            "the event loop that Engine(loop=...) was given is closed: no async Cog can be called"
                        ) from None
                else:
                    loops = Loops(self._attach, self._waits)
                    loops.start()
                    self._loops = loops
            except BaseException:
                self._fd = None
                self._queue.let_go_of_fd()
                raise

    def stop(self) -> None:
        """After the queue was closed. Does not wait for tasks that swallow their cancellation."""
        with self._lock:
            over, self._over = self._over or self._fd is None, True
            if self._fd is None:
                self._given = self._loops = None
        if over:
            return
        if self._loops is not None:
            self._loops.stop()
            self._let_go()
        elif self._given is not None:
            try:
                self._given.soon(self._end, self._given)
            except RuntimeError:  # the loop that was given is closed already
                self._let_go()

    def _let_go(self) -> None:
        """Nothing watches its queue any more. A loop that is kept keeps its descriptors."""
        with self._lock:
            self._fd = self._given = self._loops = None
        self._queue.let_go_of_fd()

    def _attach(self, calls: Calls) -> None:
        """In the loop's thread: it takes what comes, from now on."""
        if (fd := self._fd) is not None:
            calls.loop.add_reader(fd, self._drain, calls)
        self._drain(calls)

    def _end(self, calls: Calls) -> None:
        if self._fd is not None:
            calls.loop.remove_reader(self._fd)
        self._let_go()
        calls.cancel_all()

    def _waits(self) -> bool:
        if (fd := self._fd) is None:
            return False
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    def _drain(self, calls: Calls) -> None:
        loops = self._loops
        if loops is not None and loops.current is not calls:
            if self._fd is not None:
                calls.loop.remove_reader(self._fd)  # another one has taken its place
            return
        taken, cancelled = self._queue.drain()
        for call, name, args in taken:
            running = _Pulled(self._queue, call, is_async=True)
            calls.begin(call.key, running, self._call(running, name, args), running.ended)
        for key in cancelled:
            if key in calls.tasks or loops is None:
                calls.cancel(key)
            else:
                loops.cancel(key)

    async def _call(self, running: _Pulled, name: str, args: bytes) -> None:
        running.begun()
        cog = find_cog(name)
        running.finish(_unknown(name) if cog is None else await self._runner.call_async(cog, running, args))
