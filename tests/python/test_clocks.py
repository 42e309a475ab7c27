"""The system's clock is set, or wrong, or the process is stopped: waits take as long as they are, records stay in order (X8, R3, M2)."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import pytest
from clock_support import PACKAGE, Clock

import cogwork as cw
from cogwork import AttemptStatus, State

needs_shim = pytest.mark.skipif(not Clock.is_available(), reason="a C compiler makes the shim")
HOUR, DAY, TEN_YEARS = 3600, 86400, 315_360_000
STEPS = [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS]


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path)


@needs_shim
@pytest.mark.parametrize("step", STEPS)
def test_x8_r3_a_step_of_the_clock_changes_no_time_out_and_no_wait(clock, step):
    """Where all went by the wall clock, a call was timed out a second into its minute, or a wait took an hour."""
    said = clock.run(
        """
step = int(sys.argv[1])
tries = []
@cw.cog(idempotent=True)
def nap(ctx: cw.Context) -> bool:
    set_clock(step)
    return ctx.sleep(0.5)

@cw.cog(idempotent=True)
def second_time():
    tries.append(1)
    set_clock(step)
    if len(tries) == 1:
        raise ValueError("once")

@cw.cog(idempotent=True)
def step_clock():
    set_clock(step)
    return True

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with cw.Engine("a.db") as engine:
        for job, options in (
            (nap.job().replace(timeout=600), {}),
            (second_time.job().replace(retries=1, retry_delay=1), {}),
            (step_clock.job(), {"bake": 1, "cont_checks": [step_clock.job()], "cont_check_interval": 600}),
            (step_clock.job(), {"entry_delay": 1, "pre_checks": [step_clock.job()]}),
        ):
            set_clock(0)
            begun = time.monotonic()
            done = engine.submit(labor(job, **options)).wait(120)
            attempt = done["t"]["s"][0].attempts[-1]
            print(done.state.name, attempt.status.name, done.started <= done.ended, time.monotonic() - begun < 100)
        assert engine.stats().clock_jumps > 0
        assert not engine.verify()
""",
        step,
    )
    assert said.splitlines() == ["COMPLETED SUCCESS True True"] * 4


@needs_shim
def test_m2_a_step_forwards_and_back_dates_no_later_labor_and_is_said(clock):
    said = clock.run(
        f"""
from datetime import datetime, timezone
@cw.cog(idempotent=True)
def fine():
    return True

engine = cw.Engine("a.db")
set_clock({DAY})
engine.run(labor(fine.job()))
set_clock(0)
done = engine.run(labor(fine.job()))
print(abs((done.submitted - datetime.now(timezone.utc)).total_seconds()) < {HOUR})
stats = engine.stats()
print(stats.clock_jumps >= 1, stats.clock_jumps == 1 or round(stats.clock_jumped.total_seconds()) == -{DAY})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    engine.close()
print(any("the system's clock was set" in str(one.message) for one in caught))
"""
    )
    assert said.splitlines() == ["True", "True True", "True"]


@needs_shim
@pytest.mark.parametrize("ahead", [DAY, TEN_YEARS])
def test_r3_what_was_stored_under_a_clock_that_was_ahead_does_not_wait_for_it(clock, ahead):
    cogs = """
@cw.cog(idempotent=True)
def flaky():
    if not os.path.exists("mended"):
        raise ValueError("not yet")

@cw.cog(idempotent=True)
def fine():
    return True
"""
    clock.set(ahead)
    clock.run(
        cogs
        + """
engine = cw.Engine("a.db")
waits = engine.submit(labor(flaky.job().replace(retries=1, retry_delay=5)))
engine.submit(labor(fine.job(), entry_delay=5))
engine.submit(labor(fine.job(), cont_checks=[fine.job()], cont_check_interval=1, bake=5))
while not waits.progress().retries:
    time.sleep(0.05)
os._exit(0)
"""
    )
    (clock.folder / "mended").touch()
    clock.set(0)
    said = clock.run(
        cogs
        + """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    engine = cw.Engine("a.db")
print(any("behind what a.db has recorded" in str(one.message) for one in caught), engine.stats().records_ahead.days)
for id in engine.taken_up:
    done = engine.handle(id).wait(120)
    print(done.state.name, done.started <= done.ended)
print(engine.verify(), engine.run(labor(fine.job())).submitted.year)
engine.close()
"""
    )
    lines = said.splitlines()
    assert lines[0].startswith("True"), said
    assert [line.split()[:2] for line in lines[1:4]] == [["COMPLETED", "True"]] * 3
    assert lines[4] == f"[] {datetime.now(timezone.utc).year}"


@needs_shim
@pytest.mark.parametrize("year", [1960, 1969, 2300])
def test_m2_a_clock_of_another_century_is_no_nonsense(clock, year):
    """`submitted`, `started` and `ended` were None before 1970, and nanoseconds end in 2262."""
    ahead = (datetime(year, 6, 1, tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds()
    said = clock.run(
        """
@cw.cog(idempotent=True)
def fine():
    return True

set_clock(float(sys.argv[1]))  # Python itself does not begin after 2262
with cw.Engine("a.db") as engine:
    done = engine.run(labor(fine.job(), cont_checks=[fine.job()], cont_check_interval=1))
    attempt = done["t"]["s"][0].attempts[0]
    print(done.submitted.year, done.submitted <= done.started <= attempt.started <= attempt.ended <= done.ended)
    print(engine.at(done.id, attempt.started).state.name, len(list(engine.search())))
print([str(found) for found in cw.doctor("a.db").findings])
""",
        ahead,
    )
    assert said.splitlines() == [f"{year} True", "RUNNING 1", "[]"]


# ---- X8: from the moment that the Cog is called, and what was there first ----


def test_x8_a_coroutine_that_the_loop_had_no_time_for_is_not_timed_out(patient, make_cog):
    """Its time-out runs from its first step, not from the hand-over."""

    async def blocks() -> None:
        time.sleep(3)

    async def quick() -> str:
        return "done"

    blocking, brief = make_cog(blocks), make_cog(quick)
    first = patient.submit(cw.Labor("b", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[blocking.job()])])]))
    while not first.progress().in_flight:
        time.sleep(0.01)
    job = brief.job().replace(timeout=0.5)
    done = patient.run(cw.Labor("q", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[job])])]))
    assert [a.status for a in done["t"]["s"][0].attempts] == [AttemptStatus.SUCCESS]


SIGSTOP_SCRIPT = """
import pathlib, sys, warnings
import cogwork as cw
from cogwork import command

kind = sys.argv[1]
if kind == "command":
    job = command.job(["sh", "-c", "touch begun; while [ ! -e go ]; do sleep 0.01; done; echo done; touch ended"])
else:
    job = cw.Job("python:cogs_of_mine:wait", {})
with cw.Engine("a.db") as engine:
    done = engine.run(cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[job.replace(timeout=5)])])]))
attempt = done["t"]["s"][0].attempts[0]
print(attempt.status.name, attempt.output)
"""
COGS = """
import pathlib, time
import cogwork as cw

@cw.cog(idempotent=True)
def wait() -> str:
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    pathlib.Path("ended").touch()
    return "done"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="process Cogs and commands are for Linux")
@pytest.mark.parametrize("kind", ["command", "process"])
def test_x8_what_had_ended_while_the_engine_was_stopped_has_answered(tmp_path, kind):
    """It was TIMED_OUT, and would have run again, although it had succeeded in time."""

    (tmp_path / "script.py").write_text(SIGSTOP_SCRIPT)
    (tmp_path / "cogs_of_mine.py").write_text(COGS)
    environment = {**os.environ, "PYTHONPATH": f"{PACKAGE}:{tmp_path}", "COGWORK_RUNTIME_DIR": str(tmp_path / "run")}
    engine = subprocess.Popen(
        [sys.executable, "script.py", kind], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    _await(tmp_path / "begun", engine)
    engine.send_signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    _await(tmp_path / "ended", engine)
    time.sleep(7)  # longer than the time-out, from when it began
    engine.send_signal(signal.SIGCONT)
    said, _ = engine.communicate(timeout=120)
    assert said.split() == ["SUCCESS", "done"]


def _await(path: pathlib.Path, process) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, f"{path.name} does not come"
        assert time.monotonic() < deadline, f"{path.name} does not come"
        time.sleep(0.01)


def test_x8_the_longest_lengths_of_time_are_no_nonsense(engine, make_cog):
    """Sums near the end of what a clock counts, and nothing times infinity."""
    tries = []

    def flaky() -> None:
        tries.append(1)
        if len(tries) < 40:
            raise ValueError

    longest = timedelta(days=10_000_000)
    job = (
        make_cog(flaky, idempotent=True).job().replace(timeout=longest, retries=100, retry_delay=0, retry_backoff=1e300)
    )
    fine = make_cog(lambda: True, idempotent=True)
    labor = cw.Labor(
        "l",
        tasks=[
            cw.Task("t", sequences=[cw.Sequence("s", jobs=[job])]),
            cw.Task("bakes", sequences=[cw.Sequence("s", jobs=[fine.job()])], cont_checks=[fine.job()], bake=longest, cont_check_interval=longest),
        ],
    )  # fmt: skip
    handle = engine.submit(labor)
    while handle.read()["bakes"]["s"].state is not State.COMPLETED:
        time.sleep(0.01)
    assert len(tries) == 40
    assert "bakes" in handle.progress().tasks[1].waiting
    handle.stop().wait()
    too_long = timedelta.max
    with pytest.raises(cw.ValidationError):
        engine.submit(
            cw.Labor("l", tasks=[cw.Task("t", bake=too_long, sequences=[cw.Sequence("s", jobs=[fine.job()])])])
        )
