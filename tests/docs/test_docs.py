"""The docs do what they say: page by page, in a process and a folder of its own, every Python block and every `console` block runs.

- The Python blocks of a page are one script, from top to bottom. One whose first line is `# rollout.py` is that file besides.
- A `text` block behind a Python block is what the page prints; below a `$ command` in a `console` block is what the command prints. Ids and
  durations may differ, and `...` stands for whatever there is.
- What waits for whole seconds, so that a person can follow, waits for a hundredth of that.
- A block below `<!-- not run -->` is a fragment.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

import cogwork

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NOT_RUN = "<!-- not run -->"


class Block(NamedTuple):
    language: str
    line: int
    """Of its first line, in the page, from 0."""
    lines: list[str]
    kept: bool
    """Not marked as a fragment."""


def blocks_of(page: str) -> list[Block]:
    blocks: list[Block] = []
    fence = ""  # what ends the block that we are in
    before = ""
    for number, line in enumerate(page.splitlines()):
        opening = re.match(r"\s*(`{3,})(\w*)", line)
        if not fence and opening:
            fence = opening[1]
            blocks.append(Block(opening[2], number + 1, [], before.strip() != NOT_RUN))
        elif fence and line.strip() == fence:
            fence = ""
        elif fence:
            blocks[-1].lines.append(line)
        if line.strip():
            before = line
    assert not fence, "a block is not closed"
    return blocks


def script_of(page: str) -> str:
    """The Python blocks of a page as one script, each on the lines that it has in the page, so that a traceback names them."""
    script = [""] * len(page.splitlines())
    for block in blocks_of(page):
        if block.language == "python" and block.kept:
            script[block.line : block.line + len(block.lines)] = block.lines
    return hurried("\n".join(script))


def hurried(script: str) -> str:
    return re.sub(r"\btime\.sleep\((\d+)\)", r"time.sleep(\1 / 100)", script)


def files_of(page: str) -> dict[str, str]:
    """The files that a page tells its reader to write."""
    files = {}
    for block in blocks_of(page):
        if block.language == "python" and block.lines and (named := re.fullmatch(r"# (\w+\.py)", block.lines[0])):
            files[named[1]] = hurried("\n".join(block.lines) + "\n")
    return files


def printed_by(page: str) -> list[str]:
    """What a page says that its Python blocks print."""
    pairs = itertools.pairwise(blocks_of(page))
    return [
        "\n".join(b.lines) for a, b in pairs if a.language == "python" and a.kept and b.language == "text" and b.kept
    ]


def commands_of(page: str) -> list[tuple[str, str]]:
    """The commands of the `console` blocks, each with what it prints."""
    commands: list[tuple[str, list[str]]] = []
    for block in blocks_of(page):
        if block.language == "console" and block.kept:
            for line in block.lines:
                if line.startswith("$ "):
                    commands.append((line[2:], []))
                else:
                    commands[-1][1].append(line)
    return [(command, "\n".join(shown)) for command, shown in commands]


def shows(printed: str, shown: str) -> bool:
    """Whether this was printed, ids and durations aside."""

    def settled(text: str) -> str:
        text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID", text)
        text = re.sub(r"\b\d+(\.\d+)? (ms|s|min)\b", "TIME", text)
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    pattern = ".*".join(re.escape(part) for part in settled(shown).split("..."))
    return re.search(pattern, settled(printed), re.DOTALL) is not None


def environment() -> dict[str, str]:
    """For a process in another folder: this interpreter, and the cogwork that is tested."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    package = pathlib.Path(cogwork.__file__).parents[1]
    return {**os.environ, "PATH": path, "PYTHONPATH": str(package), "COLUMNS": "120"}


def run(command: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def name_of(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: pathlib.Path) -> str:
    return page.read_text(encoding="utf-8")


def test_what_is_run() -> None:
    text = f"a\n```python\nx = 1\n```\n{NOT_RUN}\n```python\nx = ...\n```\n```sh\nls\n```\n```python\ny = x\n```\n"
    assert [line for line in script_of(text).splitlines() if line] == ["x = 1", "y = x"]
    assert script_of(text).splitlines()[2] == "x = 1"
    assert hurried("time.sleep(2); time.sleep(0.5)") == "time.sleep(2 / 100); time.sleep(0.5)"
    assert files_of("```python\n# a.py\nx = 1\n```\n```python\n# b\n```\n") == {"a.py": "# a.py\nx = 1\n"}
    assert printed_by("```python\nx\n```\nso:\n```text\n1\n```\n```text\n2\n```\n") == ["1"]
    assert commands_of("```console\n$ ls\na\nb\n$ pwd\n```\n") == [("ls", "a\nb"), ("pwd", "")]
    assert shows("took 12 ms, 3 left\nend", "took 1.5 s, 3 left")
    assert shows("a\nb\nc", "a\n...\nc")
    assert not shows("took 12 ms, 4 left", "took 12 ms, 3 left")


@pytest.mark.parametrize("page", [p for p in PAGES if script_of(text_of(p)).strip()], ids=name_of)
def test_python_blocks_run(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = text_of(page)
    file = tmp_path / f"{page.stem.replace('-', '_')}.py"
    file.write_text(script_of(text) + "\n", encoding="utf-8")
    done = run([sys.executable, "-W", "error", file.name], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in printed_by(text):
        assert shows(done.stdout, shown), f"the page shows\n{shown}\nand this is printed:\n{done.stdout}"


@pytest.mark.parametrize("page", [p for p in PAGES if commands_of(text_of(p))], ids=name_of)
def test_console_blocks_run(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = text_of(page)
    tmp_path.joinpath("examples").symlink_to(ROOT / "examples")
    for name, content in files_of(text).items():
        tmp_path.joinpath(name).write_text(content, encoding="utf-8")
    for command, shown in commands_of(text):
        done = run(["bash", "-c", command], tmp_path)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        assert shows(done.stdout + done.stderr, shown), f"$ {command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```", "", text_of(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} in {page.name}"
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", text_of(file))
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target} in {page.name}"


def test_every_example_is_on_its_page() -> None:
    page = text_of(ROOT / "docs" / "examples.md")
    for example in (ROOT / "examples").glob("[0-9]*.py"):
        assert f"[examples/{example.name}](../examples/{example.name})" in page
    assert "docs/examples.md" in text_of(ROOT / "README.md")
