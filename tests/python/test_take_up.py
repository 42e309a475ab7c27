"""`recover="later"` and `take_up`: Labors that an engine goes on with one by one (R1), as `cogwork run --resume` does."""

from __future__ import annotations

import sys
import types

import pytest
from cli_support import Shell, write_script
from conftest import one

import cogwork as cw
from cogwork import State


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def db(tmp_path):
    return tmp_path / "labors.db"


@pytest.fixture
def left(db, make_cog, gate):
    """Two Labors that an engine left in the middle of a call that may be made again."""
    cog = make_cog(lambda: gate() or "done", idempotent=True)
    engine = cw.Engine(db, grace=0.1)
    ids = [engine.submit(one(cog.job(), name=name)).id for name in ("first", "second")]
    gate.wait_for(2)
    with pytest.warns(cw.CogworkWarning):
        engine.close(interrupt=True)
    gate.open()
    return ids


def test_r1_later_goes_on_with_those_that_are_taken_up_and_no_other(db, left):
    first, second = left
    with cw.Engine(db, recover="later") as engine:
        assert engine.taken_up == []
        waiting = engine.stats().waiting
        assert [(w.labor_id, w.later) for w in waiting] == [(first, True), (second, True)]
        engine.take_up(first)
        assert engine.handle(first).wait(30).state is State.COMPLETED
        assert [w.labor_id for w in engine.stats().waiting] == [second]
        assert engine.handle(second).state is State.RUNNING, "as it is stored"
        with pytest.raises(cw.SignalNotAllowed, match="has ended"):
            engine.take_up(first)
    with cw.Engine(db) as engine:
        assert engine.taken_up == [second]
        assert engine.handle(second).wait(30).state is State.COMPLETED


def test_r1_what_is_sent_to_one_that_is_left_is_applied_when_it_is_taken_up(db, left):
    first, second = left
    with cw.Engine(db, recover="later") as engine:
        assert engine.handle(first).pause(by="ann").stored
        assert engine.handle(second).pause(by="ann").stored
        engine.take_up(first)
        assert engine.handle(first).state is State.PAUSED
        assert engine.handle(first).resume().wait(30)
        assert engine.handle(first).wait(30).state is State.COMPLETED
    with cw.Engine(db) as engine:  # that of the other is kept
        assert engine.handle(second).state is State.PAUSED
        engine.handle(second).resume()
        assert engine.handle(second).wait(30).state is State.COMPLETED


def test_r1_a_stop_ends_one_that_is_left(db, left):
    with cw.Engine(db, recover="later") as engine:
        assert engine.handle(left[0]).stop().wait(30)
        assert engine.handle(left[0]).state is State.STOPPED


def test_r4_one_whose_cogs_are_unknown_says_so_and_waits_for_them(db, tmp_path):
    write_script(tmp_path).rename(tmp_path / "elsewhere.py")  # no other test has brought it into this process
    with Shell(tmp_path, "run", "elsewhere.py:slow", "--db", db.name) as run:
        run.wait_for("begun h0")
        run.kill()
    with cw.Engine(db, recover="later") as engine:
        [waiting] = engine.stats().waiting
        with pytest.raises(cw.SignalNotAllowed, match=r"not known to this process: .*elsewhere:step"):
            engine.take_up(waiting.labor_id)
        assert [w.later for w in engine.stats().waiting] == [False]


def test_r1_a_client_takes_up_too(db, left):
    with cw.Engine(db, recover="later"), cw.connect(db) as client:
        client.take_up(left[0])
        assert client.handle(left[0]).wait(30).state is State.COMPLETED
        with pytest.raises(cw.NotFound):
            client.take_up("00000000-0000-4000-8000-000000000000")
    with cw.connect(db) as client, pytest.raises(cw.EngineClosed, match="no engine runs"):
        client.take_up(left[1])


def test_none_leaves_for_good(db, left):
    with (
        cw.Engine(db, recover="none") as engine,
        pytest.raises(cw.SignalNotAllowed, match=r"cannot take it up: .*recover"),
    ):
        engine.take_up(left[0])


# ---- R4: args that fit no more ----


def define(source: str) -> cw.Cog:
    """A module's Cog, as the module stands now."""
    module = sys.modules["fleet_r4"] = types.ModuleType("fleet_r4")
    exec(f"import cogwork as cw\n@cw.cog(name='upgrade_r4', idempotent=True)\n{source}", vars(module))
    return module.upgrade


WAS = "def upgrade(host: str, version: str = '2.1'): return version"
MISFITS = {
    "a parameter is gone": ("def upgrade(host: str): pass", "no parameter 'version'"),
    "a parameter has another name": ("def upgrade(target: str, version: str): pass", "'host'"),
    "a parameter has another type": ("def upgrade(host: str, version: int): pass", "expected int"),
    "a parameter was added": ("def upgrade(host: str, version: str, force: bool): pass", "'force' is missing"),
    "a type was narrowed": ("async def upgrade(host: str, version: __import__('typing').Literal['3.0']): pass", "2.2"),
    "a validator says no": (
        "def upgrade(host: str, version: str): pass\n@upgrade.validator\ndef check(host, version):\n    if version == '2.2': raise ValueError('2.2 is withdrawn')",
        "2.2 is withdrawn",
    ),
}  # fmt: skip
FITS = {
    "a parameter has another default": "def upgrade(host: str, version: str = '3.0'): return version",
    "a parameter with a default was added": "def upgrade(host: str, version: str, force: bool = False): return version",
    "a type was widened": "async def upgrade(host: object, version: str | None = None): return version",
}


@pytest.fixture
def kept(db):
    """A Labor that is held by its Task, of an engine that has closed."""
    with pytest.warns(cw.CogworkWarning, match="left"), cw.Engine(db) as engine:
        handle = engine.submit(one(define(WAS).job("edge-1", version="2.2"), pause_on_entry=True))
        for change in handle.changes(since=0):
            if change.to_state is State.ADMIN_PAUSED:
                break
    yield handle.id
    sys.modules.pop("fleet_r4", None)


@pytest.mark.parametrize("name", MISFITS)
def test_r4_a_labor_whose_args_fit_no_more_waits_and_says_so(db, kept, name):
    source, words = MISFITS[name]
    define(source)
    with cw.Engine(db) as engine:
        [waiting] = engine.stats().waiting
        assert waiting.labor_id == kept
        assert "cog 'upgrade_r4' does not take the args any more" in waiting.why
        assert words in waiting.why
        assert words in engine.handle(kept).progress().unattended
        assert engine.taken_up == []
        define(WAS)
        assert engine.stats().waiting == []
        engine.handle(kept).task("task").admin_resume()
        assert engine.handle(kept).wait(60).tasks[0].sequences[0].jobs[0].output == "2.2"


@pytest.mark.parametrize("name", FITS)
def test_r4_one_whose_args_still_fit_goes_on(db, kept, name):
    define(FITS[name])
    with pytest.warns(cw.CogworkWarning, match="took up"), cw.Engine(db) as engine:
        assert (engine.stats().waiting, engine.taken_up) == ([], [kept])
        engine.handle(kept).task("task").admin_resume()
        assert engine.handle(kept).wait(60).tasks[0].sequences[0].jobs[0].output == "2.2"
