"""What an error says in one line, of exceptions as Python and its libraries make them: the type, and the first line of the message."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable

import pytest
from conftest import one

import cogwork as cw
from cogwork._text import first_line

NETMIKO = """TCP connection to device failed.

Common causes of this problem are:
1. Incorrect hostname or IP address.

Device settings: cisco_ios 10.0.0.1:22

"""


def chained() -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise OSError("outer\nmore") from error


def in_the_handling() -> None:
    try:
        raise KeyError("inner")
    except KeyError:
        raise OSError("outer\nmore")  # noqa: B904


def noted() -> None:
    error = ValueError("disk full")
    if hasattr(error, "add_note"):
        error.add_note("see https://wiki/x")
    raise error


def called() -> None:
    subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)


def remote() -> None:
    raise RuntimeError("edge-1 said:\nTraceback (most recent call last):\n  File 'x'\nKeyError: 1")


class Odd(Exception):
    def __str__(self) -> str:
        return "\n\n  two blank lines before"


def fails(error: BaseException) -> Callable[[], None]:
    def cog() -> None:
        raise error

    return cog


SAID = [
    (fails(RuntimeError("commit failed: lock held by admin\n  interface ge-0/0/0\n}")), "RuntimeError: commit failed: lock held by admin"),
    (fails(RuntimeError(NETMIKO)), "RuntimeError: TCP connection to device failed."),
    (fails(RuntimeError("+----+\n| a  |\n+----+")), "RuntimeError: +----+"),
    (fails(Odd()), "Odd: two blank lines before"),
    (fails(ValueError()), "ValueError"),
    (fails(SystemExit(3)), "SystemExit: 3"),
    (fails(ConnectionRefusedError(111, "Connection refused")), "ConnectionRefusedError: [Errno 111] Connection refused"),
    (fails(ValueError("\x1b[2Jred")), r"ValueError: \x1b[2Jred"),
    (lambda: compile("def f(:\n  pass", "dev.py", "exec"), "SyntaxError: invalid syntax"),
    (chained, "OSError: outer"),
    (in_the_handling, "OSError: outer"),
    (noted, "ValueError: disk full"),
    (called, "CalledProcessError: Command '["),
    (remote, "RuntimeError: edge-1 said:"),
]  # fmt: skip


@pytest.mark.parametrize(("fails", "said"), SAID, ids=range(len(SAID)))
def test_of_a_traceback_type_and_first_line(fails, said):
    try:
        fails()
    except BaseException:
        text = traceback.format_exc()
    assert first_line(text).startswith(said)
    assert first_line(text.strip()).startswith(said)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no exception groups")
@pytest.mark.parametrize("count", [1, 2, 40])
def test_of_a_group_its_first_leaf_and_how_many(count):
    async def refuse(n: int) -> None:
        try:
            raise KeyError(n)
        except KeyError as error:
            raise ConnectionError(f"port {n} refused\nafter 3 tries") from error

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(count):
                group.create_task(refuse(n))

    try:
        asyncio.run(all_of_them())
    except BaseException:
        text = traceback.format_exc()
    assert first_line(text) == "ConnectionError: port 0 refused" + (f" (first of {count})" if count > 1 else "")
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [OSError("a"), OSError("b")]), ValueError("c")])  # noqa: F821
    assert first_line("".join(traceback.format_exception(nested))) == "OSError: a (first of 3)"
    later = RuntimeError("later")
    later.__cause__ = nested
    assert first_line("".join(traceback.format_exception(later))) == "RuntimeError: later"


def test_of_other_texts_the_first_line():
    assert first_line("") == ""
    assert first_line("\n timed out after 5 s \nmore") == "timed out after 5 s"
    assert first_line("a.b: c\n}") == "a.b: c"


def test_every_display_says_the_same(tmp_path, make_cog, capsys):
    def commit(host: str) -> None:
        raise RuntimeError("commit failed: lock held by admin\n  interface ge-0/0/0\n}")

    cog = make_cog(commit)
    with cw.Engine(tmp_path / "l.db") as engine:
        handle = engine.submit(one(cog.job("a"), target="edge-1"))
        done = handle.watch()
        said = [
            capsys.readouterr().out,
            str(done),
            str(done.failures()[0]),
            done._repr_html_(),
            done["task"]._repr_html_(),
        ]
        said += [handle.progress().losses[0].error, handle.progress()._repr_html_()]
    for text in said:
        assert "RuntimeError: commit failed: lock held by admin" in text
        assert "ge-0/0/0" not in text


def test_a_cut_error_still_says_what_happened(tmp_path, make_cog):
    def shout() -> None:
        raise RuntimeError("disk full\n" + "x" * 5000)

    cog = make_cog(shout)
    with cw.Engine(tmp_path / "l.db", max_output=1000) as engine:
        done = engine.run(one(cog.job()))
    attempt = done["task"]["host"][0].attempts[0]
    assert len(attempt.error) <= 1100
    assert first_line(attempt.error) == "RuntimeError: disk full"
    assert attempt.error.endswith("x"), textwrap.shorten(attempt.error, 200)
