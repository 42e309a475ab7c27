"""How a Job's args reach a Cog's function: its parameters as a msgspec Struct, and back to a call."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec

from ._decoding import Made, decode_other
from ._errors import CogError
from ._hints import AtSubmit, NotKept, decodable, is_context, type_hints
from ._model import JOB_OPTIONS, did_you_mean
from ._plain import plain


class Binding:
    """A function's parameters. Raises CogError where one cannot be an arg, AtSubmit where it can be called
    only when something is mended."""

    def __init__(
        self, function: Callable[..., Any], parameters: list[inspect.Parameter], name: str, local: dict[str, Any]
    ) -> None:
        if parameters and parameters[0].name in ("self", "cls") and parameters[0].annotation is inspect.Parameter.empty:
            raise AtSubmit(
                f"cog {name!r} cannot be called: it is a method, and nothing gives it its {parameters[0].name!r}; decorate a function, "
                f"or make a Cog of the method of an object: cog(thing.{getattr(function, '__name__', name)})"
            )
        hints = type_hints(inspect.unwrap(called(function)), name, local)
        self.returns = hints.get("return", Any)
        self.takes_context = bool(parameters) and is_context(hints.get(parameters[0].name, parameters[0].annotation))
        if self.takes_context:
            parameters = parameters[1:]
        fields: list[Any] = []
        for parameter in parameters:
            hint = _hint_of(parameter, hints, name)
            if parameter.default is parameter.empty:
                fields.append((parameter.name, hint))
            else:
                # Not given: the function's own default, whatever that is.
                fields.append((parameter.name, hint | msgspec.UnsetType if hint is not Any else Any, msgspec.UNSET))
        try:
            self.struct = msgspec.defstruct(f"{name} args", fields, forbid_unknown_fields=True, kw_only=True)
            self._decoder = msgspec.msgpack.Decoder(self.struct, dec_hook=decode_other)
        except NameError as error:
            raise AtSubmit(f"cog {name!r} cannot be called: a hint names what cannot be found: {error}") from error
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


def _hint_of(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Any:
    hint = hints.get(parameter.name, Any)
    if is_context(hint):
        raise AtSubmit(f"cog {name!r} cannot be called: its Context, {parameter.name!r}, must be the first parameter")
    try:
        return decodable(hint)
    except NotKept as error:
        raise CogError(f"cog {name!r}: {parameter.name!r} can be no arg: {error}") from None
    except NameError as error:
        raise AtSubmit(f"cog {name!r} cannot be called: a hint names what cannot be found: {error}") from error


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs when it is called: behind partials, and objects that can be called."""
    while (inside := getattr(function, "func", None)) is not None and type(function).__name__ == "partial":
        function = inside
    if inspect.isroutine(function) or isinstance(function, type) or hasattr(function, "__wrapped__"):
        return function
    call: Callable[..., Any] = type(function).__call__
    return call


def checked_signature(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The parameters. CogError where one cannot be named in args."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:  # of a function in C that does not tell
        raise CogError(
            f"cog {name!r}: its parameters cannot be found out: {error}; write a function around it"
        ) from None
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise CogError(
                f"cog {name!r}: a Cog names its parameters; {stars}{parameter.name} cannot be checked at submit"
            )
        if parameter.name.startswith("__"):
            raise CogError(f"cog {name!r}: a parameter cannot be called {parameter.name!r}")
    return parameters


def enclosing(frame: FrameType | None, qualname: str) -> list[FrameType]:
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


def schema(struct: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """The JSON schema of a Cog's args, defaults included."""

    def of_other(hint: Any) -> dict[str, Any]:
        return {"description": hint.__name__} if issubclass(hint, Made) else {"type": "string"}

    made = msgspec.json.schema(struct, schema_hook=of_other)
    _, _, name = made["$ref"].rpartition("/")
    properties = made["$defs"][name]["properties"]
    for parameter in parameters:
        if parameter.name in properties and parameter.default is not parameter.empty:
            with contextlib.suppress(Exception):  # a default that JSON cannot hold is left out
                default = msgspec.to_builtins(parameter.default, str_keys=True, enc_hook=plain)
                properties[parameter.name]["default"] = default
    return made


def _meant(name: str, names: list[str]) -> str:
    guess = did_you_mean(name, names)
    return guess if guess or name not in JOB_OPTIONS else f" - did you mean .job(...).replace({name}=...)?"


def explain(message: str, names: list[str]) -> str:
    """msgspec's words in ours: `args: 'version' is missing`, `args: 'package.name': expected str, got int`."""
    text, *at = message.split(" - at `")
    if "key` in `$`" in at:
        return "args: the names of parameters are texts"
    # Of a class that is made by our own hand, the inner place comes first.
    path = "".join(place.rstrip("`").removeprefix("$") for place in reversed(at)).removeprefix(".")
    if match := re.fullmatch(r"Object missing required field `(.+?)`", text):
        text = f"{match[1]!r} is missing"
    elif match := re.fullmatch(r"Object contains unknown field `(.+?)`", text):
        text = f"there is no parameter {match[1]!r}{_meant(match[1], names)}"
    elif path:
        text = text.replace("`", "")
        text = f"{text[:1].lower()}{text[1:]}"
    return f"args: {path!r}: {text}" if path else f"args: {text.replace('`', '')}"
