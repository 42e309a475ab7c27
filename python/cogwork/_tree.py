"""The Jobs of a Labor, and where each of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ._model import Job, Labor, Sequence, Task


class Place(NamedTuple):
    """A Job, and where it stands."""

    labor: Labor
    task: Task
    sequence: Sequence | None
    kind: str
    job: Job


def places(labor: Labor) -> Iterator[Place]:
    """Every Job of a Labor in the order of the tree."""
    for task in labor.tasks:
        for kind, checks in (("pre_check", task.pre_checks), ("cont_check", task.cont_checks)):
            for job in checks:
                yield Place(labor, task, None, kind, job)
        for sequence in task.sequences:
            for job in sequence.jobs:
                yield Place(labor, task, sequence, "job", job)
