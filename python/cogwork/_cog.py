"""The `@cog` decorator: a Python function as a Cog (C1, C2)."""

from __future__ import annotations

import functools
import inspect
import pathlib
import re
import sys
import threading
import typing
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

from . import _core
from ._codec import decode_other, encoder, seconds_of
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
        self.name: str = name if name is not None else function.__name__
        if not isinstance(self.name, str) or not self.name or self.name != self.name.strip():
            raise CogError(f"a Cog's name must be text that is not empty, is {self.name!r}")
        self.is_async = inspect.iscoroutinefunction(function)
        self.origin = _origin(function)
        self.owner = owner
        self.desc = desc if desc is not None else inspect.cleandoc(function.__doc__ or "")
        self.tags = list(tags or [])
        self._validators: list[Callable[..., Any]] = []
        self._signature = _checked_signature(function, self.name)
        self._binding: _Binding | None = None
        with _lock:
            registry.add(
                self.name,
                self.origin,
                self.is_async,
                idempotent,
                None if timeout is None else _positive(timeout, "timeout", self.name),
                retries,
                None if retry_delay is None else seconds_of(retry_delay),
                retry_backoff,
                None if retry_max_delay is None else seconds_of(retry_max_delay),
                -1 if on_interrupt is None else list(OnInterrupt).index(OnInterrupt(on_interrupt)),
            )
            _cogs[self.name] = self
        for engine in list(engines):
            engine._cog_registered()

    # ---- for users ----

    def job(self, *args: Any, **kwargs: Any) -> Job:
        """A Job that calls this Cog with these args. Nothing is checked before submit."""
        if args:
            names = [p.name for p in self._signature if p.kind is not p.KEYWORD_ONLY]
            if len(args) > len(names):
                raise TypeError(f"cog {self.name!r} takes {len(names)} positional arguments, {len(args)} were given")
            for key, value in zip(names, args, strict=False):
                if key in kwargs:
                    raise TypeError(f"cog {self.name!r} got two values for {key!r}")
                kwargs[key] = value
        return Job(self.name, kwargs)

    def validator(self, function: F) -> F:
        """Adds a check of one's own: it gets the args as the Cog would, raises (or returns False) where they will not do."""
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
            "args": msgspec.json.schema(self.binding.struct, schema_hook=lambda _: {"type": "string"}),
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<cog {self.name!r} of {self.origin}>"

    # ---- for the engine ----

    @property
    def binding(self) -> _Binding:
        """How args reach the function; made at first use, since a hint may name what is defined further down."""
        if self._binding is None:
            self._binding = _Binding(self.function, self._signature, self.name)
        return self._binding

    @property
    def takes_context(self) -> bool:
        return self.binding.takes_context

    def check(self, args: dict[str, Any]) -> str | None:
        """What is wrong with these args, or None. They are tried as they will arrive: encoded and decoded."""
        try:
            packed = encoder.encode(args)
        except Exception as error:
            return f"args cannot be encoded: {error}"
        binding = self.binding
        try:
            decoded = binding.decode(packed)
        except msgspec.DecodeError as error:
            return _explain(str(error), binding.names)
        except Exception as error:
            return f"args: {error}"
        for validator in self._validators:
            positional, keywords = binding.arguments(decoded)
            try:
                if validator(*positional, **keywords) is False:
                    return f"args: {getattr(validator, '__name__', 'the validator')} says no"
            except Exception as error:
                return f"args: {error}"
        return None


class _Binding:
    """A function's parameters as a msgspec Struct, and back to a call."""

    def __init__(self, function: Callable[..., Any], parameters: list[inspect.Parameter], name: str) -> None:
        hints = _type_hints(function)
        self.takes_context = bool(parameters) and _is_context(hints.get(parameters[0].name, parameters[0].annotation))
        if self.takes_context:
            parameters = parameters[1:]
        fields: list[Any] = []
        for parameter in parameters:
            hint = hints.get(parameter.name, Any)
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


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = inspect.unwrap(function)
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError:
        # A function inside another one: what its hints name may be local to that.
        closure = inspect.getclosurevars(target)
        names = {**closure.globals, **closure.nonlocals, "Context": Context}
        try:
            return typing.get_type_hints(target, localns=names, include_extras=True)
        except NameError as error:
            raise CogError(f"cog {target.__qualname__!r}: a hint names what cannot be found: {error}") from error


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


def _positive(duration: Duration, what: str, name: str) -> float:
    seconds = seconds_of(duration)
    if seconds <= 0:
        raise CogError(f"cog {name!r}: {what} must be longer than 0, is {duration!r}")
    return seconds


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
    """A registered function of args."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        def job(self, *args: P.args, **kwargs: P.kwargs) -> Job: ...


class ContextCog(_Cog, Generic[P, R]):
    """A registered function whose first parameter is a Context."""

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

    name: the function's, if not given. timeout, retry_delay, retry_max_delay: seconds or timedelta.
    idempotent: it is safe to run again after a crash (R2); else on_interrupt says what to do, HOLD if that is not given either.
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

    def decorate(target: Callable[..., Any]) -> Any:
        parameters = list(inspect.signature(target).parameters.values()) if callable(target) else []
        context_first = bool(parameters) and _looks_like_context(parameters[0].annotation)
        return (ContextCog if context_first else Cog)(target, **options)

    return decorate if function is None else decorate(function)


def _looks_like_context(annotation: Any) -> bool:
    return _is_context(annotation) or (isinstance(annotation, str) and annotation.rpartition(".")[2] == "Context")
