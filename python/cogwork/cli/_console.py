"""Tables and texts as the commands print them: in a terminal cut to its width, in a pipe whole."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.text import Text

from .._columns import columns, line
from .._display import on_screen, unicode_on
from .._model import State
from .._screen import STYLES
from .._text import format_span

_WIDE = 10_000
"""Columns of what is no terminal: a name that is cut there could not be searched for."""


def make_console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    if not on_screen(console):
        console.width = _WIDE
    return console


def put_rows(
    console: Console,
    rows: list[list[Text]],
    gives: tuple[int, ...] = (0,),
    right: tuple[int, ...] = (),
    indent: int = 0,
) -> None:
    widths = columns(rows, console.width - indent, gives)
    for row in rows:
        console.print(line(row, widths, indent, right, unicode_on(console)), soft_wrap=True)


class Lines:
    """Many lines, each of parts with their styles: what a style looks like on this console is asked for once, where `Console.print` works
    it out for each part anew."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._write = console.file.write
        self._marks: dict[str, tuple[str, str]] = {}

    def put(self, parts: list[tuple[str, str]]) -> None:
        line: list[str] = []
        for text, style in parts:
            if text:
                before, after = self._marks.get(style) or self._mark(style)
                line += (before, text, after)
        line.append("\n")
        self._write("".join(line))

    def _mark(self, style: str) -> tuple[str, str]:
        with self._console.capture() as capture:
            self._console.print(Text("-", style=style), end="")
        before, _, after = capture.get().partition("-")
        self._marks[style] = before, after
        return before, after


def headers(*words: str) -> list[Text]:
    return [Text(word, style="dim") for word in words]


def style_of(state: State) -> str:
    return STYLES.get(state, "dim")


def hang(console: Console, head: Text, text: Text) -> None:
    """A text beside its head; what does not fit goes on below itself."""
    for n, piece in enumerate(text.wrap(console, max(20, console.width - head.cell_len), overflow="fold")):
        piece.rstrip()
        console.print(Text.assemble(head if n == 0 else " " * head.cell_len, piece), soft_wrap=True)


def state_text(part: Any) -> Text:
    return Text("-" if part.state == State.NOT_STARTED else part.state.name, style=style_of(part.state))


def took_text(part: Any, now: datetime | None = None) -> Text:
    if not part.started:
        return Text("")
    return Text(format_span((part.ended or now or datetime.now(timezone.utc)) - part.started), style="dim")
