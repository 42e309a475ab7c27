"""One life of an engine that is going to be killed, and the last one, which is not. Runs in a process of its own; see kills.py."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import time
import warnings

from judge import ENDED, jobs_of, note, objects_of
from kill_cogs import probe, work_async, work_command, work_plain

import cogwork as cw
from cogwork import OnInterrupt, Rank, State

HERE = pathlib.Path(__file__).parent
HOLD = hasattr(cw.Engine, "decide")
"""Whether Jobs may be HOLD, with decisions sent at random. It is what the engine can do; False leaves them out."""

AT_ONCE = 4
"""Labors that are under way at the same time."""

_MARK = "COGWORK_KILLS"
"""The variable by which the processes of a life are known."""
_PAUSES = ("pause", "admin_pause", "crisis_pause")
_RESUMES = {Rank.USER: "resume", Rank.ADMIN: "admin_resume", Rank.CRISIS: "crisis_resume"}


def random_labor(seed: str, client_id: str, log: str, world: World) -> cw.Labor:
    """The same one for the same seed: whoever was not told submits it again (S3)."""
    r = random.Random(f"{seed} {client_id}")
    kinds = r.choice([["plain"], ["async"], ["command"], ["plain", "async", "command", "apart"]])
    on_interrupt = [OnInterrupt.RETRY, OnInterrupt.RETRY, OnInterrupt.FAIL] + [OnInterrupt.HOLD] * HOLD

    def job() -> cw.Job:
        seconds = r.choice([0.0, 0.0, 0.005, 0.02, 0.06])
        retries = r.choice([0, 0, 1, 3])
        # Attempts that fail by themselves; interrupted ones have numbers too, so these may never come to it.
        fails = [number for number in range(1, 8) if r.random() < (0.3 if retries else 0.08)]
        args = {"log": log, "seconds": seconds, "fails": fails}
        kind = r.choice(kinds)
        made = work_command(**args) if kind == "command" else world.cogs[kind].job(**args)
        return made.replace(
            retries=retries,
            retry_delay=r.choice([0, 0.01, 0.05]),
            on_interrupt=r.choice(on_interrupt),
            timeout=r.choice([10, 10, 10, 0.05]),
        )

    def checks(count: int) -> list[cw.Job]:
        return [probe.job(seconds=r.choice([0, 0.01]), passes=r.random() < 0.97) for _ in range(count)]

    def task(number: int) -> cw.Task:
        sequences = [
            cw.Sequence(f"host-{n}", jobs=[job() for _ in range(r.randint(1, 3))]) for n in range(r.choice([1, 3, 8]))
        ]
        return cw.Task(
            f"task-{number}",
            pre_checks=checks(r.choice([0, 0, 1])),
            cont_checks=checks(r.choice([0, 0, 1])),
            cont_check_interval=r.choice([0.02, 0.2]),
            concurrency=r.choice([1, 2, 5, "50%"]),
            tolerated_failures=r.choice([-1, -1, 2, 0]),
            strict=r.random() < 0.1,
            pass_failures=r.random() < 0.2,
            pause_on_entry=r.random() < 0.03,
            sequences=sequences,
        )

    return cw.Labor(client_id, client_id=client_id, tasks=[task(n) for n in range(r.randint(1, 3))])


class World:
    """A folder with a store, a log, and what the seed says."""

    def __init__(self, folder: pathlib.Path, seed: str) -> None:
        self.folder, self.seed = folder, seed
        self.log = folder / "log"
        self.cogs = {"plain": work_plain, "async": work_async}
        self.cogs["apart"] = cw.process_cog(
            f"python:{HERE / 'kill_cogs.py'}:work_apart", name="work_in_a_process", processes=2
        )

    @property
    def store(self) -> pathlib.Path:
        return self.folder / "labors.db"

    def mark(self, life: int | str) -> str:
        return f"{self.folder}/{life}"


class Life:
    """Submits, sends signals, decides; all at random, until somebody ends it."""

    def __init__(self, world: World, life: int | str) -> None:
        self.world = world
        self.r = random.Random(f"{world.seed} life {life}")
        os.environ[_MARK] = world.mark(life)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        warnings.simplefilter("ignore", cw.CogworkWarning)  # of held Jobs, each time
        self.engine = cw.Engine(world.store, grace=0.3, workers=8)
        self.known = {labor.client_id: labor.id for labor in self.engine.search()}
        self.open = {labor.id for labor in self.engine.search() if labor.state not in ENDED}

    def go_on(self) -> None:
        while True:
            if len(self.open) < AT_ONCE:
                self.submit(len(self.known))
            elif self.r.random() < 0.05:
                self.submit(self.r.randrange(len(self.known)))
            with contextlib.suppress(cw.SignalNotAllowed):
                self.meddle()
            time.sleep(self.r.choice([0, 0.001, 0.01]))

    def finish(self) -> None:
        """Whatever is held is let go, until all have ended."""
        for number in range(len(self.known) + 1):
            self.submit(number)
        for labor_id in self.known.values():
            handle = self.engine.handle(labor_id)
            for _ in range(300):
                labor = handle.read()
                if labor.state in ENDED:
                    break
                with contextlib.suppress(cw.SignalNotAllowed):
                    self.release(labor)
                with contextlib.suppress(TimeoutError):
                    handle.wait(0.2)
            else:
                raise AssertionError(f"{labor.name} does not come to its end: {labor!r}")
        self.engine.close()

    def submit(self, number: int) -> None:
        """S3: one that was submitted already is the same one."""
        client_id = f"labor-{number}"
        handle = self.engine.submit(random_labor(self.world.seed, client_id, str(self.world.log), self.world))
        note(self.world.log, "submitted", client_id, handle.id)
        self.known[client_id] = handle.id
        self.open.add(handle.id)

    def meddle(self) -> None:
        labor = self.engine.read_labor(self.r.choice(sorted(self.open)))
        if labor.state in ENDED:
            self.open.discard(labor.id)
            return
        what = self.r.random()
        if what < 0.3:
            self.release(labor, self.r)
        elif what < 0.42:
            self.pause(labor)
        elif what < 0.44:
            self.stop(labor)

    def pause(self, labor: cw.Labor) -> None:
        target = self.target(labor)
        ack = getattr(target, self.r.choice(_PAUSES))(note="at random")
        if ack.wait(self.r.choice([0, 0.05])) and ack.applied and target.id == labor.id:
            note(self.world.log, "paused", labor.id)

    def stop(self, labor: cw.Labor) -> None:
        target = self.target(labor)
        ack = target.stop(interrupt=self.r.random() < 0.5)
        if ack.wait(self.r.choice([0, 0.05])) and ack.applied:
            note(self.world.log, "stopped", target.id)

    def target(self, labor: cw.Labor) -> cw.LaborHandle | cw.TaskHandle | cw.SequenceHandle:
        handle = self.engine.handle(labor.id)
        task = self.r.choice(labor.tasks)
        what = self.r.random()
        if what < 0.4:
            return handle
        if what < 0.7:
            return handle.task(task.name)
        return handle.task(task.name).sequence(self.r.choice(task.sequences).target)

    def release(self, labor: cw.Labor, some: random.Random | None = None) -> None:
        """Sends Resumes to what is held, and decides about held Jobs; to all of them, or with `some` here and there."""
        for job in jobs_of(labor):
            if job.held and HOLD and (some is None or some.random() < 0.5):
                decision = self.r.choice(["rerun", "completed", "failed"])
                note(self.world.log, "deciding", job.id, decision)
                with contextlib.suppress(cw.CogworkError):
                    self.engine.decide(job.id, decision)  # type: ignore[attr-defined]
        for obj in objects_of(labor):
            holds = getattr(obj, "holds", [])
            if not holds or obj.state in ENDED or obj.state == State.STOPPING or (some and some.random() < 0.3):
                continue
            if obj is labor:
                note(self.world.log, "resuming", labor.id)
            signal = cw.Signal[_RESUMES[holds[-1].rank].upper()]
            with contextlib.suppress(cw.SignalNotAllowed):
                self.engine.signal(obj.id, signal)
