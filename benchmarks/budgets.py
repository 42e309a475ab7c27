"""The budgets of the design, each measured beside bare work in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bare
import cogs
import cogwork as cw
from figures import Budget, Figure, median, number, percentile

CONCURRENCY = 16
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sizes:
    """How much of each is measured."""

    single_labors: int = 300
    chain_jobs: int = 1000
    chain_repeats: int = 5
    fleets: tuple[tuple[int, int], ...] = ((1_000, 9), (100_000, 3))  # Jobs, repeats
    memory_jobs: int = 100_000
    pause_sequences: int = 100_000
    pauses: int = 9
    scheduler_jobs: int = 200_000
    scheduler_repeats: int = 5
    commands: int = 2000
    command_repeats: int = 5
    round_trips: int = 20_000
    starts: int = 200
    resident_mb: int = 2048


QUICK = Sizes(
    single_labors=10,
    chain_jobs=30,
    chain_repeats=1,
    fleets=((100, 1), (500, 1)),
    memory_jobs=500,
    pause_sequences=200,
    pauses=2,
    scheduler_jobs=5_000,
    scheduler_repeats=1,
    commands=50,
    command_repeats=1,
    round_trips=100,
    starts=10,
    resident_mb=64,
)
NORMAL = Sizes()
FULL = Sizes(fleets=((1_000, 9), (100_000, 5), (1_000_000, 1)), memory_jobs=1_000_000)


@contextmanager
def _engine(folder: Path, name: str) -> Iterator[cw.Engine]:
    path = folder / name
    try:
        with cw.Engine(path) as engine:
            yield engine
    finally:
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)


def _run(engine: cw.Engine, labor: cw.Labor) -> tuple[float, float]:
    """Seconds that the submit took, and that the run took after it."""
    begin = time.perf_counter()
    handle = engine.submit(labor, start=False)
    submitted = time.perf_counter()
    end = engine._core.end_of(handle.id)  # handle.wait() would read the whole tree back
    handle.start()
    end.completion.wait()
    ended = time.perf_counter()
    state = handle.read(full=False).state
    assert state is cw.State.COMPLETED, state
    return submitted - begin, ended - submitted


def single_labor(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """A Labor of one Job, from submit to its end."""
    labors, commits = [], []
    store = bare.BareStore(folder / "bare.db", 1000)
    with _engine(folder, "single.db") as engine:
        for i in range(sizes.single_labors + 10):
            commit = store.commit()
            labor = cogs.fleet(cogs.no_op, 1)
            begin = time.perf_counter()
            handle = engine.submit(labor)
            engine._core.end_of(handle.id).completion.wait()
            took = time.perf_counter() - begin
            if i >= 10:  # the first ones warm up
                commits.append(commit)
                labors.append(took)
    store.close()
    for share, budget in ((0.5, Budget(4, "at most", "ratio")), (0.99, None)):
        name = f"p{share * 100:.0f}"
        yield Figure(
            f"single_labor_{name}",
            f"one-Job Labor, submit to end, {name}",
            percentile(labors, share) * 1e6,
            "us",
            percentile(commits, share) * 1e6,
            f"one commit, {name}",
            budget,
        )


def chain(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """One Sequence of many Jobs: the end of one and the start of the next share a commit."""
    per_job, per_commit, commits = [], [], 0
    store = bare.BareStore(folder / "bare.db", 1000)
    jobs = sizes.chain_jobs
    with _engine(folder, "chain.db") as engine:
        for _ in range(sizes.chain_repeats):
            # Sums beside sums: both hold what SQLite does now and then, moving its log into the file.
            per_commit.append(sum(store.commit() for _ in range(jobs)) / jobs)
            before = engine.stats().commits
            per_job.append(_run(engine, cogs.chain(cogs.no_op, jobs))[1] / jobs)
            commits += engine.stats().commits - before
    store.close()
    yield Figure(
        "chain",
        f"chain of {jobs:,} Jobs, time for each",
        median(per_job) * 1e6,
        "us",
        median(per_commit) * 1e6,
        "one commit",
        Budget(1.5, "at most", "ratio"),
    )
    yield Figure(
        "chain_commits",
        f"chain of {jobs:,} Jobs, commits for each",
        commits / jobs / sizes.chain_repeats,
        "commits",
        budget=Budget(1.5, "at most", "measured"),
    )


def fleets(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """Many one-Job Sequences, sixteen at once."""
    rates: dict[int, float] = {}
    for jobs, repeats in sizes.fleets:
        submits, runs, pools, batches = [], [], [], []
        for repeat in range(repeats):
            labor = cogs.fleet(cogs.no_op, jobs)
            with _engine(folder, "fleet.db") as engine:
                if jobs < 10_000:
                    _run(
                        engine, cogs.fleet(cogs.no_op, 200)
                    )  # else its first milliseconds are a large part of the whole
                submit, run = _run(engine, labor)
            submits.append(submit)
            runs.append(run)
            if repeat == 0 or jobs <= 100_000:
                pools.append(bare.pool_seconds(cogs.nothing, (f"edge-{i:07}" for i in range(jobs)), CONCURRENCY))
                store = bare.BareStore(folder / "bare.db", jobs)
                batches.append(store.run_in_batches(CONCURRENCY))
                store.close()
        rates[jobs] = jobs / median(runs)
        pool = jobs / median(pools)
        least = Budget(20_000, "at least", "measured")
        whole = median([submit + run for submit, run in zip(submits, runs, strict=True)])
        pool_of = "a thread pool that stores nothing"
        name = f"{jobs:,} Sequences, {CONCURRENCY} at once"
        yield Figure(f"fleet_{jobs}", f"{name}: start to end", rates[jobs], "Jobs/s", pool, pool_of, least)
        yield Figure(f"fleet_{jobs}_whole", f"{name}: submit to end", jobs / whole, "Jobs/s", pool, pool_of, least)
        yield Figure(
            f"fleet_{jobs}_rows",
            f"{name}: beside the same rows",
            rates[jobs],
            "Jobs/s",
            jobs / median(batches),
            f"sqlite3, {CONCURRENCY} Jobs a commit",
        )
    first = sizes.fleets[0][0]
    for jobs, _ in sizes.fleets[1:]:
        yield Figure(
            f"flat_{jobs}",
            f"flat: {jobs:,} Sequences beside {first:,}",
            rates[jobs],
            "Jobs/s",
            rates[first],
            f"{first:,} Sequences",
            Budget(0.8, "at least", "ratio"),
        )


def memory(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """What a Labor takes, beside what the user gave and got."""
    database = folder / "memory.db"
    done = subprocess.run(
        [sys.executable, str(HERE / "memory_probe.py"), str(sizes.memory_jobs), str(database)],
        capture_output=True,
        text=True,
        check=True,
    )
    for end in ("", "-wal", "-shm"):
        Path(f"{database}{end}").unlink(missing_ok=True)
    found = json.loads(done.stdout)
    name = f"{sizes.memory_jobs:,} Jobs"
    most = Budget(400, "at most", "measured")
    yield Figure(
        "memory",
        f"{name}: engine's growth beside args, for each",
        found["engine_bytes_per_job"],
        "bytes",
        budget=most,
        note=f"at its highest {number(found['submit_peak_bytes_per_job'])} while submitting (the document and the commit on their way), "
        f"{number(found['run_peak_bytes_per_job'])} while running; args are {number(found['args_bytes_per_job'])}",
    )
    yield Figure(
        "file", f"{name}: file beside args and output, for each", found["file_bytes_per_job"], "bytes", budget=most
    )


def pause(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """From the end of the last running attempt to the acknowledgement of a pause."""
    waits = []
    with _engine(folder, "pause.db") as engine:
        handle = engine.submit(cogs.fleet(cogs.blocks, sizes.pause_sequences))
        for _ in range(sizes.pauses):
            _until_running(CONCURRENCY)
            ack = handle.pause(by="benchmark")
            time.sleep(0.05)
            assert not ack.done
            cogs.gate.open()
            assert ack.wait(60)
            acknowledged = time.perf_counter()
            waits.append(acknowledged - cogs.gate.last_end)
            handle.resume(by="benchmark").wait()
        _until_running(CONCURRENCY)
        ack = handle.stop(by="benchmark")
        cogs.gate.open()
        ack.wait()
    yield Figure(
        "pause",
        f"pause of {sizes.pause_sequences:,} Sequences, {CONCURRENCY} running: last end to ack",
        median(waits) * 1e3,
        "ms",
        budget=Budget(10, "at most", "measured"),
        note=f"the longest of {len(waits)}: {number(max(waits) * 1e3)} ms",
    )


def _until_running(calls: int) -> None:
    deadline = time.monotonic() + 60
    while cogs.gate.inside < calls:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{cogs.gate.inside} of {calls} calls run")
        time.sleep(0.001)


def scheduler(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """The engine without Python and without a file."""
    program = find_program("scheduler_bench")
    if program is None:
        yield Figure(
            "scheduler",
            "scheduler, memory store, no-op in C++",
            0,
            "Jobs/s",
            note="not built: cmake --preset release builds scheduler_bench",
        )
        return
    found = {}
    for variant in ("machine", "core", "engine"):
        done = subprocess.run(
            [program, variant, "--jobs", str(sizes.scheduler_jobs), "--repeats", str(sizes.scheduler_repeats)],
            capture_output=True,
            text=True,
            check=True,
        )
        found[variant] = json.loads(done.stdout)
    cpu = found["engine"]["scheduler_cpu_us_per_job"]
    budget = Budget(200_000, "at least", "measured")
    yield Figure(
        "scheduler",
        "scheduler thread, memory store, no-op in C++",
        found["engine"]["scheduler_jobs_per_s"],
        "Jobs/s",
        found["machine"]["jobs_per_s"],
        "the machine alone",
        budget,
        note=f"{number(cpu)} us of the thread's CPU time a Job",
    )
    yield Figure(
        "scheduler_core",
        "the core in one thread, nothing behind it",
        found["core"]["jobs_per_s"],
        "Jobs/s",
        budget=budget,
    )
    yield Figure(
        "scheduler_engine", "the same engine, end to end (three threads)", found["engine"]["jobs_per_s"], "Jobs/s"
    )


def find_program(name: str) -> str | None:
    """A program of the C++ benchmarks, from the newest build; COGWORK_SCHEDULER_BENCH names another than the newest scheduler_bench, and so on."""
    if given := os.environ.get(f"COGWORK_{name.upper()}"):
        return given
    built = HERE.parent.glob(f"build/*/benchmarks/cpp/{name}")
    newest = max(built, key=lambda path: path.stat().st_mtime, default=None)
    return str(newest) if newest else None


ALL = {
    "single": single_labor,
    "chain": chain,
    "fleets": fleets,
    "memory": memory,
    "pause": pause,
    "scheduler": scheduler,
}
