"""The package's docstrings for the site.

They are written to be read where they stand, in a terminal or an editor: a paragraph a parameter (`timeout: seconds or timedelta.`) and
names in single backticks. Here they become what Sphinx renders: lists of parameters, and links where a name is a public one.
"""

from __future__ import annotations

import inspect
import re
from enum import Enum
from typing import Any

import msgspec
from docutils import nodes
from docutils.nodes import Element
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import stringify_signature

import cogwork
import cogwork.testing

PUBLIC = {name: f"cogwork.{name}" for name in cogwork.__all__ if not name.startswith("_")}
PUBLIC |= {name: f"cogwork.testing.{name}" for name in cogwork.testing.__all__}
GIVEN = {
    "Ack", "Attempt", "Batch", "BuiltinStorage", "Change", "Changes", "Client", "Cog",
    "Cogs", "Context", "ContextCog", "Counter", "EngineInfo", "Failure", "Flight", "HistoryRow",
    "Hold", "Issue", "LaborHandle", "LogLine", "Logs", "Loss", "Outputs", "Owner", "ProcessCog", "Progress", "Reader",
    "Record", "Releasable", "Searcher", "SequenceHandle", "Slept", "Stats", "Storage", "TaskHandle",
    "TaskProgress", "Waiting", "Workers", "Writer",
}  # fmt: skip
"""Classes that a user is given and never calls: how they are made is nobody's business."""
TREE = (cogwork.Labor, cogwork.Task, cogwork.Sequence, cogwork.Job)
RESULTS = {
    "attempts", "cogs", "concurrency_number", "ended", "failures", "held", "holds", "id",
    "output", "reason", "rounds", "started", "state", "submitted", "tolerated_number",
}  # fmt: skip
"""Fields of the tree that cogwork sets."""
ERRORS = [name for name, value in vars(cogwork).items() if isinstance(value, type) and issubclass(value, Exception)]
ERROR = re.compile(rf"(?<![\w`.<])({'|'.join(ERRORS)})(?![\w`>])")
QUOTED = re.compile(r"(?<![`:])`([^`]+)`(?!`)")


def render(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrites a docstring in place."""
    if lines and obj is not None and inherited_from_elsewhere(obj, lines):
        lines[:] = []
    parameters = parameters_of(obj)
    rendered: list[str] = []
    in_parameter = in_example = False
    if what == "attribute" and name.rpartition(".")[2] in RESULTS and name.split(".")[-2] in {c.__name__ for c in TREE}:
        lines[:1] = [f"*Set by cogwork.* {lines[0] if lines else ''}"]
    for line in lines:
        in_example = line.startswith(">>>") or (in_example and bool(line.strip()))
        if in_example or line.startswith(" "):
            rendered.append(line)
            continue
        found = parameter_lines(line, parameters)
        if found is None:
            if not line.strip():
                in_parameter = False
            rendered.append(("  " if in_parameter and line.strip() else "") + quoted(line))
            continue
        before, described = found
        if before:
            rendered.append(("  " if in_parameter else "") + quoted(before))
        if not in_parameter:
            rendered.append("")
        in_parameter = True
        for names, text in described:
            text, raises, behind = text.partition("Raises ")
            rendered.append(f"- {', '.join(f'**{name}**' for name in names)}: {quoted(text)}")
            if raises:  # no part of what the last parameter is
                rendered += ["", quoted(raises + behind)]
                in_parameter = False
    lines[:] = rendered


def sign(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None) -> Any:
    """What a user writes when calling it."""
    if not inspect.isclass(obj) or not signature:
        return None
    if obj.__name__ in GIVEN or issubclass(obj, (Enum, BaseException)):
        return "", returns
    if issubclass(obj, TREE):
        empty = {f.name: f.default_factory() for f in msgspec.structs.fields(obj) if callable(f.default_factory)}
        written = [
            p.replace(default=empty.get(p.name, p.default))
            for p in inspect.signature(obj).parameters.values()
            if p.name not in RESULTS
        ]
        return stringify_signature(inspect.Signature(written), unqualified_typehints=True), returns
    return None


def parameter_lines(line: str, parameters: set[str]) -> tuple[str, list[tuple[list[str], str]]] | None:
    """`timeout: seconds. name, desc: text.` taken apart: what is before, and pairs of names and text."""
    if not parameters:
        return None
    one = "|".join(map(re.escape, sorted(parameters, key=len, reverse=True)))
    parts = re.split(rf"(?:^|(?<=[.;:] ))((?:{one})(?:, (?:{one}))*): ", line)
    if len(parts) == 1:
        return None
    described = [(parts[i].split(", "), parts[i + 1].strip()) for i in range(1, len(parts), 2)]
    return parts[0].strip(), described


def parameters_of(obj: Any) -> set[str]:
    try:
        return set(inspect.signature(obj).parameters) - {"self"}
    except (TypeError, ValueError):
        return set()


def inherited_from_elsewhere(obj: Any, lines: list[str]) -> bool:
    """A docstring that an enum or a tuple brings along, and that says nothing of ours."""
    return lines[0].startswith(("An enumeration.", "Enum where members are also", "Alias for field number"))


def quoted(line: str) -> str:
    def link(match: re.Match[str]) -> str:
        text = match[1]
        target = PUBLIC.get(text.removesuffix("()"))
        return f":py:obj:`{text} <{target}>`" if target else f"``{text}``"

    return ERROR.sub(r":py:obj:`\1 <cogwork.\1>`", QUOTED.sub(link, line))


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Node) -> nodes.Node | None:
    """`cogwork._model.Labor`, as hints name it where it is defined, is `cogwork.Labor` to a reader."""
    target = node.get("reftarget", "")
    public = PUBLIC.get(target.rpartition(".")[2])
    if node.get("refdomain") != "py" or not public or target == public or "refdoc" not in node:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, shown)


def shorten_contents(app: Sphinx, domain: str, kind: str, content: Element) -> None:
    """Fields and properties are too many for the list of what is on a page; classes and methods are listed."""
    if kind in ("attribute", "property"):
        for signature in content.parent.findall(desc_signature):
            signature["_toc_name"] = ""


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", render)
    app.connect("autodoc-process-signature", sign)
    app.connect("missing-reference", resolve)
    app.connect("object-description-transform", shorten_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
