"""What may be copied and pickled, and what says that it may not."""

from __future__ import annotations

import copy
import pickle

import pytest
from conftest import one

import cogwork as cw


@cw.cog(name="copied")
def copied(host: str) -> str:
    return host


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda cog: pickle.loads(pickle.dumps(cog))])
def test_a_cog_is_copied_as_its_function_is(again):
    assert again(copied) is copied
    assert again([copied, "x"]) == [copied, "x"]


def test_a_cog_of_a_function_within_another_is_pickled_no_more_than_that(make_cog):
    def within(host: str) -> str:
        return host

    cog = make_cog(within)
    assert copy.deepcopy(cog) is cog
    with pytest.raises((pickle.PicklingError, AttributeError), match="within"):
        pickle.dumps(cog)


def test_engines_clients_and_handles_say_what_to_do_instead(tmp_path):
    with cw.Engine(tmp_path / "labors.db") as engine, cw.connect(tmp_path / "labors.db") as client:
        handle = engine.submit(one(copied.job("h")))
        for it in (engine, client, handle, client.handle(handle.id), handle.task("task")):
            with pytest.raises(TypeError, match=r"neither copied nor pickled: .*connect.* id"):
                pickle.dumps(it)
        for it in (engine, client):
            with pytest.raises(TypeError, match="neither copied nor pickled"):
                copy.copy(it)
        labor = handle.wait(60)
    assert pickle.loads(pickle.dumps(labor)) == labor


def test_a_labor_is_pickled_with_its_jobs():
    labor = one(
        copied.job(
            "h",
        )
    )
    assert pickle.loads(pickle.dumps(labor)) == labor
    assert copy.deepcopy(labor) == labor
