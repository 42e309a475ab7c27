"""An engine in trouble, in a process of its own, for test_emergency.py. It is told line by line what goes wrong and what to do, and says as JSON
what came of it. Where something hangs, faulthandler says where."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import pathlib
import resource
import sys
import threading
import warnings

import cogwork as cw
from cogwork.testing import FaultyStorage, failing_disk

faulthandler.dump_traceback_later(240, exit=True)
db = pathlib.Path(sys.argv[1])
trouble = sys.argv[2]
begun = threading.Semaphore(0)


@cw.cog(idempotent=True)
def deaf() -> None:
    begun.release()
    threading.Event().wait()


@cw.cog(idempotent=True)
def quick() -> int:
    return 1


def labor(name: str, job: cw.Job, count: int = 1) -> cw.Labor:
    sequences = [cw.Sequence(f"h{n}", jobs=[job]) for n in range(count)]
    return cw.Labor(name, tasks=[cw.Task("t", concurrency=2, sequences=sequences)])


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def lowest_free() -> int:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    return fd


def run() -> None:
    stack = contextlib.ExitStack()
    store: FaultyStorage | pathlib.Path = db
    disk = stack.enter_context(failing_disk(db))
    if trouble in ("stuck", "reads"):
        store = FaultyStorage(db)
    engine = cw.Engine(store, grace=0.2)
    ended = engine.submit(labor("ended", quick.job()))
    ended.wait(60)
    waiting = engine.submit(labor("waiting", quick.job()), start=False)
    running = engine.submit(labor("running", deaf.job(), 4))
    other = engine.submit(labor("other", deaf.job(), 4))
    for _ in range(4):
        begun.acquire()
    if trouble == "process":
        hung = cw.process_cog(os.environ["HUNG_COG"], timeout=600, idempotent=True)
        engine.submit(labor("hung", hung.job()))
        begun_there = pathlib.Path(os.environ["HUNG_BEGUN"])
        while not begun_there.exists():
            pass
    while engine.stats().commit_queue:
        pass
    say(path=engine._core.control_path, ended=ended.id, waiting=waiting.id, running=running.id)
    for line in sys.stdin:
        word = line.strip()
        if word == "trouble":
            if trouble == "full":
                disk.fail("full")
            elif isinstance(store, FaultyStorage):
                stack.enter_context(store.held(reads=trouble == "reads"))
            elif trouble == "threads":
                used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), resource.RLIM_INFINITY))
                try:  # each would have a stack of a gigabyte
                    threading.Thread(target=print).start()
                except RuntimeError:
                    pass
                else:
                    raise AssertionError("a thread was to be had")
            elif trouble == "descriptors":
                resource.setrlimit(
                    resource.RLIMIT_NOFILE, (lowest_free(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
                )
            say()
        elif word == "crisis":
            latch = engine.crisis_pause(by="inside")
            say(durable=latch.durable, in_force=len(engine.crises()), state=other.state.name)
        elif word == "stop":
            other.stop(interrupt=True)
            say(state=other.state.name)
        elif word == "stats":
            stats = engine.stats()
            say(degraded=stats.degraded, why=stats.degraded_reason, writing=stats.writing_since is not None)
        elif word == "submit":  # and its end
            handle = engine.submit(labor("more", quick.job()))
            say(state=handle.wait(60).state.name)
        elif word == "close":
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                engine.close(interrupt=True)
            say(closed=engine.closed, said=[str(warning.message) for warning in caught])


run()
