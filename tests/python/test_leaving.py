"""What an engine leaves behind: nothing where it could not be made, nothing once it has closed, and no thread that brings Python down at its end."""

from __future__ import annotations

import gc
import os
import pathlib
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import pytest
from conftest import one

import cogwork as cw
from cogwork import _core

STACK = 1 << 30
SCARCE = """
import os, pathlib, resource, signal, sys, threading
import cogwork as cw

def no_threads():
    "Each would have a stack of a gigabyte."
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), resource.RLIM_INFINITY))

def threads_again():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

@cw.cog(idempotent=True)
def quick() -> int:
    return 1

@cw.cog(idempotent=True)
async def gentle() -> int:
    return 2

def labor(job):
    return cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[job])])])

def attempt(what, call):
    try:
        print(what, "->", call(), flush=True)
    except BaseException as error:
        print(what, "->", type(error).__name__, error, flush=True)

def blocked():
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def script(tmp_path: pathlib.Path, body: str, **limits: int) -> str:
    """What it prints; it must end in order."""
    path = tmp_path / "script.py"
    path.write_text(SCARCE + textwrap.dedent(body))

    def prepare() -> None:
        if "stack" in limits:
            resource.setrlimit(resource.RLIMIT_STACK, (limits["stack"], resource.RLIM_INFINITY))

    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=prepare,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    for word in ("terminate", "Fatal", "Traceback", "Aborted"):
        assert word not in done.stderr, done.stderr
    return done.stdout


# ---- no threads ----


def test_an_engine_without_threads_is_not_made_and_leaves_nothing(tmp_path):
    said = script(
        tmp_path,
        """
        before = blocked()
        files = len(os.listdir("/proc/self/fd"))
        no_threads()
        for _ in range(3):
            attempt("engine", lambda: cw.Engine("l.db"))
        print("signals", blocked() == before, "threads", threading.active_count(), "files", len(os.listdir("/proc/self/fd")) - files)
        threads_again()
        attempt("then", lambda: cw.Engine("l.db").run(labor(quick.job())).state.name)
        """,
        stack=STACK,
    )
    assert said.count("engine -> ResourceError no thread could be started") == 3, said
    assert "signals True threads 1 files 0" in said
    assert "then -> COMPLETED" in said


@pytest.mark.parametrize("job", ["quick.job()", "gentle.job()", "cw.command.job(['true'])"])
def test_without_threads_nothing_is_lost_and_with_room_again_all_goes_on(tmp_path, job):
    said = script(
        tmp_path,
        f"""
        with cw.Engine("l.db", grace=0.2) as engine:
            engine.run(labor(quick.job()))
            no_threads()
            handle = None
            def submit():
                global handle
                handle = engine.submit(labor({job}))
                return "submitted"
            attempt("submit", submit)
            attempt("stats", lambda: engine.stats().degraded)
            threads_again()
            if handle is not None:
                print("it ended", handle.wait(60).state.ended)
            attempt("again", lambda: engine.submit(labor({job})).wait(60).state.name)
        print("closed", engine.closed)
        """,
        stack=STACK,
    )
    assert "submit -> submitted" in said or "submit -> ResourceError" in said, said
    assert "stats -> False" in said
    assert "again -> COMPLETED" in said
    assert "closed True" in said


def test_without_threads_an_await_says_so_and_nothing_was_begun(tmp_path):
    said = script(
        tmp_path,
        """
        import asyncio
        async def main():
            with cw.Engine("l.db") as engine:
                no_threads()
                try:
                    await engine.asubmit(labor(quick.job()))
                except cw.ResourceError as error:
                    print("asubmit ->", error)
                threads_again()
                await asyncio.to_thread(print, "an executor's thread")
                print("stored", len(list(engine.search())))
        asyncio.run(main())
        """,
        stack=STACK,
    )
    assert "asubmit -> no thread could be started" in said
    assert "stored 0" in said


# ---- no descriptors ----


def test_without_descriptors_an_engine_is_not_made_and_leaves_nothing(tmp_path):
    said = script(
        tmp_path,
        """
        before = blocked()
        files = len(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        kinds = set()
        for more in range(40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files - 1 + more, hard))
            try:
                cw.Engine("l.db").close()
                kinds.add("made")
                break
            except cw.CogworkError as error:
                kinds.add("refused")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        print(sorted(kinds), "signals", blocked() == before, "threads", threading.active_count())
        print("files", len(os.listdir("/proc/self/fd")) - files)
        """,
    )
    assert "['made', 'refused'] signals True threads 1" in said, said
    assert "files 0" in said


def test_asubmit_without_a_descriptor_says_so_before_it_submits(tmp_path):
    said = script(
        tmp_path,
        """
        import asyncio
        async def main():
            with cw.Engine("l.db") as engine:
                await asyncio.to_thread(print, "an executor's thread")
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                free = os.open("/dev/null", os.O_RDONLY)
                os.close(free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
                try:
                    await engine.asubmit(labor(quick.job()))
                except cw.ResourceError as error:
                    print("asubmit ->", error)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                print("stored", len(list(engine.search())))
                print("then", (await (await engine.asubmit(labor(quick.job())))).state.name)
        asyncio.run(main())
        """,
    )
    assert "asubmit -> the system gives no more to" in said
    assert "stored 0" in said
    assert "then COMPLETED" in said


# ---- warnings that are errors ----


def held_labor(path: pathlib.Path, make_cog) -> None:
    """Leaves a Job that a person must decide about: the next opening warns."""
    begun = threading.Event()
    over = threading.Event()

    def risky() -> None:
        begun.set()
        over.wait(30)

    cog = make_cog(risky)
    with pytest.warns(cw.CogworkWarning):
        engine = cw.Engine(path, grace=0.1)
        engine.submit(one(cog.job()))
        begun.wait(30)
        engine.close(interrupt=True)
    over.set()


def test_a_constructor_whose_warning_is_an_error_leaves_nothing(tmp_path, make_cog):
    held_labor(tmp_path / "l.db", make_cog)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cw.CogworkWarning):
            cw.Engine(tmp_path / "l.db")
    with pytest.warns(cw.CogworkWarning):  # the store is free
        cw.Engine(tmp_path / "l.db").close()


def test_the_end_of_a_block_whose_warning_is_an_error_does_not_hide_the_users_error(tmp_path, make_cog, gate):
    def waits() -> None:
        gate()

    cog = make_cog(waits, idempotent=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError), cw.Engine(tmp_path / "l.db", grace=0.1) as engine:
            engine.submit(one(cog.job()))
            gate.wait_for(1)
            1 / 0  # noqa: B018
        assert engine.closed
        gate.open()


@pytest.mark.parametrize("filters", ["always", "error"])
def test_what_is_left_when_python_ends_is_said_also_where_warnings_are_errors(tmp_path, filters):
    code = """
import cogwork as cw

@cw.cog
def begun() -> None: ...

labor = cw.Labor("night", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[begun.job()])])])
engines = [cw.Engine(f"{name}.db") for name in "ab"]
for engine in engines:
    engine.submit(labor, start=False)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COGWORK_RUNTIME_DIR": str(tmp_path / "run")}
    done = subprocess.run(
        [sys.executable, "-W", filters, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left 1 unfinished Labor in" in done.stderr
    for name in "ab":
        with cw.Engine(tmp_path / f"{name}.db", recover="none") as engine:
            assert [found.state for found in engine.search()] == [cw.State.ADMIN_NOT_STARTED], "closed, and taken up"


# ---- closed ----


def guardians() -> list[int]:
    """Children of this process that are guardians of engines."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            about = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(about[1]) == os.getpid() and b"_guardian" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_closed_engines_that_are_kept_hold_no_process_and_no_descriptor(tmp_path, make_cog):
    async def gentle() -> int:
        return 1

    cog = make_cog(gentle, idempotent=True)
    before = len(os.listdir("/proc/self/fd"))
    threads = len(os.listdir("/proc/self/task"))
    kept = []
    for n in range(20):
        engine = cw.Engine(tmp_path / f"l{n}.db")
        engine.run(one(cw.command.job(["true"])))
        engine.run(one(cog.job()))
        engine.close()
        kept.append(engine)
    gc.collect()
    assert guardians() == []
    assert len(os.listdir("/proc/self/fd")) <= before + 2, "a loop's descriptors may be on their way"
    assert len(os.listdir("/proc/self/task")) <= threads + 2
    assert all(engine.closed for engine in kept)


# ---- the end of Python ----


def test_a_thread_that_waits_natively_when_python_ends_parks(tmp_path):
    script(
        tmp_path,
        """
        import time
        from cogwork import _core

        class Slow:
            def __del__(self, sleep=time.sleep):
                sleep(1.5)

        slow = Slow()
        for seconds in (0.3, 0.5, 0.7):
            threading.Thread(target=_core.Completion().wait, args=(seconds,), daemon=True).start()
        engine = cw.Engine("l.db")  # and its workers
        """,
    )


def test_a_store_in_python_that_hangs_when_python_ends_parks(tmp_path):
    said = script(
        tmp_path,
        """
        import time, warnings
        from cogwork.testing import FaultyStorage
        warnings.simplefilter("ignore")

        class Slow:
            def __del__(self, sleep=time.sleep):
                sleep(4)

        slow = Slow()
        store = FaultyStorage("l.db")
        engine = cw.Engine(store, grace=0.1)
        store.delay(14)  # longer than a close waits for one write
        threading.Thread(target=lambda: engine.submit(labor(quick.job())), daemon=True).start()
        threading.excepthook = lambda args: None
        time.sleep(0.5)
        print("leaves", flush=True)
        """,
    )
    assert "leaves" in said


def test_ctrl_c_is_heard_while_a_submit_waits_for_the_process_of_a_cog(tmp_path):
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\necho begun >&2\nexec sleep 600\n")
    mute.chmod(0o755)
    path = tmp_path / "script.py"
    path.write_text(
        SCARCE
        + textwrap.dedent(
            f"""
            with cw.Engine("l.db", grace=0.1) as engine:
                try:
                    print("submitting", flush=True)
                    engine.submit(labor(cw.process_cog({str(mute)!r}).job()))
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(path)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "submitting\n"
    began = time.monotonic()
    heard = ""
    while not heard and time.monotonic() - began < 25:  # by itself it ends after 30 s
        process.send_signal(signal.SIGINT)
        heard = process.stdout.readline()
    assert heard == "interrupted\n"
    assert process.wait(60) == 0
    process.stdout.close()


def test_a_submit_after_close_says_that_the_engine_is_closed_at_once(tmp_path):
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexec sleep 600\n")
    mute.chmod(0o755)
    engine = cw.Engine(tmp_path / "l.db")
    engine.close()
    with pytest.raises(cw.EngineClosed):
        engine.submit(one(cw.process_cog(str(mute)).job()))


def test_a_wait_takes_no_descriptor():
    completion = _core.Completion()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        assert not completion.wait(0.01)
        waiter = threading.Thread(target=completion.wait)
        waiter.start()
        completion.set()
        waiter.join(30)
        assert not waiter.is_alive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
