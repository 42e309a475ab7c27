"""Changes as lines: what a person would want to find in a log. Tasks, signals, losses, and every tenth of the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from ._errors import CogworkError
from ._model import Change, ChangeKind, Job, Labor, Reason, State
from ._summary import counts, place
from ._text import clock, first_line, shown

_EACH = 20
"""Of a Task with no more Sequences than that, the end of each is a line."""


class Names:
    """What the objects of a Labor are called in lines, by id."""

    def __init__(self, labor: Labor) -> None:
        self.labor_id = labor.id
        self.labor = shown(labor.name)
        self.tasks: dict[str, str] = {}
        self.sequences: dict[str, str] = {}
        self.jobs: dict[str, str] = {}
        self.checks: dict[str, str] = {}
        self.jobs_of: dict[str, list[str]] = {}
        self.task_of: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        for task in labor.tasks:
            name = self.tasks[task.id] = shown(task.name)
            self.sizes[task.id] = len(task.sequences)
            for check in (*task.pre_checks, *task.cont_checks):
                self.checks[check.id] = f"{name} check {shown(check.name or check.cog_path)}"
            for sequence in task.sequences:
                where = self.sequences[sequence.id] = f"{name}/{shown(sequence.target)}"
                self.task_of[sequence.id] = task.id
                self.jobs_of[sequence.id] = [job.id for job in sequence.jobs]
                for job in sequence.jobs:
                    self.jobs[job.id] = f"{where} {shown(job.name or job.cog_path)}"

    def of(self, id: str) -> str:
        """How an object is called: `Labor 'x'`, `Task 'rest'`, `rest/edge-7`, `rest/edge-7 upgrade`, `rest check healthy`."""
        if id == self.labor_id:
            return f"Labor '{self.labor}'"
        if id in self.tasks:
            return f"Task '{self.tasks[id]}'"
        return self.sequences.get(id) or self.jobs.get(id) or self.checks.get(id) or id


def what(change: Change) -> str:
    """What a change says, without whose it is: `PAUSE by alice "INC-12"`, `FAILED (MAX_FAILURES)`."""
    if change.kind == ChangeKind.SIGNAL and change.signal is not None:
        text = change.signal.name + (" --now" if change.interrupt else "")
    elif change.kind == ChangeKind.DECISION and change.decision is not None:
        text = f"DECIDED {change.decision.value}"
    elif change.kind == ChangeKind.ENGINE and change.event is not None:
        text = f"ENGINE {change.event.value.lower()}"
    else:
        text = change.to_state.name
    if change.reason != Reason.NO_FAILURE:
        text += f" ({change.reason.name})"
    if change.kind == ChangeKind.ENGINE:  # whose it is: nobody made it die
        return f"{text} ({', '.join(map(shown, filter(None, (change.by and f'of {change.by}', change.note))))})"
    if change.by:
        text += f" by {shown(change.by)}"
    if change.note:
        text += f' "{shown(change.note)}"'
    if change.sent is not None:
        text += f" (sent at {clock(change.sent)})"
    return text + (" (refused)" if change.refused else "")


class Lines:
    """Picks the changes of a Labor that are worth a line. read_job: says why something failed. since: what ended before that is counted, as its
    changes are not seen."""

    def __init__(self, labor: Labor, read_job: Callable[[str], Job], since: datetime | None = None) -> None:
        self.names = Names(labor)
        self._read_job = read_job
        self._completed: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        for task in labor.tasks:
            for sequence in task.sequences:
                if since is not None and sequence.ended is not None and sequence.ended < since:
                    self._count(task.id, sequence.state)

    def line(self, change: Change) -> str | None:
        names, id = self.names, change.object_id
        if change.kind != ChangeKind.STATE:
            return f"{names.of(id)}: {what(change)}"
        if id in names.sequences:
            return self._sequence(change)
        if id in names.checks:
            failed = change.to_state == State.FAILED
            return f"{names.of(id)}: {what(change)}{self._why([id])}" if failed else None
        if id in names.jobs or change.to_state == change.from_state:
            return None
        return f"{names.of(id)}: {what(change)}"

    def _sequence(self, change: Change) -> str | None:
        if not change.to_state.ended:
            return None
        id = change.object_id
        task = self.names.task_of[id]
        size = self.names.sizes[task]
        self._count(task, change.to_state)
        completed, lost = self._completed[task], self._lost[task]
        done = completed + lost
        told = f"{self.names.of(id)}: {what(change)} ({counts(completed, lost, size)})"
        if change.to_state != State.COMPLETED:
            return told + self._why(self.names.jobs_of[id])
        tenth = done == size or done * 10 // size != (done - 1) * 10 // size
        return told if size <= _EACH or tenth else None

    def _count(self, task: str, state: State) -> None:
        (self._completed if state == State.COMPLETED else self._lost)[task] += 1

    def _why(self, jobs: list[str]) -> str:
        """Of the Job that decided it: its error, or where its Sequence was stopped."""
        after = ""
        for id in jobs:
            try:
                job = self._read_job(id)
            except CogworkError:  # the store fails just now; the line is worth more than its reason
                return ""
            name = shown(job.name or job.cog_path)
            if job.state == State.COMPLETED:
                after = name
                continue
            if job.state != State.FAILED:
                at = f": {place(after, name, job.started is not None)}"
            else:
                at = f": {name}" if len(jobs) > 1 else ""
            return at + (f": {first_line(job.error)}" if job.error else "")
        return ""
