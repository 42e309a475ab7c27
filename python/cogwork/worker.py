"""`python -m cogwork.worker MODULE`: a process for the Cogs of a Python module, or of a script by its path.

An engine starts it for Jobs whose cog_path is "python:package.module:cog". Nobody needs to change the module for that.
"""

from __future__ import annotations

import hashlib
import pathlib
import sys
from types import ModuleType
from typing import NoReturn

from . import _guard
from ._cog import _cogs
from ._errors import CogworkError
from ._importing import import_source
from ._serve import serve


def main(words: list[str]) -> NoReturn:
    """Exit statuses: those of `serve_cogs`; 1 where the module cannot be imported, or holds no Cogs; 2 for wrong usage."""
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: python -m cogwork.worker MODULE    (package.module, or the path of a .py file)", file=sys.stderr)
        raise SystemExit(2)
    source = words[0]
    try:
        with _guard.importing(source, "an engine imports it for its Cogs"):
            module = import_source(source)
        serve(_cogs.values(), version=_version(module), program=f"python:{source}")
    except CogworkError as error:
        print(f"cogwork.worker: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _version(module: ModuleType) -> str:
    """Of the module's own file: the program that the engine sees is only Python."""
    try:
        content = pathlib.Path(module.__file__ or "").read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(content).hexdigest()[:12]


if __name__ == "__main__":
    main(sys.argv[1:])
