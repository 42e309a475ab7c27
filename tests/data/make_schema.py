"""Makes schema-N.db, and schema-N.json with what is in it: a store as the cogwork whose tables are of version N writes it.

usage, with that cogwork: python tests/data/make_schema.py

It is run once for each version. Later versions open the files in their tests (tests/python/test_migrations.py); none is made anew.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import shutil
import tempfile
import threading

import cogwork as cw
from cogwork.cli._json import plain

HERE = pathlib.Path(__file__).parent
_tries = itertools.count(1)
_gate = threading.Event()


@cw.cog(idempotent=True)
def upgrade(host: str, version: str) -> str:
    return f"{host} runs {version}"


@cw.cog(retries=1)
def flaky(host: str) -> bool:
    return next(_tries) % 2 == 0


def broken(host: str) -> None:
    raise RuntimeError(f"{host}: no space left")


# Its traceback is stored, and is not to tell where this was run.
broken.__code__ = broken.__code__.replace(co_filename=pathlib.Path(__file__).name)
broken = cw.cog(broken)


@cw.cog(idempotent=True)
def probe() -> bool:
    return True


@cw.cog(idempotent=True)
def gated(host: str) -> None:
    _gate.wait()


def labor(name: str, **settings) -> cw.Labor:
    """It says what it was made with (M1), which is not to tell where this was run."""
    return cw.Labor(name, provenance={"file": "rollout.py", "user": "ann", "version": cw.__version__}, **settings)


def steps(cog, count: int, **args) -> list[cw.Sequence]:
    return [cw.Sequence(f"edge-{n}", desc="a step", jobs=[cog.job(host=f"edge-{n}", **args)]) for n in range(count)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "labors.db"
        fill(path)
        version = cw.doctor(path).version
        shutil.copy(path, HERE / f"schema-{version}.db")
        (HERE / f"schema-{version}.json").write_text(json.dumps(held(path), indent=1, sort_keys=True) + "\n")


def fill(path: pathlib.Path) -> None:
    with cw.Engine(path) as engine:
        engine.run(
            labor(
                "completed",
                desc="with checks",
                tags=["edge", "night"],
                client_id="CHG-1",
                real_user="ann",
                tasks=[
                    cw.Task("canary", pre_checks=[probe.job()], cont_checks=[probe.job()], cont_check_interval=0.02, bake=0.1, sequences=steps(upgrade, 1, version="2.1")),
                    cw.Task("rest", concurrency="50%", tolerated_failures="25%", sequences=steps(flaky, 4)),
                ],
            )
        )  # fmt: skip
        engine.run(labor("failed", tasks=[cw.Task("all", pass_failures=True, sequences=steps(broken, 3))]))
        engine.submit(labor("waits", tasks=[cw.Task("all", sequences=steps(upgrade, 2, version="2.2"))]), start=False)
        paused = engine.submit(labor("paused", tasks=[cw.Task("all", sequences=steps(gated, 3))]))
        ack = paused.pause(by="bob", note="INC-12")
        with contextlib.suppress(cw.SignalNotAllowed):
            paused.admin_resume(by="eve", note="not hers")
        _gate.set()
        ack.wait(10)
    with cw.connect(path) as client:
        client.handle(paused.id).resume(by="cid", note="stored for the next engine")
    client.store.close()
    with cw.Engine(path, recover="none"):  # closing moves the log into the file
        pass


def held(path: pathlib.Path) -> dict:
    with cw.open_store(path) as store:
        return {
            "labors": [plain(store.read_labor(labor.id)) for labor in store.search()],
            "changes": [plain(change) for change in store.changes()],
            "records": {
                kind.name: {key: value.hex() for key, value in store.records(kind).items()} for kind in cw.RecordKind
            },
        }


if __name__ == "__main__":
    main()
