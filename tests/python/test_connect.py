"""Control from another process: cogwork.connect over the engine's socket, and signals stored where no engine runs (R1, G1, G2, G9)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pathlib
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

import msgspec
import pytest
from conftest import many, one, wait_until_alone

import cogwork as cw
from cogwork import ChangeKind, Signal, State, _core


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path, monkeypatch):
    """Sockets of a test in a folder of its own: short enough, and looked at afterwards."""
    folder = tmp_path / "run"
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def db(tmp_path) -> pathlib.Path:
    return tmp_path / "labors.db"


@pytest.fixture
def engine(db):
    with cw.Engine(db, grace=0.2) as opened:
        yield opened


@pytest.fixture
def client(engine, db):
    with cw.connect(db) as connected:
        yield connected


# ---- with an engine ----


def test_r1_the_client_says_whose_engine_it_is(client):
    info = client.engine
    assert (info.pid, info.host) == (os.getpid(), socket.gethostname())
    assert info.version
    assert info.user
    assert info.since.tzinfo is not None
    assert str(os.getpid()) in repr(client)


def test_g1_signals_and_acks(client, engine, make_cog, gate):
    block = make_cog(lambda: gate())
    labor = engine.submit(many(lambda _: block.job(), 3, concurrency=1))
    gate.wait_for(1)
    handle = client.handle(labor.id)
    assert handle.state is State.RUNNING
    paused = handle.pause(by="ann", note="INC-12")
    assert not paused.done
    assert not paused.stored
    assert handle.state is State.PAUSING
    gate.open()
    assert paused.wait(30)
    assert (paused.state, paused.applied) == (State.PAUSED, True)
    assert [(h.by, h.note) for h in handle.read().holds] == [("ann", "INC-12")]
    resumed = handle.resume()
    assert resumed.wait(30)
    assert resumed.applied
    assert handle.wait(30).state is State.COMPLETED


def test_g2_a_refusal_is_the_same_error(client, engine, make_cog):
    quick = make_cog(lambda: None)
    labor = engine.submit(one(quick.job()), start=False)
    with pytest.raises(cw.SignalNotAllowed) as here:
        engine.signal(labor.id, Signal.RESUME)
    with pytest.raises(cw.SignalNotAllowed) as there:
        client.signal(labor.id, Signal.RESUME)
    assert (str(there.value), there.value.signal, there.value.state) == (
        str(here.value),
        here.value.signal,
        here.value.state,
    )


def test_tasks_and_sequences_are_steered_too(client, engine, make_cog, gate):
    block = make_cog(lambda: gate())
    labor = engine.submit(many(lambda _: block.job(), 3, concurrency=1))
    gate.wait_for(1)
    sequence = client.handle(labor.id).task("task").sequence("host-0")
    stop = sequence.stop()
    gate.open()
    assert stop.wait(30)
    with pytest.raises(cw.NotFound, match="there are 'task'"):
        client.handle(labor.id).task("tusk")
    labor.wait(30)
    ignored = sequence.stop()
    assert ignored.wait(30)
    assert not ignored.applied


def test_s6_start(client, engine, make_cog):
    quick = make_cog(lambda: None)
    labor = engine.submit(one(quick.job()), start=False)
    assert client.handle(labor.id).start(by="ann").wait(30).state is State.COMPLETED
    with pytest.raises(cw.SignalNotAllowed, match="COMPLETED"):
        client.handle(labor.id).start()


def test_s4_a_labor_is_submitted_from_outside(client, make_cog):
    double = make_cog(lambda n: n * 2)
    handle = client.submit(one(double.job(n=21)), by="ann")
    done = handle.wait(30)
    assert done.state is State.COMPLETED
    assert done["task"]["host"].jobs[0].output == 42


def test_s1_faults_of_both_sides_are_said_with_their_places(client, make_cog):
    def typed(n: int) -> int:
        return n

    cog = make_cog(typed)
    labor = one(cw.Job(cog.name, {"n": "many"}), cw.Job("nobody-knows"), cw.Job(cog.name, {"n": 1}, timeout=-1))
    labor.tasks[0].sequences[0].jobs.append(cw.Job(cog.name, {"n": object()}))
    with pytest.raises(cw.ValidationError) as refused:
        client.submit(labor)
    said = [f"{issue.place} {issue.message}" for issue in refused.value.errors]
    for number, fault in enumerate(("expected int", "not registered", "timeout", "cannot be encoded")):
        assert any(f"Job[{number}]" in text and fault in text for text in said), said
    assert list(client.search()) == []


def test_s1_wrong_types_are_said_as_the_engine_says_them(client, engine, make_cog):
    quick = make_cog(lambda: None)
    labor = one(quick.job().replace(timeout="soon"), concurrency="many")  # type: ignore[arg-type]
    with pytest.raises(cw.ValidationError) as here:
        engine.submit(labor)
    with pytest.raises(cw.ValidationError) as there:
        client.submit(labor)
    assert there.value.errors == here.value.errors


def test_s3_client_ids_hold_across_both_ways_in(client, engine, make_cog):
    quick = make_cog(lambda n: n)
    labor = one(quick.job(n=1).replace(timeout=30))
    labor.client_id = "change-7"
    first = engine.submit(labor)
    assert client.submit(labor).id == first.id
    labor.tasks[0].sequences[0].jobs[0].args = {"n": 2}
    with pytest.raises(cw.ValidationError, match="change-7"):
        client.submit(labor)


def test_d7_changes_come_over_the_socket_without_loss(client, engine, make_cog):
    quick = make_cog(lambda: None)
    handle = client.submit(many(lambda _: quick.job(), 3000, concurrency=16), start=False)
    feed = handle.changes(since=0)
    live = engine.changes(handle.id, since=0)
    handle.start()
    theirs = list(feed)
    assert theirs == list(live)
    assert len({c.number for c in theirs}) == len(theirs) > 9000
    middle = theirs[len(theirs) // 2].number
    assert list(handle.changes(since=middle)) == [c for c in theirs if c.number > middle]
    assert list(handle.changes()) == []


def test_d7_changes_of_all_labors(client, engine, make_cog):
    quick = make_cog(lambda: None)
    feed = client.changes(since=0)
    ids = {engine.submit(one(quick.job())).id for _ in range(3)}
    ended = set()
    for change in feed:
        if change.object_id in ids and change.to_state.ended:
            ended.add(change.object_id)
            if ended == ids:
                break


def test_a_feed_that_is_let_go_of_is_forgotten(client, engine, make_cog, gate):
    block = make_cog(lambda: gate())
    quick = make_cog(lambda: None)
    running = engine.submit(one(block.job()))
    for _ in range(20):
        client.handle(running.id).changes()
    gc.collect()
    assert client._line._requests == {}
    engine.run(one(quick.job()))
    gate.open()


def test_progress_and_stats(client, engine, make_cog, gate):
    block = make_cog(lambda: gate())
    labor = engine.submit(many(lambda _: block.job(), 5, concurrency=2))
    gate.wait_for(2)
    assert client.handle(labor.id).progress() == labor.progress()
    assert client.stats().jobs == engine.stats().jobs
    gate.open()
    labor.wait(30)
    assert client.handle(labor.id).progress() == labor.progress()


def test_the_async_face(client, make_cog):
    quick = make_cog(lambda: None)

    async def steer() -> None:
        handle = await client.asubmit(one(quick.job()), start=False)
        numbers = []

        async def read() -> None:
            async for change in handle.changes(since=0):
                numbers.append(change.number)

        reading = asyncio.create_task(read())
        ack = await handle.stop()
        assert ack.applied
        assert (await handle).state is State.STOPPED
        await reading
        assert numbers

    asyncio.run(steer())


def test_reading_needs_no_socket(client, engine, make_cog):
    quick = make_cog(lambda: None)
    done = engine.run(one(quick.job()))
    assert client.read_labor(done.id) == done
    assert client.read_task(done.tasks[0].id).name == "task"
    assert [labor.id for labor in client.search(cw.LaborFilter(states=[State.COMPLETED]))] == [done.id]


# ---- its end ----


def test_closing_the_engine_ends_what_clients_wait_for(db, make_cog, gate):
    block = make_cog(lambda: gate(), idempotent=True)
    engine = cw.Engine(db, grace=0.1)
    labor = engine.submit(one(block.job()))
    gate.wait_for(1)
    with cw.connect(db) as client:
        handle = client.handle(labor.id)
        ack = handle.pause()
        feed = handle.changes(since=0)
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                handle.wait()
            except cw.EngineClosed as error:
                raised.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        with pytest.warns(cw.CogworkWarning):
            engine.close(interrupt=True)
        waiting.join(30)
        assert raised
        with pytest.raises(cw.EngineClosed):
            ack.wait(30)
        assert len(list(feed)) > 0
        # Without the engine the client goes on with the store, and finds the next engine by itself.
        wait_until_alone(client)
        assert handle.state in (State.PAUSING, State.PAUSED)
        gate.open()
        with cw.Engine(db) as next_engine:
            assert client.engine.pid == os.getpid()
            handle.resume().wait(30)
            assert handle.wait(30).state is State.COMPLETED
            assert next_engine.taken_up == [labor.id]


def test_a_closed_client_says_so(client):
    client.close()
    client.close()
    with pytest.raises(cw.EngineClosed, match="closed"):
        client.stats()
    assert "closed" in repr(client)


def test_a_client_that_nobody_holds_hangs_up(engine, db):
    def readers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "cogwork-client"}

    before = readers()
    client = cw.connect(db)
    (thread,) = readers() - before
    del client
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_what_no_other_process_can_reach_is_an_error(tmp_path):
    with pytest.raises(cw.StorageError, match="no such file"):
        cw.connect(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(cw.StorageError, match="cannot be reached"):
        cw.connect("memory:")


# ---- without an engine (R1) ----


@pytest.fixture
def left(db, make_cog, gate):
    """A Labor that an engine left: its first call was interrupted, and nothing has begun since."""
    block = make_cog(lambda: gate(), idempotent=True)
    engine = cw.Engine(db, grace=0.1)
    handle = engine.submit(many(lambda _: block.job(), 3, concurrency=1))
    gate.wait_for(1)
    with pytest.warns(cw.CogworkWarning):
        engine.close(interrupt=True)
    return handle.id


def signals_of(engine: cw.Engine, id: str) -> list[tuple[Signal | None, bool, str]]:
    changes = engine.store.changes(id)  # type: ignore[attr-defined]
    return [(c.signal, c.refused, c.by) for c in changes if c.kind is ChangeKind.SIGNAL]


def test_r1_a_signal_is_stored_and_applied_before_anything_begins(db, left, gate):
    with cw.connect(db) as client:
        assert client.engine is None
        ack = client.handle(left).pause(by="ann", note="night")
        assert ack.stored
        assert not ack.done
        assert not ack.applied
        with pytest.raises(cw.EngineClosed, match="stored"):
            ack.wait(30)
    assert gate.entered == 1
    with cw.Engine(db) as engine:
        assert engine.handle(left).state is State.PAUSED
        assert [(h.by, h.note) for h in engine.handle(left).progress().holds] == [("ann", "night")]
        assert gate.entered == 1
        gate.open()
        engine.handle(left).resume()
        assert engine.handle(left).wait(30).state is State.COMPLETED
    assert cw.open_store(db).records(cw.RecordKind.SIGNAL) == {}


def test_r1_stored_signals_are_applied_in_order_and_refusals_recorded(db, left, gate):
    with cw.connect(db) as client:
        handle = client.handle(left)
        handle.resume(by="early")
        handle.pause(by="ann")
        handle.resume(by="bob")
        handle.task("task").stop(by="cy")
    gate.open()
    with cw.Engine(db) as engine:
        done = engine.handle(left).wait(30)
        assert done.state is State.STOPPED
        assert signals_of(engine, left) == [
            (Signal.RESUME, True, "early"),
            (Signal.PAUSE, False, "ann"),
            (Signal.RESUME, False, "bob"),
            (Signal.STOP, False, "cy"),
        ]
    assert gate.entered == 1


def test_r1_a_start_is_stored_too(db, make_cog):
    quick = make_cog(lambda: None)
    with cw.Engine(db) as engine:
        waiting = engine.submit(one(quick.job()), start=False).id
        with pytest.warns(cw.CogworkWarning):
            engine.close()
    with cw.connect(db) as client:
        client.handle(waiting).start(by="ann")
    with cw.Engine(db) as engine:
        assert engine.handle(waiting).wait(30).state is State.COMPLETED


def test_r1_a_signal_to_what_has_ended_is_refused_at_once_and_recorded(db, make_cog):
    quick = make_cog(lambda: None)
    with cw.Engine(db) as engine:
        done = engine.run(one(quick.job()))
    with cw.connect(db) as client:
        with pytest.raises(cw.SignalNotAllowed, match="COMPLETED"):
            client.handle(done.id).stop(by="ann")
        ignored = client.handle(done.id).task("task").stop(by="bob")
        assert ignored.done
        assert not ignored.applied
        assert not ignored.stored
        with pytest.raises(cw.SignalNotAllowed, match="COMPLETED"):
            client.handle(done.id).start()
        with pytest.raises(cw.NotFound):
            client.signal(done.id[:-1] + "9", Signal.STOP)
        with pytest.raises(cw.NotFound):
            client.signal("00000000-0000-4000-8000-000000000000", Signal.STOP)
    with cw.Engine(db) as engine:
        assert signals_of(engine, done.id) == [(Signal.STOP, True, "ann"), (Signal.STOP, True, "bob")]
        rows = list(engine.store.history(done.id))  # type: ignore[attr-defined]
        link = bytes(16)
        for row in rows:  # the chain holds what no engine wrote
            link = _core.chain_link(link, tuple(row))
            assert link == row.link


def test_r1_signals_stay_where_nobody_takes_up(db, left, gate):
    with cw.connect(db) as client:
        client.handle(left).stop()
    with cw.Engine(db, recover="none"):
        pass
    assert len(cw.open_store(db).records(cw.RecordKind.SIGNAL)) == 1
    with cw.Engine(db) as engine:
        assert engine.handle(left).wait(30).state is State.STOPPED
    assert gate.entered == 1


def test_r4_signals_wait_with_a_labor_that_waits_for_its_cog(db, tmp_path):
    process = run(tmp_path, db, "nap")
    assert process.stdout.readline() == "begun\n"
    kill(process)
    with cw.connect(db) as client:
        [labor] = client.search()
        client.handle(labor.id).pause(by="ann")
    with cw.Engine(db) as engine:
        assert [w.labor_id for w in engine.stats().waiting] == [labor.id]
    assert len(cw.open_store(db).records(cw.RecordKind.SIGNAL)) == 1
    out, _ = run(tmp_path, db, "look").communicate(timeout=60)
    assert out.split() == ["PAUSED"]
    assert cw.open_store(db).records(cw.RecordKind.SIGNAL) == {}


def test_r1_storing_and_opening_at_once_lose_nothing(db, make_cog):
    """A signal that was taken - by an engine, or by the store - is in the history once, in order, however engines come and go."""
    quick = make_cog(lambda: None)
    with cw.Engine(db) as engine, pytest.warns(cw.CogworkWarning):
        waiting = engine.submit(one(quick.job()), start=False).id
        engine.close()
    sent: list[str] = []
    failures: list[BaseException] = []

    def send() -> None:
        try:
            with cw.connect(db, timeout=30) as client:
                for n in range(20):
                    try:
                        client.handle(waiting).pause(by=f"n{n}")
                    except (
                        cw.SignalNotAllowed
                    ):  # an engine runs: it is refused at once, as the Labor waits for its start
                        pass
                    except cw.EngineClosed:  # gone before it answered: nobody knows
                        continue
                    sent.append(f"n{n}")
        except BaseException as error:
            failures.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    while sending.is_alive():
        with cw.Engine(db) as engine, pytest.warns(cw.CogworkWarning):
            engine.close()
    sending.join()
    assert failures == []
    with cw.Engine(db) as engine:
        recorded = [by for _, _, by in signals_of(engine, waiting)]
        assert recorded == sorted(set(recorded), key=lambda by: int(by[1:]))
        assert set(sent) <= set(recorded)
        assert sent
        engine.handle(waiting).stop()


def test_what_only_an_engine_can_say(db, left):
    with cw.connect(db) as client:
        handle = client.handle(left)
        with pytest.raises(cw.EngineClosed, match="no engine runs"):
            handle.wait(1)
        with pytest.raises(cw.EngineClosed, match="no engine runs"):
            client.stats()
        with pytest.raises(cw.EngineClosed, match="cogwork serve"):
            client.submit(cw.Labor("x"))
        assert handle.progress().sequences == 3
        changes = list(handle.changes(since=0))
        assert changes == list(cw.open_store(db).changes(left))
        assert handle.state is State.RUNNING


# ---- other processes ----

SCRIPT = """
import ctypes, sys, time
import cogwork as cw

@cw.cog(idempotent=True)
def nap(seconds: float) -> None:
    print("begun", flush=True)
    time.sleep(seconds)

@cw.cog(idempotent=True)
def hog() -> None:
    print("begun", flush=True)
    ctypes.PyDLL(None).getchar()  # keeps the GIL, until somebody writes
    print("ended", flush=True)

def labor(job, count=3):
    return cw.Labor("rollout", tasks=[cw.Task("all", sequences=[cw.Sequence(f"h{n}", jobs=[job]) for n in range(count)])])

db, what = sys.argv[1:]
with cw.Engine(db) as engine:
    if what == "look":
        [found] = engine.search()
        print(engine.handle(found.id).state.name, flush=True)
        engine.handle(found.id).stop().wait()
    else:
        engine.submit(labor(nap.job(seconds=60) if what == "nap" else hog.job())).wait()
"""


def run(tmp_path: pathlib.Path, db: pathlib.Path, what: str) -> subprocess.Popen[str]:
    path = tmp_path / "rollout.py"
    path.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(path), str(db), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=60)


def test_an_engine_that_was_killed_leaves_a_socket_that_nobody_minds(db, tmp_path, runtime_folder):
    process = run(tmp_path, db, "nap")
    assert process.stdout.readline() == "begun\n"
    with cw.connect(db) as client:
        [labor] = client.search()
        assert client.engine.pid == process.pid
        waiting = client.handle(labor.id).pause()
        kill(process)
        with pytest.raises(cw.EngineClosed):
            waiting.wait(30)
        assert client.engine is None
        assert len(list(runtime_folder.iterdir())) == 1
        assert client.handle(labor.id).stop().stored
    out, _ = run(tmp_path, db, "look").communicate(timeout=60)
    assert out.split()[0] in ("STOPPED", "STOPPING")
    assert list(runtime_folder.iterdir()) == []


def test_a_signal_gets_through_while_python_is_busy(db, tmp_path):
    """No thread that carries a signal wants the GIL."""
    process = run(tmp_path, db, "hog")
    assert process.stdout.readline() == "begun\n"
    with cw.connect(db) as client:
        [labor] = client.search()
        handle = client.handle(labor.id)
        ack = handle.stop()
        assert handle.state is State.STOPPING
        assert handle.progress().in_flight_count == 1
        assert not ack.done
        process.stdin.write("\n")
        process.stdin.flush()
        assert ack.wait(60)
        assert ack.applied
    assert process.communicate(timeout=60)[0] == "ended\n"


def test_a_forked_child_does_not_keep_the_socket(db, engine, client):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.stats()
            os.write(write, b"no error")
        except cw.CogworkError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert b"fork" in os.read(read, 1000)
    os.close(read)
    assert client.stats().labors.executing == 0


def test_a_child_that_outlives_the_engine_does_not_hold_it(db, tmp_path, runtime_folder):
    engine = cw.Engine(db)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent lets go
        os._exit(0)
    os.close(read)
    with cw.connect(db) as client:
        assert client.engine is not None
        engine.close()
        wait_until_alone(client)
        with cw.Engine(db):
            assert client.engine is not None
    os.close(write)
    os.waitpid(child, 0)


# ---- who may not ----


def mode(path: str | pathlib.Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_everything_is_closed_to_other_users(db, engine, runtime_folder, make_cog):
    quick = make_cog(lambda: None)
    engine.run(one(quick.job()))
    [sock] = runtime_folder.iterdir()
    assert (mode(runtime_folder), mode(sock)) == (0o700, 0o600)
    for path in db.parent.glob("labors.db*"):
        assert mode(path) == 0o600, path
    assert len(list(db.parent.glob("labors.db*"))) >= 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_gets_nowhere(db, engine, runtime_folder):
    [sock] = runtime_folder.iterdir()
    for path in (sock, *db.parent.glob("labors.db*")):  # as if every folder on the way were open
        for folder in path.parents:
            if str(folder).startswith("/tmp/"):
                folder.chmod(0o755)
    code = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
for path in {[str(p) for p in db.parent.glob("labors.db*")]}:
    try: open(path); print("read", path)
    except PermissionError: pass
s = socket.socket(socket.AF_UNIX)
try: s.connect({str(sock)!r}); print("connected")
except PermissionError: pass
os.environ["COGWORK_RUNTIME_DIR"] = {str(runtime_folder)!r}
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (out.stdout, out.stderr, out.returncode) == ("", "", 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_hung_up_on_even_where_the_file_lets_him_in(db, engine, runtime_folder):
    [sock] = runtime_folder.iterdir()
    for folder in sock.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    sock.chmod(0o666)
    code = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect({str(sock)!r})
try: print(len(s.recv(100)))
except ConnectionResetError: print(0)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert out.stdout == "0\n", out.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_has_taken_is_not_used(db, tmp_path, monkeypatch, caplog):
    taken = tmp_path / "taken"
    taken.mkdir(mode=0o777)
    os.chown(taken, 65534, 65534)
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(taken))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with cw.Engine(db) as engine, cw.connect(db) as client:
        assert engine._core.control_path.startswith(str(tmp_path / "cogwork"))
        assert client.engine is not None
    assert list(taken.iterdir()) == []


def test_a_socket_path_may_be_longer_than_a_socket_takes(db, tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 90)
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(folder))
    with cw.Engine(db) as engine, cw.connect(db) as client:
        assert len(engine._core.control_path) > 108
        assert len(list(folder.iterdir())) == 1
        assert client.engine.address == engine._core.control_path


def test_two_names_of_a_store_are_one(db, engine, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(db)
    with cw.connect(link) as client:
        assert client.engine.pid == os.getpid()


# ---- what comes over the wire may be anything ----


def raw(engine: cw.Engine) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(engine._core.control_path)
    return sock


def frame(value: object) -> bytes:
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


HELLO = {"id": 1, "op": "hello", "protocol": 1}


def read_frame(sock: socket.socket) -> dict:
    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    (length,) = struct.unpack(">I", exactly(4))
    return msgspec.msgpack.decode(exactly(length))


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "is not taken here"),
        (b"\xff" * 100, "is not taken here"),
        (b"\0\0\0\0", "is not taken here"),
        (struct.pack(">I", 3) + b"\xc1\xc1\xc1", "one msgpack value"),
        (frame([1, 2]), "no request"),
        (frame({"op": "hello"}), "no request"),
        (frame({"id": "x", "op": "hello"}), '"id"'),
        (frame({"id": 1, "op": "stats"}), "hello"),
        (frame({"id": 1, "op": "hello", "protocol": 99}), "version 1"),
    ],
)
def test_what_is_no_request_is_told_so_and_hung_up_on(engine, sent, said):
    with raw(engine) as sock:
        sock.sendall(sent)
        last = {}
        with pytest.raises((EOFError, ConnectionResetError)):
            while True:
                last = read_frame(sock)
        assert said in last["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"object": "nobody"}, '"object"'),
        ({"signal": 77}, '"signal"'),
        ({}, 'needs a "signal"'),
    ],
)
def test_a_wrong_field_is_an_error_of_its_request(engine, fields, said):
    with raw(engine) as sock:
        sock.sendall(frame(HELLO) + frame({"id": 2, "op": "signal", **fields}) + frame({"id": 3, "op": "stats"}))
        assert "ok" in read_frame(sock)
        assert said in read_frame(sock)["error"]["message"]
        assert "ok" in read_frame(sock)


def test_an_unknown_request_leaves_the_connection(engine):
    with raw(engine) as sock:
        sock.sendall(frame(HELLO) + frame({"id": 2, "op": "dance"}) + frame({"id": 3, "op": "stats", "new": [1]}))
        assert "ok" in read_frame(sock)
        assert "dance" in read_frame(sock)["error"]["message"]
        assert read_frame(sock)["ok"]["labors"] == {"executing": 0, "processed": 0}


def test_requests_come_byte_by_byte(engine):
    with raw(engine) as sock:
        for byte in frame(HELLO) + frame({"id": 2, "op": "stats"}):
            sock.send(bytes([byte]))
        assert (read_frame(sock)["id"], read_frame(sock)["id"]) == (1, 2)


def test_a_client_that_asks_and_does_not_read_is_bounded(engine, client):
    with raw(engine) as sock:
        sock.sendall(frame(HELLO))
        sock.setblocking(False)
        flood = frame({"id": 2, "op": "stats"}) * 1000
        for _ in range(200):
            try:
                sock.send(flood)
            except BlockingIOError:
                break
            except OSError:
                break  # hung up on
        assert client.stats().labors.executing == 0


def sockets() -> int:
    """How many this process has open. (Other descriptors come and go with the store's readers.)"""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    return count


def test_two_hundred_clients_at_once(engine, db, make_cog):
    """Some send garbage, half a frame, or nothing; the others are served; nothing is left of any of them."""
    quick = make_cog(lambda: None)
    before = sockets()
    chance = random.Random(11)
    failures: list[BaseException] = []
    done: list[str] = []

    def honest(number: int) -> None:
        try:
            with cw.connect(db, timeout=60) as client:
                handle = client.submit(one(quick.job(), name=f"l{number}"), start=False)
                feed = handle.changes(since=0)
                handle.start()
                assert handle.wait(60).state is State.COMPLETED
                assert list(feed)
                assert client.stats().labors.processed > 0
                done.append(handle.id)
        except BaseException as error:
            failures.append(error)

    def rude(number: int) -> None:
        try:
            sock = raw(engine)
            kind = number % 5
            if kind == 0:
                sock.sendall(chance.randbytes(2000))
            elif kind == 1:
                sock.sendall(frame(HELLO)[: chance.randrange(1, 10)])
            elif kind == 2:
                sock.sendall(frame(HELLO) + struct.pack(">I", 1 << 29) + b"x")
            elif kind == 3:
                sock.sendall(
                    frame(HELLO)
                    + frame({"id": 2, "op": "changes", "since": 0})
                    + frame({"id": 3, "op": "more", "of": 2})
                )
            held.append(sock)
        except OSError as error:
            failures.append(error)

    held: list[socket.socket] = []
    threads = [threading.Thread(target=honest if n % 2 else rude, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(110)
    assert failures == []
    assert len(set(done)) == 100
    assert len(held) == 100
    for sock in held:
        sock.close()
    until = time.monotonic() + 30  # the engine sees that they are gone a moment later
    while sockets() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert sockets() <= before


def test_a_user_interrupts_a_wait_on_a_remote_engine(db, tmp_path, engine, make_cog, gate):
    block = make_cog(lambda: gate())
    labor = engine.submit(one(block.job()))
    code = f"""
import cogwork as cw
with cw.connect({str(db)!r}) as client:
    handle = client.handle({labor.id!r})
    try:
        print("waiting", flush=True)
        handle.wait()
    except KeyboardInterrupt: print("interrupted", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == "interrupted\n"
    assert process.returncode == 0
    gate.open()
    labor.wait(30)


def test_waits_that_run_out_leave_nothing_behind(client, engine, make_cog, gate):
    block = make_cog(lambda: gate())
    handle = client.handle(engine.submit(one(block.job())).id)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            handle.wait(0)
    assert len(client._line._requests) == 1
    gate.open()
    assert handle.wait(30).state is State.COMPLETED


def test_g2_an_order_to_an_engine_that_closes_for_long_says_so(db, make_cog):
    begun, done = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        done.wait(120)

    engine = cw.Engine(db)
    labor = one(make_cog(long).job())
    labor.tasks[0].sequences.append(cw.Sequence("later", jobs=[make_cog(long).job()]))
    handle = engine.submit(labor)
    assert begun.wait(60)
    closing = threading.Thread(target=engine.close)
    with cw.connect(db, timeout=1) as client, pytest.warns(cw.CogworkWarning, match="left 1 unfinished"):
        closing.start()
        try:
            while True:  # until the engine has begun to close
                try:
                    engine.signal(handle.id, cw.Signal.PAUSE)
                    engine.signal(handle.id, cw.Signal.RESUME)
                except cw.EngineClosed:
                    break
            for order in (client.handle(handle.id).stop, client.handle(handle.id).pause):
                with pytest.raises(cw.EngineClosed, match=f"process {os.getpid()} is closing.*stored for the next"):
                    order()
        finally:
            done.set()
            closing.join(60)
        assert not client.handle(handle.id).stop(by="alice").done, "it is stored"
