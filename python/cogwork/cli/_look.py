"""`ls`, `watch`, `history`: looking, which needs no engine and changes nothing (R1)."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from .. import _advice
from .._client import Client, connect
from .._display import BEAT, End, display
from .._errors import EngineClosed, SignalNotAllowed, StoreInUse
from .._latch import Latch, stored_latches
from .._lines import Names, what
from .._model import Change, ChangeKind, Labor, LaborFilter, Signal, State
from .._owner import owner_of
from .._summary import holds
from .._text import clock, shortest, shown
from ._app import DB, Db, Json, Refused, Status, app, status_of
from ._console import Lines, headers, make_console, put_rows, style_of, took_text
from ._ids import Id, LaborId, find, open_existing
from ._json import plain, put
from ._steer import nobody, why_stored
from ._streams import OutputLost, detach

Since = Annotated[
    int, typer.Option("--since", min=0, metavar="NUMBER", help="Only changes behind the one of this number.")
]


# ---- ls ----


@app.command()
def ls(
    state: Annotated[list[str] | None, typer.Option("--state", metavar="STATE", help="RUNNING, PAUSED ...; several: any of them.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="With this tag; several: any of them.")] = None,
    name: Annotated[str, typer.Option("--name", metavar="PREFIX", help="How the name begins.")] = "",
    target: Annotated[list[str] | None, typer.Option("--target", metavar="TARGET", help="That work on this target; several: any of them.")] = None,
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
        unfinished = any(not labor.state.ended for labor in labors)
        latches = stored_latches(store) if unfinished else []
        owner = owner_of(store) if unfinished else None
    more = bool(limit) and len(labors) > limit
    labors = labors[:limit] if limit else labors
    if json:
        for labor in labors:
            put({key: value for key, value in plain(labor).items() if key != "tasks"})
        return
    console = make_console()
    if not labors:
        console.print(
            f"no Labors in {db}"
            + (" that pass" if wanted != LaborFilter(newest_first=True, limit=wanted.limit) else "")
        )
        return
    _print_labors(console, labors, latches)
    if any(labor.state == State.UNKNOWN for labor in labors):
        console.print(Text(f"to see what is damaged:\n  {_advice.doctor(db)}", style="dim"), soft_wrap=True)
    if owner is not None and owner.holds and not owner.brief:
        console.print(Text(f"run by {owner}", style="dim"))
    if more:
        console.print(Text(f"there are more: --limit {limit * 4}, or 0 for all", style="dim"))


def _state(word: str) -> State:
    try:
        return State[word.upper().replace("-", "_")]
    except KeyError:
        names = ", ".join(state.name for state in State if state != State.UNKNOWN)
        raise Refused(f"there is no state {word!r}; there is {names}") from None


def _print_labors(console: Console, labors: list[Labor], latches: list[Latch]) -> None:
    length = shortest([labor.id for labor in labors])
    now = datetime.now(timezone.utc)
    rows = [headers("id", "state", "submitted", "took", "name", "")]
    for labor in labors:
        why = shown(" ".join(holds(labor.holds, now)[:1])) if not labor.state.ended else ""
        why = next((f"held by {latch}" for latch in latches if latch.holds(labor)), why)
        if labor.state == State.UNKNOWN:
            why = "its row is damaged"
        tags = " ".join(f"#{shown(tag)}" for tag in labor.tags)
        rows.append(
            [
                Text(labor.id[:length]),
                Text(labor.state.name, style=style_of(labor.state)),
                Text(clock(labor.submitted, now) if labor.submitted else "", style="dim"),
                took_text(labor),
                Text(shown(labor.name)),
                Text(why, style="yellow") if why else Text(tags, style="dim"),
            ]
        )
    put_rows(console, rows, gives=(4,), right=(3,))


# ---- watch ----


@app.command()
def watch(id: LaborId = None, since: Since = 0, json: Json = False, db: Db = DB) -> None:
    """Shows a Labor until it ends, whoever runs it.

    Ctrl-C ends the watching, and nothing else.
    """
    open_existing(db).close()
    with connect(db) as client:
        address = find(client, id, db)
        if address.path:
            raise Refused(f"{address} is a part of a Labor; what is watched is a Labor: {address.labor.id[:8]}")
        raise typer.Exit(follow(client, address.id, db, json, since))


def follow(client: Client, id: str, db: str, json: bool = False, since: int = 0) -> Status:
    """As `watch` does."""
    return status_of(_put_changes(client, id, since) if json else _follow(client, id, db))


def _follow(client: Client, id: str, db: str) -> State:
    """Until it ends. Where no engine runs it, it is shown once; where its engine goes, the next one is waited for."""
    detach()
    handle = client.handle(id)
    followed = False
    notes: list[str] = []
    with display() as shows:
        while True:
            try:
                end = End(handle)
                while True:
                    shows.update(handle)
                    if isinstance(shows.lost, BrokenPipeError):
                        raise OutputLost(shows.lost)
                    followed, notes = True, []
                    if (labor := end.within(BEAT)) is not None:
                        shows.end(handle)
                        return labor.state
            except EngineClosed:
                notes = notes or [note_of(*nobody(client, id, db))]  # of a large Labor, read once
            except StoreInUse as error:
                notes, followed = [str(error)], False
            except SignalNotAllowed as error:
                helps = why_stored(client, handle.read(False), db)[1:]
                notes, followed = [note_of(str(error), helps)], False
            if not followed:
                shows.end(handle, notes)
                return handle.state
            shows.update(handle, notes)
            time.sleep(1)


def note_of(said: str, helps: list[str]) -> str:
    """What is so, and below it the commands that help."""
    return "\n  ".join([f"{said}; to go on with it:", *helps]) if helps else said


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
    id: Id = None, since: Since = 0, signals: Annotated[bool, typer.Option("--signals", help="Only the signals, and decisions.")] = False,
    json: Json = False, db: Db = DB,
) -> None:  # fmt: skip
    """Who and what changed a Labor, when and why.

    Every change of state and every signal, refused ones too.
    """
    with open_existing(db) as store:
        address = find(store, id, db)
        names = Names(store.read_labor(address.labor.id))
        below = address.below()
        changes = (
            change
            for change in store.changes(address.labor.id, since)
            if (below is None or change.object_id in below)
            and (not signals or change.kind in (ChangeKind.SIGNAL, ChangeKind.DECISION))
        )
        if json:
            for change in changes:
                put(_as_json(change, names))
            return
        console = make_console()
        console.print(
            Text.assemble((str(address), "bold"), "  ", (address.object.state.name, style_of(address.object.state)))
        )
        lines = Lines(console)
        told = Told(names)
        for change in changes:
            lines.put(told.parts(change))


_WORD = max(len(word.name) for word in (*State, *Signal))


class Told:
    """Changes in words: when, what, whose, and who did it and why. What comes first has one width, so that it can be read down."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._second: datetime | None = None
        self._clock = ""
        self._last: datetime | None = None

    def parts(self, change: Change) -> list[tuple[str, str]]:
        """Each with its style."""
        signal = change.kind != ChangeKind.STATE  # or a decision, or an engine
        late = self._last is not None and change.at < self._last
        self._last = change.at if not late else self._last
        word, _, more = what(change).partition(" ")
        return [
            (f"{self._when(change.at)}  ", "dim"),
            (f"{word:{_WORD}}  ", "bold yellow" if signal else style_of(change.to_state)),
            (self._names.of(change.object_id), ""),
            (f"  {more}" if more else "", "yellow" if signal else "dim"),
            ("  (entered later)" if late else "", "dim"),
        ]

    def _when(self, at: datetime) -> str:
        second = at.replace(microsecond=0)
        if second != self._second:  # thousands share one
            self._second, self._clock = second, clock(second)
        return f"{self._clock}.{at.microsecond // 1000:03}"


def _as_json(change: Change, names: Names) -> dict[str, Any]:
    said: dict[str, Any] = plain(change)
    return {"name": names.of(change.object_id), **said}
