"""What Cogs say reaches those who watch while the attempt still runs, and slows nobody down."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import State, _display

COGS = """
import logging, os, sys
import cogwork as cw

@cw.cog
def talks(ctx: cw.Context, file: str) -> str:
    ctx.progress(0.5, "half")
    ctx.log("by the context")
    logging.getLogger("there").warning("by logging")
    for out, text in ((sys.stdout, "on stdout\\n"), (sys.stderr, "on stderr\\n")):
        out.write(text)  # print() writes the end of the line by itself, and another thread's text may come between
        out.flush()
    while not os.path.exists(file):
        if not ctx.sleep(0.01): raise RuntimeError("cancelled")
    return "done"

@cw.cog
def floods(ctx: cw.Context) -> None:
    for n in range(200_000): ctx.log("line %d", n)

if __name__ == "__main__":
    cw.serve_cogs()
"""


@pytest.fixture
def program(tmp_path) -> str:
    path = tmp_path / "cogs"
    path.write_text(f"#!{sys.executable}\n{COGS}")
    path.chmod(0o755)
    return str(path)


def follow(handle: cw.LaborHandle, *expected: str) -> list[cw.LogLine]:
    """Reads until all of these were said."""
    lines = []
    missing = list(expected)
    for line in handle.logs():
        lines.append(line)
        missing = [words for words in missing if words not in line.text]
        if not missing:
            return lines
    raise AssertionError(f"it ended without {missing}: {[line.text for line in lines]}")


# ---- while the attempt runs ----


def test_lines_of_a_plain_cog(engine, make_cog, gate):
    def talk(ctx: cw.Context) -> None:
        ctx.log("first\nsecond")
        logging.getLogger("there").warning("by logging")
        gate()

    handle = engine.submit(one(make_cog(talk).job().replace(name="talk"), target="edge-7"))
    lines = follow(handle, "by logging")
    assert handle.state is State.RUNNING, "it waits for the gate"
    assert [line.text for line in lines[:2]] == ["first", "second"]
    assert {(line.target, line.name, line.attempt, line.dropped) for line in lines} == {("edge-7", "talk", 1, 0)}
    assert [line.number - lines[0].number for line in lines] == [0, 1, 2]
    assert lines[0].at.tzinfo is not None
    resumed = handle.logs(since=lines[1].number)
    assert "by logging" in next(resumed).text, "a reader goes on behind a number"
    from_now = handle.logs(since=None)
    gate.open()
    done = handle.wait(30)
    assert list(from_now) == list(resumed) == [], "both end with the Labor"
    assert lines[0].job_id == done["task"]["edge-7"][0].id
    assert done["task"]["edge-7"][0].attempts[0].log.count("\n") == 2, "the attempt keeps them as ever"


def test_lines_of_an_async_cog_are_awaited(engine, make_cog):
    go = threading.Event()

    async def talk(ctx: cw.Context) -> None:
        ctx.log("spoken")
        while not go.is_set():
            await ctx.sleep(0.01)

    async def read(handle: cw.LaborHandle) -> list[str]:
        texts = []
        async for line in handle.logs():
            texts.append(line.text)
            go.set()
        return texts

    handle = engine.submit(one(make_cog(talk).job()))
    assert asyncio.run(read(handle)) == ["spoken"]
    assert handle.wait(30).state is State.COMPLETED


def test_lines_and_progress_of_a_process_cog(engine, program, tmp_path):
    go = tmp_path / "go"
    handle = engine.submit(one(cw.Job(f"{program}:talks", {"file": str(go)})))
    lines = follow(handle, "by the context", "by logging", "on stdout", "on stderr")
    (flight,) = handle.progress().in_flight
    assert (flight.fraction, flight.message) == (0.5, "half")
    assert {line.target for line in lines} == {"host"}
    go.touch()
    assert handle.wait(30).state is State.COMPLETED


def test_what_a_process_prints_for_several_calls_is_said_once_and_nobodys(engine, program, tmp_path):
    go = tmp_path / "go"
    handle = engine.submit(many(lambda _: cw.Job(f"{program}:talks", {"file": str(go)}), 3, concurrency=3))
    printed = []
    for line in handle.logs():
        printed += [line] if line.text == "on stderr" else []
        if len(printed) == 3:
            go.touch()
    assert len(printed) == 3, "once for each call that printed it"
    assert all(line.attempt == 0 and program in line.name for line in printed if not line.job_id)
    assert not printed[-1].job_id, "three calls ran by then"
    handle.wait(30)


def test_lines_of_a_command(engine, tmp_path):
    go = tmp_path / "go"
    script = f"echo output; echo working >&2; printf unended >&2; while ! test -e {go}; do sleep 0.02; done"
    handle = engine.submit(one(cw.command.job(shell=script).replace(name="run")))
    (line,) = follow(handle, "working")
    assert (line.name, line.text) == ("run", "working")
    logs = handle.logs(line.number)
    go.touch()
    assert [rest.text for rest in logs] == ["unended"]
    assert handle.wait(30).state is State.COMPLETED


def test_another_process_watches(tmp_path, monkeypatch, make_cog):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    db, go = tmp_path / "labors.db", tmp_path / "go"

    def talk(ctx: cw.Context, file: str) -> None:
        ctx.log("\x1b[2Jwaits \u202efor it")
        while not os.path.exists(file):
            ctx.sleep(0.01)

    with cw.Engine(db) as engine:
        handle = engine.submit(one(make_cog(talk).job(file=str(go)).replace(name="talk"), target="edge-7"))
        reader = textwrap.dedent("""
            import pathlib, sys, cogwork as cw
            with cw.connect(sys.argv[1]) as client:
                for line in client.handle(sys.argv[2]).logs():
                    print(ascii(line.text), flush=True)
                    pathlib.Path(sys.argv[3]).touch()
        """)
        command = [sys.executable, "-c", reader, str(db), handle.id, str(go)]
        read = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert read.stdout == "'\\x1b[2Jwaits \\u202efor it'\n", read.stderr
        assert handle.wait(30).state is State.COMPLETED

        go.unlink()
        handle = engine.submit(one(make_cog(talk).job(file=str(go)).replace(name="talk"), target="edge-7"))
        command = [sys.executable, "-m", "cogwork", "watch", handle.id, "--db", str(db)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shell:
            said = ""
            for text in shell.stdout:
                said += text
                if "waits" in text:
                    go.touch()
        assert re.search(r"\d\d:\d\d:\d\d edge-7 talk \| \\x1b\[2Jwaits \\u202efor it\n", said), said
        with cw.connect(db) as client:
            assert len(list(client.handle(handle.id).logs())) == 1, "it has ended a moment ago"
    with cw.connect(db) as client:
        assert list(client.handle(handle.id).logs()) == [], "no engine, no lines"
        with pytest.raises(cw.NotFound):
            client.handle("0" * 8 + "-0000-4000-8000-000000000000")


# ---- too much of it ----


def test_a_flood_is_bounded_counted_and_hides_nobody(engine, make_cog):
    flooding, go_on = threading.Event(), threading.Event()
    count = 1_000_000

    def flood(ctx: cw.Context) -> None:
        for n in range(count):
            ctx.log("line %d", n)
            if n == 10_000:
                flooding.set()
        go_on.wait(60)

    def calm(ctx: cw.Context) -> None:
        flooding.wait(60)
        ctx.log("calm")

    loud, quiet = make_cog(flood), make_cog(calm)
    labor = many(lambda n: (quiet if n else loud).job(), 2, concurrency=2)
    handle = engine.submit(labor)
    logs = handle.logs()
    said, dropped, calm_at = 0, 0, None
    for line in logs:
        if line.target == "host-0":
            said += 0 if line.dropped else 1
            dropped += line.dropped
        else:
            assert line.text == "calm"
            calm_at = said + dropped
        if said + dropped + logs.missed >= 2_000:
            go_on.set()
    assert calm_at is not None, "another Job is heard"
    assert logs.missed + said + dropped == count, "all are told or counted"
    assert dropped > 0
    kept = handle.wait(60)["task"]["host-0"][0].attempts[0].log
    assert len(kept) < 70_000
    assert "more lines were dropped" in kept


def test_a_flood_of_a_process_cog_is_bounded(engine, program):
    handle = engine.submit(one(cw.Job(f"{program}:floods", timeout=60)))
    logs = handle.logs()
    lines = list(logs)
    done = handle.wait(60).raise_for_state()
    assert lines
    assert len(lines) < 200_000
    assert any("dropped" in line.text for line in lines)
    assert len(done["task"]["host"][0].attempts[0].log) < 70_000


def test_a_reader_that_comes_late_learns_what_it_missed(engine, make_cog, gate):
    def talk(ctx: cw.Context) -> None:
        for n in range(900):
            ctx.log("%d %s", n, "x" * 3000)
        gate()

    handle = engine.submit(one(make_cog(talk).job()))
    gate.wait_for(1)
    logs = handle.logs()
    lines = logs.poll()
    assert logs.missed + len(lines) == 900
    assert logs.missed > 0
    assert lines[-1].text.startswith("899 ")
    assert sum(len(line.text) for line in lines) <= 1 << 20
    gate.open()
    handle.wait(30)


# ---- displays ----


def test_lines_in_a_pipe(engine, make_cog, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    def talk(ctx: cw.Context) -> None:
        ctx.log("\x1b[31mred\rover")

    labor = _display.watch(engine.submit(one(make_cog(talk).job().replace(name="talk"), target="\x1b[2Jevil")))
    assert labor.state is State.COMPLETED
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    assert r"\x1b[2Jevil talk | \x1b[31mred\rover" in text
    assert text.index("| ") < text.index("COMPLETED"), "what it said comes before its end"


# ---- what was said by an attempt that did not end ----

DIES = """
import logging, os, sys, time
import cogwork as cw

@cw.cog
def flash(ctx: cw.Context, host: str) -> None:
    ctx.log("by the context")
    logging.getLogger("there").warning("by logging")
    while True: ctx.sleep(60)

labor = cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("r1", jobs=[JOB])])])
with cw.Engine("labors.db") as engine:
    handle = engine.submit(labor)
    said = ""
    while "LAST" not in said:  # until it is in the store
        said = "".join(a.log for a in engine.read_labor(handle.id)["t"]["r1"][0].attempts)
        time.sleep(0.02)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ('flash.job("r1")', ["by the context", "by logging"]),
        ('cw.command.job(shell="echo to stderr >&2; echo last line >&2; sleep 60")', ["to stderr", "last line"]),
        ('cw.Job("PROGRAM:talks", {"file": "none"})', ["by the context", "by logging"]),
    ],
    ids=["plain", "command", "process"],
)
def test_r2_an_attempt_whose_engine_is_killed_keeps_what_it_said(tmp_path, program, job, expected):
    code = DIES.replace("JOB", job.replace("PROGRAM", program)).replace("LAST", expected[-1])
    end = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert end.returncode == -9, end.stderr
    with cw.Engine(tmp_path / "labors.db", recover="none") as engine:
        (labor,) = engine.search()
        (attempt,) = engine.read_labor(labor.id)["t"]["r1"][0].attempts
        for words in expected:
            assert words in attempt.log


def test_r2_closing_keeps_what_interrupted_attempts_said(tmp_path, make_cog):
    began = threading.Event()

    def waits(ctx: cw.Context) -> None:
        ctx.log("on my way")
        began.set()
        ctx.sleep(600)
        ctx.log("cut short")
        raise RuntimeError("interrupted")

    with pytest.warns(cw.CogworkWarning):
        engine = cw.Engine(tmp_path / "l.db")
        handle = engine.submit(one(make_cog(waits).job()))
        assert began.wait(60)
        engine.close(interrupt=True)
    with cw.open_store(tmp_path / "l.db") as store:
        (attempt,) = store.read_labor(handle.id)["task"]["host"][0].attempts
        assert attempt.ended is None
        assert "on my way" in attempt.log
