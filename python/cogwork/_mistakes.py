"""Trees as people get them wrong: what stands where a Job, a Sequence, a Task or a list belongs, and what was probably meant (S1)."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from ._cog import Cog, find_cog, last_called
from ._command import CommandCog
from ._durations import meant
from ._model import Job, Labor, Sequence, Task
from ._process import ProcessCog

Kind = type[Job] | type[Sequence] | type[Task]

_LISTS: dict[str, tuple[Kind, str]] = {
    "tasks": (Task, "Tasks"),
    "sequences": (Sequence, "Sequences"),
    "jobs": (Job, "Jobs"),
    "pre_checks": (Job, "Jobs"),
    "cont_checks": (Job, "Jobs"),
}
_MAKES = {
    Job: "a Cog's .job(...) makes one",
    Sequence: "cw.Sequence(target, jobs=[...]) makes one",
    Task: "cw.Task(name, sequences=[...]) makes one",
}


def is_list(value: Any) -> bool:
    """Whether it may stand where a list belongs. None says that there is nothing in it."""
    return value is None or isinstance(value, (list, tuple))


def not_a_list(field: str, value: Any, target: str = "") -> str:
    """Says what stands in the place of a list of Tasks, Sequences, Jobs or tags, and how to make one of it."""
    kind, what = _LISTS.get(field, (None, "texts"))
    said = f"{field}: expected a list of {what}, got {what_is(value)}"
    if kind is not None and isinstance(value, kind):
        return f"{said}; did you mean {field}=[...]?"
    if kind is Job and (made := _job_of(value, target)):
        return f"{said}; did you mean {field}=[{made}]?"
    if isinstance(value, str):
        return f"{said}; did you mean {field}=[{value!r:.60}]?" if field == "tags" else said
    if isinstance(value, (Mapping, set, frozenset)):
        return f"{said}; did you mean {'list(....values())' if isinstance(value, Mapping) else 'sorted(...)'}?"
    if isinstance(value, Iterable):
        return f"{said}; did you mean list(...)?"
    return said


def not_an_item(kind: Kind, value: Any, target: str = "") -> str:
    """Says what stands in the place of a Job, a Sequence or a Task, and what may have been meant."""
    said = f"expected a {kind.__name__}, got {what_is(value)}"
    if kind is Job:
        if made := _job_of(value, target):
            return f"{said}; did you mean {made}?"
        if not isinstance(value, (list, tuple, Job, Sequence, Task, Labor)):
            called = last_called()
            made = f"; did you mean {_call(called, target)}?" if called else ""
            return f"{said}: to call a Cog runs it at once, its .job(...) makes a Job of it{made}"
    if isinstance(value, (list, tuple)):
        return f"{said}: the list stands in another one; [*some, *more] joins them"
    if value is None:
        return f"{said}: did a function forget to return it?"
    return f"{said}; {_MAKES[kind]}"


def not_args(value: Any, cog_path: Any) -> str:
    """Says what stands in the place of a Job's args."""
    said = f"args: expected a dict from the names of parameters to values, got {what_is(value)}"
    cog = find_cog(cog_path) if isinstance(cog_path, str) else None
    if cog is None or cog.problem() is not None or not isinstance(value, (list, tuple)):
        return said
    pairs = [f"{p.name!r}: {item!r:.40}" for p, item in zip(cog.parameters, value, strict=False)]
    return f"{said}; did you mean {{{', '.join(pairs)}}}?" if pairs else said


def not_a_target(value: Any) -> str:
    """Says what stands in the place of a target's text."""
    said = f"target: expected text, got {what_is(value)}"
    return f"{said}; did you mean {str(value)!r:.60}?" if isinstance(value, (int, float)) else said


def not_a_name(value: Any) -> str:
    """Says what stands in the place of the name of a Job's Cog."""
    said = f"cog_path: expected the name of a Cog, got {what_is(value)}"
    name = getattr(value, "name", None) if _is_cog(value) else getattr(value, "__name__", None)
    if isinstance(name, str) and find_cog(name) is None and not _is_cog(value):
        return f"{said}; @cw.cog makes a Cog of a function"
    return f"{said}; did you mean {name!r}, or its .job(...)?" if isinstance(name, str) else said


def not_a_duration(value: str) -> str:
    """Says of a text what it would be as a length of time."""
    return f"expected a number of seconds or a timedelta, got {value!r:.60}{meant(value)}"


def _is_cog(value: Any) -> bool:
    return isinstance(value, (Cog, CommandCog, ProcessCog))


def _job_of(value: Any, target: str) -> str:
    """How to make a Job of what stands for a Cog: itself, its name, its function, or what an async one returned."""
    if isinstance(value, ProcessCog):
        return f"cw.process_cog({value.program!r}).job(...)"
    if _is_cog(value):
        return _call(value.name, target)
    if isinstance(value, str):
        return _call(value, target) if find_cog(value) is not None else ""
    if inspect.iscoroutine(value) or inspect.isroutine(value):
        name = getattr(value, "__name__", "")
        return _call(name, target) if find_cog(name) is not None else ""
    return ""


def _call(name: str, target: str) -> str:
    """`upgrade.job('edge-1', version=...)`: as somebody would write it who has the Cog under its name."""
    cog = find_cog(name)
    if cog is None or cog.problem() is not None:
        return f"{name}.job(...)"
    needed = [p.name for p in cog.parameters if p.default is p.empty]
    words = [repr(target) if target and n == 0 else f"{parameter}=..." for n, parameter in enumerate(needed)]
    if not name.isidentifier():
        return f"cw.Job({name!r}, {{...}})"
    return f"{name}.job({', '.join(words)})"


def what_is(value: Any) -> str:
    """A value in few words."""
    if value is None:
        return "None"
    if _is_cog(value):
        return f"the Cog {value.name!r}"
    if isinstance(value, (Job, Sequence, Task, Labor)):
        return f"a {type(value).__name__}"
    if isinstance(value, str):
        return f"the text {reprlib.repr(value)}"
    if isinstance(value, (bool, int, float, bytes)):
        return reprlib.repr(value)
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '?')!r}"
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
