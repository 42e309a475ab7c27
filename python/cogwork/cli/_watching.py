"""What `run` shows of its Labor, and how it answers Ctrl-C."""

from __future__ import annotations

import contextlib

from .._display import BEAT, End, display
from .._errors import SignalNotAllowed
from .._handle import Ack, LaborHandle
from .._model import Labor, State
from .._progress import clock_was_set
from . import _streams
from ._place import Place
from ._signals import Interrupts


class Watching:
    """Shows a Labor, and answers Ctrl-C: pauses it, and leaves when that has settled."""

    def __init__(self, place: Place, handle: LaborHandle, interrupts: Interrupts) -> None:
        self._place = place
        self._handle = handle
        self._interrupts = interrupts
        self._seen = 0
        self._ack: Ack | None = None

    def until_it_ends(self) -> Labor | None:
        """The Labor as it ended; None where it is left before that. EngineClosed where its engine is gone."""
        end = End(self._handle)
        with _streams.showing(self._handle.id), display() as shows:
            while True:
                shows.update(self._handle, self._notes())
                if self._leaves():
                    shows.end(self._handle)
                    return None
                if (labor := end.within(BEAT)) is not None:
                    shows.end(self._handle)
                    return labor

    def _leaves(self) -> bool:
        if self._interrupts.count > 1:
            return True
        if self._interrupts.count > self._seen:
            self._seen = self._interrupts.count
            with contextlib.suppress(SignalNotAllowed):  # paused already, or it is being stopped
                self._ack = self._handle.pause(note=f"{self._interrupts.last} in cogwork run")
        if not self._seen:
            return False
        if self._ack is not None and self._ack.done and not self._ack.applied and self._handle.state == State.RUNNING:
            # Somebody resumed it meanwhile: it is to go on.
            self._interrupts.forget()
            self._seen = 0
            self._ack = None
            return False
        return self._handle.state.paused and (self._ack is None or self._ack.done)

    def _notes(self) -> list[str]:
        notes = []
        if self._seen:
            what = "pausing" if self._ack else "waiting for it to settle"
            again = "interrupts it" if self._place.own else "leaves it to that engine"
            notes.append(f"{self._interrupts.last}: {what}; what executes may end. Once more {again}")
        stats = self._place.steer.stats()
        if stats.clock_jumps:
            notes.append(clock_was_set(stats.clock_jumps, stats.clock_jumped))
        return notes
