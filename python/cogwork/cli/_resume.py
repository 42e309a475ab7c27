"""`run --resume`: what it releases so that a Labor goes on, and what it leaves to people."""

from __future__ import annotations

import contextlib

from .. import _advice
from .._codec import login_name
from .._errors import SignalNotAllowed
from .._handle import LaborHandle
from .._model import Labor, Rank, Signal, State
from ._place import Place

_NOTE = "cogwork run --resume"


def go_on(place: Place, labor: Labor) -> LaborHandle:
    """Takes it up. One's own pause is released, and so is the hold of an engine when nothing is left to be decided; pauses of others, and crises,
    stand. labor: as it is stored."""
    own = [hold for hold in labor.holds if hold.rank == Rank.USER and hold.by == login_name()]
    if own:
        with contextlib.suppress(SignalNotAllowed):  # of an engine that runs it: something stronger holds it
            place.steer.signal(labor.id, Signal.RESUME, note=_NOTE)  # applied as it is taken up, before all else
    place.take_up(labor)
    handle = LaborHandle(place.steer, labor.id)
    progress = handle.progress()
    with contextlib.suppress(SignalNotAllowed):  # somebody was faster
        if progress.state == State.ADMIN_NOT_STARTED:
            handle.start(note=_NOTE)
        elif not progress.held_count and any(map(_advice.is_of_engine, progress.holds)):
            handle.admin_resume(note=_NOTE)
            if own and handle.state == State.PAUSED:  # it was below that hold
                handle.resume(note=_NOTE)
    return handle
