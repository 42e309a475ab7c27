"""One engine owns a store; the second is refused at once, by name. Readers, however many, see consistent trees and hinder nobody (R1)."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import signal
import threading
import time

import pytest
from forks import fork, wait_for_end
from judge import wrong_with_tree

import cogwork as cw
from cogwork import State

READERS = 50
PROCESSES = 5


@cw.cog(name="owned_work", idempotent=True)
def work() -> bool:
    return True


def labor(count: int) -> cw.Labor:
    sequences = [cw.Sequence(f"host-{n}", jobs=[work.job(), work.job()]) for n in range(count)]
    return cw.Labor("l", tasks=[cw.Task("t", concurrency=4, sequences=sequences, pre_checks=[work.job()])])


def wait_for(path: pathlib.Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} does not come"
        time.sleep(0.002)


@contextlib.contextmanager
def owner_elsewhere(folder: pathlib.Path):
    """An engine in another process, until it is killed or the context is left. Yields its pid."""

    def own() -> None:
        with cw.Engine(folder / "l.db"):
            (folder / "owned").touch()
            signal.pause()

    pid = fork(own, folder / "error")
    try:
        wait_for(folder / "owned")
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def test_r1_a_second_engine_in_this_process_is_refused_by_name(tmp_path):
    path = tmp_path / "l.db"
    (tmp_path / "link.db").symlink_to(path)
    with cw.Engine(path) as engine:
        for name in (path, tmp_path / "link.db", os.path.relpath(path)):
            with pytest.raises(cw.StoreInUse) as raised:
                cw.Engine(name)
            assert f"{os.getpid()}" in str(raised.value)
            assert getpass.getuser() in str(raised.value)
        assert engine.run(labor(1)).state == State.COMPLETED, "the first one does not notice"
    cw.Engine(path).close()


def test_r1_a_second_engine_in_another_process_is_refused_and_a_kill_leaves_no_lock(tmp_path):
    path = tmp_path / "l.db"
    with owner_elsewhere(tmp_path) as pid:
        with pytest.raises(cw.StoreInUse) as raised:
            cw.Engine(path)
        assert f"{pid}" in str(raised.value)
        assert "l.db" in str(raised.value)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        assert (tmp_path / "l.db-owner").exists(), "its name is still there"
        with cw.Engine(path) as engine:  # and is no lock
            assert engine.run(labor(1)).state == State.COMPLETED
    assert not (tmp_path / "l.db-owner").exists()


@pytest.mark.parametrize("again", range(8))  # a new file each: they also meet while one makes its tables
def test_r1_of_many_that_open_at_once_one_gets_it(tmp_path, again):
    go = tmp_path / "go"

    def opens() -> None:
        wait_for(go)
        try:
            with cw.Engine(tmp_path / "l.db"):
                (tmp_path / f"got-{os.getpid()}").touch()
                wait_for(tmp_path / "leave")
        except cw.StoreInUse:
            (tmp_path / f"refused-{os.getpid()}").touch()

    pids = [fork(opens, tmp_path / f"error-{n}") for n in range(6)]
    go.touch()
    until = time.monotonic() + 60
    while len([*tmp_path.glob("got-*"), *tmp_path.glob("refused-*")]) < len(pids) and time.monotonic() < until:
        time.sleep(0.005)
    got = list(tmp_path.glob("got-*"))
    (tmp_path / "leave").touch()
    assert [wait_for_end(pid) for pid in pids] == [0] * len(pids), [e.read_text() for e in tmp_path.glob("error-*")]
    assert len(got) == 1
    assert len(list(tmp_path.glob("refused-*"))) == len(pids) - 1


def read_on(path: pathlib.Path, over: pathlib.Path, wrong: list[str], reads: list[int]) -> None:
    """Reads whole trees as fast as it can, until the file `over` is there; at least one."""
    count = 0
    last: dict[str, int] = {}
    with cw.open_store(path) as store:
        while not (over.exists() and count):
            for found in list(store.labors()):
                tree = store.read_labor(found.id)
                wrong.extend(wrong_with_tree(tree))
                ended = sum(s.state == State.COMPLETED for t in tree.tasks for s in t.sequences)
                if ended < last.get(tree.id, 0):
                    wrong.append("R1: a reader went back in time")
                last[tree.id] = ended
                count += 1
    reads.append(count)


@pytest.mark.timeout(240)
def test_r1_fifty_readers_see_consistent_trees_and_hinder_no_engine(tmp_path):
    path, over = tmp_path / "l.db", tmp_path / "over"
    cw.Engine(path).close()
    each = READERS // (PROCESSES + 1)

    def readers(count: int, ready: pathlib.Path) -> None:
        wrong: list[str] = []
        reads: list[int] = []
        threads = [threading.Thread(target=read_on, args=(path, over, wrong, reads)) for _ in range(count)]
        for thread in threads:
            thread.start()
        ready.touch()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(reads) == count
        assert min(reads) > 0

    here = READERS - PROCESSES * each
    pids = [fork(lambda n=n: readers(each, tmp_path / f"ready-{n}"), tmp_path / f"error-{n}") for n in range(PROCESSES)]
    for n in range(PROCESSES):
        wait_for(tmp_path / f"ready-{n}")
    with cw.Engine(path) as engine:
        handles = [engine.submit(labor(20)) for _ in range(3)]
        errors: list[BaseException] = []

        def read_here() -> None:
            try:
                readers(here, tmp_path / "ready-here")
            except BaseException as error:
                errors.append(error)

        reading = threading.Thread(target=read_here)
        reading.start()
        for handle in handles:
            assert handle.wait(200).state == State.COMPLETED
        stats = engine.stats()
        assert stats.failed_writes == 0
        assert not stats.degraded
        # Each reads at least once, and after the end too.
        engine.run(labor(2))
        over.touch()
        reading.join(60)
        assert errors == []
    assert [wait_for_end(pid) for pid in pids] == [0] * PROCESSES, [e.read_text() for e in tmp_path.glob("error-*")]
