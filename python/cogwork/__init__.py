"""cogwork: a durable, embeddable workflow engine for changes to fleets.

    >>> import cogwork as cw
    >>> @cw.cog(timeout=30, retries=2)
    ... def upgrade(host: str, version: str) -> str:
    ...     return f"{host} runs {version}"
    >>> sequence = cw.Sequence("edge-1", jobs=[upgrade.job(host="edge-1", version="2.1")])
    >>> labor = cw.Labor("edge upgrade", tasks=[cw.Task("canary", sequences=[sequence])])
    >>> with cw.Engine("labors.db") as engine:
    ...     engine.run(labor).state.name
    'COMPLETED'

The docs have a quickstart: docs/quickstart.md.
"""

from . import _early  # noqa: F401 - before all else
from ._client import Client, connect
from ._cog import Cog, ContextCog, cog
from ._command import CommandCog, command
from ._context import Context
from ._core import __version__
from ._doctor import Checkup, doctor
from ._engine import Engine
from ._errors import (
    CogError,
    CogworkError,
    CogworkWarning,
    EngineClosed,
    Issue,
    LaborFailed,
    NoRetry,
    NotFound,
    ResourceError,
    SignalNotAllowed,
    StorageError,
    StoreInUse,
    ValidationError,
)
from ._frame import to_frame
from ._handle import Ack, Changes, LaborHandle, SequenceHandle, TaskHandle
from ._history import Finding
from ._latch import Executing, Latch
from ._line import EngineInfo
from ._logs import LogLine, Logs
from ._model import (
    Attempt,
    AttemptStatus,
    Change,
    ChangeKind,
    Decision,
    EngineEvent,
    Failure,
    Hold,
    Job,
    Labor,
    LaborFilter,
    OnInterrupt,
    Rank,
    Reason,
    Sequence,
    Signal,
    State,
    Task,
)
from ._process import ProcessCog, process_cog
from ._progress import HeldJob, Progress, Stats
from ._search import SearchResult
from ._serve import serve_cogs
from ._storage import (
    Batch,
    HistoryRow,
    Owner,
    Reader,
    Record,
    RecordKind,
    Searcher,
    SimpleStorage,
    Storage,
    WriteKind,
    Writer,
    open_store,
    register_store,
    stores,
)
from ._timeline import timeline

__all__ = [
    "Ack",
    "Attempt",
    "AttemptStatus",
    "Batch",
    "Change",
    "ChangeKind",
    "Changes",
    "Checkup",
    "Client",
    "Cog",
    "CogError",
    "CogworkError",
    "CogworkWarning",
    "CommandCog",
    "Context",
    "ContextCog",
    "Decision",
    "Engine",
    "EngineClosed",
    "EngineEvent",
    "EngineInfo",
    "Executing",
    "Failure",
    "Finding",
    "HeldJob",
    "HistoryRow",
    "Hold",
    "Issue",
    "Job",
    "Labor",
    "LaborFailed",
    "LaborFilter",
    "LaborHandle",
    "Latch",
    "LogLine",
    "Logs",
    "NoRetry",
    "NotFound",
    "OnInterrupt",
    "Owner",
    "ProcessCog",
    "Progress",
    "Rank",
    "Reader",
    "Reason",
    "Record",
    "RecordKind",
    "ResourceError",
    "SearchResult",
    "Searcher",
    "Sequence",
    "SequenceHandle",
    "Signal",
    "SignalNotAllowed",
    "SimpleStorage",
    "State",
    "Stats",
    "Storage",
    "StorageError",
    "StoreInUse",
    "Task",
    "TaskHandle",
    "ValidationError",
    "WriteKind",
    "Writer",
    "__version__",
    "cog",
    "command",
    "connect",
    "doctor",
    "open_store",
    "process_cog",
    "register_store",
    "serve_cogs",
    "stores",
    "timeline",
    "to_frame",
]
