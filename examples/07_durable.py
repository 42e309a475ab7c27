"""Durable: the process is killed in the middle, and another one goes on where it was.

What had ended is not run again. What was executing at that moment may have happened or not: a Cog that is declared
idempotent is simply called again.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import cogwork as cw

FLEET = [f"edge-{number}" for number in range(1, 61)]


@cw.cog(idempotent=True)
def install(host: str) -> int:
    time.sleep(0.05)
    return os.getpid()


def first_process(db: str) -> None:
    """Submits, works, and never gets to the end."""
    sequences = [cw.Sequence(host, jobs=[install.job(host=host)]) for host in FLEET]
    with cw.Engine(db) as engine:
        handle = engine.submit(cw.Labor("edge to 2.1", tasks=[cw.Task("all", concurrency=2, sequences=sequences)]))
        print(handle.id, flush=True)
        handle.wait()


def second_process(db: str, labor_id: str) -> None:
    """Opens the same file: that is all it takes to go on. A warning says what goes on, in case that nobody meant it to."""
    warnings.simplefilter("ignore", cw.CogworkWarning)
    with cw.Engine(db) as engine:
        done = engine.handle(labor_id).wait().raise_for_state()
    jobs = [sequence.jobs[0] for sequence in done.tasks[0].sequences]
    by_us = sum(job.output == os.getpid() for job in jobs)
    cut_short = sum(attempt.status is cw.AttemptStatus.INTERRUPTED for job in jobs for attempt in job.attempts)
    print(f"{len(jobs) - by_us} were done before the kill, {by_us} after it; {cut_short} attempts were cut short")
    assert 0 < by_us < len(jobs)


def done_in(labor: cw.Labor) -> int:
    return sum(sequence.state is cw.State.COMPLETED for sequence in labor.tasks[0].sequences)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = str(pathlib.Path(folder) / "labors.db")
        child = subprocess.Popen([sys.executable, __file__, db], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        labor_id = child.stdout.readline().strip()
        with cw.open_store(db) as store:  # reads beside the engine that works
            while done_in(store.read_labor(labor_id)) < 8:
                time.sleep(0.02)
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
            print("killed; the store says", store.read_labor(labor_id, full=False).state.name)
        second_process(db, labor_id)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        first_process(sys.argv[1])
    else:
        main()
