"""Disks that fail below the store of an engine: a clear error, or work that waits and says so (D6); and nothing is lost once it is mended."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter

import pytest
from forks import fork, wait_for_end
from judge import jobs_of, wrong_with_tree

import cogwork as cw
from cogwork import AttemptStatus, State
from cogwork.testing import failing_disk

calls: Counter[str] = Counter()
gate = threading.Event()


@cw.cog(name="disk_work", idempotent=True)
def work(ctx: cw.Context) -> str:
    calls[ctx.job_id] += 1
    return ctx.target


@cw.cog(name="disk_wait", idempotent=True)
def wait(ctx: cw.Context) -> str:
    calls[ctx.job_id] += 1
    gate.wait(60)
    return ctx.target


@pytest.fixture(autouse=True)
def _fresh():
    calls.clear()
    gate.clear()
    yield
    gate.set()


def labor(count: int, cog: cw.Cog = work, **task) -> cw.Labor:
    sequences = [cw.Sequence(f"host-{n}", jobs=[cog.job(), work.job()]) for n in range(count)]
    return cw.Labor("l", tasks=[cw.Task("t", sequences=sequences, **task)])


def wait_until(what) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, "it does not come to it"
        time.sleep(0.001)


def expect_whole(path: pathlib.Path, labors: int) -> None:
    """What is stored is a sound file, with as many Labors, all of them COMPLETED, and the history that led there."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with cw.open_store(path) as store:
        found = [store.read_labor(one.id) for one in list(store.labors())]
        assert len(found) == labors
        for one in found:
            assert one.state == State.COMPLETED
            assert list(wrong_with_tree(one)) == []
            states = {
                change.object_id: change.to_state
                for change in store.changes(one.id)
                if change.kind == cw.ChangeKind.STATE
            }
            assert all(states[job.id] == job.state for job in jobs_of(one)), "D7"
    file.close()


# ---- a disk that is full, or broken, and is mended ----


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("full", "the disk is full"),
        ("short", "the disk is full"),
        ("sync", "reports an error"),
        ("io", "reports an error"),
    ],
)
def test_d1_d6_submit_waits_while_the_disk_fails(fault, says, tmp_path):
    path = tmp_path / "l.db"
    with failing_disk(path) as disk, cw.Engine(path) as engine:
        disk.fail(fault)
        handles: list[cw.LaborHandle] = []
        submitting = threading.Thread(target=lambda: handles.append(engine.submit(labor(2))))
        submitting.start()
        wait_until(lambda: engine.stats().degraded)
        stats = engine.stats()
        assert says in stats.degraded_reason
        assert "l.db" in stats.degraded_reason
        assert stats.degraded_since is not None
        assert handles == []
        assert not calls
        disk.mend()
        submitting.join(60)
        assert handles[0].wait(60).state == State.COMPLETED
        assert not engine.stats().degraded
    expect_whole(path, 1)


@pytest.mark.parametrize("fault", ["full", "short", "write", "sync", "io"])
def test_d2_d3_d6_a_running_labor_waits_for_the_disk_and_goes_on(fault, tmp_path):
    path = tmp_path / "l.db"
    with failing_disk(path) as disk, cw.Engine(path) as engine:
        handle = engine.submit(labor(4, wait, concurrency=2))
        wait_until(lambda: len(calls) == 2)
        disk.fail(fault)
        gate.set()
        wait_until(lambda: engine.stats().degraded)
        assert len(calls) == 2, "D3: nothing follows what is not durable"
        assert handle.state == State.RUNNING
        disk.mend()
        done = handle.wait(60)
        assert done.state == State.COMPLETED
        assert not engine.stats().degraded
        assert set(calls.values()) == {1}
    expect_whole(path, 1)


@pytest.mark.parametrize("fault", ["full", "short", "write", "sync"])
def test_d6_wherever_the_disk_fails_once_nothing_is_lost(fault, tmp_path):
    """At the first operation of that kind, at the second, and so on through the life of a Labor."""
    path = tmp_path / "l.db"
    with failing_disk(path) as disk, cw.Engine(path) as engine:
        for number in range(1000):
            failed = disk.failed
            disk.fail(fault, after=number, times=1)
            assert engine.run(labor(2), timeout=60).state == State.COMPLETED
            disk.mend()
            if disk.failed == failed:
                break  # its life was shorter
        assert number > 3
        assert set(calls.values()) == {1}
    expect_whole(path, number + 1)


def test_d4_a_signal_is_acknowledged_once_the_disk_has_it(tmp_path):
    path = tmp_path / "l.db"
    with failing_disk(path) as disk, cw.Engine(path) as engine:
        handle = engine.submit(labor(2, wait))
        wait_until(lambda: len(calls) == 1)
        disk.fail("full")
        ack = handle.pause()
        gate.set()
        wait_until(lambda: engine.stats().degraded)
        assert not ack.done
        disk.mend()
        assert ack.wait(60)
        assert ack.state == State.PAUSED
        with cw.open_store(path) as store:
            assert store.read_labor(handle.id).state == State.PAUSED
        handle.resume().wait(60)
        assert handle.wait(60).state == State.COMPLETED
    expect_whole(path, 1)


def test_r2_d6_an_engine_may_close_over_a_full_disk_and_what_it_could_not_record_is_run_again(tmp_path):
    path = tmp_path / "l.db"
    with failing_disk(path) as disk:
        engine = cw.Engine(path, grace=0.1)
        handle = engine.submit(labor(2, wait, concurrency=2))
        wait_until(lambda: len(calls) == 2)
        disk.fail("full")
        gate.set()
        wait_until(lambda: engine.stats().degraded)
        with pytest.warns(cw.CogworkWarning, match=r"could not record|left 1 unfinished"):
            engine.close()
        disk.mend()
    with cw.Engine(path) as engine:
        done = engine.handle(handle.id).wait(60)
        assert done.state == State.COMPLETED
        firsts = [sequence.jobs[0] for sequence in done["t"].sequences]
        assert [a.status for a in firsts[0].attempts] == [AttemptStatus.INTERRUPTED, AttemptStatus.SUCCESS]
    expect_whole(path, 1)


def test_d6_a_disk_that_is_full_when_the_engine_opens(tmp_path):
    path = tmp_path / "l.db"
    with failing_disk(path, "full"), pytest.raises(cw.StorageError, match="the disk is full"):
        cw.Engine(path)
    with cw.Engine(path) as engine:
        assert engine.run(labor(1)).state == State.COMPLETED
    expect_whole(path, 1)


def test_t1_a_disk_that_cannot_be_read_is_said(tmp_path):
    path = tmp_path / "l.db"
    with cw.Engine(path) as engine:
        done = engine.run(labor(1))
    with failing_disk(path) as disk:
        disk.fail("read")
        with pytest.raises(cw.StorageError, match="reports an error"), cw.open_store(path) as store:
            store.read_labor(done.id)
        disk.mend()
        with cw.open_store(path) as store:
            assert store.read_labor(done.id) == done


def test_the_disk_of_another_store_is_not_touched(tmp_path):
    with failing_disk(tmp_path / "a.db") as disk, cw.Engine(tmp_path / "a.db"), cw.Engine(tmp_path / "b.db") as other:
        disk.fail("io")
        assert other.run(labor(1)).state == State.COMPLETED
        disk.mend()


def test_a_fault_that_nobody_met_is_an_error_of_the_test(tmp_path):
    with pytest.raises(AssertionError, match="nothing came to the disk"), failing_disk(tmp_path / "a.db", "full"):
        pass
    with pytest.raises(ValueError, match="one of full"), failing_disk(tmp_path / "a.db", "empty"):  # type: ignore[arg-type]
        pass


# ---- files that are not what they should be ----


def make_store(path: pathlib.Path) -> None:
    with cw.Engine(path) as engine:
        assert engine.run(labor(30)).state == State.COMPLETED


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no database", "not an SQLite database"),
        ("truncated", "damaged"),
        ("newer", "newer"),
        ("folder", "it is a folder"),
    ],
)
def test_d6_a_file_that_cannot_be_a_store_is_refused_and_left_as_it_is(what, says, tmp_path):
    path = tmp_path / "l.db"
    make_store(path)
    assert not path.with_name("l.db-wal").exists()
    whole = path.read_bytes()
    if what == "no database":
        path.write_text("to: all\nsubject: this is a letter\n" * 100)
    elif what == "truncated":
        path.write_bytes(whole[: len(whole) // 3])
    elif what == "newer":
        with sqlite3.connect(path) as file:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            file.execute(f"PRAGMA user_version = {version + 1}")
        file.close()
    else:
        path.unlink()
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    for open_it in (cw.Engine, cw.open_store):
        with pytest.raises(cw.StorageError, match=says) as raised, open_it(path) as opened:
            list(opened.search())
            for found in opened.search():
                opened.read_labor(found.id)
        assert str(path) in str(raised.value)
    if before is not None:
        assert path.read_bytes() == before
        # Mended: the copy is back under its name.
        path.write_bytes(whole)
        expect_whole(path, 1)


def test_d6_a_folder_that_may_not_be_written(tmp_path):
    """As a user who may only read it; root may do everything, so it becomes nobody."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != pathlib.Path("/"):
            parent.chmod(parent.stat().st_mode | 0o555)
    folder.chmod(0o555)

    def opens() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with pytest.raises(cw.StorageError) as raised:
            cw.Engine(folder / "l.db")
        assert str(folder / "l.db") in str(raised.value)
        assert any(word in str(raised.value) for word in ("cannot be opened", "may not", "right to write"))

    error = tmp_path / "error"
    error.touch()
    error.chmod(0o666)
    assert wait_for_end(fork(opens, error)) == 0, error.read_text()
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)
    with cw.Engine(folder / "l.db") as engine:
        assert engine.run(labor(1)).state == State.COMPLETED


CUT = """
import os, sys
import cogwork as cw

@cw.cog(idempotent=True)
def cut_work() -> None: ...

sequences = [cw.Sequence(f"host-{n}", jobs=[cut_work.job()]) for n in range(40)]
engine = cw.Engine(sys.argv[1])
engine.submit(cw.Labor("l", tasks=[cw.Task("t", concurrency=2, sequences=sequences)])).wait()
os.kill(os.getpid(), 9)
"""


def test_r5_a_log_that_lost_its_end_is_the_store_as_it_was_before(tmp_path):
    """A power cut with a disk that had promised too much: SQLite finds the last whole commit, and the engine goes on from there."""
    (tmp_path / "cut.py").write_text(textwrap.dedent(CUT))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, tmp_path / "cut.py", tmp_path / "l.db"], env=environment, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL

    whole = (tmp_path / "l.db-wal").stat().st_size
    r = random.Random(1)
    states = Counter[State]()
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("l.db", "l.db-wal"):
            shutil.copy(tmp_path / name, folder / name)
        os.truncate(folder / "l.db-wal", r.randrange(whole // 4, whole))
        with cw.open_store(folder / "l.db") as store:
            for found in list(store.labors()):
                one = store.read_labor(found.id)
                assert list(wrong_with_tree(one)) == []
                states[one.state] += 1
        with sqlite3.connect(folder / "l.db") as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        file.close()
    assert states[State.RUNNING] > 3
