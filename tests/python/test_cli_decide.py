"""`cogwork decide`: one Job, all of them, those of a Cog or a Task, with an engine and without, and asked back on a terminal (R2)."""

from __future__ import annotations

import json
import re

import pytest
from cli_support import Shell, settled, shell, write_script

import cogwork as cw
from cogwork import Decision, State

SCRIPT = """
import pathlib
import cogwork as cw

def wait(ctx: cw.Context, host: str) -> str:
    print(f"begun {host}\\n", end="", flush=True)
    while not pathlib.Path("go").exists():
        ctx.sleep(0.01)
    return host

@cw.cog
def flash(ctx: cw.Context, host: str) -> str:
    return wait(ctx, host)

@cw.cog
def reboot(ctx: cw.Context, host: str) -> str:
    return wait(ctx, host)

labor = cw.Labor("flash", tasks=[
    cw.Task("all", concurrency=4, sequences=[cw.Sequence(f"h{n}", jobs=[cog.job(host=f"h{n}")]) for n, cog in enumerate((flash, flash, reboot, reboot))]),
])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    write_script(tmp_path, text=SCRIPT)
    with Shell(tmp_path, "run", "rollout.py") as run:
        for n in range(4):
            run.wait_for(f"begun h{n}")
        run.kill()
    (tmp_path / "go").touch()
    return tmp_path


@pytest.fixture
def serve(folder):
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("goes on with:")
        yield server


def decided(folder) -> dict[str, Decision | None]:
    with cw.open_store(folder / "cogwork.db") as store:
        [labor] = store.search()
        return {s.target: s[0].decision for s in store.read_labor(labor.id)["all"].sequences}


def test_all_of_a_labor_with_an_engine(folder, serve):
    code, text = shell(folder, "decide", "--all", "completed", "--by", "ann", "--note", "INC-12")
    assert code == 0, text
    assert text.count(": COMPLETED") == 4
    assert "the Labor is COMPLETED" in text, "nothing is left to do"
    assert set(decided(folder).values()) == {Decision.COMPLETED}
    history = shell(folder, "history", "last", "--signals")[1]
    assert history.count('completed by ann "INC-12"') == 4


def test_those_of_a_cog_then_the_rest(folder, serve):
    code, text = shell(folder, "decide", "--all", "rerun", "--cog", "flash", "--task", "all")
    assert code == 0, text
    assert text.count("runs again") == 2
    assert "2 Jobs of it are still held; the next:\n  cogwork decide " in text
    code, text = shell(folder, "decide", "last/all/h2", "failed", "--all")
    assert (code, "1 Job of it is still held" in text) == (0, True), text
    code, text = shell(folder, "decide", "last", "failed", "--all", "--json")
    assert code == 0
    assert [json.loads(line)["left"] for line in text.splitlines()] == [0]
    assert decided(folder) == {"h0": Decision.RERUN, "h1": Decision.RERUN, "h2": Decision.FAILED, "h3": Decision.FAILED}
    assert shell(folder, "resume", "--admin")[0] == 0
    assert settled(folder / "cogwork.db", lambda labor: labor.state.ended).state is State.FAILED


def test_without_an_engine_decisions_are_stored_and_counted(folder):
    code, text = shell(folder, "decide", "last/all/h0", "completed")
    assert code == 0
    assert "no engine runs on cogwork.db, so 'completed' is stored" in text
    assert "3 Jobs of it are still held" in text
    code, text = shell(folder, "decide", "last", "--all", "rerun", "--cog", "reboot", "--json")
    assert code == 0
    answers = [json.loads(line) for line in text.splitlines()]
    assert [(a["decision"], a["stored"], a["left"]) for a in answers] == [("rerun", True, 1)] * 2
    code, text = shell(folder, "decide", "--all", "completed", "--cog", "flash")
    assert code == 0, "decided twice, one of them: the first one stands"
    assert "the next engine applies it, or records why not:\n  cogwork run rollout.py --resume" in text
    code, text = shell(folder, "run", "--resume", "last")
    assert code == 0, text
    assert decided(folder)["h0"] is Decision.COMPLETED


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_a_terminal_is_asked_back(folder, answer):
    with Shell(folder, "decide", "--all", "completed", terminal=(120, 40)) as decide:
        decide.wait_for(r"all/h0 flash[\s\S]*all/h3 reboot[\s\S]*These 4 completed\? \[y/N\]")
        decide.type(answer + "\n")
        assert decide.end() == (0 if answer == "y" else 1)
    with cw.open_store(folder / "cogwork.db") as store:
        assert len(store.records(cw.RecordKind.SIGNAL)) == (4 if answer == "y" else 0)


def test_yes_does_not_ask(folder):
    with Shell(folder, "decide", "--all", "completed", "--yes", terminal=(120, 40)) as decide:
        assert decide.end() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--all", "rerum"], "a decision is 'rerun', 'completed' or 'failed', not 'rerum' - did you mean 'rerun'"),
        (["last"], r"say what is to become of it, too:\n  cogwork decide last rerun\|completed\|failed"),
        (["last", "rerun", "more"], "is too much"),
        (["last", "rerun"], r"has 4 of them; give the id of one, or --all:"),
        (["rerun", "--cog", "flash"], "--cog, --task and --yes go with --all"),
        (["--all", "rerun", "--cog", "flsh"], "has no Cog 'flsh' - did you mean 'flash'.*; there is flash, reboot"),
        (["--all", "rerun", "--task", "al"], "has no Task 'al' - did you mean 'all'"),
        (["last/all/h9", "rerun"], "has no Sequence 'h9'"),
    ],
)
def test_what_is_typed_wrong(folder, words, said):
    code, text = shell(folder, "decide", *words)
    assert code == 2
    assert re.search(said, text), text


def test_the_words_may_come_the_other_way_round(folder):
    assert shell(folder, "decide", "rerun", "last/all/h0")[0] == 0


def test_where_nothing_is_to_be_decided(folder, serve):
    assert shell(folder, "decide", "--all", "completed")[0] == 0
    code, text = shell(folder, "decide", "last", "--all", "completed")
    assert (code, "no Job of 'flash' " in text, "must be decided" in text) == (2, True, True), text
    code, text = shell(folder, "decide", "last", "completed")
    assert (code, "has no held Job" in text) == (2, True), text


def test_nobody_made_an_engine_die(serve, folder):
    code, said = shell(folder, "history", "last")
    assert code == 0
    [died] = [line for line in said.splitlines() if " died" in line]
    assert re.search(r"ENGINE +Labor 'flash' +died \(of \S+, cogwork ", died), died
    assert " by " not in died


def test_what_executes_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    write_script(tmp_path, text=SCRIPT)
    with Shell(tmp_path, "run", "rollout.py") as run:
        for n in range(4):
            run.wait_for(f"begun h{n}")
        code, said = shell(tmp_path, "decide", "--all", "rerun")
        assert (code, "no Job of 'flash'" in said, "held" in said) == (2, True, False), said
        code, said = shell(tmp_path, "decide", "last/all/h0", "rerun")
        assert (code, "has no held Job" in said) == (2, True), said
        (tmp_path / "go").touch()
        assert run.end() == 0
