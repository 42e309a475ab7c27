"""Who a Cog is: the module and name that it is known by over restarts (R4), and whether two functions are one (C1)."""

from __future__ import annotations

import functools
import gc
import inspect
import os
import sys
import weakref
from collections.abc import Callable
from types import CellType, CodeType, FrameType
from typing import Any

from ._binding import called

_MAINS = ("__main__", "__mp_main__")


def origin_of(function: Callable[..., Any]) -> str:
    """Module and qualified name. A module has one name however it was started: as a script, by `python -m`, by runpy, in a child of
    multiprocessing, or imported."""
    code = called(function)
    module = getattr(code, "__module__", None) or "?"
    return f"{_module_name(module, _globals_of(code, module))}:{getattr(code, '__qualname__', repr(code))}"


def _globals_of(code: Callable[..., Any], module: str) -> dict[str, Any]:
    found: dict[str, Any] | None = getattr(inspect.unwrap(code), "__globals__", None)
    if found is not None and found.get("__name__") == module:
        return found
    return vars(sys.modules[module]) if module in sys.modules else {}


def _module_name(module: str, contents: dict[str, Any]) -> str:
    spec, file = contents.get("__spec__"), contents.get("__file__")
    name = getattr(spec, "name", None) or module
    if not isinstance(file, str):
        return name
    by_file = _name_by_file(file)
    if name in _MAINS or name.startswith("<"):
        return by_file
    # The file of `import rollout` may lie in a package, and that of a package without an __init__.py tells less than its name.
    return by_file if by_file.endswith(f".{name}") else name


def _name_by_file(file: str) -> str:
    folder, base = os.path.split(os.path.abspath(file))
    stem = os.path.splitext(base)[0]
    names = [] if stem == "__init__" else [stem]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, base = os.path.split(folder)
        names.insert(0, base)
    if names == ["__main__"]:  # of a folder or an archive that is run
        return os.path.splitext(os.path.basename(folder))[0]
    return ".".join(names)


def place_of(function: Callable[..., Any], frame: FrameType | None) -> str:
    """Where it is written, and, if it is one of several that are made there, where this one was made."""
    code = getattr(inspect.unwrap(called(function)), "__code__", None)
    written = f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else ""
    maker = frame.f_back if frame is not None and "<locals>" in getattr(called(function), "__qualname__", "") else frame
    made = f"{maker.f_code.co_filename}:{maker.f_lineno}" if maker is not None else ""
    if is_module_level(function) or not made or made == written:
        return written or made
    return f"{written}, made at {made}" if written else made


def is_module_level(function: Callable[..., Any]) -> bool:
    """Whether it is what a `def` in a module, or in a class of it, makes: the next one that is called so replaces it, as in Python itself. Not a
    function that another one makes, a lambda, a method of an object, a partial, or an object that can be called."""
    if not (inspect.isfunction(function) or hasattr(function, "__wrapped__")):
        return False
    return "<" not in getattr(function, "__qualname__", "<")


def is_same(one: Any, other: Any, depth: int = 8) -> bool:
    """Whether two functions do the same: their code, and what they hold."""
    if one is other:
        return True
    if type(one) is not type(other) or depth == 0:
        return False
    if isinstance(one, functools.partial):
        parts = [(one.func, other.func), (one.args, other.args), (one.keywords, other.keywords)]
        return all(_is_equal(a, b, depth) for a, b in parts)
    if inspect.ismethod(one):
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    if not inspect.isfunction(one):
        return False
    cells = [
        [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)] for function in (one, other)
    ]
    held: list[tuple[Any, Any]] = [(one.__defaults__, other.__defaults__), (one.__kwdefaults__, other.__kwdefaults__)]
    return (
        one.__code__ == other.__code__
        and len(cells[0]) == len(cells[1])
        and all(_is_equal(a, b, depth) for a, b in [*held, *zip(*cells, strict=True)])
    )


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_equal(one: Any, other: Any, depth: int) -> bool:
    if one is other or is_same(one, other, depth - 1):
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # arrays, and whatever compares in ways of its own
        return False


def is_run_again(code: CodeType, before: CodeType) -> bool:
    """Whether this code, which registers a Cog, is the other one, run again: of a module that is loaded anew, or of a cell of a notebook, which is
    compiled anew each time."""
    return (
        code is not before
        and code.co_name == before.co_name
        and (code.co_filename == before.co_filename or not hasattr(sys.modules.get("__main__"), "__file__"))
    )


def is_held(reference: weakref.ref[Any], functions: list[Any]) -> bool:
    """Whether an object lives for any other reason than that these functions, which are kept anyway, name it: a Cog in a function calls the one beside
    it, and when both are made anew nobody else holds the old ones."""
    held = reference()
    if held is None:
        return False
    kept = {id(function) for function in functions}
    cells = [cell for cell in gc.get_referrers(held) if isinstance(cell, CellType)]
    inside = 0
    for cell in cells:
        closures = [by for by in gc.get_referrers(cell) if isinstance(by, tuple)]
        owners = [owner for by in closures for owner in gc.get_referrers(by) if inspect.isfunction(owner)]
        inside += bool(owners) and all(id(owner) in kept for owner in owners)
    return sys.getrefcount(held) - _OWN_REFERENCES > inside


_OWN_REFERENCES = 2
"""To `held`: that variable, and the argument of getrefcount."""
