"""What looking back costs: a file with a million changes, opened, taken up, looked at as it stood, and verified.

usage: history.py [--changes N] [--folder DIR] [--keep FILE]

Half of the changes are one Labor's, so that each figure has a Labor of 100,000 Sequences and more in it; the others are Labors of 2,500 Sequences.
The shell's figures are of a whole process, its start (some 0.3 s) included, on a Labor of 10,000 Sequences.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cogwork as cw

EACH = 4  # changes of a one-Job Sequence
SMALL = 2_500
SHELL = 10_000


@cw.cog(idempotent=True)
def touch(host: int) -> None:
    pass


def labor(name: str, sequences: int) -> cw.Labor:
    steps = [cw.Sequence(f"host-{n}", jobs=[touch.job(host=n)]) for n in range(sequences)]
    return cw.Labor(name, tasks=[cw.Task("all", concurrency=16, sequences=steps)])


def show(what: str, seconds: float, more: str = "") -> None:
    print(f"{what:58} {seconds:9.3f} s  {more}", flush=True)


@contextmanager
def timed(what: str, more: str = "") -> Iterator[None]:
    began = time.perf_counter()
    yield
    show(what, time.perf_counter() - began, more)


def best(what: str, call: Callable[[], Any], times: int = 3) -> Any:
    """The shortest of some: what a busy machine adds is not the work's."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - began)
    show(what, min(taken))
    return result


def fill(path: Path, changes: int) -> str:
    """Returns the large Labor's id. It is paused half way, and its engine closed, so that it is taken up."""
    large = changes // 2 // EACH
    with timed(f"run {large:,} Sequences of one Labor, half"), cw.Engine(path) as engine:
        handle = engine.submit(labor("large", large))
        while engine.store.last_change() < changes // 4:
            time.sleep(0.05)
        handle.pause().wait()
    with timed("open an engine, which takes that Labor up"):
        engine = cw.Engine(path)
    with timed("run the rest of it, and the small Labors"), engine:
        engine.handle(handle.id).resume()
        engine.handle(handle.id).wait()
        while engine.store.last_change() < changes:
            engine.run(labor("small", SMALL))
    return handle.id


def shell(*words: str) -> Callable[[], None]:
    package = str(Path(cw.__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": package}
    command = [sys.executable, "-m", "cogwork", *words]
    return lambda: subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL) and None


def measure(path: Path, large: str) -> None:
    with cw.open_store(path) as store:
        print(f"{store.last_change():,} changes, {path.stat().st_size / 2**20:,.0f} MiB, {len(store.ids()):,} Labors\n")
    best("open the file to read", lambda: cw.open_store(path).last_change())
    with timed("open an engine, with nothing to take up"):
        cw.Engine(path).close()
    store = cw.open_store(path)
    whole = best("read the large Labor, as it is", lambda: store.read_labor(large))
    numbers = [row.first for row in store.history(large)]
    middle = numbers[len(numbers) // 2]
    best("at a number in its middle", lambda: store.at(large, middle))
    best("at a time in its middle", lambda: store.at(large, whole.started + (whole.ended - whole.started) / 2))
    small = next(labor.id for labor in store.search() if labor.name == "small")
    best("at a number, of a Labor of 2,500 Sequences", lambda: store.at(small, 0))
    best("verify all", store.verify)
    best("cw.doctor", lambda: cw.doctor(path), times=1)
    best("the Labor of an id's first six letters", lambda: store.ids(large[:6]))
    best("cogwork show PREFIX --json, of a small Labor", shell("show", small[:12], "--json", "--db", str(path)))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        db = Path(folder) / "shell.db"
        with cw.Engine(db) as engine:
            done = engine.run(labor("shell", SHELL))
        best("cogwork history, 10,000 Sequences as text", shell("history", done.id[:8], "--db", str(db)))
        best("cogwork history --json", shell("history", done.id[:8], "--json", "--db", str(db)))
        best("cogwork ls (a process that does little)", shell("ls", "--db", str(db)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what looking back costs.")
    parser.add_argument("--changes", type=int, default=1_000_000, help="about as many are in the file")
    parser.add_argument("--folder", type=Path, help="where the file lies; the disk matters")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="makes it there and leaves it, or measures the one that is there"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cogwork-history-", dir=args.folder) as folder:
        path = args.keep or Path(folder) / "labors.db"
        if path.exists():
            with cw.open_store(path) as store:
                large = next(found.id for found in store.search() if found.name == "large")
        else:
            large = fill(path, args.changes)
        measure(path, large)


if __name__ == "__main__":
    main()
