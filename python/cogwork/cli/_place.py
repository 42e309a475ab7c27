"""Where a Labor of the shell runs: in an engine of this process, or in the one that owns the file already."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
import warnings

from .. import _advice
from .._client import Client, connect
from .._codec import name_program
from .._display import BEAT
from .._engine import Engine
from .._errors import CogError, CogworkWarning, EngineClosed, SignalNotAllowed, StoreInUse
from .._expected import expected
from .._handle import LaborHandle
from .._line import EngineInfo
from .._model import Labor, LaborFilter, State
from .._text import shown
from .._waiting import wait_for
from . import _streams
from ._app import Refused
from ._closing import close
from ._ids import UNFINISHED
from ._signals import Interrupts

_PATIENCE = 10.0
"""Seconds for an engine that is just opening or closing."""


def open_engine(db: str, words: list[str], workers: int, recover: str, interrupts: Interrupts) -> Engine:
    """An engine of this process. One that is about to close is waited for, and so is somebody who leaves a signal. words: what this command is told, as
    others are told who owns the store. StoreInUse where another one stays, KeyboardInterrupt."""
    name_program(shlex.join(["cogwork", *words]))
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CogworkWarning)  # the shell says it
                return Engine(db, recover=recover, workers=workers)
        except StoreInUse:
            if _stays(db) or time.monotonic() >= give_up:
                raise
            if interrupts.wait(BEAT):
                raise KeyboardInterrupt from None


def _stays(db: str) -> bool:
    """Whether an engine has the store that can be reached, and does not close."""
    with connect(db) as client, contextlib.suppress(EngineClosed):
        return client.engine is not None and not client.stats().closing
    return False


class Place:
    """Somebody who runs Labors of a store: `steer` is an Engine of this process, or a Client of the one that owns it."""

    def __init__(self, steer: Engine | Client, db: str) -> None:
        self.steer = steer
        self.db = db
        self.owner: EngineInfo | None = None if isinstance(steer, Engine) else steer.engine
        """The engine of another process; None where it is this one's, or that one is gone."""
        self.left: list[Labor] = []
        """What this process ran and had not ended when it was closed."""

    @staticmethod
    def find(db: str, words: list[str], workers: int, interrupts: Interrupts) -> Place:
        """Opens an engine on the store, which takes up nothing by itself; or reaches the one that owns it. words: what this command is told to run.
        Raises StoreInUse where there is one that cannot be reached, StorageError."""
        try:
            place = Place(open_engine(db, ["run", *words], workers, "later", interrupts), db)
            _streams.will_show()
            return place
        except StoreInUse:
            client = connect(db)
            if client.engine is None:
                client.close()
                raise
            return Place(client, db)

    @property
    def own(self) -> bool:
        return isinstance(self.steer, Engine)

    @property
    def goes_with_its_labor(self) -> bool:
        """Whether the engine is that of another `cogwork run`, which ends when it has nothing to do any more."""
        return self.owner is not None and self.owner.program.startswith(_advice.RUN)

    def again(self) -> Place | None:
        """With the next engine of another process; None where there is none yet."""
        self.owner = None
        with contextlib.suppress(StoreInUse):  # it cannot be reached yet
            self.owner = None if isinstance(self.steer, Engine) else self.steer.engine
        return self if self.owner else None

    def close(self, interrupts: Interrupts) -> None:
        """Idempotent."""
        if not isinstance(self.steer, Engine):
            self.steer.close()
        elif not self.steer.closed:
            mine = self.mine()
            close(self.steer, interrupts)
            self.left = [
                labor for labor in (self.steer.read_labor(one.id, False) for one in mine) if not labor.state.ended
            ]

    def mine(self) -> list[Labor]:
        """What the engine runs, or has paused: of an engine that took up nothing by itself, all that is unfinished and does not wait."""
        waiting = {waits.labor_id for waits in self.steer.stats().waiting}
        return [labor for labor in self.steer.search(LaborFilter(states=UNFINISHED)) if labor.id not in waiting]

    def runs_others(self, id: str) -> list[Labor]:
        """What it runs at this moment beside that Labor."""
        if not self.own or self.steer.stats().labors.executing == 0:
            return []
        return [
            labor
            for labor in self.mine()
            if labor.id != id
            and not LaborHandle(self.steer, labor.id).state.paused
            and labor.state != State.ADMIN_NOT_STARTED
        ]

    # ---- Labors ----

    def submit(self, labor: Labor, interrupts: Interrupts, start: bool = True) -> LaborHandle:
        """The handle, once the Labor is stored, and goes on if it was before. Refused where the engine has other Cogs than this process.

        Interrupted meanwhile it is still waited for, as it may begin in that very moment - but not where the store fails, or at the second
        time: KeyboardInterrupt."""
        steer = self.steer
        try:
            pending = (
                steer._submit(labor, start, None)
                if isinstance(steer, Engine)
                else steer._submit(labor, start, None, expected(labor))
            )
            self._wait(pending, interrupts)
            handle = LaborHandle(steer, pending.result())
        except CogError as error:
            if self.owner is None:
                raise
            modules = [_advice.as_typed(origin.partition(":")[0]) for origin, _ in expected(labor).values()]
            raise Refused(f"{self.who()} cannot run it: {error}\n{self._start_again(modules)}") from None
        if labor.client_id and start:
            with contextlib.suppress(SignalNotAllowed):  # it has ended, or waits for Cogs: watching it says so
                steer.take_up(handle.id)
        return handle

    def _wait(self, pending: object, interrupts: Interrupts) -> None:
        while not wait_for(pending.completion, BEAT):  # type: ignore[attr-defined]
            stats = self.steer.stats()
            if interrupts.count > 1 or (interrupts.count and stats.degraded):
                why = f", as the store fails: {shown(stats.degraded_reason)}" if stats.degraded else ""
                print(f"cogwork: interrupted before the Labor was stored{why}", file=sys.stderr, flush=True)
                raise KeyboardInterrupt

    def take_up(self, labor: Labor) -> None:
        """A Labor that is stored goes on here, if it has not ended meanwhile. Refused where its Cogs are not known."""
        try:
            self.steer.take_up(labor.id)
        except SignalNotAllowed as error:
            if self.steer.read_labor(labor.id, False).state.ended:
                return
            if self.owner is None:
                raise
            modules = _advice.sources(labor)
            raise Refused(f"{self.who()} cannot go on with it: {error}\n{self._start_again(modules)}") from None

    # ---- words ----

    def who(self) -> str:
        return who(self.owner) if self.owner else "this process"

    def _start_again(self, modules: list[str]) -> str:
        assert self.owner is not None
        lines = _advice.restart(self.owner, modules, self.db)
        if not lines:
            return "It is for that program to import them; or take another file for this Labor, with --db"
        return "\n  ".join(["Start it again with them; what it runs goes on then:", *lines])


def who(engine: EngineInfo) -> str:
    """An engine in words."""
    program = f" ({shown(engine.program)})" if engine.program else ""
    return f"the engine of process {engine.pid}{program}"
