"""Waiting for the core: from a thread so that Ctrl-C gets through, and from asyncio without blocking its loop."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from . import _core
from ._durations import seconds_of
from ._errors import CogworkError
from ._model import Duration
from ._resources import no_thread


def wait_for(completion: _core.Completion, timeout: Duration | None = None) -> bool:
    """Waits; False where the time ran out. In the main thread Ctrl-C, and SIGTERM and SIGHUP where nobody else handles them, raise
    KeyboardInterrupt at once."""
    seconds = None if timeout is None else seconds_of(timeout)
    with ending_interrupts():
        return completion.wait(seconds)


ENDING = (signal.SIGTERM, signal.SIGHUP)
"""How somebody else asks a program to end: its supervisor, or the terminal that goes away."""


@contextmanager
def ending_interrupts() -> Iterator[None]:
    """While the main thread waits in it, SIGTERM and SIGHUP are the same as Ctrl-C. One that somebody else handles, or that is ignored
    (`nohup`), is left alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


class _LoopBridge:
    """Carries completions to one asyncio loop, by a file descriptor that the loop watches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge = _core.Bridge()
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._tokens = itertools.count(1)
        loop.add_reader(self._bridge.fileno(), self._drain)

    async def wait(self, loop: asyncio.AbstractEventLoop, completion: _core.Completion) -> None:
        future: asyncio.Future[None] = loop.create_future()
        token = next(self._tokens)
        self._futures[token] = future
        ticket = self._bridge.watch(completion, token)
        try:
            await future
        finally:
            if self._futures.pop(token, None) is not None:  # it was given up
                completion.forget(ticket)

    def _drain(self) -> None:
        for token in self._bridge.drain():
            future = self._futures.pop(token, None)
            if future is not None and not future.done():
                future.set_result(None)


_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopBridge] = weakref.WeakKeyDictionary()


async def wait_async(completion: _core.Completion) -> None:
    """Waits without blocking the loop. Cancelling it touches nothing but the wait."""
    if completion.done:
        return
    await _bridge().wait(asyncio.get_running_loop(), completion)


def be_ready_to_wait() -> None:
    """Before something is begun that the running loop is to wait for: a first wait takes a descriptor. Raises ResourceError where there is none."""
    _bridge()


def _bridge() -> _LoopBridge:
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _LoopBridge(loop)
    return bridge


async def in_thread(function: Any, *args: Any) -> Any:
    """Runs what may wait for the store, off the loop. Raises ResourceError where there is no thread for it; it is not run then."""
    refused = False

    def run() -> Any:
        return None if refused else function(*args)

    try:
        running = asyncio.get_running_loop().run_in_executor(None, run)
    except RuntimeError as error:
        refused = True  # the executor has queued it, and would run it when it gets a thread for something else
        if asyncio.get_running_loop().is_closed():
            raise
        raise no_thread("an await", error) from None
    return await running


# ---- forks ----

_forks = 0


class Origin:
    """The process that made something that waits for threads; a child that was forked off it does not have these threads."""

    __slots__ = ("_forks",)

    def __init__(self) -> None:
        self._forks = _forks

    @property
    def here(self) -> bool:
        return self._forks == _forks

    def check(self) -> None:
        if self._forks != _forks:
            raise forked()


def forked() -> CogworkError:
    return CogworkError("this engine belongs to the process that made it; open one of your own after a fork")


def _in_child() -> None:
    global _forks
    _forks += 1
    _bridges.clear()


os.register_at_fork(after_in_child=_in_child)
