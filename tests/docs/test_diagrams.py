"""The drawings of states agree with the machine: with its table of signals, and with what a running engine does."""

from __future__ import annotations

import pathlib
import sys
import threading

import pytest

import cogwork as cw

DOCS = pathlib.Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_site"))

import signal_table  # noqa: E402
import state_diagrams  # noqa: E402

PAGE = (DOCS / "signals.md").read_text(encoding="utf-8")


def test_the_drawings_are_those_of_the_table() -> None:
    for name, svg in state_diagrams.drawings(PAGE).items():
        shown = (DOCS / "diagrams" / f"{name}.svg").read_text(encoding="utf-8")
        assert shown == svg, f"{name}.svg is not what the table says: python docs/_site/state_diagrams.py draws it anew"


def test_the_tables_have_every_state_and_signal() -> None:
    assert list(signal_table.read_tables(PAGE)) == ["Labor", "Task, Sequence"]
    named = {state for table in signal_table.read_tables(PAGE).values() for state, _ in table}
    takes_none = {"UNKNOWN", "COMPLETED", "FAILED", "STOPPED"}
    assert named == {state.name for state in cw.State} - takes_none


@pytest.mark.parametrize("kind", ["Labor", "Task, Sequence"])
def test_a_changed_cell_is_found(kind: str) -> None:
    """Of each state that a drawing shows by itself; PAUSING is shown as the pause that it leads to."""
    signals = [signal.name for signal in sorted(cw.Signal)]
    states = ["RUNNING", "PAUSED", "ADMIN_PAUSED", "CRISIS_PAUSED", *(["ADMIN_NOT_STARTED"] if kind == "Labor" else [])]
    before, head, after = PAGE.partition(f"| {kind} |")
    for state in states:
        row = next(line for line in after.splitlines() if line.startswith(f"| {state} |"))
        for column, signal in enumerate(signals, start=2):
            cells = row.split("|")
            cells[column] = " STOPPED " if "STOPPED" not in cells[column] else " - "
            changed = before + head + after.replace(row, "|".join(cells), 1)
            try:
                drawn = state_diagrams.drawings(changed)
            except ValueError:
                continue
            assert drawn != state_diagrams.drawings(PAGE), f"{state} {signal}"


# ---- what an engine does ----


class Gate:
    """A Job that tells when it executes, and goes on when it may."""

    def __init__(self) -> None:
        self.executing = threading.Event()
        self.open = threading.Event()


gates: dict[str, Gate] = {}


@cw.cog(name="diagrams_pass")
def pass_gate(name: str) -> None:
    gates[name].executing.set()
    assert gates[name].open.wait(60)


def gated(name: str) -> cw.Job:
    gates[name] = Gate()
    return pass_gate.job(name=name)


def labor(*jobs: str, then: bool = False) -> cw.Labor:
    tasks = [cw.Task("first", sequences=[cw.Sequence("edge-1", jobs=[gated(name) for name in jobs])])]
    if then:
        tasks.append(cw.Task("second", sequences=[cw.Sequence("edge-2", jobs=[gated("second")])]))
        gates["second"].open.set()
    return cw.Labor("watched", tasks=tasks)


def never_started(engine: cw.Engine) -> cw.LaborHandle:
    handle = engine.submit(labor("unused"), start=False)
    handle.stop().wait()
    return handle


def paused_and_resumed(engine: cw.Engine) -> cw.LaborHandle:
    handle = engine.submit(labor("a", "b", then=True), start=False)
    handle.task("second").pause().wait()  # kept
    handle.start()
    gates["a"].executing.wait()
    ack = handle.pause()
    gates["a"].open.set()
    ack.wait()
    handle.admin_pause().wait()
    handle.admin_resume().wait()
    handle.resume().wait()
    gates["b"].open.set()
    for change in handle.changes(since=0):
        if change.object_id == handle.task("second").id and change.to_state is cw.State.PAUSED:
            break
    handle.task("second").resume().wait()
    return handle


def stopped_while_pausing(engine: cw.Engine) -> cw.LaborHandle:
    handle = engine.submit(labor("c", "d"))
    gates["c"].executing.wait()
    handle.pause()
    handle.stop()
    gates["c"].open.set()
    return handle


def over_before_it_was_paused(engine: cw.Engine) -> cw.LaborHandle:
    handle = engine.submit(labor("e"))
    gates["e"].executing.wait()
    handle.pause()
    gates["e"].open.set()
    return handle


def stopped(engine: cw.Engine) -> cw.LaborHandle:
    handle = engine.submit(labor("f", "g"))
    gates["f"].executing.wait()
    handle.stop()
    gates["f"].open.set()
    return handle


def test_an_engine_makes_every_move_that_is_drawn_and_no_other() -> None:
    seen = set()
    with cw.Engine("memory:") as engine:
        for story in (never_started, paused_and_resumed, stopped_while_pausing, over_before_it_was_paused, stopped):
            handle = story(engine)
            handle.wait(60)
            for change in handle.changes(since=0):
                states = (change.from_state.name, change.to_state.name)
                if change.kind is cw.ChangeKind.STATE and "UNKNOWN" not in states:
                    seen.add(tuple(state_diagrams.group(state) for state in states))
    moves = set(state_diagrams.MOVES)
    # A Job goes straight from NOT_STARTED to STOPPED or RUNNING; it takes no signal and is in no drawing by itself.
    drawn = moves | set(state_diagrams.life_arrows(signal_table.read_tables(PAGE)))
    inside = {(start, end) for start, end in seen if start == end}
    assert moves <= seen, moves - seen
    assert seen - inside <= drawn, seen - inside - drawn
