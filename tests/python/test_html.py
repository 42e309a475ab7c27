"""How Labors, handles and searches look in a notebook: escaped, well-formed, small, and never an error."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import State
from cogwork._html import labors_html, progress_html
from cogwork._progress import Flight, Loss, TaskProgress
from cogwork._text import clock, date

NASTY = "<script>alert('x')</script> & \"quoted\"\nnext line \ud800 \x00"
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Page(HTMLParser):
    """What is in it, as text; and that each tag is closed and none but ours is there."""

    TAGS = frozenset(
        ["div", "span", "b", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "style"]
    )

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.words: list[str] = []
        self.style = ""
        page.encode()  # what is sent to a notebook is UTF-8
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in self.TAGS
        assert {name for name, _ in attrs} <= {"class", "style", "role", "title"}
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def page_of(shown: object) -> Page:
    return Page(shown._repr_html_())


def full(state: State, **fields) -> cw.Labor:
    """A Labor as it might be read, everything in it in one state."""
    times = {"state": state, "started": BEGAN, "ended": BEGAN + timedelta(seconds=90) if state.ended else None}
    job = cw.Job("upgrade", {"host": "edge-1"}, attempts=[cw.Attempt(1, BEGAN)], id="j", **times)
    sequence = cw.Sequence("edge-1", [job], id="s", **times)
    task = cw.Task("rest", [sequence], pre_checks=[job], cont_checks=[job], id="t", **times)
    return cw.Labor("edge upgrade", [task], id="l", submitted=BEGAN, **times, **fields)


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_every_state_is_shown_by_its_name(state):
    labor = full(state)
    for shown in (labor, labor.tasks[0], labor["rest"]["edge-1"], labor["rest"]["edge-1"][0]):
        assert state.name in page_of(shown).text


def test_a_labor_says_who_when_and_why():
    labor = full(State.FAILED, tags=["edge", "blue"], desc="new kernel", reason=cw.Reason.CONT_CHECK_FAILURE)
    labor["rest"]["edge-1"][0].attempts[
        0
    ].error = "Traceback (most recent call last):\n  File\nValueError: disk full\n}"
    text = page_of(labor).text
    for words in (
        "edge upgrade FAILED CONT_CHECK_FAILURE 1 min 30 s",
        "new kernel · #edge #blue",
        f"submitted {date(BEGAN)}",
        "ok 0, lost 1 of 1",
        "rest / (check)",
        "rest / edge-1",
        "ValueError: disk full",
    ):
        assert words in text
    assert "Traceback" not in text


def test_who_paused_it_and_why():
    labor = full(State.ADMIN_PAUSED)
    labor.holds = [cw.Hold(cw.Rank.ADMIN, BEGAN, "ann", "INC-12")]
    assert f'admin-paused by ann since {clock(BEGAN)} "INC-12"' in page_of(labor).text


def test_a_job_held_after_a_crash_says_what_it_waits_for():
    labor = full(State.RUNNING)
    labor["rest"]["edge-1"][0].held = True
    assert "waits for a decision: rerun, completed or failed" in page_of(labor).text


def test_what_was_not_submitted_is_a_plan():
    labor = cw.Labor(
        "plan", tasks=[cw.Task("rest", concurrency="20%", tolerated_failures=-1, sequences=[cw.Sequence("a")])]
    )
    text = page_of(labor).text
    assert "plan NOT_STARTED not submitted" in text
    assert "0, no limit 20%" in text
    labor.tasks[0].tolerated_failures = "5%"
    assert "0 of 5% tolerated" in page_of(labor.tasks[0]).text


@pytest.mark.parametrize(
    "shown", [cw.Labor(), cw.Task(), cw.Sequence(), cw.Job()], ids=lambda shown: type(shown).__name__
)
def test_empty_ones(shown):
    assert "NOT_STARTED" in page_of(shown).text


def test_everything_is_escaped():
    hold = cw.Hold(cw.Rank.USER, BEGAN, NASTY, NASTY)
    job = cw.Job(
        NASTY, {NASTY: NASTY}, NASTY, NASTY, id=NASTY, state=State.FAILED, started=BEGAN, output=NASTY, held=True,
        attempts=[cw.Attempt(1, BEGAN, BEGAN, cw.AttemptStatus.FAILURE, error=NASTY, log=NASTY)],
    )  # fmt: skip
    answer = cw.Attempt(1, BEGAN, BEGAN, cw.AttemptStatus.SUCCESS, NASTY)
    done = cw.Job("cog", state=State.COMPLETED, output=NASTY, attempts=[answer])
    sequence = cw.Sequence(NASTY, [done, job], NASTY, NASTY, id=NASTY, state=State.FAILED, holds=[hold])
    task = cw.Task(
        NASTY, [sequence], [job], [done], NASTY, NASTY, id=NASTY, desc=NASTY, state=State.FAILED, holds=[hold]
    )
    labor = cw.Labor(NASTY, [task], [NASTY], NASTY, real_user=NASTY, id=NASTY, state=State.FAILED, holds=[hold])
    for page in [*map(page_of, (labor, task, sequence, job, done)), Page(labors_html([labor], more=True))]:
        assert "<script>alert('x')</script> & \"quoted\" next line" in page.text


def test_progress_is_escaped_and_says_why_nothing_moves():
    task = TaskProgress(
        "t", NASTY, State.PAUSED, cw.Reason.NO_FAILURE, BEGAN, None, 10, 1, 4, 1, 1, 2, 3, 2, 1, 5, None, f"held by {NASTY}"
    )  # fmt: skip
    progress = cw.Progress(
        NASTY, NASTY, State.PAUSED, cw.Reason.NO_FAILURE, BEGAN, None, [cw.Hold(cw.Rank.CRISIS, BEGAN, NASTY, NASTY)], [task],
        [Flight("j", NASTY, NASTY, NASTY, 2, BEGAN, 0.4, NASTY)] * 100, 500, [Loss("s", NASTY, State.FAILED, NASTY)] * 2,
    )  # fmt: skip
    page = Page(progress_html(progress, now=BEGAN + timedelta(seconds=7)))
    for words in (
        "ok 4, lost 2 of 10, 1 under way, 3 not started",
        "2 of 3 tolerated",
        "crisis-paused by <script>",
        "7.0 s 40%",
        "and 492 more in flight",
        "lost: 2",
    ):
        assert words in page.text


def test_ten_thousand_sequences_stay_small_and_show_what_failed():
    bad = {5_000, 9_999}
    sequences = [
        cw.Sequence(f"host-{n}", [cw.Job("up", output="x" * 500)], state=State.FAILED if n in bad else State.COMPLETED)
        for n in range(10_000)
    ]
    labor = cw.Labor("big", tasks=[cw.Task("all", sequences)], id="l")
    page = labor._repr_html_()
    assert len(page) < 20_000
    text = Page(page).text
    assert "ok 9998, lost 2 of 10000" in text
    assert "and 9990 more targets" in text
    for words in ("host-0", "host-5000", "host-9999"):
        assert words in text


def test_many_tasks_tags_checks_and_long_texts_stay_small():
    long = "w " * 100_000
    job = cw.Job(long, {"a": long}, attempts=[cw.Attempt(n, error=long) for n in range(500)], state=State.FAILED)
    tasks = [cw.Task(long, [cw.Sequence(long, [job] * 500)], [job] * 100, id="t", holds=[]) for _ in range(500)]
    tasks[300].state = State.RUNNING
    tasks[300].name = "the one that runs"
    labor = cw.Labor(long, tasks, ["tag"] * 10_000, long, id="l", holds=[cw.Hold(cw.Rank.USER, note=long)] * 1000)
    page = labor._repr_html_()
    assert len(page) < 400_000
    assert "the one that runs" in Page(page).text
    for shown in (tasks[0], tasks[0].sequences[0], job):
        assert len(shown._repr_html_()) < 40_000


def test_the_style_takes_the_colours_of_the_page():
    style = page_of(cw.Labor("x")).style
    assert "--jp-ui-font-color1,inherit" in style
    assert "http" not in style, "nothing is fetched"


# ---- handles and searches ----


def test_handles_show_what_is_now_and_after_the_engine_closed_what_is_stored(tmp_path, make_cog, gate):
    def wait() -> None:
        gate()

    cog = make_cog(wait)
    with cw.Engine(tmp_path / "labors.db") as engine:
        handle = engine.submit(many(lambda n: cog.job(), 3, concurrency=2))
        gate.wait_for(2)
        task = handle.task("task")
        sequence = task.sequence("host-0")
        handle.pause(by="ann", note="INC-12")
        text = page_of(handle).text
        assert "labor PAUSING" in text
        assert "by ann" in text
        assert "in flight" in text
        assert "ok 0 of 3, 2 under way, 1 not started" in page_of(task).text
        assert "Sequence" in page_of(sequence).text
        gate.open()
        handle.resume(by="ann")
        handle.wait(20)
        assert "ok 3 of 3" in page_of(handle).text
        assert "ok 3 of 3" in page_of(handle.progress()).text
    for shown in (handle, task, sequence):
        text = page_of(shown).text
        assert "COMPLETED" in text
        assert "This is what is stored: the engine is closed; open another on the store to go on." in text


def test_a_handle_never_raises(engine, make_cog):
    def do() -> None: ...

    handle = engine.submit(one(make_cog(do).job()))
    handle.wait(20)
    for kind in (cw.LaborHandle, cw.TaskHandle, cw.SequenceHandle):
        text = page_of(kind(engine, handle.id[:-8] + "00000fff")).text
        assert kind.__name__ in text
        assert "00000fff" in text
    found = engine.search()
    engine.close()
    engine.store.close()
    assert "this store is closed" in page_of(handle).text
    assert "this store is closed" in page_of(found).text


def test_t3_a_search_shows_itself_and_stays_whole(engine, make_cog):
    def do() -> None: ...

    cog = make_cog(do)
    for n in range(3):
        engine.run(one(cog.job(), name=f"labor {n}", target=f"t{n}"), timeout=20)
    found = engine.search()
    assert next(found).name == "labor 0"
    text = page_of(found).text
    assert all(f"labor {n} COMPLETED" in text for n in range(3))
    assert [labor.name for labor in found] == ["labor 1", "labor 2"]
    assert [labor.tasks[0].sequences[0].target for labor in found.read_all()] == ["t0", "t1", "t2"]
    assert "labor 2" not in page_of(engine.search(cw.LaborFilter(limit=2))).text
    assert "no Labor found" in page_of(engine.search(cw.LaborFilter(name_prefix="other"))).text
    assert repr(engine.search(cw.LaborFilter(limit=2))) == "<SearchResult: limit=2>"
    assert repr(engine.search()) == "<SearchResult: all Labors>"


def test_t3_a_search_shows_the_first_fifty():
    labors = [cw.Labor(f"labor {n:03}", id=str(n)) for n in range(60)]
    asked = []

    def find(wanted: cw.LaborFilter):
        asked.append(wanted.limit)
        return iter(labors[: wanted.limit])

    text = page_of(cw.SearchResult(find, lambda id: labors[int(id)], cw.LaborFilter())).text
    assert asked == [None, 51], "it does not read all that there is"
    assert "labor 049" in text
    assert "labor 050" not in text
    assert "the first 50; there are more" in text


def test_showing_waits_for_nobody(engine, make_cog, gate):
    """Any thread may look at any time; here while the Labor's own threads are blocked."""

    def wait() -> None:
        gate()

    handle = engine.submit(one(make_cog(wait).job()))
    gate.wait_for(1)
    pages: list[str] = []
    looker = threading.Thread(target=lambda: pages.append(page_of(handle).text))
    looker.start()
    looker.join(20)
    assert "RUNNING" in pages[0]
