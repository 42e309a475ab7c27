"""Every Python block of the docs runs: page by page, from top to bottom, in a process and a folder of its own."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOT_RUN = "<!-- not run -->"


def script_of(page: str) -> str:
    """The blocks of a page as one script, each on the lines that it has in the page, so that a traceback names them."""
    script = []
    fence = ""  # what ends the block that we are in
    kept = False
    before = ""
    for line in page.splitlines():
        opening = re.match(r"\s*(`{3,})(\w*)", line)
        if not fence and opening:
            fence = opening[1]
            kept = opening[2] == "python" and before.strip() != NOT_RUN
            script.append("")
        elif fence and line.strip() == fence:
            fence = ""
            script.append("")
        else:
            script.append(line if fence and kept else "")
        if line.strip():
            before = line
    assert not fence, "a block is not closed"
    return "\n".join(script)


def test_what_is_run() -> None:
    text = f"a\n```python\nx = 1\n```\n{NOT_RUN}\n```python\nx = ...\n```\n```sh\nls\n```\n```python\ny = x\n```\n"
    assert [line for line in script_of(text).splitlines() if line] == ["x = 1", "y = x"]
    assert script_of(text).splitlines()[2] == "x = 1"


def name_of(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if script_of(p.read_text(encoding="utf-8")).strip()], ids=name_of)
def test_python_blocks_run(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    script = script_of(page.read_text(encoding="utf-8"))
    file = tmp_path / f"{page.stem.replace('-', '_')}.py"
    file.write_text(script + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", file.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} in {page.name}"
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target} in {page.name}"
