"""S1, S2: trees as people get them wrong. What was probably meant is said, with the place, and nothing runs."""

from __future__ import annotations

import asyncio
import enum
import re
import types
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import one

import cogwork as cw

ran: list[str] = []


@cw.cog(name="mistaken")
def mistaken(host: str) -> str:
    ran.append(host)
    return "ok"


@cw.cog
def two_of_them(host: str, version: str) -> None: ...


@cw.cog
async def pinged(host: str) -> bool:
    return True


@cw.cog(name="no identifier")
def strange(host: str) -> None: ...


def plain_function(host: str) -> str:
    return host


def job() -> cw.Job:
    return mistaken.job("a")


def sequence(*jobs, target="edge-1") -> cw.Sequence:
    return cw.Sequence(target, jobs=list(jobs))


def labor(**task) -> cw.Labor:
    return cw.Labor("x", tasks=[cw.Task("t", **task)])


def of_jobs(jobs) -> cw.Labor:
    return labor(sequences=[cw.Sequence("edge-1", jobs=jobs)])


JOB0 = "Task[0].Sequence[0].Job[0] ('t', 'edge-1')"
SEQ0 = "Task[0].Sequence[0]"
SEQ0_NAMED = "Task[0].Sequence[0] ('t', 'edge-1')"
TASK0 = "Task[0] ('t')"

MISTAKES = {
    "cog instead of job": (lambda: of_jobs([mistaken]), JOB0, "got the Cog 'mistaken'; did you mean mistaken.job('edge-1')?"),
    "cog of two": (lambda: of_jobs([two_of_them]), JOB0, "two_of_them.job('edge-1', version=...)"),
    "cog of a strange name": (lambda: of_jobs([strange]), JOB0, "cw.Job('no identifier', {...})"),
    "command": (lambda: of_jobs([cw.command]), JOB0, "command.job(...)"),
    "call instead of job": (lambda: of_jobs([mistaken("edge-1")]), JOB0, "got the text 'ok': to call a Cog runs it at once, its .job(...) makes a Job of it; did you mean mistaken.job('edge-1')?"),
    "call of a cog that returns nothing": (lambda: of_jobs([two_of_them("a", "b")]), JOB0, "got None: to call a Cog runs it at once"),
    "async call instead of job": (lambda: of_jobs([close(pinged("a"))]), JOB0, "did you mean pinged.job('edge-1')?"),
    "text": (lambda: of_jobs(["mistaken"]), JOB0, "got the text 'mistaken'; did you mean mistaken.job('edge-1')?"),
    "other text": (lambda: of_jobs(["reboot"]), JOB0, "got the text 'reboot'"),
    "function": (lambda: of_jobs([plain_function]), JOB0, "got the function 'plain_function'"),
    "function of a cog": (lambda: of_jobs([pinged.__wrapped__]), JOB0, "did you mean pinged.job('edge-1')?"),
    "job not in a list": (lambda: of_jobs(job()), SEQ0_NAMED, "jobs: expected a list of Jobs, got a Job; did you mean jobs=[...]?"),
    "cog not in a list": (lambda: of_jobs(mistaken), SEQ0_NAMED, "did you mean jobs=[mistaken.job('edge-1')]?"),
    "text not in a list": (lambda: of_jobs("mistaken"), SEQ0_NAMED, "did you mean jobs=[mistaken.job('edge-1')]?"),
    "check not in a list": (lambda: labor(sequences=[sequence(job())], pre_checks=job()), TASK0, "pre_checks: expected a list of Jobs, got a Job; did you mean pre_checks=[...]?"),
    "cog as a check": (lambda: labor(sequences=[sequence(job())], cont_checks=[pinged]), "Task[0].ContCheck[0] ('t')", "did you mean pinged.job(host=...)?"),
    "generator of sequences": (lambda: labor(sequences=(sequence(job()) for _ in "ab")), TASK0, "sequences: expected a list of Sequences, got a generator; did you mean list(...)?"),
    "map of jobs": (lambda: of_jobs(map(mistaken.job, "ab")), SEQ0_NAMED, "got a map; did you mean list(...)?"),
    "dict of sequences": (lambda: labor(sequences={"a": sequence(job())}), TASK0, "got a dict; did you mean list(....values())?"),
    "view of a dict": (lambda: labor(sequences={"a": sequence(job())}.values()), TASK0, "did you mean list(...)?"),
    "array of sequences": (lambda: labor(sequences=np.array([sequence(job())], dtype=object)), TASK0, "did you mean list(...)?"),
    "series of sequences": (lambda: labor(sequences=pd.Series([sequence(job())])), TASK0, "got a Series; did you mean list(...)?"),
    "None in a list": (lambda: labor(sequences=[None]), SEQ0, "got None: did a function forget to return it?"),
    "nested list": (lambda: labor(sequences=[[sequence(job())]]), SEQ0, "the list stands in another one; [*some, *more] joins them"),
    "nested list of jobs": (lambda: of_jobs([[job()]]), JOB0, "the list stands in another one"),
    "job as sequence": (lambda: labor(sequences=[job()]), SEQ0, "got a Job; cw.Sequence(target, jobs=[...]) makes one"),
    "sequence as job": (lambda: of_jobs([sequence()]), JOB0, "got a Sequence; a Cog's .job(...) makes one"),
    "text as sequence": (lambda: labor(sequences=["edge-1"]), SEQ0, "got the text 'edge-1'; cw.Sequence(target, jobs=[...]) makes one"),
    "dict as job": (lambda: of_jobs([{"cog_path": "mistaken", "args": {"host": "a"}}]), JOB0, "expected a Job, got a dict"),
    "sequence as task": (lambda: cw.Labor("x", tasks=[sequence(job())]), "Task[0]", "got a Sequence; cw.Task(name, sequences=[...]) makes one"),
    "labor as task": (lambda: cw.Labor("x", tasks=[labor()]), "Task[0]", "got a Labor"),
    "task not in a list": (lambda: cw.Labor("x", tasks=cw.Task("t", sequences=[sequence(job())])), "", "tasks: expected a list of Tasks, got a Task; did you mean tasks=[...]?"),
    "tags as text": (lambda: cw.Labor("x", tags="edge", tasks=labor(sequences=[sequence(job())]).tasks), "", "tags: expected a list of texts, got the text 'edge'; did you mean tags=['edge']?"),
    "tags as set": (lambda: cw.Labor("x", tags={"edge"}, tasks=labor(sequences=[sequence(job())]).tasks), "", "did you mean sorted(...)?"),
    "target of a number": (lambda: labor(sequences=[sequence(job(), target=7)]), SEQ0, "target: expected text, got 7; did you mean '7'?"),
    "target of an enum": (lambda: labor(sequences=[sequence(job(), target=enum.Enum("E", "A").A)]), SEQ0, "target: expected text"),
    "no target": (lambda: labor(sequences=[sequence(job(), target=None)]), SEQ0, "has no target"),
    "args as list": (lambda: of_jobs([cw.Job("two_of_them", ["a", "2.1"])]), JOB0, "args: expected a dict from the names of parameters to values, got a list; did you mean {'host': 'a', 'version': '2.1'}?"),
    "args as text": (lambda: of_jobs([cw.Job("mistaken", "a")]), JOB0, "args: expected a dict"),
    "args None": (lambda: of_jobs([cw.Job("mistaken", None)]), JOB0, "'host' is missing"),
    "args with numbers as keys": (lambda: of_jobs([cw.Job("mistaken", {1: "a"})]), JOB0, "the names of parameters are texts"),
    "args that contain themselves": (lambda: of_jobs([mistaken.job(host=cycle())]), JOB0, "args: 'host' cannot be encoded: it contains itself, or is nested deeper than 512 levels"),
    "option of a job as an arg": (lambda: of_jobs([mistaken.job("a", timeout=5)]), JOB0, "no parameter 'timeout' - did you mean .job(...).replace(timeout=...)?"),
    "another option of a job as an arg": (lambda: of_jobs([mistaken.job("a", retries=2)]), JOB0, "did you mean .job(...).replace(retries=...)?"),
    "cog as cog_path": (lambda: of_jobs([cw.Job(mistaken, {"host": "a"})]), JOB0, "cog_path: expected the name of a Cog, got the Cog 'mistaken'; did you mean 'mistaken', or its .job(...)?"),
    "function as cog_path": (lambda: of_jobs([cw.Job(plain_function, {"host": "a"})]), JOB0, "@cw.cog makes a Cog of a function"),
    "seconds as text": (lambda: labor(sequences=[sequence(job())], cont_check_interval="10s"), TASK0, "cont_check_interval: expected a number of seconds or a timedelta, got '10s'; did you mean 10, or timedelta(seconds=10)?"),
    "time-out as text": (lambda: of_jobs([job().replace(timeout="1h30m")]), JOB0, "timeout: expected a number of seconds or a timedelta, got '1h30m'; did you mean 5400"),
    "delay as text": (lambda: of_jobs([job().replace(retry_delay="500ms")]), JOB0, "did you mean 0.5, or timedelta(seconds=0.5)?"),
    "no length of time": (lambda: labor(sequences=[sequence(job())], bake="soon"), TASK0, "bake: expected a number of seconds or a timedelta, got 'soon'"),
    "state as text": (lambda: labor(sequences=[sequence(job())], state="RUNNING"), TASK0, "state"),
}  # fmt: skip


def close(coroutine):
    coroutine.close()
    return coroutine


def cycle() -> list:
    made: list = []
    made.append(made)
    return made


@pytest.mark.parametrize("mistake", MISTAKES)
def test_s1_a_mistake_is_guessed_and_said_with_its_place(engine, mistake):
    make, place, words = MISTAKES[mistake]
    made = make()
    for submit in (engine.submit, lambda tree: asyncio.run(engine.asubmit(tree))):
        with pytest.raises(cw.ValidationError) as caught:
            submit(made)
        (issue,) = caught.value.errors
        assert issue.place.startswith(place), issue
        assert words in issue.message, issue
    assert list(engine.search()) == []


def test_s1_mistakes_are_collected(engine):
    made = cw.Labor(
        "x",
        tags="edge",
        tasks=[
            cw.Task("a", sequences=[cw.Sequence("h", jobs=[mistaken, cw.Job("nobody"), mistaken.job(5)]), None]),
            "b",
            cw.Task("c", concurrency=0, bake="5m", sequences=[cw.Sequence("h", jobs=mistaken)], pre_checks=[None]),
        ],
    )
    with pytest.raises(cw.ValidationError) as caught:
        engine.submit(made)
    text = str(caught.value)
    for words in (
        "tags=['edge']", "Task[0].Sequence[0].Job[0] ('a', 'h'): expected a Job, got the Cog", "cog 'nobody' is not registered", "'host': expected str, got int", "got None: did a",
        "Task[1]", "got the text 'b'", "concurrency: must be 1 or more", "did you mean 300", "jobs=[mistaken.job('h')]", "Task[2].PreCheck[0]",
    ):  # fmt: skip
        assert words in text, (words, text)
    assert made.tasks[0].sequences[0].jobs[0] is mistaken, "the user's objects stay as they were"


def test_s1_what_may_stand_for_a_list_and_a_text(engine):
    made = cw.Labor(
        "x",
        tags=("edge",),
        tasks=(cw.Task("t", sequences=(cw.Sequence(np.str_("h"), jobs=(job(),)),), pre_checks=None),),
    )
    assert engine.run(made, timeout=60).state == cw.State.COMPLETED


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: cw.Task("t"), "not a Task"),
        (lambda: [labor()], "not a list"),
        (lambda: lambda: labor(), "not the function"),
        (lambda: mistaken, "not the Cog 'mistaken'"),
        (lambda: None, "not None"),
        (lambda: "labor", "not the text 'labor'"),
    ],
)
def test_s1_what_is_no_labor(engine, given, words):
    with pytest.raises(TypeError, match=words):
        engine.submit(given())


@pytest.mark.parametrize("depth", [511, 513, 900, 960, 975, 985, 990, 1000, 5000])
def test_s2_args_are_nested_512_levels_deep_at_most(engine, make_cog, depth):
    value: object = "leaf"
    for _ in range(depth):
        value = {"k": value}

    def take(x: dict) -> str:
        return type(x).__name__

    cog = make_cog(take)
    made = one(cog.job(x=value), cog.job(x={}))
    if depth < 512:
        assert engine.run(made, timeout=60).state == cw.State.COMPLETED
    else:
        with pytest.raises(cw.ValidationError, match="512 levels") as caught:
            engine.submit(made)
        (issue,) = caught.value.errors
        assert issue.place == "Task[0].Sequence[0].Job[0] ('task', 'host')"
        assert "'x'" in issue.message
    while isinstance(value, dict):
        value = value["k"]


@pytest.mark.parametrize("seconds", ["10s", "5m", "1h30m", "90"])
def test_a_length_of_time_as_text_is_no_seconds_and_says_what_is_meant(engine, seconds):
    wanted = {"10s": "10", "5m": "300", "1h30m": "5400", "90": "90"}[seconds]
    meant = re.escape(f"did you mean {wanted}, or timedelta(seconds={wanted})?")
    with pytest.raises(cw.CogError, match=meant):
        cw.cog(name="by text", timeout=seconds)(plain_function)
    for call in (lambda: cw.Engine("memory:", grace=seconds), lambda: engine.close(grace=seconds)):
        with pytest.raises(TypeError, match=meant):
            call()


# ---- the same target twice ----


def twice(*targets: str) -> cw.Labor:
    return labor(sequences=[sequence(mistaken.job(target), target=target) for target in targets], concurrency=2)


def warned(call) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.filename == __file__ for w in caught), [w.filename for w in caught]
    return [str(w.message) for w in caught if w.category is cw.CogworkWarning]


def test_s2_the_same_target_twice_is_a_warning_that_is_folded(engine):
    (said,) = warned(lambda: engine.run(twice("e1", "e2", "e1", "e1", "e3", "e2"), timeout=60))
    assert "Task[0] ('t'): 'e1' (3 times), 'e2' (2 times)" in said
    (said,) = warned(lambda: engine.run(twice(*(f"e{n % 20}" for n in range(40))), timeout=60))
    assert said.count("2 times") == 5
    assert "and 15 more" in said
    assert warned(lambda: engine.run(twice("e1", "e2"), timeout=60)) == []
    tasks = [cw.Task(n, sequences=[sequence(job())]) for n in "ab"]
    assert warned(lambda: engine.run(cw.Labor("x", tasks=tasks), timeout=60)) == [], "one after another"


def test_s2_as_an_error_the_warning_comes_before_anything_is_stored(engine):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cw.CogworkWarning, match="twice"):
            engine.submit(twice("e1", "e1"))
    assert list(engine.search()) == []


# ---- nothing runs while a tree is built ----


def test_a_cog_that_is_called_while_a_tree_is_built_is_an_error():
    from cogwork import _guard

    @cw.cog
    def outer(host: str) -> str:
        return mistaken(host)

    ran.clear()
    with _guard.building("rollout.py:labor"), pytest.raises(cw.CogError, match=r"mistaken\.job\(\.\.\.\)") as caught:
        mistaken("a")
    assert "rollout.py:labor" in str(caught.value)
    assert ran == []
    assert mistaken("a") == "ok", "else it just calls the function"
    with cw.Engine("memory:") as engine, _guard.building("rollout.py:labor"):
        assert engine.run(one(outer.job("b")), timeout=60).state == cw.State.COMPLETED, "in a Cog it is a call"
    assert ran == ["a", "b"]


def test_the_kinds_of_what_stands_in_a_list_are_told_apart():
    assert isinstance(job, types.FunctionType)


# ---- ids, and lengths of time ----


@pytest.mark.parametrize("text", ["\ud800", "5\udcff", "a\0b", "line\nline", "\x1b[31m", "", "zz", "🙂"])
def test_what_can_be_no_id_is_said_whole_and_in_one_line(engine, text):
    for ask in (engine.handle, engine.take_up, lambda id: engine.signal(id, cw.Signal.PAUSE), engine.read_labor):
        with pytest.raises(cw.NotFound) as said:
            ask(text)
        assert str(said.value).isprintable()
        assert repr(text)[1:-1] in str(said.value)


@pytest.mark.parametrize("timeout", ["5", True, b"5", float("nan"), [1], "5m"])
def test_a_time_out_that_is_none_is_an_error_also_where_nothing_is_waited_for(engine, make_cog, timeout):
    def nothing(n: int) -> None: ...

    labor = one(make_cog(nothing).job(1))
    handle = engine.submit(labor)
    handle.wait(60)
    ack = engine.submit(one(make_cog(nothing).job(1)), start=False).stop()
    ack.wait(60)
    for wait in (handle.wait, ack.wait, lambda timeout: engine.run(labor, timeout)):
        with pytest.raises((TypeError, ValueError), match="expected seconds or a timedelta"):
            wait(timeout)
    assert len(list(engine.search(cw.LaborFilter()))) == 2, "nothing was submitted"
