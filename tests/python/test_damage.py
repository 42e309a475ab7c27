"""Rows that do not fit each other, in a store of Labors that go on: an error with a place, never a crash, endless memory, or the end of other Labors (R4, T1)."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys

import pytest
from cli_support import PACKAGE, PATIENCE

HERE = pathlib.Path(__file__).parent
MEMORY = 2 << 30

MAKE = "import sys, damage_harness as harness; harness.make(sys.argv[1], sys.argv[2])"
LOOK = """
import json, logging, sys, warnings
import damage_harness as harness
import cogwork as cw

path = sys.argv[1]
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
said = {"doctor": [str(found) for found in cw.doctor(path).findings]}
with cw.open_store(path) as store:
    said["found"] = sorted(found.name for found in store.search())
with cw.Engine(path, grace=0.05) as engine:
    said["waiting"] = [[waits.name, waits.why] for waits in engine.stats().waiting]
    said["taken_up"] = sorted(engine.handle(id).read().name for id in engine.taken_up)
    said["new"] = engine.run(harness.labor("new", harness.quick.job(), targets=1)).state.name
    engine.close(interrupt=True)
said["wrong"] = list(harness.look_at(path))
print(json.dumps(said))
"""


def run(script: str, *words: object) -> str:
    paths = [PACKAGE, str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True, text=True, timeout=PATIENCE * 4, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def left(tmp_path_factory) -> pathlib.Path:
    """A store with three Labors that went on when their engine was killed: "runs" is the first, "retries", "checks"."""
    path = tmp_path_factory.mktemp("left") / "labors.db"
    run(MAKE, "running", path)
    return path


# What is done to the rows of the first Labor, or of all.
OF_ONE = {
    "an executing Job without attempts": "UPDATE jobs SET attempts = NULL WHERE state = 3 AND key >> 32 = 1",
    "a running Sequence whose Jobs are completed": "UPDATE sequences SET state = 3 WHERE key >> 32 = 1; UPDATE jobs SET state = 8 WHERE key >> 32 = 1",
    "Jobs of no Sequence": "UPDATE jobs SET sequence = NULL WHERE key >> 32 = 1",
    "no Tasks": "DELETE FROM tasks WHERE key >> 32 = 1",
    "Sequences without Jobs": "UPDATE sequences SET jobs = 0 WHERE key >> 32 = 1",
    "Tasks without Sequences": "UPDATE tasks SET sequences = 0 WHERE key >> 32 = 1",
    "checks that reach into the Jobs": "UPDATE tasks SET pre_checks = 3, cont_checks = 4 WHERE key >> 32 = 1",
    "a count of billions": "UPDATE tasks SET sequences = 4294967295 WHERE key >> 32 = 1",
    "a Job's key with one more bit": "UPDATE jobs SET key = key | (1 << 31) WHERE key = (SELECT max(key) FROM jobs WHERE key >> 32 = 1)",
    "a Job is missing": "DELETE FROM jobs WHERE key = (SELECT max(key) FROM jobs WHERE key >> 32 = 1)",
    "a state that there is not": "UPDATE jobs SET state = 77 WHERE key >> 32 = 1",
    "a policy that there is not": "UPDATE jobs SET on_interrupt = 77 WHERE key >> 32 = 1",
    "attempts that are cut off": "UPDATE jobs SET attempts = x'9181a6' WHERE key >> 32 = 1",
    "args that are no map": "UPDATE args SET args = x'91c0' WHERE key >> 32 = 1",
    "a time beyond the calendar": "UPDATE labors SET submitted = 9223372036854775807 WHERE key = 1",
}  # fmt: skip
OF_ALL = {
    "no rows but of Labors": "DELETE FROM tasks; DELETE FROM sequences; DELETE FROM jobs; DELETE FROM args",
    "other keys of Labors": "UPDATE labors SET key = key + 77",
    "times of the history beyond the calendar": "UPDATE history SET at = 9223372036854775807",
    "attempts that are none": "UPDATE jobs SET attempts = NULL",
    "other Jobs' rows": "UPDATE jobs SET sequence = 0, task = 0",
    "all counts": "UPDATE tasks SET sequences = 4294967295, pre_checks = 4294967295, cont_checks = 4294967295; UPDATE sequences SET jobs = 4294967295",
}  # fmt: skip


def edited(left: pathlib.Path, folder: pathlib.Path, statements: str) -> pathlib.Path:
    path = folder / "labors.db"
    shutil.copy(left, path)
    database = sqlite3.connect(path)
    database.executescript("PRAGMA foreign_keys = OFF;" + statements)
    database.close()
    return path


@pytest.mark.parametrize("name", OF_ONE)
def test_r4_a_labor_whose_rows_do_not_fit_waits_with_words_and_others_go_on(left, tmp_path, name):
    said = json.loads(run(LOOK, edited(left, tmp_path, OF_ONE[name])))
    assert said["wrong"] == []
    assert said["doctor"], "it is found"
    assert {"retries", "checks"} <= set(said["found"])
    assert (said["taken_up"], said["new"]) == (["checks", "retries"], "COMPLETED")
    [[waits, why]] = said["waiting"]
    assert waits in ("runs", "")
    assert "damaged" in why


@pytest.mark.parametrize("name", OF_ALL)
def test_t1_whatever_is_done_to_all_rows_is_an_error_and_no_end_of_the_process(left, tmp_path, name):
    said = json.loads(run(LOOK, edited(left, tmp_path, OF_ALL[name])))
    assert said["wrong"] == []
    assert said["doctor"], "it is found"
    assert said["new"] == "COMPLETED"


def test_t1_damage_at_random(tmp_path):
    """The harness says which seed it was, and what was done."""
    script = "import sys, damage_harness as harness; sys.argv[1:] = [sys.argv[1], '1', '6']; harness.main()"
    said = run(script, tmp_path)
    assert said.splitlines()[-1].split(" seeds, ")[1].startswith("0 wrong"), said[-4000:]
