"""R5 at every write point, with real processes: a Labor of two Jobs dies exactly before and exactly after each of its commits, undisturbed and under
every kind of signal, and is recovered. The many, in one process, are tests/cpp/engine/write_points_test.cpp.

Prints what it did; a failure names the case and keeps the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import signal
import sys
import threading

from forks import Failure, fork, wait_for_end
from judge import ENDED, jobs_of, note, objects_of, read_log, wrong_with_store
from kill_cogs import work_plain

import cogwork as cw
from cogwork import OnInterrupt, Rank, State
from cogwork.testing import FaultyStorage

SIGNALS = ("nothing", "pause", "admin_pause", "crisis_pause", "stop", "stop(interrupt)")
N, C, F, X = State.NOT_STARTED, State.COMPLETED, State.FAILED, State.STOPPED

# How its two Jobs may end. Whatever was under way at a death: RETRY runs it again, and under a STOP ends it; FAIL fails it.
UNDISTURBED = {(C, C)}
FAILED = {(F, N), (C, F)}
STOPPED = {(N, N), (X, N), (C, N), (C, X)}


@dataclasses.dataclass(frozen=True)
class Case:
    signal: str
    on_interrupt: OnInterrupt
    signal_after: int = 0
    """The write after which the signal is sent; 0: as soon as submit has returned."""
    death: int = 0
    """The write at which the process dies; 0: it does not."""
    after: bool = False

    @property
    def ends(self) -> set[tuple[State, State]]:
        ends = set(UNDISTURBED)
        if self.signal.startswith("stop"):
            ends |= STOPPED
        if self.on_interrupt == OnInterrupt.FAIL and self.death:
            ends |= FAILED
        return ends

    @property
    def name(self) -> str:
        death = f"dies {'after' if self.after else 'before'} write {self.death}" if self.death else "lives"
        return f"{self.signal} after write {self.signal_after}, {self.on_interrupt.name}, {death}"


class Counting(FaultyStorage):
    """Says when a write has been stored."""

    def __init__(self, store: pathlib.Path) -> None:
        super().__init__(store)
        self.stored = threading.Semaphore(0)

    def apply(self, batch: cw.Batch) -> None:
        super().apply(batch)
        self.stored.release()


def labor(log: pathlib.Path, on_interrupt: OnInterrupt) -> cw.Labor:
    jobs = [
        work_plain.job(log=str(log), seconds=0.002, fails=[]).replace(name=name, on_interrupt=on_interrupt, retries=1)
        for name in ("first", "second")
    ]
    return cw.Labor("l", client_id="client", tasks=[cw.Task("t", sequences=[cw.Sequence("host", jobs=jobs)])])


def send(handle: cw.LaborHandle, what: str) -> None:
    with contextlib.suppress(cw.SignalNotAllowed):
        if what.startswith("stop"):
            handle.stop(interrupt="interrupt" in what)
        elif what != "nothing":
            getattr(handle, what)()


def live(folder: pathlib.Path, case: Case) -> None:
    """The life that dies; or, where it need not, until its writes are over."""
    store = Counting(folder / "labors.db")
    if case.death:
        store.die(at=case.death, after=case.after)
    with cw.Engine(store, grace=0.5) as engine:
        handle = engine.submit(labor(folder / "log", case.on_interrupt))
        note(folder / "log", "submitted", "client", handle.id)
        for _ in range(case.signal_after):
            store.stored.acquire(timeout=1)
        send(handle, case.signal)
        settle(engine, handle)
        (folder / "writes").write_text(str(store.writes))


def settle(engine: cw.Engine, handle: cw.LaborHandle) -> None:
    """To its end: what is held is let go of."""
    for _ in range(600):
        found = handle.read()
        if found.state in ENDED:
            return
        for hold in found.holds[-1:]:
            resume = {Rank.USER: handle.resume, Rank.ADMIN: handle.admin_resume, Rank.CRISIS: handle.crisis_resume}[
                hold.rank
            ]
            with contextlib.suppress(cw.SignalNotAllowed):
                resume()
        with contextlib.suppress(TimeoutError):
            handle.wait(0.1)
    raise AssertionError(f"it does not come to its end: {handle.read()!r}")


def recover(folder: pathlib.Path, case: Case) -> None:
    """S3: whoever was not told submits it again."""
    with cw.Engine(folder / "labors.db", grace=0.5) as engine:
        handle = engine.submit(labor(folder / "log", case.on_interrupt))
        note(folder / "log", "submitted", "client", handle.id)
        settle(engine, handle)


def run(folder: pathlib.Path, case: Case) -> int:
    """One case. Returns how many writes its first life came to."""
    folder.mkdir()
    error = folder / "error"
    status = wait_for_end(fork(lambda: live(folder, case), error))
    if status not in (0, -signal.SIGKILL):
        raise Failure(error.read_text())
    if status and wait_for_end(fork(lambda: recover(folder, case), error)) != 0:
        raise Failure(error.read_text())
    with cw.open_store(folder / "labors.db") as store:
        if wrong := wrong_with_store(store, read_log(folder / "log"), ended=True):
            raise Failure("\n".join(wrong))
        (found,) = list(store.labors())
        done = store.read_labor(found.id)
        end = tuple(job.state for job in jobs_of(done))
        if end not in case.ends:
            raise Failure(
                f"R5: no run without a death ends so: {[(type(o).__name__, o.state) for o in objects_of(done)]}"
            )
    return int((folder / "writes").read_text()) if status == 0 else case.death


def main(base: pathlib.Path) -> int:
    count = 0
    for what in SIGNALS:
        for on_interrupt in (OnInterrupt.RETRY, OnInterrupt.FAIL):
            for signal_after in (0,) if what == "nothing" else (0, 2):
                plain = Case(what, on_interrupt, signal_after)
                try:
                    case = plain
                    writes = run(base / f"{count}", case)
                    for death in range(1, writes + 1):
                        for after in (False, True):
                            count += 1
                            case = dataclasses.replace(plain, death=death, after=after)
                            run(base / f"{count}", case)
                    count += 1
                except Failure as failure:
                    print(f"{case.name}: {failure}\nit is kept: {base / str(count)}")
                    return 1
    print(f"{count} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
