"""Imports a user's script or module, and tells what is wrong with it in the user's own lines.

A script is imported under its file's name, with its folder on sys.path: so its Cogs are the ones that a Labor which was submitted
by it names, whatever way it was run (R4).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import linecache
import os
import pathlib
import sys
import sysconfig
import traceback
from types import ModuleType

from ._errors import CogworkError

scripts: dict[str, str] = {}
"""Of the modules that were imported as scripts, the paths that were given for them."""


class NotImported(CogworkError):
    """It is not there, or raised an error."""


def import_source(source: str) -> ModuleType:
    """A script by its path, or a module by its name. NotImported tells the user's own lines where it fails."""
    if source == "-":
        raise NotImported(
            "a script is read from a file, as its Cogs are found again by its name; save it, as rollout.py say"
        )
    path = pathlib.Path(source)
    is_path = source.endswith(".py") or os.sep in source or path.is_file()
    try:
        return _import_script(path) if is_path else _import_module(source)
    except NotImported:
        raise
    except SystemExit as error:
        raise NotImported(told(f"{source} ended the program while it was imported ({error})", error)) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it raises, it is the script's
        raise NotImported(told(f"{source} cannot be imported", error)) from None


def _import_script(path: pathlib.Path) -> ModuleType:
    if path.is_dir():
        raise NotImported(_folder(path))
    if not path.is_file():
        raise NotImported(f"there is no file {path}{_like(path)}" if not path.exists() else f"{path} is no file")
    if path.suffix == ".ipynb":
        raise NotImported(
            f"{path} is a notebook; what defines the Cogs and the Labor goes into a .py file: jupyter nbconvert --to script {path}"
        )
    name = path.stem
    folder = str(path.resolve().parent)
    there = sys.modules.get(name)
    if there is not None:
        if os.path.realpath(getattr(there, "__file__", None) or "") == os.path.realpath(path):
            scripts[name] = str(path)
            return there
        raise NotImported(
            f"{path} would be the module {name!r}, and there is one of that name already"
            f" ({getattr(there, '__file__', None) or 'built in'}); rename the file"
        )
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotImported(f"{path} is no Python file; its name would end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    scripts[name] = str(path)
    return module


def _import_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise NotImported(f"{name!r} is no module's name, and no file{_like(pathlib.Path(name))}")
    try:
        module = importlib.import_module(name)
        if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
            raise NotImported(_folder(pathlib.Path(*name.split("."))))
        return module
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # the module is there; something that it imports is not
        raise NotImported(
            f"there is no module {name!r}{_like(pathlib.Path(name))}; a script is named with its .py"
        ) from None


def _folder(path: pathlib.Path) -> str:
    inside = (
        sorted(entry.name for entry in path.glob("*.py") if entry.name != "__init__.py")[:5] if path.is_dir() else []
    )
    there = f"; in it there is {', '.join(inside)}" if inside else ""
    if (path / "__init__.py").is_file() and not path.is_absolute() and ".." not in path.parts:
        return f"{path} is a package, which is named as a module: {'.'.join(path.parts)}, or one below it{there}"
    return f"{path} is no file but a folder; name the script in it, {path / (inside or ['rollout.py'])[0]} say{there}"


def _like(path: pathlib.Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" - did you mean {str(path.parent / close[0])!r}?" if close else ""


# ---- the user's own lines ----

_OWN = os.path.dirname(os.path.abspath(__file__))
_STDLIB = {os.path.realpath(sysconfig.get_paths()[key]) for key in ("stdlib", "platstdlib")}


def told(what: str, error: BaseException) -> str:
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
