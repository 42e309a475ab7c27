"""Who owns a store, as far as somebody sees it who does not: the record beside the store, and what the system says of its process."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import msgspec

from . import _storage
from ._codec import from_micros
from ._text import clock, shown

_IN_PASSING = ("it is opening", "it is closing")


class Seen(msgspec.Struct):
    """The owner's record of a store (cpp/cogwork/storage/owner.h)."""

    pid: int = 0
    host: str = ""
    user: str = ""
    program: str = ""
    since: int = 0
    """Microseconds since 1970; 0: not known."""
    brief: bool = False
    uid: int = -1
    boot: str = ""
    namespaces: str = ""
    listens: list[str] = []
    silent: str = ""
    """Why it listens nowhere."""
    file: bytes = b""
    """The record's; empty: there is none."""
    file_uid: int = -1
    problem: str = ""
    """Why the record could not be read."""
    holds: bool | None = False
    """Whether it owns the store now; None: that cannot be seen."""

    def __str__(self) -> str:
        """Who it is, in words."""
        words = [shown(self.program) or "an engine"]
        if self.pid > 0:
            words.append(f"process {self.pid}")
        if self.user or self.uid >= 0:
            words.append(f"of {shown(self.user) or f'user {self.uid}'}")
        if self.host:
            words.append(f"on {shown(self.host)}")
        if self.since:
            moment = from_micros(self.since)
            words.append(f"since {clock(moment)}" if moment else "")
        return ", ".join(word for word in words if word)

    @property
    def in_passing(self) -> bool:
        """Whether it opens or closes, or has not said yet who it is."""
        return bool(self.holds) and (not self.pid or self.silent in _IN_PASSING)

    @property
    def here(self) -> bool:
        """Whether it is on this machine, as far as the record tells."""
        if self.boot and (boot := _boot()):
            return self.boot == boot
        return self.host in ("", os.uname().nodename)

    def shares(self, kind: str) -> bool:
        """Whether it has the same namespace of a kind ("mnt", "net", "pid") as this process; True where that is not known."""
        theirs = dict(pair.split(":", 1) for pair in self.namespaces.split() if ":" in pair)
        try:
            ours = os.readlink(f"/proc/self/ns/{kind}").partition(":")[2]
        except OSError:
            return True
        return kind not in theirs or not self.here or theirs[kind] == ours

    @property
    def local_pid(self) -> int | None:
        """Its process id as this process knows it; None where it does not see it."""
        if not self.here:
            return None
        if self.shares("pid"):
            return self.pid if self.pid > 0 else None
        return _holder_of(self.file)


def owner_of(store: _storage.Storage) -> Seen:
    """Takes nothing and waits for nobody."""
    raw: Any = _storage.core_store(store).owner() if isinstance(store, _storage.BuiltinStorage) else None
    return Seen(**raw) if raw else Seen()


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped, by SIGSTOP or Ctrl-Z or a debugger."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])
    return False


def _boot() -> str:
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    return ""


def _holder_of(file: bytes) -> int | None:
    """The process that has the lock on a file, as the system's list of locks has it: of one in a container, its id out here."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        about = os.stat(file)
        place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
        with open("/proc/locks") as locks:
            for line in locks:
                words = line.split()
                if words[1] == "FLOCK" and words[5] == place and int(words[4]) > 0:
                    return int(words[4])
    return None


__all__ = ["Seen", "is_stopped", "owner_of"]
