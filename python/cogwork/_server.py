"""A process of its own for Cogs: reads requests, calls, answers (C2)."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import faulthandler
import io
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from ._calling import FAILURE, NO_RETRIES, Answer, Caller
from ._codec import encodable
from ._cog import _Cog
from ._cog_protocol import (
    MOST_CONCURRENCY,
    MOST_OUTPUT,
    PROTOCOL,
    Broken,
    Called,
    Cancel,
    Describe,
    Execute,
    Frames,
    Message,
    Outbox,
    Request,
    Served,
    Shutdown,
    Strange,
    Validate,
    args_of,
    frame,
    read_request,
)
from ._context import install_logging
from ._errors import CogError, ResourceError
from ._forked import leave
from ._loops import CallTask, Loops
from ._model import did_you_mean
from ._turns import Turns

_MOST_READ = 64 * 1024
Ready = tuple[Served, _Cog, bytes]
"""A call that may begin, its Cog, and its args."""

_NEVER_BEGUN: Answer = (FAILURE, None, "cancelled before it began", 0)

_VALIDATING = 16


class Server:
    """Threads: the main one waits for the end; one reads, and others take over while it calls a plain Cog; one sends what the socket does
    not take at once; one calls all async Cogs."""

    def __init__(
        self, sock: socket.socket, cogs: dict[str, _Cog], offers: dict[str, Message], concurrency: int | None
    ) -> None:
        self._sock = sock
        self._cogs = cogs
        self._offers = offers
        self._caller = Caller(MOST_OUTPUT, around=2)  # a result in its message
        self._outbox = Outbox(sock, lambda: leave(1, traceback.format_exc()))
        # Reentrant puts: a signal's handler may interrupt anything.
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._most = concurrency or MOST_CONCURRENCY
        self._turns = Turns(sock, self._serve, self._most)
        # Of the thread whose turn it is.
        self._bytes = memoryview(bytearray(_MOST_READ))
        self._frames = Frames()
        self._validating = concurrent.futures.ThreadPoolExecutor(_VALIDATING, "cogwork-validate")
        self._loops: Loops | None = None
        self._lock = threading.Lock()
        self._calls: dict[int, Served] = {}
        # For a place, of which there are _most, or a thread.
        self._waiting: collections.deque[Ready] = collections.deque()
        self._busy = 0
        self._ending = False

    def run(self, version: str | None) -> None:
        """Until the engine wants it to end, and what runs has ended. Where the engine is gone it does not return: it leaves."""
        hello = {"op": "hello", "protocol": PROTOCOL, "version": version, "cogs": list(self._offers.values())}
        try:
            frame(hello)
        except Exception as error:
            raise CogError(f"the Cogs cannot be told of: {error}") from None
        install_logging()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # a line is to be with its attempt
        if sys.stderr is not None and not faulthandler.is_enabled():
            with contextlib.suppress(OSError, ValueError, AttributeError):
                faulthandler.enable()  # says where, if a Cog brings the process down
        # Not SIG_IGN, which the programs that a Cog runs would inherit.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._news.put("TERM"))
        forks = _Forks(self._outbox)
        os.register_at_fork(before=forks.begin, after_in_parent=forks.end, after_in_child=forks.in_child)
        self._outbox.start()
        self._outbox.send(hello)
        self._turns.start()
        while self._news.get() != "over":
            self._end()
            with self._lock:
                running = list(self._calls)
            for id in running:
                self._cancel(id)
        self._validating.shutdown()
        if self._loops is not None:
            self._loops.stop()
        self._outbox.close()

    # ---- reading ----

    def _serve(self) -> None:
        """Each of the threads that take turns."""
        try:
            my_turn = self._turns.wait()
            while True:
                if (ready := self._next()) is not None:
                    if self._waiting and self._busy < self._most:
                        self._turns.wake()
                    my_turn = not self._turns.leave(my_turn)
                    if my_turn:
                        self._put_back(ready)  # it waits for one of the threads that there are
                        self._turns.wake()
                        self._read()
                    else:
                        self._call(ready)
                elif my_turn or self._turns.take():
                    my_turn = True
                    self._read()
                else:
                    my_turn = self._turns.wait()
        except ConnectionError:
            pass
        except Broken as error:
            leave(1, f"cogwork: what came from the engine is not of the Cog protocol: {error}\n")
        except BaseException:
            leave(1, traceback.format_exc())
        leave(0)

    def _read(self) -> None:
        size = self._sock.recv_into(self._bytes)
        if not size:
            raise ConnectionError
        for body in self._frames.feed(self._bytes[:size].tobytes()):
            self._take(read_request(body))

    def _take(self, request: Request) -> None:
        if isinstance(request, Execute):
            self._execute(request)
        elif isinstance(request, Validate):
            self._submit_validate(request)
        elif isinstance(request, Describe):
            cog = self._find(request.cog)
            self._reply(
                request.id, self._offers[cog.name] if cog else None, None if cog else self._unknown(request.cog)
            )
        elif isinstance(request, Cancel):
            self._cancel(request.of)
        elif isinstance(request, Shutdown):
            self._end()
        else:
            self._refuse(request)

    def _refuse(self, strange: Strange) -> None:
        if strange.id is None:
            print(f"cogwork: {strange.problem}", file=sys.stderr)
        elif strange.op == "execute":
            result = {"status": "FAILURE_NO_RETRIES", "error": encodable(strange.problem)}
            self._outbox.send({"id": strange.id, "result": result})
        else:
            self._reply(strange.id, None, strange.problem)

    def _reply(self, id: int, ok: Any, error: str | None) -> None:
        self._outbox.send(
            {"id": id, "ok": ok} if error is None else {"id": id, "error": encodable(error[: MOST_OUTPUT // 4])}
        )

    def _find(self, name: str | None) -> _Cog | None:
        """An empty name is that of the only one."""
        if not name:
            return next(iter(self._cogs.values())) if len(self._cogs) == 1 else None
        return self._cogs.get(name)

    def _unknown(self, name: str | None) -> str:
        names = ", ".join(self._cogs)
        if not name:
            return f"the request names no cog; there is {names}"
        return f"there is no cog {name!r} here{did_you_mean(name, list(self._cogs))}; there is {names}"

    def _validate(self, request: Validate) -> None:
        cog = self._find(request.cog)
        try:
            problem = self._unknown(request.cog) if cog is None else cog.check_packed(args_of(request))
        except BaseException as error:  # SystemExit in a validator
            problem = f"args: {type(error).__name__}: {error}"
        self._reply(request.id, None, problem)

    # ---- calls ----

    def _execute(self, request: Execute) -> None:
        cog = self._find(request.cog)
        call = Served(request.id, Called(request), self._outbox, cog is not None and cog.is_async)
        with self._lock:
            if request.id in self._calls:
                raise Broken(f"the id {request.id} is in flight already")
            self._calls[request.id] = call
            if cog is not None and not self._ending:
                self._waiting.append((call, cog, args_of(request)))
                return
        if cog is None:
            self._settle(call, (NO_RETRIES, None, self._unknown(request.cog), 0))
        else:
            self._settle(call, (FAILURE, None, "the process is ending", 0))

    def _next(self) -> Ready | None:
        """The plain call that is next, if there is a place for it. Async ones before it are begun."""
        while self._waiting:
            with self._lock:
                if not self._waiting or self._busy >= self._most:
                    return None
                self._busy += 1
                ready = self._waiting.popleft()
            if not ready[1].is_async:
                return ready
            self._begin_async(ready)
        return None

    def _put_back(self, ready: Ready) -> None:
        with self._lock:
            self._busy -= 1
            self._waiting.appendleft(ready)

    def _call(self, ready: Ready) -> None:
        call, cog, args = ready
        self._settle(call, self._caller.call(cog, call, args), began=True)

    def _submit_validate(self, request: Validate) -> None:
        """In a thread of its own kind, so that no submit waits for calls; where none is to be had, here."""
        claimed = threading.Lock()

        def work() -> None:
            if claimed.acquire(blocking=False):
                self._validate(request)

        try:
            self._validating.submit(work)
        except RuntimeError:
            work()

    def _begin_async(self, ready: Ready) -> None:
        call, cog, args = ready
        try:
            thread = self._async_loops().current
        except ResourceError as error:
            self._settle(call, (FAILURE, None, str(error), 0), began=True)
            return

        def begin() -> None:
            thread.begin(call.id, call, self._call_async(call, cog, args), lambda task: self._ended_async(call, task))

        thread.soon(begin)

    def _async_loops(self) -> Loops:
        with self._lock:
            if self._loops is None:
                loops = Loops(lambda _: None, lambda: bool(self._calls))
                loops.start()
                self._loops = loops
            return self._loops

    async def _call_async(self, call: Served, cog: _Cog, args: bytes) -> None:
        self._settle(call, await self._caller.call_async(cog, call, args), began=True)

    def _ended_async(self, call: Served, task: CallTask) -> None:
        self._settle(call, _NEVER_BEGUN, began=True)  # else it is settled
        if self._waiting:
            self._turns.wake()

    def _settle(self, call: Served, answer: Answer, began: bool = False) -> None:
        """The first answer of a call is its result. began: it has had a place, which is free now."""
        with self._lock:
            if self._calls.pop(call.id, None) is None:
                return
            if began:
                self._busy -= 1
            self._outbox.finish(call, answer)  # before anybody may find that nothing runs any more
            over = self._ending and not self._calls
        if over:
            self._news.put("over")

    # ---- ends ----

    def _cancel(self, id: int) -> None:
        with self._lock:
            call = self._calls.get(id)
            waiting = next((waiting for waiting in self._waiting if waiting[0] is call), None)
            if waiting is not None:
                self._waiting.remove(waiting)
        if call is None:
            return  # it has ended meanwhile
        call.ask_to_end()
        if waiting is not None:
            self._settle(call, _NEVER_BEGUN)
        elif call.is_async and self._loops is not None:
            self._loops.cancel(id)

    def _end(self) -> None:
        """What runs may end; then the process does."""
        with self._lock:
            self._ending = True
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        with self._lock:
            over = self._ending and not self._calls
        if over:
            self._news.put("over")


class _Forks:
    """A child that a Cog forks off is not this server, and ends as any process does - also by a TERM that comes while it begins, which
    Python would forget."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._thread = threading.local()

    def begin(self) -> None:
        self._thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def end(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._thread.mask)

    def in_child(self) -> None:
        self._outbox.forget()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.end()
