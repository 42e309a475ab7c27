"""`key=value` words as the arguments of a function, typed by its own hints."""

from __future__ import annotations

import inspect
import pathlib
import sys
import types
import typing
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any, Union

import msgspec

from .._decoding import decode_other
from .._lengths import LOOKS_LIKE, length_of
from .._model import did_you_mean
from ._app import Refused

_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONES = ("none", "null", "")
_LISTS = (list, tuple, set, frozenset)


def arguments(function: Callable[..., Any], words: list[str], called: str) -> tuple[list[Any], dict[str, Any]]:
    """What to call it with. Refused says what is missing, unknown, or not of its type."""
    given: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise Refused(f"{word!r} is no key=value for {called}{_takes(function)}")
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


def _takes(function: Callable[..., Any]) -> str:
    names = list(inspect.signature(function).parameters)
    return f", which takes {' '.join(f'{name}=...' for name in names)}" if names else ", which takes no values"


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
    if timedelta in _members(hint) and isinstance(value, timedelta | str):
        return value  # a union that msgspec does not take
    if isinstance(value, list) and value and all(isinstance(item, Enum) for item in value):
        kind = next(typing.get_origin(member) or member for member in _members(hint) if _is_list(member))
        return kind(value)
    return msgspec.convert(value, hint, strict=False, dec_hook=decode_other)


def _value(text: str, hint: Any) -> Any:
    """What the text stands for, before msgspec makes the hinted type of it."""
    members = _members(hint)
    if type(None) in members and text.lower() in _NONES and str not in members:
        return None
    if timedelta in members:
        if (length := length_of(text)) is not None:
            return length
        if str not in members:
            raise ValueError(f"expected a length of time: {LOOKS_LIKE}")
    if float in members and not _is_number(text) and (length := length_of(text)) is not None:
        return length.total_seconds()  # seconds are what such a number is of
    for member in members:
        if isinstance(member, type) and issubclass(member, Enum):
            return _choice(text, member)
        if member is bool:
            if text.lower() not in _BOOLS:
                raise ValueError("expected true or false")
            return _BOOLS[text.lower()]
        if _is_list(member):
            item = _item(member)
            pieces = _lines(text[1:]) if _is_file(text) else text
            if isinstance(pieces, str):
                if pieces.lstrip().startswith("["):
                    return msgspec.json.decode(pieces)
                pieces = pieces.removeprefix("@").split(",") if pieces else []
            return [_value(piece.strip(), item) for piece in pieces]
        if _is_map(member):
            return msgspec.json.decode(_read(text[1:]) if _is_file(text) else text)
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_file(text: str) -> bool:
    """`@hosts.txt`; what begins with an @ of its own is typed with two."""
    return text.startswith("@") and not text.startswith("@@")


def _lines(path: str) -> str | list[str]:
    """What a file holds: JSON as it is; else one item a line, without empty lines and what is behind a #."""
    text = _read(path)
    if text.lstrip().startswith("["):
        return text
    return [item for line in text.splitlines() if (item := line.partition("#")[0].strip())]


def _read(path: str) -> str:
    """`-` is what comes in."""
    try:
        return sys.stdin.read() if path == "-" else pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"there is no such file to read: {error.strerror} ({path})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no text") from None


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
