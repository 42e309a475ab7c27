"""From `rollout.py:labor` to the Labor: imports the script, and finds what it holds."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from .. import _guard, _importing
from .._cog import Cog
from .._importing import told
from .._model import Labor, did_you_mean
from .._provenance import of_file
from ._app import Refused
from ._values import arguments


class Target(NamedTuple):
    """What was typed: a script or module, and the name in it, if one was given."""

    source: str
    name: str

    @staticmethod
    def parse(text: str) -> Target:
        source, colon, name = text.rpartition(":")
        if not colon or os.path.exists(text) or not source:
            return Target(text, "")
        return Target(source, name)


def load(text: str, words: list[str]) -> Labor:
    """The Labor that `run` is to run. words: `key=value`, for the function that makes it."""
    target = Target.parse(text)
    with _guard.building(target.source):
        module = import_source(target.source)
    labor = _labor_in(module, target, words)
    if labor.provenance:  # what its maker says of it stands
        return labor
    file = getattr(module, "__file__", None) or target.source
    return msgspec.structs.replace(labor, provenance=of_file(file, [*[target.name] * bool(target.name), *words]))


def _labor_in(module: ModuleType, target: Target, words: list[str]) -> Labor:
    found = _find(module, target)
    if isinstance(found, Labor):
        if words:
            raise Refused(
                f"{_called(target)} is a Labor, and takes no values: {words[0]!r}; a function that makes one does"
            )
        return found
    positional, keywords = arguments(found, words, _called(target))
    try:
        with _guard.building(_called(target)):
            labor = found(*positional, **keywords)
    except SystemExit as error:
        raise Refused(
            told(
                f"{_called(target)} ended the program{_with(error)} instead of returning a Labor; nothing was begun",
                error,
            )
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Refused(told(f"{_called(target)} raised an error", error)) from None
    if inspect.iscoroutine(labor):
        labor.close()
        raise Refused(f"{_called(target)} is async; the function that makes a Labor is a plain one")
    if not isinstance(labor, Labor):
        raise Refused(f"{_called(target)} returned {_a(labor)}; it is to return a cogwork.Labor")
    return labor


def _with(error: SystemExit) -> str:
    return "" if error.code is None else f" with {error.code!r}"


def source_of(text: str) -> str:
    """The script or module of what was typed."""
    return Target.parse(text).source


def _called(target: Target) -> str:
    return f"{target.source}:{target.name or 'labor'}"


def import_source(source: str) -> ModuleType:
    """A script by its path, or a module by its name. Refused tells the user's own lines where it fails."""
    try:
        with _guard.importing(source, "the shell runs its Labors in an engine of its own"):
            return _importing.import_source(source)
    except _importing.NotImported as error:
        raise Refused(str(error)) from None


# ---- what is in it ----


def _find(module: ModuleType, target: Target) -> Labor | Callable[..., Any]:
    contents = vars(module)
    name = target.name or "labor"
    if target.name and name not in contents:
        raise Refused(f"{target.source} has no {name!r} ({_there_is(module)}){did_you_mean(name, _choices(module))}")
    if name in contents:
        found = contents[name]
        if isinstance(found, Cog):
            raise Refused(f"{_called(target)} is a Cog; what is run is a Labor, or a function that makes one")
        if isinstance(found, Labor) or (callable(found) and not isinstance(found, type)):
            return found
        raise Refused(f"{_called(target)} is {_a(found)}; what is run is a Labor, or a function that makes one")
    labors = {id(value): value for value in contents.values() if isinstance(value, Labor)}
    if len(labors) == 1:
        return next(iter(labors.values()))
    if labors:
        raise Refused(f"{target.source} has {len(labors)} Labors; say which: {_there_is(module)}")
    raise Refused(f"{target.source} has no Labor, and no function `labor` that makes one; {_there_is(module)}")


def _choices(module: ModuleType) -> list[str]:
    """What could be meant: Labors, and the module's own functions. Those that say that they make a Labor come alone."""
    own = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
    }
    makers = [name for name, value in own.items() if _returns_labor(value)]
    labors = [name for name, value in vars(module).items() if isinstance(value, Labor)]
    return labors + (makers or ([] if labors else list(own)))


def _returns_labor(function: Callable[..., Any]) -> bool:
    hint = getattr(function, "__annotations__", {}).get("return")
    return hint is Labor or (isinstance(hint, str) and hint.rpartition(".")[2] == "Labor")


def _there_is(module: ModuleType) -> str:
    names = _choices(module)
    return f"there is {', '.join(names)}" if names else "there is nothing in it that could be run"


def _a(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
