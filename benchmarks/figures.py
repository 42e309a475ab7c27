"""One measured figure, and how figures are shown."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Budget:
    """What the design allows, of the figure itself or of its ratio to bare work."""

    limit: float
    sense: Literal["at most", "at least"]
    of: Literal["measured", "ratio"]

    def met(self, value: float) -> bool:
        return value <= self.limit if self.sense == "at most" else value >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.sense == "at most" else ">="
        return f"{sign} {number(self.limit)}{' x' if self.of == 'ratio' else ''}"


@dataclass(frozen=True)
class Figure:
    key: str
    what: str
    measured: float
    unit: str
    bare: float | None = None
    bare_what: str = ""
    budget: Budget | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.measured / self.bare if self.bare else None

    @property
    def met(self) -> bool | None:
        if self.budget is None:
            return None
        value = self.measured if self.budget.of == "measured" else self.ratio
        return None if value is None else self.budget.met(value)

    def as_dict(self) -> dict[str, object]:
        budget = asdict(self.budget) if self.budget else None
        return {**asdict(self), "budget": budget, "ratio": self.ratio, "met": self.met}


def number(value: float) -> str:
    """Three digits that mean something, whatever the size."""
    if value != 0 and abs(value) < 1:
        return f"{value:.3g}"
    if abs(value) < 100:
        return f"{value:.3g}"
    return f"{round(value):,}"


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


_COLUMNS = ("what", "measured", "bare", "ratio", "budget", "met?")


def _cells(figure: Figure) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    return (
        figure.what,
        f"{number(figure.measured)} {figure.unit}",
        f"{number(figure.bare)} {figure.unit}, {figure.bare_what}" if figure.bare is not None else "",
        f"{number(figure.ratio)} x" if figure.ratio is not None else "",
        str(figure.budget or ""),
        met,
    )


def show(figures: Sequence[Figure], machine: dict[str, object]) -> None:
    """A table on the terminal, with the notes below it."""
    rows = [_cells(figure) for figure in figures]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(len(row[i]) for row in (*rows, _COLUMNS)) for i in range(len(_COLUMNS))]
        for row in (_COLUMNS, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        table = Table(show_header=True, header_style="bold", expand=False)
        for column in _COLUMNS:
            table.add_column(
                column, justify="left" if column in {"what", "bare"} else "right", no_wrap=column != "what"
            )
        for row in rows:
            style = {"NO": "red", "yes": "green"}.get(row[-1])
            table.add_row(*row[:-1], f"[{style}]{row[-1]}[/]" if style else "")
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    for figure in figures:
        if figure.note:
            print(f"{figure.what}: {figure.note}")
    print("machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()))
