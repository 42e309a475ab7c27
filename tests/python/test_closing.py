"""The end of engines, in order and otherwise (R1-R3, close): nothing hangs, nothing crashes, and what is left is said and goes on."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import State

PRELUDE = """
import gc, os, signal, sys, threading, time
import cogwork as cw

@cw.cog(idempotent=True)
def nap(seconds: float) -> None:
    print("begun", flush=True)
    time.sleep(seconds)

@cw.cog(idempotent=True)
def polite(ctx: cw.Context) -> None:
    print("begun", flush=True)
    ctx.sleep(60)
    raise RuntimeError("interrupted")

@cw.cog
def quick(n: int) -> int:
    return n

def labor(job, count=4, concurrency=2, name="rollout"):
    return cw.Labor(name, tasks=[cw.Task("all", concurrency=concurrency,
        sequences=[cw.Sequence(f"h{n}", jobs=[job]) for n in range(count)])])
"""


class Script:
    """A script in a process of its own."""

    def __init__(self, tmp_path: pathlib.Path, body: str, *args: str) -> None:
        path = tmp_path / "script.py"
        path.write_text(PRELUDE + textwrap.dedent(body))
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(path), *args],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_line(self, text: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return
        raise AssertionError(f"{text!r} never came; {self.process.communicate()[1]}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = 30) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler says where it hangs
            out, err = self.process.communicate()
            raise AssertionError(f"it hangs:\n{out}\n{err}") from None
        return self.process.returncode, out, err


def states(path: pathlib.Path) -> list[str]:
    with cw.open_store(path) as store:
        return [labor.state.name for labor in store.search()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("cog", ["polite.job()", "nap.job(seconds=60)"], ids=["polite", "deaf"])
def test_ctrl_c_in_wait_closes_in_order_and_says_what_is_left(tmp_path, number, cog):
    script = Script(
        tmp_path,
        f"""
        with cw.Engine("l.db", grace=0.3) as engine:
            engine.submit(labor({cog})).wait()
        """,
    )
    script.wait_for_line("begun")
    script.send(number)
    code, _out, err = script.end()
    assert code in (1, 130, -2), err
    assert "KeyboardInterrupt" in err
    assert "'rollout'" in err
    assert "0 of 4 sequences ended" in err
    assert "Fatal" not in err
    assert "terminate" not in err
    assert states(tmp_path / "l.db") == ["RUNNING"]


def test_ctrl_c_twice_interrupts_a_close_that_waits(tmp_path):
    script = Script(
        tmp_path,
        """
        begun = threading.Event()

        @cw.cog(idempotent=True)
        def sleeps() -> None:
            begun.set()
            time.sleep(60)

        def say_when_it_closes():
            try:
                while True:
                    engine.submit(labor(quick.job(n=1)), start=False)
            except cw.EngineClosed:
                print("closing", flush=True)

        engine = cw.Engine("l.db", grace=0.2)
        engine.submit(labor(sleeps.job()))
        begun.wait()
        threading.Thread(target=say_when_it_closes).start()
        try:
            engine.close()       # waits for the sleeper
        except KeyboardInterrupt:
            print("closed", engine.closed, flush=True)
        """,
    )
    script.wait_for_line("closing")
    script.send(signal.SIGINT)
    code, out, err = script.end()
    assert code == 0, err
    assert "closed True" in out


@pytest.mark.parametrize(
    "body",
    [
        # never closed, with a running Job, at interpreter exit
        'engine = cw.Engine("l.db", grace=0.2); engine.submit(labor(nap.job(seconds=60))); time.sleep(0.3)',
        'engine = cw.Engine("l.db", grace=0.2); engine.submit(labor(polite.job())); time.sleep(0.3)',
        # dropped, with a running Job
        'cw.Engine("l.db", grace=0.2).submit(labor(nap.job(seconds=60))); gc.collect(); time.sleep(0.3)',
        # dropped right after submit
        'cw.Engine("l.db").submit(labor(quick.job(n=1)))',
        # at exit right after submit, nobody waits
        'engine = cw.Engine("l.db"); engine.submit(labor(quick.job(n=1), count=5000, concurrency=64))',
        # several at once, in a cycle
        "a = [cw.Engine('memory:') for _ in range(8)]; a.append(a); del a; gc.collect()",
        # sys.exit in the middle
        'engine = cw.Engine("l.db"); handle = engine.submit(labor(quick.job(n=1), count=5000)); sys.exit(0)',
        # a daemon thread that waits while the interpreter ends
        'engine = cw.Engine("l.db", grace=0.2); h = engine.submit(labor(nap.job(seconds=60)));'
        "threading.excepthook = lambda args: None;"
        "threading.Thread(target=h.wait, daemon=True).start(); time.sleep(0.3)",
        # a feed that is left open
        'engine = cw.Engine("l.db"); feed = engine.changes(); engine.run(labor(quick.job(n=1))); next(feed)',
        # closed from a Cog's own thread, by its last reference
        'box = [cw.Engine("memory:", grace=0.2)]\n'
        "@cw.cog\ndef last() -> None:\n    box.clear(); gc.collect()\n"
        "box[0].submit(labor(last.job())); time.sleep(1)",
    ],
)
def test_odd_ends_neither_hang_nor_crash(tmp_path, body):
    code, out, err = Script(tmp_path, textwrap.indent(body, "")).end()
    assert code == 0, (code, out, err)
    for word in ("Fatal", "terminate", "Traceback", "Aborted"):
        assert word not in err, err


def test_odd_ends_with_a_python_store(tmp_path):
    tests = pathlib.Path(__file__).parent
    script = Script(
        tmp_path,
        f"""
        sys.path.insert(0, {str(tests)!r})
        from test_storage import DictStore
        class Slow(DictStore):
            def write_job(self, job):
                time.sleep(0.002)
                gc.collect()
                super().write_job(job)
        engine = cw.Engine(Slow(), grace=0.2)
        engine.submit(labor(quick.job(n=1), count=200, concurrency=16))
        del engine
        gc.collect()
        other = cw.Engine(Slow(), grace=0.2)
        other.submit(labor(nap.job(seconds=60)))
        time.sleep(0.2)
        """,
    )
    code, out, err = script.end()
    assert code == 0, (out, err)
    assert "Fatal" not in err


def test_the_last_reference_lets_go_of_the_store(tmp_path):
    engine = cw.Engine(tmp_path / "l.db")
    alive = weakref.ref(engine)
    del engine
    gc.collect()
    assert alive() is None
    deadline = time.monotonic() + 20
    while True:
        try:
            cw.Engine(tmp_path / "l.db").close()
            return
        except cw.StoreInUse:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_close_waits_for_what_executes_and_leaves_the_rest(tmp_path, make_cog, gate):
    def wait() -> None:
        gate()

    cog = make_cog(wait, idempotent=True)
    engine = cw.Engine(tmp_path / "l.db")
    handle = engine.submit(many(lambda n: cog.job(), 5, concurrency=2))
    gate.wait_for(2)
    closing = threading.Thread(target=engine.close)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        closing.start()
        with pytest.raises(cw.EngineClosed):
            while True:  # until the close is under way
                engine.submit(one(cog.job()), start=False)
        gate.open()
        closing.join(20)
    assert not closing.is_alive()
    assert gate.entered == 2, "no attempt begins any more"
    text = "".join(str(w.message) for w in caught if issubclass(w.category, cw.CogworkWarning))
    assert "2 of 5 sequences ended" in text
    assert "cogwork.Engine(" in text, "how to go on"
    with pytest.raises(cw.EngineClosed):
        handle.pause()
    with cw.Engine(tmp_path / "l.db") as again:
        assert handle.id in again.taken_up
        done = again.handle(handle.id).wait(20)
    assert done.state == State.COMPLETED
    assert [len(s.jobs[0].attempts) for s in done.tasks[0].sequences] == [1] * 5


def test_waiters_hear_of_the_close(tmp_path, make_cog, gate):
    def wait() -> None:
        gate()

    cog = make_cog(wait, idempotent=True)
    engine = cw.Engine(tmp_path / "l.db", grace=0.1)
    handle = engine.submit(many(lambda n: cog.job(), 5))
    gate.wait_for(1)
    ack = handle.pause()
    errors: list[BaseException] = []

    def waiting(call) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    feed = engine.changes()
    threads = [threading.Thread(target=waiting, args=(call,)) for call in (handle.wait, ack.wait, lambda: list(feed))]
    for thread in threads:
        thread.start()
    with pytest.warns(cw.CogworkWarning, match="1 attempts interrupted"):
        engine.close(interrupt=True)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert [type(error) for error in errors] == [cw.EngineClosed, cw.EngineClosed]
    engine.close()  # idempotent
    gate.open()


def test_r3_pauses_stay_pauses_and_pausing_becomes_its_pause(tmp_path, make_cog, gate):
    def wait() -> None:
        gate()

    cog = make_cog(wait, idempotent=True)
    with pytest.warns(cw.CogworkWarning), cw.Engine(tmp_path / "l.db", grace=0.1) as engine:
        handle = engine.submit(many(lambda n: cog.job(), 5, concurrency=2))
        gate.wait_for(2)
        handle.pause(by="ann")
        assert handle.state == State.PAUSING
        engine.close(interrupt=True)
    gate.open()
    with pytest.warns(cw.CogworkWarning), cw.Engine(tmp_path / "l.db") as engine:
        again = engine.handle(handle.id)
        assert again.state == State.PAUSED
    with cw.Engine(tmp_path / "l.db") as engine:
        again = engine.handle(handle.id)
        assert again.state == State.PAUSED
        assert again.read().holds[0].by == "ann"
        again.resume()
        done = again.wait(20)
    assert done.state == State.COMPLETED
    statuses = sorted(tuple(a.status.name for a in s.jobs[0].attempts) for s in done.tasks[0].sequences)
    assert statuses == [("INTERRUPTED", "SUCCESS")] * 2 + [("SUCCESS",)] * 3, "R2: RETRY uses up no retry"


def test_r1_r2_killed_and_taken_up(tmp_path):
    body = """
        @cw.cog(idempotent=True)
        def touch(n: int) -> None:
            with open("effects", "a") as file:
                file.write(f"{n}\\n")
            time.sleep(0.01)
            while n >= 20 and not os.path.exists("again"):  # it is not through before it is killed
                time.sleep(0.01)

        rollout = cw.Labor("rollout", client_id="once", tasks=[cw.Task("all", concurrency=4,
            sequences=[cw.Sequence(f"h{n}", jobs=[touch.job(n=n)]) for n in range(60)])])
        with cw.Engine("l.db") as engine:
            print("taken up", len(engine.taken_up), flush=True)
            print(engine.submit(rollout).wait().state.name, flush=True)
        """
    script = Script(tmp_path, body)
    deadline = time.monotonic() + 20
    while not (tmp_path / "effects").exists() or len((tmp_path / "effects").read_text().split()) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    script.send(signal.SIGKILL)
    script.end()
    (tmp_path / "again").touch()
    code, out, err = Script(tmp_path, body).end()
    assert code == 0, err
    assert "taken up 1" in out
    assert "COMPLETED" in out
    with cw.open_store(tmp_path / "l.db") as store:
        (found,) = store.search()
        tree = store.read_labor(found.id)
    for sequence in tree.tasks[0].sequences:
        words = [attempt.status.name for attempt in sequence.jobs[0].attempts]
        assert words[-1] == "SUCCESS"
        assert words.count("SUCCESS") == 1
        assert set(words[:-1]) <= {"INTERRUPTED"}
    done = sorted(map(int, (tmp_path / "effects").read_text().split()))
    assert set(done) == set(range(60)), "nothing is lost"
    interrupted = sum(len(s.jobs[0].attempts) - 1 for s in tree.tasks[0].sequences)
    assert len(done) <= 60 + interrupted, "nothing ran twice unnoticed"


def test_r4_a_labor_waits_for_its_cogs_and_goes_on_when_they_come(tmp_path):
    first = Script(
        tmp_path,
        """
        @cw.cog(idempotent=True)
        def later() -> str:
            return "done"
        with cw.Engine("l.db") as engine:
            engine.submit(labor(later.job()), start=True)
            engine.close()
        """,
    )
    # It may well have ended before the close; a Labor that is held has not.
    first.end()
    (tmp_path / "l.db").unlink()
    held = Script(
        tmp_path,
        """
        @cw.cog(idempotent=True)
        def later() -> str:
            return "done"
        with cw.Engine("l.db") as engine:
            tree = labor(later.job())
            tree.tasks[0].pause_on_entry = True
            print(engine.submit(tree).id, flush=True)
        """,
    )
    code, out, err = held.end()
    assert code == 0, err
    code, out, err = Script(
        tmp_path,
        """
        with cw.Engine("l.db") as engine:
            (waiting,) = engine.stats().waiting
            print(waiting.why)
            @cw.cog(idempotent=True)
            def later() -> str:
                return "done"
            print(engine.stats().waiting)
            handle = engine.handle(waiting.labor_id)
            handle.task("all").admin_resume()
            print(handle.wait(20).state.name)
        """,
    ).end()
    assert code == 0, err
    assert "'later'" in out
    assert "[]" in out
    assert "COMPLETED" in out


def test_after_a_fork_the_engine_is_the_parents(tmp_path, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    with cw.Engine(tmp_path / "l.db") as engine:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks with threads
            pid = os.fork()
        if pid == 0:
            try:
                engine.submit(one(cog.job()))
            except cw.CogworkError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert engine.run(one(cog.job()), timeout=20).state == State.COMPLETED


FORKED = [
    "engine.stats()", "engine.search()", "engine.read_labor(h.id)", "engine.changes()", "engine.handle(h.id)", "engine.taken_up",
    "h.state", "h.wait(5)", "h.progress()", "h.start()", "h.read()", "h.task('all')", "h.watch()", "h.pause()",
    "next(feed)", "feed.poll()", "ack.wait()", "asyncio.run(h._ended())", "asyncio.run(engine.asubmit(labor(quick.job(n=1))))",
]  # fmt: skip


def test_after_a_fork_every_call_says_so_and_none_hangs(tmp_path):
    script = Script(
        tmp_path,
        f"""
        import asyncio, warnings
        warnings.simplefilter("ignore")
        with cw.Engine("l.db", grace=0.2) as engine:
            h = engine.submit(labor(polite.job()))
            feed = engine.changes()
            ack = h.task("all").pause()
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                for call in {FORKED!r}:
                    try:
                        print(call, "returned", eval(call))
                    except cw.CogworkError as error:
                        assert "fork" in str(error), (call, error)
                repr(engine), repr(h), repr(ack)
                engine.close()
                with cw.Engine("child.db") as own:
                    print("own", own.run(labor(quick.job(n=1))).state.name, flush=True)
                sys.exit(0)      # not _exit: whatever an interpreter does at its end is done in the child, too
            print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            print("parent", engine.stats().labors.executing, flush=True)
            h.stop(interrupt=True).wait()
        """,
    )
    code, out, err = script.end(60)
    assert code == 0, err
    assert "returned" not in out
    assert "own COMPLETED" in out
    assert "child 0" in out
    assert "parent 1" in out


def test_sigterm_in_a_watch_closes_in_order(tmp_path):
    script = Script(
        tmp_path,
        """
        from rich.console import Console
        from cogwork import _display
        _display.Console = lambda: Console(force_terminal=True)
        with cw.Engine("l.db", grace=0.2) as engine:
            engine.submit(labor(polite.job())).watch()
        """,
    )
    script.wait_for_line("rollout")
    script.send(signal.SIGTERM)
    code, _out, err = script.end()
    assert code in (1, 130, -2), err
    assert "0 of 4 sequences ended" in err
    assert states(tmp_path / "l.db") == ["RUNNING"]


def test_a_memory_store_says_that_nothing_is_kept(make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    with pytest.warns(cw.CogworkWarning, match="Nothing of it is kept"), cw.Engine("memory:") as engine:
        engine.submit(one(cog.job()), start=False)


def test_a_grace_of_for_ever(tmp_path, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    with cw.Engine(tmp_path / "l.db", grace=float("inf")) as engine:
        assert engine.run(one(cog.job()), timeout=20).state == State.COMPLETED


def test_bad_options_are_refused(tmp_path):
    wrong = (
        *({"workers": value} for value in (0, True, "4", 1.5, None)),
        *({"recover": value} for value in ("some", None, 1)),
        *({"max_output": value} for value in (0, 1.5, "1MiB", None)),
        *({"max_crashes": value} for value in (-1, 1.5, "3", None, True, 2**31)),
        *({"grace": value} for value in (-1, "soon", None)),
        *({"loop": value} for value in (5, "loop")),
    )
    for options in wrong:
        with pytest.raises((ValueError, TypeError), match="|".join([*options, "seconds"])) as caught:
            cw.Engine(tmp_path / "l.db", **options)
        assert len(str(caught.value)) < 200, "in words, and no signature of what lies below"
    with pytest.raises(TypeError):
        cw.Engine(5)
    with pytest.raises(TypeError):
        cw.Engine("memory:", grace="soon")
    cw.Engine(tmp_path / "l.db").close()


def test_recover_none_leaves_what_is_unfinished(tmp_path, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    with pytest.warns(cw.CogworkWarning), cw.Engine(tmp_path / "l.db") as engine:
        handle = engine.submit(one(cog.job()), start=False)
    with cw.Engine(tmp_path / "l.db", recover="none") as engine:
        assert engine.taken_up == []
        with pytest.raises(cw.SignalNotAllowed, match="recover"):
            engine.handle(handle.id).stop()
    with cw.Engine(tmp_path / "l.db") as engine:
        assert engine.taken_up == [handle.id]
        assert engine.handle(handle.id).start().wait(20).state == State.COMPLETED
