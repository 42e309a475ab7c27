"""Every public callable - of engines, clients, handles, acks, feeds, stores, Cogs, and the package itself - in every situation: it works, or says
in an error of cogwork's own why not. It never hangs, brings nothing down, loses no id, and leaves nothing behind.

`every_callable.py` says how each is called, `every_situation.py` calls them: all of them in one process for each situation.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

import every_callable
import every_situation
import pytest

HERE = pathlib.Path(__file__).parent
PATIENCE = 110
START = """
import atexit, pathlib, sys
after, late = [], []
atexit.register(lambda: [call() for call in after])  # before cogwork's own, which comes first then
sys.path.insert(0, sys.argv[1])
import every_situation
every_situation.main(sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4]), after, late)
"""
SITUATIONS = [*every_situation.SITUATIONS, *every_situation.ENDS]
ENDS = every_situation.ENDS
FACES = every_callable.faces()

REFUSED = {
    "take_up": "SignalNotAllowed",
    "decide": "SignalNotAllowed",
    "adecide": "SignalNotAllowed",
    "resume": "SignalNotAllowed",
    "admin_resume": "SignalNotAllowed",
    "crisis_resume": "SignalNotAllowed",
    "wait, of one that goes on": "TimeoutError",
    "at": "ValueError",  # there is no such change
    "lock": "StorageError",  # of a reader
    "apply": "StorageError",
    **{f"write_{kind}": "StorageError" for kind in ("labor", "labor_state", "task", "sequence", "job")},
}
"""What may be raised where nothing is wrong."""

STEERING = ("crisis_pause", "crises", "stats", "signal", "changes", "search", "__repr__")
RED_BUTTON = {
    *(f"{of}.{name}" for of in ("Engine", "Client") for name in (*STEERING, "crisis_resume")),
    *(f"{of}.{name}" for of in ("Engine", "Client") for name in ("close", "__exit__", "__aexit__")),
    "Engine.close, interrupt",
    "Engine.submit",
    *(
        f"{kind}Handle of {on}.{name}"
        for kind in ("Labor", "Task", "Sequence")
        for on in ("an Engine", "a Client")
        for name in ("pause", "admin_pause", "crisis_pause", "stop", "state")
    ),
    *(
        f"LaborHandle of {on}.{name}"
        for on in ("an Engine", "a Client")
        for name in ("progress", "stop, interrupt", "start")
    ),
    *(f"Ack of {on}.{name}" for on in ("an Engine", "a Client") for name in ("done", "applied", "state")),
    *(f"Latch of {on}.durable" for on in ("an Engine", "a Client")),
}
"""What works wherever an engine lives: whatever is not to be had, and whoever calls."""
ENGINE_LIVES = ("nothing wrong", "no descriptor", "no thread", "-W error", "a Cog", "an async Cog", "the loop's thread")

OF_A_PARENT = (
    "Engine",
    "Engine on a store of one's own",
    "LaborHandle of an Engine",
    "TaskHandle of an Engine",
    "SequenceHandle of an Engine",
    "Client",
)
NEEDS_NO_THREADS = {
    "__repr__", "_repr_html_", "__init__", "close", "close, interrupt", "close, with Labors left", "__enter__", "__exit__", "__aenter__",
    "__aexit__", "store", "cogs",
}  # fmt: skip
"""What an object that was made before a fork may do in the child without an error."""


class Outcome(NamedTuple):
    """What came of one situation."""

    calls: dict[str, dict[str, Any]]
    left: dict[str, Any] | None
    status: int
    stderr: str
    last: dict[str, Any]
    said: list[dict[str, Any]]


def _large_stacks() -> None:
    resource.setrlimit(resource.RLIMIT_STACK, (every_situation.STACK, resource.RLIM_INFINITY))


_two = concurrent.futures.ThreadPoolExecutor(2)
_begun: dict[str, concurrent.futures.Future[Outcome]] = {}


def outcome(situation: str) -> Outcome:
    """While it is waited for the next situation is under way."""
    place = SITUATIONS.index(situation)
    for one in SITUATIONS[place : place + 2]:
        if one not in _begun:
            _begun[one] = _two.submit(_outcome, one)
    return _begun[situation].result()


def _outcome(situation: str) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="cogwork-every-", ignore_cleanup_errors=True) as folder,
        open(os.path.join(folder, "err"), "w+") as err,
    ):
        read, write = os.pipe()
        process = subprocess.Popen(
            [
                sys.executable,
                *(["-W", "error"] if situation == "-W error" else []),
                "-c",
                START,
                str(HERE),
                situation,
                folder,
                str(write),
            ],
            cwd=folder,
            pass_fds=[write],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            preexec_fn=_large_stacks if situation == "no thread" else None,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            said = [json.loads(line) for line in pipe]
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # faulthandler says where it hangs
            process.send_signal(signal.SIGABRT)
            status = process.wait()
        err.seek(0)
        calls = {one["call"]: one for one in said if "call" in one}
        left = next((one["left"] for one in said if "left" in one), None)
        return Outcome(calls, left, status, err.read(), said[-1] if said else {}, said)


def test_every_public_name_has_a_row():
    missing = []
    for name, face in FACES.items():
        found = {row.partition(",")[0] for row in every_callable.every_row(face)}
        names = set(every_callable.members(face.of))
        missing += [f"{name}.{one}" for one in sorted(names - found) if one != "__init__"]
        unknown = sorted(found - names - {"__init__"} - every_callable.PROTOCOL)
        assert not unknown, f"{name} has no {unknown}"
    assert not missing, f"every_callable.py does not say how these are called: {missing}"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_call_came_back_and_the_process_ended_in_order(situation):
    came = outcome(situation)
    assert came.status == 0, (came.status, came.last, came.stderr[-4000:])
    wanted = {f"{name}.{row}" for name, face in FACES.items() for row in every_callable.every_row(face)}
    assert wanted - set(came.calls) == set()
    for word in ("terminate", "Fatal", "Traceback", "Aborted", "Exception ignored"):
        assert word not in came.stderr, came.stderr[-4000:]
    for one in came.said:
        assert one.get("child", 0) == 0, "the forked child ended in order"
        assert one.get("cog", "COMPLETED") == "COMPLETED", one


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_works_or_says_why_not(situation, face):
    wrong = []
    for name, came in outcome(situation).calls.items():
        of, _, row = name.rpartition(".")
        if of != face or came["ok"]:
            continue
        if came["own"] and len(came["words"]) > 10:
            continue
        if came["kind"] == REFUSED.get(row):
            continue
        if situation == ENDS[-1] and (came["kind"] == "ImportError" or name == "cogwork.serve_cogs"):
            continue  # a module that is first needed when there are none any more, and a program's main function
        wrong.append(f"{name}: {came['kind']}: {came['words']} ({came['place']})")
    assert not wrong, "\n".join(wrong)


def test_where_nothing_is_wrong_each_works():
    wrong = {
        name: came
        for name, came in outcome("nothing wrong").calls.items()
        if not came["ok"] and came["kind"] != REFUSED.get(name.rpartition(".")[2])
    }
    assert not wrong


@pytest.mark.parametrize("situation", ENGINE_LIVES)
def test_what_a_person_needs_in_an_emergency_works_wherever_an_engine_lives(situation):
    calls = outcome(situation).calls
    failed = {name: calls[name] for name in RED_BUTTON if not calls[name]["ok"]}
    assert not failed


@pytest.mark.parametrize("face", OF_A_PARENT)
def test_in_a_forked_child_what_needs_the_parents_threads_says_so(face):
    calls = outcome("a forked child").calls
    names = {n: n.rpartition(".")[2] for n in calls if n.rpartition(".")[0] == face}
    reading = ("read", "search", "verify", "at") if face == "Client" else ()
    silent = [
        n
        for n, row in names.items()
        if row not in NEEDS_NO_THREADS
        and not row.startswith(reading or "-")
        and "fork" not in calls[n].get("words", "")
    ]
    assert not silent


@pytest.mark.parametrize("of", ["an Engine", "a Client"])
@pytest.mark.parametrize("situation", ["a Cog", "an async Cog"])
def test_in_a_cog_who_waits_for_its_own_labor_is_told(situation, of):
    calls = outcome(situation).calls
    for name in (
        f"LaborHandle of {of}.wait",
        f"LaborHandle of {of}.__await__",
        f"LaborHandle of {of}.watch",
        f"Ack of {of}.wait",
    ):
        assert "waits for itself" in calls[name]["words"], name


@pytest.mark.parametrize("of", ["Engine", "Client"])
@pytest.mark.parametrize("situation", ["an async Cog", "the loop's thread"])
def test_who_blocks_the_loop_that_its_labor_needs_is_told(situation, of):
    assert "blocks the event loop" in outcome(situation).calls[f"{of}.run"]["words"]


def test_without_a_descriptor_that_is_what_is_said():
    for name, came in outcome("no descriptor").calls.items():
        if (
            not came["ok"]
            and came["kind"] in ("StorageError", "ResourceError")
            and "opened for reading" not in came["words"]
        ):
            assert "ulimit -n" in came["words"], (name, came)


@pytest.mark.parametrize("situation", ENDS)
def test_when_python_ends_no_limit_is_blamed(situation):
    for name, came in outcome(situation).calls.items():
        assert "ulimit" not in came.get("words", ""), (name, came)


@pytest.mark.parametrize("situation", every_situation.SITUATIONS)
def test_nothing_is_left_behind_and_no_id_is_lost(situation):
    left = outcome(situation).left
    assert left is not None
    assert left["threads"][0] <= 0, left["threads"]
    assert left["descriptors"][0] <= 0, left["descriptors"]
    assert left["children"] == []
    assert left["in use"] == [], "another engine opens each store"
    assert left["damage"] == []
    assert left["lost"] == [], "what was submitted is stored"
    assert left["unknown"] == [], "what was refused is not"
