"""docs/rules.md has every rule that is cited."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NUMBER = re.compile(r"\b[MSXGDRTC]\d{1,2}[a-z]?\b")
RULES = re.findall(r"(?m)^\| (\w+) \|", (ROOT / "docs" / "rules.md").read_text(encoding="utf-8"))
CITING = [
    *(ROOT / "python" / "cogwork").rglob("*.py"),
    *(path for path in (ROOT / "docs").rglob("*.md") if path.name != "rules.md"),
    *(ROOT / "cpp").rglob("*.h"),
]


def test_the_rules_are_numbered_once_and_in_order() -> None:
    def place(rule: str) -> tuple[int, int, str]:
        letter, number, part = re.fullmatch(r"([A-Z])(\d+)([a-z]?)", rule).groups()  # type: ignore[union-attr]
        return "MSXGDRTC".index(letter), int(number), part

    assert sorted(set(RULES), key=place) == RULES
    assert len(RULES) > 50


@pytest.mark.parametrize("path", CITING, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_rule_that_is_cited_is_there(path: pathlib.Path) -> None:
    cited = set(NUMBER.findall(path.read_text(encoding="utf-8")))
    assert cited <= set(RULES), f"docs/rules.md has no {', '.join(sorted(cited - set(RULES)))}"
