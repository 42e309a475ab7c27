"""What a Labor takes: memory while it waits and runs, and room in the file. Run in a process of its own, which prints JSON.

usage: memory_probe.py JOBS DATABASE
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from pathlib import Path

import msgspec

import cogs
import cogwork as cw


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def resident() -> int:
    """Bytes in memory, without what was freed and merely not yet given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return _status("VmRSS")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def file_size(database: str) -> int:
    """Once nobody holds it open any more: the last one moves the log into the file."""
    gc.collect()
    deadline = time.monotonic() + 30
    while os.path.exists(f"{database}-wal") and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.path.getsize(database)


def main() -> None:
    jobs, database = int(sys.argv[1]), sys.argv[2]
    encode = msgspec.msgpack.Encoder().encode
    with cw.Engine(database) as engine:
        engine.run(cogs.fleet(cogs.eight_bytes, 100)).raise_for_state()  # what is made once is there now
    del engine
    before_file = file_size(database)
    with cw.Engine(database) as engine:
        labor = cogs.fleet(cogs.eight_bytes, jobs)
        args = sum(len(encode(sequence.jobs[0].args)) for sequence in labor.tasks[0].sequences)
        before = resident()
        reset_peak()
        handle = engine.submit(labor, start=False)
        submit_peak = _status("VmHWM")
        submitted = resident()
        reset_peak()
        end = engine._core.end_of(handle.id)  # handle.wait() would read the whole tree back
        handle.start()
        end.completion.wait()
        run_peak = _status("VmHWM")
        assert handle.read(full=False).state is cw.State.COMPLETED
    del engine, handle, end
    after_file = file_size(database)
    output = len(encode("upgraded")) * jobs
    print(
        json.dumps(
            {
                "jobs": jobs,
                "args_bytes_per_job": args / jobs,
                "engine_bytes_per_job": (submitted - before - args) / jobs,
                "submit_peak_bytes_per_job": (submit_peak - before - args) / jobs,
                "run_peak_bytes_per_job": (run_peak - before - args) / jobs,
                "file_bytes_per_job": (after_file - before_file - args - output) / jobs,
            }
        )
    )
    sys.stdout.flush()
    os._exit(0)  # a tree of this size takes its time to be taken apart


if __name__ == "__main__":
    main()
