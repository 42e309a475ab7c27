"""The Cogs of the benchmarks; in a module of their own, so that each process that imports them has the same ones."""

from __future__ import annotations

import threading
import time

import cogwork as cw


def nothing(host: str) -> None:
    """What the bare thread pool calls, too."""


no_op = cw.cog(name="no_op")(nothing)


@cw.cog
def eight_bytes(host: str) -> str:
    return "upgraded"


class Gate:
    """Calls that block until they are told."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.inside = 0
        self.last_end = 0.0

    def open(self) -> None:
        """Lets those that are inside go; the next ones block again."""
        gate, self._open = self._open, threading.Event()
        gate.set()

    def pass_through(self) -> None:
        gate = self._open
        with self._lock:
            self.inside += 1
        gate.wait()
        with self._lock:
            self.inside -= 1
            self.last_end = time.perf_counter()


gate = Gate()


@cw.cog(timeout=3600)
def blocks(host: str) -> None:
    gate.pass_through()


def fleet(cog: cw.Cog[[str], object], jobs: int, concurrency: int = 16) -> cw.Labor:
    """One Task of so many Sequences of one Job each."""
    sequences = [cw.Sequence(f"edge-{i:07}", jobs=[cog.job(f"edge-{i:07}")]) for i in range(jobs)]
    return cw.Labor("fleet", tasks=[cw.Task("all", concurrency=concurrency, sequences=sequences)])


def chain(cog: cw.Cog[[str], object], jobs: int) -> cw.Labor:
    """One Sequence of so many Jobs."""
    return cw.Labor(
        "chain", tasks=[cw.Task("all", sequences=[cw.Sequence("edge", jobs=[cog.job("edge") for _ in range(jobs)])])]
    )
