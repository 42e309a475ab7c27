"""What the system may have none of at the moment: threads and descriptors. That is an error of its own, and nothing is half done."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ._errors import ResourceError

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


def start_thread(name: str, target: Callable[..., object], *args: Any) -> threading.Thread:
    """Starts a daemon thread. Raises ResourceError where there is none to be had."""
    thread = threading.Thread(target=target, args=args, name=name, daemon=True)
    begin(thread, name)
    return thread


def begin(thread: threading.Thread, name: str) -> None:
    """Starts a thread. Raises ResourceError where there is none to be had, or Python is ending: a thread would then wait for the interpreter for ever,
    and whoever starts it for the thread."""
    try:
        if sys.is_finalizing():
            raise RuntimeError("Python is ending")
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise no_thread(name, error) from None


def no_thread(name: str, error: BaseException) -> ResourceError:
    if sys.is_finalizing() or "shutdown" in str(error):  # as Python says it
        return ResourceError(f"no thread could be started for {name}: Python is ending")
    return ResourceError(
        f"no thread could be started for {name} ({error}); this process or its user has as many as the limits on processes allow "
        "(ulimit -u, pids cgroup)"
    )


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Raises ResourceError where there are no descriptors for one."""
    with descriptors("an event loop for async Cogs"):
        # asyncio leaves half a loop where it finds none, and that complains when it is collected.
        ends = [end for _ in range(2) for end in socket.socketpair()]
        for end in ends:
            end.close()
    return asyncio.new_event_loop()


@contextlib.contextmanager
def descriptors(what: str) -> Iterator[None]:
    """Inside, that the system has no descriptor left is a ResourceError; what: who needs it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _SHORT:
            raise
        raise ResourceError(
            f"the system gives no more to {what} now ({error.strerror}); this process has as many files and sockets open as its "
            "limit allows (ulimit -n): close some, or raise it"
        ) from error
