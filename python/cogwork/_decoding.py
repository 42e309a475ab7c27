"""From msgpack's own types to hinted ones that msgspec does not make by itself: its dec_hook."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ._plain import TEXT_TYPES, is_model


def decode_other(hint: Any, value: Any) -> Any:
    """msgspec's dec_hook: makes what a hint says that msgspec does not know. TypeError, ValueError where the value does not fit."""
    if isinstance(hint, type) and issubclass(hint, Made):
        return hint.made(value)
    if isinstance(hint, type) and issubclass(hint, TEXT_TYPES):
        if not isinstance(value, (str, int)):
            raise TypeError(f"expected text for {hint.__name__}")
        make: Callable[[Any], Any] = hint
        return make(value)
    if isinstance(hint, type) and is_model(hint):
        model: Any = hint
        return model.model_validate(value) if hasattr(model, "model_validate") else model.parse_obj(value)
    if isinstance(value, hint):
        return value
    raise NotImplementedError(f"{hint} cannot be made from {type(value).__name__}")


class _WhateverItMakes(type):
    """msgspec asks whether what decode_other made is of the class that it asked for."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Made(metaclass=_WhateverItMakes):
    """A hint that msgspec does not take by itself, as a class that it asks decode_other for."""

    @classmethod
    def made(cls, value: Any) -> Any:
        raise NotImplementedError


def _convert(value: Any, hint: Any) -> Any:
    return msgspec.convert(value, hint, dec_hook=decode_other)


class OneOf(Made):
    """A union. What fits first is it; of a number or the like, that very type goes before what could be made of it."""

    members: tuple[Any, ...] = ()

    @staticmethod
    def of(members: tuple[Any, ...]) -> Any:
        return _WhateverItMakes(
            " | ".join(getattr(m, "__name__", str(m)) for m in members), (OneOf,), {"members": members}
        )

    @classmethod
    def made(cls, value: Any) -> Any:
        if type(value) is not str and type(value) in cls.members:
            return value
        for member in sorted(cls.members, key=lambda member: _is_stranger(member, value)):
            try:
                return _convert(value, member)
            except Exception:  # what a member's own constructor raises, too
                continue
        raise ValueError(f"expected {cls.__name__}, got {value!r:.100}")


def _is_stranger(member: Any, value: Any) -> bool:
    """Whether a map has fields that a class does not: msgspec passes over these, and another class may know them."""
    if not isinstance(value, dict):
        return False
    kind = member.kind if isinstance(member, type) and issubclass(member, Fields) else member
    names = {name for name, _, _ in fields_of(kind)} if isinstance(kind, type) else set()
    return bool(names) and not names.issuperset(value)


class Choice(Made):
    """A Literal of what msgspec does not take in one: members of an Enum, bytes."""

    values: tuple[Any, ...] = ()

    @staticmethod
    def of(values: tuple[Any, ...]) -> Any:
        return _WhateverItMakes(" or ".join(map(repr, values)), (Choice,), {"values": values})

    @classmethod
    def made(cls, value: Any) -> Any:
        for choice in cls.values:
            plain = choice.value if isinstance(choice, enum.Enum) else choice
            if type(plain) is type(value) and plain == value:
                return choice
        raise ValueError(f"expected {cls.__name__}, got {value!r:.100}")


class Fields(Made):
    """A class with fields of which msgspec does not take one: a dataclass, a Struct, a class of attrs, a NamedTuple, a TypedDict."""

    kind: Any = None
    hints: Mapping[str, Any] = {}
    """What msgspec is asked for, by the field's name. Filled in when all classes around are known: they may hold each other."""
    _mirror: Any = None

    @staticmethod
    def of(kind: Any) -> type[Fields]:
        made: type[Fields] = _WhateverItMakes(kind.__name__, (Fields,), {"kind": kind, "hints": {}})  # type: ignore[assignment]
        return made

    @classmethod
    def made(cls, value: Any) -> Any:
        if cls._mirror is None:
            fields = [
                (name, cls.hints[name]) if required else (name, cls.hints[name] | msgspec.UnsetType, msgspec.UNSET)
                for name, _, required in fields_of(cls.kind)
            ]
            written, is_array = {}, issubclass(cls.kind, tuple)
            if issubclass(cls.kind, msgspec.Struct):
                written = {field.name: field.encode_name for field in msgspec.structs.fields(cls.kind)}
                is_array = cls.kind.__struct_config__.array_like
            cls._mirror = msgspec.defstruct(
                cls.kind.__name__, fields, array_like=is_array, rename=written, kw_only=True
            )
        try:
            mirrored = _convert(value, cls._mirror)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from None
        given = {name: item for name in cls.hints if (item := getattr(mirrored, name)) is not msgspec.UNSET}
        return given if typing.is_typeddict(cls.kind) else cls.kind(**given)


def fields_of(kind: Any) -> list[tuple[str, Any, bool]]:
    """Of a class with fields: their names, their hints, and whether they must be given. Empty for any other. NameError where a hint names what is
    not there (yet)."""
    if not isinstance(kind, type) or is_model(kind):
        return []
    if issubclass(kind, msgspec.Struct):
        return [(field.name, field.type, field.required) for field in msgspec.structs.fields(kind)]
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        required = {
            f.name: f.default is missing and f.default_factory is missing for f in dataclasses.fields(kind) if f.init
        }
    elif (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        required = {
            a.name: type(a.default).__name__ == "_Nothing" or repr(a.default) == "NOTHING" for a in attributes if a.init
        }
    elif typing.is_typeddict(kind):
        return _keys_of(kind)
    elif issubclass(kind, tuple) and hasattr(kind, "_field_defaults"):
        required = {name: name not in kind._field_defaults for name in kind._fields}  # type: ignore[attr-defined]
    else:
        return []
    hints = typing.get_type_hints(kind, include_extras=True)
    return [(name, hints.get(name, Any), needed) for name, needed in required.items()]


def _keys_of(kind: Any) -> list[tuple[str, Any, bool]]:
    """Of a TypedDict. Where annotations are postponed, it does not know itself which of its keys are NotRequired."""
    words = {getattr(typing, name, None): name == "Required" for name in ("Required", "NotRequired")}
    return [
        (name, hint, words.get(typing.get_origin(hint), name in kind.__required_keys__))
        for name, hint in typing.get_type_hints(kind, include_extras=True).items()
    ]
