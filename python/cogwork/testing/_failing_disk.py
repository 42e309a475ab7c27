"""A disk that fails as it is told, below the file of one SQLite store (D6)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

from .. import _core

Fault = Literal["full", "short", "write", "sync", "read", "io"]

# The numbers of DiskFault, in cpp/cogwork/storage/faulty_disk.h.
_FAULTS: dict[str, int] = {"full": 1, "short": 2, "write": 3, "sync": 4, "read": 5, "io": 6}
_NONE = 0


class FaultyDisk:
    """The disk below a store, as `failing_disk` gives it. Any thread.

    The faults: "full", no write is taken; "short", half of a write is, and then the disk is full; "write", "sync" and "read", each write, fsync or
    read is an I/O error; "io", all three.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fsdecode(path)
        self._core = _core.faulty_disk(os.fsencode(path))

    def fail(self, fault: Fault, *, after: int = 0, times: int | None = None) -> None:
        """From now on, `after` more operations of the kind that the fault concerns are done; of the next, `times` fail, or all until `mend`."""
        if fault not in _FAULTS:
            raise ValueError(f"a disk's fault is one of {', '.join(_FAULTS)}, not {fault!r}")
        if after < 0 or (times is not None and times < 1):
            raise ValueError(f"after is 0 or more and times 1 or more, not after={after!r}, times={times!r}")
        self._core.fail(_FAULTS[fault], after, times)

    def mend(self) -> None:
        """From now on all is well."""
        self._core.fail(_NONE, 0, None)

    @property
    def writes(self) -> int:
        """How many writes came to the disk, those that failed too; of these and of the others, since the first use of this disk."""
        return self._core.figures()[0]

    @property
    def syncs(self) -> int:
        """How many times what was written was to be made durable (fsync)."""
        return self._core.figures()[1]

    @property
    def reads(self) -> int:
        """How many reads came to the disk."""
        return self._core.figures()[2]

    @property
    def failed(self) -> int:
        """How many of all these were made to fail."""
        return self._core.figures()[3]

    def __repr__(self) -> str:
        return f"<the disk below {self._path!r}>"


@contextlib.contextmanager
def failing_disk(
    path: str | os.PathLike[str], fault: Fault | None = None, *, after: int = 0, times: int | None = None
) -> Iterator[FaultyDisk]:
    """Below the SQLite store of that path a disk that fails, until it is left; or, without a fault, one that does once it is told to.

    path: of the store's file; nothing else in the process is touched. fault, after, times: as in `FaultyDisk.fail`. A store that is open already is
    not seen through it, unless it was opened inside another `failing_disk` of its path: so enter that first, and give faults inside.
    AssertionError where a fault was asked for and nothing came to the disk: the test would have tested nothing. Any thread; one fault
    at a time for each path.

    >>> from cogwork.testing import failing_disk
    >>> labor = cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[cw.command.job(["true"])])])])
    >>> with failing_disk("labors.db") as disk, cw.Engine("labors.db") as engine:
    ...     disk.fail("full", times=2)
    ...     engine.run(labor).state.name
    'COMPLETED'
    """
    disk = FaultyDisk(path)
    before = disk._core.figures()[:3]
    if fault is not None:
        disk.fail(fault, after=after, times=times)
    try:
        yield disk
    finally:
        disk.mend()
    *done, _, still_open = disk._core.figures()
    if fault is not None and tuple(done) == before and still_open == 0:
        raise AssertionError(
            f"nothing came to the disk of {disk._path}: its store was not opened, or before the first failing_disk of its path; "
            "enter `with failing_disk(path) as disk`, then open the engine, then call disk.fail"
        )
