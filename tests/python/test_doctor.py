"""`cogwork doctor`: a store's file from its pages to the history of each Labor, and files that are none."""

from __future__ import annotations

import json
import os
import pathlib
import sqlite3
import subprocess
import sys

import pytest

import cogwork as cw

PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)


@cw.cog(idempotent=True)
def visit(host: str) -> str:
    return host


def labor(name: str = "edge", hosts: int = 20, **more) -> cw.Labor:
    steps = [cw.Sequence(f"h{n}", jobs=[visit.job(host=f"h{n}")]) for n in range(hosts)]
    return cw.Labor(name, tasks=[cw.Task("all", concurrency=4, sequences=steps)], **more)


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    """A file that a process left behind which is gone: nothing of it is in a log."""
    file = tmp_path / "labors.db"
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    subprocess.run([sys.executable, "-W", "ignore", __file__, str(file)], env=env, check=True, timeout=60)
    return file


def write_store(file: str) -> None:
    with cw.Engine(file) as engine:
        engine.run(labor(client_id="CHG-1", tags=["edge"]))
        engine.submit(labor("waits"), start=False)


def shell(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cogwork", "doctor", *map(str, args)]
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


def edit(path: pathlib.Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def findings(path: pathlib.Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in cw.doctor(path).findings:
        assert finding.remedy, finding
        found.setdefault(finding.kind, []).append(finding.what)
    return found


def bytes_in(folder: pathlib.Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_sound_file(path):
    before = bytes_in(path.parent)
    checkup = cw.doctor(path)
    assert checkup.fine
    assert checkup.findings == []
    assert checkup.engine is None
    assert (checkup.version, checkup.labors, checkup.log_bytes) == (2, 2, 0)
    assert checkup.bytes == path.stat().st_size
    assert checkup.changes == cw.open_store(path).last_change()
    assert bytes_in(path.parent) == before, "it changes nothing, and makes no file"

    said = shell(path)
    assert said.returncode == 0, said
    assert "sound" in said.stdout, said
    assert "2 Labors" in said.stdout, said
    told = json.loads(shell(path, "--json").stdout)
    assert told["fine"] is True
    assert told["findings"] == []
    assert told["labors"] == 2


def test_while_an_engine_works_on_it(tmp_path):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        handle = engine.submit(labor(hosts=2000))
        looked = 0
        while not handle.state.ended:
            checkup = cw.doctor(path)
            assert checkup.findings == []
            assert checkup.engine is not None
            assert checkup.engine.pid == os.getpid()
            looked += 1
        handle.wait()
        assert looked > 0
        said = shell(path)
        assert said.returncode == 0, said
        assert f"process {os.getpid()}" in said.stdout, said


def test_after_an_engine_died(path):
    script = (
        "import os, sys, cogwork as cw\n"
        "@cw.cog\ndef gone(): os._exit(3)\n"
        "labor = cw.Labor('dies', tasks=[cw.Task('t', sequences=[cw.Sequence('s', jobs=[gone.job()])])])\n"
        "cw.Engine(sys.argv[1]).run(labor)\n"
    )
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    assert subprocess.run([sys.executable, "-c", script, str(path)], env=env, timeout=60).returncode == 3
    checkup = cw.doctor(path)
    assert checkup.findings == []
    assert checkup.log_bytes > 0
    assert checkup.labors == 3
    assert "no engine works on it" in shell(path).stdout


@pytest.mark.parametrize(
    ("statement", "kind", "words"),
    [
        ("DELETE FROM jobs WHERE key % 4294967296 = 5", "tree", "rows of it are missing"),
        ("UPDATE jobs SET key = key + 9 * 4294967296 WHERE key = (SELECT max(key) FROM jobs)", "file", "1 rows of Jobs belong to no Labor"),
        ("INSERT INTO labor_tags VALUES('x', 77)", "file", "1 tags belong to no Labor"),
        ("INSERT INTO labor_targets VALUES('x', 77)", "file", "1 targets belong to no Labor"),
        ("INSERT INTO args VALUES(77, x'80')", "file", "1 rows of args belong to no Job"),
        ("INSERT INTO history VALUES(900, 77, 0, 1, NULL, zeroblob(16))", "file", "1 rows of the history belong to no Labor"),
        ("UPDATE records SET value = zeroblob(40) WHERE kind = 3", "record", "client_id 'CHG-1' belongs to the Labor 00000000"),
        ("UPDATE records SET value = x'01' WHERE kind = 3", "record", "client_id 'CHG-1' is damaged"),
        ("INSERT INTO records VALUES(1, 'k', x'c1')", "record", "stored signal k cannot be read"),
        ("UPDATE history SET at = 7 WHERE first = 1", "chain", "was changed"),
        ("UPDATE sequences SET state = 3 WHERE target = 'h3' AND key < 2 * 4294967296", "tree", "breaks the rule M2: Sequence 3 (RUNNING)"),
        ("UPDATE tasks SET failures = 3 WHERE key = 4294967297", "history", "Task 'all' has other counts"),
        ("UPDATE labors SET state = 77 WHERE key = 1", "tree", "a row holds the number 77"),
        ("DELETE FROM history WHERE first = (SELECT max(first) FROM history WHERE labor = 1)", "history", "by the end of the history"),
    ],
)  # fmt: skip
def test_what_was_done_to_a_file_is_named(path, statement, kind, words):
    edit(path, "PRAGMA foreign_keys = OFF", statement)
    found = findings(path)
    assert any(words in what for what in found.get(kind, [])), found
    said = shell(path)
    assert said.returncode == 1, said
    printed = " ".join(said.stdout.split())
    assert "problem" in printed, printed
    assert "to do" in printed, printed
    assert words[:20] in printed, printed


def test_what_is_wrong_as_json(path):
    edit(path, "UPDATE history SET at = 7 WHERE first = 1")
    said = shell(path, "--json")
    assert said.returncode == 1
    told = json.loads(said.stdout)
    assert told["fine"] is False
    (found,) = told["findings"]
    assert (found["kind"], found["number"], found["labor"]) == ("chain", 1, "edge")


def test_a_truncated_file(path):
    size = path.stat().st_size
    for keep in (size - 4096, size // 2 // 4096 * 4096, 8192, 50):
        os.truncate(path, keep)
        before = path.read_bytes()
        found = findings(path)
        assert any("damaged" in what for what in found["file"]), found
        said = shell(path)
        assert said.returncode == 1, said
        assert "damaged" in said.stdout, said
        assert "restore a copy" in said.stdout, said
        assert path.read_bytes() == before


def test_damaged_pages(path):
    with path.open("r+b") as file:
        for page in range(3, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 2048)
    found = findings(path)
    assert found["file"], found
    assert shell(path).returncode == 1


def nothing(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def zero_bytes(path):
    os.truncate(path, 0)


def no_database(path):
    path.write_text("a list of hosts\n" * 100)


def another_programs(path):
    path.unlink()
    edit(path, "CREATE TABLE t(x)")


def newer(path):
    edit(path, "PRAGMA user_version = 73")


def no_permission(path):
    path.chmod(0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nothing, "no such file"),
        (folder, "it is a folder"),
        (zero_bytes, "the file is empty"),
        (no_database, "not an SQLite database"),
        (another_programs, "another program"),
        (newer, "use the newer cogwork"),
        (no_permission, "may not read"),
    ],
)
def test_what_is_no_store_is_said_clearly(path, make, words):
    if make is no_permission and os.geteuid() == 0:
        pytest.skip("root may read everything")
    make(path)
    with pytest.raises(cw.StorageError, match=words):
        cw.doctor(path)
    said = shell(path)
    assert said.returncode == 2, said
    assert words in said.stderr, said
    assert "Traceback" not in said.stderr, said
    assert said.stdout == ""


def test_what_is_no_file_at_all():
    with pytest.raises(cw.StorageError, match="is no file"):
        cw.doctor("memory:")
    assert shell("memory:").returncode == 2


if __name__ == "__main__":
    write_store(sys.argv[1])
