"""Who runs the calls: Python threads for plain Cogs, an asyncio loop for async ones. Both pull from the core's queues, so no thread of
the core ever waits for the GIL (docs/internals/threads.md)."""

from __future__ import annotations

import asyncio
import itertools
import threading
import traceback
from types import CoroutineType
from typing import Any

from . import _core
from ._codec import encoder
from ._cog import _Cog, find_cog
from ._context import Context, Running, current
from ._errors import NoRetry
from ._model import AttemptStatus

_SUCCESS = int(AttemptStatus.SUCCESS)
_FAILURE = int(AttemptStatus.FAILURE)
_NO_RETRIES = int(AttemptStatus.FAILURE_NO_RETRIES)
_CUT = 1
_REPR = 2
_NIL = encoder.encode(None)

Answer = tuple[int, "bytes | None", str, int]
"""Status, output as msgpack, error, marks."""

_thread_numbers = itertools.count(1)


class Runner:
    """Turns calls into answers. It holds no engine, so that an engine that nobody uses any more can be let go of."""

    def __init__(self, max_output: int) -> None:
        self.max_output = max_output

    # ---- plain Cogs, in threads ----

    def start_thread(self, queue: _core.PullQueue) -> None:
        thread = threading.Thread(
            target=self._work, args=(queue,), name=f"cogwork-worker-{next(_thread_numbers)}", daemon=True
        )
        thread.start()

    def _work(self, queue: _core.PullQueue) -> None:
        queue.enter()
        try:
            take = queue.next
            finish = queue.finish
            while (taken := take()) is not None:
                call, name, args, grow = taken
                if grow:
                    try:
                        self.start_thread(queue)
                    except RuntimeError:  # no more threads to be had: those that there are go on
                        queue.not_grown()
                running = Running(queue, call)
                token = current.set(running)
                try:
                    status, output, error, marks = self._run(running, name, args)
                finally:
                    current.reset(token)
                log = running.log.text() if running.log is not None else ""
                finish(call, status, output, error, log, marks)
                del call, taken, running, output  # nothing of a call outlives it in an idle thread
        finally:
            queue.leave()

    def _run(self, running: Running, name: str, args: bytes) -> Answer:
        try:
            cog = find_cog(name)
            if cog is None:
                return _NO_RETRIES, None, f"cog {name!r} is not registered in this process", 0
            binding = cog.binding
            positional, keywords = binding.arguments(binding.decode(args))
            if binding.takes_context:
                result = cog.function(Context(running), *positional, **keywords)
            else:
                result = cog.function(*positional, **keywords)
        except NoRetry as error:
            return self._failed(_NO_RETRIES, error)
        except BaseException as error:  # SystemExit and KeyboardInterrupt in a Cog are the Cog's affair
            return self._failed(_FAILURE, error)
        if type(result) is CoroutineType:
            result.close()
            return (
                _NO_RETRIES,
                None,
                f"cog {name!r} is a plain function that returned a coroutine: declare it `async def`",
                0,
            )
        return self._answer(result)

    # ---- what came out ----

    def _answer(self, result: Any) -> Answer:
        """X8: returning is SUCCESS, but exactly False is FAILURE. X9: a strange output does not undo a success."""
        if result is None:
            return _SUCCESS, None, "", 0
        if result is False:
            return _FAILURE, encoder.encode(False), "the cog returned False", 0
        marks = 0
        try:
            output = encoder.encode(result)
        except BaseException:
            marks = _REPR
            output = _encode_text(_safe_repr(result))
        if len(output) > self.max_output:
            marks |= _CUT
            output = self._cut_output(result, marks)
        return _SUCCESS, output, "", marks

    def _cut_output(self, result: Any, marks: int) -> bytes:
        room = max(0, self.max_output - 16)  # a header takes a few bytes
        if isinstance(result, (bytes, bytearray)) and not marks & _REPR:
            return encoder.encode(bytes(result[:room]))
        text = result if isinstance(result, str) and not marks & _REPR else _safe_repr(result)
        return encoder.encode(text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore"))

    def _failed(self, status: int, error: BaseException) -> Answer:
        text = _describe(error).encode("utf-8", "replace")
        if len(text) > self.max_output:
            # The end of a traceback says what happened.
            return status, None, "... " + text[-self.max_output :].decode("utf-8", "ignore"), _CUT
        return status, None, text.decode("utf-8"), 0


def _describe(error: BaseException) -> str:
    """The traceback from the Cog's own frames on."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, tb)).rstrip("\n")
    except BaseException:  # an exception whose __str__ raises, or that is too deep to format
        return f"{type(error).__name__} (it cannot be described)"


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except BaseException as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _encode_text(text: str) -> bytes:
    return encoder.encode(text.encode("utf-8", "replace").decode("utf-8"))


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
            self._thread = threading.Thread(target=self._run_loop, name="cogwork-async", daemon=True)
            self._thread.start()
        else:
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

    def _run_loop(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        loop.call_soon(self._watch)
        try:
            loop.run_forever()
        finally:
            try:
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                if tasks:
                    loop.run_until_complete(asyncio.wait(tasks, timeout=1))
                loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                loop.close()

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
        running = Running(self._queue, call, is_async=True)
        current.set(running)  # a task has a context of its own
        status, output, error, marks = await self._run(running, find_cog(name), name, args)
        log = running.log.text() if running.log is not None else ""
        self._queue.finish(call, status, output, error, log, marks)

    async def _run(self, running: Running, cog: _Cog | None, name: str, args: bytes) -> Answer:
        if cog is None:
            return _NO_RETRIES, None, f"cog {name!r} is not registered in this process", 0
        try:
            binding = cog.binding
            positional, keywords = binding.arguments(binding.decode(args))
            if binding.takes_context:
                result = await cog.function(Context(running), *positional, **keywords)
            else:
                result = await cog.function(*positional, **keywords)
        except NoRetry as error:
            return self._runner._failed(_NO_RETRIES, error)
        except asyncio.CancelledError:
            return _FAILURE, None, "cancelled", 0
        except (KeyboardInterrupt, SystemExit) as error:
            return self._runner._failed(_FAILURE, error)
        except BaseException as error:
            return self._runner._failed(_FAILURE, error)
        return self._runner._answer(result)
