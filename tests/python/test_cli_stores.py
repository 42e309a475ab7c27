"""Every command on every kind of store: a status, one message, and never a traceback."""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from cli_support import PACKAGE, PATIENCE, Shell, shell, write_script
from typer.testing import CliRunner

import cogwork as cw
from cogwork.cli import app

READING = {
    "ls": ["ls"], "ls --json": ["ls", "--json"], "show": ["show", "last"], "show --json": ["show", "last", "--json"], "show --at": ["show", "last", "--at", "1"],
    "watch": ["watch", "last"], "watch --json": ["watch", "last", "--json"], "logs": ["logs", "last"], "history": ["history", "last"], "doctor": ["doctor"],
    "crisis status": ["crisis", "status"],
}  # fmt: skip
STEERING = {
    "start": ["start", "last"], "pause": ["pause", "last"], "resume": ["resume", "last"], "stop": ["stop", "last"], "decide": ["decide", "last", "rerun"],
    "decide --all": ["decide", "last", "--all", "rerun"], "crisis pause": ["crisis", "pause", "--all"], "crisis resume": ["crisis", "resume", "--all"],
}  # fmt: skip
RUNNING = {
    "run": ["run", "rollout.py"],
    "run --resume": ["run", "--resume", "last"],
    "submit": ["submit", "rollout.py"],
}
ALL = {**READING, **STEERING, **RUNNING}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    write_script(tmp_path)
    yield tmp_path
    sys.modules.pop("rollout", None)


def with_db(words: list[str], db: str) -> list[str]:
    return [*words, db] if words[0] == "doctor" else [*words, "--db", db]


def call(words: list[str], db: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, with_db(words, db), prog_name="cogwork")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def good() -> None:
    code, _, said = call(["run", "rollout.py"], "good.db")
    assert code == 0, said


# ---- what is no store ----


def _nothing(path: pathlib.Path) -> None: ...


def _other(path: pathlib.Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE x(a)")


def _newer(path: pathlib.Path) -> None:
    good()
    shutil.copy("good.db", path)
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 999")


NO_STORES = {
    "no file": (
        _nothing,
        "there is no store x.db; --db PATH names another one|there is no such file|no engine runs on x.db that could take it",
    ),
    "empty file": (pathlib.Path.touch, "the file is empty; an engine that opens it makes it a store"),
    "another database": (_other, "it is an SQLite database of another program; give another file"),
    "text": (lambda path: path.write_text("no store\n" * 100), "the file is not an SQLite database"),
    "folder": (pathlib.Path.mkdir, "it is a folder; give a file in it"),
    "newer": (_newer, "its tables are of version 999.*use the newer cogwork that wrote it"),
    "link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("words", ALL.values(), ids=ALL)
@pytest.mark.parametrize("kind", NO_STORES)
def test_what_is_no_store(kind, words):
    make, said = NO_STORES[kind]
    make(pathlib.Path("x.db"))
    code, text, told = call(words, "x.db")
    if words == ["run", "rollout.py"] and kind in ("no file", "empty file"):
        assert code == 0, "it makes one"
        return
    assert (code, text) == (2, "")
    assert re.search(said, told), told
    assert kind != "no file" or not pathlib.Path("x.db").exists(), "nothing is made"


@pytest.mark.parametrize("words", ALL.values(), ids=ALL)
def test_a_file_in_what_is_no_folder(words):
    pathlib.Path("file").touch()
    code, text, told = call(words, "file/x.db")
    assert (code, text) == (2, "")
    assert re.search("file is not a folder|Not a directory", told), told


# ---- no permission ----


def without_root() -> None:
    """In a child: files are as closed to root as to anybody."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.parametrize(
    "words",
    [*READING.values(), ["pause", "last"], ["run", "rollout.py"], ["submit", "rollout.py"]],
    ids=lambda words: " ".join(words),
)
def test_no_permission(folder, words):
    good()
    shutil.copy("good.db", "closed.db")
    os.chmod("closed.db", 0)
    ran = subprocess.run(
        [sys.executable, "-m", "cogwork", *with_db(words, "closed.db")], capture_output=True, text=True, timeout=PATIENCE, preexec_fn=without_root,
        env={**os.environ, "PYTHONPATH": PACKAGE}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.search("closed.db.*[Pp]ermission", ran.stderr), ran.stderr
    assert "Traceback" not in ran.stderr


# ---- a store with nobody at it, or somebody ----


def parsed(text: str) -> None:
    """Each line is JSON."""
    for line in text.splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(f"no JSON: {constant}"))


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_reading_without_an_engine_and_beside_one(words):
    good()
    before = call(words, "good.db")
    assert before[0] == 0, before
    if "--json" in words:
        parsed(before[1])
    with cw.Engine("good.db"):
        beside = call(words, "good.db")
    assert beside[0] == 0
    if words != ["doctor"]:  # it says that an engine is there
        assert beside[1] == before[1]


@pytest.mark.parametrize("words", STEERING.values(), ids=STEERING)
@pytest.mark.parametrize("engine", [False, True], ids=["alone", "engine"])
def test_steering_what_has_ended(words, engine):
    good()
    expected = (
        2 if words[0] == "decide" else 0 if words[:2] == ["crisis", "pause"] else 2 if words[0] == "crisis" else 1
    )
    if engine:
        with cw.Engine("good.db"):
            code, _, told = call(words, "good.db")
    else:
        code, _, told = call(words, "good.db")
    assert code == expected, told
    assert told.count("cogwork: ") == (expected > 0), told


@pytest.mark.parametrize("words", [["ls"], ["show"], ["watch", "--json"], ["logs"], ["history"], ["crisis", "status"], ["pause", "--timeout", "5s"], ["resume"], ["stop"], ["decide", "rerun"], ["run", "rollout.py"], ["submit", "rollout.py"]], ids=lambda words: " ".join(words))  # fmt: skip
def test_an_engine_that_is_stopped_answers_nobody(folder, words):
    """Readers read; all others are told who does not answer, and what to do, within the time that an answer may take."""
    with Shell(folder, "run", "rollout.py:slow") as run:
        run.wait_for("begun h1")
        os.kill(run.process.pid, signal.SIGSTOP)
        try:
            with Shell(folder, *words) as command:
                code, told = command.end(), command.text
        finally:
            os.kill(run.process.pid, signal.SIGCONT)
    reads = words[0] in ("ls", "show", "history") or words == ["crisis", "status"]
    unheard = 5 if words[0] == "logs" else 2  # what is kept is shown; there may be more
    assert "Traceback" not in told
    assert code == (0 if reads else unheard) or (words[0] == "crisis" and code in (0, 2)), told
    if not reads or words[0] == "show":
        assert str(run.process.pid) in told, told
        assert "decide" not in told, "what executes is nobody's to decide about"


# ---- one damaged Labor among others ----

EDITS = {
    "a Job without attempts": "UPDATE jobs SET attempts = NULL WHERE state = 3",
    "a Job without a Sequence": "UPDATE jobs SET sequence = NULL WHERE state = 3",
    "no Tasks": "DELETE FROM tasks WHERE labor = (SELECT key FROM labors WHERE state = 3)",
    "a state that is none": "UPDATE labors SET state = 77 WHERE state = 3",
    "a count beyond all": "UPDATE labors SET tasks = 4294967295 WHERE state = 3",
    "a time beyond all": "UPDATE labors SET submitted = 9223372036854775807 WHERE state = 3",
    "attempts that are no msgpack": "UPDATE jobs SET attempts = x'c1c1c1' WHERE state = 3",
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> pathlib.Path:
    """A store with a Labor that completed, and one that was running when its engine was killed."""
    folder = tmp_path_factory.mktemp("damaged")
    write_script(folder)
    assert shell(folder, "run", "rollout.py")[0] == 0
    with Shell(folder, "run", "rollout.py:slow") as run:
        run.wait_for("begun h1")
        run.kill()
    with sqlite3.connect(folder / "cogwork.db") as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / "cogwork.db"


@pytest.mark.parametrize(
    "words", [*ALL.values(), ["run", "rollout.py", "--resume", "last"]], ids=lambda words: " ".join(words)
)
@pytest.mark.parametrize("edit", EDITS)
def test_one_damaged_labor(damaged, edit, words):
    shutil.copy(damaged, "x.db")
    with sqlite3.connect("x.db") as store:
        try:
            store.execute(EDITS[edit])
        except sqlite3.Error as error:  # the tables themselves refuse it
            pytest.skip(str(error))
        store.commit()
    if words[:2] == ["run", "--resume"] or "--resume" in words:
        words = [*words]
    code, text, told = call(words, "x.db")
    assert code in (0, 1, 2, 5), told
    assert "fault of cogwork's own" not in told, told
    if "--json" in words:
        parsed(text)
    if words == ["run", "rollout.py"]:
        assert code == 0, f"the others go on: {told}"
