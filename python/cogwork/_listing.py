"""What a program of Cogs says to a person who runs it by hand."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping

from ._cog import _Cog


def listing(cogs: Mapping[str, _Cog], program: str) -> str:
    """What it is, and its Cogs with their args. program: its path, or python:package.module."""
    lines = [
        f"{os.path.basename(program)} holds Cogs. A cogwork engine starts it and calls them; run by hand it does nothing.",
        "",
    ]
    for cog in cogs.values():
        lines.append(f"  {cog.name}({', '.join(map(_told, cog.parameters))})")
        if cog.desc:
            lines.append(f"      {cog.desc.splitlines()[0]}")
    path = program if os.sep in program or program.startswith("python:") else f"./{program}"
    one = path if len(cogs) == 1 else f"{path}:{next(iter(cogs))}"
    return "\n".join([*lines, "", f"Jobs use it by its path: cogwork.process_cog({one!r}).job(...)"])


def _told(parameter: inspect.Parameter) -> str:
    text = parameter.name
    hint = parameter.annotation
    if hint is not parameter.empty:
        text += f": {hint if isinstance(hint, str) else inspect.formatannotation(hint)}"
    if parameter.default is not parameter.empty:
        text += f" = {parameter.default!r}" if ":" in text else f"={parameter.default!r}"
    return text
