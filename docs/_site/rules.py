"""Numbers of rules, wherever they stand in a text, lead to the rule on the page `rules`."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

PAGE = "rules"
NUMBER = re.compile(r"\b[MSXGDRTC]\d{1,2}[a-z]?\b")
ROW = re.compile(r"(?m)^\| ([A-Z]\d{1,2}[a-z]?) \|")

log = logging.getLogger(__name__)


def anchor_rows(app: Sphinx, docname: str, content: list[str]) -> None:
    if docname == PAGE:
        content[0] = ROW.sub(lambda row: f'| <span id="{row[1].lower()}">{row[1]}</span> |', content[0])


class RuleLinks(SphinxPostTransform):
    default_priority = 900
    formats = ("html",)

    def run(self, **_: Any) -> None:
        here = self.env.docname
        if here == PAGE:
            return
        page = self.env.doc2path(PAGE)
        with open(page, encoding="utf-8") as text:
            rules = set(ROW.findall(text.read()))
        for text_node in list(self.document.findall(nodes.Text)):
            if isinstance(
                text_node.parent, (nodes.literal, nodes.literal_block, nodes.reference, nodes.raw, nodes.title)
            ):
                continue
            parts = self.linked(text_node.astext(), rules)
            if len(parts) > 1:
                text_node.parent.replace(text_node, parts)

    def linked(self, text: str, rules: set[str]) -> list[nodes.Node]:
        parts: list[nodes.Node] = []
        end = 0
        for found in NUMBER.finditer(text):
            if found[0] not in rules:
                log.warning("there is no rule %s", found[0], location=self.env.docname)
                continue
            uri = self.app.builder.get_relative_uri(self.env.docname, PAGE) + f"#{found[0].lower()}"
            parts += [
                nodes.Text(text[end : found.start()]),
                nodes.reference("", found[0], refuri=uri, internal=True, classes=["rule"]),
            ]
            end = found.end()
        return [*parts, nodes.Text(text[end:])]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", anchor_rows)
    app.add_post_transform(RuleLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
