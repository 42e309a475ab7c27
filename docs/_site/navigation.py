"""The menu of the site, from the tables `navigation` and `navigation_below` of conf.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sphinx.application import Sphinx

FRONT = "index"


def add_menu(app: Sphinx, docname: str, content: list[str]) -> None:
    """Hangs the pages below the one that leads to them, as toctrees that do not show in its text."""
    if docname == FRONT:
        for caption, pages in app.config.navigation.items():
            content[0] += toctree(pages, f":caption: {caption}" if caption else "")
    if pattern := app.config.navigation_below.get(docname):
        content[0] += toctree([pattern], ":glob:")


def toctree(entries: Iterable[str], option: str) -> str:
    return "\n".join(["\n", "```{toctree}", ":hidden:", option, "", *(f"/{entry}" for entry in entries), "```", ""])


def setup(app: Sphinx) -> dict[str, Any]:
    for table in ("navigation", "navigation_below"):
        app.add_config_value(table, {}, "env", types=[dict, list])
    app.connect("source-read", add_menu)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
