"""What a Cog returned, judged: a yes or a no, a value, or work that was only promised (X8)."""

from __future__ import annotations

import concurrent.futures
import functools
import inspect
import reprlib
from types import CoroutineType
from typing import Any

from ._codec import encoder
from ._cog import Cog

_VALUES = (type(None), str, bytes, bytearray, memoryview, bool, int, float, list, tuple, dict, set, frozenset)
"""What is data, whatever else it can do: a memoryview is a context manager, too."""


def yes_or_no(value: Any) -> bool | None:
    """What a check answers: a bool, or a value of a type that is called so, as numpy's. None for any other."""
    if type(value) is bool:
        return value
    return bool(value) if type(value).__name__ in ("bool", "bool_") else None


def no_answer(value: Any) -> str:
    """Says of a check what it returned that is no yes and no no."""
    said = "None" if value is None else f"{reprlib.repr(value)}, of type {type(value).__name__}"
    return f"the check returned {said}, which is neither yes nor no; a check returns True or False"


def undone(value: Any) -> str | None:
    """Says which work was only promised by what a Cog returned: nobody has awaited, iterated or called it. None where that is a value."""
    if isinstance(value, _VALUES):
        return None
    for is_kind, what, remedy in _PROMISES:
        if is_kind(value):
            give_up(value)
            return f"the cog returned {what}, and nothing of it was done: {remedy}"
    return None


def give_up(value: Any) -> None:
    """Ends what nobody will ask for any more, so that it does not run beside the next attempt, or complain when it is collected."""
    if isinstance(value, CoroutineType):
        value.close()
    elif inspect.isawaitable(value) and hasattr(value, "cancel"):
        value.cancel()  # an asyncio.Task, which the same loop runs


def _is_lazy(value: Any) -> bool:
    return inspect.isgenerator(value) or inspect.isasyncgen(value)


def _is_iterator(value: Any) -> bool:
    return hasattr(type(value), "__next__") or hasattr(type(value), "__anext__")


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, (type, functools.partial, Cog))


def _is_context_manager(value: Any) -> bool:
    kind = type(value)
    if not (hasattr(kind, "__exit__") or hasattr(kind, "__aexit__")):
        return False
    try:
        encoder.encode(value)
        return False  # it is data: a path, a dataclass
    except Exception:
        return True


_PROMISES = (
    (
        lambda value: isinstance(value, CoroutineType),
        "a coroutine",
        "did you forget to await it? A function that returns one is declared `async def`, and so is a decorator's around it",
    ),
    (_is_lazy, "a generator", "did you forget to iterate over it? Return a list of what it yields"),
    (inspect.isawaitable, "something to await", "did you forget to await it, or to wait for it?"),
    (
        lambda value: isinstance(value, concurrent.futures.Future),
        "a future",
        "did you forget to ask for its result()?",
    ),
    (_is_iterator, "an iterator", "did you forget to iterate over it? Return a list of what is in it"),
    (_is_function, "something to call", "did you forget to call it?"),
    (
        _is_context_manager,
        "a context manager",
        "did you forget to enter it by `with`? Return what is to be kept of it",
    ),
)
