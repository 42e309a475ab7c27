"""Hints of Cogs (C1): what works as a parameter works in a field, arrives as the hinted type, and what can be no arg is refused where it is decorated."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import itertools
import logging
import pathlib
import re
import typing
import uuid
import zoneinfo
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from conftest import one

import cogwork as cw

V4, V6 = ipaddress.IPv4Address, ipaddress.IPv6Address
_names = itertools.count(1)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Bits(enum.IntFlag):
    X = 1
    Y = 2


class Dict(TypedDict, total=False):
    ips: cabc.Iterable[V4]
    address: V4 | V6


class Needed(TypedDict):
    address: V4 | V6
    note: typing.NotRequired[str] if hasattr(typing, "NotRequired") else str


class Tuple(NamedTuple):
    address: V4 | V6
    port: int = 22


class Model(pydantic.BaseModel):
    address: V4
    port: int = 3


class Struct(msgspec.Struct, rename="camel"):
    the_address: V4 | V6
    models: list[Model] = []


@attrs.define
class Attrs:
    address: V4 | V6
    hosts: cabc.Iterable[str] = attrs.field(factory=list)


@dataclasses.dataclass
class Data:
    address: V4 | V6
    when: dt.datetime | None = None
    kids: list[Data] = dataclasses.field(default_factory=list)
    notes: cabc.Iterable[str] = dataclasses.field(default_factory=list)
    made: str = dataclasses.field(default="here", init=False)


@dataclasses.dataclass(frozen=True)
class Plain:
    x: int


@dataclasses.dataclass
class Nested:
    data: Data
    by_name: dict[str, Tuple]
    either: Plain | Model | None = None
    model: Model | None = None


UserId = NewType("UserId", str)
Address = NewType("Address", V4 | V6)
T = TypeVar("T")
B = TypeVar("B", bound=Plain)
A = V4("10.0.0.1")
S = V6("::1")
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
NAIVE = dt.datetime(2026, 1, 2, 3, 4)

FITS = [
    (Optional[str], None),  # noqa: UP045
    (Union[int, str], "x"),  # noqa: UP007
    (int, 5), (float, 1.5), (int, 2**64 - 1), (int, -(2**63)), (Literal["a", "b"], "b"), (Literal["a", 1, None], 1),
    (Literal[Color.RED, Color.BLUE], Color.BLUE), (Literal[b"x"], b"x"), (Color, Color.BLUE), (Bits, Bits.X | Bits.Y), (UserId, UserId("u")), (Address, S), (Any, {"a": [1, None]}), (object, 1), (T, 3),
    (B, Plain(1)), (None, None), (Annotated[int, msgspec.Meta(ge=1)], 3), (Annotated[V4 | V6, "an address"], S),
    (V4 | V6, A), (V4 | V6, S), (V4 | V6 | None, None), (V4 | str, "hello"), (V4 | int, 5), (V4 | None, A), (list[V4 | V6], [S, A]), (dict[str, V4 | V6], {"a": S}), (dict[V4, int], {A: 1}),
    (dict[V4 | V6, int], {S: 1}), (tuple[V4 | V6, int], (S, 1)), (tuple[V4 | V6, ...], (S, A)), (set[V4 | V6], {S}), (ipaddress.IPv4Network, ipaddress.ip_network("10.0.0.0/8")),
    (cabc.Sequence[V4 | V6], [S]), (cabc.Mapping[str, V4 | V6], {"a": S}), (cabc.Iterable[str], ["a"]), (cabc.Iterable, [1]), (typing.Iterable[V6], [S]), (cabc.Collection[V6], [S]), (cabc.Reversible[int], [1]),
    (cabc.Sequence[str], ["a"]), (list[cabc.Iterable[V4 | V6]], [[S]]), (dt.datetime | str, "x"), (dt.datetime | str, NOW), (Color | str, "other"), (Color | int, Color.RED),
    (decimal.Decimal, decimal.Decimal("1.10")), (uuid.UUID, uuid.UUID(int=5)), (dt.date, dt.date(2026, 1, 2)), (dt.time, dt.time(3, 4)), (dt.datetime, NOW), (dt.datetime, NAIVE),
    (dt.timedelta, dt.timedelta(seconds=1.5)), (pathlib.Path, pathlib.Path("/a")), (pathlib.PurePosixPath, pathlib.PurePosixPath("/a")), (bytes, b"\xff\0"), (bytearray, bytearray(b"x")),
    (Model, Model(address=A)), (Model | None, Model(address=A)), (list[Model], [Model(address=A)]), (Model | str, "x"), (Plain, Plain(1)), (Plain | Model, Model(address=A)), (Plain | Model, Plain(1)),
    (Struct, Struct(S, [Model(address=A)])), (Attrs, Attrs(S, ["a"])), (Tuple, Tuple(S)), (Tuple, Tuple(A, 23)), (Dict, {"ips": [A], "address": S}), (Dict, {}), (Needed, {"address": S}),
    (Data, Data(S, NOW, [Data(A, notes=["x"])], ["n"])), (list[Data], [Data(S)]), (Data | None, Data(A)), (Data | Plain, Plain(2)), (Data | Plain, Data(S)),
    (Nested, Nested(Data(S), {"a": Tuple(A)}, Plain(1), Model(address=A))), (Nested, Nested(Data(S), {}, Model(address=A))), (dict[str, list[Data]], {"a": [Data(S)]}),
]  # fmt: skip


def taking(hint) -> tuple[cw.Cog, list]:
    got: list = []

    def take(x):
        got.append(x)

    take.__annotations__ = {"x": hint}
    return cw.cog(name=f"hinted_{next(_names)}")(take), got


def through(cog: cw.Cog, value: Any) -> None:
    with cw.Engine("memory:") as engine:
        engine.run(one(cog.job(value)), timeout=60).raise_for_state()


@pytest.mark.parametrize(("hint", "value"), FITS, ids=lambda v: f"{v!r:.50}")
def test_c1_what_fits_a_hint_arrives_as_it_was(hint, value):
    cog, got = taking(hint)
    through(cog, value)
    (arrived,) = got
    assert arrived == value
    assert type(arrived) is type(value)
    assert cog.describe()["args"], "its schema"


MISFITS = [
    (V4 | V6, "nowhere", "expected IPv4Address | IPv6Address"), (Data, {"address": "nowhere"}, "'x.address': expected IPv4Address | IPv6Address, got 'nowhere'"), (Data, {}, "'x': 'address' is missing"),
    (Data, {"address": "::1", "kids": [{"address": 5.5}]}, "address"), (Data, {"address": "::1", "notes": [1]}, "'x.notes[0]': expected str, got int"), (Literal[Color.RED], "blue", "Color.RED"),
    (Nested, {"data": {"address": "::1"}, "by_name": {"a": ["x"]}}, "IPv4Address"), (cabc.Iterable[str], "text", "expected array"), (Model, {"address": "x"}, "address"), (Tuple, ["nowhere"], "IPv4Address"),
    (Plain | Model, {"y": 1}, "expected Plain | Model"), (int, 2**64, "can't serialize"),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "words"), MISFITS, ids=lambda v: f"{v!r:.40}")
def test_c1_what_does_not_fit_is_told_at_submit_with_its_place(engine, hint, value, words):
    cog, _ = taking(hint)
    with pytest.raises(cw.ValidationError) as caught:
        engine.submit(one(cog.job(value)))
    (issue,) = caught.value.errors
    assert issue.place == "Task[0].Sequence[0].Job[0] ('task', 'host')"
    assert words in issue.message
    assert "`" not in issue.message


class Custom: ...


@dataclasses.dataclass
class Holds:
    logger: logging.Logger


@dataclasses.dataclass
class Deep:
    holds: list[Holds | None]


REFUSED = [
    (Custom, "Custom"), (np.ndarray, "ndarray"), (re.Pattern, "Pattern"), (complex, "complex"), (range, "range"), (type, "type"), (type[int], "type"), (typing.Callable, "Callable"),
    (cabc.Callable[[int], int], "Callable"), (dt.tzinfo, "tzinfo"), (zoneinfo.ZoneInfo, "ZoneInfo"), (collections.deque, "deque"), (cabc.Iterator[str], "Iterator"), (cabc.Generator, "Generator"),
    (list[Custom], "Custom"), (Custom | None, "Custom"), (dict[str, Custom], "Custom"), (cabc.Iterable[Custom], "Custom"), (Holds, "Logger"), (Deep, "Logger"), (Annotated[Custom, 1], "Custom"),
    (logging.Logger, "Logger"), (Exception, "Exception"),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "name"), REFUSED, ids=lambda v: f"{v!r:.40}")
def test_c1_a_hint_that_no_arg_can_have_is_refused_where_it_is_decorated(hint, name):
    with pytest.raises(cw.CogError, match=rf"'x' can be no arg: .*{name}.* is none of what can be kept"):
        taking(hint)


def test_c1_a_hint_may_name_what_comes_further_down(engine):
    @cw.cog(name="further_down")
    def take(x: Later) -> int:
        return x.x.port

    @dataclasses.dataclass
    class Later:
        x: Tuple

    with cw.Engine("memory:") as own:
        assert own.run(one(take.job(Later(Tuple(S)))), timeout=60)["task"]["host"][0].output == 22


def test_c1_what_is_nearly_plain_arrives_as_the_hint_says():
    for hint, value, wanted in (
        (int, np.int64(3), 3), (float, np.float64(0.5), 0.5), (list, np.arange(2), [0, 1]), (list[int], range(2), [0, 1]), (str, np.str_("x"), "x"), (bool, np.True_, True),
        (str, type("S", (str,), {})("x"), "x"), (dict, collections.Counter("aab"), {"a": 2, "b": 1}), (list, collections.deque([1]), [1]), (V4, np.str_("10.0.0.1"), A), (float, 5, 5.0),
    ):  # fmt: skip
        cog, got = taking(hint)
        through(cog, value)
        assert got == [wanted]
        assert type(got[0]) is type(wanted)
