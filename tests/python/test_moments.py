"""Datetimes that name no moment are errors that say what to write; so is what is none."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone

import pytest

import cogwork as cw

NAIVE = datetime(2026, 3, 1, 10, 2)
EAST = timezone(timedelta(hours=14))
WEST = timezone(timedelta(hours=-12))
BAD = [
    (NAIVE, ValueError, "no time zone"),
    (datetime.max, ValueError, "no time zone"),
    (datetime(1, 1, 1, 3, tzinfo=EAST), ValueError, "years 1 and 9999"),
    (datetime(9999, 12, 31, 13, tzinfo=WEST), ValueError, "years 1 and 9999"),
    (date(2026, 3, 1), TypeError, "astimezone"),
    ("2026-03-01", TypeError, "fromisoformat"),
    (1_750_000_000, TypeError, "fromtimestamp"),
    (timedelta(hours=-1), TypeError, "aware datetime"),
]
GOOD = [
    datetime(1, 1, 1, tzinfo=timezone.utc),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
    datetime(2026, 3, 1, tzinfo=EAST),
]


@cw.cog(idempotent=True, name="quick of moments")
def quick() -> int:
    return 1


def labor(name: str = "l") -> cw.Labor:
    return cw.Labor(name, tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[quick.job()])])])


@pytest.mark.parametrize(("given", "error", "words"), BAD)
@pytest.mark.parametrize("field", ["submit_begin", "submit_end"])
def test_t3_a_filter_takes_moments(field, given, error, words):
    with pytest.raises(error, match=words) as caught:
        cw.LaborFilter(**{field: given})
    assert field in str(caught.value)
    later = cw.LaborFilter()
    setattr(later, field, given)
    with cw.Engine("memory:") as engine, pytest.raises(error, match=words):
        list(engine.search(later))


def test_t3_moments_at_the_ends_of_the_calendar(tmp_path):
    with cw.Engine(tmp_path / "labors.db") as engine:
        engine.run(labor())
        for moment in GOOD:
            found = [
                len(list(engine.search(cw.LaborFilter(submit_begin=moment)))),
                len(list(engine.search(cw.LaborFilter(submit_end=moment)))),
            ]
            assert sorted(found) == [0, 1], moment


@pytest.mark.parametrize(("given", "error", "words"), [case for case in BAD if not isinstance(case[0], int)])
def test_d7_at_takes_moments(tmp_path, given, error, words):
    with cw.Engine(tmp_path / "labors.db") as engine:
        done = engine.run(labor())
        for at in (engine.at, cw.open_store(tmp_path / "labors.db").at):
            with pytest.raises(error):
                at(done.id, given)
        with pytest.raises(ValueError, match="not there yet"):
            engine.at(done.id, GOOD[0])
        assert engine.at(done.id, GOOD[1]).state == cw.State.COMPLETED


def test_m2_a_clock_that_stands_before_1970(tmp_path):
    shim = tmp_path / "clock.so"
    (tmp_path / "clock.c").write_text(
        "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n"
        "int clock_gettime(clockid_t c, struct timespec* t) {\n"
        "  int r = syscall(SYS_clock_gettime, c, t);\n"
        "  if (c == CLOCK_REALTIME) t->tv_sec -= 2000000000;\n  return r;\n}\n"
    )
    if (
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "clock.c"], capture_output=True).returncode
        != 0
    ):
        pytest.skip("no C compiler")
    code = (
        "import cogwork as cw, sys\nsys.path.insert(0, sys.argv[1])\nimport test_moments as t\n"
        "with cw.Engine('labors.db') as e:\n    done = e.run(t.labor())\n"
        "    attempt = done['t']['a'][0].attempts[0]\n"
        "    assert done.submitted <= done.started <= attempt.started <= attempt.ended <= done.ended, done\n"
        "    assert [l.id for l in e.search(cw.LaborFilter(submit_begin=done.submitted))] == [done.id]\n"
        "assert cw.doctor('labors.db').findings == []\n"
    )
    import os
    import pathlib

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(pathlib.Path(__file__).parent)],
        cwd=tmp_path, env={**os.environ, "LD_PRELOAD": str(shim)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
