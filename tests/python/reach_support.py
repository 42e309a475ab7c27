"""Engines in processes of their own - of other users, in other namespaces, with other environments - for the tests of how they are reached."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest
from cli_support import PATIENCE

import cogwork as cw

PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)
NOBODY = 65534

SCRIPT = """
import sys
import cogwork as cw

@cw.cog(idempotent=True)
def nap(ctx: cw.Context) -> None:
    ctx.sleep(600)

with cw.Engine(sys.argv[1], grace=0.1) as engine:
    labor = cw.Labor("rollout", tasks=[cw.Task("all", sequences=[cw.Sequence("h0", jobs=[nap.job()]), cw.Sequence("h1", jobs=[nap.job()])])])
    handle = engine.submit(labor)
    print("ready", handle.id, *engine.control.addresses, flush=True)
    handle.wait()
"""

_PLACES = ("XDG_RUNTIME_DIR", "TMPDIR", "HOME")


def environment(**env: str | os.PathLike[str]) -> dict[str, str]:
    """This process's, without what says where things are, but for its COGWORK_RUNTIME_DIR and what is given."""
    kept = {key: value for key, value in os.environ.items() if key not in _PLACES}
    path = os.pathsep.join([PACKAGE, *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **{key: os.fspath(env[key]) for key in env}}


class EngineProcess:
    """An engine on a store, with a Labor that naps. `labor` is its id, `addresses` where it says that it listens."""

    def __init__(self, db: str | os.PathLike[str], *before: str, cwd: pathlib.Path | None = None, **env: str) -> None:
        """before: what starts it, as ["setpriv", ...]."""
        self.process = subprocess.Popen(
            [*before, sys.executable, "-W", "ignore", "-c", SCRIPT, os.fspath(db)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape", cwd=cwd, env=environment(**env),
        )  # fmt: skip
        assert self.process.stdout is not None
        word, *rest = self.process.stdout.readline().split() or [""]
        if word != "ready":
            self.process.kill()
            raise AssertionError(f"no engine: {self.process.communicate(timeout=PATIENCE)[1]}")
        self.labor, *self.addresses = rest

    @property
    def path(self) -> pathlib.Path:
        """Of its socket."""
        return pathlib.Path(next(text for text in self.addresses if "path=" in text).partition("=")[2])

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


def asks(db: pathlib.Path, *before: str, timeout: float = 20, **env: str) -> str:
    """What a client in a process of its own says: the engine's pid as that says it, "none", or why not."""
    code = f"""
import sys, cogwork as cw
with cw.connect(sys.argv[1], timeout={timeout}) as client:
    try: print(client.engine.pid if client.engine else "none")
    except cw.StoreInUse as error: print(error)
"""
    command = [*before, sys.executable, "-c", code, os.fspath(db)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 2, env=environment(**env))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def user(uid: int) -> Sequence[str]:
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")


def _works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command], capture_output=True, timeout=PATIENCE, env=environment()).returncode == 0


def needs_other_users() -> None:
    """Skips where this user cannot become another one, or that one cannot run Python."""
    if os.geteuid() != 0 or not _works(*user(NOBODY), sys.executable, "-c", "import cogwork"):
        pytest.skip("only root can become somebody else, who must be able to read the interpreter")


def needs_namespaces(*kinds: str) -> Sequence[str]:
    """What enters new namespaces; skips where that is not allowed."""
    command = ("unshare", *kinds)
    if not _works(*command, "true"):
        pytest.skip(f"no namespaces here: {' '.join(command)}")
    return command


def open_to_all(folder: pathlib.Path) -> None:
    """Lets other users come as far as this folder."""
    for one in (folder, *folder.parents):
        if str(one).startswith("/tmp/"):
            one.chmod(0o755)
