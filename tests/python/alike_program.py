"""The Cogs of test_serve_alike.py in Python; in C++ they are tests/cpp/serve/alike.cpp."""

from __future__ import annotations

import sys
from typing import Any

import cogwork as cw


@cw.cog
def facts(ctx: cw.Context) -> dict[str, Any]:
    return {
        "job": ctx.job_id,
        "labor": ctx.labor_id,
        "labor_name": ctx.labor_name,
        "job_name": ctx.job_name,
        "target": ctx.target,
        "attempt": ctx.attempt,
        "check": ctx.check,
        "real_user": ctx.real_user,
        "timeout": ctx.timeout,
        "outputs": dict(ctx.outputs),
    }


@cw.cog
def is_check(ctx: cw.Context) -> bool:
    return ctx.check


@cw.cog
def waits(ctx: cw.Context) -> str:
    ctx.log("waiting")
    return "not asked" if ctx.sleep(60) else "asked to end"


if __name__ == "__main__":
    cw.serve_cogs(*([facts] if "--only" in sys.argv else []), concurrency=1)
