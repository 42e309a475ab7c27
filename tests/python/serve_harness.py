"""Speaks the Cog protocol with a program, as an engine does (docs/internals/cog-protocol.md)."""

from __future__ import annotations

import collections
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
from typing import Any

import msgspec

import cogwork as cw

WAIT = 30


_PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)


def environment(**variables: str) -> dict[str, str]:
    """This process's own, with the cogwork that is under test."""
    path = os.pathsep.join([_PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**{k: v for k, v in os.environ.items() if k != "COGWORK_COG_FD"}, "PYTHONPATH": path, **variables}


class CogProgram:
    """A program with a socket pair. What it prints is in `printed()`."""

    def __init__(self, folder: pathlib.Path, *words: str) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(WAIT)
        self._output = folder / "printed.txt"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                env=environment(COGWORK_COG_FD=str(theirs.fileno())),
                start_new_session=True,
                cwd=folder,
            )
        theirs.close()
        self._ids = 0
        self._unread: collections.deque[dict[str, Any]] = collections.deque()

    def __enter__(self) -> CogProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WAIT)

    # ---- sending ----

    def send(self, *messages: dict[str, Any]) -> None:
        self.sock.sendall(b"".join(map(frame, messages)))

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """One that has one answer."""
        self._ids += 1
        self.send({"op": op, "id": self._ids, **fields})
        return self.next_of(self._ids)

    def begin(self, cog: str, /, _fields: dict[str, Any] | None = None, **args: Any) -> int:
        self._ids += 1
        self.send({**execute(self._ids, cog, args), **(_fields or {})})
        return self._ids

    def call(self, cog: str, /, _fields: dict[str, Any] | None = None, **args: Any) -> dict[str, Any]:
        """Its result; its notes are in "notes"."""
        return self.result(self.begin(cog, _fields, **args))

    def cancel(self, number: int) -> None:
        self.send({"op": "cancel", "of": number})

    # ---- receiving ----

    def hello(self) -> dict[str, Any]:
        hello = self._receive()
        assert hello is not None, self.printed()
        assert hello["op"] == "hello"
        assert hello["protocol"] == 1
        return hello

    def next_of(self, number: int) -> dict[str, Any]:
        """The next message about a request; those of others are kept."""
        for message in self._unread:
            if message["id"] == number:
                self._unread.remove(message)
                return message
        while (message := self._receive()) is not None:
            if message["id"] == number:
                return message
            self._unread.append(message)
        raise AssertionError(f"it ended without an answer to {number}: {self.printed()}")

    def result(self, number: int) -> dict[str, Any]:
        notes = []
        while "result" not in (message := self.next_of(number)):
            notes.append(message)
        return {**message["result"], "notes": notes}

    def rest(self) -> list[dict[str, Any]]:
        """All that comes until it closes its end."""
        while (message := self._receive()) is not None:
            self._unread.append(message)
        return list(self._unread)

    def _receive(self) -> dict[str, Any] | None:
        try:
            head = self._exactly(4)
            return msgspec.msgpack.decode(self._exactly(struct.unpack(">I", head)[0]))
        except (EOFError, ConnectionResetError):
            return None

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    # ---- ends ----

    def ends(self) -> int:
        """Its exit status."""
        return self.process.wait(WAIT)

    def printed(self) -> str:
        return self._output.read_text()


def frame(message: Any) -> bytes:
    body = msgspec.msgpack.encode(message)
    return struct.pack(">I", len(body)) + body


def execute(number: int, cog: str, args: dict[str, Any]) -> dict[str, Any]:
    return {
        "op": "execute",
        "id": number,
        "cog": cog,
        "args": args,
        "job": "job-1",
        "labor": "labor-1",
        "labor_name": "upgrade",
        "job_name": "",
        "target": "edge-1",
        "attempt": 1,
        "check": False,
        "real_user": "",
        "timeout": 300,
        "outputs": [],
    }


def texts(result: dict[str, Any]) -> list[str]:
    """The log lines among its notes."""
    return [line for note in result["notes"] if "log" in note for line in note["log"].split("\n")]
