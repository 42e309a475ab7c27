"""A store's files while an engine owns them: what somebody else does to them, in the engine's process and beside it, and what that costs.

Each deed is done to an engine in a process of its own, which then goes on, and is killed: what was acknowledged is in the store, or it was said that
nothing is acknowledged any more.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sqlite3
import subprocess
import sys

import pytest

import cogwork as cw

HERE = pathlib.Path(__file__).parent
PATIENCE = 60

ENGINE = """
import mmap, os, shutil, signal, sqlite3, subprocess, sys, threading, warnings
import cogwork as cw
warnings.simplefilter("ignore")

@cw.cog(idempotent=True)
def ok(i: int): return i

def labor(i): return cw.Labor(f"l{i}", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[ok.job(i)])])])

def plain_sqlite(sql="SELECT count(*) FROM labors"):
    code = "import sqlite3, sys; c = sqlite3.connect('labors.db'); c.execute(sys.argv[1]).fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", code, sql], stderr=subprocess.DEVNULL)  # where the log is gone, it fails until that is mended

engine = cw.Engine("labors.db")
acknowledged = []
for i in range(5): acknowledged.append(engine.run(labor(i)).id)
DEED
plain_sqlite() if LOOK else None
def go_on():
    try:
        for i in range(5, 10): acknowledged.append(engine.run(labor(i)).raise_for_state().id)
    except cw.StorageError as error:
        print("refused", error, flush=True)
worker = threading.Thread(target=go_on, daemon=True)
worker.start()
worker.join(WAIT)
if worker.is_alive(): print("refused", engine.stats().degraded_reason, flush=True)
print("seen", len(list(engine.search())), flush=True) if LOOK else None
print("acknowledged", *acknowledged, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def after(folder: pathlib.Path, deed: str, look: bool = True, wait: float = PATIENCE) -> tuple[list[str], str]:
    """What an engine acknowledged to which that was done, and why it acknowledged no more."""
    script = ENGINE.replace("DEED", deed).replace("LOOK", str(look)).replace("WAIT", str(wait))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=3 * PATIENCE
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    return said["acknowledged"].split(), said.get("refused", "")


def stored(folder: pathlib.Path) -> dict[str, cw.State]:
    """As another process finds it."""
    code = "import cogwork as cw; [print(l.id, l.state.name) for l in cw.open_store('labors.db').search()]"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return {id: cw.State[state] for id, state in (line.split() for line in out.stdout.splitlines())}


@pytest.mark.parametrize(
    "deed",
    [
        "pass",
        "shutil.copy('labors.db', 'backup.db')",
        "os.mkdir('backup'); [shutil.copy(f, 'backup') for f in os.listdir('.') if f.startswith('labors.db')]",
        "open('labors.db', 'rb').read()",
        "open('labors.db-shm', 'rb').read(); open('labors.db', 'rb').read()",
        "os.close(os.open('labors.db', os.O_RDWR))",
        "f = open('labors.db', 'rb'); mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ).close(); f.close()",
        "c = sqlite3.connect('labors.db'); c.execute('SELECT * FROM labors').fetchall(); c.close()",
        "[l for l in cw.open_store('labors.db').search()]; shutil.copy('labors.db', 'backup.db')",
        "cw.doctor('labors.db'); shutil.copy('labors.db', 'backup.db')",
        "[shutil.copy('labors.db', 'backup.db') for _ in range(100)]",
    ],
)
def test_d5_what_is_read_in_the_engines_process_costs_nothing(tmp_path, deed):
    acknowledged, refused = after(tmp_path, deed)
    assert refused == ""
    assert len(acknowledged) == 10
    assert stored(tmp_path) == dict.fromkeys(acknowledged, cw.State.COMPLETED)


@pytest.mark.parametrize(
    "deed",
    [
        "plain_sqlite('PRAGMA wal_checkpoint(TRUNCATE)')",
        "plain_sqlite('PRAGMA optimize')",
        "os.utime('labors.db')",
        "os.remove('labors.db-wal')",
        "os.remove('labors.db-shm')",
        "os.remove('labors.db-wal'); os.remove('labors.db-shm')",
        "os.rename('labors.db-wal', 'old')",
        "open('new', 'w').close(); os.replace('new', 'labors.db-wal')",
        "shutil.copy('labors.db-shm', 'new'); os.replace('new', 'labors.db-shm')",
        "os.truncate('labors.db-shm', 0)",
        "os.truncate('labors.db-shm', 4096)",
        "os.remove('labors.db-owner')",
        "os.rename('labors.db-owner', 'old')",
        "os.rename('labors.db', 'old'); os.rename('old', 'labors.db')",
    ],
)
def test_d6_what_can_be_mended_is_and_nothing_is_lost(tmp_path, deed):
    acknowledged, refused = after(tmp_path, deed, look="rename" not in deed)
    assert refused == ""
    assert len(acknowledged) == 10
    assert stored(tmp_path) == dict.fromkeys(acknowledged, cw.State.COMPLETED)
    assert cw.doctor(tmp_path / "labors.db").fine


@pytest.mark.parametrize(
    ("deed", "kept"),
    [
        ("os.truncate('labors.db-wal', 0)", None),
        ("open('labors.db-wal', 'r+b').write(bytes(5000))", None),
        ("os.remove('labors.db')", "labors.db"),
        ("open('new', 'w').close(); os.replace('new', 'labors.db')", "labors.db-rescued"),
        ("shutil.copy('labors.db', 'new'); os.replace('new', 'labors.db')", "labors.db-rescued"),
        ("open('labors.db', 'r+b').write(bytes(5000))", None),
        ("os.truncate('labors.db', 0)", None),
    ],
)
def test_d6_after_what_cannot_be_mended_nothing_is_acknowledged(tmp_path, deed, kept):
    acknowledged, refused = after(tmp_path, deed, look=False)
    assert "nothing more is written" in refused, refused
    assert len(acknowledged) == 5
    if kept is not None:
        assert kept in refused
        if kept != "labors.db":
            for end in ("", "-wal", "-shm", "-owner"):
                (tmp_path / f"labors.db{end}").unlink(missing_ok=True)
            (tmp_path / kept).rename(tmp_path / "labors.db")
        assert stored(tmp_path) == dict.fromkeys(acknowledged, cw.State.COMPLETED)


def test_d6_a_renamed_file_is_waited_for_and_what_it_lacks_is_in_it(tmp_path):
    acknowledged, refused = after(tmp_path, "os.rename('labors.db', 'old.db')", look=False, wait=0.5)
    assert "put it back" in refused
    assert len(acknowledged) == 5
    (tmp_path / "labors.db-wal").unlink()
    (tmp_path / "labors.db-shm").unlink()
    (tmp_path / "old.db").rename(tmp_path / "labors.db")
    assert stored(tmp_path) == dict.fromkeys(acknowledged, cw.State.COMPLETED)


def test_r1_a_removed_owners_file_lets_no_second_engine_in(tmp_path):
    path = tmp_path / "labors.db"
    with cw.Engine(path) as engine:
        owner = tmp_path / "labors.db-owner"
        owner.unlink()
        for second in (path, os.fspath(path)):
            with pytest.raises(cw.StoreInUse, match="one engine at a time"):
                cw.Engine(second)
        code = (
            "import cogwork as cw\ntry: cw.Engine('labors.db')\nexcept cw.StoreInUse as error: print('refused', error)"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
        )
        assert out.stdout.startswith("refused"), out
        engine.submit(
            cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[cw.command.job(["true"])])])])
        ).wait()
        assert f"pid: {os.getpid()}" in owner.read_text()
    assert not owner.exists()


def test_r1_an_owners_file_that_is_somebodys_letter_is_left_alone(tmp_path):
    letter = tmp_path / "letter"
    letter.write_text("dear bob")
    os.link(letter, tmp_path / "labors.db-owner")
    with pytest.raises(cw.StorageError, match="move it away"):
        cw.Engine(tmp_path / "labors.db")
    assert letter.read_text() == "dear bob"


def test_a_file_that_is_copied_before_its_first_checkpoint_is_a_store(tmp_path):
    with cw.Engine(tmp_path / "labors.db") as engine:
        copy = tmp_path / "copy.db"
        copy.write_bytes((tmp_path / "labors.db").read_bytes())
        assert list(cw.open_store(copy).search()) == []
        backup = tmp_path / "backup.db"
        engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[cw.command.job(["true"])])])]))
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))"
        subprocess.run([sys.executable, "-c", code, tmp_path / "labors.db", backup], check=True, timeout=PATIENCE)
        assert [labor.name for labor in cw.open_store(backup).search()] == ["x"]


@pytest.mark.parametrize(
    "made",
    [
        "DROP TABLE history; CREATE VIEW history AS WITH RECURSIVE n(first) AS (SELECT 1 UNION ALL SELECT first FROM n) SELECT * FROM n",
        "CREATE VIEW mine AS SELECT * FROM labors",
        "CREATE TRIGGER t AFTER INSERT ON history BEGIN DELETE FROM labors; END",
        "CREATE INDEX i ON jobs(length(name))",
        "CREATE VIRTUAL TABLE v USING fts5(x)",
        "DROP TABLE args",
        "DROP TABLE args; CREATE TABLE args(key INTEGER PRIMARY KEY, args BLOB AS (zeroblob(1000000000)))",
        "DROP INDEX history_labor",
    ],
)
def test_a_file_that_holds_what_cogwork_does_not_make_is_refused(tmp_path, made):
    path = tmp_path / "labors.db"
    cw.Engine(path).close()
    with sqlite3.connect(path) as database:
        database.executescript(f"PRAGMA foreign_keys = OFF; {made}")
    database.close()
    for look in (cw.Engine, cw.open_store, cw.doctor):
        with pytest.raises(cw.StorageError, match="cogwork"):
            look(path)


def test_a_table_of_ones_own_and_statistics_are_left_alone(tmp_path):
    path = tmp_path / "labors.db"
    cw.Engine(path).close()
    with sqlite3.connect(path) as database:
        database.executescript("CREATE TABLE notes(x); CREATE INDEX notes_x ON notes(x); ANALYZE")
    database.close()
    cw.Engine(path).close()
    assert cw.doctor(path).fine


# ---- file systems that lack something ----

LACKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
static int of_store(int fd, const char* end) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return (size_t)n >= strlen(end) && !strcmp(path + n - strlen(end), end);
}
#ifdef LACKS_FLOCK
int flock(int fd, int what) { errno = ENOLCK; return -1; }
#endif
#ifdef LACKS_MMAP
void* mmap(void* at, size_t size, int what, int how, int fd, off_t from) {
  void* (*real)(void*, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
  if (fd >= 0 && of_store(fd, "-shm")) { errno = ENODEV; return MAP_FAILED; }
  return real(at, size, what, how, fd, from);
}
void* mmap64(void* at, size_t size, int what, int how, int fd, off_t from) { return mmap(at, size, what, how, fd, from); }
#endif
#ifdef LACKS_LOCKS
static int locks(int (*real)(int, int, ...), int fd, int what, void* with) {
  if (what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK) { errno = ENOLCK; return -1; }
  return real(fd, what, with);
}
int fcntl(int fd, int what, ...) {
  va_list rest; va_start(rest, what); void* with = va_arg(rest, void*); va_end(rest);
  return locks(dlsym(RTLD_NEXT, "fcntl"), fd, what, with);
}
int fcntl64(int fd, int what, ...) {
  va_list rest; va_start(rest, what); void* with = va_arg(rest, void*); va_end(rest);
  return locks(dlsym(RTLD_NEXT, "fcntl64"), fd, what, with);
}
#endif
#ifdef LACKS_OFD
int fcntl(int fd, int what, ...) {
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl");
  va_list rest; va_start(rest, what); void* with = va_arg(rest, void*); va_end(rest);
  if (what == F_OFD_SETLK || what == F_OFD_GETLK) { errno = EINVAL; return -1; }
  return real(fd, what, with);
}
#endif
"""

RUN = """
import cogwork as cw
try:
    with cw.Engine("labors.db") as engine:
        labor = cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[cw.command.job(["true"])])])])
        print(engine.run(labor).state.name, engine.stats().degraded_reason)
except cw.StorageError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ("FLOCK", "has no locks (flock)"),
        ("MMAP", "has no shared memory (mmap)"),
        ("LOCKS", "has no locks (No locks available)"),
        ("OFD", "COMPLETED"),
    ],
)
def test_r1_what_a_file_system_lacks_is_said(tmp_path, lacks, words):
    source, shim = tmp_path / "lacks.c", tmp_path / "lacks.so"
    source.write_text(LACKS)
    made = subprocess.run(
        ["cc", f"-DLACKS_{lacks}", "-shared", "-fPIC", "-o", shim, source, "-ldl"], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip("no C compiler")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN],
        cwd=tmp_path, env={**os.environ, "LD_PRELOAD": str(shim)}, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert words in done.stdout, (done.stdout, done.stderr)
    if lacks != "OFD":
        assert "put the store on a local disk" in done.stdout


def test_r1_a_medium_that_is_read_only_is_said(tmp_path):
    """As root, in a mount namespace of its own; else the folder's permissions stand for it."""
    cw.Engine(tmp_path / "labors.db").close()
    inner = (
        f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && cd {tmp_path} && "
        f"{sys.executable} -c \"import cogwork as cw; print(len(list(cw.open_store('labors.db').search())))\" && "
        f"for db in labors.db new.db; do {sys.executable} -c \"import cogwork as cw; cw.Engine('$db')\" 2>&1 | tail -1; done"
    )
    done = subprocess.run(["unshare", "-m", "bash", "-c", inner], capture_output=True, text=True, timeout=PATIENCE)
    if not done.stdout:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    read, owned, made = done.stdout.splitlines()
    assert read == "0"
    assert "read-only" in owned, owned
    assert "open_store" in owned, owned
    assert "read-only" in made, made


_FROM_NOWHERE = """
import os, sys
import cogwork as cw
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
for open_it in (cw.Engine, cw.open_store, cw.connect, cw.doctor):
    for spec in ("labors.db", "./labors.db", "sqlite:labors.db"):
        try:
            open_it(spec)
        except cw.StorageError as error:
            assert "the current folder cannot be found" in str(error), error
        else:
            raise AssertionError((open_it, spec))
cw.Engine("memory:").close()
cw.Engine(sys.argv[2]).close()
"""


def test_r1_a_current_folder_that_was_removed_is_said(tmp_path):
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _FROM_NOWHERE, str(tmp_path / "gone"), str(tmp_path / "labors.db")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
