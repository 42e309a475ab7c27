"""The drawings of states in docs/concepts.md. Where lines run is written here; which arrows there are comes from the table of signals.

    python docs/_site/state_diagrams.py      writes them anew into docs/diagrams

An arrow of the table that has no way in a drawing, or a way that the table has no arrow for, is an error.
"""

from __future__ import annotations

import pathlib
import sys
from typing import TypeVar

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from drawing import Drawing, Point
from signal_table import PAGE, RANKS, RESUMES, Cells, arrows, read_tables

T = TypeVar("T", str, tuple[str, str], tuple[str, str, str])
FOLDER = PAGE.parent / "diagrams"

PAUSES = {"PAUSING", *RANKS}
ENDS = {"COMPLETED", "FAILED", "STOPPED"}

# What an object does without a signal. tests/docs/test_diagrams.py watches a real engine do each of these, and no other.
MOVES = {
    ("NOT_STARTED", "RUNNING"): "its turn comes",
    ("ADMIN_NOT_STARTED", "RUNNING"): "start",
    ("NOT_STARTED", "pauses"): "its turn comes,\nbut a pause holds it",
    ("RUNNING", "pauses"): "",  # what is above it was paused
    ("RUNNING", "STOPPING"): "",  # what is above it was stopped
    ("pauses", "RUNNING"): "",
    ("pauses", "STOPPING"): "",
    ("RUNNING", "ended"): "nothing is left to do,\nor too much was lost",
    ("pauses", "ended"): "nothing was left to do,\nafter all",
    ("STOPPING", "ended"): "nothing\nexecutes\nany more",
}


def group(state: str) -> str:
    return "pauses" if state in PAUSES else "ended" if state in ENDS else state


def life_arrows(tables: dict[str, Cells]) -> dict[tuple[str, str], set[str]]:
    """Which signals lead from where to where, the pauses and the ends each taken as one; what only a Labor does is said so."""
    found: dict[tuple[str, str], set[str]] = {}
    labor, below = ({(group(a), group(b), s) for a, b, s in arrows(cells)} for cells in tables.values())
    for start, end, signal in labor | below:
        if start != end:
            only = "" if (start, end, signal) in below else " of a Labor"
            found.setdefault((start, end), set()).add(signal + only)
    return found


def words(signals: set[str]) -> str:
    """All three pauses, or all three Resumes, are said in one word."""
    for all_three, word in ((set(RANKS.values()), "a pause"), (set(RESUMES.values()), "its Resume")):
        if all_three <= signals:
            signals = signals - all_three | {word}
    return ", ".join(sorted(signals))


def life(tables: dict[str, Cells]) -> Drawing:
    """From NOT_STARTED to an end."""
    d = Drawing("The states of a Labor, a Task or a Sequence, from its start to its end", 812, 424)
    by_signal = life_arrows(tables)
    drawn: set[tuple[str, str]] = set()

    def way(start: str, end: str, *points: Point, colour: str, at: Point | None = None, kind: str = "middle") -> None:
        """`at`: where its label stands; None: the arrow runs into another one that says it."""
        drawn.add((start, end))
        signals = by_signal.get((start, end))
        d.arrow(*points, colour=colour, tip=at is not None)
        if at:
            d.text(words(signals) if signals else MOVES[start, end], at, kind if signals else f"{kind} soft")

    d.panel(650, 14, 152, 356)
    d.text("ended", (726, 38), "middle soft")
    d.panel(282, 258, 180, 112, "user")
    way("ADMIN_NOT_STARTED", "RUNNING", (180, 52), (281, 52), colour="run", at=(232, 44))
    way(
        "NOT_STARTED",
        "RUNNING",
        (166, 140),
        (268, 140),
        (268, 68),
        (281, 68),
        colour="run",
        at=(172, 132),
        kind="start",
    )
    way("NOT_STARTED", "pauses", (92, 158), (92, 314), (276, 314), colour="user", at=(102, 272), kind="start")
    way("RUNNING", "pauses", (312, 78), (312, 252), colour="user", at=(303, 192), kind="end")
    way("pauses", "RUNNING", (342, 258), (342, 83), colour="run", at=(351, 236), kind="start")
    way("RUNNING", "STOPPING", (432, 78), (432, 160), (462, 160), colour="stop", at=(441, 130), kind="start")
    way("pauses", "STOPPING", (432, 258), (432, 178), (462, 178), colour="stop", at=(441, 220), kind="start")
    way("RUNNING", "ended", (457, 60), (644, 60), colour="edge", at=(552, 34))
    way("pauses", "ended", (462, 314), (644, 314), colour="edge", at=(554, 288))
    way("STOPPING", "ended", (572, 169), (644, 169), colour="edge", at=(610, 116))
    way("ADMIN_NOT_STARTED", "ended", (16, 60), (8, 60), (8, 160), colour="stop")
    way("NOT_STARTED", "ended", (18, 140), (8, 140), (8, 402), (726, 402), (726, 363), colour="stop", at=(372, 394))

    d.box("ADMIN_NOT_STARTED", (98, 60), 166)
    d.text("a Labor with start=False", (98, 94), "middle soft")
    d.box("NOT_STARTED", (92, 140), 148)
    d.box("RUNNING", (372, 60), 170, "run")
    d.box("STOPPING", (520, 169), 104, "stop")
    d.box("PAUSING", (372, 288), 130, "user")
    d.text("then PAUSED,\nADMIN_PAUSED or\nCRISIS_PAUSED", (372, 324))
    d.box("COMPLETED", (726, 74), 130, "good")
    d.box("FAILED", (726, 206), 130, "crisis")
    d.box("STOPPED", (726, 338), 130, "stop")
    expect(drawn, set(by_signal) | set(MOVES), "life")
    expect(by_signal["ADMIN_NOT_STARTED", "ended"], by_signal["NOT_STARTED", "ended"], "life, lines that share a label")
    return d


def pause(tables: dict[str, Cells]) -> Drawing:
    """One pause and its Resume."""
    d = Drawing("A pause: RUNNING, PAUSING, PAUSED, and back", 812, 150)
    boxes = {"RUNNING": (80, 60), "PAUSING": (396, 60), "PAUSED": (732, 60)}
    ways: dict[tuple[str, str, str], tuple[tuple[Point, ...], Point, str]] = {
        ("RUNNING", "PAUSING", "PAUSE"): (((150, 60), (320, 60)), (236, 50), "user"),
        ("PAUSING", "RUNNING", "RESUME"): (((366, 77), (366, 104), (110, 104), (110, 81)), (230, 97), "run"),
        ("PAUSED", "RUNNING", "RESUME"): (((732, 77), (732, 136), (70, 136), (70, 81)), (500, 129), "run"),
    }
    for cells in tables.values():
        found = {
            a for a in arrows(cells) if a[2] in ("PAUSE", "RESUME") and {a[0], a[1]} <= set(boxes) and a[0] != a[1]
        }
        expect(set(ways), found, "pause")
    for (_, _, signal), (points, at, colour) in ways.items():
        d.arrow(*points, colour=colour)
        d.text(signal, at)
    d.arrow((466, 60), (656, 60), colour="user")
    d.text("what executes ends,\nnothing new begins", (562, 26), "middle soft")
    d.text("acknowledged", (732, 32), "middle soft")
    for state, at in boxes.items():
        d.box(state, at, colour="run" if state == "RUNNING" else "user")
    return d


def ranks(tables: dict[str, Cells]) -> Drawing:
    """The three pauses, one above the other: pauses lead up on the left, Resumes down on the right."""
    rows = {"CRISIS_PAUSED": 60, "ADMIN_PAUSED": 140, "PAUSED": 220, "RUNNING": 300}
    colours = {"PAUSED": "user", "ADMIN_PAUSED": "admin", "CRISIS_PAUSED": "crisis"}
    rails = {"PAUSED": 80, "ADMIN_PAUSED": 144, "CRISIS_PAUSED": 208}  # how far from the boxes a signal's line runs
    offsets = {
        "PAUSED": -9,
        "ADMIN_PAUSED": 1,
        "CRISIS_PAUSED": 11,
    }  # and how far from the middle of a box it comes out
    left, right = 300, 512
    d = Drawing("The ranks of the three pauses, and which signal leads from where to where", 812, 336)
    for cells in tables.values():
        up = {(start, end) for start, end in steps(cells, RANKS, rows) if rows[start] > rows[end]}
        down = {(start, end) for start, end in steps(cells, RESUMES, rows) if rows[start] < rows[end]}
        whole = {(a, b) for a in rows for b in rows if rows[a] > rows[b]}
        expect(whole, up, "ranks, pauses")
        expect({(b, a) for a, b in whole}, down, "ranks, Resumes")
    for state, colour in colours.items():
        rail, dy, y = rails[state], offsets[state], rows[state] - 9
        below = [row for row in rows if rows[row] > rows[state]]
        *between, last = (rows[source] + dy for source in below)
        for source in between:  # into the rail on the left, out of the rail on the right
            d.arrow((left, source), (left - rail, source), colour=colour, tip=False)
            d.arrow((right + rail, source), (right + 6, source), colour=colour)
        d.arrow((left, last), (left - rail, last), (left - rail, y), (left - 6, y), colour=colour)
        d.arrow((right, y), (right + rail, y), (right + rail, last), (right + 6, last), colour=colour)
        d.text(RANKS[state], (left - rail, y - 8), "name start", colour)
        d.text(RESUMES[state], (right + rail, y - 8), "name end", colour)
    for state, y in rows.items():
        d.box(state, ((left + right) / 2, y), right - left, colours.get(state, "run"), 40)
    return d


def steps(cells: Cells, signals: dict[str, str], rows: dict[str, int]) -> set[tuple[str, str]]:
    """(from, to) by these signals, PAUSING taken as the pause that it leads to."""
    found = set()
    for (state, signal), cell in cells.items():
        if signal not in signals.values() or state not in rows:
            continue
        if cell == "releases":
            found |= {(start, end) for start, end, s in arrows(cells) if s == signal and start == state}
        else:
            found.add((state, cell))
    return {(start, end) for start, end in found if end in rows}


def expect(drawn: set[T], wanted: set[T], what: str) -> None:
    if drawn != wanted:
        raise ValueError(
            f"the drawing {what!r} and docs/signals.md differ: without a way {sorted(wanted - drawn)}, "
            f"without an arrow in the table {sorted(drawn - wanted)}"
        )


def drawings(page: str) -> dict[str, str]:
    """The drawings by their names, as the table in this text has it."""
    tables = read_tables(page)
    return {make.__name__: make(tables).svg() for make in (life, pause, ranks)}


if __name__ == "__main__":
    for name, svg in drawings(PAGE.read_text(encoding="utf-8")).items():
        FOLDER.joinpath(f"{name}.svg").write_text(svg, encoding="utf-8")
