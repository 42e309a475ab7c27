"""What a Labor was made with: the file, its arguments, the host, the git revision. Said to people afterwards; nothing is decided by it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import re
import shlex
import socket
import sys
from collections.abc import Iterable, Mapping

from . import _core
from ._codec import encodable, login_name

_MOST_ARGUMENTS = 4096
"""Characters of the arguments that are kept."""
_MOST_FILE = 16 * 2**20
"""Bytes: a larger file has no `blob`."""
_SECRET = re.compile(r"token|passw|passphrase|secret|credential|api[-_]?key|private[-_]?key", re.IGNORECASE)


def of_file(file: str | os.PathLike[str], arguments: Iterable[str] = ()) -> dict[str, str]:
    """Of a Labor that this file makes. file: as it is to be shown; it need not be there. Raises nothing."""
    path = pathlib.Path(file)
    with contextlib.suppress(OSError):
        path = path.resolve()
    return _without_empty(
        file=str(path),
        arguments=shlex.join(hidden(arguments))[:_MOST_ARGUMENTS],
        blob=_blob(path),
        revision=_revision(path.parent),
        host=socket.gethostname(),
        user=login_name(),
        version=_core.__version__,
    )


def of_this_program() -> dict[str, str]:
    """Of a Labor that this program makes. What is in its files is what it was when the program first asked."""
    return dict(_of_program(getattr(sys.modules.get("__main__"), "__file__", None), os.getpid()))


@functools.lru_cache(maxsize=1)
def _of_program(file: str | None, _pid: int) -> dict[str, str]:
    if file is None:
        notebook = os.environ.get("JPY_SESSION_NAME", "")
        return of_file(notebook) if notebook else _without_file()
    return of_file(file, sys.argv[1:])


def _without_file() -> dict[str, str]:
    return _without_empty(host=socket.gethostname(), user=login_name(), version=_core.__version__)


def _without_empty(**fields: str) -> dict[str, str]:
    return {name: encodable(text) for name, text in fields.items() if text}


def hidden(arguments: Iterable[str]) -> list[str]:
    """The arguments without the values of those whose names say that they are secret: `token=x`, `--token=x`, `--token x`."""
    shown: list[str] = []
    hide = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if hide and not argument.startswith("-"):
            shown.append("***")
        elif equals and _SECRET.search(name):
            shown.append(f"{name}=***")
        else:
            shown.append(argument)
        hide = not equals and argument.startswith("-") and bool(_SECRET.search(argument))
    return shown


def in_words(provenance: Mapping[str, str]) -> str:
    """`/srv/rollout.py version=2.1 (git 1a2b3c4d5e6f, blob 6f5e4d3c2b1a) by alice on ops-1, cogwork 0.1.0`; what else was said follows."""
    known = dict(provenance)
    command = " ".join(filter(None, (known.pop("file", ""), known.pop("arguments", ""))))
    ids = [
        f"{word} {id[:12]}" for word, id in (("git", known.pop("revision", "")), ("blob", known.pop("blob", ""))) if id
    ]
    who = " ".join(
        f"{word} {name}" for word, name in (("by", known.pop("user", "")), ("on", known.pop("host", ""))) if name
    )
    version = known.pop("version", "")
    text = " ".join(filter(None, (command, f"({', '.join(ids)})" if ids else "", who)))
    rest = [f"cogwork {version}"] * bool(version) + [f"{name} {value}" for name, value in known.items()]
    return ", ".join(filter(None, (text, *rest)))


# ---- git, read from its files: a library starts no programs behind its user's back ----


def _blob(file: pathlib.Path) -> str:
    """The id that git gives a file of these contents: `git cat-file -p ID` shows them where they were committed."""
    with contextlib.suppress(OSError, ValueError):
        if file.is_file() and file.stat().st_size <= _MOST_FILE:
            contents = file.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest()
    return ""


def _revision(folder: pathlib.Path) -> str:
    """The commit that is checked out around a folder; empty where there is none, or it cannot be told."""
    with contextlib.suppress(OSError, ValueError):
        for above in (folder, *folder.parents):
            git = above / ".git"
            if git.is_file():  # a worktree, or a submodule
                git = above / git.read_text().removeprefix("gitdir:").strip()
            if git.is_dir():
                return _head(git)
    return ""


def _head(git: pathlib.Path) -> str:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return _commit(head)
    ref = head.removeprefix("ref:").strip()
    shared = git / "commondir"
    common = git / shared.read_text().strip() if shared.is_file() else git
    for folder in (git, common):
        if (folder / ref).is_file():
            return _commit((folder / ref).read_text().strip())
    packed = common / "packed-refs"
    for line in packed.read_text().splitlines() if packed.is_file() else ():
        commit, _, name = line.partition(" ")
        if name == ref:
            return _commit(commit)
    return ""


def _commit(text: str) -> str:
    return text if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else ""
