"""The commands' frame: what they share, how they fail, and with which status they leave."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from .. import __version__, _advice, _early
from .._advice import DB
from .._errors import CogworkError, CogworkWarning, SignalNotAllowed
from .._lengths import LOOKS_LIKE, length_of
from .._model import State
from .._text import shown, use_utc
from . import _streams


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
    "run", "submit", "serve", "ls", "show", "watch", "logs", "history", "doctor", "start", "pause", "resume", "stop", "decide", "crisis",
)  # fmt: skip
_MEANT = {
    "list": "ls", "status": "show", "info": "show", "log": "logs", "tail": "logs", "events": "history", "continue": "resume", "unpause": "resume",
    "kill": "stop", "cancel": "stop", "abort": "stop", "server": "serve", "daemon": "serve", "up": "serve", "exec": "run", "check": "doctor",
}  # fmt: skip
"""What is typed by those who know it from elsewhere."""


_UTC = "--utc"
_LOOKS = {"ls", "show", "watch", "logs", "history", "doctor"}
"""What these write is all that they are for."""


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        use_utc(_UTC in args[:end])  # before a command and behind it
        rest: list[str] = super().parse_args(ctx, [word for word in args[:end] if word != _UTC] + args[end:])
        return rest

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{self._meant(ctx, args[0])}")
        name, found, rest = super().resolve_command(ctx, args)
        if name not in _LOOKS:
            _streams.detach()
        return name, found, rest

    def _meant(self, ctx: Any, word: str) -> str:
        if word.endswith(".py"):
            return f"; to run what is in that file:\n  {_advice.run(word, db=DB)}"
        known = {**_MEANT, **{name: name for name in self.list_commands(ctx)}}
        close = difflib.get_close_matches(word.lower(), known, n=1)
        return f" - did you mean {known[close[0]]!r}?" if close else "; `cogwork --help` lists them"

    def invoke(self, ctx: Any) -> Any:
        try:
            _early.done()
            return super().invoke(ctx)
        except SignalNotAllowed as error:
            fail(error, Status.FAILED)
        except _streams.OutputLost as lost:
            raise typer.Exit(_streams.told(lost)) from None
        except (CogworkError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            fail(error)
        except CogworkWarning as error:
            fail(CogworkError(f"{error}\nThis is an error here, as warnings are (PYTHONWARNINGS or -W of Python)"))
        except KeyboardInterrupt:
            raise typer.Exit(Status.INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if hasattr(error, "exit_code") or os.environ.get(
                "COGWORK_DEBUG"
            ):  # what was typed is wrong: it is told as such
                raise
            fail(_fault(error))


def _fault(error: Exception) -> CogworkError:
    """What should not have happened, with its place: it is asked for when the fault is reported."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    return CogworkError(
        f"a fault of cogwork's own: {type(error).__name__}: {error} ({where}). Please report it; COGWORK_DEBUG=1 shows all of it"
    )


class TakesValues(TyperCommand):
    """A command with KEY=VALUE words: who writes --key value is told so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if not hasattr(error, "possibilities"):  # it is another mistake
                raise
            name = str(getattr(error, "option_name", ""))
            there_are = [option.lstrip("-") for option in error.possibilities or ()]  # two hyphens make none near
            if difflib.get_close_matches(name.lstrip("-"), there_are):
                raise
        ctx.fail(
            f"there is no option {name}; a value for the function that makes the Labor is typed {name.lstrip('-').replace('-', '_')}=VALUE"
        )
        raise AssertionError  # it does not come back


def fail(error: BaseException, status: Status = Status.USAGE) -> NoReturn:
    said = "\n".join(map(shown, str(error).splitlines()))  # names and notes in it may be anybody's
    print(f"cogwork: {said}", file=sys.stderr, flush=True)
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
    utc: Annotated[
        bool, typer.Option(_UTC, help="Times in UTC, not in local time; also behind a command, or by COGWORK_UTC=1.")
    ] = False,
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
ClientId = Annotated[
    str,
    typer.Option(
        "--client-id",
        metavar="TEXT",
        help="A second one with the same TEXT is no other Labor: it is the first one again.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=10_000,
        help="How many plain Python calls run at once; async ones and commands are beside them.",
    ),
]


def seconds(text: str) -> float:
    """A length of time that was typed."""
    if (length := length_of(text)) is None:
        raise typer.BadParameter(f"{text!r} is no length of time; one looks like {LOOKS_LIKE}")
    return length.total_seconds()


Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="LENGTH", parser=seconds, help="How long to wait at most: 90, 30s, 5m."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is done.")]

__all__ = [
    "DB", "OF_STATE", "By", "ClientId", "Db", "Json", "NoWait", "Note", "Refused", "Status", "TakesValues", "Timeout", "Workers", "app", "fail", "seconds", "status_of",
]  # fmt: skip
