"""What processes cost: commands, process Cogs, and starting them; each beside bare work. The measuring is done by process_bench, in C++."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from budgets import HERE, Sizes, find_program
from figures import Budget, Figure, number


def _measure(program: str, *words: object) -> dict[str, Any]:
    done = subprocess.run([program, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _not_built(key: str, what: str, unit: str) -> Figure:
    return Figure(key, what, 0, unit, note="not built: cmake --preset release builds process_bench")


def commands(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """Commands as Jobs, beside starting the same program so many times at once and waiting for it."""
    program = find_program("process_bench")
    for store in ("memory", "sqlite"):
        what = f"commands: /bin/true as a Job, {store} store"
        if program is None:
            yield _not_built(f"commands_{store}", what, "Jobs/s")
            continue
        for concurrency in (1, 16):
            path = "memory:" if store == "memory" else folder / "commands.db"
            found = _measure(
                program, "commands", "--store", path, "--concurrency", concurrency, "--count", sizes.commands,
                "--repeats", sizes.command_repeats,
            )  # fmt: skip
            yield Figure(
                f"commands_{store}" + ("" if concurrency == 16 else f"_{concurrency}"),
                f"{what}, {concurrency} at once",
                found["jobs_per_s"],
                "Jobs/s",
                found["bare_per_s"],
                "a loop of posix_spawn",
                Budget(0.8, "at least", "ratio") if concurrency == 16 else None,
            )


def round_trip(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """A call of a process Cog, there and back, beside a program that echoes msgpack on the same kind of socket."""
    program, no_op = find_program("process_bench"), find_program("no_op_cog")
    kinds = {
        "cpp": ("C++ (cogwork/serve.h)", f"{no_op}:nothing", [program, "echo"]),
        "python": ("Python", f"python:{HERE / 'no_op.py'}:nothing", [sys.executable, HERE / "echo.py"]),
    }
    for key, (name, cog, echo) in kinds.items():
        if program is None or no_op is None:
            yield _not_built(f"round_trip_{key}", f"process Cog in {name}: a call", "us")
            continue
        for in_flight in (1, 16):
            found = _measure(
                program, "round_trip", "--cog", cog, "--python", sys.executable, "--concurrency", in_flight,
                "--count", sizes.round_trips, "--repeats", sizes.command_repeats, *echo,
            )  # fmt: skip
            yield Figure(
                f"round_trip_{key}_{in_flight}",
                f"process Cog in {name}: a call, {in_flight} in flight",
                found["us"],
                "us",
                found["bare_us"],
                "an echo of msgpack",
                Budget(2, "at most", "ratio") if in_flight == 1 else None,
            )


def start(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """Starting a process from one that has grown."""
    program = find_program("process_bench")
    what = f"starting a process, {sizes.resident_mb:,} MB resident"
    if program is None:
        yield _not_built("start", what, "us")
        return
    found = _measure(
        program, "start", "--megabytes", sizes.resident_mb, "--count", sizes.starts, "--repeats", sizes.command_repeats
    )
    yield Figure(
        "start",
        what,
        found["us"],
        "us",
        found["bare_us"],
        "without them",
        Budget(1.25, "at most", "ratio"),
        note=f"a fork of the same process: {number(found['fork_us'])} us",
    )
