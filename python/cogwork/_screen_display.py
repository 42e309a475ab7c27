"""A Labor on a screen: its picture, drawn anew where something changed, and above it what Cogs say and print."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ._logs import Heard, LogLine, left_out, told
from ._pace import Pace
from ._printing import Kept, keeping
from ._progress import Progress
from ._screen import Frame, picture

if TYPE_CHECKING:
    from ._handle import LaborHandle

MOST_LINES = 200
"""Lines of Cogs that a screen shows of one look: more cannot be read, and its picture would be drawn late."""
_TICK = 1.0  # seconds after which a picture is drawn again although nothing changed but the clock


@contextlib.contextmanager
def screen(console: Console) -> Iterator[tuple[Live, Kept]]:
    """The terminal's lower part, for a picture; what is printed meanwhile is kept."""
    # Rich's own stand-ins for stdout and stderr call back into the console that goes away: a Cog that prints at that moment failed.
    live = Live(
        console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, vertical_overflow="crop"
    )
    with keeping(console.file) as kept:
        live.start()
        try:
            yield live, kept
        finally:
            with contextlib.suppress(Exception):  # the terminal may be gone, and a failing picture is drawn once more
                live.stop()


class ScreenDisplay:
    """Drawn by the thread that calls `update`, and by no other."""

    def __init__(self, live: Live, kept: Kept) -> None:
        self._live = live
        self._kept = kept
        self._pace = Pace()
        self._shown: tuple[Progress, Sequence[str]] | None = None
        self._drawn = 0.0
        self._heard = Heard()

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        self._draw(handle, notes, False)

    def end(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        self._draw(handle, notes, True)

    def _draw(self, handle: LaborHandle, notes: Sequence[str], ended: bool) -> None:
        console = self._live.console
        self._kept.labor_id = handle.id
        progress = handle.progress()
        said = _spoken(*self._heard.look(handle, ended and progress.state.ended), MOST_LINES)
        now = datetime.now(timezone.utc)
        to_go = self._pace.see(progress, now)
        printed = self._kept.lines()
        if (
            (progress, list(notes)) == self._shown
            and not printed
            and not said
            and time.monotonic() - self._drawn < _TICK
        ):
            return
        if printed:
            console.print(Text.from_ansi(printed), soft_wrap=True)
        if said:
            console.print(Text("\n".join(said), style="dim"), soft_wrap=True)
        frame = Frame(
            width=console.width,
            height=max(1, console.height - 1),
            unicode=console.encoding.lower().startswith("utf"),
            to_go=None if to_go is None else (to_go[0].name, to_go[1]),
            notes=notes,
            db=handle._engine.store.name(),
        )
        self._live.update(picture(progress, frame, now), refresh=True)
        self._shown, self._drawn = (progress, list(notes)), time.monotonic()


def _spoken(lines: list[LogLine], missed: int, most: int) -> list[str]:
    """What Cogs said, the latest of it where that is too much."""
    missed += sum(line.dropped or 1 for line in lines[:-most])
    return [left_out(missed)] * bool(missed) + [told(line) for line in lines[-most:]]
