"""The built-in command Cog: one program, run once for each attempt (C2). The core runs it; no Python thread waits for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ._model import Job


class CommandCog:
    """`cogwork.command`: its Jobs run a program.

    >>> cw.command.job(["systemctl", "restart", "nginx"]).replace(timeout=60)
    Job(cog_path='command', args={'argv': ['systemctl', 'restart', 'nginx']}, timeout=60)
    >>> cw.command.job(shell="df -P /srv | tail -1 | tr -s ' ' | cut -d' ' -f5")
    Job(cog_path='command', args={'shell': "df -P /srv | tail -1 | tr -s ' ' | cut -d' ' -f5"})
    """

    name = "command"
    owner = "cogwork"
    desc = "Runs a program, once for each attempt"
    tags: Sequence[str] = ()

    def job(
        self,
        argv: Sequence[str] | None = None,
        *,
        shell: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: str | bytes | None = None,
        ok_codes: Sequence[int] | None = None,
        no_retry_codes: Sequence[int] | None = None,
        output_limit: int | None = None,
        parse: Literal["text", "json", "lines"] | None = None,
    ) -> Job:
        """A Job that runs a program; `.replace(timeout=..., retries=...)` sets the rest.

        argv: the program and its arguments, a list of texts; it is looked up in PATH. shell: text for /bin/sh, instead of argv. cwd: where it
        runs; the engine's folder, if not given. env: variables to add, or with None to take away; COGWORK_TARGET, COGWORK_JOB,
        COGWORK_LABOR and COGWORK_ATTEMPT are there. The rest is the environment of the engine's process, as it was at the last submit or
        start; with `Labor(real_user=...)` it is that of a login. stdin: what it reads; else there is nothing to read (/dev/null).
        ok_codes: exit codes that are SUCCESS; [0]. no_retry_codes: those that are FAILURE_NO_RETRIES; []. All others, and death by a
        signal, are FAILURE. output_limit: bytes that are kept of its output, and of its error output; 65536. What is cut is said.
        parse: what becomes of its output: "text" (white space at its end taken away), "json" (the value), "lines" (a list).

        Its error output is the attempt's log. A time-out, an interrupting stop and the end of the engine end it with all that it started, by
        TERM and, after the grace, by KILL; what it leaves behind when it ends is ended too (G3a).

        Nothing is checked here; `submit` says what is wrong with it.
        """
        given = {
            "argv": _listed(argv),
            "shell": shell,
            "cwd": cwd,
            "env": dict(env) if isinstance(env, Mapping) else env,
            "stdin": stdin,
            "ok_codes": _listed(ok_codes),
            "no_retry_codes": _listed(no_retry_codes),
            "output_limit": output_limit,
            "parse": parse,
        }
        args: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return Job("command", args)

    def __repr__(self) -> str:
        return "<Cog 'command' of cogwork>"


def _listed(argv: Any) -> Any:
    """A list of any iterable. Text is none, as it would be taken apart into letters; what is no list stays as it is, for `submit` to refuse."""
    if isinstance(argv, (str, bytes, bytearray, os.PathLike, Mapping)) or not isinstance(argv, Iterable):
        return argv
    return list(argv)


command = CommandCog()
CommandCog.__module__ = "cogwork"
