"""The errors of cogwork.

    CogworkError
     |- ValidationError    a tree that may not be submitted; `.errors` says what and where    (S1, S2)
     |- SignalNotAllowed   the state of a Labor does not allow a signal; `.signal`, `.state`  (G2)
     |- NotFound           no such id, or name                                                (T1)
     |- StoreInUse         another engine owns the store; the message names it                (R1)
     |- StorageError       the store failed; `.temporary`: waiting may mend it                (D6)
     |- CogError           a Cog could not be registered, found or used                       (C1)
     |- ResourceError      no thread, descriptor or memory is to be had; waiting may help
     |- LaborFailed        raised by `raise_for_state`; `.labor` is the Labor as it ended
     '- EngineClosed       a call to, or a wait on, an engine that closed

A message says what was wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._model import Labor, Signal, State
    from ._storage import Owner


class CogworkError(Exception):
    """Whatever cogwork raises derives from this."""


class CogworkWarning(UserWarning):
    """What somebody should know although nothing failed: an engine that closes and leaves Labors unfinished."""


@dataclass(frozen=True)
class Issue:
    """One fault in a submitted tree. `place, message = issue` takes it apart."""

    place: str
    """Where, as S1 writes it: `Task[0].Sequence[2].Job[1] ('rest', 'edge-7')`. Empty for the Labor itself."""
    message: str
    count: int = 1
    """How many neighbours have the same fault, this one included."""

    def __iter__(self) -> Iterator[str]:
        yield self.place
        yield self.message

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return text if self.count == 1 else f"{text} (and {self.count - 1} more like it)"


class ValidationError(CogworkError):
    """A tree that may not be submitted. Nothing was stored (S1)."""

    def __init__(self, errors: Iterable[Issue | tuple[str, str, int]]) -> None:
        self.errors: list[Issue] = [error if isinstance(error, Issue) else Issue(*error) for error in errors]
        lines = "".join(f"\n  {error}" for error in self.errors)
        super().__init__(f"the Labor cannot be submitted, and nothing was stored:{lines}")

    def __reduce__(self) -> tuple[type[ValidationError], tuple[list[Issue]]]:
        return ValidationError, (self.errors,)


class SignalNotAllowed(CogworkError):
    """The state of a Labor does not allow a signal (G2)."""

    def __init__(self, message: str, signal: int = -1, state: int = 0) -> None:
        super().__init__(message)
        self._signal = signal
        self._state = state

    @property
    def signal(self) -> Signal | None:
        """The signal; None where it was `start`."""
        from ._model import Signal

        return Signal(self._signal) if self._signal >= 0 else None

    @property
    def state(self) -> State:
        """The state that does not allow it."""
        from ._model import State

        return State(self._state)


class NotFound(CogworkError):
    """There is no object of that id, or name (T1)."""


class StoreInUse(CogworkError):
    """Another engine owns the store; the message names it (R1). Of a client: an engine owns it that cannot be reached, and the message also
    says where it was looked for, and what helps."""

    def __init__(self, message: str = "", owner: Owner | None = None) -> None:
        super().__init__(message)
        self.owner = owner
        """Who owns it, as a store of one's own tells the engine: one that is `brief` is waited for."""


class StorageError(CogworkError):
    """A store failed."""

    def __init__(self, message: str = "", temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary
        """Whether waiting may mend it: a full disk does pass, a value that is too large does not (D6)."""


class CogError(CogworkError):
    """A Cog could not be registered, found or used."""


class ResourceError(CogworkError):
    """The system gives no thread, no descriptor or no memory now. Nothing else is lost, and trying again may help."""


class LaborFailed(CogworkError):
    """Raised by `Labor.raise_for_state` where the Labor did not complete."""

    def __init__(self, labor: Labor) -> None:
        super().__init__(str(labor))
        self.labor = labor

    def __reduce__(self) -> tuple[type[LaborFailed], tuple[Labor]]:
        return LaborFailed, (self.labor,)


class EngineClosed(CogworkError):
    """A call to an engine that is closed, or a wait that its closing ended."""


class NoRetry(Exception):
    """Raise it in a Cog to say: this failed, and trying again would not help (FAILURE_NO_RETRIES, X8)."""


for _error in (
    CogworkError,
    CogworkWarning,
    Issue,
    ValidationError,
    SignalNotAllowed,
    NotFound,
    StoreInUse,
    StorageError,
    CogError,
    ResourceError,
    LaborFailed,
    EngineClosed,
    NoRetry,
):
    _error.__module__ = "cogwork"  # as users know them, in tracebacks too
