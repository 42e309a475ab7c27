"""Section 7: the conformance suite over the built-in stores, and over stores written in Python."""

from __future__ import annotations

import copy
import itertools
import os
import threading
from collections.abc import Iterator

import msgspec
import pytest

import cogwork as cw
from cogwork.testing import check_storage, storage_checks

numbers = itertools.count()


class DictStore(cw.SimpleStorage):
    """The shortest store that one could write: a dict of Labors."""

    def __init__(self) -> None:
        super().__init__()
        self.trees: dict[str, cw.Labor] = {}

    def _find(self, id: str):
        labor = self.trees.get(id[:-8] + "00000000")
        for obj in walk(labor) if labor else ():
            if obj.id == id:
                return obj
        raise cw.NotFound(f"no object has the id {id}")

    def read_labor(self, id: str, full: bool = True) -> cw.Labor:
        labor = copy.deepcopy(self._find(id))
        return labor if full else msgspec.structs.replace(labor, tasks=[])

    def read_task(self, id: str) -> cw.Task:
        return msgspec.structs.replace(self._find(id), sequences=[], pre_checks=[], cont_checks=[])

    def read_sequence(self, id: str) -> cw.Sequence:
        return msgspec.structs.replace(self._find(id), jobs=[])

    def read_job(self, id: str, full: bool = True) -> cw.Job:
        job = copy.deepcopy(self._find(id))
        if not full:
            job.args, job.output = {}, None
            job.attempts = [msgspec.structs.replace(a, output=None) for a in job.attempts]
        return job

    def write_labor(self, labor: cw.Labor) -> None:
        self.trees[labor.id] = copy.deepcopy(labor)

    def _update(self, obj, *below: str) -> None:
        stored = self._find(obj.id)
        for name in obj.__struct_fields__:
            if name not in below:
                setattr(stored, name, copy.deepcopy(getattr(obj, name)))

    def write_labor_state(self, labor: cw.Labor) -> None:
        self._update(labor, "tasks")

    def write_task(self, task: cw.Task) -> None:
        self._update(task, "sequences", "pre_checks", "cont_checks")

    def write_sequence(self, sequence: cw.Sequence) -> None:
        self._update(sequence, "jobs")

    def write_job(self, job: cw.Job) -> None:
        self._update(job, "args")
        last = job.attempts[-1] if job.attempts else None
        self._find(job.id).output = None if last is None else last.error or last.output

    def labors(self, filter: cw.LaborFilter) -> Iterator[cw.Labor]:
        found = sorted(self.trees.values(), key=lambda labor: (labor.submitted, labor.id), reverse=filter.newest_first)
        passing = (msgspec.structs.replace(labor, tasks=[]) for labor in found if filter.matches(labor))
        return itertools.islice(passing, filter.limit)


def walk(labor: cw.Labor):
    yield labor
    for task in labor.tasks:
        yield task
        yield from task.pre_checks
        yield from task.cont_checks
        for sequence in task.sequences:
            yield sequence
            yield from sequence.jobs


class Leftover(DictStore):
    """Does not raise NotFound: a store that breaks the contract."""

    def read_job(self, id: str, full: bool = True) -> cw.Job:
        try:
            return super().read_job(id, full)
        except cw.NotFound:
            return cw.Job()


MAKERS = {
    "memory": lambda path: cw.open_store("memory:") if False else _owned("memory:"),
    "sqlite": lambda path: _owned(f"{path}/{next(numbers)}.db"),
    "python": lambda path: DictStore(),
}


def _owned(spec: str) -> cw.Storage:
    from cogwork import _storage

    return _storage.resolve(spec)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("check", storage_checks(), ids=lambda check: check.__name__)
def test_t_conformance(kind, check, tmp_path):
    check(lambda: MAKERS[kind](tmp_path))


def test_t5_check_storage_runs_all_and_names_the_rule():
    check_storage(DictStore)
    with pytest.raises(AssertionError, match="T1"):
        check_storage(Leftover)


def test_t4_stores_register_by_name():
    name = f"mine{next(numbers)}"
    made = []

    def make(where: str) -> cw.Storage:
        made.append(where)
        return DictStore()

    cw.register_store(name, make)
    assert name in cw.stores()
    assert {"memory", "sqlite"} <= set(cw.stores())
    with pytest.raises(cw.CogworkError, match="registered"):
        cw.register_store(name, make)
    with pytest.raises(cw.CogworkError, match="registered"):
        cw.register_store("sqlite", make)
    with pytest.raises(cw.CogworkError, match="one word"):
        cw.register_store("two words", make)
    with cw.Engine(f"{name}:some where") as engine:
        assert engine.search() is not None
    assert made == ["some where"]
    with pytest.raises(cw.StorageError, match=f"did you mean '{name}'"):
        cw.Engine(f"{name}x:where")


@cw.cog(name="storage_double")
def double(n: int) -> int:
    return 2 * n


def test_t5_an_engine_runs_on_a_store_written_in_python():
    store = DictStore()
    labor = cw.Labor(
        "py",
        client_id="c1",
        tasks=[
            cw.Task("t", concurrency=4, sequences=[cw.Sequence(f"h{n}", jobs=[double.job(n=n)]) for n in range(50)])
        ],
    )
    with cw.Engine(store) as engine:
        done = engine.run(labor)
        assert done.state == cw.State.COMPLETED
        assert [s.jobs[0].output for s in done.tasks[0].sequences] == [2 * n for n in range(50)]
        assert engine.submit(labor).id == done.id
        assert next(iter(engine.changes(done.id, 0))).to_state == cw.State.RUNNING
    with cw.Engine(store) as engine:  # the same object again: its client ids are there still
        assert engine.submit(labor).id == done.id


class Poisoned(DictStore):
    """Its own code fails for one target; temporarily, or for good."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self.error = error
        self.times = times

    def write_sequence(self, sequence: cw.Sequence) -> None:
        if sequence.target == "bad" and self.times > 0:
            self.times -= 1
            raise self.error
        super().write_sequence(sequence)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), cw.StorageError("away", temporary=True)])
def test_d6_a_store_that_fails_for_a_while(error):
    store = Poisoned(error, 3)
    with cw.Engine(store) as engine:
        labor = cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("bad", jobs=[double.job(n=1)])])])
        assert engine.run(labor, timeout=30).state == cw.State.COMPLETED
        stats = engine.stats()
        assert not stats.degraded
        assert stats.failed_writes >= 3


def test_d6_an_error_in_a_stores_own_code_hinders_only_its_labor():
    store = Poisoned(ValueError("a bug"), 4)
    with cw.Engine(store) as engine:
        bad = engine.submit(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("bad", jobs=[double.job(n=1)])])]))
        good = cw.Labor("y", tasks=[cw.Task("t", sequences=[cw.Sequence("good", jobs=[double.job(n=2)])])])
        assert engine.run(good, timeout=30).state == cw.State.COMPLETED
        assert bad.wait(timeout=60).state == cw.State.COMPLETED


class Refusing(DictStore):
    def write_labor(self, labor: cw.Labor) -> None:
        raise ValueError("this store takes nothing")


def test_d6_submit_raises_what_waiting_cannot_mend():
    with cw.Engine(Refusing()) as engine:
        with pytest.raises(cw.StorageError, match="takes nothing") as caught:
            engine.submit(
                cw.Labor(
                    "x", client_id="once", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[double.job(n=1)])])]
                )
            )
        assert not caught.value.temporary
        assert list(engine.search()) == []


def test_r1_reading_needs_no_engine(tmp_path):
    path = tmp_path / "labors.db"
    labor = cw.Labor("x", tags=["a"], tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[double.job(n=21)])])])
    with cw.Engine(path) as engine:
        done = engine.run(labor)
        with cw.open_store(path) as store:  # while it runs
            assert store.read_labor(done.id) == done
    with cw.open_store(path) as store:
        assert [found.name for found in store.search(cw.LaborFilter(tags=["a"]))] == ["x"]
        assert store.read_labor(done.id)["t"]["a"][0].output == 42
        assert [c.to_state for c in store.changes(done.id) if c.object_id == done.id] == [
            cw.State.RUNNING,
            cw.State.COMPLETED,
        ]
    with pytest.raises(cw.CogworkError):
        cw.open_store(tmp_path / "missing.db")


def test_r1_a_second_engine_is_refused_by_name(tmp_path):
    import os

    with cw.Engine(tmp_path / "labors.db"), pytest.raises(cw.StoreInUse, match=str(os.getpid())):
        cw.Engine(tmp_path / "labors.db")
    cw.Engine(tmp_path / "labors.db").close()


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but long enough to have a header" * 100, b"SQLite format 3\x00" + b"\xff" * 2000],
)
def test_a_file_of_another_kind_is_a_clear_error(tmp_path, content):
    path = tmp_path / "labors.db"
    path.write_bytes(content)
    with pytest.raises(cw.StorageError, match=r"labors\.db"):
        cw.Engine(path)
    assert path.read_bytes() == content, "nothing of the user's was changed"


def test_a_path_may_be_any_bytes(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.db"
    with cw.Engine(os.fsdecode(path)) as engine:
        assert repr(engine)
        with pytest.raises(cw.StoreInUse, match="\ufffd"):
            cw.Engine(os.fsdecode(path))
    assert os.path.exists(path)
    with cw.open_store(os.fsdecode(path)) as store:
        assert list(store.search()) == []


class Shared(DictStore):
    """A store that several in this process find. `names_its_owner`: whether a refusal says who has it."""

    names_its_owner = True

    def identity(self) -> str:
        return f"shared {id(self)}"

    def lock(self, owner: cw.Owner):
        try:
            return super().lock(owner)
        except cw.StoreInUse as error:
            raise error if self.names_its_owner else cw.StoreInUse(str(error)) from None


@pytest.mark.parametrize("names", [True, False])
def test_r1_an_engine_waits_for_whoever_only_stores_something_in_a_store_of_ones_own(names):
    store = Shared()
    store.names_its_owner = names
    lock = store.lock(cw.Owner(1, "host", "ann", "cogwork", None, brief=True))
    opened: list[cw.Engine] = []
    opening = threading.Thread(target=lambda: opened.append(cw.Engine(store)))
    opening.start()
    opening.join(0.2)
    assert opening.is_alive()
    assert opened == []
    lock.release()
    opening.join(60)
    [engine] = opened
    engine.close()


def test_r1_a_store_of_ones_own_says_who_has_it():
    store = Shared()
    with cw.Engine(store):
        with pytest.raises(cw.StoreInUse, match="in use"):
            cw.Engine(store)
        with pytest.raises(cw.StoreInUse) as refused:
            store.lock(cw.Owner(1, "host", "ann", "cogwork", None))
        assert (refused.value.owner.pid, refused.value.owner.brief) == (os.getpid(), False)


def test_r1_signals_that_are_stored_at_once_wait_for_each_other_in_a_store_of_ones_own():
    store = Shared()
    with cw.Engine(store) as engine, pytest.warns(cw.CogworkWarning):
        labor = engine.submit(cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[cw.command.job(["true"])])])]), start=False).id  # fmt: skip
        engine.close()
    failures: list[BaseException] = []

    def send(number: int) -> None:
        try:
            with cw.connect(store, timeout=60) as client:
                for _ in range(5):
                    assert client.signal(labor, cw.Signal.PAUSE, by=f"n{number}").stored
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failures == []
    assert len(store.records(cw.RecordKind.SIGNAL)) == 30
