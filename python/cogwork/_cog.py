"""The `@cog` decorator: a Python function as a Cog (C1, C2)."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import math
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

from . import _core, _guard
from ._binding import Binding, called, checked_signature, enclosing, explain, schema
from ._codec import encodable, encoder, too_deep
from ._context import Context, current
from ._durations import seconds_of
from ._errors import CogError
from ._hints import AtSubmit, is_context, may_be_bool
from ._identity import is_held, is_module_level, is_run_again, is_same, origin_of, place_of
from ._model import Duration, Job, OnInterrupt

if TYPE_CHECKING:
    from ._engine import Engine

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

registry = _core.CogRegistry()
"""The Cogs of this process, as the core knows them."""
_cogs: dict[str, _Cog] = {}
_lock = threading.Lock()
engines: weakref.WeakSet[Engine] = weakref.WeakSet()
"""Open engines: a Labor in them may have waited for a Cog that is registered now (R4)."""
_last_called = ""
_marks: dict[int, _Mark] = {}
"""By the identity of the text that a Cog's Jobs have as their cog_path: so a Job tells which Cog made it."""


def find_cog(name: str) -> _Cog | None:
    """The Cog of that name, if one is registered."""
    return _cogs.get(name)


def cog_names() -> list[str]:
    """The names of all Cogs of this process."""
    return sorted(_cogs)


def any_async() -> bool:
    """Whether one of them is async."""
    return True in [cog.is_async for cog in list(_cogs.values())]


def lost_cog(cog_path: str) -> str | None:
    """Why a Job may not be run that has this very text as its cog_path: the Cog that made it was replaced by another function of that name (C1)."""
    mark = _marks.get(id(cog_path))
    return None if mark is None else mark.lost


def last_called() -> str:
    """The name of the Cog that was called as a function last: what came out may stand in a tree, in the place of a Job."""
    return _last_called


class _Mark:
    """Stands for a Cog in its Jobs. It holds nothing of it."""

    def __init__(self, name: str) -> None:
        self.token = name.encode().decode()  # another text than any that is written somewhere
        self.lost: str | None = None


class _Cog:
    """A registered function, as the engine knows it. It stays when nobody holds its `Cog` any more: a Job may name it."""

    def __init__(
        self,
        function: Callable[..., Any],
        frame: FrameType,
        *,
        name: str | None,
        timeout: Duration | None,
        retries: int | None,
        retry_delay: Duration | None,
        retry_backoff: float | None,
        retry_max_delay: Duration | None,
        on_interrupt: OnInterrupt | str | None,
        idempotent: bool,
        owner: str,
        desc: str | None,
        tags: list[str] | None,
    ) -> None:
        if not callable(function) or isinstance(function, type):
            raise CogError(f"@cog decorates a function, not {function!r}")
        self.function = function
        self.name = _checked_name(function, name)
        code = called(function)
        if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
            raise CogError(
                f"cog {self.name!r} is a generator: calling it would run nothing of it; return what it yields, as a list"
            )
        self.is_async = inspect.iscoroutinefunction(code)
        self.origin = origin_of(function)
        self.place = place_of(function, frame)
        self.registered_by = frame.f_code
        self.owner = owner
        self.desc = desc if desc is not None else inspect.cleandoc(function.__doc__ or "")
        self.tags = list(tags or [])
        self.idempotent = bool(idempotent)
        self.validators: list[Callable[..., Any]] = []
        self.mark = _Mark(self.name)
        self.face: weakref.ref[Cog[..., Any]] | None = None
        """What a user holds of it."""
        self._signature = checked_signature(function, self.name)
        self._binding: Binding | None = None
        # Its hints may name what is local to the functions around it. What is not there yet is looked for later.
        self._frames = enclosing(frame, getattr(code, "__qualname__", ""))
        self.options: dict[str, Any] = {
            "timeout": _duration(timeout, "timeout", self.name, above=True),
            "retries": _number(retries, "retries", self.name, int, 0),
            "retry_delay": _duration(retry_delay, "retry_delay", self.name),
            "retry_backoff": _number(retry_backoff, "retry_backoff", self.name, (int, float), 1),
            "retry_max_delay": _duration(retry_max_delay, "retry_max_delay", self.name),
            "on_interrupt": _on_interrupt(on_interrupt, self.name),
        }
        with contextlib.suppress(AtSubmit):
            self.binding  # noqa: B018

    def register(self, face: Cog[..., Any]) -> None:
        """Makes it the Cog of its name (C1)."""
        self.face = weakref.ref(face)
        before = self._before()
        with _lock:
            if _cogs.get(self.name) is not before:
                raise CogError(f"the cog name {self.name!r} is being registered by another thread at this moment, too")
            registry.add(self.name, self.origin, self.is_async, self.idempotent, **self.options)
            _cogs[self.name] = self
            _marks[id(self.mark.token)] = self.mark
            if before is not None and before.mark.lost is None:
                _marks.pop(id(before.mark.token), None)
        for engine in list(engines):
            engine._cog_registered()

    def _before(self) -> _Cog | None:
        """The one that had the name, and may be replaced: it is the same function, or was defined anew, or nobody uses it. Else CogError."""
        before = find_cog(self.name)
        if before is None or before.origin != self.origin or is_same(before.function, self.function):
            return before
        if is_module_level(before.function) and is_module_level(self.function):
            return before
        text = f"{self.origin} was made twice: {before.place}, and {self.place}; these are two Cogs, and need two names: @cog(name=...)"
        if not is_run_again(self.registered_by, before.registered_by) and before.in_use():
            raise CogError(f"the cog name {self.name!r} is taken: {text}")
        before.mark.lost = f"the Cog that made this Job is not the one that is called {self.name!r} now: {text}"
        return before

    def in_use(self) -> bool:
        """Whether somebody holds it, or a Labor that calls it may go on in an open engine."""
        if self.face is not None and self.face() is not None:
            gc.collect()  # what only a cycle holds is not held by anybody
            functions = [cog.function for cog in _cogs.values()]
            if is_held(self.face, functions):
                return True
        return any(engine._calls(self.name) for engine in list(engines))

    @property
    def binding(self) -> Binding:
        """How args reach the function. Made when it is registered, or, since a hint may name what is defined further down, at first use."""
        if self._binding is None:
            local: dict[str, Any] = {}
            for frame in reversed(self._frames):
                local.update(frame.f_locals)
            self._binding = Binding(self.function, self._signature, self.name, local)
            self._frames = []
        return self._binding

    @property
    def takes_context(self) -> bool:
        return self.binding.takes_context

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Those that are args: not the Context."""
        return self._signature[self.takes_context :]

    def job(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
        if args:
            names = self._positional()
            if len(args) > len(names):
                raise TypeError(f"cog {self.name!r} takes {len(names)} positional arguments, {len(args)} were given")
            for key, value in zip(names, args, strict=False):
                if key in kwargs:
                    raise TypeError(f"cog {self.name!r} got two values for {key!r}")
                kwargs[key] = value
        return Job(self.mark.token, kwargs)

    @property
    def context_first(self) -> bool:
        """Whether the first parameter is the Context, as far as is known yet."""
        try:
            return self.binding.takes_context
        except CogError:  # submit will say what is wrong with the hints
            return bool(self._signature) and _looks_like_context(self._signature[0].annotation)

    def _positional(self) -> list[str]:
        """The parameters that may be given without their names: not the Context, which is no arg."""
        return [p.name for p in self._signature[self.context_first :] if p.kind is not p.KEYWORD_ONLY]

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "origin": self.origin,
            "owner": self.owner,
            "desc": self.desc,
            "tags": list(self.tags),
            "is_async": self.is_async,
            "args": schema(self.binding.struct, self._signature),
        }

    # ---- whether args will do ----

    def problem(self) -> str | None:
        """Why it cannot be called, whatever the args: a hint that names nothing."""
        if self._binding is None:
            try:
                self.binding  # noqa: B018
            except CogError as error:
                return str(error)
        return None

    def no_check(self) -> str | None:
        """Why it can be no check: its hint says that it answers no yes and no no (X8). None where it may be one, as far as is known."""
        if self.problem() is not None or may_be_bool(self.binding.returns):
            return None
        hint = self.binding.returns
        said = "None" if hint in (None, type(None)) else getattr(hint, "__name__", None) or str(hint)
        return f"cog {self.name!r} returns {said}, as its hint says; a check returns True or False"

    def check(self, args: dict[str, Any]) -> str | None:
        """What is wrong with these args, or None. They are tried as they will arrive: encoded and decoded."""
        try:
            packed = encoder.encode(args)
        except Exception as error:
            raise_from_handler(error)
            return f"args cannot be encoded: {error}"
        return "args are nested too deep" if too_deep(packed) else self.check_packed(packed)

    def check_packed(self, packed: bytes) -> str | None:
        """As `check`, of args as msgpack."""
        if problem := self.problem():
            return problem
        binding = self.binding
        try:
            decoded = binding.decode(packed)
        except Exception as error:
            raise_from_handler(error)
            return self.explain(error)
        for validator in self.validators:
            positional, keywords = binding.arguments(decoded)
            try:
                if validator(*positional, **keywords) is False:
                    return f"args: {getattr(validator, '__name__', 'the validator')} says no"
            except Exception as error:
                raise_from_handler(error)
                return f"args: {error}" if str(error) else f"args: {type(error).__name__}"
        return None

    def explain(self, error: Exception) -> str:
        """Why args could not be decoded."""
        if not isinstance(error, msgspec.DecodeError):
            return f"args: {error}" if str(error) else f"args: {type(error).__name__}"
        said = explain(str(error), self.binding.names)
        for first in self.parameters[:1]:  # a Context that was not annotated is an arg
            if first.name in ("ctx", "context") and said == f"args: {first.name!r} is missing":
                return f"{said}; for the call's Context write `{first.name}: cw.Context`"
        return said

    def __repr__(self) -> str:
        return f"<cog {self.name!r} of {self.origin}>"


def _checked_name(function: Callable[..., Any], name: str | None) -> str:
    if name is None:
        name = getattr(function, "__name__", None)
        if name is None:
            raise CogError(f"{function!r} has no name of its own; give it one: @cog(name=...)")
    if not isinstance(name, str) or not name or name != name.strip():
        raise CogError(f"a Cog's name must be text that is not empty, is {name!r}")
    if encodable(name) != name or not name.isprintable():
        raise CogError(f"a Cog's name must be text that can be encoded and shown, is {name!r}")
    if "/" in name or name.startswith("python:"):
        raise CogError(
            f"the name {name!r} is that of a program; a Cog of this process is called otherwise: @cog(name=...)"
        )
    return name


def raise_from_handler(error: BaseException) -> None:
    """Raises it on if it comes from a signal's handler: that interrupts anything, and says nothing about what it interrupted."""
    if threading.current_thread() is not threading.main_thread():
        return
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code in handlers:
            raise error


def _duration(duration: Duration | None, what: str, name: str, above: bool = False) -> float | None:
    if duration is None:
        return None
    try:
        seconds = seconds_of(duration)
    except (TypeError, ValueError) as error:
        raise CogError(f"cog {name!r}: {what}: {error}") from None
    if seconds < 0 or (above and seconds == 0) or math.isinf(seconds):
        raise CogError(f"cog {name!r}: {what} must be {'longer than 0' if above else '0 or longer'}, is {duration!r}")
    return seconds


def _number(value: Any, what: str, name: str, kind: Any, least: int) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= 2**31 - 1:
        number = "a whole number" if kind is int else "a number"
        raise CogError(f"cog {name!r}: {what} must be {number} of {least} or more, is {value!r}")
    return value


def _on_interrupt(value: OnInterrupt | str | None, name: str) -> int:
    if value is None:
        return -1
    try:
        return list(OnInterrupt).index(OnInterrupt(value))
    except ValueError:
        raise CogError(f"cog {name!r}: on_interrupt is RETRY, FAIL or HOLD, not {value!r}") from None


# ---- what users hold ----


class Cog(Generic[P, R]):
    """What `cog` makes of a function. Calling it calls the function, so that it can be tested as one."""

    def __init__(self, cog: _Cog) -> None:
        functools.update_wrapper(self, cog.function)
        self._cog = cog
        self.name: str = cog.name
        """What its Jobs call it."""
        self.owner: str = cog.owner
        """Who sees to it."""
        self.desc: str = cog.desc
        """For people; the function's docstring, if not given."""
        self.tags: list[str] = cog.tags
        """For people."""
        cog.register(self)

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        def job(self, *args: P.args, **kwargs: P.kwargs) -> Job: ...

    else:

        def __call__(self, *args, **kwargs):
            global _last_called
            if current.get() is None:  # not in a Cog
                _guard.check_call(self.name)
                _last_called = self.name
            return self._cog.function(*args, **kwargs)

        def job(self, *args, **kwargs):
            """A Job that calls this Cog with these args, which are those of the function. Their types are checked at submit."""
            return self._cog.job(args, kwargs)

    def __reduce__(self) -> str:
        """Pickled and copied as functions are: by its name in its module."""
        return getattr(self, "__qualname__", self.name)

    def validator(self, function: F) -> F:
        """Adds a check of one's own: it gets the args as the Cog would, raises (or returns False) where they will not do.

        >>> @cw.cog
        ... def reboot(host: str) -> None: ...
        >>> @reboot.validator
        ... def not_the_core(host: str) -> None:
        ...     if host.startswith("core-"):
        ...         raise ValueError(f"{host} must not be rebooted by a program")
        >>> reboot.validate({"host": "core-1"})
        Traceback (most recent call last):
        cogwork.CogError: args: core-1 must not be rebooted by a program
        """
        self._cog.validators.append(function)
        return function

    def validate(self, args: dict[str, Any]) -> None:
        """Raises CogError where the Cog would not take these args (C1)."""
        if problem := self._cog.check(args):
            raise CogError(problem)

    def describe(self) -> dict[str, Any]:
        """Owner, description, tags, and the JSON schema of the args (C1)."""
        return self._cog.describe()

    @property
    def function(self) -> Callable[P, R]:
        """The function itself."""
        function: Callable[P, R] = self._cog.function
        return function

    @property
    def origin(self) -> str:
        """Module and qualified name: by them a stored Labor finds it again (R4)."""
        return self._cog.origin

    def __repr__(self) -> str:
        return repr(self._cog)


class ContextCog(Cog[P, R]):
    """A `Cog` whose function has a `Context` as its first parameter. That is no arg: `job` leaves it out."""

    if TYPE_CHECKING:

        def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R: ...  # type: ignore[override]
        def job(self, *args: P.args, **kwargs: P.kwargs) -> Job: ...


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> ContextCog[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Cog[P, R]: ...


@overload
def cog(function: Callable[Concatenate[Context, P], R], /) -> ContextCog[P, R]: ...
@overload
def cog(function: Callable[P, R], /) -> Cog[P, R]: ...
@overload
def cog(
    *,
    name: str | None = None,
    timeout: Duration | None = None,
    retries: int | None = None,
    retry_delay: Duration | None = None,
    retry_backoff: float | None = None,
    retry_max_delay: Duration | None = None,
    on_interrupt: OnInterrupt | str | None = None,
    idempotent: bool = False,
    owner: str = "",
    desc: str | None = None,
    tags: list[str] | None = None,
) -> _Decorator: ...


def cog(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: Duration | None = None,
    retries: int | None = None,
    retry_delay: Duration | None = None,
    retry_backoff: float | None = None,
    retry_max_delay: Duration | None = None,
    on_interrupt: OnInterrupt | str | None = None,
    idempotent: bool = False,
    owner: str = "",
    desc: str | None = None,
    tags: list[str] | None = None,
) -> Any:
    """Registers a function, plain or async, as a Cog. `@cog` alone, or with defaults for its Jobs (X8):

    >>> @cw.cog(timeout=30, retries=2, retry_delay=1)
    ... def upgrade(host: str, version: str) -> str:
    ...     return f"{host} runs {version}"
    >>> upgrade("edge-1", version="2.1")
    'edge-1 runs 2.1'
    >>> upgrade.job(host="edge-1", version="2.1")
    Job(cog_path='upgrade', args={'host': 'edge-1', 'version': '2.1'})

    name: the function's, if not given. timeout: how long an attempt may take, in seconds or as a timedelta; 5 minutes if not given.
    retries: how often it is tried again; 0. retry_delay, retry_max_delay: seconds or timedelta. retry_backoff: each delay is that
    many times the one before; 1.
    idempotent: it is safe to run again after a crash (R2). on_interrupt: what else to do then, RETRY, FAIL or HOLD; HOLD.
    owner, desc, tags: for `describe()`.

    Its args are checked against its type hints at submit. Registering the same function again (a notebook cell that is run twice, a module that is
    loaded anew) replaces it. Another one under a name that is taken raises CogError (C1); so does one of several functions that are made in the same
    place - by a factory, a lambda, the method of another object - while somebody holds the one before: give each a name. Any thread.
    """
    options: dict[str, Any] = {
        "name": name,
        "timeout": timeout,
        "retries": retries,
        "retry_delay": retry_delay,
        "retry_backoff": retry_backoff,
        "retry_max_delay": retry_max_delay,
        "on_interrupt": on_interrupt,
        "idempotent": idempotent,
        "owner": owner,
        "desc": desc,
        "tags": tags,
    }

    def make(target: Callable[..., Any], frame: FrameType) -> Any:
        if isinstance(target, Cog):
            options["name"] = name or target.name
            target = target._cog.function
        made = _Cog(target, frame, **options)
        return (ContextCog if made.context_first else Cog)(made)

    def decorate(target: Callable[..., Any]) -> Any:
        return make(target, sys._getframe(1))

    return decorate if function is None else make(function, sys._getframe(1))


def _looks_like_context(annotation: Any) -> bool:
    return is_context(annotation) or (isinstance(annotation, str) and annotation.rpartition(".")[2] == "Context")
