"""The change itself: what is done to one node, what is watched meanwhile, and the plan for the whole fleet.

This is the part that a user of cogwork writes. The Cogs are plain functions; the Labor says in which order, how many at
once, and how much may go wrong.
"""

import os
import pathlib
import time
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from fleet import Fleet, ServiceDiedError, Traffic

import cogwork as cw

HERE = pathlib.Path(__file__).resolve().parent


@dataclass
class World:
    """What the Cogs work on, and how patient they are."""

    fleet: Fleet
    traffic: Traffic
    pace: float  # 1: made to be watched; less: faster
    shell: bool = False  # the step "install" is a shell script


_world: list[World] = []


def work_on(world: World) -> None:
    _world[:] = [world]


def world() -> World:
    return _world[0]


# ---- what is done to one node ----


@cw.cog(timeout=10, idempotent=True)
def drain(ctx: cw.Context, host: str) -> str:
    """Takes the node out of rotation and lets it finish what it has."""
    world().fleet.take_out(host)
    ctx.sleep(0.3 * world().pace)
    return "no more requests"


@cw.cog(timeout=30)
def install(ctx: cw.Context, host: str, version: str) -> str:
    """Replaces the process by one of another version; puts the old version back where the new one does not start."""
    fleet = world().fleet
    before = fleet.nodes[host].version()
    ctx.progress(0.2, f"stopping {before}")
    try:
        fleet.replace(host, version)
    except ServiceDiedError as died:
        fleet.replace(host, before)
        wait_until_healthy(ctx, host)
        fleet.put_back(host)
        raise cw.NoRetry(f"{died}; {before} serves again") from died
    ctx.progress(0.6, f"{version} is warming up")
    wait_until_healthy(ctx, host)
    return f"{before} -> {version}"


def install_by_script(version: str) -> cw.Job:
    """The same step as a program: install.sh, run as a command. The node is in its environment."""
    found = {"PATH": f"{HERE}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "FLEET": str(world().fleet.socket)}
    job = cw.command.job([str(HERE / "install.sh"), version], env=found, no_retry_codes=[65])
    return job.replace(name="install", timeout=30)


@cw.cog(timeout=10, retries=2, retry_delay=0.2, idempotent=True)
def verify(ctx: cw.Context, host: str, version: str) -> str:
    """Looks whether the node serves what it should, then gives it its requests back."""
    fleet = world().fleet
    status, _ = fleet.nodes[host].get("/")
    serves = fleet.nodes[host].version()
    if status != 200 or serves != version:
        raise RuntimeError(f"{host} answers {status} and serves {serves}")
    ctx.sleep(0.2 * world().pace)
    fleet.put_back(host)
    return f"serves {serves}, after: {ctx.outputs['install']}"


def wait_until_healthy(ctx: cw.Context, host: str) -> None:
    node = world().fleet.nodes[host]
    deadline = time.monotonic() + 10
    while not node.healthy():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{host} is not healthy after 10 s")
        if not ctx.sleep(0.05):
            raise cw.NoRetry("cancelled while the service was starting")


# ---- what is watched ----


@cw.cog(timeout=20, idempotent=True)
def fleet_is_healthy(ctx: cw.Context) -> bool:
    """Before anything is touched: does every service answer?"""
    fleet = world().fleet
    sick = [name for name, node in fleet.nodes.items() if not node.healthy()]
    if sick:
        raise RuntimeError(f"not healthy: {', '.join(sick)}")
    ctx.log("%d services are healthy", len(fleet.nodes))
    return True


@cw.cog(timeout=10, idempotent=True)
def errors_below(ctx: cw.Context, limit: float) -> bool:
    """All the while: how many of the users' requests failed just now?"""
    rate, requests = world().traffic.error_rate()
    if rate > limit:
        raise RuntimeError(f"{rate:.1%} of the last {requests} requests failed; the limit is {limit:.1%}")
    ctx.log("%s of %d requests failed", f"{rate:.1%}", requests)
    return True


# ---- the plans ----


def upgrade(host: str, version: str) -> cw.Sequence:
    change = install_by_script(version) if world().shell else install.job(host=host, version=version)
    return cw.Sequence(host, jobs=[drain.job(host=host), change, verify.job(host=host, version=version)])


def careful(hosts: Seq[str], version: str) -> cw.Labor:
    """Two nodes first, then the rest, a fifth of them at a time; a few may be lost."""
    canaries, rest = hosts[:2], hosts[2:]
    watch = [errors_below.job(limit=0.03)]
    pace = world().pace
    return cw.Labor(
        f"fleet to {version}",
        desc="a canary, then the rest",
        tags=["demo", "edge"],
        tasks=[
            cw.Task(
                "canary",
                pre_checks=[fleet_is_healthy.job()],
                cont_checks=watch,
                cont_check_interval=0.5 * pace,
                bake=3 * pace,  # what the canaries changed is watched for so long before anything else is touched
                concurrency=2,
                sequences=[upgrade(host, version) for host in canaries],
            ),
            cw.Task(
                "rest",
                cont_checks=watch,
                cont_check_interval=0.5 * pace,
                bake=1 * pace,
                concurrency="20%",
                tolerated_failures="15%",  # the budget: so many nodes may be lost before the rest is left alone
                strict=True,  # what is in flight counts as if it would fail: the budget is never overrun by a crowd
                sequences=[upgrade(host, version) for host in rest],
            ),
        ],
    )


def hasty(hosts: Seq[str], version: str) -> cw.Labor:
    """All in one go. Only the continuous check stands between a bad version and the fleet."""
    return cw.Labor(
        f"fleet to {version}",
        desc="'it is only a small fix': no canary",
        tags=["demo", "edge"],
        tasks=[
            cw.Task(
                "everything",
                cont_checks=[errors_below.job(limit=0.03)],
                cont_check_interval=0.3 * world().pace,
                concurrency=2,
                tolerated_failures="15%",
                sequences=[upgrade(host, version) for host in hosts],
            )
        ],
    )


def put_back(stopped: cw.Labor, version: str) -> cw.Labor:
    """What a Labor touched, and only that, to a version that is known to be good. The Labor itself says what it was."""
    touched = [sequence.target for task in stopped.tasks for sequence in task.sequences if sequence.started]
    return cw.Labor(
        f"back to {version}",
        desc=f"undoes {stopped.name!r}",
        tags=["demo", "edge"],
        tasks=[cw.Task("put back", concurrency=4, sequences=[upgrade(host, version) for host in touched])],
    )
