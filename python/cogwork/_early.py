"""While the shell still imports what it is made of, Ctrl-C ends it as it ends any program: by the signal, without a traceback.

The package imports this first, before the tenth of a second that the rest takes. It imports nothing of cogwork itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading


def done() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, as somebody is there who catches it."""
    if _in_shell and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def over() -> None:
    """Nothing is left to be interrupted: Ctrl-C ends the process."""
    if _in_shell and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_shell() -> bool:
    """Whether this process is `cogwork` or `python -m cogwork`: told by how it was started."""
    if threading.current_thread() is not threading.main_thread() or not sys.argv:
        return False
    if sys.argv[0] == "-m":  # so it is while the package is imported
        options = sys.orig_argv
        return "-m" in options and options[options.index("-m") + 1 :][:1] == ["cogwork"]
    if os.path.basename(sys.argv[0]) == "cogwork":
        with contextlib.suppress(OSError), open(sys.argv[0], "rb") as script:
            return b"cogwork.cli" in script.read(4096)
    return False


_in_shell = _is_shell()
over()
