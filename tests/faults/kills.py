"""Kills, and what is left: engines over Labors of mixed shape are killed (SIGKILL) at random moments and opened again, and R5 is judged for every Job.

A world is a folder: a store, and a log that the Cogs write to (judge.py). Lives follow each other in it; each submits, sends signals and decides at
random until it is killed. The last is not killed: it lets everything go and waits for all Labors to end. After each kill no process of that life may be
left, and what is stored must be sound; after the last, every promise must have been kept.

    scripts/kills --count 1000
    scripts/kills --seed 7 --worlds 1        the world of that seed again

A failure prints the seed and keeps the folder. Lives are forked off this process, so that a kill costs no start of Python.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

from forks import Failure, fork, processes_with, wait_for_end
from judge import ENDED, jobs_of, read_log, wrong_with_store
from kill_life import _MARK, HOLD, Life, World

import cogwork as cw
from cogwork import AttemptStatus, OnInterrupt

ORPHANS = 30.0
"""Seconds that the processes of a life may take to follow it: the guardian's grace is 0.3."""
KILLS_A_WORLD = 20


@dataclasses.dataclass
class Figures:
    kills: int = 0
    worlds: int = 0
    labors: int = 0
    jobs: int = 0
    attempts: int = 0
    interrupted: int = 0
    held: int = 0

    def add(self, store: cw.Storage) -> None:
        self.worlds += 1
        for found in list(store.labors(cw.LaborFilter())):
            self.labors += 1
            for job in jobs_of(store.read_labor(found.id)):
                self.jobs += 1
                self.attempts += len(job.attempts)
                lost = sum(attempt.status == AttemptStatus.INTERRUPTED for attempt in job.attempts)
                self.interrupted += lost
                self.held += lost if job.on_interrupt == OnInterrupt.HOLD else 0


def no_orphans(world: World, life: int | str) -> None:
    until = time.monotonic() + ORPHANS
    while left := processes_with(f"{_MARK}={world.mark(life)}"):
        if time.monotonic() > until:
            raise Failure(f"processes outlive life {life}: {left}")
        time.sleep(0.01)


def judge(world: World, ended: bool) -> None:
    if not world.store.exists() or world.store.stat().st_size == 0:
        return
    log = read_log(world.log)
    try:
        opened = cw.open_store(world.store)
    except cw.StorageError:
        if any(words[0] == "submitted" for words in log):
            raise
        return  # it died while it made the store; the next life brings it in order
    with opened as store:
        if wrong := wrong_with_store(store, log, ended):
            raise Failure("\n".join(wrong[:20]))


def wait_for_moment(world: World, r: random.Random) -> None:
    """By the clock, so that openings and closings are hit too; or so many lines of the log on, so that work is, however slow the machine."""
    if r.random() < 0.3:
        time.sleep(r.uniform(0, 0.5))
        return
    wanted = (world.log.stat().st_size if world.log.exists() else 0) + r.randint(1, 4000)
    until = time.monotonic() + 2
    while time.monotonic() < until and (not world.log.exists() or world.log.stat().st_size < wanted):
        time.sleep(0.001)
    time.sleep(r.uniform(0, 0.01))


def live(folder: pathlib.Path, seed: int, kills: int, figures: Figures) -> None:
    """One world from its first life to its last."""
    world = World(folder, str(seed))
    r = random.Random(f"{seed} kills")
    for life in range(kills):
        pid = fork(lambda number=life: Life(world, number).go_on(), folder / "error")
        wait_for_moment(world, r)
        os.kill(pid, signal.SIGKILL)
        status = wait_for_end(pid)
        if status != -signal.SIGKILL:
            raise Failure(f"life {life} ended by itself\n" + (folder / "error").read_text())
        figures.kills += 1
        no_orphans(world, life)
        judge(world, ended=False)
    pid = fork(lambda: Life(world, "last").finish(), folder / "error")
    if wait_for_end(pid) != 0:
        raise Failure("the last life failed\n" + (folder / "error").read_text())
    no_orphans(world, "last")
    judge(world, ended=True)
    with cw.open_store(world.store) as store:
        figures.add(store)
        assert all(labor.state in ENDED for labor in store.labors(cw.LaborFilter()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Kills engines at random moments and judges what is left (R5).")
    parser.add_argument("--count", type=int, default=1000, help="how many kills [1000]")
    parser.add_argument("--worlds", type=int, help="how many worlds, instead")
    parser.add_argument("--seed", type=int, help="of the first world; the next has the next [from the clock]")
    parser.add_argument("--kills", type=int, default=KILLS_A_WORLD, help=f"kills in each world [{KILLS_A_WORLD}]")
    parser.add_argument("--folder", type=pathlib.Path, help="where the worlds are [a temporary one]")
    options = parser.parse_args()

    seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    worlds = options.worlds or max(1, -(-options.count // options.kills))
    left = worlds * options.kills if options.worlds else options.count
    base = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="cogwork-kills-"))
    figures = Figures()
    begin = time.monotonic()
    print(f"{left} kills in {worlds} worlds, from seed {seed}, HOLD {'included' if HOLD else 'left out'}", flush=True)
    for number in range(seed, seed + worlds):
        folder = base / str(number)
        folder.mkdir(parents=True)
        try:
            live(folder, number, min(options.kills, left), figures)
        except Exception as failure:
            what = str(failure) if isinstance(failure, Failure) else traceback.format_exc()
            again = f"scripts/kills --seed {number} --worlds 1 --kills {options.kills}"
            print(f"\nworld {number}: {what}\nit is kept: {folder}\nagain: {again}")
            return 1
        left -= options.kills
        shutil.rmtree(folder)
        print(
            f"{figures.kills} kills, {figures.labors} Labors, {figures.jobs} Jobs, {figures.interrupted} attempts interrupted",
            end="\r",
            flush=True,
        )
    shutil.rmtree(base, ignore_errors=True)
    print(
        f"\n{figures.kills} kills in {time.monotonic() - begin:.0f} s: {figures.labors} Labors, {figures.jobs} Jobs, {figures.attempts} attempts, "
        f"{figures.interrupted} of them interrupted ({figures.held} held); nothing was lost, and nothing was done twice"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
