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
        self._asked = False  # to tell of bytes
        self._coming = False  # somebody was woken, and has not looked yet
        self._missed = False  # nobody could be woken: who wants to wait next is to look once more
        self._idle = 0  # that wait, or are about to
        self._threads = 0

    def start(self) -> None:
        """Raises RuntimeError where there are no threads to be had."""
        with self._lock:
            if not (self._start_thread() and self._start_thread()):  # or the first one could never give its turn up
                raise RuntimeError("no thread can be started")
        self.wake()

    def wait(self) -> bool:
        """Until there may be something to do. Whether that is to read, for which it is this thread's turn from now on."""
        with self._lock:
            if self._missed:
                self._missed = False
                self._idle -= 1
                return False
        told = self._epoll.poll(-1, 1)
        with self._lock:
            self._idle -= 1
            if told[0][0] != self._sock:
                self._coming = False
                return False
            self._asked = False
            if self._coming and self._idle <= 0:  # it was this thread that was to come
                self._coming = self._start_thread()
            if self._taken:
                return False
            self._taken = True
            return True

    def take(self) -> bool:
        """Whether it is this thread's turn from now on. If not, it is to wait."""
        with self._lock:
            if self._taken:
                self._idle += 1
                return False
            self._taken = True
            if self._asked:
                self._asked = False
                self._epoll.modify(self._sock, 0)
            return True

    def leave(self, my_turn: bool) -> bool:
        """Before this thread does what may take long: sees to it that somebody reads, or will. False: there is nobody else, and no more threads
        are to be had; it is this thread's turn now.
        """
        with self._lock:
            if self._taken and not my_turn:
                return True
            if not self._coming:  # whoever comes will see to it
                if self._idle <= 0 and not self._start_thread():
                    self._taken = True
                    return False
                if not self._asked:
                    self._asked = True
                    self._epoll.modify(self._sock, select.EPOLLIN | select.EPOLLONESHOT)
            self._taken = False
            return True

    def wake(self) -> None:
        """Somebody who waits is to look what there is to do, if anybody does and nobody is coming anyway."""
        with self._lock:
            if self._coming:
                return
            if self._idle > 0 or self._start_thread():
                self._coming = True
                self._epoll.modify(self._bell, select.EPOLLIN | select.EPOLLONESHOT)
            else:
                self._missed = True

    def _start_thread(self) -> bool:
        """With the lock held."""
        if self._threads == self._most:
            return False
        try:
            threading.Thread(target=self._work, name=f"cogwork-call-{self._threads + 1}", daemon=True).start()
        except RuntimeError:
            return False
        self._threads += 1
        self._idle += 1
        return True
