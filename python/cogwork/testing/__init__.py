"""Help for testing what is built on cogwork. `check_storage`: whether a store keeps its contract (section 7)."""

from ._storage_suite import check_storage, storage_checks

__all__ = ["check_storage", "storage_checks"]
