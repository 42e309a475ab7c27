"""The Cogs of tests/faults/kills.py: one of each kind, which all do the same - say that they begin, take their time, say how it went.

Also a program that holds one of them: `python:kill_cogs.py:work_apart`.
"""

from __future__ import annotations

import asyncio
import time

from judge import note

import cogwork as cw


def _answer(ctx: cw.Context, log: str, fails: list[int], cancelled: bool) -> str:
    answer = "CANCELLED" if cancelled else "FAILURE" if ctx.attempt in fails else "SUCCESS"
    note(log, "end", ctx.job_id, ctx.attempt, answer)
    if answer != "SUCCESS":
        raise RuntimeError(answer)
    return answer


@cw.cog
def work_plain(ctx: cw.Context, log: str, seconds: float, fails: list[int]) -> str:
    note(log, "begin", ctx.job_id, ctx.attempt)
    return _answer(ctx, log, fails, not ctx.sleep(seconds))


@cw.cog
async def work_async(ctx: cw.Context, log: str, seconds: float, fails: list[int]) -> str:
    note(log, "begin", ctx.job_id, ctx.attempt)
    await asyncio.sleep(seconds)
    return _answer(ctx, log, fails, False)


@cw.cog
def work_apart(ctx: cw.Context, log: str, seconds: float, fails: list[int]) -> str:
    note(log, "begin", ctx.job_id, ctx.attempt)
    return _answer(ctx, log, fails, not ctx.sleep(seconds))


@cw.cog
def probe(seconds: float, passes: bool) -> bool:
    """A check; it leaves no trace."""
    time.sleep(seconds)
    return passes


SHELL = """
printf 'begin %s %s\\n' "$COGWORK_JOB" "$COGWORK_ATTEMPT" >> "$KILLS_LOG"
sleep "$KILLS_SECONDS"
case " $KILLS_FAILS " in
*" $COGWORK_ATTEMPT "*) printf 'end %s %s FAILURE\\n' "$COGWORK_JOB" "$COGWORK_ATTEMPT" >> "$KILLS_LOG"; exit 1 ;;
esac
printf 'end %s %s SUCCESS\\n' "$COGWORK_JOB" "$COGWORK_ATTEMPT" >> "$KILLS_LOG"
"""


def work_command(log: str, seconds: float, fails: list[int]) -> cw.Job:
    """The same as a command."""
    words = {"KILLS_LOG": log, "KILLS_SECONDS": str(seconds), "KILLS_FAILS": " ".join(map(str, fails))}
    return cw.command.job(shell=SHELL, env=words)


if __name__ == "__main__":
    cw.serve_cogs()
