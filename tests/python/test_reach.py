"""An engine is found by its store, whatever environment, namespace or user one comes from; or it is said why not, and what helps (R1)."""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import shutil
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
from cli_support import PATIENCE, shell, write_script
from conftest import one
from reach_support import (
    NOBODY,
    EngineProcess,
    asks,
    environment,
    needs_namespaces,
    needs_other_users,
    open_to_all,
    user,
)

import cogwork as cw
from cogwork import State
from cogwork._address import parse


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch) -> pathlib.Path:
    """Sockets of a test in a folder of its own; of this process, and of what it starts without saying otherwise."""
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def db(tmp_path) -> pathlib.Path:
    return tmp_path / "labors.db"


def steered(client: cw.Client, labor: str) -> None:
    """A signal gets through to the engine, and back."""
    handle = client.handle(labor)
    ack = handle.pause(by="ann")
    assert not ack.stored
    assert handle.state in (State.PAUSING, State.PAUSED)
    assert client.stats().labors.executing == 1


# ---- environments ----


@pytest.mark.parametrize(
    "of_the_engine", [{}, {"XDG_RUNTIME_DIR": "rt"}, {"COGWORK_RUNTIME_DIR": "rt"}, {"HOME": "/nonexistent"}]
)
@pytest.mark.parametrize("of_the_client", [{}, {"XDG_RUNTIME_DIR": "other"}, {"TMPDIR": "other", "COGWORK_RUNTIME_DIR": "other"}])  # fmt: skip
def test_an_engine_is_found_whatever_the_environments_are(db, tmp_path, monkeypatch, of_the_engine, of_the_client):
    """Under systemd, cron or sudo an engine has another environment than the shell that looks for it."""
    for name in ("rt", "other"):
        (tmp_path / name).mkdir(mode=0o700)

    def real(env: dict[str, str]) -> dict[str, str]:
        return {key: value if value.startswith("/") else str(tmp_path / value) for key, value in env.items()}

    monkeypatch.delenv("COGWORK_RUNTIME_DIR")
    for key, value in real(of_the_client).items():
        monkeypatch.setenv(key, value)
    with EngineProcess(db, **real(of_the_engine)) as engine, cw.connect(db, timeout=20) as client:
        assert client.engine.pid == engine.process.pid
        steered(client, engine.labor)


def test_the_shell_finds_it_too(db, tmp_path, monkeypatch):
    (tmp_path / "xdg").mkdir(mode=0o700)
    with EngineProcess(db, COGWORK_RUNTIME_DIR=str(tmp_path / "engines")) as engine:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
        status, text = shell(tmp_path, "pause", engine.labor, "--db", "labors.db", "--no-wait")
        assert (status, "PAUSE is sent" in text) == (0, True), text
        status, text = shell(tmp_path, "ls", "--db", "labors.db")
        assert f"process {engine.process.pid}" in text
        status, text = shell(tmp_path, "doctor", "labors.db")
        assert f"process {engine.process.pid}" in text


@pytest.mark.parametrize("name", ["r\xfcn", "with space", "100%", "new\nline", "*?[x]", "~"])
def test_an_odd_runtime_folder_is_written_and_read(db, tmp_path, monkeypatch, name):
    folder = tmp_path / name
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(folder))
    with cw.Engine(db) as engine:
        assert len(list(folder.iterdir())) == 1
        monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "another"))
        with cw.connect(db) as client:
            assert client.engine.address == os.fsdecode(engine.control._places[0].path).replace("\n", "\\n")


def test_a_runtime_folder_whose_name_is_no_utf8(db, tmp_path, monkeypatch):
    folder = os.fsencode(tmp_path) + b"/r\xfcn"
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", os.fsdecode(folder))
    with cw.Engine(db) as engine, cw.connect(db) as client:
        assert len(os.listdir(folder)) == 1
        assert engine.control._places[0].path.startswith(folder)
        assert client.engine.address.startswith(f"{tmp_path}/r")
        db.with_name("labors.db-owner").unlink()  # the usual places are found as well
    with cw.Engine(db), cw.connect(db) as client:
        assert client.engine is not None


# ---- names of a store ----


def test_one_store_has_many_names(db, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "link.db").symlink_to(db)
    (tmp_path / "folder").symlink_to(tmp_path)
    cw.Engine(db).close()  # all of it is in the file itself: the log beside it belongs to one name
    with EngineProcess(db) as engine:
        monkeypatch.chdir(deep)
        up = pathlib.Path("../../labors.db")
        os.link(db, tmp_path / "hard.db")
        try:
            for name in (db, deep / "link.db", "link.db", up, tmp_path / "folder/labors.db", tmp_path / "hard.db"):
                with cw.connect(name) as client:
                    assert client.engine is not None, name
                    assert client.engine.pid == engine.process.pid
        finally:
            (tmp_path / "hard.db").unlink()


def test_a_store_in_a_deep_folder_and_its_runtime_folder_there(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with EngineProcess(deep / "labors.db", COGWORK_RUNTIME_DIR=str(deep / "run")) as engine:
        assert len(str(engine.path)) > 200
        with cw.connect(deep / "labors.db") as client:
            assert client.engine.address == str(engine.path)
            steered(client, engine.labor)


def test_a_store_that_was_opened_by_a_relative_path_or_on_another_mount(tmp_path, monkeypatch):
    with EngineProcess("here.db", cwd=tmp_path) as engine, cw.connect(tmp_path / "here.db") as client:
        assert client.engine.pid == engine.process.pid
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no other mount to write to")
    folder = pathlib.Path(f"/dev/shm/cogwork-test-{os.getpid()}")
    folder.mkdir()
    try:
        with EngineProcess(folder / "labors.db") as engine, cw.connect(folder / "labors.db") as client:
            assert client.engine.pid == engine.process.pid
    finally:
        shutil.rmtree(folder)


def test_stores_of_one_name_have_their_own_engines(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with EngineProcess(tmp_path / "a/labors.db") as a, EngineProcess(tmp_path / "b/labors.db") as b:
        for engine, folder in ((a, "a"), (b, "b")):
            with cw.connect(tmp_path / folder / "labors.db") as client:
                assert client.engine.pid == engine.process.pid


# ---- whose engine answers ----


def test_a_socket_that_leads_to_the_engine_of_another_store_is_not_believed(tmp_path, places):
    with EngineProcess(tmp_path / "a.db") as first:
        name = first.path.name
        first.process.kill()
    with EngineProcess(tmp_path / "b.db") as other:
        (places / name).unlink()
        (places / name).symlink_to(other.path)
        with cw.connect(tmp_path / "a.db") as client:
            assert client.engine is None
            assert client.crisis_pause(by="ann").labors == 1
        with cw.connect(tmp_path / "b.db") as client:
            assert client.crises() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_has_taken_is_not_looked_into(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with EngineProcess(tmp_path / "a.db") as first:
        name = first.path.name
    taken = tmp_path / "cogwork"
    with EngineProcess(tmp_path / "b.db") as other:
        taken.mkdir(mode=0o755)
        (taken / name).symlink_to(other.path)
        os.chown(taken, NOBODY, NOBODY)
        with cw.connect(tmp_path / "a.db") as client:
            assert client.engine is None


def test_the_copy_of_a_store_is_another_store(db, tmp_path):
    """With all that stands beside it, the record of the owner too."""
    with EngineProcess(db) as engine:
        (tmp_path / "copy").mkdir()
        for file in tmp_path.glob("labors.db*"):
            shutil.copy(file, tmp_path / "copy")
        assert (tmp_path / "copy/labors.db-owner").exists()
        with cw.connect(tmp_path / "copy/labors.db") as client:
            assert client.engine is None
            assert client.handle(engine.labor).pause().stored
        with cw.connect(db) as client:
            assert client.handle(engine.labor).state is State.RUNNING


def test_a_record_that_somebody_wrote_steers_nobody_to_another_store(tmp_path):
    """Even one that names a living engine of this user's."""
    with EngineProcess(tmp_path / "b.db") as other:
        cw.Engine(tmp_path / "a.db").close()
        lock = cw.open_store(tmp_path / "a.db")
        record = (tmp_path / "b.db-owner").read_text()
        with held(tmp_path / "a.db", record), cw.connect(tmp_path / "a.db", timeout=1) as client:
            assert "serves another store" in words_of(client.crisis_pause)
        lock.close()
        with cw.connect(tmp_path / "b.db") as client:
            assert client.crises() == []
            assert client.engine.pid == other.process.pid


@contextlib.contextmanager
def held(db: pathlib.Path, record: str | None = None):
    """Owns the store as an engine does that listens nowhere. record: what it then says of itself."""
    store = cw._storage.resolve(db)
    lock = store.lock(cw.Owner(os.getpid(), socket.gethostname(), "ann", "rollout.py", None))
    try:
        side = db.with_name(f"{db.name}-owner")
        if record is not None:
            side.write_text(record)
        yield side
    finally:
        lock.release()


# ---- folders that are not the engine's ----


@pytest.mark.parametrize("bits", [0o1777, 0o755, 0o750, 0o701])
def test_a_folder_that_is_not_the_engines_keeps_its_rights(db, tmp_path, places, bits):
    places.mkdir()
    places.chmod(bits)
    (places / "somebodys-file").touch()
    with cw.Engine(db) as engine, cw.connect(db) as client:
        assert stat.S_IMODE(places.stat().st_mode) == bits
        own = pathlib.Path(os.fsdecode(engine.control._places[0].path)).parent
        assert (own, stat.S_IMODE(own.stat().st_mode)) == (places / "cogwork", 0o700)
        assert client.engine is not None
        assert any("open to other users" in why for why in engine.control.passed_over)
    assert stat.S_IMODE(places.stat().st_mode) == bits


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_in_a_folder_that_all_share_each_user_has_a_place(db, places):
    places.mkdir()
    places.chmod(0o1777)
    (places / "cogwork").mkdir(mode=0o700)
    os.chown(places / "cogwork", NOBODY, NOBODY)
    with cw.Engine(db) as engine, cw.connect(db) as client:
        assert engine.control._places[0].path.startswith(os.fsencode(places / f"cogwork-{os.geteuid()}/"))
        assert client.engine is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_makes_no_folder_in_the_runtime_folder_of_a_user(db, tmp_path, monkeypatch):
    """`sudo -E` brings it along, and that user's own engines want theirs there."""
    theirs = tmp_path / "xdg"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, NOBODY, NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", "/dev/null")
    with cw.Engine(db), cw.connect(db) as client:
        assert client.engine is not None
        assert list(theirs.iterdir()) == []


def test_a_runtime_folder_that_cannot_be_used_is_said(db, monkeypatch, caplog):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", "/dev/null/run")
    with cw.Engine(db), cw.connect(db) as client:
        assert client.engine is not None
    assert "COGWORK_RUNTIME_DIR is not used: /dev/null/run" in caplog.text
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", "relative")
    with cw.Engine(db):
        assert "COGWORK_RUNTIME_DIR is not used: it is no absolute path" in caplog.text


def test_a_runtime_folder_with_a_slash_behind_it_is_used(db, places, monkeypatch, caplog):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", f"{places}/./")
    with cw.Engine(db):
        assert len(list(places.iterdir())) == 1
    assert "not used" not in caplog.text


# ---- what happens to sockets ----


def test_a_socket_that_a_cleaner_removed_is_made_anew(db, places):
    with EngineProcess(db) as engine:
        for remove in (lambda: engine.path.unlink(), lambda: shutil.rmtree(places)):
            remove()
            with cw.connect(db) as client:
                assert client.engine.address.startswith("abstract socket")
                steered_by_file(db, engine)
                client.handle(engine.labor).resume()
        assert stat.S_IMODE(engine.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(places.stat().st_mode) == 0o700


def steered_by_file(db: pathlib.Path, engine: EngineProcess) -> None:
    with cw.connect(db) as client:
        assert client.engine.address == str(engine.path)
        steered(client, engine.labor)


def test_what_a_killed_engine_left_is_no_engine(db, tmp_path, places):
    with EngineProcess(db) as engine:
        pass
    assert engine.path.exists()
    assert (tmp_path / "labors.db-owner").exists()
    with cw.connect(db) as client:
        assert client.engine is None
        assert client.handle(engine.labor).pause().stored


def test_beside_the_store_is_the_last_place_and_nothing_is_left_there(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can take a folder away from this user")
    folder = tmp_path / "data"
    folder.mkdir()
    inside = needs_namespaces("-m")
    with EngineProcess(folder / "labors.db", *read_only(inside, folder), COGWORK_RUNTIME_DIR="/nowhere") as engine:
        assert engine.path.parent == folder / f".cogwork-{os.geteuid()}"
        with cw.connect(folder / "labors.db") as client:
            assert client.engine.address == str(engine.path)
        engine.process.send_signal(signal.SIGTERM)
        engine.process.wait(PATIENCE)
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []


def read_only(inside, folder: pathlib.Path) -> tuple[str, ...]:
    """What starts a program where only that folder can be written to: a container with a read-only root."""
    script = f'mount --bind "{folder}" "{folder}" && mount --bind / / && mount -o remount,bind,ro / && exec "$@"'
    return (*inside, "bash", "-c", script, "bash")


# ---- namespaces ----


@pytest.mark.parametrize(
    "kinds", [("-m",), ("-m", "-n"), ("-m", "-n", "--pid", "--fork", "--kill-child", "--mount-proc")]
)
def test_an_engine_in_another_namespace_is_found(tmp_path, kinds):
    """A private /tmp of systemd's; a container that sees other files, has another network, and counts processes for itself."""
    inside = needs_namespaces(*kinds)
    private = tmp_path / "private"
    private.mkdir()
    script = f'mount -t tmpfs none "{private}" && exec "$@"'
    before = (*inside, "bash", "-c", script, "bash")
    db = tmp_path / "labors.db"
    with EngineProcess(db, *before, COGWORK_RUNTIME_DIR=str(private / "run")) as engine:
        assert not list(private.iterdir())
        with cw.connect(db, timeout=20) as client:
            assert client.engine is not None
            assert client.engine.address != str(engine.path)
            steered(client, engine.labor)


@pytest.mark.parametrize(
    "kinds", [("-m",), ("-m", "-n"), ("-m", "-n", "--pid", "--fork", "--kill-child", "--mount-proc")]
)
def test_an_engine_with_a_read_only_root_is_found(tmp_path, kinds):
    inside = needs_namespaces(*kinds)
    folder = tmp_path / "data"
    folder.mkdir()
    with EngineProcess(folder / "labors.db", *read_only(inside, folder), COGWORK_RUNTIME_DIR="/nowhere") as engine:
        with cw.connect(folder / "labors.db", timeout=20) as client:
            steered(client, engine.labor)
        seen = tmp_path / "seen"
        seen.mkdir()
        mount = f'mount --bind "{folder}" "{seen}" && exec "$@"'
        # The folder has another name there, as a volume has.
        said = asks(seen / "labors.db", *needs_namespaces("-m", "-n"), "bash", "-c", mount, "bash")
        assert said.isdigit(), said


def test_an_engine_of_a_user_without_a_name_or_a_home_in_a_read_only_root(tmp_path):
    """As a container platform, or systemd's DynamicUser=, makes one: nothing can be written to but the folder of the store."""
    needs_other_users()
    folder = theirs(tmp_path)
    os.chown(folder, 123456, 123456)
    db = folder / "labors.db"
    bare = ("env", "-i", f"PATH={os.environ['PATH']}", f"PYTHONPATH={environment()['PYTHONPATH']}")
    before = (*read_only(needs_namespaces("-m"), folder), *bare, *user(123456))
    with EngineProcess(db, *before) as engine:
        assert engine.path.parent == folder / ".cogwork-123456"
        assert asks(db, *bare, *user(123456)) == str(engine.process.pid)
        with cw.connect(db, timeout=20) as client:
            steered(client, engine.labor)


def test_an_engine_of_another_user_namespace_is_found_by_its_user(tmp_path):
    """A rootless container: who is root in there is this user out here."""
    needs_other_users()
    folder = theirs(tmp_path)
    inside = ("unshare", "-U", "-r", "-n")
    if subprocess.run([*user(NOBODY), *inside, sys.executable, "-c", "import cogwork"], capture_output=True).returncode:
        pytest.skip("no user namespaces here, or no interpreter that is to be read there")
    with EngineProcess(folder / "labors.db", *user(NOBODY), *inside, COGWORK_RUNTIME_DIR=str(folder / "run")) as engine:
        assert asks(folder / "labors.db", *user(NOBODY)) == str(engine.process.pid)
        said = asks(folder / "labors.db", timeout=1)
        assert "another container or namespace" in said
        assert f"process {engine.process.pid}" in said


# ---- users ----


def test_root_reaches_the_engine_of_a_user(tmp_path):
    needs_other_users()
    folder = theirs(tmp_path)
    with EngineProcess(folder / "labors.db", *user(NOBODY), COGWORK_RUNTIME_DIR=str(folder / "run")) as engine:
        with cw.connect(folder / "labors.db", timeout=20) as client:
            assert client.engine.pid == engine.process.pid
            steered(client, engine.labor)
        assert asks(folder / "labors.db", *user(NOBODY)) == str(engine.process.pid)


def theirs(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of another user's."""
    open_to_all(tmp_path)
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


def test_a_user_who_is_not_obeyed_is_told_whose_engine_it_is(tmp_path):
    needs_other_users()
    folder = theirs(tmp_path)
    db = folder / "labors.db"
    with EngineProcess(db) as engine:
        for file in folder.glob("labors.db*"):
            file.chmod(0o666)
        said = asks(db, *user(NOBODY), timeout=2)
        assert "cannot be reached" in said
        assert f"process {engine.process.pid}" in said
        assert "sudo -u root" in said
        assert "close that one first" not in said.lower()


def test_root_does_not_believe_whoever_may_not_write_the_store(tmp_path):
    """Somebody who listens where root's client looks is asked nothing, though he says what an engine says."""
    needs_other_users()
    open_to_all(tmp_path)
    db = tmp_path / "labors.db"
    cw.Engine(db).close()
    name = abstract_name(db)
    code = f"""
import socket
s = socket.socket(socket.AF_UNIX); s.bind("\\0{name}"); s.listen(); print("ready", flush=True)
while True: print(len(s.accept()[0].recv(100)), flush=True)
"""
    liar = subprocess.Popen([*user(NOBODY), sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert liar.stdout.readline() == "ready\n"
        with cw.connect(db) as client:
            assert client.engine is None
        assert liar.stdout.readline() == "0\n"
        with cw.Engine(db) as engine, cw.connect(db) as client:
            assert client.engine is not None
            assert engine.control.addresses[1] == f"unix:abstract={name}-{os.getpid()}"
    finally:
        liar.kill()
        liar.communicate(timeout=PATIENCE)


def abstract_name(db: pathlib.Path) -> str:
    [text] = [text for text in cw._core.control_addresses(cw.open_store(db).core) if "abstract" in text]
    return os.fsdecode(parse(text, b"/").path[1:])


def test_a_stranger_at_the_abstract_socket_gets_nothing(db):
    needs_other_users()
    with EngineProcess(db) as engine:
        name = next(text for text in engine.addresses if "abstract" in text).partition("=")[2]
        code = f"""
import socket
for _ in range(5):
    s = socket.socket(socket.AF_UNIX); s.connect("\\0{name}")
    try: print(len(s.recv(100)))
    except ConnectionResetError: print(0)
"""
        done = subprocess.run([*user(NOBODY), sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == ["0"] * 5, done.stderr


# ---- it says that it cannot be reached ----


def test_a_stopped_engine_is_said_to_be_stopped(db, tmp_path):
    with EngineProcess(db) as engine:
        engine.process.send_signal(signal.SIGSTOP)
        with cw.connect(db, timeout=0.5) as client:
            assert client.read_labor(engine.labor, False).name == "rollout"
            assert client.handle(engine.labor).state in (State.RUNNING, State.NOT_STARTED)
            for act in (lambda: client.handle(engine.labor).pause(), client.crisis_pause, client.crises, client.stats):
                with pytest.raises(cw.StoreInUse, match=f"kill -CONT {engine.process.pid}"):
                    act()
            with pytest.raises(cw.StoreInUse, match="is stopped"):
                assert client.engine
            engine.process.send_signal(signal.SIGCONT)
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                with contextlib.suppress(cw.StoreInUse):
                    steered(client, engine.labor)
                    break
        assert client


def words_of(act) -> str:
    with pytest.raises(cw.StoreInUse) as refused:
        act()
    return str(refused.value)


def test_whoever_stores_something_and_was_stopped_in_the_middle_is_named(db):
    cw.Engine(db).close()
    code = f"""
import sys, os, signal, cogwork as cw
store = cw._storage.resolve({str(db)!r})
lock = store.lock(cw.Owner(os.getpid(), os.uname().nodename, "ann", "cogwork pause", None, brief=True))
print("ready", flush=True)
input()
"""
    brief = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert brief.stdout.readline() == "ready\n"
        brief.send_signal(signal.SIGSTOP)
        with cw.connect(db, timeout=0.1) as client:
            assert client.engine is None
            text = words_of(client.crisis_pause)
        assert "a command that stores something: cogwork pause" in text
        assert f"kill -CONT {brief.pid}" in text
    finally:
        brief.kill()
        brief.communicate(timeout=PATIENCE)


def answering(folder: pathlib.Path, answer: bytes | None) -> tuple[socket.socket, str]:
    """Listens as an engine does, in a folder of its own, and answers whoever comes with these bytes, or not at all."""
    folder.mkdir(mode=0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "x.sock"))
    listener.listen()

    def answer_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                if answer is None:
                    kept.append(peer)
                else:
                    peer.sendall(answer)
                    peer.close()

    kept: list[socket.socket] = []
    threading.Thread(target=answer_all, daemon=True).start()
    return listener, f"pid: {os.getpid()}\nmarked: yes\nprogram: rollout.py\nlistens: unix:path={folder}/x.sock\n"


def test_one_that_takes_the_connection_and_does_not_answer_is_said_to(db, tmp_path):
    cw.Engine(db).close()
    listener, record = answering(tmp_path / "mute", None)
    with listener, held(db, record), cw.connect(db, timeout=0.2) as client:
        text = words_of(client.crisis_pause)
        assert f"process {os.getpid()} listens there, and did not answer within 0.2 s" in text
        assert "py-spy dump" in text
        assert "out of reach" in repr(client)


def test_the_last_words_of_an_engine_that_hangs_up_are_passed_on(db, tmp_path):
    cw.Engine(db).close()
    error = {"kind": "ResourceError", "message": "all of its 1000 clients wait for something"}
    body = msgspec.msgpack.encode({"id": -1, "error": error})
    for name, answer, words in (
        ("words", struct.pack(">I", len(body)) + body, "all of its 1000 clients wait for something"),
        ("none", b"", "listens there, and hung up"),
        ("noise", b"\xff" * 100, "listens there, and hung up"),
    ):
        listener, record = answering(tmp_path / name, answer)
        with listener, held(db, record), cw.connect(db, timeout=0.2) as client:
            assert words in words_of(client.crisis_pause), name


def test_the_advice_for_a_stopped_engine_leads_on(db, tmp_path):
    with EngineProcess(db) as engine:
        engine.process.send_signal(signal.SIGSTOP)
        status, text = shell(tmp_path, "crisis", "pause", "--all", "--db", "labors.db")
        assert status == 2
        [advice] = [line for line in text.splitlines() if "kill -CONT" in line]
        subprocess.run(advice.split()[:3], check=True, timeout=PATIENCE)
        status, text = shell(tmp_path, "crisis", "pause", "--all", "--no-wait", "--db", "labors.db")
        assert (status, "holds 1 Labor" in text, "stored" in text) == (0, True, False), text


def test_an_owner_that_listens_nowhere_is_named(db):
    cw.Engine(db).close()
    with held(db), cw.connect(db, timeout=0.2) as client:
        text = words_of(client.crisis_pause)
        for part in (
            "labors.db is owned by an engine that cannot be reached",
            "rollout.py",
            "of ann",
            str(os.getpid()),
        ):
            assert part in text
        assert "no such file" in text
        assert f"kill -TERM {os.getpid()}" in text
        assert "nothing is stored" in text
    with cw.connect(db) as client:
        assert client.crises() == []


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ("pid: 7\nhost: far\nboot: other\nmarked: yes\nlistens: unix:path=/nowhere/x.sock\n", ["ssh far", "on far", "/nowhere/x.sock: there is no such file"]),
        ("pid: 7\nhost: HERE\nboot: BOOT\nnamespaces: mnt:[1] net:[2]\nmarked: yes\nlistens: unix:path=/nowhere/x.sock\nlistens: unix:abstract=cogwork-none\n", ["another container or namespace", "docker exec", "abstract socket cogwork-none: nobody listens there"]),
        ("pid: PID\nhost: HERE\nboot: BOOT\nmarked: yes\nsilent: it is opening\n", ["It says: it is opening", "the same again in a moment"]),
        ("pid: PID\nhost: HERE\nboot: BOOT\nmarked: yes\nsilent: it cannot be reached: no folder\n", ["no folder", "COGWORK_RUNTIME_DIR", "kill -TERM"]),
        ("pid: PID\nhost: H\x1b[2J\nuser: \x07x\nmarked: yes\nlistens: unix:path=/\n", ["ssh H [2J"]),
        ("", ["it has not said who it is"]),
    ],
)  # fmt: skip
def test_each_hindrance_has_its_own_words(db, record, parts):
    cw.Engine(db).close()
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for key, value in (("HERE", socket.gethostname()), ("BOOT", boot), ("PID", str(os.getpid()))):
        record = record.replace(key, value)
    with held(db, record), cw.connect(db, timeout=0.2) as client:
        text = words_of(client.crisis_pause)
    for part in parts:
        assert part in text, text
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("words", [("crisis", "pause", "--all"), ("crisis", "status"), ("pause", "LABOR"), ("stop", "LABOR"), ("start", "LABOR"), ("watch", "LABOR"), ("show", "LABOR"), ("ls",), ("logs", "LABOR"), ("run", "rollout.py"), ("submit", "rollout.py"), ("serve", "rollout.py"), ("crisis", "resume", "--all")])  # fmt: skip
def test_no_command_takes_an_engine_that_does_not_answer_for_none(db, tmp_path, make_cog, words):
    nap = make_cog(lambda: None)
    with cw.Engine(db) as engine, pytest.warns(cw.CogworkWarning):
        labor = engine.submit(one(nap.job()), start=False).id
        engine.close()
    write_script(tmp_path)
    with held(db):
        said = [word.replace("LABOR", labor) for word in words]
        status, text = shell(tmp_path, *said, "--db", "labors.db")
    assert "rollout.py" in text, text
    assert f"process {os.getpid()}" in text
    assert "no crisis" not in text
    assert "no engine runs" not in text
    assert "close that one first" not in text.lower()
    assert "Traceback" not in text
    assert status == {"ls": 0, "show": 0, "watch": 5, "logs": 5}.get(words[0], 2), text
    with cw.connect(db) as client:
        assert client.crises() == []
        assert client.handle(labor).state is State.ADMIN_NOT_STARTED


def test_a_crisis_that_is_stored_is_shown_though_the_engine_does_not_answer(db, tmp_path):
    with cw.Engine(db) as engine:
        engine.crisis_pause(by="bob", note="INC-12")
    with held(db):
        status, text = shell(tmp_path, "crisis", "status", "--db", "labors.db")
    assert status == 2
    assert "INC-12" in text
    assert "cannot be reached" in text


SECCOMP = """
import ctypes, struct, sys
# Whoever makes a Unix socket is refused, as by systemd's RestrictAddressFamilies= or a container's profile.
program = b"".join(struct.pack("HBBI", *step) for step in (
    (0x20, 0, 0, 0), (0x15, 0, 3, 41), (0x20, 0, 0, 16), (0x15, 0, 1, 1), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)))
class Prog(ctypes.Structure): _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Prog(6, program))) == 0, ctypes.get_errno()
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86-64")
def test_an_engine_that_nobody_can_reach_says_so_loudly(db, tmp_path):
    code = f"""{SECCOMP}
import warnings, logging, cogwork as cw
logging.basicConfig(level=logging.WARNING)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    engine = cw.Engine(sys.argv[1])
    print([str(w.message) for w in seen if w.category is cw.CogworkWarning], flush=True)
print(engine.control.problem, engine.control.addresses, flush=True)
input()
"""
    command = [sys.executable, "-c", code, str(db)]
    engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())  # fmt: skip
    try:
        warned, problem = engine.stdout.readline(), engine.stdout.readline()
        assert "cannot be reached from other processes" in warned
        assert "no shell can pause" in warned
        assert "cannot be reached" in problem
        assert "[]" in problem
        with cw.connect(db, timeout=1) as client:
            text = words_of(client.crisis_pause)
        assert "It says: the engine cannot be reached from other processes" in text
        assert f"kill -TERM {engine.pid}" in text
    finally:
        _, log = engine.communicate("\n", timeout=PATIENCE)
    assert "cannot be reached" in log
    script = tmp_path / "rollout.py"
    script.write_text("import cogwork as cw\n@cw.cog\ndef up(): pass\nlabor = cw.Labor('x', tasks=[cw.Task('t', sequences=[cw.Sequence('a', jobs=[up.job()])])])\n")  # fmt: skip
    run = f"{SECCOMP}\nfrom cogwork.cli import main\nsys.exit(main())"
    done = subprocess.run([sys.executable, "-c", run, "run", str(script), "--db", str(tmp_path / "m.db")], capture_output=True, text=True, timeout=PATIENCE, env=environment())  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "NOBODY CAN STEER THIS ENGINE" in done.stdout + done.stderr


def test_an_engine_says_where_it_listens(db, tmp_path, caplog):
    with caplog.at_level("INFO", "cogwork.engine"), cw.Engine(db) as engine:
        assert [text.partition("=")[0] for text in engine.control.addresses] == ["unix:path", "unix:abstract"]
        assert engine.control.problem == ""
        assert str(engine.control).startswith(f"it listens at {tmp_path}/run/")
        assert str(engine.control) in caplog.text
    with cw.Engine("memory:") as engine:
        assert engine.control.addresses == []
        assert "this process alone" in engine.control.problem


# ---- a client's life ----


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_client_that_outlives_engines_keeps_nothing_of_them(db, make_cog):
    quick = make_cog(lambda: None)
    cw.Engine(db).close()
    with cw.connect(db) as client:
        before = threads = None
        for _ in range(12):
            with cw.Engine(db):
                handle = client.submit(one(quick.job()))
                handle.wait(30)
            gc.collect()
            assert len(client._line.ends) == 0
            with cw.connect(db):
                pass
            if before is None:
                before, threads = descriptors(), threading.active_count()
        assert descriptors() <= before + 2
        assert threading.active_count() <= threads + 2


def test_a_question_in_the_moment_of_the_closing_is_answered_by_who_comes_after(db, make_cog):
    """While engines come and go, no question ends with "the engine is gone"."""
    quick = make_cog(lambda: None)
    with cw.Engine(db) as engine, pytest.warns(cw.CogworkWarning):
        labor = engine.submit(one(quick.job()), start=False).id
        engine.close()
    failures: list[BaseException] = []
    over = threading.Event()
    asked = [0]

    def ask() -> None:
        try:
            with cw.connect(db, timeout=30) as client:
                while not over.is_set():
                    assert client.handle(labor).state is State.ADMIN_NOT_STARTED
                    assert client.handle(labor).progress().sequences == 1
                    assert client.crises() == []
                    assert client.handle(labor).task("task").id
                    asked[0] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 5
    rounds = 0
    while time.monotonic() < until or rounds < 5 or asked[0] < 20:
        with cw.Engine(db) as engine, pytest.warns(cw.CogworkWarning):
            engine.close()
        rounds += 1
        if failures:
            break
    over.set()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_an_order_that_the_engine_did_not_hear_is_stored(db, make_cog):
    """The engine is gone, and the client has not noticed yet."""
    quick = make_cog(lambda: None)
    with cw.Engine(db) as engine, cw.connect(db) as client:
        labor = engine.submit(one(quick.job()), start=False).id
        line = client._line
        with pytest.warns(cw.CogworkWarning):
            engine.close()
        until = time.monotonic() + PATIENCE
        while not line.lost:
            assert time.monotonic() < until
            time.sleep(0.005)
        line.lost = False  # as in the moment before its reader wakes up
        client._line = line
        assert client.handle(labor).stop(by="ann").stored
        line.lost = False
        client._line = line
        client.handle(labor).start(by="ann")
        line.lost = False
        client._line = line
        assert client.crisis_pause(by="ann").by == "ann"
    with cw.open_store(db) as store:
        assert len(store.records(cw.RecordKind.SIGNAL)) == 2
