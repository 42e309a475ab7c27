"""`handle.watch()`, `cogwork run` and `cogwork watch`: one calm screen in a terminal, one line for each notable change elsewhere.

A display is not in the chain of control: whatever becomes of what it writes to, of the store that it reads, or of itself, who watches is not
kept waiting and goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from ._errors import CogworkError, EngineClosed
from ._line_display import LineDisplay
from ._model import Labor
from ._outlet import Outlet, complain
from ._screen_display import ScreenDisplay, screen
from ._waiting import ending_interrupts, wait_for

if TYPE_CHECKING:
    from ._handle import LaborHandle

BEAT = 0.2
"""Seconds between two looks."""
_LINGER = 5.0  # seconds that the last of it may take; beyond, the program goes on, and it is written meanwhile, or when Python ends
_LEAVE = 1.0  # the same where somebody does not want to wait


def watch(handle: LaborHandle) -> Labor:
    """Shows a Labor until it ends; the main thread may be interrupted."""
    with ending_interrupts(), display() as shows:
        end = End(handle)
        while True:
            shows.update(handle)
            if (labor := end.within(BEAT)) is not None:
                shows.end(handle)
                return labor


class End:
    """The end of a Labor, to be waited for again and again. SignalNotAllowed where nobody runs it, EngineClosed without an engine."""

    def __init__(self, handle: LaborHandle) -> None:
        self._handle = handle
        self._end = handle._engine._core.end_of(handle.id)

    def within(self, seconds: float) -> Labor | None:
        """The Labor, where it ends within so many seconds. EngineClosed where its engine closed."""
        if not wait_for(self._end.completion, seconds):
            return None
        self._handle._check(self._end)
        return self._handle.read()


class Display(Protocol):
    """Shows one Labor."""

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        """What there is now. notes: said by whoever shows it. The handle may be another one of the same Labor."""

    def end(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        """It is shown for the last time: all of it, and how it stands."""


@contextlib.contextmanager
def looking(failed: Callable[[], None]) -> Iterator[None]:
    """For one look. Raises nothing but EngineClosed; failed: what is done where this display cannot go on."""
    try:
        yield
    except EngineClosed:
        raise
    except (CogworkError, OSError):
        pass  # the store cannot be read just now, or there is no descriptor to be had; the next look may be luckier
    except Exception as error:
        complain(f"the display failed ({type(error).__name__}: {error}); what runs goes on")
        failed()


class Guarded:
    """A display that raises nothing but EngineClosed. A screen that fails is left for lines, and lines that fail for nothing; stderr says so."""

    def __init__(self, outlet: Outlet, screens: contextlib.ExitStack, console: Console | None) -> None:
        self._outlet = outlet
        self._screens = screens
        self._inner: Display | None = None
        with looking(self._fall_back):
            if console is not None and on_screen(console):
                self._inner = ScreenDisplay(*screens.enter_context(screen(console)))
        self._inner = self._inner or LineDisplay(outlet)

    @property
    def lost(self) -> Exception | None:
        """Why nobody can see anything any more; None where somebody can."""
        return self._outlet.failed

    def update(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        if not self._outlet.busy:
            self._show(lambda inner: inner.update(handle, notes))

    def end(self, handle: LaborHandle, notes: Sequence[str] = ()) -> None:
        self._show(lambda inner: inner.end(handle, notes))

    def _show(self, by: Callable[[Display], None]) -> None:
        tried: Display | None = None
        while self._inner is not None and self._inner is not tried and not self.lost:
            tried = self._inner
            with looking(self._fall_back):
                by(tried)

    def _fall_back(self) -> None:
        self._inner = LineDisplay(self._outlet) if isinstance(self._inner, ScreenDisplay) else None
        self._screens.close()


@contextlib.contextmanager
def display(console: Console | None = None) -> Iterator[Guarded]:
    """A screen where stdout is a terminal, lines elsewhere."""
    stream: Any = sys.stdout
    with looking(lambda: None):
        console = console or Console()
        stream = console.file
    outlet = stream if isinstance(stream, Outlet) else Outlet(stream)
    try:
        with contextlib.ExitStack() as screens:
            if console is not None:
                console.file = outlet  # type: ignore[assignment]
                screens.callback(setattr, console, "file", stream)
            yield Guarded(outlet, screens, console)
    except BaseException:
        outlet.settle(_LEAVE)
        raise
    else:
        if outlet is not stream:  # else its owner sees to it
            outlet.settle(_LINGER)
    finally:
        if outlet is not stream:
            outlet.close()


def on_screen(console: Console) -> bool:
    forced = "FORCE_COLOR" in os.environ and not console.file.isatty()  # colours in a pipe do not make it a screen
    return console.is_terminal and not console.is_dumb_terminal and not forced


def unicode_on(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
