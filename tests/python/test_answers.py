"""X8, X9: what a Cog returned: yes or no, a value, a value with an odd leaf, or work that was only promised."""

from __future__ import annotations

import array
import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import enum
import functools
import io
import sys
import threading
import types

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import one

import cogwork as cw
from cogwork import State
from cogwork._outputs import pack


def run_one(engine: cw.Engine, job: cw.Job) -> cw.Job:
    return engine.run(one(job), timeout=60).tasks[0].sequences[0].jobs[0]


def run_check(engine: cw.Engine, check: cw.Job, work: cw.Job) -> cw.Job:
    return engine.run(one(work, pre_checks=[check]), timeout=60).tasks[0].pre_checks[0]


@pytest.fixture
def answer(make_cog):
    """Makes a Job that returns a value; kind "async": of an async Cog."""

    def make(value, kind="plain"):
        async def answers_async():
            return value() if isinstance(value, types.LambdaType) else value

        def answers():
            return value() if isinstance(value, types.LambdaType) else value

        return make_cog(answers_async if kind == "async" else answers).job()

    return make


# ---- X8: checks ----


class bool_(int):  # noqa: N801 - what another library may call its own
    """A type that is called as numpy's was."""


YES = [True, np.True_, np.bool_(1), pd.Series([1.0, 2.0]).lt(3).all(), bool_(1)]
NO = [False, np.False_, pd.Series([5.0, 6.0]).lt(1).all(), bool_(0)]


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("value", [*YES, *NO], ids=lambda value: f"{type(value).__module__}-{value!r}")
def test_x8_a_check_says_yes_or_no_by_any_kind_of_bool(engine, answer, value, kind):
    check = run_check(engine, answer(value, kind), answer(1))
    assert check.state == (State.COMPLETED if value else State.FAILED)
    assert check.attempts[0].status.name == ("SUCCESS" if value else "FAILURE")
    assert check.attempts[0].output is bool(value)


@pytest.mark.parametrize(
    "value",
    [None, 0, 1, "", "ok", [], {"ok": True}, np.array([True]), np.int64(1), object()],
    ids=["None", "0", "1", "empty", "text", "list", "dict", "array", "int64", "object"],
)
def test_x8_another_value_of_a_check_is_a_failure_that_says_so(engine, answer, value):
    check = run_check(engine, answer(value), answer(1))
    assert (check.state, check.attempts[0].status.name) == (State.FAILED, "FAILURE")
    assert "neither yes nor no" in check.error
    assert "True or False" in check.error


def test_x8_of_other_jobs_only_exactly_false_is_a_failure(engine, answer):
    assert run_one(engine, answer(np.False_)).state == State.COMPLETED
    assert run_one(engine, answer(False)).state == State.FAILED


def _hinted(hint):
    def check():
        return True

    check.__annotations__["return"] = hint
    return check


@pytest.mark.parametrize("hint", [None, "None", str, int | str, dict[str, int], list, float | None], ids=repr)
def test_x8_a_check_whose_hint_says_that_it_is_none_is_refused_at_submit(engine, make_cog, answer, hint):
    cog = make_cog(_hinted(hint))
    if hint == int | str:  # a bool is an int
        assert run_check(engine, cog.job(), answer(1)).state == State.COMPLETED
        return
    for place, checks in (("PreCheck[0]", "pre_checks"), ("ContCheck[0]", "cont_checks")):
        with pytest.raises(cw.ValidationError, match="True or False") as caught:
            engine.submit(one(answer(1), **{checks: [cog.job()]}))
        assert place in caught.value.errors[0].place
    assert engine.run(one(cog.job())).state == State.COMPLETED, "no check"


@pytest.mark.parametrize("hint", [bool, "bool", bool | None, object, np.bool_, "not.to.be.found"], ids=repr)
def test_x8_hints_that_may_be_a_bool_are_taken(engine, make_cog, answer, hint):
    if hint == "not.to.be.found":
        hint = __import__("typing").Any
    assert run_check(engine, make_cog(_hinted(hint)).job(), answer(1)).state == State.COMPLETED


# ---- X8: work that was only promised ----


async def _work():
    return 1


class Awaitable:
    def __await__(self):
        yield


class Manager:
    def __enter__(self): ...
    def __exit__(self, *_): ...


class AsyncManager:
    async def __aenter__(self): ...
    async def __aexit__(self, *_): ...


class Endless:
    def __next__(self): ...
    def __iter__(self):
        return self


@contextlib.contextmanager
def managed():
    yield 1


def generator():
    yield 1


async def async_generator():
    yield 1


PROMISES = {
    "coroutine": (lambda: _work(), "await"),
    "awaitable": (lambda: Awaitable(), "await"),
    "generator": (lambda: generator(), "iterate"),
    "genexp": (lambda: (n for n in ()), "iterate"),
    "async generator": (lambda: async_generator(), "iterate"),
    "map": (lambda: map(str, "ab"), "iterate"),
    "zip": (lambda: zip("ab", "cd", strict=True), "iterate"),
    "reversed": (lambda: reversed([1]), "iterate"),
    "file": (lambda: io.StringIO("x"), "iterate"),
    "iterator": (lambda: Endless(), "iterate"),
    "future": (lambda: concurrent.futures.Future(), "result()"),
    "function": (lambda: generator, "call"),
    "lambda": (lambda: lambda: 1, "call"),
    "method": (lambda: "a".upper, "call"),
    "class": (lambda: Manager, "call"),
    "partial": (lambda: functools.partial(print), "call"),
    "contextmanager": (lambda: managed(), "with"),
    "manager": (lambda: Manager(), "with"),
    "async manager": (lambda: AsyncManager(), "with"),
    "lock": (lambda: threading.Lock(), "with"),
}


@pytest.mark.parametrize("place", ["job", "check", "async job"])
@pytest.mark.parametrize("name", PROMISES)
def test_x8_work_that_was_only_promised_is_no_success(engine, answer, name, place):
    value, word = PROMISES[name]
    job = answer(value, "async" if place == "async job" else "plain").replace(retries=3)
    done = run_check(engine, job, answer(1)) if place == "check" else run_one(engine, job)
    assert (done.state, [a.status.name for a in done.attempts]) == (State.FAILED, ["FAILURE_NO_RETRIES"])
    assert word in done.error
    assert "nothing of it was done" in done.error


def test_x8_a_task_that_was_forgotten_does_not_go_on(engine, make_cog):
    ended = []

    async def forgets():
        async def work():
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(1)

        task = asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0)
        return task

    job = run_one(engine, make_cog(forgets).job())
    assert (job.state, job.attempts[0].status.name) == (State.FAILED, "FAILURE_NO_RETRIES")
    assert "forget to await" in job.error

    async def later():
        await asyncio.sleep(0)

    run_one(engine, make_cog(later).job())
    assert ended == [1]


def test_x8_coroutines_inside_an_output_are_promises_too(engine, answer):
    job = run_one(engine, answer(lambda: {"all": [_work(), _work()]}))
    assert (job.state, job.attempts[0].status.name) == (State.FAILED, "FAILURE_NO_RETRIES")
    assert "await" in job.error


def test_x8_what_is_data_is_a_value_whatever_else_it_can_do(engine, answer):
    @dataclasses.dataclass
    class Kept(Manager):
        host: str = "a"

    class Struct(msgspec.Struct):
        host: str = "a"

        def __exit__(self, *_): ...

    for value in (Kept(), Struct()):
        job = run_one(engine, answer(value))
        assert (job.state, job.output) == (State.COMPLETED, {"host": "a"})
    job = run_one(engine, answer(memoryview(b"x")))
    assert (job.state, job.output) == (State.COMPLETED, b"x")


# ---- X9: nearly plain ----


class Text(str): ...


class Whole(int): ...


class Real(float): ...


class Moment(dt.datetime): ...


class Color(enum.Enum):
    RED = "red"
    WHOLE = Whole(3)


class Struct(msgspec.Struct, tag="kind", rename="camel"):
    some_value: object


@dataclasses.dataclass
class Data:
    value: object


Pair = collections.namedtuple("Pair", "a b")
_MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc)

LOSSLESS = [
    (Text("x"), "x"), (Whole(3), 3), (Real(1.5), 1.5), (np.str_("h"), "h"), (np.float64(1.5), 1.5), (np.float32(0.5), 0.5), (np.int8(-3), -3),
    (np.uint64(2**64 - 1), 2**64 - 1), (np.bool_(True), True), (np.bytes_(b"x"), b"x"), (np.arange(3), [0, 1, 2]), (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    (np.array(5), 5), (np.array([], dtype=int), []), (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05"), (np.datetime64("NaT"), None),
    (np.array([Text("a"), None], dtype=object), ["a", None]), (np.timedelta64(1500, "ms"), "PT1.5S"), (pd.Timestamp("2026-01-01"), "2026-01-01T00:00:00"),
    (pd.Timestamp(_MOMENT), _MOMENT), (pd.NaT, None), (pd.Timedelta("1s"), "PT1S"), (Moment(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc), _MOMENT),
    (Pair(1, Text("b")), [1, "b"]), (types.MappingProxyType({"a": 1}), {"a": 1}), ({"a": 1}.keys(), ["a"]), ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [["a", 1]]), (collections.deque([1]), [1]), (range(3), [0, 1, 2]), (collections.UserString("u"), "u"),
    (collections.UserList([1]), [1]), (collections.UserDict(a=1), {"a": 1}), (array.array("i", [1, 2]), [1, 2]), (collections.ChainMap({"a": 1}), {"a": 1}),
    (Color.RED, "red"), (Color.WHOLE, 3), (Data(Whole(1)), {"value": 1}), ({Whole(1): 2}, {1: 2}), ({(1, 2): 3}, {(1, 2): 3}), (frozenset({1}), [1]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "plain"), LOSSLESS, ids=lambda value: f"{type(value).__name__}-{value!r:.30}")
def test_x9_what_is_nearly_plain_is_kept_as_what_it_says(value, plain):
    packed, odd, undone = pack({"host": "a", "value": value})
    assert (msgspec.msgpack.decode(packed), odd, undone) == ({"host": "a", "value": plain}, False, None)
    assert type(msgspec.msgpack.decode(packed)["value"]) is type(plain)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD = [
    (2**70, "1180591620717411303424"), (-(2**64), "-18446744073709551616"), (1j, "1j"), (ValueError("x"), "ValueError('x')"), ("\udce9", "'\\udce9'"),
    (Unprintable(), "<Unprintable, whose repr raised RuntimeError>"), (pd.NA, "<NA>"), (slice(1), "slice(None, 1, None)"), (print, repr(print)),
    (types.SimpleNamespace(a=1), "namespace(a=1)"), (np.complex64(1j), "1j"),
]  # fmt: skip


@pytest.mark.parametrize("wrap", [dict, Data, Struct, tuple, "nested"], ids=str)
@pytest.mark.parametrize(("value", "text"), ODD, ids=lambda value: f"{type(value).__name__}")
def test_x9_one_odd_leaf_is_marked_and_the_rest_is_kept(value, text, wrap):
    made, wanted = {
        dict: ({"host": "a", "value": value}, {"host": "a", "value": text}),
        Data: (Data(value), {"value": text}),
        Struct: (Struct(value), {"type": "kind", "someValue": text}),
        tuple: ((1, value, np.int8(2)), [1, text, 2]),
        "nested": ([{"deep": [{value}]}] if value.__hash__ else [{"deep": [[value]]}], [{"deep": [[text]]}]),
    }[wrap]
    packed, odd, undone = pack(made)
    decoded = msgspec.msgpack.decode(packed)
    if not isinstance(value, np.complex64):  # whose repr differs from version to version
        assert decoded == wanted
    assert (odd, undone) == (True, None)


def test_x9_odd_keys_too():
    packed, odd, _ = pack({1j: 1, "\udce9": 2, Data(1).__class__: 3})
    assert odd
    assert {"1j": 1, "'\\udce9'": 2}.items() <= msgspec.msgpack.decode(packed).items()


def test_x9_an_odd_leaf_is_marked_on_the_attempt_and_the_next_job_has_the_rest(engine, make_cog):
    def out() -> dict:
        return {"host": "a", "error": ValueError("x")}

    def use(ctx: cw.Context, name: str) -> str:
        return ctx.outputs[name]["host"]

    cog = make_cog(out)
    done = engine.run(one(cog.job(), make_cog(use).job(cog.name)), timeout=60)
    first, second = done.tasks[0].sequences[0].jobs
    assert (first.attempts[0].repr, second.output) == (True, "a")


def test_x9_pydantic_models_are_what_they_hold():
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):
        when: dt.date = dt.date(2026, 1, 1)

    class Model(pydantic.BaseModel):
        a: int = 1
        inner: Inner = Inner()

    packed, odd, _ = pack([Model()])
    assert (msgspec.msgpack.decode(packed), odd) == ([{"a": 1, "inner": {"when": "2026-01-01"}}], False)


def test_x9_an_array_that_is_too_large_is_no_million_of_objects():
    packed, odd, _ = pack({"array": np.zeros(2_000_000), "range": range(10**12)})
    assert odd
    assert len(packed) < 1000


# ---- X9: deep ones ----


def nest(levels: int):
    value: object = "leaf"
    for level in range(levels):
        value = {"k": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("levels", [100, 511, 512])
def test_x9_an_output_of_up_to_512_levels_is_kept(engine, make_cog, levels):
    def tree():
        return nest(levels)

    def after(ctx: cw.Context, name: str) -> str:
        return type(ctx.outputs[name]).__name__

    cog = make_cog(tree)
    handle = engine.submit(one(cog.job(), make_cog(after).job(cog.name)))
    done = handle.wait(60)
    first, second = done.tasks[0].sequences[0].jobs
    assert (first.output, first.attempts[0].repr, second.output) == (nest(levels), False, type(nest(levels)).__name__)

    def deeper(frames: int):
        return handle.read() if frames == 0 else deeper(frames - 1)

    frames = sys.getrecursionlimit() - 150
    assert deeper(frames).tasks[0].sequences[0].jobs[0].output == nest(levels), "R: whatever the reader's stack"


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("levels", [513, 900, 960, 975, 985, 995, 1000, 5000, 100_000])
def test_x9_a_deeper_one_is_a_marked_repr_at_once(engine, answer, levels, kind):
    value = nest(levels)
    job = run_one(engine, answer(value, kind))
    assert (job.state, job.attempts[0].repr) == (State.COMPLETED, True)
    assert job.output.startswith(("[{'k': [", "{'k': [{"))
    while isinstance(value, (list, dict)):  # else its end is deeper than C takes
        value = value[0] if isinstance(value, list) else value["k"]


def test_x9_an_output_that_contains_itself_is_a_marked_repr(engine, answer):
    loop: list = [1]
    loop.append(loop)
    job = run_one(engine, answer(loop))
    assert (job.state, job.attempts[0].repr) == (State.COMPLETED, True)
    assert job.output.startswith("[1, [1,")
