"""Makes a program of Cogs of a Python file (C2)."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any, NoReturn

from ._cog import Cog, _Cog, _cogs
from ._cog_protocol import (
    DESCRIPTOR,
    MOST_CONCURRENCY,
    Message,
)
from ._errors import CogError
from ._listing import listing
from ._model import OnInterrupt
from ._server import Server

_ASYNC_CONCURRENCY = 1000
"""Calls at once that async Cogs take, if nothing else is said; those of threads are left to the engine."""


def serve_cogs(*cogs: Cog[..., Any], concurrency: int | None = None) -> NoReturn:
    """Makes a program of a Python file, which an engine starts, and whose Cogs it calls in there::

        if __name__ == "__main__":
            cw.serve_cogs()

    cogs: those that it serves; all of the process, if none is given. concurrency: how many calls run at once, from 1 to 10000; if not given,
    as many as the engine sends: 16, or what its `process_cog` says.

    It ends the process, with status 0, when the engine says so or is gone. Run by hand it says what it is, and exits with 2. CogError
    where there is nothing that could be served. In the main thread.
    """
    serve([_registered(cog) for cog in cogs] or _cogs.values(), concurrency)


def serve(
    cogs: Iterable[_Cog], concurrency: int | None = None, version: str | None = None, program: str = ""
) -> NoReturn:
    """version: of what is served, where the program's file does not tell. program: what Jobs call it."""
    chosen = _checked(cogs)
    if concurrency is not None and (
        isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= MOST_CONCURRENCY
    ):
        raise CogError(f"concurrency is a whole number from 1 to {MOST_CONCURRENCY}, not {concurrency!r}")
    if DESCRIPTOR not in os.environ:
        print(listing(chosen, program or sys.argv[0]), file=sys.stderr)
        raise SystemExit(2)
    if threading.current_thread() is not threading.main_thread():
        raise CogError("Cogs are served from the main thread, which is where signals arrive")
    offers = {name: _offer(cog, concurrency) for name, cog in chosen.items()}
    Server(_engine_socket(), chosen, offers, concurrency).run(version)
    raise SystemExit(0)


def _registered(cog: Cog[..., Any]) -> _Cog:
    if not isinstance(cog, Cog):
        raise CogError(f"what is served are Cogs, not {cog!r}; a function becomes one by @cogwork.cog")
    return cog._cog


def _checked(cogs: Iterable[_Cog]) -> dict[str, _Cog]:
    chosen: dict[str, _Cog] = {}
    for cog in cogs:
        if cog.name.split() != [cog.name]:
            raise CogError(f"{cog!r} cannot be served: such a Cog's name is one word; give it another: @cog(name=...)")
        if problem := cog.problem():
            raise CogError(f"{cog!r} cannot be served: {problem}")
        chosen[cog.name] = cog
    if not chosen:
        raise CogError("there is no Cog to serve; decorate a function with @cogwork.cog")
    return chosen


def _engine_socket() -> socket.socket:
    """The engine's end. What a Cog starts is not to have it, nor to take itself for a Cog's process."""
    text = os.environ.pop(DESCRIPTOR)
    try:
        sock = socket.socket(fileno=int(text))
        sock.getpeername()
    except (ValueError, OverflowError, OSError) as error:
        raise CogError(f"{DESCRIPTOR} is {text!r}, which is no socket to an engine: {error}") from None
    sock.settimeout(None)
    sock.set_inheritable(False)
    return sock


def _offer(cog: _Cog, concurrency: int | None) -> Message:
    """What the hello says of a Cog. What it does not say of itself is left out, for the engine to decide."""
    about = cog.describe()
    offer = {key: about[key] for key in ("name", "owner", "desc", "tags", "args")}
    offer["idempotent"] = cog.idempotent
    if (ordinal := cog.options["on_interrupt"]) >= 0:
        offer["on_interrupt"] = list(OnInterrupt)[ordinal].value
    offer["concurrency"] = concurrency or (_ASYNC_CONCURRENCY if cog.is_async else None)
    offer |= {key: value for key, value in cog.options.items() if key != "on_interrupt"}
    return {key: value for key, value in offer.items() if value is not None}
