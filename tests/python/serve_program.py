"""The program that test_serve.py speaks with."""

from __future__ import annotations

import asyncio
import atexit
import collections
import dataclasses
import datetime
import ipaddress
import logging
import multiprocessing
import os
import pathlib
import subprocess
import sys
import threading

import cogwork as cw

log = logging.getLogger("routers")
log.setLevel(logging.INFO)
groups: collections.Counter[str] = collections.Counter()
groups_changed = threading.Condition()
barrier = threading.Barrier(40)
arrived: set[str] = set()
all_there = asyncio.Event()


@cw.cog(owner="net", tags=["edge"], timeout=30, retries=2, retry_delay=datetime.timedelta(seconds=1), idempotent=True)
def upgrade(host: ipaddress.IPv4Address, version: str = "2.1") -> str:
    """Upgrades one router.

    And more words.
    """
    return f"{type(host).__name__} {host} {version}"


@upgrade.validator
def not_the_core(host, version="2.1"):
    if version == "leave":
        sys.exit("leaving")
    if host.is_loopback:
        raise ValueError(f"{host} is this machine")


@cw.cog(on_interrupt="RETRY")
async def ping(ctx: cw.Context, host: str) -> str:
    await asyncio.sleep(0)
    return f"{ctx.target} pings {host}"


@cw.cog(on_interrupt="FAIL", idempotent=True)
def facts(ctx: cw.Context) -> dict:
    before = {name: ctx.outputs[name] for name in ctx.outputs}
    names = ("job_id", "labor_id", "labor_name", "target", "attempt", "real_user", "timeout", "cancelled")
    return {**{name: getattr(ctx, name) for name in names}, "outputs": before}


@cw.cog
def echo(value: object) -> object:
    return value


@dataclasses.dataclass
class Disk:
    free: int


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


async def never_awaited() -> None: ...


OUTPUTS = {
    "nothing": lambda: None,
    "no": lambda: False,
    "dataclass": lambda: Disk(3),
    "odd": Odd,
    "unspeakable": Unspeakable,
    "huge number": lambda: 2**70,
    "half a character": lambda: "\udc80",
    "coroutine": never_awaited,
    "larger than a frame": lambda: b"x" * (65 << 20),
}


@cw.cog
def give(what: str) -> object:
    return OUTPUTS[what]()


@cw.cog
def fail(how: str) -> None:
    if how == "no retry":
        raise cw.NoRetry("out of service")
    if how == "exit":
        sys.exit(3)
    if how == "long":
        raise RuntimeError("\udc80" + "x" * (65 << 20))
    raise ValueError(f"broken: {how}")


@cw.cog
async def fail_async(how: str) -> None:
    fail(how)


@cw.cog
def tell(ctx: cw.Context) -> bool:
    """Says all that it has to say, and then waits to be asked to end."""
    ctx.log("%d copied", 3)
    log.info("half \udc80 done")
    ctx.progress(0.5, "half\udc80")
    return bool(ctx.sleep(300))


@cw.cog
def chatter(lines: int, fifo: str) -> str:
    for n in range(lines):
        log.info("line %d", n)
    pathlib.Path(fifo).write_text("said it all")
    return "done"


@cw.cog
def large(size: int) -> bytes:
    return b"x" * size


@cw.cog
def meet() -> str:
    barrier.wait(30)
    return threading.current_thread().name


@cw.cog
def meet_of(group: str, count: int) -> int:
    """Ends when so many of the group are there at once."""
    with groups_changed:
        groups[group] += 1
        groups_changed.notify_all()
        if not groups_changed.wait_for(lambda: groups[group] == count, 60):
            raise RuntimeError(f"{groups[group]} of {count} came")
    return count


@cw.cog
async def meet_async(name: str, count: int) -> int:
    arrived.add(name)
    if len(arrived) == count:
        all_there.set()
    await all_there.wait()
    return len(arrived)


@cw.cog
def rest(ctx: cw.Context) -> str:
    ctx.log("resting")
    slept = ctx.sleep(300)
    return f"slept {bool(slept)}, cancelled {ctx.cancelled}"


@cw.cog
async def rest_async(ctx: cw.Context, stubborn: bool = False) -> str:
    ctx.log("resting")
    try:
        await ctx.sleep(300)
    except asyncio.CancelledError:
        if not stubborn:
            raise
        return f"stubborn, cancelled {ctx.cancelled}"
    return "slept"


@cw.cog
def hang(ctx: cw.Context) -> None:
    """No cancel ends it."""
    print("last words", end="")
    ctx.log("hanging")
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@cw.cog
async def hang_async(ctx: cw.Context) -> None:
    hang(ctx)


@cw.cog
def fork() -> list:
    """What children of a Cog's process have of it."""
    said = [
        subprocess.run(
            ["sh", "-c", "echo $COGWORK_COG_FD; ls /proc/self/fd | wc -l"], capture_output=True, text=True
        ).stdout
    ]
    for _ in range(10):
        child = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
        child.start()
        log.info("forked")
        child.terminate()
        child.join(30)
        said.append(child.exitcode)
    return said


@cw.cog
def leave_a_child(ctx: cw.Context) -> int:
    """One that lives on, and says something."""
    pid = os.fork()
    if pid == 0:
        log.info("from the child")
        ctx.progress(1)
        threading.Event().wait(60)
        os._exit(0)
    return pid


@cw.cog
def shout() -> None:
    print("to all")


if __name__ == "__main__":
    if "--exit-hook" in sys.argv:
        atexit.register(lambda: print("threads:", sorted(t.name for t in threading.enumerate())))
    cw.serve_cogs()
