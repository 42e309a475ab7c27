"""The commands' frame: what they share, how they fail, and with which status they leave."""

from __future__ import annotations

import shlex
import sys
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .. import __version__, _early
from .._errors import CogworkError, SignalNotAllowed
from .._model import State


class Status(IntEnum):
    """Exit statuses."""

    OK = 0
    """Completed, or done."""
    FAILED = 1
    """The Labor failed; the signal was refused, or did nothing."""
    USAGE = 2
    """The command could not be carried out: nothing was begun."""
    STOPPED = 3
    PAUSED = 4
    UNFINISHED = 5
    """Time ran out, or no engine runs it."""
    INTERRUPTED = 130


OF_STATE = {
    State.COMPLETED: Status.OK,
    State.FAILED: Status.FAILED,
    State.STOPPED: Status.STOPPED,
    State.PAUSED: Status.PAUSED,
    State.ADMIN_PAUSED: Status.PAUSED,
    State.CRISIS_PAUSED: Status.PAUSED,
}


def status_of(state: State) -> Status:
    return OF_STATE.get(state, Status.UNFINISHED)


class Refused(CogworkError):
    """What the shell itself has to object: to what was typed, or to the script that was named."""


_ORDER = (
    "run", "serve", "ls", "show", "watch", "history", "doctor", "start", "pause", "resume", "stop", "decide", "crisis",
)  # fmt: skip


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            _early.done()
            return super().invoke(ctx)
        except SignalNotAllowed as error:
            fail(error, Status.FAILED)
        except (CogworkError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            fail(error)
        except KeyboardInterrupt:
            raise typer.Exit(Status.INTERRUPTED) from None


def fail(error: BaseException, status: Status = Status.USAGE) -> NoReturn:
    print(f"cogwork: {error}", file=sys.stderr, flush=True)
    raise typer.Exit(status)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Runs Labors, looks at them and steers them. What was acknowledged is in the --db file, and any shell may look at it.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"cogwork {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="The version.")] = False,
) -> None:
    # A terminal whose encoding lacks a letter shows its escape; that is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


Db = Annotated[
    str, typer.Option("--db", metavar="PATH", envvar="COGWORK_DB", help="The store: the file that holds the Labors.")
]
By = Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who sends it; your login name if not given.")]
Note = Annotated[str, typer.Option("--note", metavar="WHY", help="Why; it is kept with the signal.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
DB = "cogwork.db"


def command(*words: str, db: str) -> str:
    """A command as it can be typed again."""
    return shlex.join(["cogwork", *words, *([] if db == DB else ["--db", db])])
