"""What a Labor was made with: file, arguments, git revision, host, user, version."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import textwrap

import pytest
from cli_support import shell
from conftest import one

import cogwork as cw
from cogwork import _provenance

SCRIPT = """
import cogwork as cw

@cw.cog
def upgrade(host: str, version: str) -> str:
    return f"{host} runs {version}"

def labor(version: str = "2.0", token: str = "") -> cw.Labor:
    return cw.Labor("edge", tasks=[cw.Task("all", sequences=[cw.Sequence("r1", jobs=[upgrade.job("r1", version)])])])

if __name__ == "__main__":
    with cw.Engine("labors.db") as engine:
        engine.run(labor())
"""


def blob(text: str) -> str:
    data = textwrap.dedent(text).encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def only_labor(path) -> cw.Labor:
    with cw.open_store(path) as store:
        (labor,) = store.search()
        return store.read_labor(labor.id)


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rollout.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


def git(folder, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


# ---- where it comes from ----


def test_a_script_says_its_file_and_arguments(script):
    subprocess.run([sys.executable, str(script), "--fast", "two words"], check=True, timeout=60)
    made = only_labor("labors.db").provenance
    assert made["file"] == str(script.resolve())
    assert made["arguments"] == "--fast 'two words'"
    assert made["blob"] == blob(SCRIPT)
    assert made["host"] == socket.gethostname()
    assert made["user"] == getpass.getuser()
    assert made["version"] == cw.__version__


def test_the_shell_says_the_file_that_it_ran_and_not_itself(script):
    status, said = shell(script.parent, "run", "rollout.py:labor", "version=2.1", "--db", "labors.db")
    assert status == 0, said
    made = only_labor("labors.db").provenance
    assert made["file"] == str(script.resolve())
    assert made["arguments"] == "labor version=2.1"


def test_the_shell_keeps_what_a_script_says_itself(script):
    script.with_name("pipeline.py").write_text(
        script.read_text() + "\nmade = labor('2.1')\nmade.provenance = {'pipeline': '#1234'}\n"
    )
    status, said = shell(script.parent, "run", "pipeline.py:made", "--db", "labors.db")
    assert status == 0, said
    assert only_labor("labors.db").provenance == {"pipeline": "#1234"}


def test_secret_values_are_left_out(script):
    status, said = shell(script.parent, "run", "rollout.py", "version=2.1", "token=s3cr3t", "--db", "labors.db")
    assert status == 0, said
    assert only_labor("labors.db").provenance["arguments"] == "version=2.1 'token=***'"
    assert b"s3cr3t" not in script.with_name("labors.db").read_bytes()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--api-key", "x", "y"], ["--api-key", "***", "y"]),
        (["--password=x"], ["--password=***"]),
        (["PASSWD=x", "a=b"], ["PASSWD=***", "a=b"]),
        (["--token", "--other"], ["--token", "--other"]),
        (["secrets.txt"], ["secrets.txt"]),
    ],
)
def test_what_is_hidden(words, shown):
    assert _provenance.hidden(words) == shown


def test_a_process_without_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "import cogwork as cw\n@cw.cog\ndef ok(): pass\nwith cw.Engine('l.db') as e: e.run(cw.Labor('x', tasks=[cw.Task('t', sequences=[cw.Sequence('a', jobs=[ok.job()])])]))"
    environment = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
    assert set(only_labor("l.db").provenance) == {"host", "user", "version"}


# ---- git, read from its files ----


@needs_git
def test_the_revision_of_a_checkout_as_git_says_it(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "rollout.py").write_text("pass\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    head = git(tmp_path, "rev-parse", "HEAD")
    assert _provenance.of_file(below / "x.py")["revision"] == head
    made = _provenance.of_file(tmp_path / "rollout.py")
    assert made["blob"] == git(tmp_path, "rev-parse", "HEAD:rollout.py")

    git(tmp_path, "pack-refs", "--all")
    assert _provenance.of_file(tmp_path / "x.py")["revision"] == head
    git(tmp_path, "worktree", "add", "--detach", str(tmp_path / "other"))
    assert _provenance.of_file(tmp_path / "other" / "x.py")["revision"] == head
    git(tmp_path, "worktree", "add", "-b", "branch", str(tmp_path / "third"))
    git(tmp_path / "third", "commit", "--allow-empty", "-m", "second")
    assert _provenance.of_file(tmp_path / "third" / "x.py")["revision"] == git(tmp_path / "third", "rev-parse", "HEAD")


@pytest.mark.parametrize("head", ["", "ref: refs/heads/none", "nonsense", "ref: ../../../etc/passwd", "\0"])
def test_an_odd_git_folder_is_no_error(tmp_path, head):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert "revision" not in _provenance.of_file(tmp_path / "x.py")


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    assert "blob" not in _provenance.of_file(tmp_path / "none.py")
    assert _provenance.of_file(os.fsdecode(b"/tmp/\xff.py"))["file"]


# ---- where it is shown ----


def test_show_says_it(script):
    status, said = shell(script.parent, "run", "rollout.py", "version=2.1", "--db", "labors.db")
    assert status == 0, said
    _, said = shell(script.parent, "show", only_labor("labors.db").id, "--db", "labors.db")
    flat = "".join(said.split())
    assert "madewith" in flat
    for part in ("rollout.py", "version=2.1", f"blob{blob(SCRIPT)[:12]}", f"by{getpass.getuser()}on"):
        assert part in flat


def test_in_words():
    known = {
        "file": "/srv/r.py",
        "arguments": "n=1",
        "revision": "1" * 40,
        "blob": "2" * 40,
        "user": "alice",
        "host": "ops",
    }
    words = "/srv/r.py n=1 (git 111111111111, blob 222222222222) by alice on ops, cogwork 1.0, pipeline 12"
    assert _provenance.in_words({**known, "version": "1.0", "pipeline": "12"}) == words
    assert _provenance.in_words({}) == ""
    assert _provenance.in_words({"host": "ops"}) == "on ops"


# ---- where it goes ----


def test_it_is_no_part_of_what_was_submitted(engine, make_cog):
    def ok() -> None:
        pass

    labor = one(make_cog(ok).job())
    labor.client_id = "once"
    first = engine.submit(labor)
    assert labor.provenance == {}, "the user's object stays as it was"
    labor.provenance = {"file": "elsewhere.py"}
    assert engine.submit(labor).id == first.id, "S3: where it was made is not compared"
    assert first.wait().as_new().provenance == {}


def test_what_a_program_says_itself_is_kept(engine, make_cog):
    def ok() -> None:
        pass

    labor = one(make_cog(ok).job())
    labor.provenance = {"pipeline": "#1234", "file": "x"}
    assert engine.run(labor).provenance == {"pipeline": "#1234", "file": "x"}


def test_a_provenance_that_is_none_is_a_fault(engine, make_cog):
    def ok() -> None:
        pass

    labor = one(make_cog(ok).job())
    labor.provenance = {"file": 3}  # type: ignore[dict-item]
    with pytest.raises(cw.ValidationError, match="provenance"):
        engine.submit(labor)
