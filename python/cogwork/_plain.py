"""Values that are nearly plain, as the plain ones that say the same: for args and outputs, which are msgpack."""

from __future__ import annotations

import collections
import ipaddress
import pathlib
from collections.abc import Callable, Mapping, Sequence, Set, ValuesView
from datetime import date, datetime, timedelta
from typing import Any

MOST_ITEMS = 1_000_000
"""Items of an array, or of a sequence of another kind than list and tuple, that are copied out of it."""

TEXT_TYPES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    pathlib.PurePath,
)
"""What msgspec does not know, and goes as text."""


def plain(value: Any) -> Any:
    """Returns a value of fewer or simpler types that says the same. msgspec's enc_hook: it is asked where msgspec knows none.

    Raises NotImplementedError where there is none. What is beside the value in an object of numpy, pandas or pydantic is not kept: they arrive as
    what they hold.
    """
    for base, convert in _BASES:
        if isinstance(value, base):
            return convert(value)
    kind = type(value)
    if is_model(kind):
        return value.model_dump() if hasattr(kind, "model_dump") else value.dict()
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _from_numpy(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, Set, ValuesView)):
        if len(value) > MOST_ITEMS:
            raise NotImplementedError(_too_many(kind, len(value)))
        return list(value)
    raise NotImplementedError(f"{_name(kind)} cannot be encoded as msgpack")


def is_model(kind: type) -> bool:
    """Whether it is a class of pydantic's, of any version. Nothing is imported for it."""
    return hasattr(kind, "__pydantic_validator__") or (hasattr(kind, "__fields__") and hasattr(kind, "parse_obj"))


def _from_numpy(value: Any) -> Any:
    if value.size > MOST_ITEMS:
        raise NotImplementedError(_too_many(type(value), value.size))
    if value.dtype.kind in "mM":  # finer times than Python's would come out as numbers
        value = value.astype(f"{value.dtype.kind}8[us]")
    return value.tolist()


def _datetime(value: datetime) -> datetime | None:
    return datetime.combine(value.date(), value.timetz()) if value == value else None  # NaT is not itself


def _too_many(kind: type, count: int) -> str:
    return f"{_name(kind)} of {count:,} items is too large to be kept; write it to a file, and give the file's name"


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


_BASES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (TEXT_TYPES, str),
    (str, str.__str__),
    (collections.UserString, str),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes(memoryview(value))),
    (datetime, _datetime),
    (date, lambda value: date(value.year, value.month, value.day)),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
)
"""Subclasses of what msgspec takes, and how they become that; the first that fits."""
