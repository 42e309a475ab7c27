"""Threads that take turns at reading a socket, so that what was read is done where it was read."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable


class Turns:
    """Whose turn it is to read, and who waits.

    A thread that has read something that may take long gives its turn up while it does that, and takes it again afterwards. Only if something
    comes meanwhile, one of those that wait is woken, and takes it. So a short call costs no change of threads. Any thread.
    (epoll tells one thread, once, and only while it is asked to.)
    """

    def __init__(self, sock: socket.socket, work: Callable[[], None], most: int) -> None:
        """work: what each thread does, for as long as the process lives; it begins with `wait`. most: how many there may be, beside one that
        reads."""
        self._sock = sock.fileno()
        self._work = work
        self._most = most + 1
        self._bell = os.eventfd(1)  # never read: whoever asks for it is told at once
        self._epoll = select.epoll()
        for fd in (self._sock, self._bell):
            self._epoll.register(fd, 0)
        self._lock = threading.Lock()
        self._taken = False
        self._idle = 0  # that wait, or are about to
        self._threads = 0

    def start(self) -> None:
        """Raises RuntimeError where there is no thread to be had."""
        self._start_thread()
        self._start_thread()  # or the first one could never give its turn up
        self.wake()

    def wait(self) -> None:
        """Until there may be something to do."""
        self._epoll.poll(-1, 1)
        with self._lock:
            self._idle -= 1

    def take(self) -> bool:
        """Whether it is this thread's turn from now on. If not, it is to wait."""
        with self._lock:
            if self._taken:
                self._idle += 1
                return False
            self._taken = True
            self._epoll.modify(self._sock, 0)
        return True

    def leave(self, my_turn: bool) -> bool:
        """Before this thread does what may take long: sees to it that somebody reads, or will be told. False: there is nobody else, and no more
        threads are to be had; it is this thread's turn now.
        """
        with self._lock:
            if self._taken and not my_turn:
                return True
            if self._idle > 0:
                self._ask()
                return True
        if self._start_another():
            with self._lock:
                if my_turn or not self._taken:
                    self._ask()
            return True
        with self._lock:
            if self._taken and not my_turn:
                return True
            self._taken = True
        return False

    def _ask(self) -> None:
        """Also where it is nobody's turn already: who was told of bytes may have found something else to do."""
        self._taken = False
        self._epoll.modify(self._sock, select.EPOLLIN | select.EPOLLONESHOT)

    def wake(self) -> None:
        """Somebody who waits is to look what there is to do, if anybody does."""
        if self._idle > 0 or self._start_another():
            self._epoll.modify(self._bell, select.EPOLLIN | select.EPOLLONESHOT)

    def _start_another(self) -> bool:
        try:
            return self._start_thread()
        except RuntimeError:
            return False

    def _start_thread(self) -> bool:
        with self._lock:
            if self._threads == self._most:
                return False
            self._threads += 1
            self._idle += 1
        try:
            threading.Thread(target=self._work, name=f"cogwork-call-{self._threads}", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._threads -= 1
                self._idle -= 1
            raise
        return True
