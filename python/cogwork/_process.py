"""Process Cogs as an engine's side knows them: programs that stay up, and how they are to be used (C2)."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

from ._codec import encodable
from ._cog import _duration, _number, _on_interrupt, find_cog, registry
from ._cog_protocol import MOST_CONCURRENCY
from ._command import command
from ._errors import CogError
from ._model import Duration, Job, OnInterrupt

_PYTHON = "python:"


class Program(NamedTuple):
    """What a `program` says: "./cogs/edge:drain" is the Cog `drain` of ./cogs/edge."""

    path: str
    """Of the executable; or "python:package.module"."""
    cog: str
    """Empty: its only one."""

    @staticmethod
    def parse(text: str) -> Program:
        """CogError where it names none."""
        if not isinstance(text, str) or not text or text != text.strip() or encodable(text) != text or "\0" in text:
            raise CogError(f"a program is the path of an executable, as text, not {text!r}")
        python = text.startswith(_PYTHON)
        if not python and "/" not in text:
            raise CogError(f"{text!r} is no path of a program; one has a '/', ./{text}, or begins with python:")
        begin = len(_PYTHON) if python else text.rindex("/") + 1
        name, colon, cog = text[begin:].partition(":")
        if not name:
            raise CogError(f"{text!r} names no {'module' if python else 'file'}")
        if colon and cog.split() != [cog]:
            raise CogError(f"{text!r}: behind the ':' stands the name of a Cog, one word")
        return Program(text[:begin] + name, cog)

    def check(self) -> None:
        """CogError where it cannot be run from here and now. A module is not imported: that is its own process's affair."""
        if self.path.startswith(_PYTHON):
            module = self.path[len(_PYTHON) :]
            if module.endswith(".py") or "/" in module:
                _file(module)
            elif not all(part.isidentifier() for part in module.split(".")):
                raise CogError(f"{module!r} is no module's name; write python:package.module:cog")
            return
        _file(self.path)
        if not os.access(self.path, os.X_OK):
            raise CogError(f"{self.path} is not executable; chmod +x {self.path} makes it so")


def _file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        here = "" if os.path.isabs(path) else f" (from {os.getcwd()})"
        raise CogError(f"{path} cannot be run: {error.strerror}{here}") from None
    if not stat.S_ISREG(mode):
        raise CogError(f"{path} cannot be run: it is no file")


@dataclass(frozen=True)
class Options:
    """How a process Cog is used. None: what its program says of itself, or the general one. Spans are seconds."""

    program: Program
    processes: int
    concurrency: int | None
    timeout: float | None
    retries: int | None
    retry_delay: float | None
    retry_backoff: float | None
    retry_max_delay: float | None
    on_interrupt: int
    """The ordinal of an OnInterrupt; -1: not given."""
    idempotent: bool | None


options: dict[str, Options] = {}
"""The process Cogs that this process has registered, by cog_path."""
_lock = threading.Lock()


class ProcessCog:
    """A Cog in a process of its own; `process_cog` makes it. Its `name` is the cog_path of its Jobs."""

    def __init__(self, name: str, program: str) -> None:
        self.name = name
        self.program = program

    def job(self, /, **args: Any) -> Job:
        """A Job that calls it with these args; its process checks them at submit."""
        return Job(self.name, args)

    def __repr__(self) -> str:
        return f"<process cog {self.name!r}{'' if self.name == self.program else f' of {self.program}'}>"


def process_cog(
    program: str | os.PathLike[str],
    *,
    name: str | None = None,
    processes: int = 1,
    concurrency: int | None = None,
    timeout: Duration | None = None,
    retries: int | None = None,
    retry_delay: Duration | None = None,
    retry_backoff: float | None = None,
    retry_max_delay: Duration | None = None,
    on_interrupt: OnInterrupt | str | None = None,
    idempotent: bool | None = None,
) -> ProcessCog:
    """A Cog that an engine calls in a process of its own, which it starts when it is first needed::

        upgrade = cw.process_cog("./cogs/upgrade", timeout=600)
        job = upgrade.job(host="edge-1", version="2.1")

    program: the path of an executable, "./cogs/upgrade"; "./cogs/edge:drain" for one Cog of a program that holds several; "python:routers.edge:drain"
    for one of a Python module, or of a script by its path. A Job may name it without this, by its path.
    name: what its Jobs call it; the program, if not given. processes: how many are started at most. concurrency: calls at once in each, from 1
    to 10000; what it says itself, if not given. The others as in `cog`; where not given, the program's own hold.

    The program must be there, and executable, or CogError is raised. So it is where the name is taken by another Cog; the same program
    under the same name replaces its options (C1). Any thread.
    """
    if isinstance(program, os.PathLike):
        program = os.fspath(program)
        if isinstance(program, str) and "/" not in program:  # Path("./edge") is Path("edge")
            program = f"./{program}"
    parsed = Program.parse(program)
    if name is None:
        name = program
    elif not isinstance(name, str) or not name or name != name.strip() or encodable(name) != name:
        raise CogError(f"a Cog's name must be text that is not empty, is {name!r}")
    parsed.check()
    if idempotent is not None and not isinstance(idempotent, bool):
        raise CogError(f"cog {name!r}: idempotent is True or False, not {idempotent!r}")
    made = Options(
        program=parsed,
        processes=_count(processes, "processes", name),
        concurrency=None if concurrency is None else _count(concurrency, "concurrency", name),
        timeout=_duration(timeout, "timeout", name, above=True),
        retries=_number(retries, "retries", name, int, 0),
        retry_delay=_duration(retry_delay, "retry_delay", name),
        retry_backoff=_number(retry_backoff, "retry_backoff", name, (int, float), 1),
        retry_max_delay=_duration(retry_max_delay, "retry_max_delay", name),
        on_interrupt=_on_interrupt(on_interrupt, name),
        idempotent=idempotent,
    )
    with _lock:
        if (taken := _holder(name, parsed)) is not None:
            raise CogError(f"{program} cannot be registered as {name!r}: that is {taken!r}; give it another name")
        options[name] = made
        registry.set_program_options(
            name,
            parsed.path,
            parsed.cog,
            made.processes,
            made.concurrency or 0,
            made.idempotent,
            made.timeout,
            made.retries,
            made.retry_delay,
            made.retry_backoff,
            made.retry_max_delay,
            made.on_interrupt,
        )
    return ProcessCog(name, program)


def _holder(name: str, program: Program) -> object | None:
    """The other Cog that has the name."""
    if name == command.name:
        return command
    before = options.get(name)
    if before is not None and before.program != program:
        return ProcessCog(name, ":".join(part for part in before.program if part))
    return find_cog(name)


def _count(value: Any, what: str, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CONCURRENCY:
        raise CogError(f"cog {name!r}: {what} must be a whole number from 1 to {MOST_CONCURRENCY}, is {value!r}")
    return value


ProcessCog.__module__ = "cogwork"
