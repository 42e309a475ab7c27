"""How much may go wrong: a budget of failures, and checks that look at the world beside the work.

A Task goes on while its failures are within its budget. A check that fails stops it, whatever the budget: no further
Sequence starts, and those that run stop before their next Job.
"""

import threading
import time

import cogwork as cw

FLEET = [f"edge-{number}" for number in range(1, 21)]
BROKEN = {"edge-3", "edge-8"}

lock = threading.Lock()
upgraded: list[str] = []


@cw.cog
def install(host: str) -> None:
    time.sleep(0.05)
    if host in BROKEN:
        raise RuntimeError(f"{host}: disk full")
    with lock:
        upgraded.append(host)


@cw.cog(idempotent=True)
def few_enough(most: int) -> bool:
    """A check says no by returning False, or by raising an error that says why."""
    return len(upgraded) <= most


def task(name: str, most: int) -> cw.Task:
    return cw.Task(
        name,
        pre_checks=[few_enough.job(most=most)],
        cont_checks=[few_enough.job(most=most)],
        cont_check_interval=0.02,
        concurrency=2,
        tolerated_failures="10%",  # of 20 Sequences: two
        sequences=[cw.Sequence(host, jobs=[install.job(host=host)]) for host in FLEET],
    )


def main() -> None:
    with cw.Engine("memory:") as engine:
        within = engine.run(cw.Labor("two of twenty may fail", tasks=[task("all", most=100)]))
        print(within)
        print("lost:", [sequence.target for sequence in within.tasks[0].sequences if sequence.state is cw.State.FAILED])

        upgraded.clear()
        stopped = engine.run(cw.Labor("a check says stop", tasks=[task("all", most=6)]))
        print(stopped)
        untouched = [sequence for sequence in stopped.tasks[0].sequences if sequence.state is cw.State.NOT_STARTED]
        print(stopped.reason.name, "-", len(untouched), "untouched")

    assert within.state is cw.State.COMPLETED
    assert stopped.reason is cw.Reason.CONT_CHECK_FAILURE
    assert untouched


if __name__ == "__main__":
    main()
