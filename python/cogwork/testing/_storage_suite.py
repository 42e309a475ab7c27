"""The contract of a store (T1-T5, D7) as a program."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from .._errors import NotFound, StoreInUse
from .._model import (
    Attempt,
    AttemptStatus,
    Decision,
    Hold,
    Job,
    Labor,
    LaborFilter,
    Rank,
    Reason,
    Sequence,
    State,
    Task,
)
from .._storage import NO_LINK, Batch, HistoryRow, Owner, Record, RecordKind, Storage, WriteKind

Make = Callable[[], Storage]
Check = Callable[[Make], None]

_START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
_salt = itertools.count(1)


def check_storage(make: Make) -> None:
    """Runs every check against stores that `make` makes, each fresh and empty. Raises AssertionError that names rule and check.

    In pytest: `check_storage(lambda: MyStore(tmp_path / "x"))`, or one test for each of `storage_checks()`.

    >>> from cogwork.testing import check_storage
    >>> check_storage(lambda: cw.open_store("memory:"))
    """
    for check in storage_checks():
        try:
            check(make)
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{check.__name__}: raised {type(error).__name__}: {error}") from error


def storage_checks() -> list[Check]:
    """The checks by themselves, for parametrized tests. Their names begin with the rule."""
    return [
        value
        for name, value in globals().items()
        if name[:2] in ("t1", "t2", "t3", "t5", "d7", "r1") and callable(value)
    ]


def _expect(condition: bool, rule: str, what: str) -> None:
    if not condition:
        raise AssertionError(f"{rule}: {what}")


def _same(got: Any, wanted: Any, rule: str, what: str) -> None:
    _expect(got == wanted, rule, f"{what}: wanted {wanted!r}, got {got!r}")


def sample_labor(name: str = "sample", sequences: int = 3, submitted: datetime = _START, **fields: Any) -> Labor:
    """A Labor as an engine would store it: complete, with ids that go up in the order of the tree."""
    prefix = str(uuid.uuid4())[:-8]
    ordinals = itertools.count()

    def new_id() -> str:
        return f"{prefix}{next(ordinals):08x}"

    def job(cog: str, args: dict[str, Any], **options: Any) -> Job:
        return Job(
            cog,
            args,
            id=new_id(),
            timeout=timedelta(seconds=30),
            retries=2,
            retry_delay=timedelta(milliseconds=1500),
            retry_backoff=1.5,
            on_interrupt="RETRY",  # type: ignore[arg-type]  # as the word that it is
            **options,
        )

    labor = Labor(name, id=new_id(), submitted=submitted, **fields)
    none = timedelta(0)
    task = Task("täsk one", id=new_id(), concurrency="50%", concurrency_number=1, tolerated_number=0, desc="…")
    task.cont_check_interval, task.bake, task.entry_delay = timedelta(seconds=30), none, none
    task.pre_checks.append(job("check", {"deep": {"list": [1, -2, 3.5, None, True, b"\x00\xff"]}}))
    task.cont_checks.append(job("check", {}, name="watch"))
    for number in range(sequences):
        sequence = Sequence(f"host-{number}", id=new_id())
        sequence.jobs.append(job("install", {"host": f"host-{number}", "n": number}))
        sequence.jobs.append(job("verify", {}))
        task.sequences.append(sequence)
    labor.tasks.append(task)
    return labor


def _normal(obj: Any) -> Any:
    """On_interrupt as a word or as its Enum, and what only a Job's last attempt implies, are the same thing."""
    return msgspec.to_builtins(obj)


def t1_reads_back_what_was_written(make: Make) -> None:
    with make() as store:
        labor = sample_labor("Ünïcode", tags=["a", "b"], desc="why", real_user="bob", cogs={"check": "m:check"})
        labor.provenance = {"file": "rollout.py", "arguments": "straße"}
        store.write_labor(labor)
        _same(_normal(store.read_labor(labor.id)), _normal(labor), "T1", "read_labor")


def t1_full_false_leaves_out_what_is_below(make: Make) -> None:
    with make() as store:
        labor = sample_labor()
        store.write_labor(labor)
        _same(store.read_labor(labor.id, full=False).tasks, [], "T1", "tasks of read_labor(full=False)")
        task = labor.tasks[0]
        read = store.read_task(task.id)
        _same((read.id, read.name, read.sequences, read.pre_checks), (task.id, task.name, [], []), "T1", "read_task")
        sequence = task.sequences[1]
        got = store.read_sequence(sequence.id)
        _same((got.id, got.target, got.jobs), (sequence.id, "host-1", []), "T1", "read_sequence")
        job = sequence.jobs[0]
        _same(store.read_job(job.id).args, job.args, "T1", "args of read_job")
        _same(store.read_job(job.id, full=False).args, {}, "T1", "args of read_job(full=False)")
        _same(store.read_job(job.id, full=False).cog_path, "install", "T1", "cog_path of read_job(full=False)")


def t1_a_missing_id_is_not_found(make: Make) -> None:
    with make() as store:
        labor = sample_labor()
        store.write_labor(labor)
        strange = str(uuid.uuid4())[:-8] + "00000001"
        for read in (store.read_labor, store.read_task, store.read_sequence, store.read_job):
            try:
                read(strange)
            except NotFound:
                continue
            _expect(False, "T1", f"{read.__name__} of a missing id must raise NotFound")
        try:
            store.read_job(labor.id[:-8] + "00ffffff")
        except NotFound:
            return
        _expect(False, "T1", "an object that a stored Labor does not have must be NotFound")


def t1_copies_are_the_readers_own(make: Make) -> None:
    with make() as store:
        labor = sample_labor()
        store.write_labor(labor)
        read = store.read_labor(labor.id)
        read.tasks[0].sequences[0].jobs[0].args["host"] = "changed"
        read.tasks.clear()
        labor.tasks[0].sequences[0].target = "changed too"
        again = store.read_labor(labor.id)
        _same(again.tasks[0].sequences[0].jobs[0].args["host"], "host-0", "T1", "args after a reader changed its copy")
        _same(again.tasks[0].sequences[0].target, "host-0", "T1", "the target after the writer changed its own")


def t2_writes_replace_an_objects_own_fields(make: Make) -> None:
    with make() as store:
        labor = sample_labor()
        store.write_labor(labor)
        later = _START + timedelta(seconds=5)
        hold = Hold(Rank.ADMIN, later, "ann", "why not")
        state = msgspec.structs.replace(
            labor, tasks=[], state=State.ADMIN_PAUSED, reason=Reason.MAX_FAILURES, started=later, holds=[hold]
        )
        store.write_labor_state(state)
        task = msgspec.structs.replace(
            labor.tasks[0],
            sequences=[],
            pre_checks=[],
            cont_checks=[],
            state=State.FAILED,
            reason=Reason.CONT_CHECK_FAILURE,
            failures=3,
            started=later,
            ended=later,
        )
        store.write_task(task)
        sequence = msgspec.structs.replace(
            labor.tasks[0].sequences[0], jobs=[], state=State.RUNNING, started=later, holds=[hold]
        )
        store.write_sequence(sequence)
        read = store.read_labor(labor.id)
        _same(
            (read.state, read.reason, read.started, read.holds),
            (state.state, state.reason, later, [hold]),
            "T2",
            "labor",
        )
        got = read.tasks[0]
        _same(
            (got.state, got.reason, got.failures, got.started, got.ended),
            (task.state, task.reason, 3, later, later),
            "T2",
            "task",
        )
        _same((got.sequences[0].state, got.sequences[0].holds), (State.RUNNING, [hold]), "T2", "sequence")
        _same(len(got.sequences), 3, "T2", "write_task and write_labor_state leave what is below as it is; sequences")
        _same(got.sequences[0].jobs[0].args, {"host": "host-0", "n": 0}, "T2", "jobs below a written sequence")


def t2_write_job_never_touches_args(make: Make) -> None:
    with make() as store:
        labor = sample_labor()
        store.write_labor(labor)
        job = labor.tasks[0].sequences[0].jobs[0]
        first = Attempt(
            1,
            _START,
            _START,
            AttemptStatus.INTERRUPTED,
            error="Traceback\nboom ☃",
            log="one\ntwo",
            decision=Decision.RERUN,
        )
        second = Attempt(2, _START, None, AttemptStatus.OPEN)
        store.write_job(
            msgspec.structs.replace(job, args={}, state=State.RUNNING, started=_START, attempts=[first, second])
        )
        read = store.read_job(job.id)
        _same(read.args, job.args, "T2", "args after write_job without them")
        _same(read.attempts, [first, second], "T2", "attempts")
        output = {"k": [1, b"x"]}
        second = Attempt(2, _START, _START, AttemptStatus.SUCCESS, output=output, cut=True)
        store.write_job(
            msgspec.structs.replace(
                job, args={}, state=State.COMPLETED, ended=_START, attempts=[first, second], output=output
            )
        )
        read = store.read_job(job.id)
        _same((read.state, read.attempts, read.output), (State.COMPLETED, [first, second], output), "T2", "job")
        _same(store.read_job(job.id, full=False).output, None, "T1", "output of read_job(full=False)")


def t2_large_values(make: Make) -> None:
    with make() as store:
        labor = sample_labor(sequences=1)
        labor.tasks[0].sequences[0].jobs[0].args = {"blob": b"\x00" * 5_000_000}
        store.write_labor(labor)
        job = labor.tasks[0].sequences[0].jobs[0]
        output = "x" * 3_000_000
        attempt = Attempt(1, _START, _START, AttemptStatus.SUCCESS, output=output)
        store.write_job(msgspec.structs.replace(job, args={}, attempts=[attempt], state=State.COMPLETED, output=output))
        read = store.read_job(job.id)
        _same(
            (len(read.args["blob"]), len(read.output)), (5_000_000, 3_000_000), "T2", "sizes of large args and outputs"
        )


def t3_order_and_filters(make: Make) -> None:
    with make() as store:
        made = []
        for number, name in enumerate(["alpha%", "alphaX", "beta_1", "Alpha%", "bétà"]):
            labor = sample_labor(
                name, submitted=_START + timedelta(seconds=(7 * number) % 5), tags=[f"t{number % 2}", "all"]
            )
            labor.state = [State.RUNNING, State.COMPLETED][number % 2]
            if number == 2:
                labor.tasks[0].sequences[0].target = "special"
                labor.tasks[0].sequences[0].jobs[0].cog_path = "rare"
            store.write_labor(labor)
            made.append(labor)
        in_order = sorted(made, key=lambda item: item.submitted or _START)

        def found(**fields: Any) -> list[str]:
            return [item.name for item in store.labors(LaborFilter(**fields))]

        names = [item.name for item in in_order]
        _same(found(), names, "T3", "all, earliest first")
        _same(found(newest_first=True), names[::-1], "T3", "newest first")
        _same(found(limit=2), names[:2], "T3", "limit")
        _same(found(limit=0), [], "T3", "limit of none")
        _expect(
            all(item.tasks == [] for item in store.labors(LaborFilter())),
            "T3",
            "a search returns Labors without their tasks",
        )
        tests: list[dict[str, Any]] = [
            {"name_prefix": "alpha"},
            {"name_prefix": "alpha%"},
            {"name_prefix": "beta_"},
            {"name_suffix": "%"},
            {"name_prefix": "b", "name_suffix": "à"},
            {"states": [State.RUNNING]},
            {"states": [State.RUNNING, State.COMPLETED]},
            {"states": [State.FAILED]},
            {"tags": ["t1"]},
            {"tags": ["nowhere", "t0"]},
            {"targets": ["special"]},
            {"targets": ["host-2"]},
            {"cogs": ["rare"]},
            {"cogs": ["check", "rare"]},
            {"submit_begin": _START + timedelta(seconds=2)},
            {"submit_end": _START + timedelta(seconds=2)},
            {"submit_begin": _START + timedelta(seconds=1), "submit_end": _START + timedelta(seconds=3)},
            {"tags": ["t0"], "states": [State.RUNNING], "name_prefix": "b"},
        ]
        for fields in tests:
            wanted = [item.name for item in in_order if LaborFilter(**fields).matches(item)]
            _same(found(**fields), wanted, "T3", f"filter {fields}")


def t3_a_stream_may_be_left(make: Make) -> None:
    with make() as store:
        for number in range(10):
            store.write_labor(sample_labor(f"n{number}", sequences=1, submitted=_START + timedelta(seconds=number)))
        stream = iter(store.labors(LaborFilter()))
        next(stream)
        del stream
        store.write_labor(sample_labor("after", sequences=1, submitted=_START + timedelta(seconds=99)))
        _same(sum(1 for _ in store.labors(LaborFilter())), 11, "T3", "Labors after a stream was left in the middle")


def t5_apply_is_one_commit(make: Make) -> None:
    with make() as store:
        labor = sample_labor()
        job = msgspec.structs.replace(labor.tasks[0].sequences[0].jobs[0], args={}, state=State.RUNNING)
        store.apply(
            Batch(
                [(WriteKind.LABOR, labor), (WriteKind.JOB, job)],
                [],
                [Record(RecordKind.CLIENT_ID, "ünique/id", b"\x00\x01"), Record(RecordKind.LATCH, "l", b"x")],
            )
        )
        _same(store.read_job(job.id).state, State.RUNNING, "T5", "a write behind write_labor in one batch")
        _same(store.records(RecordKind.CLIENT_ID), {"ünique/id": b"\x00\x01"}, "T5", "records of a kind")
        store.apply(
            Batch([], [], [Record(RecordKind.CLIENT_ID, "ünique/id", None), Record(RecordKind.LATCH, "l", b"y")])
        )
        _same(store.records(RecordKind.CLIENT_ID), {}, "T5", "records after one was removed")
        _same(store.records(RecordKind.LATCH), {"l": b"y"}, "T5", "a record that was replaced")


def d7_history_is_kept_in_order(make: Make) -> None:
    with make() as store:
        one, two = sample_labor("one"), sample_labor("two")
        store.write_labor(one)
        store.write_labor(two)
        _same(store.last_change(), 0, "D7", "last_change of an empty history")
        _same(store.last_link(one.id), NO_LINK, "D7", "last_link of an empty history")
        rows = [
            HistoryRow(1, 2, one.id, 1000, b"\x01ab", b"A" * 16),
            HistoryRow(3, 1, two.id, 1001, b"\x01cd", b"B" * 16),
            HistoryRow(4, 5, one.id, 1002, b"", b"C" * 16),
        ]
        store.apply(Batch([], rows[:2], []))
        store.apply(Batch([], rows[2:], []))
        _same(list(store.history()), rows, "D7", "the whole history")
        _same(list(store.history(one.id)), [rows[0], rows[2]], "D7", "the history of one Labor")
        _same(list(store.history(None, 2)), rows[1:], "D7", "rows that hold a change above 2")
        _same(list(store.history(None, 1)), rows, "D7", "rows that hold a change above 1")
        _same(list(store.history(one.id, 8)), [], "D7", "rows above the last change")
        _same(store.last_change(), 8, "D7", "last_change")
        _same((store.last_link(one.id), store.last_link(two.id)), (b"C" * 16, b"B" * 16), "D7", "last_link")


def r1_one_owner_at_a_time(make: Make) -> None:
    with make() as store:
        lock = store.lock(Owner(4242, "somehost", "ann", "rollout.py", _START))
        try:
            store.lock(Owner(1, "h", "bob", "other", _START)).release()
        except StoreInUse:
            pass
        else:
            _expect(False, "R1", "a second lock must be refused with StoreInUse while the first is held")
        lock.release()
        store.lock(Owner(1, "h", "bob", "other", _START)).release()


def t1_readers_beside_a_writer(make: Make) -> None:
    with make() as store:
        labor = sample_labor(sequences=20)
        store.write_labor(labor)
        done = threading.Event()
        errors: list[BaseException] = []

        def read() -> None:
            try:
                while not done.is_set():
                    states = {s.state for s in store.read_labor(labor.id).tasks[0].sequences}
                    assert states <= {State.NOT_STARTED, State.RUNNING}, states
            except BaseException as error:
                errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for sequence in labor.tasks[0].sequences:
            store.write_sequence(msgspec.structs.replace(sequence, jobs=[], state=State.RUNNING))
        done.set()
        for reader in readers:
            reader.join()
        _expect(not errors, "T1", f"reading beside a writer failed: {errors[:1]}")
