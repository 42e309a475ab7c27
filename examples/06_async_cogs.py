"""Async Cogs: coroutines run on one event loop, so hundreds at once need no thread each.

The engine fits into an async program too: nothing here blocks the loop.
"""

import asyncio
import time

import cogwork as cw

FLEET = [f"edge-{number}" for number in range(1, 301)]


@cw.cog(timeout=10)
async def probe(ctx: cw.Context, host: str) -> str:
    await asyncio.sleep(0.3)  # a slow answer over the network
    return f"{host}: up"


async def main() -> None:
    sequences = [cw.Sequence(host, jobs=[probe.job(host=host)]) for host in FLEET]
    labor = cw.Labor("probe them all", tasks=[cw.Task("all", concurrency=300, sequences=sequences)])
    before = time.monotonic()
    async with cw.Engine("memory:") as engine:
        handle = await engine.asubmit(labor)
        done = await handle
    took = time.monotonic() - before
    up = sum(sequence.state is cw.State.COMPLETED for sequence in done.tasks[0].sequences)
    print(f"{up} of {len(FLEET)} are up; {len(FLEET) * 0.3:.0f} s of waiting took {took:.1f} s")
    assert up == len(FLEET)


if __name__ == "__main__":
    asyncio.run(main())
