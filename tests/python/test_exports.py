"""The public names, as a list under test."""

from __future__ import annotations

import inspect

import cogwork as cw
from cogwork import testing


def test_all_is_sorted_and_complete():
    assert cw.__all__ == sorted(cw.__all__)
    assert len(set(cw.__all__)) == len(cw.__all__)
    for name in cw.__all__:
        assert getattr(cw, name) is not None


def test_public_objects_say_what_they_are_for():
    documented = [
        cw.Engine,
        cw.Labor,
        cw.Task,
        cw.Sequence,
        cw.Job,
        cw.Ack,
        cw.LaborHandle,
        cw.Storage,
        cw.SimpleStorage,
        cw.cog,
        cw.ProcessCog,
        cw.process_cog,
        cw.serve_cogs,
    ]
    for obj in [*documented, testing.check_storage]:
        assert obj.__doc__
        for name, member in vars(obj).items():
            if callable(member) and not name.startswith("_"):
                assert inspect.getdoc(getattr(obj, name)), f"{obj.__name__}.{name} has no docstring"


def test_every_error_is_a_cogwork_error():
    for name in (
        "ValidationError",
        "SignalNotAllowed",
        "NotFound",
        "StoreInUse",
        "StorageError",
        "CogError",
        "ResourceError",
        "LaborFailed",
        "EngineClosed",
    ):
        assert issubclass(getattr(cw, name), cw.CogworkError)


def test_m3_m4_m5_numbers_are_the_contracts():
    assert {s.name: int(s) for s in cw.State} == {
        "UNKNOWN": 0,
        "NOT_STARTED": 1,
        "ADMIN_NOT_STARTED": 2,
        "RUNNING": 3,
        "PAUSING": 4,
        "PAUSED": 5,
        "ADMIN_PAUSED": 6,
        "CRISIS_PAUSED": 7,
        "COMPLETED": 8,
        "FAILED": 9,
        "STOPPING": 10,
        "STOPPED": 11,
    }
    assert [r.name for r in cw.Reason] == ["NO_FAILURE", "PRE_CHECK_FAILURE", "CONT_CHECK_FAILURE", "MAX_FAILURES"]
    assert [r.value for r in cw.Reason] == [0, 1, 2, 3]
    assert [s.name for s in sorted(cw.Signal)] == [
        "STOP",
        "PAUSE",
        "CRISIS_PAUSE",
        "ADMIN_PAUSE",
        "RESUME",
        "CRISIS_RESUME",
        "ADMIN_RESUME",
    ]
