"""`ls`, `show`, `watch`, `history`: looking, which needs no engine and changes nothing (R1)."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from .._client import Client, connect
from .._columns import columns, line
from .._display import BEAT, End, check_failed, display, failed_checks, on_screen, unicode_on
from .._errors import EngineClosed, SignalNotAllowed
from .._lines import Names, what
from .._model import Attempt, Change, ChangeKind, Job, Labor, LaborFilter, Sequence, Signal, State, Task
from .._recap import format_span
from .._screen import STYLES, Frame, held_by, picture
from .._text import clock, first_line, shortest, shown
from ._app import DB, Db, Json, Refused, app, status_of
from ._ids import Address, complete, find, open_existing
from ._json import plain, put
from ._steer import serve_command

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID[/TASK[/TARGET]]", help="Any unique beginning of an id will do.", autocompletion=complete
    ),
]
LaborId = Annotated[
    str, typer.Argument(metavar="ID", help="Any unique beginning of a Labor's id will do.", autocompletion=complete)
]
Since = Annotated[
    int, typer.Option("--since", min=0, metavar="NUMBER", help="Only changes behind the one of this number.")
]


_WIDE = 10_000
"""Columns of what is no terminal: a name that is cut there could not be searched for."""


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    if not on_screen(console):
        console.width = _WIDE
    return console


def _print(
    console: Console,
    rows: list[list[Text]],
    gives: tuple[int, ...] = (0,),
    right: tuple[int, ...] = (),
    indent: int = 0,
) -> None:
    widths = columns(rows, console.width - indent, gives)
    for row in rows:
        console.print(line(row, widths, indent, right, unicode_on(console)), soft_wrap=True)


def _headers(*words: str) -> list[Text]:
    return [Text(word, style="dim") for word in words]


def _style(state: State) -> str:
    return STYLES.get(state, "dim")


# ---- ls ----


@app.command()
def ls(
    state: Annotated[list[str] | None, typer.Option("--state", metavar="STATE", help="RUNNING, PAUSED ...; several: any of them.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Any of these.")] = None,
    name: Annotated[str, typer.Option("--name", metavar="PREFIX", help="How the name begins.")] = "",
    target: Annotated[list[str] | None, typer.Option("--target", help="Any of these is a Sequence's target.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="So many at most; 0: all.")] = 50,
    json: Json = False,
    db: Db = DB,
) -> None:  # fmt: skip
    """Lists Labors, the latest first."""
    wanted = LaborFilter(
        states=[_state(word) for word in state or []], tags=tag or [], name_prefix=name, targets=target or [],
        newest_first=True, limit=limit + 1 if limit else None,
    )  # fmt: skip
    with open_existing(db) as store:
        labors = list(store.search(wanted))
    more = bool(limit) and len(labors) > limit
    labors = labors[:limit] if limit else labors
    if json:
        for labor in labors:
            put({key: value for key, value in plain(labor).items() if key != "tasks"})
        return
    console = _console()
    if not labors:
        console.print(
            f"no Labors in {db}"
            + (" that pass" if wanted != LaborFilter(newest_first=True, limit=wanted.limit) else "")
        )
        return
    _print_labors(console, labors)
    if more:
        console.print(Text(f"there are more: --limit {limit * 4}, or 0 for all", style="dim"))


def _state(word: str) -> State:
    try:
        return State[word.upper().replace("-", "_")]
    except KeyError:
        names = ", ".join(state.name for state in State if state != State.UNKNOWN)
        raise Refused(f"there is no state {word!r}; there is {names}") from None


def _print_labors(console: Console, labors: list[Labor]) -> None:
    length = shortest([labor.id for labor in labors])
    now = datetime.now(timezone.utc)
    rows = [_headers("id", "state", "submitted", "took", "name", "")]
    for labor in labors:
        why = held_by(labor.holds, now) if not labor.state.ended else ""
        tags = " ".join(f"#{shown(tag)}" for tag in labor.tags)
        rows.append(
            [
                Text(labor.id[:length]),
                Text(labor.state.name, style=_style(labor.state)),
                Text(clock(labor.submitted, now) if labor.submitted else "", style="dim"),
                _took(labor),
                Text(shown(labor.name)),
                Text(why, style="yellow") if why else Text(tags, style="dim"),
            ]
        )
    _print(console, rows, gives=(4,), right=(3,))


# ---- show ----


@app.command()
def show(id: Id, json: Json = False, db: Db = DB) -> None:
    """Shows a Labor, a Task, or a Sequence with its Jobs, attempts, outputs and errors."""
    with open_existing(db) as store:
        address = find(store, id, db)
        if json:
            put(address.object if address.path else store.read_labor(address.id))
            return
        if address.path:
            _show_part(address)
            return
        labor = store.read_labor(address.id)
    console = _console()
    with connect(db) as client:
        progress = client.handle(labor.id).progress()
        notes = [] if progress.state.ended else _why_nobody(client, labor, db)
    failed = failed_checks(labor) if check_failed(progress) else []
    frame = Frame(console.width, 10_000, unicode_on(console), flights=100, losses=100, checks=failed, notes=notes)
    console.print(picture(progress, frame))
    console.print()
    _facts(console, _of_labor(labor))


def _why_nobody(client: Client, labor: Labor, db: str) -> list[str]:
    """Why nobody runs it, if so: there is no engine, or the one there is has not taken it up (R2, R4)."""
    try:
        return [f"it waits: {waits.why}" for waits in client.stats().waiting if waits.labor_id == labor.id]
    except EngineClosed:
        return [_nobody(labor, db)]


def _nobody(labor: Labor, db: str) -> str:
    return f"no engine runs on {db}; {serve_command(labor, db)} goes on with it"


def _of_labor(labor: Labor) -> dict[str, str]:
    return {
        "id": labor.id,
        "desc": labor.desc,
        "tags": " ".join(labor.tags),
        "for": labor.real_user,
        "client_id": labor.client_id,
        "submitted": _moment(labor.submitted),
        "started": _moment(labor.started),
        "ended": _moment(labor.ended),
        "cogs": ", ".join(f"{name} ({origin})" for name, origin in labor.cogs.items()),
    }


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def _facts(console: Console, facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            _hang(console, Text(f" {name:{width}}  ", style="dim"), Text(shown(value)))


def _hang(console: Console, head: Text, text: Text) -> None:
    """A text beside its head; what does not fit goes on below itself."""
    for n, piece in enumerate(text.wrap(console, max(20, console.width - head.cell_len), overflow="fold")):
        piece.rstrip()
        console.print(Text.assemble(head if n == 0 else " " * head.cell_len, piece), soft_wrap=True)


def _show_part(address: Address) -> None:
    console = _console()
    part = address.object
    console.print(
        Text.assemble((str(address), "bold"), "  ", (part.state.name, _style(part.state)), ("  " + _times(part), "dim"))
    )
    if isinstance(part, Task):
        _show_task(console, part)
    elif isinstance(part, Sequence):
        _facts(console, {"id": part.id, "desc": part.desc})
        for job in part.jobs:
            _show_job(console, job)
    elif isinstance(part, Job):
        _show_job(console, part)


def _times(part: Any) -> str:
    if not part.started:
        return ""
    took = format_span((part.ended or datetime.now(timezone.utc)) - part.started)
    return f"since {clock(part.started)}, {took}" if not part.ended else f"{clock(part.started)}, took {took}"


def _show_task(console: Console, task: Task) -> None:
    now = datetime.now(timezone.utc)
    _facts(
        console,
        {
            "id": task.id,
            "desc": task.desc,
            "held": held_by(task.holds, now),
            "concurrency": str(task.concurrency_number or task.concurrency),
            "tolerated": "no limit" if task.tolerated_number == -1 else str(task.tolerated_number or 0),
            "failures": str(task.failures),
        },
    )
    console.print()
    rows = [_headers("target", "state", "took", "")]
    for check in (*task.pre_checks, *task.cont_checks):
        told = first_line(check.error) if check.error else f"rounds passed: {check.rounds}" if check.rounds else ""
        name = Text(f"(check {shown(check.name or check.cog_path)})", style="dim")
        rows.append([name, _told_state(check), _took(check), Text(told)])
    for sequence in task.sequences:
        rows.append([Text(shown(sequence.target)), _told_state(sequence), _took(sequence), Text(_last_word(sequence))])
    _print(console, rows, right=(2,), indent=1)


def _told_state(part: Any) -> Text:
    return Text("-" if part.state == State.NOT_STARTED else part.state.name, style=_style(part.state))


def _took(part: Any) -> Text:
    if not part.started:
        return Text("")
    return Text(format_span((part.ended or datetime.now(timezone.utc)) - part.started), style="dim")


def _last_word(sequence: Sequence) -> str:
    """The error of the Job that decided it."""
    for job in sequence.jobs:
        if job.state in (State.FAILED, State.STOPPED) and job.error:
            return f"{shown(job.name or job.cog_path)}: {first_line(job.error)}"
    return ""


def _show_job(console: Console, job: Job) -> None:
    title = shown(job.name or job.cog_path)
    cog = f" ({shown(job.cog_path)})" if job.name and job.name != job.cog_path else ""
    console.print()
    console.print(
        Text.assemble(
            "  ",
            (title, "bold"),
            (cog, "dim"),
            "  ",
            _told_state(job),
            ("  held, and waits for a decision" if job.held else "", "yellow"),
        )
    )
    args = ", ".join(f"{key}={value!r}" for key, value in job.args.items())
    if args:
        console.print(Text(f"    {shown(args)}", style="dim"))
    for attempt in job.attempts:
        _show_attempt(console, attempt)


def _show_attempt(console: Console, attempt: Attempt) -> None:
    status = "executing" if attempt.ended is None else attempt.status.name
    style = {"SUCCESS": "green", "executing": "cyan"}.get(status, "red")
    which = f"round {attempt.round}, attempt {attempt.number}" if attempt.round else f"attempt {attempt.number}"
    line = Text.assemble("    ", which, "  ", (status, style), (f"  {_times(attempt)}", "dim"))
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
        _hang(console, head, Text(shown(part.expandtabs(4)), style=style))


# ---- watch ----


@app.command()
def watch(id: LaborId, since: Since = 0, json: Json = False, db: Db = DB) -> None:
    """Shows a Labor until it ends, whoever runs it. Ctrl-C ends the watching, and nothing else."""
    open_existing(db).close()
    with connect(db) as client:
        address = find(client, id, db)
        if address.path:
            raise Refused(f"{address} is a part of a Labor; what is watched is a Labor: {address.labor.id[:8]}")
        state = _put_changes(client, address.id, since) if json else _follow(client, address.id, db)
        raise typer.Exit(status_of(state))


def _follow(client: Client, id: str, db: str) -> State:
    """Until it ends. Where no engine runs it, it is shown once; where its engine goes, the next one is waited for."""
    handle = client.handle(id)
    followed = False
    with display() as shows:
        while True:
            try:
                end = End(handle)
                while True:
                    shows.update(handle)
                    followed = True
                    if (labor := end.within(BEAT)) is not None:
                        shows.end(handle)
                        return labor.state
            except EngineClosed:
                note = _nobody(handle.read(False), db)
            except SignalNotAllowed as error:
                note, followed = str(error), False
            shows.update(handle, [note])
            if not followed:
                return handle.state
            time.sleep(1)


def _put_changes(client: Client, id: str, since: int) -> State:
    names = Names(client.read_labor(id))
    while True:
        attended = client.engine is not None
        for change in client.changes(id, since):
            since = change.number
            put(_as_json(change, names))
        labor = client.read_labor(id, False)
        if labor.state.ended or not attended:
            return labor.state
        time.sleep(1)


# ---- history ----


@app.command()
def history(
    id: Id, since: Since = 0, signals: Annotated[bool, typer.Option("--signals", help="Only the signals.")] = False,
    json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Every change of state and every signal, refused ones too: when, which object, who and why (D7, G9)."""
    with open_existing(db) as store:
        address = find(store, id, db)
        names = Names(store.read_labor(address.labor.id))
        below = _below(address)
        changes = (
            change
            for change in store.changes(address.labor.id, since)
            if (below is None or change.object_id in below) and (change.kind == ChangeKind.SIGNAL or not signals)
        )
        if json:
            for change in changes:
                put(_as_json(change, names))
            return
        console = _console()
        console.print(
            Text.assemble((str(address), "bold"), "  ", (address.object.state.name, _style(address.object.state)))
        )
        for change in changes:
            console.print(_told(change, names), soft_wrap=True)


def _below(address: Address) -> set[str] | None:
    """The ids of an object and what is below it; None: all of the Labor."""
    if not address.path:
        return None
    part = address.object
    sequences = part.sequences if isinstance(part, Task) else [part] if isinstance(part, Sequence) else []
    jobs = [job for sequence in sequences for job in sequence.jobs]
    if isinstance(part, Task):
        jobs += [*part.pre_checks, *part.cont_checks]
    return {part.id, *(sequence.id for sequence in sequences), *(job.id for job in jobs)}


_WORD = max(len(word.name) for word in (*State, *Signal))


def _told(change: Change, names: Names) -> Text:
    """When, what, whose, and who did it and why. What comes first has one width, so that it can be read down."""
    signal = change.kind == ChangeKind.SIGNAL
    word, _, more = what(change).partition(" ")
    line = Text(f"{clock(change.at)}.{change.at.microsecond // 1000:03}  ", style="dim")
    line = Text.assemble(line, (f"{word:{_WORD}}  ", "bold yellow" if signal else _style(change.to_state)))
    line.append(names.of(change.object_id))
    return line.append(f"  {more}" if more else "", style="yellow" if signal else "dim")


def _as_json(change: Change, names: Names) -> dict[str, Any]:
    said: dict[str, Any] = plain(change)
    return {"name": names.of(change.object_id), **said}
