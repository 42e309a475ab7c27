"""Objects as JSON, one a line: enums by their names, times as ISO 8601 in UTC, lengths of time in seconds."""

from __future__ import annotations

import base64
import math
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any

import msgspec

from .._codec import encodable


def plain(value: Any) -> Any:
    """The value in JSON's own types. Bytes are base64; a number that JSON lacks is its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, msgspec.Struct):
        return {field: plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def put(value: Any) -> None:
    """Prints it as one line."""
    print(msgspec.json.encode(plain(value)).decode(), flush=True)
