"""The words for an engine that owns a store and cannot be reached: who it is, where it was looked for, and what helps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from ._address import Address, Peer, user_name
from ._errors import StoreInUse
from ._owner import Seen, is_stopped
from ._text import shown


class What(Enum):
    """What was found at an address."""

    NOTHING = 0
    FORBIDDEN = 1
    STRANGER = 2
    STOPPED = 3
    MUTE = 4
    REFUSED = 5
    OTHER_STORE = 6


class Tried(NamedTuple):
    """An address, and what was there."""

    address: Address
    what: What
    words: str
    peer: Peer = Peer(None, None)


def report(store: str, seen: Seen, tried: Iterable[Tried], in_use: StoreInUse | None) -> str:
    """in_use: what somebody was told who tried to lock the store."""
    owner = "a command that stores something" if seen.brief else "an engine that cannot be reached from here"
    lines = [f"{store} is owned by {owner}: {_who(seen, in_use)}"]
    if seen.silent:
        lines.append(f"It says: {shown(seen.silent)}")
    places = [f"  {one.address}: {one.words}" for one in tried]
    if places:
        lines += ["Looked for at:", *places]
    lines += ["What helps:", *(f"  {remedy}" for remedy in _remedies(seen, list(tried)))]
    lines.append("Nothing was sent, and nothing is stored: while an engine owns the store it alone takes what is sent")
    return "\n".join(lines)


def _who(seen: Seen, in_use: StoreInUse | None) -> str:
    if seen.problem:
        whose = f"{user_name(seen.file_uid)}'s" if seen.file_uid >= 0 else "there"
        return (
            f"{shown(os.fsdecode(seen.file))}, which would say who it is, is {whose} and cannot be read: {seen.problem}"
        )
    if seen.pid > 0:
        return str(seen)
    return str(in_use).partition(";")[0] if in_use is not None else "it has not said who it is"


def _remedies(seen: Seen, tried: list[Tried]) -> Iterator[str]:
    found = {one.what: one for one in reversed(tried)}
    pid = seen.local_pid
    if (uid := _other_user(seen, found)) is not None:
        yield f"as its user, since an engine obeys nobody else (but root): sudo -u {user_name(uid)} cogwork ..."
    stopped = found[What.STOPPED].peer.pid if What.STOPPED in found else pid if pid and is_stopped(pid) else None
    if stopped:
        yield f"kill -CONT {stopped} lets it go on: it is stopped"
        return
    if not seen.here and seen.pid:
        yield f"on its machine: the same there, by ssh {shown(seen.host)}, or docker exec, or kubectl exec"
        return
    if seen.in_passing or seen.brief:
        yield "the same again in a moment"
    if seen.pid and not all(seen.shares(kind) for kind in ("mnt", "net", "user")):
        yield "where it runs, in another container or namespace: the same there, by docker exec, kubectl exec, or nsenter"
        yield "for the next time: an engine whose COGWORK_RUNTIME_DIR is in the folder of its store, which both see"
    elif seen.silent and not seen.in_passing:
        yield "for the next time: an engine whose COGWORK_RUNTIME_DIR is a folder that only its user may enter"
    if mute := found.get(What.MUTE):
        yield f"a look at what process {mute.peer.pid or pid or ''} does (py-spy dump --pid ...), and the same again when it is less busy"
    if pid:
        yield (
            f"kill -TERM {pid} ends it in order, as Ctrl-C does: what is unfinished stays stored, "
            "and what is sent afterwards is stored for the next engine"
        )
    else:
        yield "ending it in order, as Ctrl-C does: what is sent afterwards is stored for the next engine"


def _other_user(seen: Seen, found: dict[What, Tried]) -> int | None:
    """Whose engine it is, where this user is not obeyed."""
    own = os.geteuid()
    if stranger := found.get(What.STRANGER):
        return stranger.peer.uid
    if (refused := found.get(What.REFUSED)) and not seen.shares("user"):  # root out here is nobody in there
        return refused.peer.uid if refused.peer.uid != own else None
    uid = seen.file_uid if seen.problem else seen.uid
    return uid if uid >= 0 and own not in (0, uid) else None
