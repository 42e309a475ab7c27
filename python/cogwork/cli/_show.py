"""`show`: a Labor as a picture, a Task as a table, a Sequence with its Jobs and their attempts."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from .. import _advice
from .._client import Client, connect
from .._display import unicode_on
from .._errors import StoreInUse
from .._history import Moment
from .._model import Attempt, Job, Labor, Sequence, State, Task
from .._provenance import in_words as made_with
from .._screen import Frame, picture
from .._summary import holds, place, place_of
from .._text import clock, date, first_line, format_span, shown
from ._app import DB, Db, Json, app
from ._console import hang, headers, make_console, put_rows, state_text, style_of, took_text
from ._ids import Address, Id, find, open_existing
from ._json import put
from ._look import note_of
from ._past import At, Past, in_words, moment, only_held
from ._steer import nobody, why_stored


@app.command()
def show(id: Id = None, at: At = "", json: Json = False, db: Db = DB) -> None:
    """Shows a Labor, a Task or a target.

    Of a target the Jobs with their attempts, outputs and errors. Now, or as it stood.
    """
    if at:
        show_past(id, moment(at), json, db)
        return
    with open_existing(db) as store:
        address = find(store, id, db)
        if json:
            put(address.object if address.path else store.read_labor(address.id))
            return
        if address.path:
            _show_part(address, db)
            return
        labor = store.read_labor(address.id)
    console = make_console()
    with connect(db) as client:
        progress = client.handle(labor.id).progress()
        said = ""
        helps: list[str] = []
        if not progress.state.ended:
            try:
                said, helps = why_nobody(client, labor, db)
            except StoreInUse as error:  # somebody does, and cannot be reached
                said, progress = str(error), only_held(progress, labor)
    if said and not progress.held:  # else the commands are said with what is held
        said, helps = note_of(said, helps), []
    frame = _frame(console, [said] if said else [], db, helps)
    console.print(picture(progress, frame))
    console.print()
    _facts(console, _of_labor(labor))


def _frame(console: Console, notes: list[str], db: str, helps: list[str] | None = None) -> Frame:
    """All of it."""
    unicode, most = unicode_on(console), 100
    return Frame(
        console.width, 10_000, unicode, flights=most, losses=most, retries=most, half_way=most, notes=notes, db=db, helps=helps or (),
    )  # fmt: skip


def show_past(id: str | None, when: Moment, json: bool, db: str) -> None:
    with open_existing(db) as store:
        past = Past(store, when)
        address = find(past, id, db)
        labor = past.read_labor(address.labor.id)
        if json:
            put(address.object if address.path else labor)
            return
        now = past.time_of(labor)
        if address.path:
            _show_part(address, db, now)
            return
        progress = past.progress(labor)
    console = make_console()
    notes = [f"as it stood {in_words(when)}"]
    if progress.held:  # it is not told how to decide about them: that was then
        notes.append(f"held then: {', '.join(map(str, progress.held))}")
        progress = msgspec.structs.replace(progress, held=[], held_count=0)
    frame = _frame(console, notes, db)
    console.print(picture(progress, frame, now))
    console.print()
    _facts(console, _of_labor(labor))


def _of_labor(labor: Labor) -> dict[str, str]:
    return {
        "id": labor.id,
        "desc": labor.desc,
        "tags": " ".join(labor.tags),
        "for": labor.real_user,
        "client_id": labor.client_id,
        "submitted": date(labor.submitted),
        "started": date(labor.started),
        "ended": date(labor.ended),
        "made with": made_with(labor.provenance),
        "cogs": ", ".join(f"{name} ({origin})" for name, origin in labor.cogs.items()),
    }


def _facts(console: Console, facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            hang(console, Text(f" {name:{width}}  ", style="dim"), Text(shown(value)))


def _show_part(address: Address, db: str, now: datetime | None = None) -> None:
    console = make_console()
    now = now or datetime.now(timezone.utc)
    part = address.object
    console.print(
        Text.assemble(
            (str(address), "bold"), "  ", (part.state.name, style_of(part.state)), ("  " + _times(part, now), "dim")
        )
    )
    if isinstance(part, Task):
        _show_task(console, part, now)
    elif isinstance(part, Sequence):
        _facts(console, {"id": part.id, "desc": part.desc})
        for job in part.jobs:
            _show_job(console, job, db, now)
    elif isinstance(part, Job):
        _show_job(console, part, db, now)


def _times(part: Any, now: datetime) -> str:
    if not part.started:
        return ""
    took = format_span((part.ended or now) - part.started)
    return f"since {clock(part.started)}, {took}" if not part.ended else f"{clock(part.started)}, took {took}"


def _show_task(console: Console, task: Task, now: datetime) -> None:
    _facts(
        console,
        {
            "id": task.id,
            "desc": task.desc,
            "held": "; ".join(holds(task.holds, now)),
            "concurrency": str(task.concurrency_number or task.concurrency),
            "tolerated": "no limit" if task.tolerated_number == -1 else str(task.tolerated_number or 0),
            "failures": str(task.failures),
        },
    )
    console.print()
    rows = [headers("target", "state", "took", "")]
    for check in (*task.pre_checks, *task.cont_checks):
        told = first_line(check.error) if check.error else f"rounds passed: {check.rounds}" if check.rounds else ""
        name = Text(f"(check {shown(check.name or check.cog_path)})", style="dim")
        rows.append([name, state_text(check), took_text(check, now), Text(told)])
    for sequence in task.sequences:
        rows.append(
            [Text(shown(sequence.target)), state_text(sequence), took_text(sequence, now), Text(_last_word(sequence))]
        )
    put_rows(console, rows, right=(2,), indent=1)


def _last_word(sequence: Sequence) -> str:
    """The error of the Job that decided it, or where it stands."""
    for job in sequence.jobs:
        if job.held:
            return f"{shown(job.name or job.cog_path)}: held, and waits for a decision"
        if job.state in (State.FAILED, State.STOPPED) and job.error:
            return f"{shown(job.name or job.cog_path)}: {first_line(job.error)}"
    at = place_of(sequence)
    return shown(place(*at)) if sequence.started and at[1] else ""


def _show_job(console: Console, job: Job, db: str, now: datetime) -> None:
    title = shown(job.name or job.cog_path)
    cog = f" ({shown(job.cog_path)})" if job.name and job.name != job.cog_path else ""
    console.print()
    console.print(
        Text.assemble(
            "  ",
            (title, "bold"),
            (cog, "dim"),
            "  ",
            state_text(job),
            ("  held, and waits for a decision" if job.held else "", "yellow"),
        )
    )
    if job.held:
        console.print(Text(f"    {_advice.decide(job.id, db)}", style="yellow"), soft_wrap=True)
    args = ", ".join(f"{key}={value!r}" for key, value in job.args.items())
    if args:
        console.print(Text(f"    {shown(args)}", style="dim"))
    for attempt in job.attempts:
        _show_attempt(console, attempt, now)


def _show_attempt(console: Console, attempt: Attempt, now: datetime) -> None:
    status = "executing" if attempt.ended is None else attempt.status.name
    style = {"SUCCESS": "green", "executing": "cyan"}.get(status, "red")
    which = f"round {attempt.round}, attempt {attempt.number}" if attempt.round else f"attempt {attempt.number}"
    if attempt.decision is not None:
        status += f", decided {attempt.decision.value}"
    line = Text.assemble("    ", which, "  ", (status, style), (f"  {_times(attempt, now)}", "dim"))
    if attempt.still_running:
        line.append("  its call still goes on", style="yellow")
    console.print(line)
    if attempt.output is not None:
        _block(console, "output", attempt.output if isinstance(attempt.output, str) else repr(attempt.output), "")
    if attempt.error:
        _block(console, "error", attempt.error, "red")
    if attempt.log:
        _block(console, "log", attempt.log, "dim")


def _block(console: Console, name: str, text: str, style: str) -> None:
    """Its lines, each as text."""
    for n, part in enumerate(text.rstrip("\n").split("\n")):
        head = Text(f"      {name if n == 0 else '':6}  ", style="dim")
        hang(console, head, Text(shown(part.expandtabs(4)), style=style))


def why_nobody(client: Client, labor: Labor, db: str) -> tuple[str, list[str]]:
    """Why nobody runs it, if so, and the commands that help. StoreInUse where somebody may who cannot be reached."""
    if client.engine is None:
        return nobody(client, labor.id, db)
    why = why_stored(client, labor, db)
    if not why:
        return "", []
    leads_on = nobody(client, labor.id, db)[1] if why[1:] == [_advice.go_on(labor, db)] else why[1:]
    return why[0], leads_on  # an engine that may take it up does so by the same way back as one that is yet to begin
