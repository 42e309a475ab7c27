"""What users write is clean under mypy's and pyright's strict modes, and wrong calls are errors (tests/typing)."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "typing"


def wrong_lines() -> set[int]:
    return {n for n, line in enumerate((FOLDER / "wrong.py").read_text().splitlines(), 1) if "# WRONG" in line}


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, cwd=FOLDER, check=False).stdout


def mypy(name: str) -> list[tuple[int, str]]:
    out = run(sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", name)
    return [(int(match[1]), match[2]) for match in re.finditer(rf"{name}:(\d+): error: (.*)", out)]


def pyright(name: str) -> list[tuple[int, str]]:
    out = json.loads(run(sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, name))
    errors = [d for d in out["generalDiagnostics"] if d["severity"] == "error"]
    return [(d["range"]["start"]["line"] + 1, d["message"]) for d in errors]


CHECKERS = [
    pytest.param(
        mypy,
        marks=pytest.mark.skipif(
            shutil.which("mypy", path=str(pathlib.Path(sys.executable).parent)) is None, reason="no mypy"
        ),
    ),
    pytest.param(
        pyright,
        marks=pytest.mark.skipif(
            shutil.which("basedpyright", path=str(pathlib.Path(sys.executable).parent)) is None, reason="no pyright"
        ),
    ),
]


@pytest.mark.parametrize("check", CHECKERS)
def test_what_users_write_is_clean(check):
    assert check("right.py") == []


@pytest.mark.parametrize("check", CHECKERS)
def test_wrong_calls_are_errors(check):
    errors = check("wrong.py")
    assert {line for line, _ in errors} == wrong_lines(), errors
