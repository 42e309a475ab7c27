"""Public names: each has a docstring that is found in the reference, and the examples in docstrings run."""

from __future__ import annotations

import doctest
import inspect
import pathlib
import re
import sys

import pytest
from test_docs import run

import cogwork as cw
import cogwork.testing

ROOT = pathlib.Path(__file__).parents[2]
PUBLIC = {f"cogwork.{name}": getattr(cw, name) for name in cw.__all__ if name != "__version__"}
PUBLIC |= {f"cogwork.testing.{name}": getattr(cogwork.testing, name) for name in cogwork.testing.__all__}


def members() -> dict[str, object]:
    """Public names, and what their classes define, by how a user calls them."""
    found: dict[str, object] = {"cogwork": cw, **PUBLIC}
    for name, value in PUBLIC.items():
        for owner in reversed(value.__mro__) if inspect.isclass(value) else ():
            if owner.__module__.startswith("cogwork"):
                for member, part in vars(owner).items():
                    if not member.startswith("_") and (inspect.isroutine(part) or isinstance(part, property)):
                        found[f"{name}.{member}"] = part
    return found


MEMBERS = members()
WITH_EXAMPLES = [name for name, value in MEMBERS.items() if ">>>" in (value.__doc__ or "")]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is(name: str) -> None:
    text = PUBLIC[name].__doc__ or ""
    assert text.strip(), f"{name} has no docstring"
    assert not text.startswith(f"{name.rpartition('.')[2]}("), f"{name} has only the docstring that Python made for it"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")}
    where = [stem for stem, page in pages.items() if re.search(rf"(?m)^\.\. auto\w+:: {re.escape(name)}(\(|$)", page)]
    assert len(where) == 1, f"{name} belongs on one page of docs/reference, is on {where or 'none'}"


@pytest.mark.parametrize(("name", "page"), [("cogwork.Engine", "engine.md"), ("cogwork.LaborHandle", "handles.md")])
def test_what_is_listed_by_hand_is_complete(name: str, page: str) -> None:
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    listed = re.findall(rf"(?m)^ +\.\. auto\w+:: ({re.escape(name)}\.\w+)$", text)
    assert sorted(listed) == sorted(member for member in MEMBERS if member.startswith(f"{name}."))


def test_the_examples_are_found() -> None:
    wanted = {"cogwork.cog", "cogwork.Labor", "cogwork.Task", "cogwork.Labor.as_new", "cogwork.LaborFilter"}
    assert wanted <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_in_a_docstring_runs(name: str, tmp_path: pathlib.Path) -> None:
    """In a process and a folder of its own: examples register Cogs, and may leave a file."""
    script = tmp_path / "example.py"
    text = inspect.getdoc(MEMBERS[name]) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert example.examples
    script.write_text(
        "import doctest\n"
        "import cogwork as cw\n"
        f"test = doctest.DocTestParser().get_doctest({text!r}, {{'cw': cw, '__name__': 'example'}}, {name!r}, {name!r}, 0)\n"
        "result = doctest.DocTestRunner().run(test)\n"
        "raise SystemExit(result.failed)\n",
        encoding="utf-8",
    )
    done = run([sys.executable, "-W", "error", script.name], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
