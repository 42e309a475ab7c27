"""`run` and `submit` beside an engine that has the file already, and `run --resume`: who runs what, and what becomes of it when somebody leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from cli_support import PACKAGE, PATIENCE, Shell, shell, write_script

import cogwork as cw
from cogwork import State

OTHER = "import cogwork as cw\n@cw.cog\ndef other() -> None: ...\n"
HELD = """

@cw.cog
def flash(ctx: cw.Context, host: str) -> str:
    return step.function(ctx, host)

def risky(hosts: int = 3) -> cw.Labor:
    return made("risky one", flash, hosts)

def once(hosts: int = 4) -> cw.Labor:
    labor = slow(hosts)
    labor.client_id = "CHG-7"
    return labor
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    path = write_script(tmp_path)
    path.write_text(path.read_text() + HELD)
    write_script(tmp_path, "other.py", OTHER)
    return tmp_path


@pytest.fixture
def serve(folder):
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("serves cogwork.db")
        yield server


def go(folder) -> None:
    (folder / "go").touch()


def labors(folder) -> dict[str, State]:
    with cw.open_store(folder / "cogwork.db") as store:
        return {labor.name: labor.state for labor in store.search()}


def id_of(run: Shell) -> str:
    """As it says at first."""
    return re.search(r"Labor '.*' is ([0-9a-f-]{36}) in", run.wait_for(r"Labor '.*' is ")).group(1)


def of_stderr(folder, *words: str) -> tuple[int, str, str]:
    """The exit status, what is said, and what a program would read."""
    ran = subprocess.run(
        [sys.executable, "-m", "cogwork", *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": PACKAGE}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return ran.returncode, ran.stderr, ran.stdout


# ---- submit ----


def test_submit_prints_the_id_and_nothing_else(folder, serve):
    code, said, id = of_stderr(folder, "submit", "rollout.py", "hosts=2")
    assert code == 0, said
    assert re.fullmatch(r"[0-9a-f-]{36}\n", id)
    assert f"'good one' is run by the engine of process {serve.process.pid} (cogwork serve rollout.py)" in said
    assert f"cogwork watch {id[:8]}" in said
    assert shell(folder, "watch", id.strip())[0] == 0


def test_submit_for_programs(folder, serve):
    code, said, text = of_stderr(folder, "submit", "rollout.py", "--no-start", "--client-id", "CHG-9", "--json")
    assert (code, said) == (0, "")
    submitted = json.loads(text)
    assert (submitted["name"], submitted["state"], submitted["engine"]["pid"]) == (
        "good one",
        "ADMIN_NOT_STARTED",
        serve.process.pid,
    )
    code, said, again = of_stderr(folder, "submit", "rollout.py", "--client-id", "CHG-9")
    assert (code, again.strip()) == (0, submitted["id"]), "S3"
    assert shell(folder, "watch", submitted["id"])[0] == 0
    code, said, text = of_stderr(folder, "submit", "rollout.py:broken", "--watch")
    assert code == 1
    assert "no space left" in text


def test_submit_without_an_engine(folder):
    code, said = shell(folder, "submit", "rollout.py", "hosts=2")
    assert code == 2
    assert "no engine runs on cogwork.db" in said
    assert "\n  cogwork serve rollout.py\n  cogwork run rollout.py hosts=2\n" in said
    assert not (folder / "cogwork.db").exists(), "nothing is made"


# ---- run, beside an engine ----


def test_run_hands_its_labor_to_the_engine_that_has_the_file(folder, serve):
    code, said = shell(folder, "run", "rollout.py")
    assert code == 0, said
    assert (
        f"run by the engine of process {serve.process.pid} (cogwork serve rollout.py); Ctrl-C here pauses it there"
        in said
    )
    assert re.search(r"rest/h[0-3]: COMPLETED \(ok 4 of 4\)", said), said
    assert shell(folder, "run", "rollout.py:broken")[0] == 1
    serve.wait_for("Labor 'good one': COMPLETED")


def test_ctrl_c_pauses_it_there(folder, serve):
    with Shell(folder, "run", "rollout.py:slow") as run:
        serve.wait_for("begun h1")
        id = id_of(run)
        run.ctrl_c()
        run.wait_for("pausing; what executes may end. Once more leaves it to that engine")
        go(folder)
        assert run.end() == 4
    assert "is left PAUSED by" in run.text
    assert f"\n  cogwork resume {id[:8]}\n" in run.text, "its engine is there"
    serve.wait_for("PAUSE by .*Ctrl-C in cogwork run")
    assert serve.process.poll() is None
    assert shell(folder, "resume", id[:8])[0] == 0
    assert shell(folder, "watch", id)[0] == 0


def test_a_second_ctrl_c_leaves_it_there_and_interrupts_nothing(folder, serve):
    with Shell(folder, "run", "rollout.py:slow") as run:
        serve.wait_for("begun h1")
        id = id_of(run)
        run.ctrl_c()
        run.wait_for("pausing; ")
        run.ctrl_c()
        assert run.end() == 4
    assert "interrupted" not in run.text
    go(folder)
    serve.wait_for("rest/h1: COMPLETED")
    assert shell(folder, "resume", id)[0] == 0
    assert shell(folder, "watch", id)[0] == 0


def test_an_engine_without_its_cogs_is_not_given_it(folder):
    with Shell(folder, "serve", "other.py") as server:
        server.wait_for("serves cogwork.db")
        for words in (("run", "rollout.py"), ("submit", "rollout.py")):
            code, said = shell(folder, *words)
            assert code == 2
            assert (
                f"the engine of process {server.process.pid} (cogwork serve other.py) cannot run it: 'quick' (rollout:quick) is not known"
                in said
            )
            assert f"\n  kill {server.process.pid}\n  cogwork serve other.py rollout.py\n" in said
        assert labors(folder) == {}


def test_c1_an_engine_that_has_an_older_version_of_its_cogs_is_not_given_it(folder, serve):
    path = folder / "rollout.py"
    path.write_text("# a comment moves lines, and no more\n" + path.read_text())
    assert shell(folder, "run", "rollout.py")[0] == 0
    path.write_text(
        path.read_text().replace(
            "def quick(host: str) -> str:\n", "def quick(host: str) -> str:\n    host = host.upper()\n"
        )
    )
    code, said = shell(folder, "run", "rollout.py")
    assert code == 2
    assert "'quick' (rollout:quick) was imported there before its code was changed" in said


def test_an_engine_of_another_program_is_told_apart(folder, monkeypatch):
    with cw.Engine(folder / "cogwork.db") as engine:
        code, said = shell(folder, "run", "rollout.py")
        assert code == 2
        assert "cannot run it: 'quick' (rollout:quick) is not known to it" in said
        assert "It is for that program to import them" in said
        assert list(engine.search()) == []


def test_a_labor_goes_on_when_its_engine_is_started_again(folder):
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("serves")
        with Shell(folder, "run", "rollout.py:slow") as run:
            server.wait_for("begun h1")
            id = id_of(run)
            server.kill()
            run.wait_for(
                f"is gone; waits for the next one, and Ctrl-C leaves. To go on with it here:\n  cogwork run rollout.py --resume {id[:8]}"
            )
            go(folder)
            with Shell(folder, "serve", "rollout.py") as again:
                assert run.end() == 0
                again.ctrl_c()
                assert again.end() == 0


def test_left_while_its_engine_is_gone(folder):
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("serves")
        with Shell(folder, "run", "rollout.py:slow") as run:
            server.wait_for("begun h1")
            server.kill()
            run.wait_for("is gone; waits")
            run.ctrl_c()
            assert run.end() == 4
    assert "--resume" in run.text.rpartition("is left RUNNING")[2]


# ---- two runs on one file ----


def test_a_run_takes_what_another_run_hands_to_it_and_stays_for_it(folder):
    with Shell(folder, "run", "rollout.py:slow", "hosts=2") as first:
        first.wait_for("begun h1")
        with Shell(folder, "run", "rollout.py:slow", "hosts=3") as second:
            second.wait_for(f"run by the engine of process {first.process.pid} \\(cogwork run rollout.py\\)")
            second.wait_for(
                "CAREFUL: 'slow one' .* is unfinished \\(RUNNING\\) and works on 3 of the same targets: c0, h0, h1"
            )
            go(folder)
            assert second.end() == 0
        assert first.end() == 0


def test_a_run_says_that_it_stays_for_others(folder):
    more = "\n\n@cw.cog(idempotent=True)\ndef longer(ctx: cw.Context, host: str) -> None:\n    import pathlib\n    while not pathlib.Path('go2').exists():\n        ctx.sleep(0.01)\n\ndef long() -> cw.Labor:\n    return made('long one', longer, 2)\n"  # fmt: skip
    path = folder / "rollout.py"
    path.write_text(path.read_text() + more)
    with Shell(folder, "run", "rollout.py:slow") as first:
        first.wait_for("begun h1")
        with Shell(folder, "run", "rollout.py:long") as second:
            second.wait_for("rest.*: RUNNING")
            go(folder)
            first.wait_for("stays, as this engine also runs what was handed to it: 'long one'")
            assert second.process.poll() is None
            (folder / "go2").touch()
            assert second.end() == 0
        assert first.end() == 0


def test_a_run_goes_on_with_its_own_when_the_other_leaves(folder):
    with Shell(folder, "run", "rollout.py:slow", "hosts=2") as first:
        first.wait_for("begun h1")
        with Shell(folder, "run", "rollout.py:slow", "hosts=3") as second:
            second.wait_for("run by the engine")
            second.wait_for("Task 'rest': RUNNING")
            first.kill()
            second.wait_for("has ended; the Labor goes on here")
            go(folder)
            assert second.end() == 0
    states = sorted(state.name for state in [labor.state for labor in _search(folder)])
    assert states == ["COMPLETED", "RUNNING"], "the other one's is left alone"


def _search(folder) -> list[cw.Labor]:
    with cw.open_store(folder / "cogwork.db") as store:
        return list(store.search())


# ---- run --resume ----


def killed(folder, what: str, *words: str, begun: str = "begun h1") -> str:
    with Shell(folder, "run", f"rollout.py:{what}", *words) as run:
        run.wait_for(begun)
        id = id_of(run)
        run.kill()
    return id


@pytest.mark.parametrize("script", [["rollout.py"], []], ids=["named", "found"])
def test_resume_goes_on_after_a_kill(folder, script):
    id = killed(folder, "slow")
    go(folder)
    code, said = shell(folder, "run", *script, "--resume", id[:6])
    assert code == 0, said
    assert re.search(r"rest/h[0-3]: COMPLETED \(ok 4 of 4\)", said), said
    code, said = shell(folder, "run", "--resume", "last")
    assert (code, "has ended: COMPLETED" in said) == (0, True)


def test_resume_leaves_the_others_alone(folder):
    one, two = killed(folder, "slow"), killed(folder, "slow", "hosts=2")
    go(folder)
    code, said = shell(folder, "run", "rollout.py", "--resume", two[:8])
    assert code == 0, said
    assert f"left alone: 'slow one' {one[:8]}" in said
    assert f"\n  cogwork run rollout.py --resume {one[:8]}\n" in said
    with cw.open_store(folder / "cogwork.db") as store:
        assert store.read_labor(one).state is State.RUNNING
        assert store.read_labor(two).state is State.COMPLETED


def test_a_client_id_wakes_no_other_labor(folder):
    other, again = killed(folder, "slow", "hosts=2"), killed(folder, "once")
    go(folder)
    code, said = shell(folder, "run", "rollout.py:once")
    assert code == 0, said
    assert "CAREFUL: 'slow one'" in said, "that other one works on the same targets"
    with cw.open_store(folder / "cogwork.db") as store:
        assert {labor.id: labor.state for labor in store.search()} == {other: State.RUNNING, again: State.COMPLETED}


def test_r2_resume_says_what_must_be_decided_and_goes_on_then(folder):
    id = killed(folder, "risky")
    with Shell(folder, "run", "rollout.py", "--resume", id[:8]) as run:
        run.wait_for(
            f"2 Jobs of it must be decided.*\n  cogwork decide {id[:8]} --all rerun\\|completed\\|failed\n  cogwork resume --admin {id[:8]}"
        )
        go(folder)
        code, said = shell(folder, "decide", id[:8], "--all", "completed")
        assert code == 0, said
        assert f"\n  cogwork resume --admin {id[:8]}\n" in said
        assert shell(folder, "resume", "--admin")[0] == 0, "the only unfinished one"
        assert run.end() == 0


def test_r2_what_was_decided_before_goes_on_at_once(folder):
    id = killed(folder, "risky")
    go(folder)
    code, said = shell(folder, "decide", id, "--all", "rerun")
    assert code == 0, said
    assert "no engine runs on cogwork.db, so 'rerun' is stored" in said
    [line] = re.findall(r"\n  cogwork (run .*)\n", said)
    code, said = shell(folder, *line.split())
    assert code == 0, said


def test_resume_releases_ones_own_pause_and_no_others(folder):
    id = killed(folder, "slow")
    go(folder)
    assert shell(folder, "pause", id, "--by", "alice", "--note", "INC-12")[0] == 0
    with Shell(folder, "run", "rollout.py", "--resume", id) as run:
        run.wait_for(f'it does not go on: paused by alice .*"INC-12"\n  cogwork resume {id[:8]}')
        run.ctrl_c()
        assert run.end() == 4
    assert f"\n  cogwork resume {id[:8]}\n  cogwork run rollout.py --resume {id[:8]}\n" in run.text
    with Shell(folder, "run", "rollout.py", "--resume", id) as run:
        run.wait_for("it does not go on")
        assert shell(folder, "resume")[0] == 0
        assert run.end() == 0


def test_resume_beside_an_engine(folder, serve):
    """It was left to wait for its Cogs there, or runs there already."""
    _, _, text = of_stderr(folder, "submit", "rollout.py:slow")
    id = text.strip()
    with Shell(folder, "run", "--resume", id) as run:
        run.wait_for(f"run by the engine of process {serve.process.pid}")
        go(folder)
        assert run.end() == 0


def test_resume_where_the_engine_was_opened_for_another_labor(folder):
    left = killed(folder, "slow")
    with Shell(folder, "run", "rollout.py:slow", "hosts=2") as owner:
        owner.wait_for("begun h1")
        code, said = shell(folder, "pause", left)
        assert code == 0, said
        assert "was opened for other Labors, so PAUSE is stored" in said
        assert f"\n  cogwork run rollout.py --resume {left[:8]}\n" in said
        with Shell(folder, "run", "rollout.py", "--resume", left) as run:
            run.wait_for("run by the engine of process")
            run.wait_for("it does not go on: paused by")
            assert shell(folder, "resume", left)[0] == 0
            go(folder)
            assert run.end() == 0
        assert owner.end() == 0


def test_resume_starts_what_waits_to_be_started(folder):
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("serves")
        assert shell(folder, "submit", "rollout.py", "--no-start")[0] == 0
        server.ctrl_c(signal.SIGTERM)
        assert server.end() == 0
    assert shell(folder, "run", "--resume", "last")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "rollout.py", "--resume", "ffff"], "no Labor in cogwork.db has an id that begins with 'ffff'"),
        (["run", "other.py", "--resume", "last"], "not known to this process: .*rollout:"),
        (["run", "nothere.py", "--resume", "last"], "there is no file nothere.py"),
        (["run", "--resume", "last/rest"], "is a part of a Labor; what is gone on with is a Labor"),
        (["run", "--resume", "last", "--client-id", "x"], "--client-id is for a new Labor"),
        (
            ["run", "rollout.py", "hosts=3", "--resume", "last"],
            "'hosts=3' is for a new Labor; --resume goes on with one as it was submitted",
        ),
        (["run"], "say what is to be run"),
    ],
)
def test_what_cannot_be_resumed(folder, words, said):
    killed(folder, "slow")
    code, text = shell(folder, *words)
    assert code in (1, 2), text
    assert re.search(said, text), text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "tree",
    ["tasks=5", "tasks=[None]", "tasks=[cw.Task('t', sequences=7)]", "tasks=[cw.Task('t', sequences=[None, cw.Sequence(5)])]", "tasks=[cw.Task('t', sequences=[cw.Sequence('h0', jobs=quick)])]"],
)  # fmt: skip
@pytest.mark.parametrize("beside", ["an engine", "what is unfinished"])
def test_s1_a_tree_that_may_not_be_submitted_is_told_as_ever(folder, tree, beside):
    path = folder / "rollout.py"
    path.write_text(path.read_text() + f"\ndef wrong():\n    return cw.Labor('wrong', {tree})\n")
    with Shell(folder, "run", "rollout.py:slow") as run:
        run.wait_for("begun h1")
        if beside != "an engine":
            run.kill()
        code, said = shell(folder, "run", "rollout.py:wrong")
    assert code == 2
    assert "the Labor cannot be submitted, and nothing was stored" in said
    assert "fault of cogwork's own" not in said
