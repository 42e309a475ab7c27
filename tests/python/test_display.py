"""The screen and the lines: they fit, they are calm, they show every name as text, and Cogs may print while they are up."""

from __future__ import annotations

import gc
import io
import logging
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pyte
import pytest
from conftest import many
from rich.console import Console
from rich.text import Text

import cogwork as cw
from cogwork import Rank, Reason, State, _display, _line_display, _screen_display
from cogwork._columns import columns, line
from cogwork._model import Hold
from cogwork._pace import Pace
from cogwork._printing import keeping
from cogwork._progress import Flight, Loss, Progress, TaskProgress
from cogwork._screen import Frame, picture
from cogwork._text import clock, shortest, shown

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
EVIL = [
    "x" * 300,
    "縦長の名前" * 40,
    "a\nb\r\tc",
    "\x1b[2J\x1b[31mred",
    "[bold red]b[/] :smile:",
    "\u202eltr \x07\x9b",
    "",
    "e\u0301\u200d",
]
SIZES = [(20, 4), (40, 8), (80, 24), (80, 10), (140, 50), (200, 3)]


def task(
    name: str = "rest", state: State = State.RUNNING, sequences: int = 20, completed: int = 0, **fields
) -> TaskProgress:
    usual = {
        "id": name, "reason": Reason.NO_FAILURE, "started": NOW, "ended": None, "under_way": 0, "failed": 0, "stopped": 0,
        "failures": 0, "tolerated": 0, "concurrency": 4, "checks": 0, "rounds": 0, "next_round": None, "waiting": "",
    }  # fmt: skip
    return TaskProgress(name=name, state=state, sequences=sequences, completed=completed, **{**usual, **fields})


def labor(*tasks: TaskProgress, name: str = "edge upgrade", state: State = State.RUNNING, **fields) -> Progress:
    usual = {
        "id": "3dab4796-8cbf-446b-8f6b-4a0c00000000", "reason": Reason.NO_FAILURE, "started": NOW - timedelta(minutes=3),
        "ended": None, "holds": [], "in_flight": [], "in_flight_count": 0, "losses": [],
    }  # fmt: skip
    return Progress(name=name, state=state, tasks=list(tasks), **{**usual, **fields})


def flight(target: str, **fields) -> Flight:
    usual = {
        "job_id": "j",
        "cog": "upgrade",
        "job_name": "",
        "attempt": 1,
        "since": NOW,
        "fraction": None,
        "message": "",
    }
    return Flight(target=target, **{**usual, **fields})


def drawn(progress: Progress, width: int = 80, height: int = 40, **frame) -> str:
    """The picture as a terminal gets it."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system="truecolor", _environ={})
    console.print(picture(progress, Frame(width, height, **frame), NOW))
    return out.getvalue()


def seen(text: str, width: int = 80, height: int = 60) -> list[str]:
    """What a terminal shows of it; wider than it should be, so that what runs over is found."""
    screen = pyte.Screen(width + 40, height)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [row.rstrip() for row in screen.display]


# ---- the picture ----


def test_the_picture_says_what_matters():
    progress = labor(
        task("canary", State.COMPLETED, 2, 2, ended=NOW),
        task("rest", sequences=40, completed=10, failed=2, under_way=3, failures=2, tolerated=4, checks=1, rounds=7,
             next_round=NOW + timedelta(seconds=4), waiting="strict: what is in flight counts"),
        task("last", State.NOT_STARTED, 5),
        state=State.PAUSING,
        holds=[Hold(Rank.USER, NOW, "alice", "INC-12"), Hold(Rank.CRISIS, NOW, "bob", "")],
        in_flight=[flight("edge-7", attempt=2, since=NOW - timedelta(seconds=12), fraction=0.4, message="copying"), flight("", cog="healthy")],
        in_flight_count=2,
        losses=[Loss("s", "edge-3", State.FAILED, "Traceback (most recent call last):\n  File\nOSError: disk full\n}"), Loss("s", "edge-4", State.STOPPED, "")],
    )  # fmt: skip
    rows = seen(drawn(progress))
    text = "\n".join(rows)
    assert rows[0].startswith("edge upgrade  PAUSING  3 min 0 s  3dab4796")
    assert rows[1].strip().startswith("crisis-paused by bob"), "the one in force first"
    assert "paused by alice since" in rows[2]
    assert '"INC-12"' in rows[2]
    assert "rest: strict: what is in flight counts" in text
    assert "ok 10, lost 2 of 40" in text
    assert "2 left" in text
    assert "7, next 4 s" in text
    assert "in flight 2" in text
    (edge,) = [row for row in rows if "edge-7" in row]
    assert edge.split() == ["edge-7", "upgrade", "2", "12", "s", "40%", "copying"]
    assert "(check)" in text
    assert re.search(r"edge-3 +FAILED +OSError: disk full", text)
    assert text.index("edge-3") < text.index("edge-4"), "what failed before what only was stopped"
    assert "ok 0 of 5" in text


def test_what_a_failed_task_says():
    progress = labor(
        task("rest", State.FAILED, 10, 2, failed=2, failures=2, tolerated=1, reason=Reason.MAX_FAILURES, ended=NOW),
        state=State.FAILED, reason=Reason.MAX_FAILURES, ended=NOW,
        failed_checks=[Loss("j", "", State.FAILED, "no answer", "rest", "", "healthy", True)],
    )  # fmt: skip
    text = drawn(progress)
    assert "more failed than are tolerated" in text
    assert "gone" in text
    assert re.search(r"\(check\) +FAILED +healthy +no answer", "\n".join(seen(text)))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("tasks", [1, 200])
def test_the_picture_fits(width, height, tasks):
    progress = labor(
        *[task(f"step {n}", State.COMPLETED if n < 120 else State.RUNNING if n == 120 else State.NOT_STARTED, 10_000, 7_000 if n == 120 else 0,
               checks=2, rounds=1000, next_round=NOW + timedelta(hours=1), tolerated=500) for n in range(tasks)],
        holds=[Hold(Rank.USER, NOW, "alice" * 30, "why " * 60)],
        in_flight=[flight(f"edge-{n}.example.net", message="busy " * 30) for n in range(100)],
        in_flight_count=640,
        losses=[Loss("s", f"lost-{n}", State.FAILED, "OSError: " + "no " * 99) for n in range(100)],
    )  # fmt: skip
    notes = ["somebody says something that is longer than one line of most terminals, and it is all to be read"]
    rows = seen(drawn(progress, width, height, notes=notes), width, 300)
    used = [row for row in rows if row]
    assert len(rows) - next(n for n, row in enumerate(reversed(rows)) if row) <= height
    assert max(map(len, used)) <= width
    assert rows[0].startswith("edge upgra"[: width - 10])
    if height >= 8:
        assert any("step" in row or "Tasks" in row for row in rows)
    if height >= 24:
        text = "\n".join(rows)
        assert "ok 7000 of 10000" in text or tasks == 1
        assert "more" in text
        assert ("119 Tasks" in text) or tasks == 1, "what ended is folded into a line"
        assert "step 120" in text or tasks == 1


def test_all_tasks_are_listed_where_there_is_room():
    text = drawn(labor(*[task(f"step-{n}") for n in range(30)]), 80, 45)
    assert all(f"step-{n} " in text for n in range(30))


@pytest.mark.parametrize("name", EVIL, ids=range(len(EVIL)))
@pytest.mark.parametrize("width", [20, 80, 140])
def test_names_are_text(name, width):
    """They are never obeyed, neither as escapes nor as markup, and never break a line."""
    progress = labor(
        task(name, waiting=name, under_way=1),
        name=name,
        state=State.PAUSED,
        holds=[Hold(Rank.USER, NOW, name, name)],
        in_flight=[flight(name, job_name=name, message=name)],
        in_flight_count=1,
        losses=[Loss("s", name, State.FAILED, name)],
    )
    plain = drawn(labor(task("n", waiting="n", under_way=1), name="n", state=State.PAUSED, holds=[Hold(Rank.USER, NOW, "n", "n")],
                        in_flight=[flight("n", job_name="n", message="n")], in_flight_count=1, losses=[Loss("s", "n", State.FAILED, "n")]), width)  # fmt: skip
    text = drawn(progress, width)
    assert text.count("\n") == plain.count("\n") - (name == "")  # a Task that says nothing takes no line
    for char in ("\x07", "\r", "\t", "\x9b", "\u202e", "\x1b[2J"):
        assert char not in text
    rows = [row for row in seen(text, width) if row]
    assert all(Text(row).cell_len <= width for row in rows)
    if "[bold" in name and width > 40:
        assert "[bold red]b[/] :smile:" in rows[0]


def test_parts_of_a_bar_differ_without_colours():
    text = drawn(labor(task("t", sequences=1000, completed=1, failed=1, under_way=1)))
    bar = "".join(char for char in text if char in "━╳╍─")
    assert bar[0] == "━"
    assert bar[1] == "╳"
    assert bar[2] == "╍"
    assert set(bar[3:]) == {"─"}, "whatever is there at all is seen"
    full = drawn(labor(task("t", State.COMPLETED, 3, 3)))
    assert "─" not in full
    nearly = drawn(labor(task("t", State.RUNNING, 10_000, 9_999)))
    assert "─" in nearly, "full only when all is done"
    assert drawn(labor(task("t" * 99, sequences=9, completed=3)), unicode=False).isascii()


def test_columns_give_way():
    rows = [[Text("n" * 50), Text("state"), Text("what was said at last " * 3)]]
    assert columns(rows, 60)[2] >= 24
    assert sum(columns(rows, 60)) + 4 <= 60
    assert columns([[Text("a"), Text("b")]], 60) == [1, 1]
    assert line([Text("a"), Text(""), Text("c")], [3, 2, 5]).plain == "a        c"
    assert line([Text("a"), Text("b"), Text("")], [3, 2, 5], right=(1,)).plain == "a     b"


# ---- how long it may take ----


def at(seconds: float, done: int, **fields) -> tuple[Progress, datetime]:
    fields = {"sequences": 100, "under_way": 4, **fields}
    return labor(task("rest", completed=done, **fields)), NOW + timedelta(seconds=seconds)


def test_the_time_to_go_is_that_of_the_recent_rate():
    pace = Pace()
    for second in range(0, 41, 10):
        found = pace.see(*at(second, second // 10 * 4))
    assert found is not None
    assert found[1] == timedelta(seconds=(100 - 16) * 2.5)
    # it becomes ten times as fast: what was before is forgotten
    for second in range(1, 11):
        found = pace.see(*at(40 + second, 16 + second * 4))
    assert found is not None
    assert found[1] == timedelta(seconds=(100 - 56) / 4)


def test_there_is_no_time_to_go_without_a_basis():
    assert Pace().see(*at(0, 0)) is None
    pace = Pace()
    pace.see(*at(0, 50))
    assert pace.see(*at(1, 52)) is None, "two say nothing"
    assert pace.see(*at(100, 54)) is not None
    assert pace.see(*at(101, 54, failures=3, tolerated=2)) is None, "nothing starts any more"
    paused, when = at(102, 54)
    assert pace.see(labor(*paused.tasks, state=State.PAUSED), when) is None
    assert pace.see(*at(500, 55)) is None, "a pause is no part of the rate"
    pace.see(*at(501, 60))
    assert pace.see(labor(task("other", completed=9, under_way=1)), NOW + timedelta(seconds=502)) is None, (
        "another Task"
    )
    assert "about 5 min to go in rest" in drawn(
        labor(task("rest"), task("last")), to_go=("rest", timedelta(seconds=290))
    )


# ---- texts ----


def test_shown_escapes_what_a_terminal_obeys():
    assert shown("plain é 縦 😀") == "plain é 縦 😀"
    assert shown("a\x1b[0m\nb\tc\x00\x7f\u2028\u202e\ud800") == "a\\x1b[0m\\nb\\tc\\x00\\x7f\\u2028\\u202e\\ud800"
    assert shown("a\u00a0b\u3000c") == "a b c"


def test_shortest_tells_ids_apart():
    assert shortest(["abcdefghij", "abcdefghxx"], 4) == 9
    assert shortest(["abc"], 8) == 8
    assert shortest([], 8) == 8
    assert clock(NOW, NOW + timedelta(days=2))[:4] == "2026"


# ---- Cogs that print ----


class Terminal(io.StringIO):
    """A stream that says it is one, and shows what a terminal would."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, width: int = 100, height: int = 30) -> None:
        super().__init__()
        self.size = (width, height)

    def isatty(self) -> bool:
        return True

    def rows(self) -> list[str]:
        screen = pyte.HistoryScreen(*self.size, history=10_000)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        above = ["".join(row[x].data for x in range(screen.columns)) for row in screen.history.top]
        return [row.rstrip() for row in [*above, *screen.display]]


@pytest.fixture
def terminal(monkeypatch) -> Iterator[Callable[[], Terminal]]:
    """Call it in the test: pytest puts its own streams in place before that."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}.items():
        monkeypatch.setenv(name, value)

    def make() -> Terminal:
        made = Terminal()
        monkeypatch.setattr(sys, "stdout", made)
        monkeypatch.setattr(sys, "stderr", made)
        return made

    yield make
    monkeypatch.undo()


def test_what_cogs_print_is_shown_above_the_screen(terminal, engine, make_cog):
    def talks(n: int) -> None:
        print(f"said by {n}")
        print(f"moaned by {n}", file=sys.stderr)

    cog = make_cog(talks)
    shown_on = terminal()
    done = engine.submit(many(lambda n: cog.job(n=n), 50, name="rollout", concurrency=8)).watch()
    assert done.state == State.COMPLETED
    rows = shown_on.rows()
    assert sorted(row for row in rows if row.startswith("said by")) == sorted(f"said by {n}" for n in range(50))
    assert sum(row.startswith("moaned by") for row in rows) == 50
    assert sum(row.startswith("rollout  ") for row in rows) == 1, "one screen, and nothing left of earlier ones"
    assert sum("ok 50 of 50" in row for row in rows) == 1
    assert sys.stdout is shown_on


def test_a_cog_that_prints_while_the_screen_goes_away(terminal, engine, make_cog):
    """A stand-in for stdout that is freed under a `print` fails the Job with a RecursionError, or crashes (the next test)."""
    leave = threading.Event()
    failed: list[BaseException] = []
    streams = []

    def talks() -> None:
        streams.append(sys.stdout)
        for _ in range(100_000):
            if leave.is_set():
                return
            try:
                print("busy")
                print("busy", file=streams[0])
            except BaseException as error:
                failed.append(error)
                return

    cog = make_cog(talks)
    shown_on = terminal()
    for _ in range(10):
        leave.clear()
        streams.clear()
        handle = engine.submit(many(lambda n: cog.job(), 2, concurrency=2))
        with _display.display() as shows:
            shows.update(handle)
            shows.update(handle)
        assert sys.stdout is shown_on
        leave.set()
        assert handle.wait(20).state == State.COMPLETED
    assert failed == []


def test_a_stand_in_is_never_freed(terminal):
    """`print` may be in the middle of it, and holds no reference."""
    shown_on = terminal()
    seen = []
    for _ in range(3):
        with keeping():
            seen.append(weakref.ref(sys.stdout))
        gc.collect()
        assert sys.stdout is shown_on
    assert seen[0]() is not None
    assert all(ref() is seen[0]() for ref in seen), "one for each stream, not one for each screen"


def test_kept_text_is_neither_lost_nor_kept_for_ever(terminal):
    shown_on = terminal()
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with keeping() as kept:
            print("one")
            print("half", end="")
            logging.getLogger("somebody").warning("logged")
            assert kept.lines() == "one\nhalflogged\n"
            for _ in range(3):
                print("x" * 600_000)
            assert "characters left out" in kept.lines()
            late = sys.stdout
            print("rest", end="")
        assert shown_on.getvalue() == "rest"
        print("after", file=late)
        logging.getLogger("somebody").warning("later")
        assert shown_on.getvalue() == "restafter\nlater\n"
        assert late.isatty()
    finally:
        logging.getLogger().removeHandler(handler)


def test_streams_that_are_no_terminal_are_left_alone(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    with keeping():
        print("at once")
        assert out.getvalue() == "at once\n"


# ---- in a pipe ----


def test_lines_are_calm_and_plain(engine, make_cog, capsys):
    def step(n: int) -> None:
        if n == 30:
            raise RuntimeError("no space\x1b[31m left")

    cog = make_cog(step)
    engine.submit(many(lambda n: cog.job(n=n), 1000, name="big\none", tolerated_failures=1, concurrency=50)).watch()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "Labor 'big\\none': COMPLETED" in out
    assert "task/host-30: FAILED" in out
    assert "no space\\x1b[31m left" in out
    assert out.count("COMPLETED (ok") in (9, 10), "each tenth of the way"
    assert "(ok 999, lost 1 of 1000)" in out


def test_signals_are_lines(engine, make_cog, capsys, gate):
    def step(n: int) -> None:
        gate()

    cog = make_cog(step)
    handle = engine.submit(many(lambda n: cog.job(n=n), 3))
    gate.wait_for(1)
    handle.pause(by="alice", note="INC-12")
    threading.Timer(0.1, lambda: (gate.open(), handle.resume(by="bob"))).start()
    handle.watch()
    out = capsys.readouterr().out
    assert "Labor 'labor': PAUSE by alice \"INC-12\"" in out
    assert "RESUME by bob" in out


@pytest.mark.parametrize(("environment", "screen"), [({"TERM": "dumb"}, False), ({"TERM": "xterm"}, True)])
def test_where_there_is_a_screen(terminal, monkeypatch, environment, screen):
    terminal()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _display.on_screen(Console()) is screen


def test_forced_colours_make_no_screen_of_a_pipe(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not _display.on_screen(Console())


def test_no_color_is_honoured(terminal, engine, make_cog, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    def step(n: int) -> None: ...

    cog = make_cog(step)
    shown_on = terminal()
    engine.submit(many(lambda n: cog.job(n=n), 3)).watch()
    assert "ok 3 of 3" in shown_on.getvalue()
    for colour in range(30, 38):
        assert f"\x1b[{colour}m" not in shown_on.getvalue()


def test_the_failed_check_is_named(terminal, engine, make_cog):
    def healthy() -> bool:
        raise RuntimeError("no answer")

    check = make_cog(healthy)
    work = cw.Task("rest", pre_checks=[check.job()], sequences=[cw.Sequence("s", jobs=[check.job()])])
    shown_on = terminal()
    done = engine.submit(cw.Labor("checked", tasks=[work])).watch()
    assert done.state == State.FAILED
    (row,) = [row for row in shown_on.rows() if "no answer" in row]
    assert row.split()[:3] == ["(check)", "FAILED", check.name]


def test_what_cogs_log_is_shown_once_above_the_screen(terminal, engine, make_cog):
    shown_on = terminal()
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)

    def talk(ctx: cw.Context) -> None:
        while "labor" not in shown_on.getvalue():
            ctx.sleep(0.01)
        ctx.log("by the context \x1b[2J")
        logging.getLogger("there").warning("by logging")

    try:
        labor = _display.watch(engine.submit(many(lambda _: make_cog(talk).job().replace(name="talk"), 1)))
    finally:
        logging.getLogger().removeHandler(handler)
    assert labor.state is State.COMPLETED
    text = shown_on.getvalue()
    assert r"host-0 talk | by the context \x1b[2J" in text
    assert text.count("by logging") == 1, "not by the handler as well"
    assert not handler.filters, "which prints again afterwards"
    assert not logging.lastResort.filters


# ---- displays that fail ----


def test_a_screen_that_fails_is_left_for_lines(terminal, engine, make_cog, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the picture")

    def step(n: int) -> None:
        print(f"said by {n}")

    cog = make_cog(step)
    shown_on = terminal()
    monkeypatch.setattr(_screen_display, "picture", broken)
    before = sys.stdout
    done = engine.submit(many(lambda n: cog.job(n=n), 3)).watch()
    assert done.state == State.COMPLETED
    text = shown_on.getvalue()
    assert "the display failed (RuntimeError: a fault of the picture); what runs goes on" in text
    assert "Labor 'labor' COMPLETED" in text
    assert all(f"said by {n}" in text for n in range(3))
    assert sys.stdout is before


def test_a_terminal_that_rich_cannot_use_has_lines(terminal, engine, make_cog, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("no such terminal")

    monkeypatch.setattr(_screen_display.Live, "start", broken)
    cog = make_cog(lambda n: n)
    shown_on = terminal()
    assert engine.submit(many(lambda n: cog.job(n=n), 3)).watch().state == State.COMPLETED
    assert "Labor 'labor' COMPLETED" in shown_on.getvalue()


def test_lines_that_fail_end_and_nothing_else(engine, make_cog, monkeypatch, capsys):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_line_display.Lines, "line", broken)
    cog = make_cog(lambda n: n)
    assert engine.submit(many(lambda n: cog.job(n=n), 3)).watch().state == State.COMPLETED
    assert "the display failed (ZeroDivisionError: )" in capsys.readouterr().err


def test_a_store_that_cannot_be_read_for_a_moment_does_not_end_the_watch(engine, make_cog, monkeypatch, capsys):
    failing = iter([True] * 3)
    real = cw.LaborHandle.progress

    def progress(self: cw.LaborHandle) -> Progress:
        if next(failing, False):
            raise cw.StorageError("disk I/O error")
        return real(self)

    monkeypatch.setattr(cw.LaborHandle, "progress", progress)
    cog = make_cog(lambda n: n)
    assert engine.submit(many(lambda n: cog.job(n=n), 3)).watch().state == State.COMPLETED
    assert capsys.readouterr().err == ""


def test_a_terminal_that_goes_away_ends_the_screen_and_nothing_else(terminal, engine, make_cog, gate):
    def step(n: int) -> None:
        gate()

    cog = make_cog(step)
    shown_on = terminal()
    sys.stderr = io.StringIO()  # the test's own; the fixture puts the first one back

    def gone(text: str) -> int:
        gate.open()
        raise OSError(5, "Input/output error")

    handle = engine.submit(many(lambda n: cog.job(n=n), 3))
    gate.wait_for(1)
    shown_on.write = gone  # type: ignore[method-assign]
    assert handle.watch().state == State.COMPLETED
    assert "the output cannot be written any more (Input/output error)" in sys.stderr.getvalue()
    assert sys.stdout is shown_on
