"""`cogwork crisis`: set, looked at and lifted from a shell, with an engine and without (G8)."""

from __future__ import annotations

import json
import re

import pytest
from cli_support import Shell, only_labor, shell, write_script

import cogwork as cw
from cogwork import State


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    write_script(tmp_path)
    return tmp_path


def latches(folder) -> list[cw.Latch]:
    with cw.connect(folder / "cogwork.db") as client:
        return client.crises()


def test_a_crisis_while_a_labor_runs(folder):
    with Shell(folder, "run", "rollout.py:slow", "hosts=40") as run:
        for target in ("h0", "h1"):
            run.wait_for(f"begun {target}")
        labor = only_labor(folder / "cogwork.db")
        code, text = shell(
            folder, "crisis", "pause", "--cog", "step", "--by", "bob", "--note", "INC-12", "--timeout", "0.1"
        )
        assert code == 5, text
        (latch,) = latches(folder)
        assert f"latch {latch.id[:8]} on cog step, by bob since" in text
        assert "holds 1 Labor\n" in text
        assert "2 attempts of 1 Labor still execute:" in text
        assert f"{labor.id[:8]} 'slow one' PAUSING: h0 step for" in text

        code, text = shell(folder, "crisis", "status", "--json")
        said = json.loads(text)
        assert (code, said["id"], said["attempts"], said["note"]) == (0, latch.id, 2, "INC-12")
        assert said["executing"][0]["state"] == "PAUSING"

        (folder / "go").touch()
        run.wait_for(f'CRISIS_PAUSED by bob "latch {latch.id[:8]}: INC-12"')
        code, text = shell(folder, "crisis", "status")
        assert (code, "holds 1 Labor; nothing of it executes" in text) == (0, True), text
        code, text = shell(folder, "ls")
        assert "CRISIS_PAUSED" in text
        assert f"held by latch {latch.id[:8]} on cog step, by bob" in text
        assert f"held by latch {latch.id[:8]}" in shell(folder, "show", labor.id[:8])[1]
        code, text = shell(folder, "resume", "--crisis", labor.id[:8])
        assert code == 1
        assert f"cogwork crisis resume {latch.id[:8]}" in text

        code, text = shell(folder, "crisis", "resume", latch.id[:6], "--by", "carl", "--note", "mended")
        assert (code, "lifted; what no other latch" in text) == (0, True), text
        run.wait_for(f'RUNNING by carl "latch {latch.id[:8]} lifted: mended"')
        assert run.end() == 0
    code, text = shell(folder, "crisis", "status", "--lifted")
    assert (code, "lifted by carl" in text, '"mended"' in text) == (0, True, True), text
    assert "no crisis: no latch is in force on cogwork.db" in shell(folder, "crisis", "status")[1]


def test_without_an_engine(folder):
    assert shell(folder, "run", "rollout.py:good")[0] == 0
    code, text = shell(folder, "crisis", "pause", "--all", "--note", "INC-12")
    assert code == 0, text
    assert "holds 0 Labors, stored: no engine runs on cogwork.db, and the next one obeys it" in text
    (latch,) = latches(folder)

    with Shell(folder, "run", "rollout.py:good") as run:
        text = run.wait_for("it is held, and does not run")
        assert f"cogwork crisis resume {latch.id[:8]}" in text
        with cw.connect(folder / "cogwork.db") as client:
            run.ctrl_c()
            assert run.end() == 4
            (held,) = client.search(cw.LaborFilter(states=[State.CRISIS_PAUSED]))
        assert f"held by latch {latch.id[:8]} on all Labors" in run.text
        go_on = f"cogwork run rollout.py --resume {held.id[:8]}"
        assert f"To go on with it:\n  cogwork crisis resume {latch.id[:8]}\n  {go_on}" in run.text

    with Shell(folder, "serve", "rollout.py") as serve:
        serve.wait_for(f"a crisis is on: latch {latch.id[:8]} on all Labors, by .*; holds 1 Labor")
        serve.wait_for("took up 'good one' .*, CRISIS_PAUSED")
        code, text = shell(folder, "crisis", "resume", "--all")
        assert code == 0, text
        with cw.connect(folder / "cogwork.db") as client:
            assert client.handle(held.id).wait(30).state is State.COMPLETED

    code, text = shell(folder, "crisis", "pause", "--tag", "x", "--json")
    assert (code, json.loads(text)["stored"], json.loads(text)["tags"]) == (0, True, ["x"])
    code, text = shell(folder, "crisis", "status")
    assert "holds 0 Labors that nobody runs: there is no engine on cogwork.db" in text
    code, text = shell(folder, "crisis", "resume", "--tag", "x", "--json")
    assert (code, json.loads(text)["stored"]) == (0, True), text


def test_g8_the_order_of_options_does_not_matter(folder):
    """`--cog reboot --cog other` lifts what `--cog other --cog reboot --cog other` has set."""
    assert shell(folder, "run", "rollout.py:good")[0] == 0
    words = ["--cog", "reboot", "--cog", "other", "--tag", "b", "--tag", "a", "--name", "edge"]
    assert shell(folder, "crisis", "pause", *words, "--cog", "reboot")[0] == 0
    again = ["--name", "edge", "--tag", "a", "--cog", "other", "--tag", "b", "--cog", "reboot"]
    assert "holds 0 Labors" in shell(folder, "crisis", "status", *again)[1]
    assert "no latch in force was set with just these" in shell(folder, "crisis", "resume", *again[2:])[1]
    code, text = shell(folder, "crisis", "resume", *again)
    assert (code, "lifted" in text) == (0, True), text
    assert latches(folder) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pause"], "say what is to be held"),
        (["pause", "--all", "--tag", "x"], "--all is every Labor"),
        (["pause", "--tag", "two words"], "one word"),
        (["resume"], "say which latch"),
        (["resume", "abc", "--all"], "say which latch"),
        (["resume", "abc"], "no latch in force has an id that begins with 'abc'; in force on cogwork.db:\n  latch"),
        (["resume", "--all"], "no latch in force was set with just these options; in force on"),
    ],
)
def test_what_is_typed_wrong(folder, words, said):
    with cw.Engine(folder / "cogwork.db") as engine:
        engine.crisis_pause(tags=["x"])
    code, text = shell(folder, "crisis", *words)
    assert (code, said in text) == (2, True), text
    assert len(latches(folder)) == 1


def test_no_store_is_made(folder):
    code, text = shell(folder, "crisis", "pause", "--all")
    assert (code, "there is no store" in text) == (2, True)
    assert not (folder / "cogwork.db").exists()


@pytest.mark.parametrize("words", [["pause", "--admin"], ["crisis", "pause", "--all"]], ids=["pause", "latch"])
def test_a_refusal_has_the_times_that_are_shown_elsewhere(folder, monkeypatch, words):
    monkeypatch.setenv("TZ", "XXX-7:30")
    with Shell(folder, "serve", "rollout.py") as server:
        server.wait_for("serves ")
        shell(folder, "submit", "rollout.py:slow")
        server.wait_for("begun h1")
        assert shell(folder, *words, "--by", "bob", "--no-wait")[0] == 0
        code, said = shell(folder, "resume")
        [at, *_] = re.findall(r"by bob since (\d\d:\d\d:\d\d)", shell(folder, "show")[1])
        (folder / "go").touch()
    assert code == 1
    assert f"(by bob {at}" in said
