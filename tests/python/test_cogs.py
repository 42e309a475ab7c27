"""Sections 3 and 8 from Python: what Cogs answer, what is kept of it, and who runs them."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
import time
from datetime import timedelta

import pytest
from conftest import many, one

import cogwork as cw
from cogwork import AttemptStatus, State


def run_one(engine: cw.Engine, job: cw.Job, **task) -> cw.Job:
    return engine.run(one(job, **task), timeout=30).tasks[0].sequences[0].jobs[0]


def statuses(job: cw.Job) -> list[str]:
    return [attempt.status.name for attempt in job.attempts]


# ---- X8: what a Cog answers ----


@pytest.mark.parametrize("value", [None, 0, "", [], True, "text", {"a": [1, 2.5, b"x", None]}], ids=repr)
def test_x8_returning_is_success(engine, make_cog, value):
    def answer():
        return value

    job = run_one(engine, make_cog(answer).job())
    assert (job.state, statuses(job), job.output) == (State.COMPLETED, ["SUCCESS"], value)


def test_x8_exactly_false_is_failure(engine, make_cog):
    def says_no() -> bool:
        return False

    job = run_one(engine, make_cog(says_no, retries=1).job())
    assert (job.state, statuses(job)) == (State.FAILED, ["FAILURE", "FAILURE"])
    assert "False" in job.output


def test_x8_raising_is_failure_and_tried_again(engine, make_cog):
    tries = []

    def flaky(ctx: cw.Context) -> int:
        tries.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError(f"not yet {ctx.attempt}")
        return ctx.attempt

    job = run_one(engine, make_cog(flaky, retries=5, retry_delay=0.02, retry_backoff=2).job())
    assert tries == [1, 2, 3]
    assert (job.state, statuses(job), job.output) == (State.COMPLETED, ["FAILURE", "FAILURE", "SUCCESS"], 3)
    first, second, third = job.attempts
    assert "ValueError: not yet 1" in first.error
    assert "flaky" in first.error, "with its traceback"
    assert "_calling.py" not in first.error, "but without the engine's own frames"
    assert second.started - first.ended >= timedelta(seconds=0.02)
    assert third.started - second.ended >= timedelta(seconds=0.04)


def test_x8_no_retry(engine, make_cog):
    def hopeless() -> None:
        raise cw.NoRetry("there is no such router")

    job = run_one(engine, make_cog(hopeless, retries=5).job())
    assert (job.state, statuses(job)) == (State.FAILED, ["FAILURE_NO_RETRIES"])
    assert "no such router" in job.output, "X9: the error text of the last attempt"


def test_x8_later_jobs_stay_not_started(engine, make_cog):
    def bad() -> None:
        raise RuntimeError("boom")

    def good() -> None: ...

    cog = make_cog(good)
    done = engine.run(one(cog.job(), make_cog(bad).job(), cog.job()), timeout=30)
    sequence = done.tasks[0].sequences[0]
    assert [job.state for job in sequence.jobs] == [State.COMPLETED, State.FAILED, State.NOT_STARTED]
    assert (sequence.state, done.state, done.reason) == (State.FAILED, State.FAILED, cw.Reason.MAX_FAILURES)
    with pytest.raises(cw.LaborFailed, match="boom") as caught:
        done.raise_for_state()
    assert caught.value.labor is done
    assert [f.target for f in done.failures()] == ["host"]


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError(), MemoryError()], ids=repr
)
def test_a_cog_that_raises_strange_things_fails_alone(engine, make_cog, error):
    def strange() -> None:
        raise error

    def good() -> int:
        return 1

    assert run_one(engine, make_cog(strange).job()).state == State.FAILED
    assert run_one(engine, make_cog(good).job()).output == 1


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize("text", ["\ud800 surrogate", "null \x00 byte", "x" * 3_000_000])
def test_errors_of_every_kind_are_kept(engine, make_cog, text):
    def bad() -> None:
        raise ValueError(text)

    job = run_one(engine, make_cog(bad).job())
    assert job.state == State.FAILED
    assert len(job.output) <= 2**20 + 100


def test_an_error_that_cannot_be_described(engine, make_cog):
    def bad() -> None:
        raise Unprintable

    assert "Unprintable" in run_one(engine, make_cog(bad).job()).output


# ---- X9: outputs ----


def test_x9_an_output_that_msgpack_cannot_hold(engine, make_cog):
    def strange():
        return {"thing": object()}

    job = run_one(engine, make_cog(strange).job())
    assert job.state == State.COMPLETED
    assert job.attempts[0].repr
    assert "object object at" in job.output["thing"]


def test_x9_a_repr_that_raises(engine, make_cog):
    def strange():
        return Unprintable()

    job = run_one(engine, make_cog(strange).job())
    assert (job.state, job.attempts[0].repr) == (State.COMPLETED, True)
    assert "Unprintable" in job.output


@pytest.mark.parametrize("value", ["é" * 5000, b"x" * 5000, list(range(5000))], ids=["text", "bytes", "list"])
def test_x9_a_large_output_is_cut_and_marked(tmp_path, make_cog, value):
    def large():
        return value

    with cw.Engine(tmp_path / "l.db", max_output=1000) as engine:
        job = run_one(engine, make_cog(large).job())
    assert (job.state, job.attempts[0].cut) == (State.COMPLETED, True)
    assert 900 <= len(job.output.encode() if isinstance(job.output, str) else job.output) <= 1000


def test_x7_outputs_of_earlier_jobs(engine, make_cog):
    def backup(host: str) -> dict:
        return {"file": f"{host}.cfg", "size": 3}

    def nothing() -> None: ...

    def restore(ctx: cw.Context) -> list:
        with pytest.raises(KeyError, match="there are: "):
            ctx.outputs["missing"]
        return [ctx.outputs["the backup"]["file"], ctx.outputs[quiet.name], len(ctx.outputs), ctx.target]

    quiet = make_cog(nothing)
    saved = make_cog(backup)
    done = engine.run(
        one(saved.job(host="r1").replace(name="the backup"), quiet.job(), make_cog(restore).job(), target="r1"),
        timeout=30,
    )
    assert done.tasks[0].sequences[0].jobs[2].output == ["r1.cfg", None, 2, "r1"]


# ---- the context, logging ----


def test_context_and_logging_land_on_the_attempt(engine, make_cog):
    seen: list[logging.LogRecord] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    logger = logging.getLogger("my.module")
    logger.setLevel(logging.INFO)
    logger.addHandler(catch := Catch())

    def talk(ctx: cw.Context, n: int) -> list:
        logger.info("through logging %d", n)
        ctx.log("by the context %s", n)
        ctx.progress(0.5, "half")
        return [ctx.job_id, ctx.labor_id, ctx.target, ctx.attempt, ctx.real_user, ctx.cancelled, ctx.labor_name]

    labor = many(lambda n: cog.job(n=n), 8, name="talkative", concurrency=8) if (cog := make_cog(talk)) else None
    labor.real_user = "ann"
    done = engine.run(labor, timeout=30)
    logger.removeHandler(catch)
    for number, sequence in enumerate(done.tasks[0].sequences):
        job = sequence.jobs[0]
        assert job.output == [job.id, done.id, f"host-{number}", 1, "ann", False, "talkative"]
        log = job.attempts[0].log
        assert f"INFO my.module: through logging {number}" in log
        assert f"by the context {number}" in log
        assert log.count("\n") == 1, "its own lines and no others'"
    assert {(r.labor, r.target, r.attempt) for r in seen} == {("talkative", f"host-{n}", 1) for n in range(8)}


def test_logging_elsewhere_is_left_as_it_is(tmp_path):
    import subprocess

    script = (
        "import logging, cogwork as cw\n"
        "with cw.Engine('memory:'):\n"
        "    logging.getLogger('x').warning('to stderr as ever')\n"
        "    logging.basicConfig(format='%(labor)s|%(message)s', level=logging.INFO, force=False)\n"
        "    logging.info('basicConfig works')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "to stderr as ever" in done.stderr
    assert "|basicConfig works" in done.stderr


def test_async_sleep_is_awaited_and_says_that_it_was_slept_out(engine, make_cog):
    async def nap(ctx: cw.Context) -> bool:
        return await ctx.sleep(0.01) is True

    assert run_one(engine, make_cog(nap).job()).output is True


def test_x8_how_a_sleep_ended_may_be_answered(engine, make_cog):
    """In a plain Cog it is a bool, and no promise."""

    def nap(ctx: cw.Context) -> bool:
        return ctx.sleep(0)

    def naps(ctx: cw.Context) -> dict:
        return {"slept": ctx.sleep(timedelta(milliseconds=1))}

    assert run_one(engine, make_cog(nap).job()).output is True
    assert run_one(engine, make_cog(naps).job()).output == {"slept": True}
    assert engine.run(one(make_cog(naps).job(), pre_checks=[make_cog(nap).job()])).state == State.COMPLETED


def test_x8_a_sleep_that_nobody_awaited_is_a_promise(engine, make_cog):
    async def nap(ctx: cw.Context) -> object:
        return ctx.sleep(600)

    job = run_one(engine, make_cog(nap).job())
    assert (job.state, "await" in job.error) == (State.FAILED, True)


def test_a_flood_of_log_lines_is_bounded(engine, make_cog):
    def flood(ctx: cw.Context) -> None:
        for n in range(100_000):
            ctx.log("line %d", n)

    log = run_one(engine, make_cog(flood).job()).attempts[0].log
    assert len(log) < 70_000
    assert "more lines were dropped" in log


# ---- X8a: time-outs ----


def test_x8a_a_call_that_ends_within_the_grace_is_timed_out_and_tried_again(patient, make_cog):
    def slow(ctx: cw.Context) -> str:
        if ctx.attempt == 1:
            assert not ctx.sleep(60), "woken by the cancel"
            assert ctx.cancelled
            return "too late, but here"
        return "quick"

    job = run_one(patient, make_cog(slow, timeout=1, retries=1).job())
    assert (job.state, statuses(job), job.output) == (State.COMPLETED, ["TIMED_OUT", "SUCCESS"], "quick")
    assert "timed out" in job.attempts[0].error


def test_x8a_a_call_that_does_not_end_is_left_and_its_thread_replaced(tmp_path, make_cog, gate):
    def deaf() -> None:
        gate()

    def good() -> int:
        return 1

    with cw.Engine(tmp_path / "l.db", workers=1, grace=0.05) as engine:
        job = run_one(engine, make_cog(deaf, timeout=1, retries=3).job())
        assert (job.state, statuses(job)) == (State.FAILED, ["TIMED_OUT"]), "no second call beside the first"
        assert job.attempts[0].still_running
        assert job.output == "timed out, still running"
        assert engine.stats().abandoned == 1
        assert run_one(engine, make_cog(good).job()).output == 1, "with one worker, which is occupied"
        gate.open()


def test_x8a_async_calls_are_cancelled(patient, make_cog):
    cancelled = []

    async def slow(ctx: cw.Context) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(ctx.attempt)
            raise

    job = run_one(patient, make_cog(slow, timeout=1, retries=1).job())
    assert (job.state, statuses(job), cancelled) == (State.FAILED, ["TIMED_OUT", "TIMED_OUT"], [1, 2])


# ---- X13: workers ----


def test_x13_concurrency_is_reached_and_never_passed(engine, make_cog, gate):
    def wait() -> None:
        gate()

    handle = engine.submit(many(lambda n: cog.job(), 40, concurrency=7) if (cog := make_cog(wait)) else None)
    gate.wait_for(7)
    time.sleep(0.05)
    assert gate.entered == 7
    gate.open()
    assert handle.wait(30).state == State.COMPLETED
    assert gate.most == 7


def test_x13_workers_are_a_ceiling_and_attempts_start_only_with_one(tmp_path, make_cog, gate):
    def wait() -> None:
        gate()

    cog = make_cog(wait)
    with cw.Engine(tmp_path / "l.db", workers=3) as engine:
        handle = engine.submit(many(lambda n: cog.job(), 10, concurrency=10))
        gate.wait_for(3)
        time.sleep(0.05)
        jobs = [s.jobs[0] for s in handle.read().tasks[0].sequences]
        assert sum(job.state == State.RUNNING for job in jobs) == 3
        assert sum(job.state == State.NOT_STARTED for job in jobs) == 7
        assert engine.stats().queued_jobs == 7
        gate.open()
        assert handle.wait(30).state == State.COMPLETED
    assert gate.most == 3


def test_x13_checks_have_room_of_their_own(tmp_path, make_cog, gate):
    def wait() -> None:
        gate()

    rounds = []

    def check() -> bool:
        rounds.append(1)
        if len(rounds) >= 3:
            gate.open()
        return True

    blocking, checking = make_cog(wait), make_cog(check)
    with cw.Engine(tmp_path / "l.db", workers=2) as engine:
        labor = many(lambda n: blocking.job(), 4, concurrency=4, cont_checks=[checking.job()], cont_check_interval=0.01)
        assert engine.run(labor, timeout=30).state == State.COMPLETED


def test_x13_a_thousand_async_calls_at_once(tmp_path, make_cog):
    inside = 0
    all_inside = asyncio.Event()

    async def wait() -> None:
        nonlocal inside
        inside += 1
        if inside == 1000:
            all_inside.set()
        await all_inside.wait()

    cog = make_cog(wait)
    with cw.Engine(tmp_path / "l.db", workers=2) as engine:
        assert engine.run(many(lambda n: cog.job(), 1000, concurrency=1000), timeout=60).state == State.COMPLETED


def test_a_call_that_blocks_holds_up_no_other_even_of_a_cog_known_as_short(engine, make_cog, gate):
    def mostly_short(n: int) -> None:
        if n == 150:
            gate()

    cog = make_cog(mostly_short)
    handle = engine.submit(many(lambda n: cog.job(n=n), 300, concurrency=8))
    gate.wait_for(1)
    deadline = time.monotonic() + 20
    while engine._progress(handle.id).done < 299:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    gate.open()
    assert handle.wait(30).state == State.COMPLETED


def test_c2_plain_cogs_run_in_threads_of_their_own(engine, make_cog):
    def where() -> str:
        return threading.current_thread().name

    assert run_one(engine, make_cog(where).job()).output.startswith("cogwork-worker")


def test_a_plain_function_that_returns_a_coroutine_says_so(engine, make_cog):
    async def inner() -> None: ...

    def plain():
        return inner()

    job = run_one(engine, make_cog(plain).job())
    assert job.state == State.FAILED
    assert "async def" in job.output


def test_engine_cogs(engine, make_cog):
    def good() -> None: ...

    cog = make_cog(good)
    assert engine.cogs.crashes(cog.name) == 0
    engine.cogs.reset(cog.name)
    assert cog.name in engine.cogs.names()


def test_async_cogs_on_a_loop_of_ones_own(tmp_path, make_cog):
    loops = []

    async def where() -> int:
        loops.append(asyncio.get_running_loop())
        return 5

    cog = make_cog(where)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with cw.Engine(tmp_path / "l.db", loop=loop) as engine:
            done = await (await engine.asubmit(one(cog.job())))
            assert done.state == State.COMPLETED
        assert loops == [loop]

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match")
def test_attempt_status_words():
    words = ["SUCCESS", "FAILURE", "FAILURE_NO_RETRIES", "TIMED_OUT", "CRASHED", "INTERRUPTED", "STOPPED", "WITHDRAWN"]
    assert [status.name for status in AttemptStatus][1:] == words


# ---- logging does not disturb the host, whatever it is given ----


def test_logging_with_extra_that_has_our_names_is_no_error(engine, make_cog):
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logger = logging.getLogger("their.module")
    logger.addHandler(handler)

    def talk() -> None:
        logger.warning("inside", extra={"attempt": "third", "target": "them"})

    job = run_one(engine, make_cog(talk).job())
    logger.warning("outside", extra={"attempt": 7})
    logger.removeHandler(handler)
    assert job.state == cw.State.COMPLETED, job.output
    assert "their.module: inside" in job.attempts[0].log
    inside, outside = seen
    assert (inside.attempt, inside.target, inside.labor) == ("third", "them", "labor"), "what extra says stands"
    assert (outside.attempt, outside.target, outside.labor) == (7, "", "")


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "nul \x00", "☃", "line\nline"], ids=ascii)
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_text_of_any_kind_breaks_nothing(engine, make_cog, kind, text):
    def say(ctx: cw.Context) -> int:
        ctx.log(text)
        ctx.log(text, 1, 2)
        ctx.progress(0.5, text)
        ctx.progress(float("nan"))
        logging.getLogger("any").warning("%s", text)
        return 1

    async def say_async(ctx: cw.Context) -> int:
        return say(ctx)

    job = run_one(engine, make_cog(say if kind == "plain" else say_async).job())
    assert (job.state, job.output) == (cw.State.COMPLETED, 1)
    assert "surrogate" not in text or r"\ud800" in job.attempts[0].log


def test_a_log_line_that_is_too_long_is_kept_as_far_as_it_fits(engine, make_cog):
    def flood(ctx: cw.Context) -> None:
        ctx.log("é" * 100_000)
        ctx.log("after")

    log = run_one(engine, make_cog(flood).job()).attempts[0].log
    assert 64_000 < len(log.encode()) < 66_000
    assert log.startswith("éééé")
    assert log.endswith("more lines were dropped")
    assert "after" not in log, "what is kept has no holes"


def test_context_sleeps_for_a_timedelta(engine, make_cog):
    def nap(ctx: cw.Context) -> bool:
        return bool(ctx.sleep(timedelta(milliseconds=1)))

    assert run_one(engine, make_cog(nap).job()).output is True


# ---- what can be a Cog ----


def test_c2_partials_and_objects_that_can_be_called(engine):
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        async def __call__(self, x: int) -> int:
            return self.n + x

    cw.cog(name="of_a_partial")(functools.partial(lambda a, b: a - b, 10))
    cw.cog(name="of_an_object")(Adder(5))
    assert run_one(engine, cw.Job("of_a_partial", {"b": 3})).output == 7
    assert run_one(engine, cw.Job("of_an_object", {"x": 3})).output == 8
    with pytest.raises(cw.CogError, match="give it one"):
        cw.cog(Adder(1))


def test_c2_a_generator_is_refused_as_it_would_run_nothing(make_cog):
    def gen():
        yield 1

    async def agen():
        yield 1

    for function in (gen, agen):
        with pytest.raises(cw.CogError, match="run nothing"):
            make_cog(function)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"timeout": 0}, "timeout must be longer than 0"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"retries": -1}, "retries must be a whole number of 0 or more"),
        ({"retries": "2"}, "retries"),
        ({"retries": True}, "retries"),
        ({"retry_delay": -1}, "retry_delay"),
        ({"retry_backoff": 0.5}, "retry_backoff must be a number of 1 or more"),
        ({"retry_max_delay": float("nan")}, "retry_max_delay"),
        ({"on_interrupt": "AGAIN"}, "RETRY, FAIL or HOLD"),
        ({"name": ""}, "not empty"),
    ],
    ids=str,
)
def test_a_cog_says_which_option_is_wrong(options, part):
    def good() -> None: ...

    with pytest.raises(cw.CogError, match=part):
        cw.cog(**{"name": "wrong", **options})(good)
