"""Processes that are going to die: forked off, so that a death costs no start of Python. The parent must run no engine."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pathlib
import select
import signal
import traceback
import warnings
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds for what happens in a moment; only a test that fails waits for so long. Shortly before, a child writes where it hangs."""


class Failure(Exception):
    """What is wrong, in words."""


def fork(what: Callable[[], object], errors: pathlib.Path) -> int:
    """Does it in a process of its own, which leads a process group, and exits with 0; or with 1, and what was raised is in the file `errors`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in the parent: those of pytest, if any
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        with errors.open("w") as hangs:
            faulthandler.dump_traceback_later(PATIENCE - 10, file=hangs)
            what()
            faulthandler.cancel_dump_traceback_later()
        status = 0
    except BaseException:
        errors.write_text(traceback.format_exc())
    finally:
        os._exit(status)


def wait_for_end(pid: int, seconds: float = PATIENCE) -> int:
    """Its exit code, a signal as a negative number. Failure, and it is killed, where it takes longer."""
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Failure(f"it did not end within {seconds:g} s")
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def processes_with(variable: str) -> list[int]:
    """Those that inherited this in their environment, "NAME=value"."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environ:
                if variable.encode() in environ.read().split(b"\0"):
                    found.append(int(entry))
    return found
