"""What the site does to a page beyond Markdown.

- A line that is nothing but a link to a file outside of the folder `docs` - `[examples/01_hello.py](../examples/01_hello.py)` - shows that
  file: Markdown as a part of the page, anything else as code. On its own, in the repository, it is the link that it is.
- A drawing (`![...](x.svg)`) becomes a part of the page, so that it follows when the reader switches between light and dark.
"""

from __future__ import annotations

import pathlib
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

LINK_LINE = re.compile(r"(?m)^\[([^\]]+)\]\(((?:\.\./)+[^)]+)\)$")


def show_files(app: Sphinx, docname: str, content: list[str]) -> None:
    folder = pathlib.Path(app.env.doc2path(docname)).parent

    def shown(link: re.Match[str]) -> str:
        file = (folder / link[2]).resolve()
        if file.is_relative_to(app.srcdir) or not file.is_file():
            return link[0]
        if file.suffix == ".md":
            above = re.findall(r"(?m)^(#+) ", content[0][: link.start()])
            below = len(above[-1]) if above else 0  # its headings are below the one that it stands under
            return f"```{{include}} {link[2]}\n:heading-offset: {below}\n:relative-docs: docs/\n```"
        return f"```{{literalinclude}} {link[2]}\n:caption: {link[1]}\n```"

    content[0] = LINK_LINE.sub(shown, content[0])


class InlineDrawings(SphinxPostTransform):
    """Puts SVG files into the page."""

    default_priority = 5  # before images are collected for copying
    formats = ("html",)

    def run(self, **_: Any) -> None:
        for image in list(self.document.findall(nodes.image)):
            file = pathlib.Path(self.env.srcdir, image["uri"])
            if file.suffix != ".svg":
                continue
            drawing = file.read_text(encoding="utf-8")
            self.env.note_dependency(str(file))
            image.replace_self(nodes.raw("", f'<div class="drawing">{drawing}</div>', format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", show_files, priority=400)
    app.add_post_transform(InlineDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
