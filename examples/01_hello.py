"""The smallest Labor: one Task, one Sequence, one Job.

A Cog is a function. A Job is a call of it that is yet to be made, and whose arguments are checked when it is submitted.
"""

import cogwork as cw


@cw.cog
def greet(name: str) -> str:
    return f"hello, {name}"


def main() -> None:
    labor = cw.Labor(
        "say hello",
        tasks=[cw.Task("greetings", sequences=[cw.Sequence("everybody", jobs=[greet.job(name="world")])])],
    )
    with cw.Engine("memory:") as engine:
        done = engine.run(labor).raise_for_state()
    print(done)
    print(done.tasks[0].sequences[0].jobs[0].output)


if __name__ == "__main__":
    main()
