"""R5 under kill -9: the short version of scripts/kills."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

import pytest
from judge import read_log, wrong_with_job, wrong_with_tree

import cogwork as cw
from cogwork import AttemptStatus, OnInterrupt, State

HERE = pathlib.Path(__file__).parent


@pytest.mark.timeout(300)
def test_r5_after_any_kill_at_any_moment(tmp_path):
    seed = time.time_ns() % 1_000_000
    argv = [
        sys.executable,
        HERE / "kills.py",
        "--count",
        "20",
        "--kills",
        "10",
        "--seed",
        str(seed),
        "--folder",
        tmp_path / "worlds",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 kills in" in done.stdout


# A judge that finds nothing is worth nothing: each of these is a thing that must never be.

S, F, I, O = AttemptStatus.SUCCESS, AttemptStatus.FAILURE, AttemptStatus.INTERRUPTED, AttemptStatus.OPEN  # noqa: E741

DONE, AGAIN = cw.Decision.COMPLETED, cw.Decision.RERUN


def job(state: State, *attempts: AttemptStatus, decision: cw.Decision | None = None, **fields) -> cw.Job:
    made = [
        cw.Attempt(number, status=status, decision=decision if status == I else None)
        for number, status in enumerate(attempts, 1)
    ]
    return cw.Job(
        "x", id="J", state=state, attempts=made, **{"on_interrupt": OnInterrupt.RETRY, "retries": 3, **fields}
    )


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.split(",")]


@pytest.mark.parametrize(
    ("rule", "found", "log"),
    [
        ("R5: 2 attempts succeeded", job(State.COMPLETED, S, S), "begin J 1,end J 1 SUCCESS,begin J 2,end J 2 SUCCESS"),
        ("R5: COMPLETED without a success", job(State.COMPLETED, I), "begin J 1"),
        ("SUCCESS without its effect", job(State.COMPLETED, S), "begin J 1,end J 1 FAILURE"),
        ("R5: an attempt is recorded after", job(State.COMPLETED, S, I), "begin J 1,end J 1 SUCCESS"),
        ("D2: attempt 2 began, and is not recorded", job(State.FAILED, F), "begin J 1,end J 1 FAILURE,begin J 2"),
        ("M1: attempt 1 began 2 times", job(State.FAILED, F), "begin J 1,begin J 1"),
        ("R5: an attempt succeeded, and it is", job(State.FAILED, S), "begin J 1,end J 1 SUCCESS"),
        ("R2: FAIL ran again", job(State.FAILED, I, F, on_interrupt=OnInterrupt.FAIL), "begin J 1,begin J 2"),
        ("R2: FAIL was interrupted and is", job(State.STOPPED, I, on_interrupt=OnInterrupt.FAIL), "begin J 1"),
        ("R2: HOLD ran again", job(State.FAILED, I, F, on_interrupt=OnInterrupt.HOLD), "begin J 1,begin J 2"),
        ("nobody decided so", job(State.COMPLETED, I, on_interrupt=OnInterrupt.HOLD, decision=DONE), "begin J 1"),
        ("R2: HOLD was never decided", job(State.FAILED, I, on_interrupt=OnInterrupt.HOLD), "begin J 1"),
        ("R2: it was never held", job(State.FAILED, I, F, decision=AGAIN), "begin J 1,begin J 2"),
        ("X8: it was tried too often", job(State.FAILED, F, F, retries=0), "begin J 1,begin J 2"),
        ("X8: an attempt is still open", job(State.STOPPED, O), "begin J 1"),
    ],
    ids=lambda value: value if isinstance(value, str) and ":" in value[:3] else "",
)
def test_the_judge_sees(rule, found, log):
    assert any(rule in what for what in wrong_with_job(found, lines(log))), list(wrong_with_job(found, lines(log)))


@pytest.mark.parametrize(
    ("found", "log"),
    [
        (job(State.COMPLETED, S), "begin J 1,end J 1 SUCCESS"),
        (
            job(State.COMPLETED, I, F, S),
            "begin J 1,end J 1 SUCCESS,begin J 2,end J 2 FAILURE,begin J 3,end J 3 SUCCESS",
        ),
        (job(State.COMPLETED, I, on_interrupt=OnInterrupt.HOLD, decision=DONE), "begin J 1,deciding J completed"),
        (
            job(State.FAILED, I, F, on_interrupt=OnInterrupt.HOLD, decision=AGAIN),
            "begin J 1,deciding J rerun,begin J 2",
        ),
        (job(State.STOPPED, I, on_interrupt=OnInterrupt.HOLD), "begin J 1"),
        (job(State.FAILED, I, on_interrupt=OnInterrupt.FAIL), "begin J 1,end J 1 SUCCESS"),
    ],
)
def test_the_judge_lets_pass(found, log):
    assert list(wrong_with_job(found, lines(log))) == []


def test_the_judge_sees_a_tree_that_cannot_be():
    sequence = cw.Sequence("host", state=State.RUNNING, jobs=[job(State.RUNNING, O)])
    labor = cw.Labor("l", state=State.COMPLETED, tasks=[cw.Task("t", state=State.COMPLETED, sequences=[sequence])])
    assert any("X3: COMPLETED with a Sequence that has not ended" in what for what in wrong_with_tree(labor))


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert read_log(tmp_path / "log") == []
