"""Finds the engine that owns a store: by the owner's record beside it, else at the places where an engine of this user would listen.

What is found is looked at before it is believed: whose folder and whose process it is, and which store it serves.
"""

from __future__ import annotations

import os
import pwd
import stat
import time
from collections.abc import Iterator

import msgspec

from . import _core, _storage
from ._address import Address, Peer, connect, parse, peer_of, user_name, why_not
from ._errors import CogworkError, EngineClosed, ResourceError, StoreInUse
from ._line import EngineInfo, Line
from ._owner import Seen, is_stopped, owner_of
from ._resources import descriptors
from ._unreached import Tried, What, report

_PAUSE = 0.02
"""Seconds between two looks at an owner that opens or closes."""
_STOPPED = 0.5
"""Seconds that a process which is stopped has to go on: nobody waits longer for it."""


def find(store: _storage.Storage, timeout: float, in_use: StoreInUse | None = None) -> Line | None:
    """A line to the engine that owns the store; None where none does.

    timeout: seconds that it may take to answer, and to open or close. in_use: what somebody was told who tried to lock the store: it is
    owned. Raises StoreInUse where an engine owns it and cannot be reached, saying who, where it was looked for, and what helps.
    """
    search = _Search(store, timeout)
    give_up = time.monotonic() + timeout
    while True:
        line = search.look()
        if line is not None:
            return line
        seen = search.seen
        if in_use is None and (seen.brief or not (seen.holds or seen.problem)):
            return None
        if not search.in_passing or time.monotonic() >= give_up:
            raise StoreInUse(report(store.name(), seen, search.tried, in_use))
        time.sleep(_PAUSE)


class _Search:
    """Looks, as often as it is asked to: what the record says, and what is at each address."""

    def __init__(self, store: _storage.Storage, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self.seen = Seen()
        self.tried: list[Tried] = []
        self.in_passing = False
        """Whether the owner opens or closes: a moment later there is another picture."""

    def look(self) -> Line | None:
        self.seen = owner_of(self._store)
        self.tried = []
        for address in self._addresses():
            found = self._try(address)
            if isinstance(found, Line):
                return found
            self.tried.append(found)
            if found.what in (What.STOPPED, What.MUTE):  # at another address it would be as mute, for as long
                break
        hung_up = any(tried.what is What.REFUSED for tried in self.tried)
        self.in_passing = hung_up or self.seen.in_passing or owner_of(self._store) != self.seen
        return None

    def _addresses(self) -> Iterator[Address]:
        seen = self.seen
        if seen.holds and seen.silent:
            return
        if seen.holds is False or not seen.listens:
            for text in _core.control_addresses(_storage.core_store(self._store)):
                if address := parse(text, b"/"):
                    yield address
            return
        known = [address for text in seen.listens if (address := parse(text, os.path.dirname(seen.file)))]
        yield from known
        if not seen.shares("mnt") and (pid := seen.local_pid):  # its files are to be seen through its process
            for address in known:
                if not address.abstract:
                    yield Address(b"/proc/%d/root%s" % (pid, address.path))

    def _try(self, address: Address) -> Line | Tried:
        if problem := why_not(address, self._trusts):
            return Tried(address, What.FORBIDDEN, problem)
        try:
            with descriptors("a connection to the engine"):
                sock = connect(address, self._timeout)
        except FileNotFoundError:
            return Tried(address, What.NOTHING, "there is no such file")
        except ConnectionRefusedError:
            return Tried(address, What.NOTHING, "nobody listens there")
        except TimeoutError:
            return self._mute(address, Peer(self.seen.local_pid, None))
        except OSError as error:
            return Tried(address, What.FORBIDDEN, error.strerror or str(error))
        peer = peer_of(sock)
        if peer.uid is not None and not self._trusts(peer.uid):
            sock.close()
            return Tried(address, What.STRANGER, f"{_process(peer)} listens there, of {user_name(peer.uid)}", peer)
        try:
            line = Line(sock)
        except ResourceError:
            sock.close()
            raise
        try:
            stopped = peer.pid is not None and is_stopped(peer.pid)
            identity = line.greet(min(self._timeout, _STOPPED) if stopped else self._timeout, str(address))
        except TimeoutError:
            line.close()
            return self._mute(address, peer)
        except EngineClosed:
            line.close()
            return Tried(address, What.REFUSED, f"{_process(peer)} listens there, and hung up", peer)
        except CogworkError as error:
            line.close()
            return Tried(address, What.REFUSED, str(error), peer)
        except BaseException:
            line.close()
            raise
        if identity == self._store.identity():
            line.info = msgspec.structs.replace(line.info, pid=self._pid_here(line.info, peer))
            return line
        line.close()
        return Tried(address, What.OTHER_STORE, f"{_process(peer)} listens there, and serves another store", peer)

    def _pid_here(self, engine: EngineInfo, peer: Peer) -> int:
        """Its process as this one knows it, so that `kill` means that one: in a container it counts for itself."""
        if peer.pid:
            return peer.pid
        return engine.pid if peer.uid is None and self.seen.shares("pid") else 0

    def _mute(self, address: Address, peer: Peer) -> Tried:
        if peer.pid and is_stopped(peer.pid):
            return Tried(address, What.STOPPED, f"process {peer.pid} listens there, and is stopped", peer)
        words = f"{_process(peer)} listens there, and did not answer within {self._timeout:g} s"
        return Tried(address, What.MUTE, words, peer)

    def _trusts(self, uid: int) -> bool:
        """Whether an engine of that user may answer for the store: one's own; of root's clients, whoever may write the store's file."""
        own = os.geteuid()
        return uid == own or (own == 0 and _may_write(uid, self.seen.file.removesuffix(b"-owner")))


def _may_write(uid: int, file: bytes) -> bool:
    try:
        about = os.stat(file)
        if uid == about.st_uid or about.st_mode & stat.S_IWOTH:
            return True
        user = pwd.getpwuid(uid)
        return bool(about.st_mode & stat.S_IWGRP) and about.st_gid in os.getgrouplist(user.pw_name, user.pw_gid)
    except (OSError, KeyError):
        return False


def _process(peer: Peer) -> str:
    return f"process {peer.pid}" if peer.pid else "somebody"
