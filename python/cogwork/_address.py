"""Where engines listen: `unix:path=...` and `unix:abstract=...`, as they stand in the owner's record of a store.

The engine writes them (cpp/cogwork/engine/control_address.h); docs/internals/control-protocol.md describes them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ._text import shown

_LONGEST = 107  # bytes of a socket's path


class Address(NamedTuple):
    """A Unix socket. path: of its file, absolute; or the abstract name behind a zero byte."""

    path: bytes

    @property
    def abstract(self) -> bool:
        return self.path.startswith(b"\0")

    def __str__(self) -> str:
        if self.abstract:
            return f"abstract socket {shown(os.fsdecode(self.path[1:]))}"
        return shown(os.fsdecode(self.path))


class Peer(NamedTuple):
    """Who listens at a socket, as the kernel says; None where it does not."""

    pid: int | None
    uid: int | None


def parse(text: str, folder: bytes) -> Address | None:
    """None for an address of another kind. folder: what a relative path is relative to."""
    kind, _, value = text.partition("=")
    name = unquote_to_bytes(value)
    if not name:
        return None
    if kind == "unix:abstract":
        return Address(b"\0" + name)
    return Address(os.path.join(folder, name)) if kind == "unix:path" else None


def why_not(address: Address, trusts: Callable[[int], bool]) -> str:
    """What is wrong with the folder of a socket; empty: nothing. It must be closed to all but a user who is trusted, as whoever may write
    there says who answers."""
    if address.abstract:
        return ""
    try:
        about = os.lstat(os.path.dirname(address.path))
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"
    if not stat.S_ISDIR(about.st_mode):
        return "it is in no folder"
    if not trusts(about.st_uid):
        return f"its folder is {user_name(about.st_uid)}'s"
    return "its folder is open to other users" if about.st_mode & 0o077 else ""


def connect(address: Address, timeout: float) -> socket.socket:
    """OSError where nobody listens there; TimeoutError where whoever does takes no connection."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        with _system_name(address) as name:
            sock.connect(name)
    except BlockingIOError:  # so many wait to be let in that the system takes no more
        sock.close()
        raise TimeoutError(errno.ETIMEDOUT, "it takes no connection") from None
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def _system_name(address: Address) -> Iterator[bytes]:
    """A path too long for a socket goes through an open descriptor of its folder, which has a short name in /proc."""
    if address.abstract or len(address.path) <= _LONGEST:
        yield address.path
        return
    folder, name = os.path.split(address.path)
    descriptor = os.open(folder, getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield b"/proc/self/fd/%d/%s" % (descriptor, name)
    finally:
        os.close(descriptor)


def peer_of(sock: socket.socket) -> Peer:
    """Who is at the other end of a connection."""
    if not hasattr(socket, "SO_PEERCRED"):
        return Peer(None, None)
    pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return Peer(pid or None, uid)


def user_name(uid: int) -> str:
    """As `sudo -u` takes it: a name, or #uid."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
