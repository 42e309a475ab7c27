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
        "LaborFailed",
        "EngineClosed",
    ):
        assert issubclass(getattr(cw, name), cw.CogworkError)
