"""The `@cog` decorator: a Python function as a Cog (C1, C2)."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import operator
import pathlib
import re
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Union, overload

import msgspec

from . import _core
from ._codec import OneOf, decode_other, encodable, encode_other, encoder, seconds_of
from ._context import Context
from ._errors import CogError
from ._model import Duration, Job, OnInterrupt, did_you_mean

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


def find_cog(name: str) -> _Cog | None:
    """The Cog of that name, if one is registered."""
    return _cogs.get(name)


def cog_names() -> list[str]:
    """The names of all Cogs of this process."""
    return sorted(_cogs)


class _Cog:
    """A registered function. Calling it calls the function, so that it can be tested as one."""

    def __init__(
        self,
        function: Callable[..., Any],
        frame: FrameType | None = None,
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
        if not callable(function):
            raise CogError(f"@cog decorates a function, not {function!r}")
        functools.update_wrapper(self, function)
        self.function = function
        called = _called(function)
        if name is None and not hasattr(function, "__name__"):
            raise CogError(f"{function!r} has no name of its own; give it one: @cog(name=...)")
        self.name: str = name if name is not None else function.__name__
        if not isinstance(self.name, str) or not self.name or self.name != self.name.strip():
            raise CogError(f"a Cog's name must be text that is not empty, is {self.name!r}")
        if encodable(self.name) != self.name:
            raise CogError(f"a Cog's name must be text that can be encoded, is {self.name!r}")
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            raise CogError(
                f"cog {self.name!r} is a generator: calling it would run nothing of it; return what it yields, as a list"
            )
        self.is_async = inspect.iscoroutinefunction(called)
        self.origin = _origin(called)
        self.owner = owner
        self.desc = desc if desc is not None else inspect.cleandoc(function.__doc__ or "")
        self.tags = list(tags or [])
        self._validators: list[Callable[..., Any]] = []
        self._signature = _checked_signature(function, self.name)
        self._binding: _Binding | None = None
        # Its hints may name what is local to the functions around it. What is not there yet is looked for later.
        self._frames = _enclosing(frame, getattr(called, "__qualname__", ""))
        if self._frames:
            self.problem()
        options: dict[str, Any] = {
            "timeout": _duration(timeout, "timeout", self.name, above=True),
            "retries": _number(retries, "retries", self.name, int, 0),
            "retry_delay": _duration(retry_delay, "retry_delay", self.name),
            "retry_backoff": _number(retry_backoff, "retry_backoff", self.name, (int, float), 1),
            "retry_max_delay": _duration(retry_max_delay, "retry_max_delay", self.name),
            "on_interrupt": _on_interrupt(on_interrupt, self.name),
        }
        self.idempotent = bool(idempotent)
        self.options = options
        with _lock:
            registry.add(self.name, self.origin, self.is_async, self.idempotent, **options)
            _cogs[self.name] = self
        for engine in list(engines):
            engine._cog_registered()

    # ---- for users ----

    def job(self, *args: Any, **kwargs: Any) -> Job:
        """A Job that calls this Cog with these args, which are those of the function. Their types are checked at submit."""
        if args:
            names = self._positional()
            if len(args) > len(names):
                raise TypeError(f"cog {self.name!r} takes {len(names)} positional arguments, {len(args)} were given")
            for key, value in zip(names, args, strict=False):
                if key in kwargs:
                    raise TypeError(f"cog {self.name!r} got two values for {key!r}")
                kwargs[key] = value
        return Job(self.name, kwargs)

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
        self._validators.append(function)
        return function

    def validate(self, args: dict[str, Any]) -> None:
        """Raises CogError where the Cog would not take these args (C1)."""
        if problem := self.check(args):
            raise CogError(problem)

    def describe(self) -> dict[str, Any]:
        """Owner, description, tags, and the JSON schema of the args (C1)."""
        return {
            "name": self.name,
            "origin": self.origin,
            "owner": self.owner,
            "desc": self.desc,
            "tags": list(self.tags),
            "is_async": self.is_async,
            "args": _schema(self.binding.struct, self._signature),
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def _positional(self) -> list[str]:
        """The parameters that may be given without their names: not the Context, which is no arg."""
        parameters = self._signature
        try:
            context_first = self.binding.takes_context
        except CogError:  # submit will say what is wrong with the hints
            context_first = bool(parameters) and _looks_like_context(parameters[0].annotation)
        return [p.name for p in parameters[context_first:] if p.kind is not p.KEYWORD_ONLY]

    def __repr__(self) -> str:
        return f"<cog {self.name!r} of {self.origin}>"

    # ---- for the engine ----

    @property
    def binding(self) -> _Binding:
        """How args reach the function; made at first use, since a hint may name what is defined further down."""
        if self._binding is None:
            local: dict[str, Any] = {}
            for frame in reversed(self._frames):
                local.update(frame.f_locals)
            self._binding = _Binding(self.function, self._signature, self.name, local)
            self._frames = []
        return self._binding

    @property
    def takes_context(self) -> bool:
        return self.binding.takes_context

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Those that are args: not the Context."""
        return self._signature[self.takes_context :]

    def problem(self) -> str | None:
        """Why it cannot be called, whatever the args: a hint that names nothing."""
        if self._binding is None:
            try:
                self.binding  # noqa: B018
            except CogError as error:
                return str(error)
        return None

    def check(self, args: dict[str, Any]) -> str | None:
        """What is wrong with these args, or None. They are tried as they will arrive: encoded and decoded."""
        try:
            packed = encoder.encode(args)
        except Exception as error:
            return f"args cannot be encoded: {error}"
        return self.check_packed(packed)

    def check_packed(self, packed: bytes) -> str | None:
        """As `check`, of args as msgpack."""
        if problem := self.problem():
            return problem
        binding = self.binding
        try:
            decoded = binding.decode(packed)
        except Exception as error:
            return self.explain(error)
        for validator in self._validators:
            positional, keywords = binding.arguments(decoded)
            try:
                if validator(*positional, **keywords) is False:
                    return f"args: {getattr(validator, '__name__', 'the validator')} says no"
            except Exception as error:
                return f"args: {error}"
        return None

    def explain(self, error: Exception) -> str:
        """Why args could not be decoded."""
        return _explain(str(error), self.binding.names) if isinstance(error, msgspec.DecodeError) else f"args: {error}"


class _Binding:
    """A function's parameters as a msgspec Struct, and back to a call."""

    def __init__(
        self, function: Callable[..., Any], parameters: list[inspect.Parameter], name: str, local: dict[str, Any]
    ) -> None:
        hints = _type_hints(inspect.unwrap(_called(function)), name, local)
        self.takes_context = bool(parameters) and _is_context(hints.get(parameters[0].name, parameters[0].annotation))
        if self.takes_context:
            parameters = parameters[1:]
        fields: list[Any] = []
        for parameter in parameters:
            hint = _decodable(hints.get(parameter.name, Any))
            if parameter.default is parameter.empty:
                fields.append((parameter.name, hint))
            else:
                # Not given: the function's own default, whatever that is.
                fields.append((parameter.name, hint | msgspec.UnsetType if hint is not Any else Any, msgspec.UNSET))
        try:
            self.struct = msgspec.defstruct(f"{name} args", fields, forbid_unknown_fields=True, kw_only=True)
            self._decoder = msgspec.msgpack.Decoder(self.struct, dec_hook=decode_other)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise CogError(f"cog {name!r}: its parameters cannot be read from args: {error}") from error
        self.decode: Callable[[bytes], Any] = self._decoder.decode
        self.names = [parameter.name for parameter in parameters]
        self._plain = all(p.default is p.empty and p.kind is not p.KEYWORD_ONLY for p in parameters)
        self._positional_only = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]

    def arguments(self, decoded: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What to call the function with."""
        if self._plain:
            return msgspec.structs.astuple(decoded), {}
        given = {name: value for name in self.names if (value := getattr(decoded, name)) is not msgspec.UNSET}
        positional = tuple(given.pop(name) for name in self._positional_only if name in given)
        return positional, given


def _checked_signature(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise CogError(
                f"cog {name!r}: a Cog names its parameters; {stars}{parameter.name} cannot be checked at submit"
            )
        if parameter.name.startswith("__"):
            raise CogError(f"cog {name!r}: a parameter cannot be called {parameter.name!r}")
    return parameters


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs when it is called: behind partials, and objects that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    called: Callable[..., Any] = type(function).__call__
    return called


def _enclosing(frame: FrameType | None, qualname: str) -> list[FrameType]:
    """The functions in the middle of which a function is being defined, the innermost first."""
    frames = []
    for outer in reversed(qualname.split(".<locals>.")[:-1]):
        name = outer.rpartition(".")[2]
        while frame is not None and frame.f_code.co_name != name:
            frame = frame.f_back
        if frame is None:
            break
        frames.append(frame)
        frame = frame.f_back
    return frames


def _schema(struct: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """The JSON schema of a Cog's args, defaults included."""

    def of_other(hint: Any) -> dict[str, Any]:
        return {"description": hint.__name__} if issubclass(hint, OneOf) else {"type": "string"}

    schema = msgspec.json.schema(struct, schema_hook=of_other)
    _, _, name = schema["$ref"].rpartition("/")
    properties = schema["$defs"][name]["properties"]
    for parameter in parameters:
        if parameter.name in properties and parameter.default is not parameter.empty:
            with contextlib.suppress(Exception):  # a default that JSON cannot hold is left out
                default = msgspec.to_builtins(parameter.default, str_keys=True, enc_hook=encode_other)
                properties[parameter.name]["default"] = default
    return schema


def _type_hints(function: Callable[..., Any], name: str, local: dict[str, Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, localns=local or None, include_extras=True)
    except NameError:
        # A function inside another one: what its hints name may be local to that, or to where it is used.
        closure = inspect.getclosurevars(function)
        names = {**closure.globals, **closure.nonlocals, "Context": Context, **local}
        try:
            return typing.get_type_hints(function, localns=names, include_extras=True)
        except NameError as error:
            raise CogError(f"cog {name!r} cannot be called: a hint names what cannot be found: {error}") from error
    except Exception as error:  # whatever evaluating a hint may raise
        raise CogError(f"cog {name!r} cannot be called: its hints cannot be read: {error}") from error


def _decodable(hint: Any) -> Any:
    """msgspec takes one class that it does not know in a union, and nothing beside it; `IPv4Address | IPv6Address` is made one."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = _decodable(parts[0])
        return hint if inner is parts[0] else operator.getitem(Annotated, (inner, *parts[1:]))
    if origin is Union or origin is types.UnionType:
        members = tuple(_decodable(part) for part in parts)
        try:
            msgspec.msgpack.Decoder(hint, dec_hook=decode_other)
        except TypeError:
            one: Any = OneOf.of(tuple(m for m in members if m is not type(None)))
            return one | None if type(None) in members else one
        return hint
    if origin in (list, set, frozenset, dict, tuple) and parts:
        members = tuple(_decodable(part) for part in parts)
        return hint if members == parts else origin[members]
    return hint


def _is_context(hint: Any) -> bool:
    return (
        hint is Context or (isinstance(hint, type) and issubclass(hint, Context)) or hint in ("Context", "cw.Context")
    )


def _origin(function: Callable[..., Any]) -> str:
    """Module and qualified name; a script run as `__main__` counts as the module of its file's name (R4)."""
    module = getattr(function, "__module__", None) or "?"
    if module == "__main__":
        main = sys.modules.get("__main__")
        if file := getattr(main, "__file__", None):
            module = pathlib.Path(file).stem
    return f"{module}:{getattr(function, '__qualname__', repr(function))}"


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


def _explain(message: str, names: list[str]) -> str:
    """msgspec's words in ours: `args: 'version' is missing`."""
    if match := re.fullmatch(r"Object missing required field `(.+?)`", message):
        return f"args: {match[1]!r} is missing"
    if match := re.fullmatch(r"Object contains unknown field `(.+?)`", message):
        return f"args: there is no parameter {match[1]!r}{did_you_mean(match[1], names)}"
    if match := re.fullmatch(r"(.+?) - at `\$\.(.+?)`", message, re.DOTALL):
        text = match[1].replace("`", "")
        return f"args: {match[2]!r}: {text[:1].lower()}{text[1:]}"
    return f"args: {message.replace('`', '')}"


# ---- what type checkers see ----


class Cog(_Cog, Generic[P, R]):
    """What `cog` makes of a function. Calling it calls the function, so that it can be tested as one; it has `name`, `owner`, `desc`
    and `tags`."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        def job(self, *args: P.args, **kwargs: P.kwargs) -> Job: ...


class ContextCog(_Cog, Generic[P, R]):
    """A `Cog` whose function has a `Context` as its first parameter. That is no arg: `job` leaves it out."""

    if TYPE_CHECKING:

        def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
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

    Its args are checked against its type hints at submit. Registering the same function again (a notebook cell that is run twice)
    replaces it; another one under a name that is taken raises CogError (C1). Any thread.
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
        parameters = list(inspect.signature(target).parameters.values()) if callable(target) else []
        context_first = bool(parameters) and _looks_like_context(parameters[0].annotation)
        return (ContextCog if context_first else Cog)(target, frame, **options)

    def decorate(target: Callable[..., Any]) -> Any:
        return make(target, sys._getframe(1))

    return decorate if function is None else make(function, sys._getframe(1))


def _looks_like_context(annotation: Any) -> bool:
    return _is_context(annotation) or (isinstance(annotation, str) and annotation.rpartition(".")[2] == "Context")
