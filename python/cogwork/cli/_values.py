"""`key=value` words as the arguments of a function, typed by its own hints."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any, Union

import msgspec

from .._codec import decode_other
from .._model import did_you_mean
from ._app import Refused

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d|w)", re.ASCII)
_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONES = ("none", "null", "")
_LISTS = (list, tuple, set, frozenset)


def arguments(function: Callable[..., Any], words: list[str], called: str) -> tuple[list[Any], dict[str, Any]]:
    """What to call it with. Refused says what is missing, unknown, or not of its type."""
    given: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise Refused(f"{word!r} is no key=value for {called}")
        given.setdefault(key, []).append(text)
    parameters = inspect.signature(function).parameters
    hints = _hints(function, called)
    names = [name for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    rest = next((name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD), None)
    for key in given:
        if key not in names and rest is None:
            takes = f"it takes {', '.join(names)}" if names else "it takes no values"
            raise Refused(f"{called} has no parameter {key!r} ({takes}){did_you_mean(key, names)}")
    missing = [n for n in names if n not in given and parameters[n].default is inspect.Parameter.empty]
    if missing:
        example = " ".join(f"{name}=..." for name in missing)
        raise Refused(f"{called} needs {_and([repr(name) for name in missing])}: add {example}")
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for key, texts in given.items():
        of = parameters[key] if key in names else parameters[rest or ""]
        value = _typed(texts, _hint_of(of, hints), f"{called}: {key}")
        if of.kind is not of.POSITIONAL_ONLY:
            keywords[key] = value
    for name in names:
        if parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY:
            if name not in given:
                break
            positional.append(_typed(given[name], _hint_of(parameters[name], hints), f"{called}: {name}"))
    return positional, keywords


def _hints(function: Callable[..., Any], called: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # whatever evaluating a hint may raise
        raise Refused(f"{called}: its hints cannot be read: {error}") from None


def _hint_of(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    """The hint; where there is none, the type of the default says what is meant."""
    if parameter.name in hints:
        return hints[parameter.name]
    if isinstance(parameter.default, (bool, int, float, str, timedelta, Enum)):
        return type(parameter.default)
    return str


def _typed(texts: list[str], hint: Any, where: str) -> Any:
    if len(texts) > 1 and not _is_list(hint):
        raise Refused(f"{where} is given {len(texts)} times; it takes one value")
    try:
        if len(texts) > 1:
            return _convert([_value(text, _item(hint)) for text in texts], hint)
        return _convert(_value(texts[0], hint), hint)
    except (msgspec.MsgspecError, ValueError, TypeError, NotImplementedError) as error:
        said = str(error).replace("`", "")
        raise Refused(f"{where}={_quoted(texts)}: {said[:1].lower()}{said[1:]}") from None


def _convert(value: Any, hint: Any) -> Any:
    if isinstance(hint, type) and isinstance(value, hint):
        return value
    if isinstance(value, list) and value and all(isinstance(item, Enum) for item in value):
        kind = next(typing.get_origin(member) or member for member in _members(hint) if _is_list(member))
        return kind(value)
    return msgspec.convert(value, hint, strict=False, dec_hook=decode_other)


def _value(text: str, hint: Any) -> Any:
    """What the text stands for, before msgspec makes the hinted type of it."""
    members = _members(hint)
    if type(None) in members and text.lower() in _NONES and str not in members:
        return None
    if timedelta in members and (length := _length(text)) is not None:
        return length
    if float in members and timedelta in members:
        raise ValueError("expected a length of time: 30, 90s, 5m, 1h30m")
    for member in members:
        if isinstance(member, type) and issubclass(member, Enum):
            return _choice(text, member)
        if member is bool:
            if text.lower() not in _BOOLS:
                raise ValueError("expected true or false")
            return _BOOLS[text.lower()]
        if _is_list(member):
            item = _item(member)
            if text.lstrip().startswith("["):
                return msgspec.json.decode(text)
            return [_value(piece.strip(), item) for piece in text.split(",")] if text else []
        if _is_map(member):
            return msgspec.json.decode(text)
    return text


def _members(hint: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _members(typing.get_args(hint)[0])
    if origin is Union or origin is types.UnionType:
        return tuple(member for part in typing.get_args(hint) for member in _members(part))
    return (hint,)


def _is_list(hint: Any) -> bool:
    return any((typing.get_origin(member) or member) in _LISTS for member in _members(hint))


def _is_map(hint: Any) -> bool:
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and (
        issubclass(kind, (dict, msgspec.Struct)) or hasattr(kind, "__dataclass_fields__") or typing.is_typeddict(kind)
    )


def _item(hint: Any) -> Any:
    for member in _members(hint):
        if _is_list(member):
            args = typing.get_args(member)
            return args[0] if args else str
    return str


def _length(text: str) -> timedelta | None:
    """`90`, `90s`, `1h30m`: seconds where no unit is given."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return timedelta(seconds=float(text))
    if not text or _PIECE.sub("", text).strip():
        return None
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(text)))


def _choice(text: str, enum: type[Enum]) -> Enum:
    for member in enum:
        if text in (member.name, str(member.value)) or text.lower() == member.name.lower():
            return member
    names = [member.name for member in enum]
    raise ValueError(f"expected one of {', '.join(names)}{did_you_mean(text.upper(), names)}")


def _quoted(texts: list[str]) -> str:
    return repr(texts[0] if len(texts) == 1 else ",".join(texts))


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
