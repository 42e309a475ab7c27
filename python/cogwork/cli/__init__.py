"""`cogwork`, the shell: runs Labors, looks at them, and steers them, also while another process's engine runs them (docs/shell.md)."""

from typing import NoReturn

from .. import _early
from . import (
    _crisis,
    _decide,
    _doctor,
    _logs,
    _look,
    _run,
    _serve,
    _show,
    _steer,
    _streams,
    _submit,
    _warned,
)  # each adds its commands
from ._app import app

COMMANDS = (_crisis, _decide, _doctor, _logs, _look, _run, _serve, _show, _steer, _submit)


def main() -> NoReturn:
    """The console script. Leaves by SystemExit, with the statuses of `_app.Status`."""
    _streams.take()
    _warned.take()
    status: str | int | None = 0
    try:
        app(prog_name="cogwork")
    except SystemExit as left:
        status = left.code
    except _streams.OutputLost as lost:  # before a command began: of --help
        status = _streams.told(lost)
    try:
        _streams.settle()
    except KeyboardInterrupt:
        _streams.give_up()  # what was to be done is done
    except _streams.OutputLost as lost:
        status = _streams.told(lost)
    _streams.leave()
    _early.over()
    raise SystemExit(status)


__all__ = ["app", "main"]
