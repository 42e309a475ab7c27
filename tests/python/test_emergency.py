"""The red button works in the emergency (G8, D6): whatever hangs or is not to be had, a crisis and a stop are taken, figures come, and close ends -
from inside the engine's process and over its socket.

Each engine is in a process of its own (emergency_host.py); a blocked request of another client is under way all the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

import cogwork as cw

HERE = pathlib.Path(__file__).parent
PATIENCE = 60
STACK = 1 << 30

HUNG_COG = f"""#!{sys.executable}
import os, pathlib, signal, threading
import cogwork as cw

@cw.cog(idempotent=True)
def hangs() -> None:
    pathlib.Path(os.environ["HUNG_BEGUN"]).touch()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Event().wait()

cw.serve_cogs()
"""


class Host:
    """The engine's process."""

    def __init__(self, folder: pathlib.Path, trouble: str) -> None:
        self.db = folder / "labors.db"
        self.trouble = trouble
        hung = folder / "hung"
        hung.write_text(HUNG_COG)
        hung.chmod(hung.stat().st_mode | stat.S_IXUSR)
        mute = folder / "mute"
        mute.write_text("#!/bin/sh\nexec sleep 600\n")
        mute.chmod(mute.stat().st_mode | stat.S_IXUSR)
        self.mute = str(mute)
        environment = {**os.environ, "HUNG_COG": str(hung), "HUNG_BEGUN": str(folder / "begun")}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "emergency_host.py"), str(self.db), trouble],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_large_stacks if trouble == "threads" else None,
        )
        about = self.hear()
        self.path, self.ended, self.waiting, self.running = (about[k] for k in ("path", "ended", "waiting", "running"))

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the engine's process has ended: {self.process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, word: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return within(self.hear, word)

    def end(self) -> int:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            raise


def _large_stacks() -> None:
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.RLIM_INFINITY))


def within(call: Callable[[], Any], what: str) -> Any:
    """What it returns; a failure where it does not return."""
    answer: list[Any] = []

    def run() -> None:
        try:
            answer.append(call())
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"{what} does not come back"
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def frame(value: dict[str, Any]) -> bytes:
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


def greeted(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(path)
    sock.sendall(frame({"id": 1, "op": "hello", "protocol": 1}))
    assert sock.recv(4096)
    return sock


@contextlib.contextmanager
def crowd(path: str, count: int) -> Iterator[None]:
    """So many clients that say nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        pytest.skip(f"this user may have {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    socks = [greeted(path) for _ in range(count)]
    try:
        yield
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def blocked_request(host: Host, client: cw.Client) -> None:
    """Of another client: what hangs in this trouble."""
    if host.trouble == "reads":
        client.handle(host.ended)
    elif host.trouble == "process":
        one = cw.Sequence("h", jobs=[cw.process_cog(host.mute).job()])
        client.submit(cw.Labor("mute", tasks=[cw.Task("t", sequences=[one])]))
    else:
        client.handle(host.waiting).start()


@pytest.fixture
def host(tmp_path, request) -> Iterator[Host]:
    made = Host(tmp_path, request.param)
    yield made
    if made.process.poll() is None:
        made.process.kill()
    made.process.wait()
    for stream in (made.process.stdin, made.process.stdout):
        if stream is not None:
            stream.close()


TROUBLES = ["full", "stuck", "reads", "process", "threads", "descriptors", "clients"]
RECORDS = {"full": False, "stuck": False, "reads": False}
"""Whether a latch becomes durable; True for all others."""


@pytest.mark.parametrize("host", TROUBLES, indirect=True)
def test_g8_d6_in_every_trouble_the_red_button_works(host):
    crowded = crowd(host.path, 1000) if host.trouble == "clients" else contextlib.nullcontext()
    other = cw.connect(host.db)
    with crowded:
        host.tell("trouble")
        blocked = threading.Thread(target=lambda: _ignore_end(lambda: blocked_request(host, other)), daemon=True)
        blocked.start()
        durable = RECORDS.get(host.trouble, True)

        # over the socket
        client = within(lambda: cw.connect(host.db, timeout=PATIENCE), "connect")
        stats = within(client.stats, "stats over the socket")
        latch = within(lambda: client.crisis_pause(by="bob"), "a crisis over the socket")
        assert latch.durable == durable
        assert within(client.crises, "crises over the socket")[0].by == "bob"
        handle = within(lambda: client.handle(host.running), "state over the socket")
        assert within(lambda: handle.state, "state over the socket") == cw.State.PAUSING
        within(lambda: handle.stop(interrupt=True), "a stop over the socket")
        assert within(lambda: handle.state, "state over the socket").name in ("STOPPING", "STOPPED")

        # from inside
        inside = host.tell("crisis")
        assert inside["in_force"] == 2
        assert inside["durable"] == durable
        assert inside["state"] == "PAUSING"
        assert host.tell("stop")["state"] in ("STOPPING", "STOPPED")
        stats_inside = host.tell("stats")
        if host.trouble == "full":
            assert stats.degraded or stats_inside["degraded"]
            assert "full" in stats_inside["why"]
        if host.trouble in ("stuck", "reads"):
            assert stats_inside["writing"], "since when a write is under way"

        said = host.tell("close")
        assert said["closed"]
        assert any("could not record" in text for text in said["said"]) == (not durable), said
    within(blocked.join, "the blocked request of the other client")
    assert host.end() == 0
    with cw.open_store(host.db) as store:
        assert {found.name for found in store.search()} >= {"ended", "waiting", "running"}
        assert store.verify() == []
    if not durable:
        return
    with cw.open_store(host.db) as store:
        assert store.read_labor(host.running).state.name in ("STOPPING", "STOPPED")


def _ignore_end(call: Callable[[], Any]) -> None:
    with contextlib.suppress(cw.CogworkError):
        call()


@pytest.mark.parametrize("host", ["descriptors"], indirect=True)
def test_without_a_descriptor_submit_wait_run_and_close_work(host):
    host.tell("trouble")
    assert host.tell("submit")["state"] == "COMPLETED"
    assert host.tell("close")["closed"]
    assert host.end() == 0
    with cw.open_store(host.db) as store:
        assert [found.state.name for found in store.search(cw.LaborFilter(name_prefix="more"))] == ["COMPLETED"]
