"""What is followed as it happens: one thing after another, for `for` and `async for`."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

from ._waiting import Origin, in_thread, wait_async, wait_for

T = TypeVar("T")


class Feed(Iterator[T], AsyncIterator[T]):
    """One reader's place in what an engine tells piece by piece. `_core` feeds, and those of a Client, have poll, ready and over."""

    def __init__(self, feed: Any) -> None:
        self._feed = feed
        self._origin = Origin()
        self._buffer: deque[T] = deque()
        # An `await` that was cancelled leaves its thread filling the buffer while the next one begins.
        self._filling = threading.Lock()

    @abstractmethod
    def _decode(self, piece: bytes) -> list[T]: ...

    def __iter__(self) -> Feed[T]:
        return self

    def __next__(self) -> T:
        self._origin.check()
        while not self._buffer:
            ready = self._feed.ready()
            if not self._fill():
                if self._feed.over():
                    raise StopIteration
                wait_for(ready)
        return self._buffer.popleft()

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        self._origin.check()
        while not self._buffer:
            ready = self._feed.ready()
            if not await in_thread(self._fill):
                if self._feed.over():
                    raise StopAsyncIteration
                await wait_async(ready)
        return self._buffer.popleft()

    def poll(self) -> list[T]:
        """What there is now, without waiting."""
        self._origin.check()
        self._fill()
        found = list(self._buffer)
        self._buffer.clear()
        return found

    def _fill(self) -> bool:
        with self._filling:
            self._buffer += self._decode(self._feed.poll())
            return bool(self._buffer)
