"""Whether the engine that is to run a Labor has the Cogs that its submitter means: functions of the same place (C1, R4) with the same code.

A script that was edited after an engine imported it would else be run as it was before, in silence.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

from ._cog import _Cog, find_cog
from ._errors import CogError
from ._model import Job, Labor, Sequence, Task, written

Expected = dict[str, list[str]]
"""By a Cog's name: its origin, and a digest of its code; that is empty where there is none."""


def expected(labor: Labor) -> Expected:
    """What this process takes the Labor's Cogs for. Those that it does not know, and programs, are left to the engine."""
    names = {job.cog_path for job in _jobs(labor) if isinstance(job.cog_path, str)}
    known = (find_cog(name) for name in sorted(names))
    return {cog.name: [cog.origin, digest(cog)] for cog in known if cog is not None}


def _jobs(labor: Labor) -> Iterator[Job]:
    for task in written(labor.tasks, Task):
        for jobs in (
            task.pre_checks,
            task.cont_checks,
            *(sequence.jobs for sequence in written(task.sequences, Sequence)),
        ):
            yield from written(jobs, Job)


def require(meant: Expected) -> None:
    """CogError where this process has others."""
    wrong = [why for name, (origin, code) in sorted(meant.items()) if (why := _difference(name, origin, code))]
    if wrong:
        raise CogError("; ".join(_few(wrong)))


def _difference(name: str, origin: str, code: str) -> str:
    cog = find_cog(name)
    if cog is None:
        return f"{name!r} ({origin}) is not known to it"
    if cog.origin != origin:
        return f"{name!r} is {cog.origin} there, and {origin} is meant"
    own = digest(cog)
    if own and code and own != code and _version(own) == _version(code):
        return f"{name!r} ({origin}) was imported there before its code was changed"
    return ""


def _few(texts: list[str], most: int = 5) -> list[str]:
    return texts if len(texts) <= most else [*texts[:most], f"and {len(texts) - most} more"]


# ---- the code of a Cog ----


def digest(cog: _Cog) -> str:
    """Of the code of its function, and of the functions of its own module that this calls. Neither lines nor comments count. Empty for what is
    no plain function."""
    function = inspect.unwrap(cog.function)
    if not isinstance(function, types.FunctionType):
        return ""
    seen = hashlib.sha256()
    for code in _codes(function):
        seen.update(code.co_code)
        for part in (code.co_names, code.co_varnames, code.co_freevars, *map(_constant, code.co_consts)):
            seen.update(repr(part).encode("utf-8", "surrogatepass"))
    return f"{sys.implementation.cache_tag}-{sys.flags.optimize}:{seen.hexdigest()}"


def _version(text: str) -> str:
    return text.partition(":")[0]


def _codes(function: types.FunctionType) -> Iterator[types.CodeType]:
    waiting, known = [function], {function}
    while waiting:
        called = waiting.pop()
        for code in _nested(called.__code__):
            yield code
            for other in _functions(called.__globals__, code.co_names):
                if other.__module__ == called.__module__ and other not in known:
                    known.add(other)
                    waiting.append(other)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _functions(namespace: dict[str, Any], names: Iterable[str]) -> Iterator[types.FunctionType]:
    for name in names:
        found = namespace.get(name)
        found = found.function if isinstance(found, _Cog) else found
        if isinstance(found, types.FunctionType):
            yield found


def _constant(value: object) -> object:
    if isinstance(value, types.CodeType):
        return "code"
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value
