"""Retries: an attempt that fails is made again, later and later, unless the Cog knows that it is no use.

Every attempt is kept, with its times, its outcome and its error.
"""

import cogwork as cw


@cw.cog(timeout=5, retries=4, retry_delay=0.05, retry_backoff=2)
def flaky(ctx: cw.Context, host: str) -> str:
    if ctx.attempt < 3:
        raise ConnectionError(f"{host} does not answer")
    return f"{host} answered at attempt {ctx.attempt}"


@cw.cog(retries=4, retry_delay=0.05)
def hopeless(host: str) -> str:
    raise cw.NoRetry(f"{host} is not in the inventory")


def main() -> None:
    labor = cw.Labor(
        "patience",
        tasks=[
            cw.Task(
                "all",
                tolerated_failures=1,
                sequences=[
                    cw.Sequence("edge-1", jobs=[flaky.job(host="edge-1")]),
                    cw.Sequence("edge-2", jobs=[hopeless.job(host="edge-2")]),
                ],
            )
        ],
    )
    with cw.Engine("memory:") as engine:
        done = engine.run(labor)
    for sequence in done.tasks[0].sequences:
        for attempt in sequence.jobs[0].attempts:
            said = attempt.output if attempt.output is not None else (attempt.error or "").strip().splitlines()[-1]
            print(sequence.target, attempt.number, attempt.status.name, "-", said)

    assert len(done["all"]["edge-1"].jobs[0].attempts) == 3
    assert len(done["all"]["edge-2"].jobs[0].attempts) == 1


if __name__ == "__main__":
    main()
