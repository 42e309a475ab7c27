"""How long a Task may still take, from how fast its Sequences ended lately; nothing where there is no basis for it."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

from ._model import State
from ._progress import Progress, TaskProgress

_WAVES = 2
"""The rate is that of the last two waves of `concurrency` Sequences, or of the last _FEW: a wave ends nearly at once, then nothing
ends for long, and half of that is no rate."""
_FEW = 8
_LEAST = 3  # Sequences that have ended while somebody looked: fewer say nothing
_MOST_MARKS = 4096


class _Mark(NamedTuple):
    at: datetime
    done: int


class Pace:
    """Fed with each picture's figures. A pause, and the time before somebody looked, are no part of the rate."""

    def __init__(self) -> None:
        self._task = ""
        self._marks: deque[_Mark] = deque(maxlen=_MOST_MARKS)

    def see(self, progress: Progress, now: datetime) -> tuple[TaskProgress, timedelta] | None:
        """The Task that rolls, and how long it may still take. None where nothing is known: too few have ended, or it is held."""
        task = next((t for t in progress.tasks if t.state == State.RUNNING and t.done < t.sequences), None)
        if task is None or progress.state != State.RUNNING:
            self._marks.clear()
            return None
        if task.id != self._task or not (task.done or task.under_way):  # its checks come first
            self._task = task.id
            self._marks.clear()
        if not self._marks or task.done != self._marks[-1].done:
            self._marks.append(_Mark(now, task.done))
        if task.failures > task.tolerated >= 0:
            return None  # no Sequence starts any more; what is left of it is not what is to be done
        ended = max(_FEW, _WAVES * task.concurrency)
        while len(self._marks) > 2 and task.done - self._marks[1].done >= ended:
            self._marks.popleft()
        begin = self._marks[0]
        count, took = task.done - begin.done, now - begin.at
        if count < _LEAST or took <= timedelta(0):
            return None
        return task, took * ((task.sequences - task.done) / count)
