"""Help for testing what is built on cogwork.

`check_storage`: whether a store keeps its contract (section 7). `FaultyStorage`: any store, that fails, takes its time, or ends the process at
the n-th write. `failing_disk`: a disk that is full or broken, below a SQLite store.
"""

from ._failing_disk import FaultyDisk, failing_disk
from ._faulty_storage import FaultyStorage
from ._storage_suite import check_storage, storage_checks

__all__ = ["FaultyDisk", "FaultyStorage", "check_storage", "failing_disk", "storage_checks"]
