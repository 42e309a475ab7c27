"""`cogwork`, the shell: runs Labors, looks at them, and steers them, also while another process's engine runs them (docs/shell.md)."""

from .. import _early
from . import _crisis, _decide, _doctor, _logs, _look, _run, _serve, _show, _steer, _submit  # each adds its commands
from ._app import app

COMMANDS = (_crisis, _decide, _doctor, _logs, _look, _run, _serve, _show, _steer, _submit)


def main() -> None:
    """The console script. Leaves by SystemExit, with the statuses of `_app.Status`."""
    try:
        app(prog_name="cogwork")
    finally:
        _early.over()


__all__ = ["app", "main"]
