"""The shell in terminals of every kind: tiny and huge, dumb, without colours, without UTF-8; names of every kind are shown as text."""

from __future__ import annotations

import re

import pytest
from cli_support import Shell, only_labor, shell, write_script

import cogwork as cw

NAMES = [
    "x" * 200,
    "縦長の名前" * 10,
    "😀 👩‍👩‍👧 🇩🇪",
    "\x1b[2J\x1b[31mred\x07",
    "[bold red]b[/] :smile:",
    "\u202eltr",
    "a\nb\r\tc",
    "e\u0301",
]
SCRIPT = f"""
import cogwork as cw
@cw.cog
def odd(ctx: cw.Context, n: int) -> None:
    ctx.log({NAMES[3]!r})
    ctx.progress(0.5, {NAMES[1]!r})
    print({NAMES[1]!r})
    if n == 3:
        raise RuntimeError({NAMES[3]!r} + {NAMES[1]!r})
names = {NAMES!r}
labor = cw.Labor(names[0], tasks=[
    cw.Task(name, tolerated_failures=1, concurrency=4, sequences=[cw.Sequence(t, jobs=[odd.job(n).replace(name=t)]) for n, t in enumerate(names)])
    for name in names[1:4]])
"""
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("size", [(1, 1), (20, 2), (40, 8), (80, 24), (110, 30), (250, 60)], ids=str)
@pytest.mark.parametrize(
    "env", [{}, ASCII, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["utf-8", "ascii", "no colour", "dumb"]
)
def test_a_screen_of_any_kind_shows_a_labor_to_its_end(tmp_path, size, env):
    if env and size not in ((20, 2), (80, 24)):
        pytest.skip("two sizes will do")
    write_script(tmp_path, text=SCRIPT)
    with Shell(tmp_path, "run", "rollout.py", terminal=size, **env) as run:
        assert run.end() == 0, run.text
    assert only_labor(tmp_path / "cogwork.db").state == cw.State.COMPLETED
    assert "Traceback" not in run.text
    assert "the display failed" not in run.text
    printed = run.text.replace(NAMES[1], "")  # what the Cog prints is the Cog's
    for char in ("\x07", "\u202e", "\x1b[2J", "\x1b[31mred"):
        assert char not in printed
    if env is ASCII:
        assert printed.isascii()
    if "NO_COLOR" in env:
        assert not re.search("\x1b\\[3[0-7]m", printed)
    if env.get("TERM") == "dumb":
        assert "\x1b" not in printed


@pytest.mark.parametrize("env", [{}, ASCII], ids=["utf-8", "ascii"])
def test_what_was_run_is_looked_at_with_any_encoding(tmp_path, env):
    write_script(tmp_path, text=SCRIPT)
    with Shell(tmp_path, "run", "rollout.py", **env) as run:
        assert run.end() == 0, run.text
    id = only_labor(tmp_path / "cogwork.db").id
    text = run.text.replace(NAMES[1], "")
    for words in (["ls"], ["show", id], ["history", id], ["watch", id], ["logs", id], ["show", f"{id}/{NAMES[2]}"]):
        with Shell(tmp_path, *words, **env) as looks:
            assert looks.end() == 0, looks.text
            text += looks.text
    assert "\\x1b[2J\\x1b[31mred" in text
    for char in ("\x07", "\u202e", "\x1b"):
        assert char not in text
    if env:
        assert text.isascii()
    assert shell(tmp_path, "show", id)[1].count("lost 3") == 1
