"""R1: an opening that fails, whatever is raised and when, leaves nothing behind; leaving `with` never hides the error of its block."""

from __future__ import annotations

import gc
import logging
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
from conftest import one

import cogwork as cw
from cogwork import State, _cog, _engine

OWN = str(pathlib.Path(cw.__file__).parent)
CODE = {getattr(cw.Engine, name).__code__ for name in ("__init__", "_open", "_say_what_there_is")}
"""Of which each line is tried; of all else where a function begins."""


@cw.cog(name="opening_work", idempotent=True)
def work() -> str:
    return "done"


@cw.cog(name="opening_awaited", idempotent=True)
async def awaited() -> str:
    return "done"


@pytest.fixture
def left(tmp_path) -> pathlib.Path:
    """A store with a Labor that goes on at the next opening, by all kinds of Cogs."""
    path = tmp_path / "labors.db"
    task = cw.Task(
        "all",
        concurrency=3,
        sequences=[
            cw.Sequence(n, jobs=[job])
            for n, job in (
                ("a", work.job()),
                ("b", awaited.job()),
                ("c", cw.command.job(["touch", f"{tmp_path}/began"])),
            )
        ],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cw.CogworkWarning)
        with cw.Engine(path) as engine:
            engine.submit(cw.Labor("left", tasks=[task]), start=False)
        with cw.connect(path) as client:
            for labor in client.search():
                client.handle(labor.id).start()
    return path


def is_free(path: pathlib.Path) -> None:
    """Nothing of an engine is left: another one opens the file, and finds the Labor as it was."""
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("cogwork")]
    assert names == [], names
    assert _engine._live == set()
    gc.collect()
    assert [engine for engine in _cog.engines if not engine.closed] == []
    assert not (path.parent / "began").exists(), "a Job began"
    with cw.Engine(path, recover="none") as engine:
        (labor,) = engine.search()
        labor = engine.read_labor(labor.id)
        assert all(job.attempts == [] for s in labor.tasks[0].sequences for job in s.jobs)


def go_on(path: pathlib.Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cw.CogworkWarning)
        with cw.Engine(path) as engine:
            (id,) = engine.taken_up
            assert engine.handle(id).wait(60).state == State.COMPLETED


class Stop(Exception):
    """What a signal's handler raises."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop, MemoryError])
def test_r1_an_opening_that_is_interrupted_anywhere_leaves_nothing(left, error):
    """Wherever a signal's handler may come while it opens, one place after another."""
    places, stop_at = 0, 0

    def trace(frame, event, _arg):
        nonlocal places
        code = frame.f_code
        if not code.co_filename.startswith(OWN):
            return None
        if opening and (event == "call" or (event == "line" and code in CODE)):
            places += 1
            if places == stop_at:
                raise error
        return trace

    opening = True

    def opens() -> bool:
        nonlocal places, opening
        places, opening = 0, True
        engine = None
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", cw.CogworkWarning)
                engine = cw.Engine(left, recover="all")
        except error:
            return False
        finally:
            opening = False
            sys.settrace(before)
            if engine is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", cw.CogworkWarning)
                    engine.close(interrupt=True)
        return True

    step = {KeyboardInterrupt: 1, Stop: 5, MemoryError: 9}[error]
    while True:
        stop_at += step
        if opens():
            break
        is_free(left)
    assert places < stop_at
    assert places > 100


def test_r1_a_warning_that_is_an_error_leaves_nothing(left):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with pytest.raises(cw.CogworkWarning, match="took up 1 unfinished"):
                cw.Engine(left)
    is_free(left)
    go_on(left)


@pytest.mark.parametrize("logger", ["cogwork", "cogwork.engine"])
def test_r1_a_logging_handler_that_raises_leaves_nothing(left, logger):
    class Broken(logging.Handler):
        def emit(self, record):
            raise Stop

    handler = Broken()
    logging.getLogger(logger).addHandler(handler)
    try:
        with pytest.raises(Stop):
            cw.Engine(left)
    finally:
        logging.getLogger(logger).removeHandler(handler)
    is_free(left)
    go_on(left)


def test_r1_no_thread_to_be_had_leaves_nothing(left, monkeypatch):
    start, threads = threading.Thread.start, [0]

    def no_more(self):
        threads[0] -= 1
        if threads[0] < 0:
            raise RuntimeError("can't start new thread")
        start(self)

    for count in range(10):
        threads[0] = count
        with monkeypatch.context() as patched, warnings.catch_warnings():
            warnings.simplefilter("ignore", cw.CogworkWarning)
            patched.setattr(threading.Thread, "start", no_more)
            try:
                engine = cw.Engine(left)
            except cw.ResourceError:
                pass
            else:
                engine.close(interrupt=True)
                break
        is_free(left)
    assert count > 2


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0}, {"workers": "4"}, {"grace": -1}, {"grace": "2s"}, {"max_output": 0}, {"recover": "some"}, {"max_crashes": "many"},
        {"store": 5}, {"store": "nowhere:x"}, {"store": "/no/such/folder/labors.db"},
    ],
    ids=str,
)  # fmt: skip
def test_r1_options_that_are_wrong_leave_nothing(left, options):
    with pytest.raises((ValueError, TypeError, cw.CogworkError)):
        cw.Engine(**{"store": left, **options})
    is_free(left)


def test_r1_opening_says_loudly_what_it_takes_up(left, caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with cw.Engine(left) as engine:
            (id,) = engine.taken_up
            engine.handle(id).wait(60)
    (said,) = [w for w in caught if w.category is cw.CogworkWarning]
    assert said.filename == __file__
    assert f"'left' ({id}) RUNNING: 0 of 3 sequences ended" in str(said.message)
    assert "client_id" in str(said.message)
    assert str(said.message) in caplog.text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cw.Engine(left):
            pass


def test_r1_a_script_that_is_run_again_is_warned(tmp_path):
    (tmp_path / "again.py").write_text(
        textwrap.dedent("""
        import os, sys
        import cogwork as cw

        @cw.cog(idempotent=True)
        def work() -> str:
            if len(sys.argv) > 1:
                os._exit(9)
            return "done"

        labor = cw.Labor("night", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[work.job()])])])
        with cw.Engine("l.db") as engine:
            print(engine.run(labor).state.name)
        """)
    )
    words = [sys.executable, "again.py"]
    died = subprocess.run([*words, "die"], cwd=tmp_path, timeout=100)
    assert died.returncode == 9
    again = subprocess.run(words, cwd=tmp_path, timeout=100, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (0, "COMPLETED\n")
    assert "again.py:12: CogworkWarning: the engine took up 1 unfinished Labor of l.db" in again.stderr
    strict = subprocess.run(
        [sys.executable, "-W", "error", "again.py"], cwd=tmp_path, timeout=100, capture_output=True, text=True
    )
    assert strict.returncode == 0, "nothing was left"


# ---- leaving ----


@pytest.fixture
def lingering(tmp_path, make_cog):
    """A block that is left with a Labor under way, while warnings are errors."""
    release = threading.Event()

    def lingers() -> None:
        release.wait(60)  # and not ctx.sleep(): a call that ends when it is asked to has completed its Labor

    cog = make_cog(lingers, idempotent=True)

    def leave(error: BaseException | None, make=lambda: cw.Engine(tmp_path / "l2.db", grace=0.1)) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with make() as engine:
                engine.submit(one(cog.job()))
                if error is not None:
                    raise error
                engine.close(interrupt=True)

    yield leave
    release.set()


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(3), Stop()], ids=repr)
def test_leaving_with_never_hides_the_error_of_its_block(lingering, tmp_path, error):
    with pytest.raises(type(error)) as caught:
        lingering(error)
    assert caught.value is error
    if hasattr(error, "__notes__"):
        assert "the engine closed and left 1 unfinished Labor" in error.__notes__[0]
    else:
        assert sys.version_info < (3, 11)
    with cw.Engine(tmp_path / "l2.db", recover="none"):
        pass


def test_leaving_in_order_with_a_warning_that_is_an_error_has_closed(lingering, tmp_path):
    with pytest.raises(cw.CogworkWarning, match="left 1 unfinished"):
        lingering(None)
    with cw.Engine(tmp_path / "l2.db", recover="none"):
        pass


def test_leaving_async_with_never_hides_the_error_of_its_block(tmp_path):
    script = """
    import asyncio, warnings
    import cogwork as cw
    warnings.simplefilter("error")

    @cw.cog
    async def lingers() -> None:
        await asyncio.sleep(60)

    async def main():
        async with cw.Engine("l.db", grace=0.1) as engine:
            await engine.asubmit(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[lingers.job()])])]))
            raise KeyError("mine")

    try:
        asyncio.run(main())
    except KeyError as error:
        print(error, getattr(error, "__notes__", ["left"])[0][:60])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True, timeout=100, env=os.environ
    )  # fmt: skip
    assert done.stdout.startswith("'mine'"), done.stderr
    assert "left" in done.stdout


# ---- signals in the middle of a check ----


def test_s2_what_a_signals_handler_raises_is_no_fault_of_the_args(engine, make_cog):
    import signal

    class Alarm(Exception):
        pass

    def ring(_number, _frame):
        raise Alarm

    def take(host: str) -> None: ...

    cog = make_cog(take)

    def rings(host: str) -> None:
        signal.raise_signal(signal.SIGUSR1)

    cog.validator(rings)
    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with pytest.raises(Alarm):
            engine.submit(one(cog.job("a")))
        with pytest.raises(Alarm):
            cog.validate({"host": "a"})
    finally:
        signal.signal(signal.SIGUSR1, before)

    def says_nothing(host: str) -> None:
        raise Alarm

    other = make_cog(take)
    other.validator(says_nothing)
    with pytest.raises(cw.ValidationError, match="args: Alarm"):
        engine.submit(one(other.job("a")))
