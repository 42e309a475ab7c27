"""Section 2: submitting."""

from __future__ import annotations

import copy
import dataclasses
import enum
import ipaddress
import pathlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from conftest import many, one

import cogwork as cw


@cw.cog(name="submit_upgrade", timeout=7, retries=2, retry_delay=0.5)
def upgrade(host: str, version: str = "2.1", force: bool = False) -> str:
    return f"{host}:{version}:{force}"


@cw.cog(name="submit_ok", idempotent=True)
def ok() -> bool:
    return True


def places(error: cw.ValidationError) -> list[str]:
    return [issue.place for issue in error.errors]


def refused(engine: cw.Engine, labor: cw.Labor) -> list[cw.Issue]:
    with pytest.raises(cw.ValidationError) as caught:
        engine.submit(labor)
    assert list(engine.search()) == [], "S1: nothing is stored"
    return caught.value.errors


def test_s1_all_errors_with_their_places(engine):
    labor = cw.Labor(
        "x",
        tags=["one word"],
        tasks=[
            cw.Task("rest", concurrency=0, pre_checks=[cw.Job("nope")], cont_checks=[ok.job(), cw.Job("submit_okk")]),
            cw.Task(
                "more",
                sequences=[
                    cw.Sequence("edge-7", jobs=[upgrade.job(host="a"), cw.Job("submit_upgrad", {"host": "x"})]),
                    cw.Sequence("", jobs=[]),
                    cw.Sequence("edge-9", jobs=[cw.Job("submit_upgrade", {"host": 5}, timeout=0)]),
                ],
            ),
        ],
    )
    before = copy.deepcopy(labor)
    errors = refused(engine, labor)
    texts = [str(error) for error in errors]
    assert labor == before, "S1: the user's objects stay as they were"
    wanted = [
        ("", "'one word' is not one word"),
        ("Task[0] ('rest')", "Sequence"),
        ("Task[0] ('rest')", "concurrency"),
        ("Task[0].PreCheck[0] ('rest')", "cog 'nope' is not registered"),
        ("Task[0].ContCheck[1] ('rest')", "did you mean 'submit_ok'?"),
        ("Task[1].Sequence[0].Job[1] ('more', 'edge-7')", "did you mean 'submit_upgrade'?"),
        ("Task[1].Sequence[1]", "target"),
        ("Task[1].Sequence[1]", "Job"),
        ("Task[1].Sequence[2].Job[0] ('more', 'edge-9')", "'host'"),
        ("Task[1].Sequence[2].Job[0] ('more', 'edge-9')", "timeout"),
    ]
    for place, part in wanted:
        assert any(e.place.startswith(place) and part in e.message for e in errors), (place, part, texts)
    order = [p for p in places(cw.ValidationError(errors)) if p]
    assert order == sorted(order, key=order.index), "in the order of the tree"


def test_s1_neighbours_are_folded(engine):
    errors = refused(engine, many(lambda n: cw.Job("submit_missing"), 1000))
    assert len(errors) == 1
    assert errors[0].count == 1000
    assert errors[0].place == "Task[0].Sequence[0].Job[0] ('task', 'host-0')"
    assert "999 more" in str(errors[0])


@pytest.mark.parametrize(
    ("labor", "part"),
    [
        (cw.Labor("x"), "Task"),
        (cw.Labor("x", tasks=[cw.Task("t")]), "Sequence"),
        (cw.Labor("x", tags="edge", tasks=[]), "tags"),
        (one(ok.job(), concurrency=0), "concurrency"),
        (one(ok.job(), concurrency="101%"), "concurrency"),
        (one(ok.job(), concurrency="x%"), "concurrency"),
        (one(ok.job(), concurrency=True), "concurrency"),
        (one(ok.job(), tolerated_failures=-2), "tolerated_failures"),
        (one(ok.job(), tolerated_failures="-1%"), "tolerated_failures"),
        (one(ok.job(), cont_check_interval=0), "cont_check_interval"),
        (one(ok.job(), cont_check_interval="soon"), "cont_check_interval"),
        (one(ok.job(), bake=-1), "bake"),
        (one(ok.job(), entry_delay=timedelta(seconds=-1)), "entry_delay"),
        (one(ok.job(), strict="yes"), "strict"),
        (one(ok.job().replace(retries=-1)), "retries"),
        (one(ok.job().replace(retries=1.5)), "retries"),
        (one(ok.job().replace(retry_delay=-1)), "retry_delay"),
        (one(ok.job().replace(retry_backoff=0.5)), "retry_backoff"),
        (one(ok.job().replace(timeout=float("nan"))), "timeout"),
        (one(ok.job().replace(timeout=float("inf"))), "timeout"),
        (one(ok.job().replace(timeout=1e300)), "timeout"),
        (one(ok.job().replace(timeout="5 min")), "timeout"),
        (one(ok.job().replace(name=5)), "name"),
        (one(cw.Job("")), "cog_path"),
        (one(cw.Job(None)), "cog_path"),
        (one(cw.Job("submit_ok", [1, 2])), "args"),
        (one(cw.Job("submit_ok", {1: 2})), "args"),
        (one("a job"), "Job"),
        (cw.Labor("x", tasks=["a task"]), "Task"),
        (cw.Labor("x", tasks=None), "Task"),
        (cw.Labor(7, tasks=[]), "name"),
        (cw.Labor("x", tasks=[cw.Task("t", sequences=[5])]), "Sequence"),
        (cw.Labor("x", tasks=[cw.Task("t", sequences=cw.Sequence("a"))]), "sequences"),
        (one(cw.Job("submit_upgrade", {})), "'host' is missing"),
        (one(cw.Job("submit_upgrade", {"host": "a", "versoin": "2"})), "did you mean 'version'"),
        (one(cw.Job("submit_upgrade", {"host": "a", "force": "yes"})), "'force'"),
        (one(cw.Job("submit_ok", {"x": 1})), "no parameter 'x'"),
        (one(ok.job(), pre_checks=[cw.Job("submit_upgrade", {})]), "PreCheck[0]"),
    ],
)
def test_s2_what_is_not_valid(engine, labor, part):
    texts = [str(error) for error in refused(engine, labor)]
    assert any(part in text for text in texts), texts


@pytest.mark.parametrize(
    "thing",
    [object(), {1, 2}.__iter__, 2**70, "\ud800", {"deep": [object()]}],
    ids=["object", "method", "2**70", "surrogate", "deep"],
)
def test_s1_args_that_cannot_be_encoded_are_found(engine, thing):
    labor = one(ok.job(), cw.Job("submit_upgrade", {"host": "a", "version": thing}))
    errors = refused(engine, labor)
    assert any(e.place == "Task[0].Sequence[0].Job[1] ('task', 'host')" and "'version'" in e.message for e in errors), (
        errors
    )


def test_s1_args_that_contain_themselves(engine):
    loop: list = []
    loop.append(loop)
    errors = refused(engine, one(cw.Job("submit_upgrade", {"host": loop})))
    assert any("contains itself" in e.message for e in errors)


def test_s2_what_was_read_back_is_submitted_anew_only(engine):
    done = engine.run(one(ok.job()), timeout=20)
    with pytest.raises(cw.ValidationError, match="as_new"):
        engine.submit(done)
    again = engine.run(done.as_new(), timeout=20)
    assert again.state == cw.State.COMPLETED
    assert again.id != done.id


def test_submit_of_something_else_says_what_it_takes(engine):
    with pytest.raises(TypeError, match=r"cogwork\.Labor"):
        engine.submit({"name": "x"})


def test_s3_client_id(engine):
    labor = one(upgrade.job(host="a").replace(timeout=30))
    labor.client_id = "INC-12"
    first = engine.submit(labor)
    same = one(cw.Job("submit_upgrade", {"host": "a"}, timeout=timedelta(seconds=30)))
    same.client_id = "INC-12"
    assert engine.submit(same).id == first.id
    other = one(upgrade.job(host="b"))
    other.client_id = "INC-12"
    with pytest.raises(cw.ValidationError, match="INC-12"):
        engine.submit(other)
    assert len(list(engine.search())) == 1
    assert first.wait(20).state == cw.State.COMPLETED
    assert engine.submit(labor).id == first.id


def test_s3_maps_in_any_order(engine):
    ids = set()
    for args in ({"host": "a", "version": "1"}, {"version": "1", "host": "a"}):
        labor = one(cw.Job("submit_upgrade", args))
        labor.client_id = "order"
        ids.add(engine.submit(labor).id)
    assert len(ids) == 1


def test_s3_start_is_not_compared_and_starts_what_waits(engine):
    labor = one(ok.job())
    labor.client_id = "later"
    waiting = engine.submit(labor, start=False)
    assert waiting.state == cw.State.ADMIN_NOT_STARTED
    again = engine.submit(labor, start=True)
    assert again.id == waiting.id
    assert again.wait(20).state == cw.State.COMPLETED


def test_s3_under_concurrency_and_across_a_restart(tmp_path):
    labor = one(ok.job())
    labor.client_id = "many at once"
    with cw.Engine(tmp_path / "l.db") as engine:
        with ThreadPoolExecutor(16) as pool:
            ids = {handle.id for handle in pool.map(lambda _: engine.submit(labor), range(64))}
        assert len(ids) == 1
        engine.handle(ids.copy().pop()).wait(20)
    with cw.Engine(tmp_path / "l.db") as engine:
        assert engine.submit(labor).id in ids
        assert len(list(engine.search())) == 1


def test_s4_d1_ids_and_submitted_are_durable_when_submit_returns(tmp_path):
    before = datetime.now(timezone.utc)
    with cw.Engine(tmp_path / "l.db") as engine:
        handle = engine.submit(one(ok.job()), start=False)
        with cw.open_store(tmp_path / "l.db") as store:
            labor = store.read_labor(handle.id)
    assert labor.submitted is not None
    assert before - timedelta(seconds=1) <= labor.submitted <= datetime.now(timezone.utc) + timedelta(seconds=1)
    ids = [labor.id, labor.tasks[0].id, labor.tasks[0].sequences[0].id, labor.tasks[0].sequences[0].jobs[0].id]
    assert len(set(ids)) == 4
    import uuid

    assert all(uuid.UUID(id).version == 4 for id in ids), "M2: in version-4 form"


def test_s5_s6_start(engine):
    handle = engine.submit(one(ok.job()), start=False)
    assert handle.state == cw.State.ADMIN_NOT_STARTED
    with pytest.raises(cw.SignalNotAllowed, match="start"):
        handle.pause()
    handle.start(by="ann")
    assert handle.wait(20).state == cw.State.COMPLETED
    with pytest.raises(cw.SignalNotAllowed):
        handle.start()


def test_s6_stop_before_the_start(engine):
    handle = engine.submit(one(ok.job()), start=False)
    ack = handle.stop(by="ann", note="not today")
    assert ack.wait(20)
    assert (ack.state, ack.applied) == (cw.State.STOPPED, True)
    done = handle.wait(20)
    assert done.state == cw.State.STOPPED
    assert done.tasks[0].state == cw.State.NOT_STARTED


def test_m6_defaults_and_the_cogs_own(engine):
    labor = one(upgrade.job(host="a"), upgrade.job(host="b").replace(timeout=timedelta(minutes=1), retries=0), ok.job())
    done = engine.run(labor, timeout=20)
    first, second, third = done.tasks[0].sequences[0].jobs
    assert (first.timeout, first.retries, first.retry_delay) == (timedelta(seconds=7), 2, timedelta(seconds=0.5))
    assert (second.timeout, second.retries) == (timedelta(minutes=1), 0)
    assert (third.timeout, third.retries, third.retry_delay) == (timedelta(minutes=5), 0, timedelta(0))
    assert first.on_interrupt == cw.OnInterrupt.HOLD
    assert third.on_interrupt == cw.OnInterrupt.RETRY
    task = done.tasks[0]
    assert (task.concurrency, task.tolerated_failures, task.strict, task.pass_failures) == (1, 0, False, False)
    assert (task.cont_check_interval, task.bake, task.entry_delay) == (
        timedelta(seconds=30),
        timedelta(0),
        timedelta(0),
    )


def test_x4a_shares_read_back_with_their_numbers(engine):
    labor = many(lambda n: ok.job(), 25, concurrency="10%", tolerated_failures="7.9%")
    task = engine.run(labor, timeout=20).tasks[0]
    assert (task.concurrency, task.concurrency_number) == ("10%", 2)
    assert (task.tolerated_failures, task.tolerated_number) == ("7.9%", 1)
    small = many(lambda n: ok.job(), 3, concurrency="1%", tolerated_failures="0%")
    task = engine.run(small, timeout=20).tasks[0]
    assert (task.concurrency_number, task.tolerated_number) == (1, 0)


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Box(msgspec.Struct):
    corner: Point
    label: str | None = None


@cw.cog(name="submit_typed")
def typed(
    address: ipaddress.IPv4Address,
    at: datetime,
    span: timedelta,
    color: Color,
    point: Point,
    box: Box,
    path: pathlib.Path,
    net: ipaddress.IPv6Network | None = None,
    numbers: list[int] = [],  # noqa: B006 - a default that must not be shared is the function's affair
) -> list[str]:
    return [type(v).__name__ for v in (address, at, span, color, point, box, box.corner, path, net, numbers)]


def test_c1_the_cog_receives_the_hinted_type(engine):
    job = typed.job(
        address=ipaddress.IPv4Address("10.0.0.1"),
        at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        span=timedelta(seconds=5),
        color=Color.RED,
        point=Point(1),
        box=Box(Point(2, 3)),
        path=pathlib.Path("/tmp/x"),
    )
    done = engine.run(one(job), timeout=20)
    got = done.tasks[0].sequences[0].jobs[0].output
    assert got == [
        "IPv4Address",
        "datetime",
        "timedelta",
        "Color",
        "Point",
        "Box",
        "Point",
        "PosixPath",
        "NoneType",
        "list",
    ]
    bad = job.replace(args={**job.args, "address": "10.0.0.1.5", "color": "blue"})
    with pytest.raises(cw.ValidationError, match=r"address|color"):
        engine.submit(one(bad))


def test_c1_validator_and_describe(engine, make_cog):
    def ship(count: int) -> int:
        return count

    cog = make_cog(ship, owner="team", tags=["a"], desc="Ships.")

    @cog.validator
    def not_too_many(count: int) -> None:
        if count > 10:
            raise ValueError(f"{count} is too many")

    with pytest.raises(cw.ValidationError, match="11 is too many"):
        engine.submit(one(cog.job(count=11)))
    assert engine.run(one(cog.job(count=10)), timeout=20).state == cw.State.COMPLETED
    described = cog.describe()
    assert (described["owner"], described["desc"], described["tags"]) == ("team", "Ships.", ["a"])
    assert "count" in str(described["args"])
    with pytest.raises(cw.CogError, match="count"):
        cog.validate({})
    assert cog(3) == 3, "calling it just calls the function"


def test_c1_a_name_that_is_taken(make_cog):
    def first() -> None: ...
    def second() -> None: ...

    cog = make_cog(first)
    cw.cog(name=cog.name)(first)  # the same function again: a notebook cell that is run twice
    with pytest.raises(cw.CogError) as caught:
        cw.cog(name=cog.name)(second)
    assert "first" in str(caught.value)
    assert "second" in str(caught.value)


@pytest.mark.parametrize("bad", [lambda *hosts: None, lambda **options: None], ids=["args", "kwargs"])
def test_a_cog_names_its_parameters(bad):
    with pytest.raises(cw.CogError, match="checked at submit"):
        cw.cog(name="submit_bad")(bad)


@pytest.mark.timeout(300)
def test_a_large_labor_is_submitted_quickly_enough(tmp_path):
    labor = many(lambda n: upgrade.job(host=f"h{n}"), 20_000, concurrency=64)
    with cw.Engine(tmp_path / "l.db") as engine:
        done = engine.run(labor, timeout=240)
    assert done.state == cw.State.COMPLETED
    assert sum(1 for s in done.tasks[0].sequences if s.state == cw.State.COMPLETED) == 20_000


# ---- hints, wherever they are from ----


def test_c1_a_context_is_no_arg(make_cog):
    def with_context(ctx: cw.Context, host: str, n: int = 1) -> None: ...

    cog = make_cog(with_context)
    assert cog.job("lb", 2).args == {"host": "lb", "n": 2}
    with pytest.raises(TypeError, match="takes 2 positional arguments, 3 were given"):
        cog.job("lb", 2, 3)
    with pytest.raises(TypeError, match="two values for 'host'"):
        cog.job("lb", host="b")


def test_c1_hints_may_name_what_is_local(engine):
    @dataclasses.dataclass
    class Outer:
        a: int

    def make() -> tuple[cw.Cog, type]:
        @cw.cog(name="local_hints")
        def local_hints(x: Outer, y: list[Later]) -> list[int]:
            return [x.a, y[0].b]

        @dataclasses.dataclass
        class Later:
            b: int

        return local_hints, Later

    cog, later = make()
    assert run_output(engine, cog.job(Outer(4), [later(3)])) == [4, 3]


def test_s1_a_hint_that_names_nothing_is_a_fault_like_any_other(engine, make_cog):
    def lost(x: NoSuchThing) -> None: ...  # noqa: F821

    cog = make_cog(lost)
    issues = refused(engine, one(cog.job(x=1), upgrade.job(host=5)))
    assert ["NoSuchThing" in issues[0].message, "'host'" in issues[1].message] == [True, True]
    assert len(issues) == 2


def test_c1_unions_of_types_that_msgpack_does_not_know(engine, make_cog):
    def kinds(
        a: ipaddress.IPv4Address | ipaddress.IPv6Address,
        b: list[ipaddress.IPv4Address | str],
        c: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None,
        d: dict[str, pathlib.Path | int] | None = None,
    ) -> list[str]:
        return [type(v).__name__ for v in (a, *b, c, *(d or {}).values())]

    cog = make_cog(kinds)
    job = cog.job(ipaddress.ip_address("::1"), ["10.0.0.1", "host"], c=ipaddress.ip_network("10.0.0.0/8"), d={"n": 5})
    assert run_output(engine, job) == ["IPv6Address", "IPv4Address", "str", "IPv4Network", "int"]
    assert run_output(engine, cog.job("10.0.0.1", [])) == ["IPv4Address", "NoneType"]
    (issue,) = refused_now(engine, one(cog.job("10.0.0.300", [])))
    assert "'a': expected IPv4Address | IPv6Address, got '10.0.0.300'" in issue.message
    assert cog.describe()["args"]


def test_s2_texts_that_have_no_utf8(engine):
    job = ok.job().replace(name="j\ud800")
    labor = cw.Labor("l\ud800", tasks=[cw.Task("t\ud800", sequences=[cw.Sequence("s\ud800", jobs=[job])])])
    issues = refused(engine, labor)
    assert [issue.place.partition(" ")[0] for issue in issues if "UTF-8" in issue.message] == [
        "",
        "Task[0]",
        "Task[0].Sequence[0]",
        "Task[0].Sequence[0].Job[0]",
    ]


def test_c1_a_validator_may_raise_any_text(engine, make_cog):
    def strict(x: str) -> None: ...

    cog = make_cog(strict)

    @cog.validator
    def never(x: str) -> None:
        raise ValueError("no \ud800")

    assert r"no \ud800" in refused(engine, one(cog.job("a")))[0].message


def run_output(engine: cw.Engine, job: cw.Job):
    done = engine.run(one(job), timeout=20)
    assert done.state == cw.State.COMPLETED, done.failures()
    return done.tasks[0].sequences[0].jobs[0].output


def refused_now(engine: cw.Engine, labor: cw.Labor) -> list[cw.Issue]:
    with pytest.raises(cw.ValidationError) as caught:
        engine.submit(labor)
    return caught.value.errors
