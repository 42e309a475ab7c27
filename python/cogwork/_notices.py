"""What an engine says where it opens and where it closes, of Labors that go on, are left, or wait for a person. Nothing: an empty list."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import _advice
from ._errors import CogworkError
from ._model import Rank, State
from ._progress import Progress, Stats, clock_was_set

_SHOWN = 10
"""Labors, or Jobs, that a notice names."""
_ADVISED = 3
"""Labors that a notice gives commands for."""


def taken_up(ids: list[str], progress: Callable[[str], Progress], store: str) -> list[str]:
    """R1: the Labors that opening found unfinished. A program that is run again may submit them once more, and then they run side by side."""
    if not ids:
        return []
    lines = []
    for id in ids[:_SHOWN]:
        with contextlib.suppress(CogworkError):
            labor = progress(id)
            lines.append(
                f"  {labor.name!r} ({id}) {labor.state.name}: {labor.done} of {labor.sequences} sequences ended"
            )
    head = f"the engine took up {_labors(len(ids))} of {store}; what is submitted runs beside them:"
    foot = (
        "A program that is run again goes on with its Labor, instead of submitting another, where that has a client_id: Labor(..., client_id=...). "
        "Engine(recover='none') leaves Labors as they are"
    )
    return [_notice(head, lines, len(ids), "engine.taken_up", foot)]


def held(stats: Stats, db: str) -> list[str]:
    """R2: the Jobs that must be decided. db: what a shell calls the store; empty where none reaches it."""
    count = stats.held_count
    if not count:
        return []
    one = count == 1
    head = f"{'a Job was' if one else f'{count} Jobs were'} executing when the last engine ended, and {'is' if one else 'are'} held:"
    lines = [f"  {job} of {job.labor_name!r}: engine.decide({job.job_id!r}, ...)" for job in stats.held[:_SHOWN]]
    foot = ["Decide 'rerun', 'completed' or 'failed'; then admin_resume the Labor"]
    if db:
        foot[0] += ". In a shell:"
        for id in list(dict.fromkeys(job.job_id[:28] for job in stats.held))[:_ADVISED]:
            foot += [f"  {_advice.decide_all(id, db)}", f"  {_advice.resume(id, Rank.ADMIN, db)}"]
    return [_notice(head, lines, count, "engine.stats().held", *foot)]


def records_ahead(stats: Stats, store: str) -> list[str]:
    """That the clock was put back since what is stored was."""
    if stats.records_ahead <= timedelta(seconds=1):
        return []
    return [
        f"the system's clock is {stats.records_ahead} behind what {store} has recorded of Labors that go on; their records go on from there "
        "until the clock has caught up, and no wait takes longer for it. Is the clock right?"
    ]


def left(report: dict[str, Any], store: str) -> list[str]:
    """What closing leaves. report: as the core gives it."""
    notices = []
    if not report["all_durable"]:
        text = f"{store} could not record the last of what happened: it failed until the engine closed"
        if report["store_trouble"]:
            text += f" ({report['store_trouble']})"
        if report["store_hangs"]:
            text += "; no other engine can open it until that write returns, or this process ends"
        notices.append(text)
    if report["clock_jumps"]:
        notices.append(clock_was_set(report["clock_jumps"], timedelta(microseconds=report["clock_jumped"])))
    if labors := report["left"]:
        lines = []
        for labor in labors[:_SHOWN]:
            line = f"  {labor['name']!r} ({labor['labor_id']}) {State(labor['state']).name}: "
            line += f"{labor['sequences_ended']} of {labor['sequences']} sequences ended"
            if labor["interrupted"]:
                line += f", {labor['interrupted']} attempts interrupted"
            lines.append(line)
        head = f"the engine closed and left {_labors(len(labors))} in {store.rstrip(':')}:"
        if store == "memory:":
            foot = "Nothing of it is kept: a store in a file would be, cogwork.Engine('labors.db')"
        else:
            foot = f"To go on, open an engine on it again: cogwork.Engine({store!r})"
        notices.append(_notice(head, lines, len(labors), "", foot))
    return notices


def _labors(count: int) -> str:
    return f"{count} unfinished {'Labor' if count == 1 else 'Labors'}"


def _notice(head: str, lines: list[str], count: int, where: str, *foot: str) -> str:
    more = [f"  ... and {count - _SHOWN} more{f' ({where})' if where else ''}"] if count > _SHOWN else []
    return "\n".join([head, *lines, *more, *foot])
