"""Calls that type checkers must refuse: each line that is marked must be an error, and no other. Checked, never run."""

from __future__ import annotations

import cogwork as cw


@cw.cog
def plain(host: str, version: str) -> str:
    return host + version


@cw.cog
async def with_context(ctx: cw.Context, host: str) -> int:
    return 1


plain.job(host="a")  # WRONG: version is missing
plain.job(host=1, version="2")  # WRONG: not a str
plain.job(hots="a", version="2")  # WRONG: a misspelt name
with_context.job(1)  # WRONG: not a str
plain(1, "2")  # WRONG: not a str
cw.Task("t", sequences=["a"])  # WRONG: not a Sequence
cw.Engine(store=5)  # WRONG: not a store
cw.Engine("memory:", workers="many")  # WRONG: not a number


def use(handle: cw.LaborHandle) -> None:
    handle.pause("ann")  # WRONG: by keyword only
    handle.stop(interrupt="yes please")  # WRONG: not a bool
