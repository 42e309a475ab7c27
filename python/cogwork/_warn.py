"""Warns users, at their own line."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from ._errors import CogworkWarning

log = logging.getLogger("cogwork.engine")
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn(*texts: str) -> None:
    """Logs what somebody should know, and warns whoever called into cogwork. Where warnings are errors the first of them is raised, when all are
    logged."""
    for text in texts:
        log.warning("%s", text)
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_OWN):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    failed: Warning | None = None
    for text in texts:
        try:
            warnings.warn(text, CogworkWarning, stacklevel=level)
        except Warning as error:
            failed = failed or error
    if failed is not None:
        raise failed
