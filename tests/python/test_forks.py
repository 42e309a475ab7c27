"""A child that a Cog forked off and that comes out of the Cog's function: it ends as any process does, and its parent gives the answer (X8)."""

from __future__ import annotations

import os
import sys

import pytest
from conftest import one

import cogwork as cw
from cogwork import State


def _come_out(way: str) -> str:
    if way == "sys.exit(3)":
        sys.exit(3)
    if way == "sys.exit(words)":
        sys.exit("no room")
    if way == "raise":
        raise ValueError("the child's own")
    if way == "cw.NoRetry":
        raise cw.NoRetry("the child's own")
    return "the child's"


_STATUS = {"return": 0, "sys.exit(3)": 3, "sys.exit(words)": 1, "raise": 1, "cw.NoRetry": 1}


@pytest.mark.parametrize("way", _STATUS)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_x8_a_forked_child_that_comes_out_of_the_function_ends(engine, make_cog, way, is_async):
    def fork() -> str:
        child = os.fork()
        if child == 0:
            return _come_out(way)
        return f"the child ended with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"

    async def fork_async() -> str:
        return fork()

    ended = engine.run(one(make_cog(fork_async if is_async else fork).job().replace(timeout=60)), timeout=90)
    assert ended.state == State.COMPLETED, ended
    assert ended.tasks[0].sequences[0].jobs[0].output == f"the child ended with {_STATUS[way]}"
