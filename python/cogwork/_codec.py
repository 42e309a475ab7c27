"""How values cross to the core and back: msgpack, by msgspec (docs/internals/document.md)."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from ._model import Change, Job, Labor, LaborFilter, Sequence, Task

# What msgspec does not know by itself, as text.
_TEXT_TYPES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    pathlib.PurePath,
)


def encode_other(value: Any) -> Any:
    """msgspec's enc_hook: an ip address or a path as its text."""
    if isinstance(value, _TEXT_TYPES):
        return str(value)
    if isinstance(value, (complex, range)):
        raise NotImplementedError(f"{type(value).__name__} cannot be encoded")
    raise NotImplementedError(f"{type(value).__module__}.{type(value).__qualname__} cannot be encoded as msgpack")


def decode_other(hint: Any, value: Any) -> Any:
    """msgspec's dec_hook: the other way."""
    if isinstance(hint, type) and issubclass(hint, OneOf):
        return hint.decode(value)
    if isinstance(hint, type) and issubclass(hint, _TEXT_TYPES):
        if not isinstance(value, (str, int)):
            raise TypeError(f"expected text for {hint.__name__}")
        make: Callable[[Any], Any] = hint
        return make(value)
    if isinstance(value, hint):
        return value
    raise NotImplementedError(f"{hint} cannot be made from {type(value).__name__}")


class _WhateverItMakes(type):
    """msgspec asks whether what decode_other made is of the class that it asked for."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class OneOf(metaclass=_WhateverItMakes):
    """A union that msgspec does not take by itself, as a class that it asks decode_other for. What fits first is it."""

    members: tuple[Any, ...] = ()

    @staticmethod
    def of(members: tuple[Any, ...]) -> Any:
        return _WhateverItMakes(
            " | ".join(getattr(m, "__name__", str(m)) for m in members), (OneOf,), {"members": members}
        )

    @classmethod
    def decode(cls, value: Any) -> Any:
        for member in cls.members:
            try:
                return msgspec.convert(value, member, dec_hook=decode_other)
            except Exception:  # what a member's own constructor raises, too
                continue
        raise ValueError(f"expected {cls.__name__}, got {value!r:.100}")


encoder = msgspec.msgpack.Encoder(enc_hook=encode_other)
sorted_encoder = msgspec.msgpack.Encoder(enc_hook=encode_other, order="deterministic")
labor_decoder = msgspec.msgpack.Decoder(Labor)
task_decoder = msgspec.msgpack.Decoder(Task)
sequence_decoder = msgspec.msgpack.Decoder(Sequence)
job_decoder = msgspec.msgpack.Decoder(Job)
changes_decoder = msgspec.msgpack.Decoder(list[Change])
any_decoder = msgspec.msgpack.Decoder()


def encode_filter(labor_filter: LaborFilter) -> bytes:
    """A filter's datetimes must be aware: naive ones are taken as UTC."""
    fixed = msgspec.structs.replace(
        labor_filter,
        submit_begin=_aware(labor_filter.submit_begin),
        submit_end=_aware(labor_filter.submit_end),
    )
    return encoder.encode(fixed)


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=timezone.utc) if moment is not None and moment.tzinfo is None else moment


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def from_micros(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def seconds_of(duration: float | timedelta) -> float:
    """Seconds, from seconds or a timedelta. TypeError for anything else."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"expected seconds or a timedelta, got {duration!r}")
    if duration != duration:
        raise ValueError("expected seconds or a timedelta, got nan")
    return float(duration)


def encodable(text: str) -> str:
    """Text that has a UTF-8: a surrogate that stands alone becomes its escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def login_name() -> str:
    """Who runs this process: what `by` defaults to."""
    try:
        import getpass

        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.getuid())


_program = ""


def program_name() -> str:
    """What this process is called where people are told who owns a store."""
    return _program or (os.path.basename(sys.argv[0]) if sys.argv else "")


def name_program(name: str) -> None:
    """What `program_name` says from now on."""
    global _program
    _program = name


def by_whom(by: str | None) -> str:
    """Who sends a signal, or submits: the login name if not given (G9)."""
    return login_name() if by is None else text_of(by, "by")


def text_of(value: Any, what: str) -> str:
    """A text that was given. TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {value!r}")
    return value
