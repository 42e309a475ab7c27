"""Rows of text in columns, cut to the width there is. Cells are measured, as a letter may take two of them or none."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Seq

from rich.text import Text

GAP = 2  # cells between two columns
_LEAST = 8  # cells that a column which gives way keeps
_WANTED = 24  # cells that the last column is to have, if it has so many to show


def fit(text: Text, width: int, unicode: bool = True) -> Text:
    """At most `width` cells of it, on one line."""
    if text.cell_len > width:
        text = text.copy()
        text.truncate(max(0, width), overflow="ellipsis" if unicode else "crop")
    text.no_wrap = True
    return text


def columns(rows: Seq[Seq[Text]], room: int, gives: Collection[int] = (0,)) -> list[int]:
    """The width of each column, within `room` in all. The last one gets what the others leave; where that is little,
    those that give way do, the widest first."""
    widths = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
    wanted = min(widths[-1], _WANTED)
    while (left := room - sum(widths[:-1]) - GAP * (len(widths) - 1)) < wanted:
        widest = max(gives, key=lambda n: widths[n])
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= min(wanted - left, widths[widest] - _LEAST)
    widths[-1] = max(0, min(widths[-1], left))
    return widths


def line(
    cells: Seq[Text], widths: Seq[int], indent: int = 0, right: Collection[int] = (), unicode: bool = True
) -> Text:
    """The cells beside one another; nothing is behind the last one."""
    whole = Text(" " * indent, no_wrap=True)
    gap = 0
    for n, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        cell = fit(cell, width, unicode)
        pad = width - cell.cell_len
        before, after = (pad, 0) if n in right else (0, pad)
        if cell.plain:
            whole.append(" " * (gap + before)).append_text(cell)
            gap = after + GAP
        else:
            gap += width + GAP
    return whole
