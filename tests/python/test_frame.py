"""Labors as a table of pandas, and as a chart of what ran when."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import altair
import pandas as pd
import pytest
from conftest import many, one

import cogwork as cw
from cogwork import AttemptStatus, Signal, State
from cogwork._text import date

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def attempt(number: int, began: float, took: float | None, status: AttemptStatus, **fields) -> cw.Attempt:
    return cw.Attempt(number, at(began), None if took is None else at(began + took), status, **fields)


@pytest.fixture
def labor() -> cw.Labor:
    """As it might be read: a check, a target that was tried twice, one that was lost, one that runs, one that has not begun."""
    ok, bad = AttemptStatus.SUCCESS, AttemptStatus.FAILURE
    check = cw.Job("healthy", id="c", state=State.COMPLETED, started=at(0), ended=at(1), rounds=3, output=True)
    check.attempts = [attempt(1, 0, 1, ok, round=n, output=True) for n in (1, 2, 3)]
    again = cw.Job(
        "upgrade", name="install", id="a", state=State.COMPLETED, started=at(1), ended=at(5), output={"v": 2}
    )
    again.attempts = [
        attempt(1, 1, 1, bad, error="Traceback (most recent call last):\nValueError: no"),
        attempt(2, 3, 2, ok, output={"v": 2}, log="hi"),
    ]
    lost = cw.Job(
        "upgrade",
        id="b",
        state=State.FAILED,
        started=at(1),
        ended=at(2),
        output="Traceback (most recent call last):\nValueError: no",
    )
    lost.attempts = [attempt(1, 1, 1, bad, error="Traceback (most recent call last):\nValueError: no")]
    runs = cw.Job(
        "upgrade", id="d", state=State.RUNNING, started=at(2), attempts=[attempt(1, 2, None, AttemptStatus.OPEN)]
    )
    sequences = [
        cw.Sequence("edge-1", [again], "first", id="s1", state=State.COMPLETED, started=at(1), ended=at(5)),
        cw.Sequence("edge-2", [lost, cw.Job("upgrade")], id="s2", state=State.FAILED, started=at(1), ended=at(2)),
        cw.Sequence("edge-3", [runs], id="s3", state=State.RUNNING, started=at(2)),
        cw.Sequence("edge-4", [cw.Job("upgrade")], id="s4"),
    ]
    task = cw.Task("rest", sequences, [], [check], id="t", state=State.RUNNING, started=at(0))
    return cw.Labor(
        "edge", [task, cw.Task("later", [cw.Sequence("x", [cw.Job("y")])])], id="l", state=State.RUNNING, started=at(0)
    )


# ---- to_frame ----


def test_jobs(labor):
    frame = cw.to_frame(labor)
    assert list(frame.columns) == [
        "labor", "labor_id", "task", "target", "sequence", "job", "job_id", "cog", "kind", "state", "attempts", "rounds", "held",
        "started", "ended", "duration", "output", "error",
    ]  # fmt: skip
    assert len(frame) == 7
    first = frame.iloc[1]
    assert (first.labor, first.labor_id, first.task, first.target, first.sequence) == (
        "edge",
        "l",
        "rest",
        "edge-1",
        "first",
    )
    assert (first.job, first.job_id, first.cog, first.kind, first.state) == (
        "install",
        "a",
        "upgrade",
        "job",
        "COMPLETED",
    )
    assert (first.attempts, first.output) == (2, {"v": 2})
    assert first.started.to_pydatetime() == at(1)
    assert first.duration == timedelta(seconds=4)
    assert pd.isna(first.error)
    check = frame.iloc[0]
    assert (check.kind, check.rounds, check.job) == ("cont_check", 3, "healthy")
    assert pd.isna(check.target)
    runs = frame[frame.state == "RUNNING"].iloc[0]
    assert pd.isna(runs.ended)
    assert pd.isna(runs.duration)
    assert frame[frame.state == "FAILED"].error.item() == "Traceback (most recent call last):\nValueError: no"


def test_attempts(labor):
    frame = cw.to_frame(labor, "attempts")
    assert frame.status.tolist() == ["SUCCESS"] * 3 + ["FAILURE", "SUCCESS", "FAILURE", "OPEN"]
    assert frame["round"].tolist() == [1, 2, 3, 0, 0, 0, 0]
    assert frame.number.tolist() == [1, 1, 1, 1, 2, 1, 1]
    assert frame.groupby("job", observed=True).duration.max().to_dict() == {
        "healthy": timedelta(seconds=1), "install": timedelta(seconds=2), "upgrade": timedelta(seconds=1),
    }  # fmt: skip
    assert frame[frame.log.notna()].log.tolist() == ["hi"]


def test_sequences(labor):
    frame = cw.to_frame(labor, "sequences")
    assert frame.target.tolist() == ["edge-1", "edge-2", "edge-3", "edge-4", "x"]
    assert frame.state.tolist() == ["COMPLETED", "FAILED", "RUNNING", "NOT_STARTED", "NOT_STARTED"]
    assert frame.attempts.tolist() == [2, 1, 1, 0, 0]
    lost = frame.iloc[1]
    assert (lost.job, lost.error) == ("upgrade", "Traceback (most recent call last):\nValueError: no")
    assert frame.job.notna().sum() == 1


@pytest.mark.parametrize("what", ["jobs", "attempts", "sequences"])
def test_types_are_the_same_with_and_without_rows(labor, what):
    frame = cw.to_frame(labor, what)
    assert str(frame.started.dtype) == str(frame.ended.dtype) == "datetime64[us, UTC]"
    assert str(frame.duration.dtype) == "timedelta64[us]"
    for name in ("labor", "task", "job"):
        assert frame[name].dtype == "category"
    empty = cw.to_frame([], what)
    assert empty.empty
    for name in frame.columns:
        assert frame[name].dtype.kind == empty[name].dtype.kind
    state = "status" if what == "attempts" else "state"
    assert frame[state].cat.categories.equals(empty[state].cat.categories), "so that frames can be put together"


def test_what_it_takes(engine, make_cog, labor):
    def do(host: str) -> str:
        return host

    cog = make_cog(do)
    handle = engine.submit(many(lambda n: cog.job(host=f"h{n}"), 3, name="first"))
    handle.wait(20)
    engine.run(one(cog.job(host="x"), name="second"), timeout=20)
    found = engine.search()
    assert cw.to_frame(found).output.tolist() == ["h0", "h1", "h2", "x"]
    assert cw.to_frame(found, "attempts").labor.tolist() == ["first"] * 3 + ["second"], "the search is still whole"
    assert len(list(found)) == 2
    assert cw.to_frame(handle).equals(cw.to_frame(handle.read()))
    task = cw.to_frame(handle.read()["task"])
    assert task.target.tolist() == ["host-0", "host-1", "host-2"]
    assert task.labor.isna().all()
    assert len(cw.to_frame([handle.read(), labor])) == 10
    assert cw.to_frame(cw.Labor()).empty


def test_errors_say_what_to_do(engine, make_cog, labor):
    def do() -> None: ...

    with pytest.raises(ValueError, match="what is one of 'jobs', 'attempts', 'sequences', not 'job'"):
        cw.to_frame(labor, "job")
    handle = engine.submit(one(make_cog(do).job()))
    handle.wait(20)
    with pytest.raises(ValueError, match="was read without its Tasks; give the search result itself"):
        cw.to_frame(list(engine.search()))
    with pytest.raises(ValueError, match="was read without its Tasks"):
        cw.timeline(handle.read(full=False))
    with pytest.raises(TypeError, match="expected Labors, got Job"):
        cw.to_frame([cw.Job()])
    with pytest.raises(TypeError, match="give its Labor's handle"):
        cw.to_frame(handle.task("task"))
    with pytest.raises(ValueError, match="rows is 1 or more"):
        cw.timeline(labor, rows=0)


def test_without_pandas_and_altair_an_error_says_what_to_install():
    program = """
import sys
import cogwork as cw
late = {"pandas", "numpy", "altair", "IPython"} & set(sys.modules)
assert not late, f"importing cogwork imports {late}"
sys.modules["pandas"] = sys.modules["altair"] = None
for use in (cw.to_frame, cw.timeline):
    try:
        use(cw.Labor())
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "to_frame needs pandas: pip install 'cogwork[notebook]'",
        "timeline needs altair: pip install 'cogwork[notebook]'",
    ], done.stderr


# ---- timeline ----


def charts(chart) -> list[dict]:
    """Of each Task: its title, its rows in their order, its bars, and its pauses."""
    spec = chart.to_dict()
    assert spec["resolve"]["scale"] == {"x": "shared", "color": "shared"}
    datasets = spec.get("datasets", {})
    found = []
    for part in spec["vconcat"]:
        layers = {layer["mark"]["type"]: layer for layer in part["layer"]}

        def values(layer: dict | None, part: dict = part) -> list[dict]:
            if layer is None:
                return []
            data = layer.get("data") or part.get("data") or spec["data"]  # altair moves it up where all below share it
            return data["values"] if "values" in data else datasets[data["name"]]

        found.append(
            {
                "title": part["title"]["text"],
                "subtitle": part["title"]["subtitle"],
                "rows": layers["bar"]["encoding"]["y"]["sort"],
                "bars": values(layers["bar"]),
                "pauses": values(layers.get("rect")),
            }
        )
    return found


def test_timeline_has_a_row_for_each_target_and_check_and_a_bar_for_each_attempt(labor):
    labor.ended = at(9)
    (rest,) = charts(cw.timeline(labor))
    assert rest["title"] == "rest"
    assert rest["subtitle"] == "RUNNING; 1 target not started"
    assert rest["rows"] == ["check: healthy", "edge-1", "edge-2", "edge-3"]
    assert [(bar["row"], bar["status"], bar["attempt"]) for bar in rest["bars"]] == [
        *[("check: healthy", "SUCCESS", 1)] * 3,
        ("edge-1", "FAILURE", 1),
        ("edge-1", "SUCCESS", 2),
        ("edge-2", "FAILURE", 1),
        ("edge-3", "EXECUTING", 1),
    ]
    assert rest["bars"][3]["begin"] == pytest.approx(at(1).timestamp() * 1000)
    assert rest["bars"][3]["answered"] == "ValueError: no"
    assert rest["bars"][-1]["end"] == pytest.approx(at(9).timestamp() * 1000), "what had not ended lasts until the end"
    spec = cw.timeline(labor).to_dict()
    assert spec["title"]["subtitle"] == f"began {date(labor.started)}; took 9.0 s; nothing ran of later"
    assert json.dumps(spec).count('"utc"') >= 1


def test_x11_timeline_says_how_many_rounds_of_a_check_are_not_kept(labor):
    labor.tasks[0].cont_checks[0].rounds = 1204
    labor.tasks[0].pre_checks = [
        cw.Job("once", state=State.COMPLETED, rounds=1, attempts=[attempt(1, 0, 1, AttemptStatus.SUCCESS, round=1)])
    ]
    (rest,) = charts(cw.timeline(labor))
    assert rest["subtitle"] == "RUNNING; check healthy: 3 of 1,204 rounds; 1 target not started"


def test_timeline_of_many_targets_shows_those_worth_seeing_and_says_how_many_it_leaves_out(labor):
    quick = [
        cw.Job("u", state=State.COMPLETED, attempts=[attempt(1, n, 0.5, AttemptStatus.SUCCESS)]) for n in range(5000)
    ]
    sequences = [cw.Sequence(f"h{n}", [job], state=State.COMPLETED) for n, job in enumerate(quick)]
    sequences[4000].state = State.FAILED
    quick[3000].attempts.append(attempt(2, 3001, 0.5, AttemptStatus.SUCCESS))
    quick[2000].attempts[0].ended = at(2999)
    labor.tasks.append(cw.Task("many", sequences))
    chart = cw.timeline(labor, rows=10)
    rest, crowd = charts(chart)
    assert len(rest["rows"]) == 4, "a small Task is not crowded out"
    assert len(crowd["rows"]) == 6
    assert {"h4000", "h3000", "h2000"} <= set(crowd["rows"])
    assert crowd["rows"] == sorted(crowd["rows"], key=lambda row: int(row[1:]))
    assert "6 of 5000 rows" in crowd["subtitle"]
    assert "4994 left out" in crowd["subtitle"]
    assert len(json.dumps(chart.to_dict())) < 20_000


def test_timeline_tells_targets_of_one_name_apart_and_bounds_a_row(labor):
    job = cw.Job("u", attempts=[attempt(n, n, 0.5, AttemptStatus.FAILURE) for n in range(1, 1001)])
    labor.tasks = [cw.Task("twins", [cw.Sequence("a", [job]), cw.Sequence("a", [job])])]
    (twins,) = charts(cw.timeline(labor))
    assert twins["rows"] == ["a", "a (2)"]
    numbers = [bar["attempt"] for bar in twins["bars"] if bar["row"] == "a"]
    assert (numbers[0], numbers[-1], len(numbers)) == (1, 1000, 50)


def test_timeline_of_a_handle_shows_pauses_with_who_and_why(engine, make_cog, gate):
    def wait() -> None:
        gate()

    cog = make_cog(wait)
    handle = engine.submit(many(lambda n: cog.job(), 2))
    gate.wait_for(1)
    ack = handle.pause(by="ann", note="INC-12")
    task = handle.task("task").id
    assert any(change.object_id == task and change.to_state == State.PAUSING for change in handle.changes(since=0))
    (before,) = charts(cw.timeline(handle))
    assert [(pause["held"], pause["by"], pause["note"]) for pause in before["pauses"]] == [("PAUSING", "ann", "INC-12")]
    gate.open()
    assert ack.wait(20)
    handle.resume(by="bob")
    handle.wait(20)
    (after,) = charts(cw.timeline(handle))
    (pause,) = after["pauses"]
    assert (pause["held"], pause["by"], pause["note"]) == ("PAUSED", "ann", "INC-12")
    assert pause["begin"] < pause["end"]
    signals = [change.signal for change in engine.changes(handle.id, since=0) if change.signal is not None]
    assert signals == [Signal.PAUSE, Signal.RESUME]
    (stored,) = charts(cw.timeline(handle.read()))
    assert not stored["pauses"], "a Labor alone has no history"
    (stored,) = charts(cw.timeline(handle.read(), changes=engine.changes(handle.id, since=0)))
    assert stored["pauses"] == after["pauses"]


def test_timeline_of_what_has_not_begun():
    chart = cw.timeline(cw.Labor("plan", tasks=[cw.Task("t", [cw.Sequence("a", [cw.Job("x")])])]))
    assert isinstance(chart, altair.VConcatChart)
    assert "nothing ran of t" in json.dumps(chart.to_dict())


def test_a_chart_needs_no_network(labor):
    with altair.renderers.enable("svg"):
        bundle = cw.timeline(labor)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "edge-1" in data["image/svg+xml"]
