"""`cogwork logs`: what attempts keep, what the engine hears, and nothing twice."""

from __future__ import annotations

import json

import pytest
from cli_support import Shell, shell, write_script

import cogwork as cw

SCRIPT = """
import logging, pathlib
import cogwork as cw

@cw.cog(idempotent=True, retries=1)
def talk(ctx: cw.Context, host: str) -> str:
    ctx.log("begins %s", host)
    while host.startswith("slow") and not pathlib.Path("go").exists():
        ctx.sleep(0.01)
    if host == "h1" and ctx.attempt == 1:
        raise RuntimeError("not yet")
    logging.getLogger("mine").warning("ends %s\\nin two lines", host)
    return host

@cw.cog(idempotent=True)
def fine(ctx: cw.Context) -> bool:
    ctx.log("looks")
    return True

def labor(hosts: list[str] = ["h0", "h1"]) -> cw.Labor:
    shell = cw.command.job(shell="echo $COGWORK_TARGET complains >&2").replace(name="shell")
    return cw.Labor("talks", tasks=[cw.Task("all", pre_checks=[fine.job()],
        sequences=[cw.Sequence(host, jobs=[talk.job(host=host), shell]) for host in hosts])])
"""
KEPT = """\
check fine | looks
h0 talk | begins h0
h0 talk | WARNING mine: ends h0
h0 talk | in two lines
h0 shell | h0 complains
h1 talk | begins h1
h1 talk (attempt 2) | begins h1
h1 talk (attempt 2) | WARNING mine: ends h1
h1 talk (attempt 2) | in two lines
h1 shell | h1 complains
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    write_script(tmp_path, text=SCRIPT)
    return tmp_path


def without_times(text: str) -> str:
    """Of the standard logging, and of lines that were heard."""
    import re

    return re.sub(r"^\d\d:\d\d:\d\d ", "", re.sub(r"\| \d{4}-\S+ \S+ ", "| ", text), flags=re.MULTILINE)


def test_what_attempts_keep(folder):
    assert shell(folder, "run", "rollout.py")[0] == 0
    code, text = shell(folder, "logs", "last")
    assert code == 0
    assert without_times(text) == KEPT
    part = [line for line in KEPT.splitlines() if line.startswith("h1")]
    assert without_times(shell(folder, "logs", "last/all/h1")[1]).splitlines() == part
    assert without_times(shell(folder, "logs", "last/all")[1]) == KEPT
    assert without_times(shell(folder, "logs", "last", "--follow")[1]) == KEPT, "it has ended: nothing is waited for"


def test_each_line_is_json(folder):
    assert shell(folder, "run", "rollout.py", "hosts=h0")[0] == 0
    lines = [json.loads(line) for line in shell(folder, "logs", "last", "--json")[1].splitlines()]
    assert [(line["target"], line["name"], line["attempt"], line["text"]) for line in lines][:2] == [
        ("", "fine", 1, "looks"),
        ("h0", "talk", 1, "begins h0"),
    ]
    with cw.open_store(folder / "cogwork.db") as store:
        assert all(store.read_job(line["job_id"]) for line in lines)


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["text", "json"])
def test_follow_shows_what_is_said_while_it_runs_and_nothing_twice(folder, json):
    with Shell(folder, "run", "rollout.py", "hosts=h0,slow1,slow2") as run:
        run.wait_for("begins slow1")
        with Shell(folder, "logs", "last", "--follow", *json) as logs:
            logs.wait_for("begins slow1")
            code, text = shell(folder, "logs", "last")
            assert (code, "begins slow1" in text, "begins slow2" in text) == (0, True, False), (
                "what is said so far, of what executes too"
            )
            (folder / "go").touch()
            assert run.end() == 0
            assert logs.end() == 0
    for said in (
        "looks",
        "begins h0",
        "ends h0",
        "h0 complains",
        "begins slow1",
        "ends slow1",
        "begins slow2",
        "slow2 complains",
    ):
        assert logs.text.count(said) == 1, (said, logs.text)


def test_follow_of_one_target_and_ctrl_c(folder):
    with Shell(folder, "run", "rollout.py", "hosts=h0,slow1") as run:
        run.wait_for("begins slow1")
        with Shell(folder, "logs", "last/all/slow1", "-f") as logs:
            logs.wait_for("begins slow1")
            logs.ctrl_c()
            assert logs.end() == 130
        assert "h0" not in logs.text
        assert "Traceback" not in logs.text
        (folder / "go").touch()
        assert run.end() == 0


def test_of_what_nobody_runs(folder):
    with Shell(folder, "run", "rollout.py", "hosts=h0,slow1") as run:
        run.wait_for("begins slow1")
        run.kill()
    code, text = shell(folder, "logs", "--follow")
    assert code == 0
    assert "h0 talk | begins h0" in text


PRINTS = """
import pathlib
import cogwork as cw

@cw.cog
def says(host: str) -> None:
    print("copying", host)
    print("half a line", end="")

@cw.cog
async def says_too(host: str) -> None:
    print(f"{host}\\nin two lines")

@cw.cog
def cut_off(ctx: cw.Context, host: str) -> None:
    print("flashing", host)
    ctx.sleep(60)
    raise RuntimeError("asked to end")

def labor(cog: str = "") -> cw.Labor:
    print("made by the script")
    jobs = [cut_off.job("h0")] if cog else [says.job("h0"), says_too.job("h0")]
    return cw.Labor("prints", tasks=[cw.Task("all", sequences=[cw.Sequence("h0", jobs=jobs)])])
"""
THREADS = """
import asyncio
import cogwork as cw

@cw.cog
async def says(host: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(print, *[f"{n}\\n" * 50], sep="", end="") for n in range(4)))

labor = cw.Labor("prints", tasks=[cw.Task("all", sequences=[cw.Sequence("h0", jobs=[says.job("h0")])])])
"""
PRINTED = "h0 says | copying h0\nh0 says | half a line\nh0 says_too | h0\nh0 says_too | in two lines\n"


def test_what_cogs_print_is_a_line_of_theirs_and_kept(folder):
    write_script(folder, "prints.py", PRINTS)
    code, said = shell(folder, "run", "prints.py")
    assert code == 0
    assert without_times(said).count("copying h0") == 1, "not once more as it was printed"
    assert set(PRINTED.splitlines()) <= set(without_times(said).splitlines())
    assert "\nmade by the script\n" in f"\n{said}", "which no Cog prints"
    assert shell(folder, "logs", "last") == (0, PRINTED)


def test_what_threads_of_a_call_print_is_all_there(folder):
    write_script(folder, "prints.py", THREADS)
    assert shell(folder, "run", "prints.py")[0] == 0
    assert sorted(shell(folder, "logs", "last")[1].splitlines()) == [
        f"h0 says | {n}" for n in range(4) for _ in range(50)
    ]


def test_what_a_call_printed_that_was_ended_is_kept(folder):
    write_script(folder, "prints.py", PRINTS)
    with Shell(folder, "run", "prints.py", "cog=cut_off") as run:
        run.wait_for("h0 cut_off | flashing h0")
        assert shell(folder, "stop", "--now")[0] == 0
        assert run.end() == 3
    assert shell(folder, "logs", "last") == (0, "h0 cut_off | flashing h0\n")


def test_serve_prints_it_too_as_it_shows_no_lines_of_cogs(folder):
    write_script(folder, "prints.py", PRINTS)
    with Shell(folder, "serve", "prints.py") as server:
        server.wait_for("serves ")
        code, said = shell(folder, "submit", "prints.py", "--watch")
        assert (code, without_times(said).count("h0 says | copying h0")) == (0, 1)
        server.wait_for("\ncopying h0\n")
    assert shell(folder, "logs", "last") == (0, PRINTED)


def test_a_labor_of_which_nothing_is_kept_says_so(folder):
    write_script(
        folder,
        "mute.py",
        PRINTS.replace("print(", "str(")
        .replace(', end=""', "")
        .replace('"copying", host', "host")
        .replace('"flashing", host', "host"),
    )
    assert shell(folder, "run", "mute.py")[0] == 0
    code, said = shell(folder, "logs", "last")
    assert (code, "no Cog has logged or printed anything" in said) == (0, True)
    assert shell(folder, "logs", "last", "--json") == (0, "")
