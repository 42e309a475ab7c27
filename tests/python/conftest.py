"""What the tests share: an engine on a store of each kind, and small Labors."""

from __future__ import annotations

import itertools
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import cogwork as cw

_names = itertools.count(1)

# Run in the background of a shell or under nohup, tests would inherit that these are ignored, and so would the processes that they
# send them to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=["memory", "sqlite"])
def spec(request, tmp_path) -> str | pathlib.Path:
    return "memory:" if request.param == "memory" else tmp_path / "labors.db"


@pytest.fixture
def engine(spec) -> Iterator[cw.Engine]:
    with cw.Engine(spec, grace=0.2) as opened:
        yield opened


@pytest.fixture
def patient(spec) -> Iterator[cw.Engine]:
    """Its grace is long: for calls that end when they are asked to, however late a loaded machine wakes them."""
    with cw.Engine(spec, grace=30) as opened:
        yield opened


_figures = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(request) -> Callable[[str], None]:
    """Says what was measured, at the end of the run: figures that a loaded machine would break as assertions."""
    said: list[str] = request.config.stash.setdefault(_figures, [])
    return said.append


def pytest_terminal_summary(terminalreporter, config) -> None:
    if said := config.stash.get(_figures, []):
        terminalreporter.section("measured")
        for line in said:
            terminalreporter.line(line)


@pytest.fixture
def make_cog() -> Callable[..., cw.Cog]:
    """Registers a function under a name that no other test has."""

    def make(function, **options) -> cw.Cog:
        return cw.cog(name=f"{function.__name__}_{next(_names)}", **options)(function)

    return make


class Gate:
    """Calls wait in it until the test opens it; it counts who is inside."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._changed = threading.Condition()
        self.inside = 0
        self.most = 0
        self.entered = 0

    def __call__(self) -> None:
        with self._changed:
            self.inside += 1
            self.entered += 1
            self.most = max(self.most, self.inside)
            self._changed.notify_all()
        self._opened.wait(30)
        with self._changed:
            self.inside -= 1
            self._changed.notify_all()

    def open(self) -> None:
        self._opened.set()

    def wait_for(self, entered: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered >= entered, 30), f"{self.entered} came, not {entered}"


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


def wait_until_alone(client: cw.Client) -> None:
    """Until the client has heard that its engine is gone: that comes over a socket, a moment after the engine has closed."""
    until = time.monotonic() + 30
    while client.engine is not None:
        assert time.monotonic() < until, "it never heard that the engine is gone"
        time.sleep(0.005)


def one(*jobs: cw.Job, target: str = "host", name: str = "labor", **task) -> cw.Labor:
    """A Labor of one Task with one Sequence."""
    return cw.Labor(name, tasks=[cw.Task("task", sequences=[cw.Sequence(target, jobs=list(jobs))], **task)])


def many(job: Callable[[int], cw.Job], count: int, name: str = "labor", **task) -> cw.Labor:
    """A Labor of one Task with `count` Sequences of one Job."""
    sequences = [cw.Sequence(f"host-{n}", jobs=[job(n)]) for n in range(count)]
    return cw.Labor(name, tasks=[cw.Task("task", sequences=sequences, **task)])
