"""History: every change of state is kept - when, which object, from what to what, and who caused it.

A store can be read without an engine, also while one runs in another process; and changes can be followed as they come.
"""

import pathlib
import tempfile

import cogwork as cw


@cw.cog
def install(host: str) -> None:
    if host == "edge-2":
        raise RuntimeError("disk full")


def make(name: str, *hosts: str) -> cw.Labor:
    sequences = [cw.Sequence(host, jobs=[install.job(host=host)]) for host in hosts]
    return cw.Labor(name, tags=["edge"], tasks=[cw.Task("all", tolerated_failures=1, sequences=sequences)])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = str(pathlib.Path(folder) / "labors.db")
        with cw.Engine(db) as engine:
            engine.run(make("monday", "edge-1", "edge-2"))
            handle = engine.submit(make("tuesday", "edge-3"), start=False)
            handle.stop(by="carol", note="not today").wait()

        with cw.open_store(db) as store:
            print("what there is:")
            for labor in store.search(cw.LaborFilter(tags=["edge"])):
                print("  ", labor.name, labor.state.name)

            print("what failed, ever:")
            for found in store.search(cw.LaborFilter(states=[cw.State.COMPLETED, cw.State.FAILED])):
                for sequence in store.read_labor(found.id).failures():
                    print("  ", found.name, sequence.target)

            print("what happened on tuesday:")
            for change in store.changes(handle.id):
                if change.kind is cw.ChangeKind.SIGNAL and change.signal is not None:
                    print(f"   {change.at:%H:%M:%S} {change.signal.name} by {change.by}: {change.note}")
                else:
                    print(f"   {change.at:%H:%M:%S} {change.from_state.name} -> {change.to_state.name}")


if __name__ == "__main__":
    main()
