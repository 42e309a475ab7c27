"""What is typed for a Labor: nothing, `last`, the beginning of an id, or something that is none."""

from __future__ import annotations

import contextlib
import re

import pytest
from cli_support import write_script
from typer.testing import CliRunner

import cogwork as cw
from cogwork.cli import app

COMMANDS = {
    "show": ["show"],
    "watch": ["watch"],
    "history": ["history"],
    "logs": ["logs"],
    "start": ["start", "--no-wait"],
    "pause": ["pause", "--no-wait"],
    "resume": ["resume", "--no-wait"],
    "stop": ["stop", "--no-wait"],
    "decide": ["decide", "rerun"],
    "decide --all": ["decide", "--all", "rerun"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    write_script(tmp_path)
    return tmp_path


def call(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), prog_name="cogwork")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def labors(*names: str, ended: bool = False) -> list[str]:
    """Such that wait to be started, or that were stopped before."""
    sequences = [cw.Sequence("h", jobs=[cw.command.job(["true"])])]
    left = contextlib.nullcontext() if ended else pytest.warns(cw.CogworkWarning)
    with left, cw.Engine("cogwork.db", recover="none") as engine:
        handles = [
            engine.submit(cw.Labor(name, tasks=[cw.Task("t", sequences=sequences)]), start=False) for name in names
        ]
        for handle in handles if ended else ():
            handle.stop().wait(30)
    return [handle.id for handle in handles]


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_without_an_id_the_only_unfinished_labor_is_meant(words):
    labors("over", ended=True)
    [id] = labors("the one")
    _, _, said = call(*words)
    assert f"the only unfinished Labor is 'the one' {id[:8]}" in said


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_of_several_none_is_taken(words):
    ids = labors("one", "two")
    code, text, said = call(*words)
    assert (code, text) == (2, "")
    assert "several Labors in cogwork.db are unfinished; type the id of one:" in said
    for id in ids:
        assert id in said


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_of_none_the_latest_is_named(words):
    labors("first", ended=True)
    [id] = labors("latest", ended=True)
    code, text, said = call(*words)
    assert (code, text) == (2, "")
    assert f"no Labor in cogwork.db is unfinished; the latest is 'latest' {id[:8]}, STOPPED" in said


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_an_empty_id_is_none(words):
    """`cogwork stop "$ID"`, with nothing in it, must not stop the only one there is."""
    [id] = labors("the one")
    code, _, said = call(words[0], "", *words[1:])
    assert code == 2
    assert "begins with ''" in said
    with cw.open_store("cogwork.db") as store:
        assert store.read_labor(id).state is cw.State.ADMIN_NOT_STARTED
        assert store.records(cw.RecordKind.SIGNAL) == {}


def test_last_is_the_latest_whatever_became_of_it():
    labors("first")
    [id] = labors("latest", ended=True)
    assert id in call("show", "last")[1]
    assert "latest" in call("show", "LAST/t/h")[1]
    code, _, said = call("pause", "last")
    assert (code, "has ended" in said, "as_new" in said) == (1, True, False), "which no shell has"


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_what_is_no_id_is_guessed_at(words):
    [id] = labors("edge upgrade 2.1")
    wrong = ("0" if id[0] != "0" else "1") + id[1:8]
    for typed, said in [
        ("upgrade", f"did you mean 'edge upgrade 2.1' {id[:8]}"),
        (wrong, f"did you mean 'edge upgrade 2.1' {id[:8]}"),
        ("zz", "to list them:\n  cogwork ls"),
        (id[:-1] + "f", f"{id} has no object"),
        ("0" * 36, "no Labor in cogwork.db has an id that begins with"),
    ]:
        code, _, text = call(words[0], typed, *words[1:])
        assert code == 2
        assert said in text, (typed, text)


def test_an_empty_store_has_no_last():
    cw.Engine("cogwork.db").close()
    code, _, said = call("show", "last")
    assert (code, "there is no Labor in cogwork.db yet" in said) == (2, True)
    assert "no Labor in cogwork.db is unfinished" in call("show")[2]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("statsu", "show"), ("status", "show"), ("list", "ls"), ("log", "logs"), ("kill", "stop"), ("rusume", "resume"),
        ("rollout.py", "cogwork run rollout.py"), ("frobnicate", "cogwork --help"),
    ],
)  # fmt: skip
def test_a_command_that_there_is_not_is_guessed_at(typed, meant):
    code, _, said = call(typed)
    assert code == 2
    assert re.search(rf"there is no command '{typed}'.*{meant}", said, re.DOTALL), said


def test_an_option_that_is_meant_as_a_value_is_told_so():
    code, _, said = call("run", "rollout.py", "--hosts=3")
    assert (code, "a value for the function that makes the Labor is typed hosts=VALUE" in said) == (2, True), said
    assert "--workers" in call("run", "rollout.py", "--worker", "3")[2], "that one is near"
    assert "requires an argument" in call("run", "rollout.py", "--db")[2]
    said = call("run", "rollout.py", "--token", "x")[2]
    assert ("typed token=VALUE" in said, "--workers" in said) == (True, False), said


def test_help_names_no_rule():
    for words in [
        [],
        *([name] for name in (command.name or command.callback.__name__ for command in app.registered_commands)),
        ["crisis"],
        *(["crisis", name] for name in ("pause", "resume", "status")),
    ]:
        code, text, _ = call(*words, "--help")
        assert code == 0
        assert not re.search(r"\b[A-Z]\d+[a-c]?\b", text), (words, text)


def test_help_says_it_whole():
    for words in ([], ["crisis"]):
        text = call(*words, "--help")[1]
        assert "..." not in text.partition("Commands:")[2], "each command in a line of its own"
    assert "[LATCH]..." in call("crisis", "resume", "--help")[1].splitlines()[0]
    assert "Releases a `pause --admin`" in call("resume", "--help")[1]
