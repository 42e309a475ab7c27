"""The store that fails as it is told, and what an engine makes of it (D6, R5)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import cogwork as cw
from cogwork import State
from cogwork.testing import FaultyStorage, check_storage


@cw.cog(name="faulty_storage_double", idempotent=True)
def double(n: int) -> int:
    return 2 * n


def labor(*numbers: int) -> cw.Labor:
    sequences = [cw.Sequence(f"host-{n}", jobs=[double.job(n=n)]) for n in numbers]
    return cw.Labor("l", tasks=[cw.Task("t", sequences=sequences)])


@pytest.mark.parametrize("inner", ["memory:", "sqlite"])
def test_t5_without_faults_it_is_the_store_around_which_it_is(inner, tmp_path):
    stores = iter(range(1000))
    check_storage(lambda: FaultyStorage(inner if inner != "sqlite" else tmp_path / f"{next(stores)}.db"))


@pytest.mark.parametrize("error", [None, OSError(5, "Input/output error"), cw.StorageError("away", temporary=True)])
def test_d6_what_waiting_may_mend_is_waited_for(error, tmp_path):
    store = FaultyStorage(tmp_path / "l.db")
    store.fail(at=2, times=3, error=error)
    with cw.Engine(store) as engine:
        assert engine.run(labor(1, 2), timeout=60).state == State.COMPLETED
        assert engine.stats().failed_writes == store.failed == 3
        assert not engine.stats().degraded


def test_d6_what_waiting_cannot_mend_is_raised_by_submit():
    store = FaultyStorage("memory:")
    with cw.Engine(store) as engine:
        store.fail(times=None, error=ValueError("a bug"))
        with pytest.raises(cw.StorageError, match="a bug"):
            engine.submit(labor(1))
        store.mend()
        assert list(engine.search()) == []
        assert engine.run(labor(1)).state == State.COMPLETED


def test_d6_until_it_is_mended_the_engine_says_that_it_is_degraded():
    store = FaultyStorage("memory:")
    with cw.Engine(store) as engine:
        handle = engine.submit(labor(1), start=False)
        store.fail(times=None, error=OSError(5, "the disk is on fire"))
        starter = threading.Thread(target=handle.start)
        starter.start()
        while not engine.stats().degraded:
            pass
        assert "the disk is on fire" in engine.stats().degraded_reason
        store.mend()
        starter.join()
        assert handle.wait(60).state == State.COMPLETED
        assert not engine.stats().degraded


def test_d3_what_is_held_is_not_durable():
    store = FaultyStorage("memory:")
    with cw.Engine(store) as engine:
        handle = engine.submit(labor(1), start=False)
        with store.held():
            starter = threading.Thread(target=handle.start)
            starter.start()
            assert handle.read().state == State.ADMIN_NOT_STARTED
        starter.join()
        assert handle.wait(60).state == State.COMPLETED


def test_a_delay_is_one():
    store = FaultyStorage("memory:")
    store.delay(0.01, at=1, times=2)
    with cw.Engine(store) as engine:
        assert engine.run(labor(1)).state == State.COMPLETED
    assert store.writes == 3
    assert store.failed == 0


@pytest.mark.parametrize("wrong", [{"at": 0}, {"at": -1}, {"times": 0}])
def test_writes_are_counted_from_one(wrong):
    with pytest.raises(ValueError, match="counted from 1"):
        FaultyStorage("memory:").fail(**wrong)


DIES = """
import sys
import cogwork as cw
from cogwork.testing import FaultyStorage

@cw.cog(idempotent=True)
def work() -> None: ...

store = FaultyStorage(sys.argv[1])
store.die(at=1, after=sys.argv[2] == "after", status=int(sys.argv[3]) if sys.argv[3:] else None)
with cw.Engine(store) as engine:
    engine.run(cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[work.job()])])]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [None, 7])
def test_r5_it_dies_exactly_before_or_after_a_write(when, status, tmp_path):
    script = tmp_path / "dies.py"
    script.write_text(textwrap.dedent(DIES))
    argv = [sys.executable, script, tmp_path / "l.db", when, *([] if status is None else [str(status)])]
    done = subprocess.run(argv, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=60, check=False)
    assert done.returncode == (-signal.SIGKILL if status is None else status)
    with cw.open_store(tmp_path / "l.db") as store:
        assert len(list(store.labors())) == (when == "after")
