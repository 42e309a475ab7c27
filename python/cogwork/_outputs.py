"""What Cogs answer, as msgpack: whole if it can be, else with the repr of what cannot (X9)."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import reprlib
from typing import Any, NamedTuple

import msgspec

from ._answers import undone
from ._codec import DEEPEST, encodable, encoder, too_deep
from ._plain import plain


class Packed(NamedTuple):
    """An output as msgpack."""

    packed: bytes
    odd: bool
    """A part of it is only its repr."""
    undone: str | None
    """It holds work that was only promised: what is wrong, in words."""


def pack(value: Any, around: int = 0) -> Packed:
    """Packs an output. A leaf of a type that msgpack cannot hold becomes its repr, and so does the whole where it is nested too deep, inside
    `around` lists and maps more. Raises nothing, whatever the value does."""
    leaves = _Leaves()
    try:
        try:
            packed = encoder.encode(value)
        except Exception:
            packed = encoder.encode(leaves.plain(value, 0))
        if not too_deep(packed, around):
            return Packed(packed, leaves.odd, leaves.undone)
    except BaseException:  # nested too deep, or its own code raises
        pass
    return Packed(pack_text(safe_repr(value, deep=True)), True, leaves.undone)


def pack_text(text: str) -> bytes:
    return encoder.encode(encodable(text))


def safe_repr(value: Any, deep: bool = False) -> str:
    """Its repr, whatever that does. deep: of a value that is nested deep, in which the inner levels are left out."""
    try:
        return _shallow.repr(value) if deep else repr(value)
    except BaseException as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


_shallow = reprlib.Repr()
_shallow.maxlevel = 8
_shallow.maxstring = _shallow.maxother = 1000
_shallow.maxdict = _shallow.maxlist = _shallow.maxtuple = _shallow.maxset = _shallow.maxfrozenset = 100


class _Leaves:
    """Copies a value, with the repr in place of each leaf that msgpack cannot hold."""

    def __init__(self) -> None:
        self.odd = False
        self.undone: str | None = None

    # No comprehensions: each would be one more frame a level.
    def plain(self, value: Any, level: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if encodable(value) is value else self._leaf(value)
        if kind is int:
            return value if -(2**63) <= value < 2**64 else self._leaf(value)
        if value is None or kind is bool or kind is float:
            return value
        if level > DEEPEST:
            raise RecursionError
        if isinstance(value, enum.Enum):
            return self.plain(value.value, level + 1)
        if isinstance(value, dict):
            copied: dict[Any, Any] = {}
            for key, item in value.items():
                copied[self._key(key, level + 1)] = self.plain(item, level + 1)
            return copied
        if isinstance(value, (list, tuple, set, frozenset)):
            items: list[Any] = []
            for item in value:
                items.append(self.plain(item, level + 1))
            return items
        if (fields := _fields(value)) is not None:
            return self.plain(fields, level)
        try:
            encoder.encode(value)
            return value  # a date, a Decimal
        except Exception:
            pass
        try:
            simpler = plain(value)
        except Exception:
            return self._leaf(value)
        return self.plain(simpler, level + 1)

    def _key(self, key: Any, level: int) -> Any:
        made = self.plain(key, level)
        return tuple(made) if isinstance(made, list) else self._leaf(key) if isinstance(made, dict) else made

    def _leaf(self, value: Any) -> str:
        self.odd = True
        if inspect.isawaitable(value):
            self.undone = undone(value)
        return encodable(safe_repr(value))


def _fields(value: Any) -> dict[str, Any] | None:
    """Those of a dataclass, a msgspec Struct or a class of attrs."""
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__
        shown = {} if tag.tag_field is None else {tag.tag_field: tag.tag}
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return shown | {written: getattr(value, name) for written, name in names}
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if (attributes := getattr(type(value), "__attrs_attrs__", None)) is not None:
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    return None
