"""Warnings in the shell: a message on stderr, as errors are. Where in the shell's own code somebody was warned is nobody's affair."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from .._errors import CogworkWarning
from .._text import shown


def take() -> None:
    """From here on. Once, at the start of the process."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, CogworkWarning):
            said = "\n".join(map(shown, str(message).splitlines()))  # names in it may be anybody's
            print(f"cogwork: {said}", file=sys.stderr, flush=True)
        else:
            before(message, category, *rest, **more)

    warnings.showwarning = show
