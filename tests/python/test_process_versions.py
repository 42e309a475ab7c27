"""The file of a process Cog is saved, replaced, broken and taken away while an engine calls it: nobody loses a Job by that (C3, X10)."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest
from conftest import many, one
from process_support import alive, gone

import cogwork as cw
from cogwork import State

SOURCE = """
import os, sys, time
import cogwork as cw

@cw.cog(idempotent=True)
def work(ctx: cw.Context, folder: str) -> list[object]:
    with open(f"{folder}/begun", "a") as out: out.write(f"VERSION {ctx.target}\\n")
    time.sleep(0.01)
    while not os.path.exists(f"{folder}/go"): time.sleep(0.01)
    return ["VERSION", os.getpid()]

if __name__ == "__main__":
    cw.serve_cogs()
"""


def source(version: str, text: str = SOURCE) -> str:
    return f"#!{sys.executable}\n" + textwrap.dedent(text).replace("VERSION", version)


def save(path: pathlib.Path, text: str) -> None:
    """In place, as many editors do."""
    path.write_text(text)
    path.chmod(0o755)


def replace(path: pathlib.Path, text: str) -> None:
    """By a rename, as others do."""
    new = path.with_name("new")
    save(new, text)
    new.rename(path)


@pytest.fixture
def program(tmp_path) -> pathlib.Path:
    path = tmp_path / "cogs"
    save(path, source("one"))
    return path


def wait_until(holds: Callable[[], object], why: str = "") -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, why
        threading.Event().wait(0.01)


def begun(folder: pathlib.Path, count: int) -> None:
    file = folder / "begun"
    wait_until(lambda: file.exists() and len(file.read_text().splitlines()) >= count, f"less than {count} began")


def outputs(labor: cw.Labor) -> list[str]:
    return [s.jobs[0].output[0] for s in labor.tasks[0].sequences]


def logs(labor: cw.Labor) -> list[str]:
    return [s.jobs[0].attempts[-1].log for s in labor.tasks[0].sequences]


BREAK = {
    "emptied": lambda path: save(path, ""),
    "half written": lambda path: save(path, source("two")[:150]),
    "a syntax error": lambda path: save(path, source("two") + "\ndef f(:\n"),
    "replaced by a syntax error": lambda path: replace(path, "#!/bin/sh\n(\n"),
    "exits at once": lambda path: save(path, "#!/bin/sh\necho no licence >&2\nexit 3\n"),
    "is killed at its start": lambda path: save(path, "#!/bin/sh\nkill -9 $$\n"),
    "says something else": lambda path: save(path, "#!/bin/sh\nprintf 'HTTP/1.1 200 OK\\r\\n' >&3\nsleep 60\n"),
    "no interpreter": lambda path: save(path, "#!/no/such/interpreter\n"),
    "not executable": lambda path: path.chmod(0o644),
    "taken away": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", BREAK)
def test_c3_a_file_that_cannot_be_used_leaves_the_version_before_in_service(engine, tmp_path, program, how):
    cog = cw.process_cog(str(program), name=f"kept-{tmp_path.name}-{how.replace(' ', '-')}")
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 4, concurrency=2))
    begun(tmp_path, 2)
    BREAK[how](program)
    (tmp_path / "go").touch()
    done = handle.wait(60)
    assert done.state is State.COMPLETED, done
    assert outputs(done) == ["one"] * 4
    assert [len(s.jobs[0].attempts) for s in done.tasks[0].sequences] == [1] * 4, "none was even tried twice"
    wait_until(lambda: engine.stats().outdated, "it is said that the file cannot be used")
    [outdated] = engine.stats().outdated
    assert outdated.program == str(program)
    assert outdated.why
    assert outdated.since is not None
    # What runs from then on says on what it ran.
    with pytest.raises(cw.ValidationError):  # a submit asks the file as it is now
        engine.submit(one(cog.job(folder=str(tmp_path))))
    assert engine.cogs.crashes(cog.name) == 0
    # And when it is mended, the new version serves.
    if program.is_dir():
        program.rmdir()
    save(program, source("three"))
    assert outputs(engine.run(one(cog.job(folder=str(tmp_path))))) == ["three"]
    assert engine.stats().outdated == []


def test_c3_attempts_on_the_version_before_say_so(engine, tmp_path, program):
    cog = cw.process_cog(str(program), name=f"says-{tmp_path.name}")
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 3))
    begun(tmp_path, 1)
    save(program, "#!/bin/sh\necho no licence >&2\nexit 3\n")
    with pytest.raises(cw.ValidationError, match="no licence"):
        engine.submit(one(cog.job(folder=str(tmp_path))))
    (tmp_path / "go").touch()
    first, *others = logs(handle.wait(60))
    assert first == ""
    assert all("this ran on the version before" in log and "no licence" in log for log in others), others


def test_c3_a_new_version_takes_over_without_a_submit(engine, tmp_path, program):
    (tmp_path / "go").touch()
    cog = cw.process_cog(str(program), name=f"over-{tmp_path.name}")
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 20_000))
    begun(tmp_path, 1)
    save(program, source("two"))

    wait_until(lambda: "two" in (tmp_path / "begun").read_text(), "attempts go to the new version")
    assert handle.stop().wait(60)
    assert handle.wait(60).failures() == [], "and none was lost on the way"


def test_c3_a_call_that_runs_ends_on_the_old_version(engine, tmp_path, program):
    cog = cw.process_cog(str(program), name=f"old-{tmp_path.name}")
    old = engine.submit(one(cog.job(folder=str(tmp_path))))
    begun(tmp_path, 1)
    replace(program, source("two"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "go").touch()
    new = engine.run(one(cog.job(folder=str(tmp_path / "other")))).raise_for_state()
    (tmp_path / "go").touch()
    done = old.wait(60)
    assert (outputs(done), outputs(new)) == (["one"], ["two"])
    assert gone(done.tasks[0].sequences[0].jobs[0].output[1]), "the old process ends when nothing runs in it"
    assert alive(new.tasks[0].sequences[0].jobs[0].output[1])


def test_c3_a_changed_signature_leaves_jobs_on_the_version_that_they_fit(engine, tmp_path, program):
    cog = cw.process_cog(str(program), name=f"signed-{tmp_path.name}")
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 4))
    begun(tmp_path, 1)
    save(program, source("two", SOURCE.replace("folder: str)", "folder: str, mode: str)")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "go").touch()
    with pytest.raises(cw.ValidationError, match="mode"):
        engine.submit(one(cog.job(folder=str(tmp_path / "other"))))
    new = engine.run(one(cog.job(folder=str(tmp_path / "other"), mode="fast"))).raise_for_state()
    assert outputs(new) == ["two"]
    (tmp_path / "go").touch()
    done = handle.wait(60)
    assert done.state is State.COMPLETED, done
    assert outputs(done) == ["one"] * 4
    assert "version of the program before its file was changed" in logs(done)[-1]
    assert "mode" in logs(done)[-1]


def test_c3_a_signature_that_still_takes_them_moves_jobs_to_the_new_version(engine, tmp_path, program):
    cog = cw.process_cog(str(program), name=f"wider-{tmp_path.name}")
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 3))
    begun(tmp_path, 1)
    save(program, source("two", SOURCE.replace("folder: str)", "folder: str, mode: str = 'fast')")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "go").touch()
    engine.run(one(cog.job(folder=str(tmp_path / "other"), mode="slow"))).raise_for_state()
    (tmp_path / "go").touch()
    assert outputs(handle.wait(60)) == ["one", "two", "two"]


def test_c3_a_cog_that_was_taken_out_of_its_program_goes_on_for_the_jobs_that_have_it(engine, tmp_path, program):
    name = f"out-{tmp_path.name}"
    cog = cw.process_cog(f"{program}:work", name=name)
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 3))
    begun(tmp_path, 1)
    save(program, source("two", SOURCE.replace("def work", "def other")))
    with pytest.raises(cw.ValidationError, match="holds no cog 'work'; it holds 'other'"):
        engine.submit(one(cog.job(folder=str(tmp_path))))
    (tmp_path / "go").touch()
    done = handle.wait(60)
    assert done.state is State.COMPLETED, done
    assert outputs(done) == ["one"] * 3


def test_c3_a_file_that_is_being_saved_when_its_process_dies_is_waited_for(engine, tmp_path, program):
    cog = cw.process_cog(str(program), name=f"saving-{tmp_path.name}")
    (tmp_path / "go").touch()
    pid = engine.run(one(cog.job(folder=str(tmp_path)))).raise_for_state().tasks[0].sequences[0].jobs[0].output[1]
    handle = engine.submit(one(cog.job(folder=str(tmp_path))), start=False)
    save(program, source("two")[:150])
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    wait_until(lambda: engine.stats().processes == 0, "the engine has seen it")
    writer = threading.Timer(0.3, save, (program, source("two")))
    writer.start()
    done = handle.start().wait(60)
    writer.join()
    [attempt] = done.tasks[0].sequences[0].jobs[0].attempts
    assert done.state is State.COMPLETED, attempt.error


def test_a_program_is_the_same_wherever_the_host_goes(engine, tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cog = cw.process_cog("./cogs", name=f"here-{tmp_path.name}")
    handle = engine.submit(many(lambda _: cog.job(folder=str(tmp_path)), 3))
    begun(tmp_path, 1)
    monkeypatch.chdir("/")
    save(program, source("two"))
    (tmp_path / "go").touch()
    assert handle.wait(60).state is State.COMPLETED
