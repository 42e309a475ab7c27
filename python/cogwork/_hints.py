"""Type hints of Cogs: what they name, and what can be made for them of msgpack's own types."""

from __future__ import annotations

import collections.abc
import datetime
import inspect
import operator
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec

from ._context import Context
from ._decoding import Choice, Fields, OneOf, decode_other, fields_of
from ._errors import CogError
from ._plain import TEXT_TYPES, is_model

_LISTS = (collections.abc.Iterable, collections.abc.Container, collections.abc.Reversible)
"""What a list is, and what msgspec does not make."""
_GENERIC = (list, set, frozenset, dict, tuple, collections.abc.Sequence, collections.abc.Mapping, collections.abc.Collection,
            collections.abc.Set, collections.abc.MutableSequence, collections.abc.MutableMapping, collections.abc.MutableSet)  # fmt: skip
_WRAPPERS = tuple(
    getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly", "Final") if hasattr(typing, name)
)
_PLAIN = (str, bytes, int, float, bool, list, dict, type(None), datetime.datetime)
"""What comes out of msgpack."""


class NotKept(Exception):
    """A hint whose values can be no args."""


class AtSubmit(CogError):
    """Why a Cog cannot be called, which is told at submit, with the place: what a hint names may come further down, and a script that has other Cogs is
    imported."""


def type_hints(function: Callable[..., Any], name: str, local: dict[str, Any]) -> dict[str, Any]:
    """The hints of a Cog's function; local: the names around it. Raises CogError, AtSubmit."""
    try:
        return typing.get_type_hints(function, localns=local or None, include_extras=True)
    except NameError:
        # A function inside another one: what its hints name may be local to that, or to where it is used.
        try:
            closure = inspect.getclosurevars(function)
            names = {**closure.globals, **closure.nonlocals, "Context": Context, **local}
            return typing.get_type_hints(function, localns=names, include_extras=True)
        except NameError as error:
            raise AtSubmit(f"cog {name!r} cannot be called: a hint names what cannot be found: {error}") from error
    except Exception as error:  # whatever evaluating a hint may raise
        raise CogError(f"cog {name!r} cannot be called: its hints cannot be read: {error}") from error


def is_context(hint: Any) -> bool:
    """Whether it is the Context's, which a default may make `Context | None`."""
    if _is_union(hint):
        return {Context, type(None)} == set(typing.get_args(hint))
    return (
        hint is Context or (isinstance(hint, type) and issubclass(hint, Context)) or hint in ("Context", "cw.Context")
    )


def may_be_bool(hint: Any) -> bool:
    """Whether what is hinted so can be True or False; so of a hint that says nothing."""
    if _is_union(hint):
        return any(map(may_be_bool, typing.get_args(hint)))
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return may_be_bool(typing.get_args(hint)[0])
    if origin is Literal:
        return any(isinstance(value, bool) for value in typing.get_args(hint))
    if hint is None:
        return False
    kind = origin or getattr(hint, "__supertype__", hint)
    if kind is Any or not isinstance(kind, type) or kind.__name__ in ("bool", "bool_"):
        return True
    try:
        return issubclass(bool, kind)
    except TypeError:  # a protocol
        return True


def decodable(hint: Any) -> Any:
    """The hint, or one in its place that msgspec can be asked for: it takes one class that it does not know in a union, and nothing beside it,
    and it makes no Iterable. What works as a parameter works in a field. Raises NotKept, and NameError where a class's hint names what is not there
    (yet)."""
    return _Decodable({}).of(hint) if _asks(hint, set()) else hint


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _inner(hint: Any) -> Any:
    """Without what stands around it; of a TypeVar what it is bound to."""
    inner: Any = hint
    while True:
        hint = inner
        if typing.get_origin(hint) in _WRAPPERS:
            inner = typing.get_args(hint)[0]
        elif isinstance(hint, TypeVar):
            inner = hint.__bound__ or (Union[hint.__constraints__] if hint.__constraints__ else Any)  # noqa: UP007
        elif isinstance(hint, getattr(typing, "TypeAliasType", ())):
            inner = hint.__value__  # type: ignore[union-attr]
        elif hint is getattr(typing, "LiteralString", ...):
            inner = str
        else:
            return inner


def _asks(hint: Any, seen: set[Any]) -> bool:
    """Whether something in it is to be put in another's place. NotKept where something can be no arg."""
    inner = _inner(hint)
    origin, parts = typing.get_origin(inner), typing.get_args(inner)
    if origin is Annotated:
        return _asks(parts[0], seen)
    if origin is Literal:
        return not _is_known(inner)
    if _is_union(inner):
        below = [_asks(part, seen) for part in parts]
        return any(below) or not _is_known(inner)
    if hasattr(inner, "__supertype__"):
        return _asks(inner.__supertype__, seen)
    if inner in _LISTS or origin in _LISTS:
        for part in parts:
            _asks(part, seen)
        return True
    if origin in _GENERIC:
        below = [_asks(part, seen) for part in parts if part is not ...]
        return any(below) or inner is not hint
    kind = origin or inner
    if kind in seen:
        return False
    if isinstance(kind, type) and (fields := fields_of(kind)):
        seen.add(kind)
        below = [_asks(field, seen) for _, field, _ in fields]
        return any(below)
    _keep(kind, hint)
    return inner is not hint and not isinstance(hint, TypeVar)


def _is_known(hint: Any) -> bool:
    try:
        msgspec.msgpack.Decoder(hint, dec_hook=decode_other)
    except TypeError:
        return False
    return True


def _keep(kind: Any, hint: Any) -> None:
    """NotKept for a class of which msgpack can hold no value."""
    if kind in (Any, object, None, type(None)) or not (isinstance(kind, type) or kind in (Callable, typing.Callable)):
        return
    if isinstance(kind, type) and (issubclass(kind, TEXT_TYPES) or is_model(kind) or _is_native(kind)):
        return
    try:
        if any(issubclass(plain, kind) for plain in _PLAIN):  # a protocol, an ABC
            return
    except TypeError:
        return
    name = getattr(hint, "__name__", None) or str(hint)
    raise NotKept(
        f"{name} is none of what can be kept in a store; take what it is made from: text, numbers, lists, a dataclass"
    )


def _is_native(kind: type) -> bool:
    """Whether msgspec makes it by itself: of any other class it asks decode_other."""
    asked = []

    def ask(hint: Any, value: Any) -> Any:
        asked.append(hint)
        raise TypeError

    values: tuple[Any, ...] = (None, 1, "x", [], {})
    for value in values:
        try:
            msgspec.convert(value, kind, dec_hook=ask)
        except Exception:
            if asked:
                return False
    return True


class _Decodable:
    """Puts what msgspec can be asked for in the place of what it cannot. made: the classes that have been replaced, which may hold themselves."""

    def __init__(self, made: dict[Any, type[Fields]]) -> None:
        self._made = made

    def of(self, hint: Any) -> Any:
        if not _asks(hint, set()):
            return hint
        inner = _inner(hint)
        origin, parts = typing.get_origin(inner), typing.get_args(inner)
        if origin is Annotated:
            return operator.getitem(Annotated, (self.of(parts[0]), *parts[1:]))
        if origin is Literal:
            return Choice.of(parts)
        if _is_union(inner):
            return self._union(tuple(self.of(part) for part in parts))
        if hasattr(inner, "__supertype__"):
            return self.of(inner.__supertype__)
        if inner in _LISTS or origin in _LISTS:
            return list[self.of(parts[0])] if parts else list  # type: ignore[misc]
        if origin in _GENERIC:
            return origin[tuple(part if part is ... else self.of(part) for part in parts)]
        kind = origin or inner
        return self._fields(kind) if isinstance(kind, type) and fields_of(kind) else inner

    def _union(self, members: tuple[Any, ...]) -> Any:
        joined: Any = operator.getitem(Union, members)
        if _is_known(joined):
            return joined
        one: Any = OneOf.of(tuple(member for member in members if member is not type(None)))
        return one | None if type(None) in members else one

    def _fields(self, kind: Any) -> type[Fields]:
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = Fields.of(kind)
            made.hints = {name: self.of(hint) for name, hint, _ in fields_of(kind)}
        return made
