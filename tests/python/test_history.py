"""D7: a Labor as it stood, changes without loss, and a history that nobody changes unseen."""

from __future__ import annotations

import itertools
import os
import pathlib
import random
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

import cogwork as cw
from cogwork._history import utc

PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)


@cw.cog(idempotent=True)
def note_host(host: str) -> str:
    return host


@cw.cog(retries=2, retry_delay=0.002)
def flaky(host: str, seed: int) -> str:
    if next(_draws) * seed % 7 < 3:
        raise RuntimeError(f"{host}: no answer")
    return host


@cw.cog(idempotent=True)
def probe() -> bool:
    return True


_draws = itertools.count(1)


def small(name: str = "small", hosts: int = 3, **task) -> cw.Labor:
    sequences = [cw.Sequence(f"h{n}", jobs=[note_host.job(host=f"h{n}")]) for n in range(hosts)]
    return cw.Labor(name, tasks=[cw.Task("all", sequences=sequences, **task)])


def eventful(seed: int) -> cw.Labor:
    def sequences(count: int) -> list[cw.Sequence]:
        return [
            cw.Sequence(f"h{n}", jobs=[note_host.job(host=f"h{n}"), flaky.job(host=f"h{n}", seed=seed)])
            for n in range(count)
        ]

    return cw.Labor(
        f"eventful {seed}",
        tasks=[
            cw.Task(
                "canary", pre_checks=[probe.job()], tolerated_failures=-1, pass_failures=True, sequences=sequences(3)
            ),
            cw.Task("rest", concurrency=4, tolerated_failures=6, pause_on_entry=True, sequences=sequences(15)),
        ],
    )


def followed(labor: cw.Labor) -> cw.Labor:
    """What a number of the history tells of a tree: retries begin and end between two of them."""
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(labor), type=cw.Labor)
    for task in copy.tasks:
        for job in (*task.pre_checks, *task.cont_checks, *(job for s in task.sequences for job in s.jobs)):
            job.attempts, job.output = [], None
    return copy


def run_eventful(engine: cw.Engine, seed: int) -> tuple[str, dict[int, cw.Labor]]:
    """Runs a Labor among pauses; the tree is copied whenever nothing is on its way: between two equal numbers."""
    rng = random.Random(seed)
    handle = engine.submit(eventful(seed))
    seen: dict[int, cw.Labor] = {}
    released = False
    while True:
        before = engine.store.last_change()
        tree = engine.read_labor(handle.id)
        if engine.store.last_change() == before:
            seen[before] = tree
        if tree.state.ended:
            return handle.id, seen
        try:
            if tree["rest"].state == cw.State.ADMIN_PAUSED and not released:
                handle.task("rest").admin_resume(by="ann", note="go").wait(30)
                released = True
            elif rng.random() < 0.15:
                handle.pause(by="bob", note="a look").wait(30)
                tree = engine.read_labor(handle.id)
                seen[engine.store.last_change()] = tree
                if not tree.state.ended:
                    handle.resume(by="bob").wait(30)
        except cw.SignalNotAllowed:
            pass  # it has ended meanwhile; that is recorded too


@pytest.mark.parametrize("seed", range(6))
def test_d7_the_tree_at_every_change_is_the_one_that_was_read_live(engine, seed):
    id, seen = run_eventful(engine, seed)
    last = engine.store.last_change()
    assert max(seen) <= last  # what was refused at the end may be recorded after the last look
    assert len(seen) > 5
    for number, tree in seen.items():
        assert followed(engine.at(id, number)) == followed(tree), number
    assert engine.at(id, last) == engine.read_labor(id)
    assert engine.verify() == []
    # In between nothing was read; but each change must show, and show no earlier.
    for change in engine.store.changes(id):
        if change.kind != cw.ChangeKind.STATE or change.object_id != id:
            continue
        assert engine.at(id, change.number).state == change.to_state
        assert engine.at(id, change.number - 1).state == change.from_state


def test_d7_at_a_time_attempts_are_those_that_had_begun(engine, make_cog):
    lost = iter([True, True, False])

    def install(host: str) -> str:
        if next(lost):
            raise RuntimeError("busy")
        return "done"

    cog = make_cog(install, retries=5, retry_delay=0.01)
    done = engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[cog.job(host="h")])])]))
    first, second, third = done["t"]["h"][0].attempts
    tick = timedelta(microseconds=1)

    def attempts(when: datetime) -> list[tuple[int, str]]:
        return [(a.number, a.status.name) for a in engine.at(done.id, when)["t"]["h"][0].attempts]

    assert attempts(done.submitted) == []
    assert attempts(first.started) == [(1, "OPEN")]
    assert attempts(first.ended) == [(1, "FAILURE")]
    assert attempts(second.started - tick) == [(1, "FAILURE")]
    assert attempts(second.started) == [(1, "FAILURE"), (2, "OPEN")]
    assert attempts(third.ended - tick) == [(1, "FAILURE"), (2, "FAILURE"), (3, "OPEN")]
    open_one = engine.at(done.id, third.ended - tick)["t"]["h"][0].attempts[-1]
    assert (open_one.output, open_one.ended, open_one.error) == (None, None, None)
    assert engine.at(done.id, datetime.now(timezone.utc) + timedelta(days=1)) == done


def test_d7_when_is_a_moment_or_an_error_that_says_so(engine):
    done = engine.run(small())
    with pytest.raises(ValueError, match=r"no time zone.*datetime.now\(timezone.utc\)"):
        engine.at(done.id, datetime.now())
    with pytest.raises(TypeError, match="aware datetime or the number"):
        engine.at(done.id, "yesterday")
    with pytest.raises(TypeError):
        engine.at(done.id, True)
    with pytest.raises(ValueError, match="begin with 1"):
        engine.at(done.id, -1)
    with pytest.raises(ValueError, match=r"no change 999999 in .* yet; the last one is"):
        engine.at(done.id, 999999)
    with pytest.raises(ValueError, match="was not there yet"):
        engine.at(done.id, done.submitted - timedelta(seconds=1))
    with pytest.raises(cw.NotFound):
        engine.at("00000000-0000-4000-8000-000000000000", 0)
    zone = timezone(timedelta(hours=5))
    assert engine.at(done.id, done.ended.astimezone(zone)) == done


def test_d7_everybody_who_reads_can_look_back(tmp_path):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        handle = engine.submit(small(), start=False)
        handle.start(by="ann")
        done = handle.wait()
        with cw.connect(path) as client:
            assert client.at(done.id, 0).state == client.handle(done.id).at(0).state == cw.State.ADMIN_NOT_STARTED
            assert client.verify() == []
        assert handle.at(0).state == cw.State.ADMIN_NOT_STARTED
    with cw.open_store(path) as store:
        assert store.at(done.id, store.last_change()) == done
        assert store.verify(done.id) == []
        assert store.ids(done.id[:6]) == [done.id]
        assert store.ids() == [done.id]
        with pytest.raises(cw.NotFound):
            store.verify("00000000-0000-4000-8000-000000000000")


def test_d7_a_store_of_ones_own_looks_back_too():
    class Own(cw.SimpleStorage):
        def __init__(self) -> None:
            super().__init__()
            self.inner = cw.open_store("memory:")

        def __getattr__(self, name: str):
            return getattr(self.inner, name)

        def read_labor(self, id, full=True):
            return self.inner.read_labor(id, full)

        def read_task(self, id):
            return self.inner.read_task(id)

        def read_sequence(self, id):
            return self.inner.read_sequence(id)

        def read_job(self, id, full=True):
            return self.inner.read_job(id, full)

        def labors(self, filter=None):
            return self.inner.labors(filter)

        def write_labor(self, labor):
            self.inner.write_labor(labor)

        def write_labor_state(self, labor):
            self.inner.write_labor_state(labor)

        def write_task(self, task):
            self.inner.write_task(task)

        def write_sequence(self, sequence):
            self.inner.write_sequence(sequence)

        def write_job(self, job):
            self.inner.write_job(job)

    with cw.Engine(Own()) as engine:
        done = engine.run(small())
        assert engine.at(done.id, 0).state == cw.State.NOT_STARTED
        assert engine.at(done.id, engine.store.last_change()) == done
        assert engine.verify() == []
        assert engine.store.ids(done.id[:4]) == [done.id]


def test_x11_checks_are_known_by_their_first_round_and_those_that_are_kept(engine, make_cog):
    looks = itertools.count(1)
    enough = threading.Event()

    def look() -> bool:
        if next(looks) == 4:
            enough.set()
        return True

    def wait() -> None:
        assert enough.wait(30)

    sequences = [cw.Sequence("h0", jobs=[make_cog(wait).job()])]
    checks = [make_cog(look).job()]
    done = engine.run(
        cw.Labor("checked", tasks=[cw.Task("all", sequences, cont_checks=checks, cont_check_interval=0.01)])
    )
    check = done["all"].cont_checks[0]
    assert check.rounds > 3
    latest = check.attempts[-1]
    before = engine.at(done.id, latest.started)["all"].cont_checks[0]
    assert before.state == cw.State.RUNNING
    assert before.rounds == check.rounds - 1
    assert engine.at(done.id, done.ended) == done
    assert engine.verify() == []


# ---- changes ----


def test_d7_changes_resume_from_any_number_across_a_restart(tmp_path):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        first = engine.run(small("one"))
        seen = list(engine.changes(first.id, 0))
    with cw.Engine(path) as engine:
        second = engine.submit(small("two"))
        second.wait()
        everything = list(cw.open_store(path).changes())
        assert [c.number for c in everything] == list(range(1, len(everything) + 1))
        assert [c for c in everything if c.labor_id == first.id] == seen
        for since in range(len(everything) + 1):
            feed = engine.changes(None, since)
            found = list(itertools.islice(feed, len(everything) - since))
            assert found == everything[since:], since
            assert feed.poll() == []
        own = [c for c in everything if c.labor_id == second.id]
        for since in range(len(everything) + 1):
            assert list(second.changes(since)) == [c for c in own if c.number > since], since


def test_d7_a_reader_that_fell_behind_loses_nothing(engine):
    feed = engine.changes(None, 0)
    handle = engine.submit(small(hosts=2000, concurrency=16))
    first = next(feed)  # from then on it stands still while thousands go by
    handle.wait()
    expected = list(engine.store.changes())
    assert [first, *itertools.islice(feed, len(expected) - 1)] == expected


READER = """
import sys, cogwork as cw
with cw.connect(sys.argv[1]) as client:
    print("ready", flush=True)
    numbers = [c.number for c in client.changes(sys.argv[2], int(sys.argv[3]))]
print(*numbers)
"""


def test_d7_changes_from_another_process_go_on_where_they_are_told(tmp_path):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        handle = engine.submit(small(hosts=50, concurrency=4), start=False)
        env = dict(os.environ, PYTHONPATH=PACKAGE)
        readers = []
        for since in ("0", "7"):
            command = [sys.executable, "-c", READER, str(path), handle.id, since]
            readers.append((int(since), subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)))
        for _, reader in readers:
            assert reader.stdout.readline() == "ready\n"
        handle.start()
        handle.wait()
        expected = [c.number for c in engine.store.changes(handle.id)]
        for since, reader in readers:
            out, _ = reader.communicate(timeout=60)
            assert list(map(int, out.split())) == [n for n in expected if n > since]


def test_g9_every_signal_says_who_when_and_why_refused_ones_too(tmp_path):
    path = tmp_path / "labors.db"
    began = datetime.now(timezone.utc)
    with cw.Engine(path) as engine:
        handle = engine.submit(small(pause_on_entry=True))
        task = handle.task("all")
        with pytest.raises(cw.SignalNotAllowed):
            handle.resume(by="eve", note="too early")
        task.pause(by="bob", note="of a lower rank").wait(30)
        handle.pause(by="ann", note="INC-12").wait(30)
        handle.resume(by="ann", note="INC-12 closed").wait(30)
        task.admin_resume(by="cid", note="go").wait(30)
        done = handle.wait()
        with pytest.raises(cw.SignalNotAllowed):
            handle.stop(interrupt=True, by="dan", note="too late")
        task.stop(by="dan", note="too late as well").wait(30)
    # With no engine, one that is refused is recorded all the same.
    with cw.connect(path) as client, pytest.raises(cw.SignalNotAllowed):
        client.handle(done.id).pause(by="fay", note="nobody is there")
    with cw.open_store(path) as store:
        signals = [c for c in store.changes(done.id) if c.kind == cw.ChangeKind.SIGNAL]
        told = [(c.signal.name, c.by, c.note, c.refused) for c in signals]
        assert told == [
            ("RESUME", "eve", "too early", True),
            ("PAUSE", "bob", "of a lower rank", True),
            ("PAUSE", "ann", "INC-12", False),
            ("RESUME", "ann", "INC-12 closed", False),
            ("ADMIN_RESUME", "cid", "go", False),
            ("STOP", "dan", "too late", True),
            ("STOP", "dan", "too late as well", True),
            ("PAUSE", "fay", "nobody is there", True),
        ]
        assert signals[5].interrupt
        times = [c.at for c in signals]
        assert times == sorted(times)
        assert began <= times[0]
        assert times[-1] <= datetime.now(timezone.utc)
        assert store.verify() == []
        held = store.at(done.id, signals[2].number).holds
        assert [(h.by, h.note, h.rank) for h in held] == [("ann", "INC-12", cw.Rank.USER)]
        assert held[0].since == signals[2].at


# ---- verify ----


@pytest.fixture
def written(tmp_path) -> tuple[pathlib.Path, cw.Labor, cw.Labor]:
    """A file with two Labors, closed."""
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        one = engine.run(small("one", hosts=4))
        other = engine.run(small("other", hosts=4))
    assert cw.open_store(path).verify() == []
    return path, one, other


def edit(path: pathlib.Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def rows_of(path: pathlib.Path, labor: cw.Labor) -> list[cw.HistoryRow]:
    with cw.open_store(path) as store:
        return list(store.history(labor.id))


def test_d7_a_changed_row_is_named(written):
    path, one, _ = written
    row = rows_of(path, one)[2]
    edit(path, f"UPDATE history SET at = at + 1 WHERE first = {row.first}")
    (found,) = cw.open_store(path).verify()
    assert (found.kind, found.labor_id, found.labor, found.number) == ("chain", one.id, "one", row.first)
    assert found.at == datetime.fromtimestamp((row.at + 1) / 1e6, timezone.utc).replace(
        microsecond=(row.at + 1) % 10**6
    )
    assert "was changed" in found.what
    assert found.remedy
    assert one.id in str(found)
    assert str(row.first) in str(found)


def test_d7_who_did_it_cannot_be_changed_unseen(written):
    path, one, _ = written
    row = rows_of(path, one)[1]
    with sqlite3.connect(path) as db:
        packed = bytearray(db.execute("SELECT changes FROM history WHERE first = ?", [row.first]).fetchone()[0])
        packed[-1] ^= 1
        db.execute("UPDATE history SET changes = ? WHERE first = ?", [bytes(packed), row.first])
    db.close()
    found = cw.open_store(path).verify()
    assert [f.number for f in found] == [row.first]


def test_d7_a_removed_row_is_missed(written):
    path, one, other = written
    for labor in (one, other):
        rows = rows_of(path, labor)
        edit(path, f"DELETE FROM history WHERE first = {rows[1].first}")
        found = cw.open_store(path).verify(labor.id)
        assert [(f.labor_id, f.number) for f in found] == [(labor.id, rows[2].first)]
        assert "missing" in found[0].what
    assert len(cw.open_store(path).verify()) == 2


def test_d7_the_last_row_is_missed_by_the_tree(written):
    path, one, _ = written
    rows = rows_of(path, one)
    edit(path, f"DELETE FROM history WHERE first = {rows[-1].first}")
    found = cw.open_store(path).verify()
    assert {f.labor_id for f in found} == {one.id}
    assert {f.kind for f in found} == {"history"}
    assert {f.number for f in found} == {rows[-2].first + rows[-2].count - 1}
    assert "the Labor is COMPLETED in the tree, and RUNNING by the end of the history" in found[0].what


def test_d7_a_history_that_is_gone_is_missed(written):
    path, one, other = written
    edit(path, "DELETE FROM history")
    assert {f.labor_id for f in cw.open_store(path).verify()} == {one.id, other.id}


def test_d7_exchanged_rows_are_both_named(written):
    path, one, _ = written
    a, b = rows_of(path, one)[1:3]
    columns = "at, count, changes, link"
    edit(
        path,
        f"CREATE TEMP TABLE keep AS SELECT first, {columns} FROM history WHERE first IN ({a.first}, {b.first})",
        f"UPDATE history SET ({columns}) = (SELECT {columns} FROM keep WHERE first = {b.first}) WHERE first = {a.first}",
        f"UPDATE history SET ({columns}) = (SELECT {columns} FROM keep WHERE first = {a.first}) WHERE first = {b.first}",
    )
    found = {f.number: f.what for f in cw.open_store(path).verify()}
    assert f"the row of change {b.first}: rows were exchanged" in found[a.first]
    assert f"the row of change {a.first}: rows were exchanged" in found[b.first]


def test_d7_a_row_that_was_given_to_another_labor_is_named(written):
    path, one, other = written
    row = rows_of(path, one)[-1]
    edit(path, f"UPDATE history SET labor = (SELECT key FROM labors WHERE name = 'other') WHERE first = {row.first}")
    found = cw.open_store(path).verify()
    assert {f.labor_id for f in found} == {one.id, other.id}
    assert row.first in {f.number for f in found if f.labor_id == other.id}


def test_d7_bytes_that_are_no_changes_are_named(written):
    path, one, _ = written
    row = rows_of(path, one)[1]
    edit(path, f"UPDATE history SET changes = x'0180ff' WHERE first = {row.first}")
    (found,) = cw.open_store(path).verify()
    assert found.number == row.first
    assert "damaged" in found.what
    with pytest.raises(cw.StorageError, match="damaged"):
        cw.open_store(path).at(one.id, row.first)


def test_d7_a_tree_that_was_changed_is_named(written):
    path, one, _ = written
    edit(path, "UPDATE sequences SET state = 9 WHERE target = 'h2' AND key >> 32 = 1")
    (found,) = cw.open_store(path).verify()
    assert (found.kind, found.labor_id, found.object_id) == ("history", one.id, one["all"]["h2"].id)
    assert "Sequence 'h2' of Task 'all' is FAILED in the tree, and COMPLETED by the end" in found.what


def test_d7_verify_while_a_labor_runs_finds_nothing(tmp_path):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        handle = engine.submit(small(hosts=3000, concurrency=16, tolerated_failures=-1))
        looked = 0
        while not handle.state.ended:
            assert engine.verify(handle.id) == []
            looked += 1
        handle.wait()
        assert engine.verify() == []
        assert looked > 0


# ---- moments as they are typed ----


def test_moments_as_they_are_typed():
    now = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
    local = now.astimezone()
    assert utc("17") == 17
    assert utc("10:02", lambda: now) == local.replace(hour=10, minute=2).astimezone(timezone.utc)
    assert utc("10:02:11.5", lambda: now).microsecond == 500_000
    assert utc("2026-03-01 10:02:11Z") == datetime(2026, 3, 1, 10, 2, 11, tzinfo=timezone.utc)
    assert utc("2026-03-01T10:02:11.25+01:00") == datetime(2026, 3, 1, 9, 2, 11, 250_000, tzinfo=timezone.utc)
    for wrong in ("", "now", "25:00", "2026-13-01"):
        with pytest.raises(ValueError, match="no moment"):
            utc(wrong)


@pytest.mark.parametrize(
    ("since", "error"), [("7", TypeError), (True, TypeError), (1.5, TypeError), (-1, ValueError), (2**70, ValueError)]
)
def test_since_is_a_number(engine, since, error):
    handle = engine.submit(small("one"))
    handle.wait()
    for follow in (engine.changes, handle.changes, handle.logs):
        with pytest.raises(error, match="since is"):
            follow(since=since)
