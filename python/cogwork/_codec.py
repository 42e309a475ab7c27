"""How values cross to the core and back: msgpack, by msgspec (docs/internals/document.md)."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar

import msgspec

from . import _core
from ._errors import StorageError
from ._model import Change, Job, Labor, LaborFilter, Sequence, Task
from ._moment import utc_of
from ._plain import plain

T = TypeVar("T")

DEEPEST = 512
"""How many lists and maps may stand inside each other in an arg or an output: the core's bound (WireReader::kDeepest)."""


encoder = msgspec.msgpack.Encoder(enc_hook=plain)
sorted_encoder = msgspec.msgpack.Encoder(enc_hook=plain, order="deterministic")


class Decoder(Generic[T]):
    """msgspec's, which takes what is nested DEEPEST levels deep also where the caller's stack is deep already."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def decode(self, data: bytes) -> T:
        """Raises what msgspec raises."""
        try:
            return self._decode(data)
        except RecursionError:
            with ThreadPoolExecutor(1) as fresh:  # a thread has a stack of its own
                return fresh.submit(self._decode, data).result()


class StoredDecoder(Decoder[T]):
    """Decodes what is stored, as the core gives it out. What Python cannot hold is damaged: StorageError."""

    def decode(self, data: bytes) -> T:
        try:
            return super().decode(data)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise StorageError(f"what is stored cannot be read: {error}; the file is damaged, restore a copy") from None


labor_decoder = StoredDecoder(Labor)
task_decoder = StoredDecoder(Task)
sequence_decoder = StoredDecoder(Sequence)
job_decoder = StoredDecoder(Job)
changes_decoder = StoredDecoder(list[Change])
any_decoder: Decoder[Any] = Decoder(object)


def too_deep(packed: bytes, around: int = 0) -> bool:
    """Whether an encoded value is nested deeper than the core takes it, inside `around` lists and maps more."""
    return len(packed) + around > DEEPEST and not _core.is_msgpack(b"\x91" * around + packed)


def encode_filter(labor_filter: LaborFilter) -> bytes:
    """TypeError and ValueError as `utc_of`, for what a filter was given after it was made."""
    fixed = msgspec.structs.replace(
        labor_filter,
        submit_begin=utc_of(labor_filter.submit_begin, "submit_begin"),
        submit_end=utc_of(labor_filter.submit_end, "submit_end"),
    )
    return encoder.encode(fixed)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def from_micros(micros: int | None) -> datetime | None:
    """The nearest there is, where no calendar holds it: the next round of a check whose interval is ten thousand years."""
    if micros is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return (datetime.max if micros > 0 else datetime.min).replace(tzinfo=timezone.utc)


def to_micros(moment: datetime) -> int:
    """Of an aware one."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


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


def since_of(since: int | None) -> int | None:
    """The number of a change or a line. TypeError, ValueError where it is none."""
    if since is None:
        return None
    if isinstance(since, bool) or not isinstance(since, int):
        raise TypeError(f"since is the number of a change or a line, or None, not {since!r}")
    if not 0 <= since < 2**63:
        raise ValueError(f"since is a number from 0 on, not {since}")
    return since


def text_of(value: Any, what: str) -> str:
    """A text that was given. TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {value!r}")
    return value
