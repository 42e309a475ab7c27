"""The demo: a fleet of real local services, an upgrade that survives a broken node, and one that is stopped in time.

    python examples/demo/main.py [--shell] [--fleet N] [--fast] [--plain] [--db PATH]

Exits 0 only if what it set out to show has really happened: asked from the services themselves, and read from the
stored Labors after the engine has closed.
"""

import argparse
import collections
import os
import pathlib
import signal
import sys
import tempfile
from dataclasses import dataclass

import rollout
from fleet import Fleet, Traffic
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import cogwork as cw

OLD, GOOD, BAD = "2.0.0", "2.1.0", "2.1.1"
BROKEN = "edge-07"


@dataclass
class Findings:
    """What was to be shown, and whether it was."""

    console: Console
    failed: int = 0

    def check(self, claim: str, holds: bool) -> None:
        self.failed += not holds
        self.console.print("  [green]yes[/]" if holds else "  [bold red]NO [/]", claim)


@dataclass
class Counts:
    """How the targets of a Task, or of a whole Labor, ended."""

    done: int = 0
    failed: int = 0
    stopped: int = 0
    untouched: int = 0

    @staticmethod
    def of(*tasks: cw.Task) -> "Counts":
        states = collections.Counter(sequence.state for task in tasks for sequence in task.sequences)
        return Counts(
            states[cw.State.COMPLETED], states[cw.State.FAILED], states[cw.State.STOPPED], states[cw.State.NOT_STARTED]
        )


# ---- what is printed ----


def heading(console: Console, title: str, *lines: str) -> None:
    console.print()
    console.rule(f"[bold]{title}[/]", align="left")
    for line in lines:
        console.print(f"  {line}")
    console.print()


def follow(handle: cw.LaborHandle, plain: bool) -> cw.Labor:
    """Shows the Labor while it runs, and returns it as it ended."""
    if plain:
        follow_in_lines(handle)
    else:
        handle.watch()
    return handle.wait()


def follow_in_lines(handle: cw.LaborHandle) -> None:
    """Every change of state is there to be read as it becomes durable; this prints what a log would hold."""
    labor = handle.read()
    names = {labor.id: f"Labor {labor.name!r}"}
    for task in labor.tasks:
        names[task.id] = f"Task {task.name!r}"
        names |= {sequence.id: f"  {sequence.target}" for sequence in task.sequences}
    for change in handle.changes(since=0):
        name = names.get(change.object_id)
        if name and change.kind is cw.ChangeKind.STATE and (change.to_state.ended or not name.startswith(" ")):
            print(f"  {change.at.astimezone():%H:%M:%S} {name} {change.to_state.name}", flush=True)


def summary(console: Console, labor: cw.Labor) -> None:
    took = (labor.ended - labor.started).total_seconds() if labor.ended and labor.started else 0.0
    table = Table(title=f"{labor.name}: {labor.state.name} after {took:.1f} s", title_justify="left", padding=(0, 1))
    for column in ("Task", "state", "reason"):
        table.add_column(column, overflow="fold")
    for column in ("done", "failed", "stopped", "untouched", "budget used"):
        table.add_column(column, justify="right", overflow="fold")
    for task in labor.tasks:
        counts = Counts.of(task)
        table.add_row(
            task.name,
            task.state.name,
            "" if task.reason is cw.Reason.NO_FAILURE else task.reason.name,
            *(str(n) for n in (counts.done, counts.failed, counts.stopped, counts.untouched)),
            budget_of(task),
        )
    console.print(table)
    for task in labor.tasks:
        for sequence in task.sequences:
            if sequence.state is cw.State.FAILED:
                console.print(f"  lost [bold]{sequence.target}[/]: {error_of(sequence.jobs)}")
        if task.reason is cw.Reason.CONT_CHECK_FAILURE:
            at = (task.ended - task.started).total_seconds() if task.ended and task.started else 0.0
            console.print(f"  stopped by its continuous check after {at:.1f} s: {error_of(task.cont_checks)}")


def budget_of(task: cw.Task) -> str:
    share = f" ({task.tolerated_failures})" if isinstance(task.tolerated_failures, str) else ""
    return f"{task.failures} of {task.tolerated_number}{share}"


def error_of(jobs: list[cw.Job]) -> str:
    """What the last error said: the last line of its traceback, without the exception's class; of a program how it ended, and its last line."""
    for job in reversed(jobs):
        for attempt in reversed(job.attempts):
            if attempt.error:
                lines = attempt.error.strip().splitlines()
                first, last = lines[0], lines[-1]
                return first if first.startswith("exit status") else last.partition(": ")[2] or last
    return "no error was recorded"


def served(console: Console, fleet: Fleet) -> dict[str, str]:
    """Asks each service what it is, and shows it."""
    versions = fleet.versions()
    console.print("  the services themselves say:")
    for version, count in sorted(collections.Counter(versions.values()).items()):
        names = [name for name, serves in versions.items() if serves == version]
        few = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        console.print(f"    {count:3} serve {version}   [dim]{few}[/]")
    return versions


# ---- the acts ----


def upgrade_with_care(console: Console, engine: cw.Engine, fleet: Fleet, seen: Findings, plain: bool) -> cw.Labor:
    heading(
        console,
        f"Act 1: {OLD} -> {GOOD}, with care",
        "A check of the whole fleet, a canary of two, then the rest, a fifth of them at a time.",
        f"Watch {BROKEN}: its settings are too old for {GOOD}. It is lost, counted against the budget, and put back",
        f"to {OLD}; the others go on. The error rate is checked all the while.",
    )
    done = follow(engine.submit(rollout.careful(list(fleet.nodes), GOOD)), plain)
    summary(console, done)
    versions = served(console, fleet)
    counts = Counts.of(*done.tasks)
    seen.check("the Labor COMPLETED", done.state is cw.State.COMPLETED)
    seen.check(f"one target was lost, and it is {BROKEN}", counts.failed == 1 and versions[BROKEN] == OLD)
    seen.check(f"all others serve {GOOD}", all(v == GOOD for name, v in versions.items() if name != BROKEN))
    return done


def upgrade_in_haste(console: Console, engine: cw.Engine, fleet: Fleet, seen: Findings, plain: bool) -> cw.Labor:
    heading(
        console,
        f"Act 2: {GOOD} -> {BAD}, in haste",
        "'Only a small fix', so no canary. It starts, says that it is healthy, passes its own verification -",
        "and after a few requests it fails most of them.",
        "Watch the continuous check: it stops the Task while most of the fleet is untouched.",
    )
    hosts = [name for name, version in fleet.versions().items() if version == GOOD]
    done = follow(engine.submit(rollout.hasty(hosts, BAD)), plain)
    summary(console, done)
    versions = served(console, fleet)
    counts = Counts.of(*done.tasks)
    got_it = sum(version == BAD for version in versions.values())
    seen.check(
        "the continuous check stopped it",
        done.state is cw.State.FAILED and done.tasks[0].reason is cw.Reason.CONT_CHECK_FAILURE,
    )
    seen.check(
        f"{counts.untouched} of {len(hosts)} targets are untouched: most of them", counts.untouched * 2 > len(hosts)
    )
    seen.check(f"only {got_it} of {len(fleet.nodes)} services ever got {BAD}", 0 < got_it < len(fleet.nodes) / 2)
    return done


def undo(console: Console, engine: cw.Engine, fleet: Fleet, stopped: cw.Labor, seen: Findings, plain: bool) -> cw.Labor:
    heading(
        console,
        f"Act 3: back to {GOOD}",
        "Which targets have to go back is not guessed: the Labor that was stopped says which of them it touched.",
    )
    done = follow(engine.submit(rollout.put_back(stopped, GOOD)), plain)
    summary(console, done)
    versions = served(console, fleet)
    seen.check(f"nobody serves {BAD} any more", BAD not in versions.values())
    seen.check("every service is in rotation again", len(fleet.in_rotation()) == len(fleet.nodes))
    return done


def look_again(console: Console, db: pathlib.Path, shown: list[cw.Labor], seen: Findings) -> None:
    """The engine is closed, the fleet is gone; what happened is still there."""
    heading(console, "What remains", f"Everything above is stored in [bold]{db}[/]:")
    with cw.open_store(str(db)) as store:
        for labor in store.search(cw.LaborFilter(tags=["demo"])):
            stored = store.read_labor(labor.id)
            counts = Counts.of(*stored.tasks)
            console.print(
                f"    {stored.id}  {stored.name:16} {stored.state.name:10}"
                f" ok {counts.done}, lost {counts.failed + counts.stopped}, {counts.untouched} untouched"
            )
        for labor in shown:
            stored = store.read_labor(labor.id)
            seen.check(
                f"the store says of {labor.name!r} what was seen: {stored.state.name}",
                stored.state is labor.state and Counts.of(*stored.tasks) == Counts.of(*labor.tasks),
            )
    console.print("\n  To look into it again, in a shell or in a notebook:\n")
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    for line in (
        f"export COGWORK_DB={db}",
        f"{python} -m cogwork show {shown[1].id[:8]}",
        f"{python} -m cogwork history {shown[1].id[:8]}",
        "jupyter lab examples/notebooks/inspect.ipynb",
    ):
        console.print(f"    $ {line}")


def script(console: Console) -> None:
    """Shows what is run on each node."""
    lines = (rollout.HERE / "install.sh").read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("before="))
    console.print("\n  the step 'install' is a shell script, examples/demo/install.sh:")
    for line in lines[begin:]:
        console.print(f"    [dim]{escape(line)}[/]")


def log_of(console: Console, labor: cw.Labor, target: str) -> None:
    """What the script said about one node: its error output is the log of the attempt."""
    jobs = [job for task in labor.tasks for s in task.sequences if s.target == target for job in s.jobs]
    attempt = next(job for job in jobs if job.name == "install").attempts[-1]
    console.print(f"  what install.sh said of [bold]{target}[/], {attempt.status.name}:")
    for line in attempt.log.splitlines():
        console.print(f"    [dim]{escape(line)}[/]")


def play(console: Console, size: int, pace: float, db: pathlib.Path, plain: bool, shell: bool) -> int:
    seen = Findings(console)
    heading(console, "The fleet", f"{size} services, each a process of its own on loopback, all at version {OLD}.")
    rate = min(8.0 * size, 300.0)
    with (
        Fleet(size, OLD, warm_up=0.4 * pace, broken=BROKEN) as fleet,
        Traffic(fleet, per_second=rate, window=max(0.8, 1.5 * pace)) as traffic,
        fleet.listening(),
    ):
        rollout.work_on(rollout.World(fleet, traffic, pace, shell))
        served(console, fleet)
        console.print(f"  their users send {rate:.0f} requests a second")
        if shell:
            script(console)
        # Nothing that an earlier run left in this file is taken up: its fleet is gone.
        with cw.Engine(str(db), recover="none") as engine:
            first = upgrade_with_care(console, engine, fleet, seen, plain)
            if shell:
                log_of(console, first, BROKEN)
            _, failed_before = traffic.totals()
            second = upgrade_in_haste(console, engine, fleet, seen, plain)
            third = undo(console, engine, fleet, second, seen, plain)
        sent, failed = traffic.totals()
        processes = [node.process for node in fleet.nodes.values()]
    look_again(console, db, [first, second, third], seen)
    console.print(f"\n  The users sent {sent} requests; {failed} failed, {failed_before} of them before {BAD} came.")
    seen.check("no process is left", all(p is not None and p.poll() is not None for p in processes))
    console.print()
    if seen.failed:
        console.print(f"[bold red]{seen.failed} of the things that were to be shown did not happen.[/]")
        return 1
    console.print("[bold green]All that was to be shown has happened.[/]")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shell", action="store_true", help="the step 'install' is a shell script, not Python")
    parser.add_argument("--fleet", type=int, default=24, metavar="N", help="how many services, at least 20 (24)")
    parser.add_argument("--fast", action="store_true", help="as fast as it goes, for tests")
    parser.add_argument("--db", type=pathlib.Path, metavar="PATH", help="where the Labors are stored (a new folder)")
    parser.add_argument("--plain", action="store_true", help="no live display")
    options = parser.parse_args()
    if options.fleet < 20:
        parser.error("--fleet: at least 20, or a share of it says little")
    db = options.db or pathlib.Path(tempfile.mkdtemp(prefix="cogwork-demo-")) / "labors.db"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: in order
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console = Console(soft_wrap=True, highlight=False, width=110)
    try:
        return play(console, options.fleet, 0.3 if options.fast else 1.0, db, options.plain, options.shell)
    except KeyboardInterrupt:
        console.print(f"\n[bold]Interrupted.[/] The fleet is stopped; what had happened is stored in {db}.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
