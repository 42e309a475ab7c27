"""From `rollout.py:labor` to the Labor: imports the script, and finds what it holds.

A script is imported under its file's name, with its folder on sys.path: so its Cogs are the ones that a Labor which was submitted
by it names, whatever way it was run (R4).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import linecache
import os
import pathlib
import sys
import sysconfig
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from .. import _guard
from .._cog import _Cog
from .._errors import CogworkError
from .._model import Labor, did_you_mean
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
    module = import_source(target.source)
    found = _find(module, target)
    if isinstance(found, Labor):
        if words:
            raise Refused(
                f"{_called(target)} is a Labor, and takes no values: {words[0]!r}; a function that makes one does"
            )
        return found
    positional, keywords = arguments(found, words, _called(target))
    try:
        labor = found(*positional, **keywords)
    except Exception as error:
        raise Refused(_told(f"{_called(target)} raised an error", error)) from None
    if inspect.iscoroutine(labor):
        labor.close()
        raise Refused(f"{_called(target)} is async; the function that makes a Labor is a plain one")
    if not isinstance(labor, Labor):
        raise Refused(f"{_called(target)} returned {_a(labor)}; it is to return a cogwork.Labor")
    return labor


def _called(target: Target) -> str:
    return f"{target.source}:{target.name or 'labor'}"


# ---- importing ----


def import_source(source: str) -> ModuleType:
    """A script by its path, or a module by its name. Refused tells the user's own lines where it fails."""
    path = pathlib.Path(source)
    is_path = source.endswith(".py") or os.sep in source or path.is_file()
    try:
        with _guard.importing(source):
            return _import_script(path) if is_path else _import_module(source)
    except Refused:
        raise
    except SystemExit as error:
        raise Refused(_told(f"{source} ended the program while it was imported ({error})", error)) from None
    except Exception as error:
        raise Refused(_told(f"{source} cannot be imported", error)) from None


def _import_script(path: pathlib.Path) -> ModuleType:
    if not path.is_file():
        raise Refused(f"there is no file {path}{_like(path)}" if not path.exists() else f"{path} is no file")
    name = path.stem
    folder = str(path.resolve().parent)
    there = sys.modules.get(name)
    if there is not None:
        if os.path.realpath(getattr(there, "__file__", None) or "") == os.path.realpath(path):
            return there
        raise Refused(
            f"{path} would be the module {name!r}, and there is one of that name already"
            f" ({getattr(there, '__file__', None) or 'built in'}); rename the file"
        )
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Refused(f"{path} is no Python file; its name would end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise Refused(f"{name!r} is no module's name, and no file{_like(pathlib.Path(name))}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # the module is there; something that it imports is not
        raise Refused(
            f"there is no module {name!r}{_like(pathlib.Path(name))}; a script is named with its .py"
        ) from None


def _like(path: pathlib.Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" - did you mean {str(path.parent / close[0])!r}?" if close else ""


# ---- what is in it ----


def _find(module: ModuleType, target: Target) -> Labor | Callable[..., Any]:
    contents = vars(module)
    name = target.name or "labor"
    if target.name and name not in contents:
        raise Refused(f"{target.source} has no {name!r} ({_there_is(module)}){did_you_mean(name, _choices(module))}")
    if name in contents:
        found = contents[name]
        if isinstance(found, _Cog):
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


# ---- the user's own lines ----

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STDLIB = {os.path.realpath(sysconfig.get_paths()[key]) for key in ("stdlib", "platstdlib")}


def _told(what: str, error: BaseException) -> str:
    """What happened, with the lines that the user can mend: of their files and of the packages that these use, not of cogwork's or Python's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    lines = [line.rstrip("\n") for line in traceback.format_list(frames)]
    if isinstance(error, CogworkError):
        said = [str(error)]
    else:
        linecache.checkcache()
        said = [line.rstrip("\n") for line in traceback.format_exception_only(type(error), error)]
    if isinstance(error, SystemExit):
        said = []
    return "\n".join([f"{what}:" if said else what, *lines, *said])


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return False
    path = os.path.realpath(filename)
    if path.startswith(os.path.realpath(_OWN) + os.sep):
        return False
    inside = any(path.startswith(folder + os.sep) for folder in _STDLIB)
    return not inside or "site-packages" in path or "dist-packages" in path
