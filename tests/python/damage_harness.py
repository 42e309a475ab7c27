"""Damages stores at random and looks at them in every way there is: `python tests/python/damage_harness.py FOLDER FIRST SECONDS`.

Each seed takes one of the stores that `make` left behind by a kill, edits cells of its tables or flips bits of its file, and opens it with an
engine, the doctor, readers. Whatever comes of it is a CogworkError, or nothing: never another error, a crash, a hang, or much memory. A line
for each seed is printed before it begins, so that who reads them knows which one ended the process.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import pathlib
import random
import resource
import shutil
import sqlite3
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress

import cogwork as cw

HERE = pathlib.Path(__file__).parent
LONGEST = 30.0
"""Seconds that one look may take, on a machine that is busy."""
MOST_MEMORY = 1 << 31
"""Bytes of address space."""
MOST_GROWTH = 300
"""MiB by which a process may grow over all its seeds."""


# ---- stores in many states ----


@cw.cog(idempotent=True)
def quick(value: int = 1) -> int:
    return value


@cw.cog(idempotent=True)
def wait(ctx: cw.Context) -> None:
    ctx.sleep(600)


@cw.cog
def flash(ctx: cw.Context) -> None:
    ctx.sleep(600)


@cw.cog(idempotent=True)
def healthy() -> bool:
    return True


@cw.cog(retries=5, retry_delay=3600)
def bad() -> bool:
    raise ValueError("boom")


@cw.cog
def says() -> dict[str, object]:
    return {"a": [1, 2.5, None, "text", b"bytes"], "b": {"c": "d" * 200}}


def labor(name: str, *jobs: cw.Job, targets: int = 3, **task: object) -> cw.Labor:
    sequences = [cw.Sequence(f"{name}-{n}", jobs=list(jobs)) for n in range(targets)]
    return cw.Labor(name, tags=["edge", name], tasks=[cw.Task("first", sequences=sequences, **task), *_later()])  # type: ignore[arg-type]


def _later() -> list[cw.Task]:
    return [cw.Task("later", sequences=[cw.Sequence("z", jobs=[quick.job(), says.job()])])]


def _running(engine: cw.Engine) -> None:
    checks = {"pre_checks": [healthy.job()], "cont_checks": [healthy.job()], "cont_check_interval": 0.02}
    engine.submit(labor("runs", quick.job(), wait.job(), concurrency=2, **checks))
    engine.submit(labor("retries", bad.job(), concurrency=3, tolerated_failures=2))
    engine.submit(labor("checks", wait.job(), pre_checks=[bad.job()]))


def _held(engine: cw.Engine) -> None:
    handle = engine.submit(labor("flashes", flash.job(), concurrency=2))
    _wait_for(lambda: len(handle.read()["first"][0][0].attempts) > 0)


def _paused(engine: cw.Engine) -> None:
    handles = [
        engine.submit(labor(name, quick.job(), wait.job(), concurrency=2)) for name in ("paused", "admin", "crisis")
    ]
    handles[0].pause(by="alice", note="lunch")
    handles[1].admin_pause()
    engine.crisis_pause(tags=["crisis"], by="bob", note="INC-12")
    engine.submit(labor("asks", quick.job()), start=False)


def _ended(engine: cw.Engine) -> None:
    engine.run(
        labor("done", says.job(), quick.job(), concurrency=2, cont_checks=[healthy.job()], cont_check_interval=0.01)
    )
    engine.run(labor("lost", bad.job().replace(retries=1, retry_delay=0), quick.job()))
    handle = engine.submit(labor("stopped", wait.job()))
    handle.stop(interrupt=True).wait(LONGEST)
    engine.submit(labor("known", quick.job()), start=False)


STATES: dict[str, Callable[[cw.Engine], None]] = {
    "running": _running, "held": _held, "paused": _paused, "ended": _ended,
}  # fmt: skip


def _wait_for(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LONGEST
    while not true() and time.monotonic() < give_up:
        time.sleep(0.01)


def make(state: str, path: str) -> None:
    """Leaves the store as an engine that is killed does, without a log."""
    pid = os.fork()
    if pid == 0:
        try:
            engine = cw.Engine(path)
            STATES[state](engine)
            time.sleep(0.3)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    if state == "held":  # an engine that finds the calls asks about them
        with cw.Engine(path, grace=0.1) as engine:
            assert engine.stats().held
            engine.close(interrupt=True)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


# ---- damage ----

_NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    9,
    11,
    77,
    255,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    2**62,
    2**63 - 1,
    -(2**63),
    -(2**31),
]


def _value(dice: random.Random, old: object) -> object:
    if isinstance(old, int) and dice.random() < 0.4:
        return _signed(old ^ (1 << dice.randrange(64)))
    if isinstance(old, bytes) and old and dice.random() < 0.6:
        return _bits(dice, old) if dice.random() < 0.7 else old[: dice.randrange(len(old))]
    return dice.choice(
        [
            dice.choice(_NUMBERS),
            None,
            dice.random() * 1e9,
            "text",
            "\x1b[31m\x00\u202e",
            dice.randbytes(dice.randrange(40)),
            "",
        ]
    )


def _signed(number: int) -> int:
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number


def _bits(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 8])):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _edit(dice: random.Random, database: sqlite3.Connection) -> str:
    tables = [
        name
        for (name,) in database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )
    ]
    table = dice.choice(tables)
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    keys = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[5]]
    rows = database.execute(f"SELECT {', '.join(keys + columns)} FROM {table}").fetchall()
    if not rows:
        return f"{table} is empty"
    row = dice.choice(rows)
    where = " AND ".join(f"{key} IS ?" for key in keys)
    if dice.random() < 0.1:
        database.execute(f"DELETE FROM {table} WHERE {where}", row[: len(keys)])
        return f"DELETE FROM {table} {row[: len(keys)]!r}"
    at = dice.randrange(len(columns))
    value = _value(dice, row[len(keys) + at])
    with suppress(sqlite3.Error, OverflowError):  # a constraint, or nothing that a column takes
        database.execute(f"UPDATE {table} SET {columns[at]} = ? WHERE {where}", (value, *row[: len(keys)]))
    return f"{table}.{columns[at]} of {row[: len(keys)]!r} = {value!r:.60}"


def damage(dice: random.Random, path: str) -> str:
    """Says what was done."""
    if dice.random() < 0.25:
        data = pathlib.Path(path).read_bytes()
        page = dice.randrange(len(data) // 4096) * 4096
        part = data[page : page + 4096]
        pathlib.Path(path).write_bytes(data[:page] + _bits(dice, part) + data[page + 4096 :])
        return f"bits of page {page // 4096 + 1}"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("PRAGMA journal_mode = DELETE")
    done = [_edit(dice, database) for _ in range(dice.choice([1, 1, 1, 2, 3]))]
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    return "; ".join(done)


# ---- looking ----


def _open_engine(path: str) -> None:
    with cw.Engine(path, grace=0.05) as engine:
        for waits in engine.stats().waiting:
            assert waits.why
        list(engine.search())
        for id in engine.taken_up[:3]:
            handle = engine.handle(id)
            handle.read()
            for signal in (handle.pause, handle.resume, handle.crisis_resume, handle.admin_resume, handle.stop):
                with suppress(cw.CogworkError):
                    signal()
        for held in engine.stats().held[:2]:
            with suppress(cw.CogworkError):
                engine.decide(held.job_id, "failed")
        engine.run(labor("new", quick.job(), targets=1)) if not engine.crises() else None
        engine.close(interrupt=True)


def _read(path: str) -> None:
    with cw.open_store(path) as store:
        for found in store.search():
            repr(found)
            if not found.id:
                continue
            for look in (
                lambda id=found.id: repr(store.read_labor(id)),
                lambda id=found.id: list(store.changes(id)),
                lambda id=found.id: store.at(id, 5),
                lambda id=found.id: store.verify(id),
                lambda id=found.id: store.read_job(id[:-1] + "5"),
                lambda id=found.id: store.read_task(id[:-1] + "1"),
                lambda id=found.id: store.read_sequence(id[:-1] + "2"),
            ):
                with suppress(cw.CogworkError, ValueError):
                    look()
        list(store.search(cw.LaborFilter(states=[cw.State.RUNNING], tags=["edge"], targets=["runs-1"])))
        list(store.changes())
        store.verify()


def _examine(path: str) -> None:
    for finding in cw.doctor(path).findings:
        assert finding.remedy
        str(finding)


def _shell(path: str) -> None:
    from cogwork.cli import app

    with cw.open_store(path) as store:
        ids = [found.id for found in store.search() if found.id]
    commands = [["ls"], ["ls", "--json"], ["doctor", path], ["crisis", "status"]]
    for id in ids[:2]:
        commands += [["show", id], ["show", id, "--json"], ["history", id], ["show", id, "--at", "5"]]
    for command in commands:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), suppress(SystemExit):
            app([*command, *([] if path in command else ["--db", path])], standalone_mode=True)


LOOKS: list[Callable[[str], None]] = [_read, _examine, _shell, _open_engine]


def look_at(path: str) -> Iterator[str]:
    """What was raised that must not be."""
    for look in LOOKS:
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            look(path)
        except cw.CogworkError as error:
            if not str(error):
                yield f"{look.__name__}: {type(error).__name__} says nothing"
        except BaseException as error:
            yield f"{look.__name__}: {type(error).__name__}: {error}\n{''.join(traceback.format_exception(error)[-3:])}"
        finally:
            faulthandler.cancel_dump_traceback_later()


def main() -> None:
    folder, first, seconds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    for state in STATES:
        if not (folder / f"{state}.db").exists():
            make(state, str(folder / f"{state}.db"))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    end = time.monotonic() + seconds
    seed, bad = first, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() < end:
        dice = random.Random(seed)
        state = dice.choice(list(STATES))
        path = str(folder / f"damaged-{first}.db")
        for rest in folder.glob(f"damaged-{first}.db*"):
            rest.unlink()
        shutil.copy(folder / f"{state}.db", path)
        said = damage(dice, path)
        print(f"seed {seed}: {state}: {said}", flush=True)
        for wrong in look_at(path):
            bad += 1
            print(f"WRONG, seed {seed}: {wrong}", flush=True)
        seed += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MOST_GROWTH:
        bad += 1
        print(f"WRONG: it grew by {grown:.0f} MiB")
    print(f"{seed - first} seeds, {bad} wrong, grown by {grown:.0f} MiB")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
