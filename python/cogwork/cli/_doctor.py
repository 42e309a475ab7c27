"""`doctor`: whether a store's file is sound; it changes nothing (D7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from .._doctor import Checkup
from .._doctor import doctor as examine
from .._history import Finding
from .._text import clock, format_span, shown
from ._app import DB, Json, Status, app
from ._console import hang, make_console
from ._json import plain, put

_NAMES = {
    "file": "the file",
    "record": "a record",
    "chain": "its history",
    "history": "its history and its tree",
    "tree": "its tree",
}


@app.command()
def doctor(
    file: Annotated[str, typer.Argument(metavar="FILE", envvar="COGWORK_DB", help="The store's file.")] = DB,
    json: Json = False,
) -> None:
    """Examines a store's file.

    From SQLite's pages to the history of each Labor. Changes nothing; an engine may work on it meanwhile.

    Leaves with 0 where all is well, with 1 where something is wrong, with 2 where there is no store to examine.
    """
    checkup = examine(file)
    if json:
        put({"fine": checkup.fine, **plain(checkup)})
    else:
        _report(make_console(), checkup)
    raise typer.Exit(Status.OK if checkup.fine else Status.FAILED)


def _report(console: Console, checkup: Checkup) -> None:
    count = len(checkup.findings)
    verdict = ("sound", "bold green") if not count else (f"{count} {_plural('problem', count)}", "bold red")
    console.print(Text.assemble((shown(checkup.path), "bold"), "  ", verdict))
    log = f" and {_size(checkup.log_bytes)} of log" if checkup.log_bytes else ""
    facts = [
        f"{_size(checkup.bytes)}{log}, tables of version {checkup.version}",
        f"{checkup.labors:,} {_plural('Labor', checkup.labors)}, {checkup.changes:,} {_plural('change', checkup.changes)} in the history",
        f"all of it was looked at, in {format_span(timedelta(seconds=checkup.seconds))}",
    ]
    if engine := checkup.engine:
        of = f" of {shown(engine.user)}" if engine.user else ""
        facts.append(f"an engine works on it: {shown(engine.program) or 'cogwork'}, process {engine.pid}{of}")
    elif checkup.log_bytes:
        facts.append("no engine works on it; the next one that opens it moves the log into the file")
    for fact in facts:
        hang(console, Text("  "), Text(fact, style="dim"))
    for finding in checkup.findings:
        console.print()
        _put_finding(console, finding)


def _put_finding(console: Console, finding: Finding) -> None:
    where = Text("  ")
    if finding.labor_id:
        where.append(
            f"Labor '{shown(finding.labor)}' {finding.labor_id[:8]}" if finding.labor else f"Labor {finding.labor_id}",
            style="bold",
        )
        where.append(f", {_NAMES[finding.kind]}")
        if finding.number:
            where.append(f", change {finding.number}")
            if finding.at:
                where.append(f" of {clock(finding.at)}.{finding.at.microsecond // 1000:03}")
    else:
        where.append(_NAMES[finding.kind], style="bold")
    console.print(where, soft_wrap=True)
    hang(console, Text("    wrong  ", style="red"), Text(shown(finding.what)))
    if finding.remedy:
        hang(console, Text("    to do  ", style="dim"), Text(finding.remedy))


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _size(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count = count // 1024
    return f"{count:,} GiB"
