"""A store of your own: a folder with a JSON file for each Labor, which any other program can read.

`SimpleStorage` asks for single reads and writes, and keeps the history beside them. It is not one atomic commit: for that,
derive from `Storage` itself.
"""

import pathlib
import tempfile
import threading
from collections.abc import Iterator
from typing import TypeVar

import msgspec

import cogwork as cw

Node = cw.Labor | cw.Task | cw.Sequence | cw.Job
T = TypeVar("T", cw.Task, cw.Sequence, cw.Job)


def nodes(labor: cw.Labor) -> Iterator[Node]:
    """Everything in a tree that has an id."""
    yield labor
    for task in labor.tasks:
        yield task
        yield from task.pre_checks
        yield from task.cont_checks
        for sequence in task.sequences:
            yield sequence
            yield from sequence.jobs


class JsonFolder(cw.SimpleStorage):
    """Reads come from any thread, also while one writes. Args and outputs have to be of JSON's types."""

    def __init__(self, where: str) -> None:
        self._folder = pathlib.Path(where)
        self._folder.mkdir(parents=True, exist_ok=True)
        super().__init__(beside=self._folder / "history.db")
        self._lock = threading.Lock()
        self._file_of: dict[str, pathlib.Path] = {}  # by the id of anything that is in it
        for file in self._folder.glob("*.json"):
            self._file_of |= dict.fromkeys((node.id for node in nodes(self._load(file))), file)

    def _load(self, file: pathlib.Path) -> cw.Labor:
        return msgspec.json.decode(file.read_bytes(), type=cw.Labor)

    def _save(self, labor: cw.Labor) -> None:
        file = self._folder / f"{labor.id}.json"
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(labor)))
        fresh.replace(file)  # who reads sees the old file or the new one

    def _tree(self, id: str) -> cw.Labor:
        file = self._file_of.get(id)
        if file is None:
            raise cw.NotFound(f"{id} is not in {self._folder}")
        return self._load(file)

    # What is read is a copy: it comes fresh from the file.

    def read_labor(self, id: str, full: bool = True) -> cw.Labor:
        labor = self._tree(id)
        return labor if full else msgspec.structs.replace(labor, tasks=[])

    def read_task(self, id: str) -> cw.Task:
        return msgspec.structs.replace(self._read(id, cw.Task), sequences=[], pre_checks=[], cont_checks=[])

    def read_sequence(self, id: str) -> cw.Sequence:
        return msgspec.structs.replace(self._read(id, cw.Sequence), jobs=[])

    def read_job(self, id: str, full: bool = True) -> cw.Job:
        job = self._read(id, cw.Job)
        return job if full else msgspec.structs.replace(job, args={}, output=None)

    def _read(self, id: str, kind: type[T]) -> T:
        for node in nodes(self._tree(id)):
            if node.id == id and isinstance(node, kind):
                return node
        raise cw.NotFound(f"{id} is no {kind.__name__} in {self._folder}")

    def labors(self, filter: cw.LaborFilter) -> Iterator[cw.Labor]:
        found = [labor for labor in map(self._load, self._folder.glob("*.json")) if filter.matches(labor)]
        found.sort(key=lambda labor: str(labor.submitted), reverse=filter.newest_first)
        for labor in found[: filter.limit]:
            yield msgspec.structs.replace(labor, tasks=[])

    # What is written replaces the fields of the one object; what hangs below it stays.

    def write_labor(self, labor: cw.Labor) -> None:
        with self._lock:
            self._save(labor)
            file = self._folder / f"{labor.id}.json"
            self._file_of |= dict.fromkeys((node.id for node in nodes(labor)), file)

    def write_labor_state(self, labor: cw.Labor) -> None:
        self._write(labor, keep=("tasks",))

    def write_task(self, task: cw.Task) -> None:
        self._write(task, keep=("sequences", "pre_checks", "cont_checks"))

    def write_sequence(self, sequence: cw.Sequence) -> None:
        self._write(sequence, keep=("jobs",))

    def write_job(self, job: cw.Job) -> None:
        self._write(job, keep=("args",))

    def _write(self, fresh: Node, keep: tuple[str, ...]) -> None:
        with self._lock:
            labor = self._tree(fresh.id)
            stored = next(node for node in nodes(labor) if node.id == fresh.id)
            for field in fresh.__struct_fields__:
                if field not in keep:
                    setattr(stored, field, getattr(fresh, field))
            self._save(labor)


@cw.cog
def install(host: str) -> str:
    return f"installed on {host}"


def main() -> None:
    cw.register_store("json", JsonFolder)
    sequences = [cw.Sequence(host, jobs=[install.job(host=host)]) for host in ("edge-1", "edge-2")]
    with tempfile.TemporaryDirectory() as folder:
        with cw.Engine(f"json:{folder}") as engine:
            done = engine.run(cw.Labor("edge to 2.1", tasks=[cw.Task("all", sequences=sequences)])).raise_for_state()

        again = JsonFolder(folder).read_labor(done.id)  # another time, another process
        print(again)
        text = (pathlib.Path(folder) / f"{done.id}.json").read_text(encoding="utf-8")
        print("\n".join(text.splitlines()[:6]), "\n...")
    assert again["all"]["edge-2"].jobs[0].output == "installed on edge-2"


if __name__ == "__main__":
    main()
