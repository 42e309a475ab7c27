"""The machine's table of signals, as docs/signals.md shows it: a C++ test holds that page to the machine.

From it come the arrows of the drawings in docs/concepts.md.
"""

from __future__ import annotations

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[1] / "signals.md"
RANKS = {"PAUSED": "PAUSE", "ADMIN_PAUSED": "ADMIN_PAUSE", "CRISIS_PAUSED": "CRISIS_PAUSE"}
"""The paused states, low to high, and the pause that leads to each."""
RESUMES = {"PAUSED": "RESUME", "ADMIN_PAUSED": "ADMIN_RESUME", "CRISIS_PAUSED": "CRISIS_RESUME"}

Cells = dict[tuple[str, str], str]
"""(state, signal) -> what the signal does there; what it does not do is left out."""


def read_tables(page: str) -> dict[str, Cells]:
    """The cells of each table of the page, by its first heading: `Labor`, and `Task, Sequence`."""
    _, _, shown = page.partition("<!-- signal table: begin -->")
    shown, _, _ = shown.partition("<!-- signal table: end -->")
    tables: dict[str, Cells] = {}
    for block in re.split(r"\n\s*\n", shown.strip()):
        head, _, *rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in block.splitlines()]
        tables[head[0]] = {
            (row[0], signal): cell
            for row in rows
            if not row[0].endswith(" by a latch")  # what weighs from above is on no drawing
            for signal, cell in zip(head[1:], row[1:], strict=True)
            if cell != "-"
        }
    return tables


def arrows(cells: Cells) -> set[tuple[str, str, str]]:
    """(from, to, signal): where each signal that is taken leads at once. A pause leads through PAUSING where something executes."""
    found = set()
    for (state, signal), cell in cells.items():
        if cell == "kept":
            found.add((state, state, signal))
        elif cell == "releases":
            found |= {(state, to, signal) for to in released_to(state, signal)}
        elif cell in RANKS and state in ("RUNNING", "PAUSING"):
            found.add((state, "PAUSING", signal))
        else:
            found.add((state, cell, signal))
    return found


def released_to(state: str, signal: str) -> list[str]:
    """A Resume leads to the highest pause that is held below its own rank, else to RUNNING."""
    if state == "NOT_STARTED":
        return [state]  # a pause that was kept is taken back
    if state == "PAUSING":
        return ["RUNNING", "PAUSING"]
    lower = list(RANKS)[: list(RESUMES.values()).index(signal)]
    return ["RUNNING", *lower]
