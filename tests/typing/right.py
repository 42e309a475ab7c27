"""What users write, as type checkers see it. Checked, never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from typing_extensions import assert_type

import cogwork as cw


@cw.cog
def plain(host: str, version: str = "1") -> str:
    return host + version


@cw.cog(timeout=30, retries=2, retry_delay=timedelta(seconds=1), idempotent=True)
def with_options(host: str) -> bool:
    return bool(host)


@cw.cog(idempotent=True)
async def with_context(ctx: cw.Context, host: str) -> int:
    ctx.log("%s", host)
    ctx.progress(0.4, "copying")
    assert_type(await ctx.sleep(1), bool)
    return ctx.attempt


assert_type(plain("a", version="2"), str)
assert_type(plain.job(host="a"), cw.Job)
assert_type(with_options.job("a"), cw.Job)
assert_type(with_context.job(host="a"), cw.Job)
assert_type(plain.name, str)


@plain.validator
def check(host: str, version: str = "1") -> None: ...


labor = cw.Labor(
    "x",
    desc="why",
    tags=["edge"],
    tasks=[
        cw.Task(
            "canary", pre_checks=[with_options.job("lb")], bake=60, sequences=[cw.Sequence("a", jobs=[plain.job("a")])]
        ),
        cw.Task("rest", concurrency="10%", tolerated_failures="5%", strict=True),
    ],
)
labor["rest"].sequences.append(cw.Sequence("b", jobs=[plain.job("b").replace(timeout=timedelta(minutes=1))]))


def use(engine: cw.Engine) -> None:
    handle = engine.submit(labor)
    assert_type(handle, cw.LaborHandle)
    assert_type(handle.wait(timeout=5).raise_for_state(), cw.Labor)
    assert_type(handle.pause(by="ann"), cw.Ack)
    assert_type(handle.state, cw.State)
    found: Iterator[cw.Labor] = engine.search(cw.LaborFilter(states=[cw.State.RUNNING]))
    assert_type(next(found), cw.Labor)
    for change in handle.changes():
        assert_type(change, cw.Change)


async def use_async() -> None:
    async with cw.Engine("memory:") as engine:
        handle = await engine.asubmit(labor)
        assert_type(await handle, cw.Labor)
        assert_type(await handle.stop(), cw.Ack)
        async for change in handle.changes():
            assert_type(change, cw.Change)
