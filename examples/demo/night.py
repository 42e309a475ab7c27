"""A night to look into the morning after: the demo's Labors, with nobody watching but an operator who steps in.

    python examples/demo/night.py labors.db

Leaves an upgrade that was held for a moment, one that its check stopped, and the undoing of that; for notebooks/inspect.ipynb.
"""

import pathlib
import sys
import time

import rollout
from fleet import Fleet, Traffic

import cogwork as cw

OLD, GOOD, BAD = "2.0.0", "2.1.0", "2.1.1"
BROKEN = "edge-07"


def pass_the_night(db: str | pathlib.Path, size: int = 24) -> list[str]:
    """Runs the Labors on a fleet of its own and returns their ids. Takes a few seconds."""
    with (
        Fleet(size, OLD, warm_up=0.1, broken=BROKEN) as fleet,
        Traffic(fleet, per_second=200, window=0.8) as traffic,
    ):
        rollout.work_on(rollout.World(fleet, traffic, pace=0.3))
        with cw.Engine(str(db), recover="none") as engine:
            handle = engine.submit(rollout.careful(list(fleet.nodes), GOOD), by="deploy-bot")
            wait_for_a_loss(handle)
            handle.pause(by="ann", note=f"INC-4711: why does {BROKEN} not start?").wait()
            time.sleep(0.5)  # she looks
            handle.resume(by="ann", note="an old setting of its own; the others have none").wait()
            careful = handle.wait()
            hosts = [name for name, version in fleet.versions().items() if version == GOOD]
            hasty = engine.submit(rollout.hasty(hosts, BAD), by="bob").wait()
            back = engine.submit(rollout.put_back(hasty, GOOD), by="ann").wait()
    return [careful.id, hasty.id, back.id]


def wait_for_a_loss(handle: cw.LaborHandle) -> None:
    for change in handle.changes(since=0):
        if change.kind is cw.ChangeKind.STATE and change.to_state is cw.State.FAILED:
            return


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(*pass_the_night(sys.argv[1]), sep="\n")
