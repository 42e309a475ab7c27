"""A canary first; the rest only when it has gone well.

Tasks run one after another, the Sequences of a Task side by side, the Jobs of a Sequence in order. A Job reads the
outputs of the Jobs before it in its Sequence.
"""

import time

import cogwork as cw

FLEET = [f"edge-{number}" for number in range(1, 13)]


@cw.cog
def install(host: str, version: str) -> str:
    time.sleep(0.05)
    return f"{version} on {host}"


@cw.cog
def verify(ctx: cw.Context, host: str) -> str:
    return f"verified: {ctx.outputs['install']}"


def upgrade(host: str) -> cw.Sequence:
    return cw.Sequence(host, jobs=[install.job(host=host, version="2.1"), verify.job(host=host)])


def main() -> None:
    labor = cw.Labor(
        "edge to 2.1",
        tasks=[
            cw.Task("canary", sequences=[upgrade(FLEET[0])]),
            cw.Task("rest", concurrency=4, sequences=[upgrade(host) for host in FLEET[1:]]),
        ],
    )
    with cw.Engine("memory:") as engine:
        done = engine.run(labor).raise_for_state()
    print(done)
    print(done["rest"]["edge-7"].jobs[1].output)


if __name__ == "__main__":
    main()
