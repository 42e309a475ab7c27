"""What is typed behind `run` and `submit`: a FILE that is none, values of every kind, lengths of time, files of values, functions that end the program."""

from __future__ import annotations

import pathlib
import sys
from datetime import timedelta

import pytest
from cli_support import write_script
from typer.testing import CliRunner

from cogwork._lengths import length_of
from cogwork.cli import app

SCRIPT = """
import cogwork as cw
import dataclasses
from datetime import timedelta
from typing import Any

@dataclasses.dataclass
class Site:
    name: str
    count: int = 1

def labor(hosts: list[str] = [], counts: list[int] = [], wait: float = 0, pause: timedelta = timedelta(0), maybe: float | None = None, n: int = 0,
          site: Site | None = None, text: str = "", either: timedelta | str = "") -> cw.Labor:
    print(dict(hosts=hosts, counts=counts, wait=wait, pause=pause, maybe=maybe, n=n, site=site, text=text, either=either))
    raise RuntimeError("seen")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("rollout", "pkg", "pkg.inner"):
        sys.modules.pop(name, None)


def call(*words: str, input: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), prog_name="cogwork", input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def script(text: str, name: str = "rollout.py") -> None:
    pathlib.Path(name).write_text("import os, sys\nimport cogwork as cw\n" + text)


# ---- lengths of time ----


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), ("5m", 300), ("1h30", 5400), ("1h30m", 5400), ("250ms", 0.25), ("2 min", 120), ("1.5h", 5400), ("1h30m15", 5415), ("1d", 86400),
        ("1w", 604800), ("5M", 300), ("0", 0), ("m", None), ("", None), ("-5", None), ("5x", None), ("5m1h", None), ("30 40", None), ("5m5m", None), ("1e3", None),
        ("99999999999d", None), ("nan", None), ("5m!", None),
    ],
)  # fmt: skip
def test_lengths_of_time(text, seconds):
    assert length_of(text) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("typed", "said"), [("5x", "is no length of time; one looks like"), ("-1", "is no length of time")]
)
def test_an_options_length_that_is_none(typed, said):
    write_script(pathlib.Path())
    code, _, text = call("pause", "--timeout", typed)
    assert (code, said in text) == (2, True), text


# ---- values ----


@pytest.mark.parametrize(
    ("word", "seen"),
    [
        ("wait=5m", "'wait': 300.0"), ("wait=1h30", "'wait': 5400.0"), ("wait=250ms", "'wait': 0.25"), ("wait=7", "'wait': 7.0"), ("wait=1e3", "'wait': 1000.0"),
        ("maybe=90s", "'maybe': 90.0"), ("maybe=none", "'maybe': None"), ("pause=5m", "seconds=300"), ("pause=1h30", "seconds=5400"),
        ("text=5m", "'text': '5m'"), ("either=5m", "'either': datetime.timedelta(seconds=300)"), ("either=soon", "'either': 'soon'"),
        ("text=@hosts.txt", "'text': '@hosts.txt'"), ("hosts=@@a,b", "'hosts': ['@a', 'b']"),
        ("hosts=@hosts.txt", "'hosts': ['edge-1', 'edge-2']"), ("hosts=@hosts.json", "'hosts': ['a b', 'c']"), ("counts=@counts.txt", "'counts': [1, 2]"),
        ("site=@site.json", "site': Site(name='fra', count=3)"), ("hosts=@-", "'hosts': ['from', 'stdin']"),
    ],
)  # fmt: skip
def test_values_and_files_of_values(word, seen):
    script(SCRIPT)
    pathlib.Path("hosts.txt").write_text("\ufeffedge-1\n\n# a comment\nedge-2  # in RMA\n")
    pathlib.Path("hosts.json").write_text('["a b", "c"]')
    pathlib.Path("counts.txt").write_text("1\n2\n")
    pathlib.Path("site.json").write_text('{"name": "fra", "count": 3}')
    code, text, said = call("run", "rollout.py", word, input="from\nstdin\n")
    assert seen in text, (text, said)
    assert code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wait=soon"], "rollout.py:labor: wait='soon': expected"),
        (["pause=soon"], "expected a length of time: 30, 90s, 5m"),
        (["n=5m"], "n='5m': expected `int`".replace("`", "")),
        (["hosts=@nothere.txt"], "there is no such file to read: No such file or directory (nothere.txt)"),
        (["hosts=@."], "there is no such file to read: Is a directory"),
        (["hosts=@binary"], "binary holds no text"),
        (["counts=@words.txt"], "counts='@words.txt': expected"),
        (["site=@words.txt"], "site='@words.txt'"),
        (["site={"], "site='{'"),
        (["hosts"], "'hosts' is no key=value for rollout.py:labor, which takes hosts=... counts=..."),
        (["=x"], "'=x' is no key=value"),
        (["hots=a"], "has no parameter 'hots' (it takes hosts, counts"),
        (["n=1", "n=2"], "n is given 2 times; it takes one value"),
    ],
)
def test_values_that_do_not_fit_are_one_message(words, said):
    script(SCRIPT)
    pathlib.Path("binary").write_bytes(b"\xff\xfe\x00")
    pathlib.Path("words.txt").write_text("one two\n")
    code, text, told = call("run", "rollout.py", *words)
    assert (code, text) == (2, "")
    assert said in told, told
    assert "Traceback" not in told
    assert not pathlib.Path("cogwork.db").exists()


def test_what_is_missing_is_named_with_how_it_is_typed():
    script("def labor(version: str, hosts: list[str]) -> cw.Labor: ...")
    assert "needs 'version' and 'hosts': add version=... hosts=..." in call("run", "rollout.py")[2]


# ---- a function that ends the program ----


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def labor(): sys.exit()",
            "rollout.py:labor ended the program instead of returning a Labor; nothing was begun",
        ),
        ("def labor(): sys.exit(0)", "ended the program with 0 instead"),
        (
            "def labor(): raise SystemExit('ROUTER_TOKEN is not set')",
            "ended the program with 'ROUTER_TOKEN is not set'",
        ),
        ("def labor(): sys.exit(3)", "ended the program with 3"),
        ("def labor(): raise GeneratorExit", "rollout.py:labor raised an error"),
        ("import asyncio\ndef labor(): raise asyncio.CancelledError", "raised an error"),
        ("class Own(BaseException): ...\ndef labor(): raise Own('x')", "Own: x"),
        ("sys.exit()", "ended the program while it was imported"),
        ("sys.exit(0)", "ended the program while it was imported (0)"),
        ("raise SystemExit('ROUTER_TOKEN is not set')", "(ROUTER_TOKEN is not set)"),
        ("class Own(BaseException): ...\nraise Own('x')", "Own: x"),
    ],
)
@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_script_that_ends_the_program_is_status_2(command, text, said):
    script(text)
    code, _, told = call(command, "rollout.py")
    assert code == 2
    assert said in told, told
    assert 'rollout.py", line' in told, "its own lines"


# ---- a FILE that is none ----


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("nothere.py", "there is no file nothere.py"),
        ("rolout.py", "did you mean 'rollout.py'"),
        ("rollout", "has no Labor"),
        ("-", "a script is read from a file"),
        (".", "is no module's name, and no file"),
        ("pkg", "pkg has no Labor"),
        ("pkg/", "pkg is a package, which is named as a module: pkg, or one below it; in it there is inner.py"),
        ("plain", "plain is no file but a folder; name the script in it, plain/a.py say"),
        ("plain/", "plain is no file but a folder"),
        ("./plain", "is no file but a folder"),
        ("notes.ipynb", "notes.ipynb is a notebook; what defines the Cogs and the Labor goes into a .py file: jupyter nbconvert --to script notes.ipynb"),
        ("notes.txt", "notes.txt is no Python file; its name would end in .py"),
        ("plan.yaml", "plan.yaml is no Python file"),
        ("no.such.module", "there is no module 'no.such.module'"),
        ("broken.py", "SyntaxError"),
        ("needs.py", "No module named 'paramiko_is_not_here'"),
        ("binary.py", "binary.py cannot be imported"),
        ("unreadable/x.py", "there is no file unreadable/x.py"),
        ("https://example.com/rollout.py", "there is no module 'https'"),
        ("rollout.py:nothing", "has no 'nothing'"),
        ("rollout.py:", "rollout.py has no Labor"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "submit", "serve"])
def test_a_file_that_is_none(command, typed, said):
    script("")
    for folder in ("pkg", "plain"):
        pathlib.Path(folder).mkdir()
    pathlib.Path("pkg/__init__.py").touch()
    pathlib.Path("pkg/inner.py").touch()
    pathlib.Path("plain/a.py").touch()
    pathlib.Path("notes.ipynb").write_text("{}")
    pathlib.Path("notes.txt").write_text("x")
    pathlib.Path("plan.yaml").write_text("x: 1")
    pathlib.Path("broken.py").write_text("def f(:\n")
    pathlib.Path("needs.py").write_text("import paramiko_is_not_here\n")
    pathlib.Path("binary.py").write_bytes(b"\xff\x00")
    if command == "serve" and typed in ("pkg", "rollout.py:nothing", "rollout.py:", "rollout"):
        pytest.skip("it has no Labor to name, and would stay")
    code, _, told = call(command, typed)
    assert code == 2
    assert said in told, told
    assert "Traceback (most recent" not in told
