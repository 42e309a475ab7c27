"""`process_cog`: how a process Cog is named to an engine (C1, C2)."""

from __future__ import annotations

import pathlib
from datetime import timedelta

import pytest

import cogwork as cw
from cogwork import _process


@pytest.fixture(autouse=True)
def programs(tmp_path, monkeypatch):
    """Files to name, and a registry that is empty."""
    monkeypatch.setattr(_process, "options", {})
    monkeypatch.chdir(tmp_path)
    for name, mode in (("edge", 0o755), ("core", 0o755), ("notes.txt", 0o644), ("routers.py", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir()


def test_its_jobs_name_it_by_its_path():
    drain = cw.process_cog("./edge:drain", timeout=timedelta(minutes=1), on_interrupt="RETRY", processes=2)
    assert drain.name == drain.program == "./edge:drain"
    assert drain.job(host="e1", self=2) == cw.Job("./edge:drain", {"host": "e1", "self": 2})
    assert repr(drain) == "<process cog './edge:drain'>"
    made = _process.options["./edge:drain"]
    assert made.program == ("./edge", "drain")
    assert (made.processes, made.timeout, made.on_interrupt) == (
        2,
        60,
        list(cw.OnInterrupt).index(cw.OnInterrupt.RETRY),
    )
    assert (made.concurrency, made.retries, made.idempotent) == (None, None, None), "its program says"


def test_its_jobs_name_it_by_a_name_of_its_own(tmp_path):
    drain = cw.process_cog(f"{tmp_path}/edge", name="edge-drain")
    assert drain.job().cog_path == "edge-drain"
    assert repr(drain) == f"<process cog 'edge-drain' of {tmp_path}/edge>"
    assert list(_process.options) == ["edge-drain"]


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("./edge", ("./edge", "")),
        ("python:routers.edge:drain", ("python:routers.edge", "drain")),
        ("python:routers", ("python:routers", "")),
        ("python:./routers.py:drain", ("python:./routers.py", "drain")),
        ("python:routers.py", ("python:routers.py", "")),
    ],
)
def test_what_a_program_is(text, program):
    cw.process_cog(text)
    assert _process.options[text].program == program


def test_a_path_is_a_program_too(tmp_path):
    assert cw.process_cog(pathlib.Path("./edge")).program == "./edge"
    assert cw.process_cog(tmp_path / "edge").program == f"{tmp_path}/edge"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("", "a program is the path of an executable, as text, not ''"),
        (None, "a program is the path of an executable, as text, not None"),
        (" ./edge", "a program is the path of an executable"),
        ("./ed\0ge", "a program is the path of an executable"),
        ("edge", r"'edge' is no path of a program; one has a '/', ./edge, or begins with python:"),
        ("./", "'./' names no file"),
        ("python:", "'python:' names no module"),
        ("python::drain", "names no module"),
        ("./edge:", "behind the ':' stands the name of a Cog"),
        ("./edge:two words", "behind the ':' stands the name of a Cog"),
        ("./egde", r"./egde cannot be run: No such file or directory \(from /"),
        ("/not/there", "/not/there cannot be run: No such file or directory$"),
        ("./folder", "./folder cannot be run: it is no file"),
        ("./notes.txt", r"./notes.txt is not executable; chmod \+x ./notes.txt makes it so"),
        ("python:no-module:drain", "'no-module' is no module's name"),
        ("python:not_there.py:drain", "not_there.py cannot be run: No such file"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(program, said):
    with pytest.raises(cw.CogError, match=said):
        cw.process_cog(program)
    assert _process.options == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": ""}, "a Cog's name must be text that is not empty, is ''"),
        ({"name": 3}, "a Cog's name must be text"),
        ({"processes": 0}, "cog './edge': processes must be a whole number from 1 to 10000, is 0"),
        ({"processes": True}, "processes must be a whole number"),
        ({"concurrency": 10_001}, "concurrency must be a whole number from 1 to 10000, is 10001"),
        ({"timeout": 0}, "timeout must be longer than 0"),
        ({"retries": 1.5}, "retries must be a whole number of 0 or more"),
        ({"retry_backoff": 0.5}, "retry_backoff must be a number of 1 or more"),
        ({"retry_delay": "long"}, "retry_delay: expected seconds or a timedelta"),
        ({"on_interrupt": "WAIT"}, "on_interrupt is RETRY, FAIL or HOLD, not 'WAIT'"),
        ({"idempotent": "yes"}, "idempotent is True or False, not 'yes'"),
    ],
)
def test_options_that_will_not_do(options, said):
    with pytest.raises(cw.CogError, match=said):
        cw.process_cog("./edge", **options)
    assert _process.options == {}


def test_c1_a_name_is_one_cogs(make_cog):
    cw.process_cog("./edge", name="edge-drain", retries=1)
    cw.process_cog("./edge", name="edge-drain", retries=2)
    assert _process.options["edge-drain"].retries == 2, "a notebook cell that is run twice"
    with pytest.raises(
        cw.CogError, match=r"./core cannot be registered as 'edge-drain': that is <process cog 'edge-drain' of ./edge>"
    ):
        cw.process_cog("./core", name="edge-drain")
    with pytest.raises(cw.CogError, match=r"of \./edge>; give it another name$"):
        cw.process_cog("./edge:drain", name="edge-drain")
    assert _process.options["edge-drain"].retries == 2
    plain = make_cog(_plain)
    with pytest.raises(cw.CogError, match=f"that is <cog '{plain.name}' of"):
        cw.process_cog("./core", name=plain.name)
    with pytest.raises(cw.CogError, match="that is <Cog 'command' of cogwork>"):
        cw.process_cog("./core", name="command")
    with pytest.raises(
        cw.CogError,
        match=r"'edge-drain' is taken by the process cog of ./edge; \S+:_plain needs a name of its own: @cog\(name=...\)",
    ):
        cw.cog(name="edge-drain")(_plain)


def _plain() -> None: ...
