"""The shell in processes of its own: what one of them runs, others see and steer; and how each of them ends (R1, R2, G1, G9)."""

from __future__ import annotations

import json
import signal

import pytest
from cli_support import Shell, only_labor, shell, write_script

import cogwork as cw

ENDS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def folder(tmp_path):
    write_script(tmp_path)
    return tmp_path


def begun(run: Shell) -> None:
    """Both Sequences that may run are in their Cog, and the shell answers Ctrl-C: it does before it says which Labor it is."""
    for target in ("h0", "h1"):
        run.wait_for(f"begun {target}")
    run.wait_for("Labor 'slow one' is ")


def go(folder) -> None:
    (folder / "go").touch()


def signals(folder) -> list[tuple[str, str, str]]:
    with cw.open_store(folder / "cogwork.db") as store:
        return [
            (c.signal.name, c.by, c.note)
            for c in store.changes()
            if c.kind == cw.ChangeKind.SIGNAL and c.signal is not None
        ]


def test_a_labor_is_steered_and_watched_from_other_processes(folder):
    with Shell(folder, "run", "rollout.py:slow", "hosts=40") as run:
        begun(run)
        id = only_labor(folder / "cogwork.db").id
        with Shell(folder, "watch", id[:6], terminal=(100, 30)) as watch:
            watch.wait_for("in flight", on_screen=True)

            with Shell(folder, "pause", id[:6], "--by", "alice", "--note", "INC-12") as pause:
                watch.wait_for('paused by alice since .* "INC-12"', on_screen=True)
                run.wait_for('PAUSE by alice "INC-12"')
                go(folder)
                assert pause.end() == 0
                assert "PAUSED" in pause.text
            (folder / "go").unlink()
            watch.wait_for("slow one  PAUSED", on_screen=True)
            assert run.process.poll() is None, "it stays, as somebody else paused it"

            assert shell(folder, "resume", id[:6], "--by", "alice")[0] == 0
            run.wait_for("begun h2")
            watch.wait_for("slow one  RUNNING", on_screen=True)

            code, text = shell(folder, "stop", "--now", id[:6], "--note", "enough")
            assert (code, "STOPPED" in text) == (0, True), text
            assert watch.end() == 3
            assert "slow one  STOPPED" in watch.shown
        assert run.end() == 3
    assert [s[:2] for s in signals(folder)][:2] == [("PAUSE", "alice"), ("RESUME", "alice")]
    assert signals(folder)[-1][2] == "enough"


def test_ctrl_c_ends_the_watching_and_nothing_else(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        with Shell(folder, "watch", only_labor(folder / "cogwork.db").id, terminal=(100, 30)) as watch:
            watch.wait_for("in flight", on_screen=True)
            watch.ctrl_c()
            assert watch.end() == 130
            assert "Traceback" not in watch.text
        go(folder)
        assert run.end() == 0


@pytest.mark.parametrize("number", ENDS)
def test_the_first_ctrl_c_pauses_and_says_how_to_go_on(folder, number):
    with Shell(folder, "run", "rollout.py:slow", terminal=(100, 30)) as run:
        begun(run)  # an attempt that was only recorded would be withdrawn (G3)
        run.wait_for("in flight 2", on_screen=True)
        run.ctrl_c(number)
        run.wait_for("pausing; what executes may end", on_screen=True)
        assert run.process.poll() is None, "it waits until nothing executes"
        go(folder)
        assert run.end() == 4
    labor = only_labor(folder / "cogwork.db")
    assert labor.state == cw.State.PAUSED
    assert sum(s.state == cw.State.COMPLETED for s in labor["rest"].sequences) == 2
    [go_on] = [line.split() for line in run.shown.splitlines() if line.startswith("  cogwork ")]
    assert go_on == ["cogwork", "run", "rollout.py", "--resume", labor.id[:8]]

    code, text = shell(folder, *go_on[1:])
    assert code == 0, text
    assert only_labor(folder / "cogwork.db").state == cw.State.COMPLETED
    assert signals(folder)[-1][0] == "RESUME"


@pytest.mark.parametrize("number", ENDS)
def test_the_second_ctrl_c_interrupts(folder, number):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        run.ctrl_c(number)
        run.wait_for("pausing")
        run.ctrl_c(number)
        assert run.end() == 4
    assert "2 attempts were interrupted" in run.text
    assert "Traceback" not in run.text
    labor = only_labor(folder / "cogwork.db")
    assert [job.attempts[-1].ended for job in (labor["rest"]["h0"][0], labor["rest"]["h1"][0])] == [None, None]


def test_somebody_resumes_what_ctrl_c_pauses(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        run.ctrl_c()
        run.wait_for("pausing")
        code, text = shell(folder, "resume", only_labor(folder / "cogwork.db").id)
        assert code == 0, text
        run.wait_for("RESUME")
        go(folder)
        assert run.end() == 0


def test_a_killed_run_is_gone_on_with_by_serve(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        id = only_labor(folder / "cogwork.db").id
        with Shell(folder, "watch", id[:8], terminal=(100, 30)) as watch:
            watch.wait_for("in flight", on_screen=True)
            run.kill()
            watch.wait_for("its engine is gone|no engine runs", on_screen=True)
            code, text = shell(folder, "watch", id)
            assert code == 5, text
            assert f"cogwork run rollout.py --resume {id[:8]}" in text
            go(folder)
            with Shell(folder, "serve", "rollout.py") as server:
                server.wait_for(f"took up 'slow one' {id[:8]}")
                server.wait_for("Labor 'slow one': COMPLETED")
                assert watch.end() == 0
                server.ctrl_c(signal.SIGTERM)
                assert server.end() == 0
    labor = only_labor(folder / "cogwork.db")
    assert labor.state == cw.State.COMPLETED
    statuses = [attempt.status.name for attempt in labor["rest"]["h0"][0].attempts]
    assert statuses == ["INTERRUPTED", "SUCCESS"]


def test_serve_says_what_waits_for_what_and_what_is_left(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        run.kill()
    write_script(folder, "other.py", "import cogwork as cw\n@cw.cog\ndef other() -> None: ...\n")
    with Shell(folder, "serve", "other.py") as server:
        server.wait_for("waits: 'slow one' .*'step' \\(rollout:step\\)")
        id = only_labor(folder / "cogwork.db").id
        code, text = shell(folder, "watch", id)
        assert code == 5
        assert "rollout:step" in text
        assert "it waits: its cog" in shell(folder, "show", id)[1]
        server.ctrl_c()
        assert server.end() == 0
        assert "1 Labor is left" in server.text
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("begun h1")
        server.ctrl_c()
        server.wait_for("closes")
        server.ctrl_c()
        assert server.end() == 0
        assert "to go on:\n  cogwork serve rollout.py" in server.text


def test_a_run_leaves_what_is_unfinished_alone(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        run.kill()
    code, text = shell(folder, "run", "rollout.py:good")
    assert code == 0, text
    assert "unfinished in cogwork.db, and left alone: 'slow one'" in text
    assert [row["state"] for row in listed(folder)] == ["COMPLETED", "RUNNING"]


def listed(folder) -> list[dict[str, str]]:
    return [json.loads(line) for line in shell(folder, "ls", "--json")[1].splitlines()]


def test_a_client_id_goes_on_with_the_same_labor(folder):
    more = "\ndef once() -> cw.Labor:\n    labor = slow()\n    labor.client_id = 'CHG-7'\n    return labor\n"
    path = folder / "rollout.py"
    path.write_text(path.read_text() + more)
    with Shell(folder, "run", "rollout.py:once") as run:
        begun(run)
        run.kill()
    go(folder)
    code, text = shell(folder, "run", "rollout.py:once")
    assert code == 0, text
    assert only_labor(folder / "cogwork.db").state == cw.State.COMPLETED


def test_signals_are_stored_while_no_engine_runs(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        run.kill()
    id = only_labor(folder / "cogwork.db").id
    code, text = shell(folder, "pause", "--admin", id, "--by", "bob", "--json")
    assert code == 0
    assert json.loads(text) | {"state": ""} == {
        "id": id, "signal": "ADMIN_PAUSE", "stored": True, "done": False, "applied": False, "state": "",
    }  # fmt: skip
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("ADMIN_PAUSE by bob")
        code, text = shell(folder, "resume", id)
        assert code == 1
        assert "ADMIN_PAUSED" in text
        assert "by bob" in text
        go(folder)
        assert shell(folder, "resume", "--admin", id)[0] == 0
        server.wait_for("Labor 'slow one': COMPLETED")
        server.ctrl_c()
        assert server.end() == 0


def test_an_ack_that_is_not_done_in_time(folder):
    with Shell(folder, "run", "rollout.py:slow") as run:
        begun(run)
        id = only_labor(folder / "cogwork.db").id
        code, text = shell(folder, "pause", id, "--timeout", "0")
        assert code == 5
        assert "not done yet" in text
        code, text = shell(folder, "stop", id + "/rest/h0", "--no-wait")
        assert (code, "STOP is sent" in text) == (0, True)
        code, text = shell(folder, "pause", id + "/rest/h9")
        assert code == 2
        assert "has no Sequence 'h9'" in text


def test_a_script_that_hangs_at_import_is_ended_by_ctrl_c(tmp_path):
    write_script(tmp_path, text="import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with Shell(tmp_path, "run", "rollout.py") as run:
        run.wait_for("importing")
        run.ctrl_c()
        assert run.end() == 130
        assert "Traceback" not in run.text


RISKY = """

@cw.cog
def flash(ctx: cw.Context, host: str) -> str:
    return step.function(ctx, host)

def risky() -> cw.Labor:
    return made("risky one", flash, 2)
"""


def test_d7_what_executed_at_a_moment_was_not_to_be_decided(folder):
    """Nobody was to decide about calls that an engine was making; about those that it left, somebody was."""
    path = folder / "rollout.py"
    path.write_text(path.read_text() + RISKY)
    with Shell(folder, "run", "rollout.py:risky") as run:
        run.wait_for("begun h1")
        begun_at = len(history(folder))
        code, text = shell(folder, "show", "last", "--at", str(begun_at))
        assert (code, "decide" in text) == (0, False), text
        assert "in flight 2" in text
        run.kill()
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("resume --admin")
        held_at = len(history(folder))
        go(folder)
        assert shell(folder, "decide", "--all", "rerun")[0] == 0
        assert shell(folder, "resume", "--admin")[0] == 0
        assert shell(folder, "watch", "last")[0] == 0
        server.ctrl_c()
        assert server.end() == 0
    for number in range(1, len(history(folder)) + 1):
        code, text = shell(folder, "show", "last", "--at", str(number)) if number in (begun_at, held_at) else (0, "")
        assert (code, "decide" in text.replace('cogwork decide"', "")) == (0, False), text
    assert "ADMIN_PAUSED" in shell(folder, "show", "last", "--at", str(held_at))[1]


def history(folder) -> list[str]:
    return shell(folder, "history", "last", "--json")[1].splitlines()
