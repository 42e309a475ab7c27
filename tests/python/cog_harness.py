"""The engine's side of the Cog protocol (docs/internals/cog-protocol.md), for tests of programs that hold Cogs, in any language.

It starts a program as the engine does, and holds it to the protocol: whatever the program sends that breaks it is an AssertionError.
It needs nothing of cogwork.

>>> with CogProgram(["./upgrade"]) as program:
...     answer = program.ask("execute", cog="upgrade", args={"package": "a", "folder": "b"})
...     answer["result"]["status"], program.notes_of(answer["id"])
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

PATIENCE = 30.0
"""Seconds for what happens in a moment; only a test that fails waits for so long."""
LARGEST = 64 * 2**20
STATUSES = {"SUCCESS", "FAILURE", "FAILURE_NO_RETRIES"}
COG_FIELDS = {
    "name": str, "owner": str, "desc": str, "tags": list, "args": dict, "idempotent": bool, "on_interrupt": str, "timeout": (int, float), "retries": int,
    "retry_delay": (int, float), "retry_backoff": (int, float), "retry_max_delay": (int, float), "concurrency": int,
}  # fmt: skip

# Descriptor 3 is what the program gets; in this process that number may be anything.
_START = "import os, sys; fd = int(sys.argv[1]); fd == 3 or (os.dup2(fd, 3), os.close(fd)); os.setpgid(0, 0); os.execvp(sys.argv[2], sys.argv[2:])"


class CogProgram:
    """A program that serves Cogs, from its start to its end. One thread."""

    def __init__(
        self, argv: Sequence[str | os.PathLike[str]], *, cwd: str | pathlib.Path | None = None, greet: bool = True
    ) -> None:
        """greet: the program's hello is read, and is in `hello`."""
        ours, theirs = socket.socketpair()
        self.socket = ours
        self._ids = itertools.count(1)
        self._in_flight: dict[int, str] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._notes: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._buffer = bytearray()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the program
        words = [os.fspath(word) for word in argv]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno()), *words],
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, "COGWORK_COG_FD": "3"},
                pass_fds=[theirs.fileno()],
            )
        self.hello: dict[str, Any] = {}
        try:
            if greet:
                self.hello = self.receive()
                check_hello(self.hello)
        except BaseException:
            self.kill()
            raise

    # ---- out ----

    def send(self, message: dict[str, Any]) -> None:
        self.send_bytes(frame(message))

    def send_bytes(self, data: bytes) -> None:
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(data)

    def send_pieces(self, data: bytes, size: int) -> None:
        """In pieces, each when the program has read the one before."""
        for at in range(0, len(data), size):
            self.send_bytes(data[at : at + size])
            deadline = time.monotonic() + PATIENCE
            while self._unread():
                assert time.monotonic() < deadline, f"it does not read\n{self.printed()}"
                time.sleep(0)

    def _unread(self) -> int:
        unread = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(unread, sys.byteorder)

    def request(self, op: str, **fields: Any) -> int:
        """Sends it, and returns its id. What an `execute` must have and is not given is made up."""
        number = next(self._ids)
        made_up = {}
        if op == "execute":
            made_up = {
                "job": f"job-{number}", "labor": "labor-1", "labor_name": "a labor", "job_name": fields.get("cog"), "target": "edge-1",
                "attempt": 1, "check": False, "real_user": "ann", "timeout": 60, "outputs": [], "args": {},
            }  # fmt: skip
        self.expect(number, op)
        self.send({"op": op, "id": number, **made_up, **fields})
        return number

    def expect(self, number: int, op: str) -> None:
        """An answer to a request that is sent by other means."""
        self._in_flight[number] = op
        self._answers.pop(number, None)

    def cancel(self, number: int) -> None:
        self.send({"op": "cancel", "of": number})

    # ---- in ----

    def receive(self) -> dict[str, Any]:
        """The next message, whatever it is."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if len(self._buffer) >= 4:
                length = int.from_bytes(self._buffer[:4], "big")
                assert 1 <= length <= LARGEST, f"a frame of {length} bytes\n{self.printed()}"
                if len(self._buffer) >= 4 + length:
                    body = bytes(self._buffer[4 : 4 + length])
                    del self._buffer[: 4 + length]
                    message = msgspec.msgpack.decode(body, strict=True)
                    assert isinstance(message, dict), message
                    assert all(isinstance(key, str) for key in message), message
                    return message
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                raise AssertionError(f"nothing came for {PATIENCE} s\n{self.printed()}") from None
            assert data, f"the program has closed its socket; it printed:\n{self.printed()}"
            self._buffer += data

    def turn(self) -> int:
        """Takes one answer or note in, and returns the id that it is about."""
        message = self.receive()
        number = message.get("id")
        assert number in self._in_flight, f"a message for no request in flight: {message}"
        op = self._in_flight[number]
        if message.keys() & {"progress", "log"}:
            assert op == "execute", message
            check_note(message)
            self._notes[number].append(message)
        else:
            check_answer(op, message)
            del self._in_flight[number]
            self._answers[number] = message
        return number

    def answer(self, number: int) -> dict[str, Any]:
        while number not in self._answers:
            self.turn()
        return self._answers[number]

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        return self.answer(self.request(op, **fields))

    def execute(self, cog: str, args: Any, **fields: Any) -> dict[str, Any]:
        """The result of one attempt."""
        return self.ask("execute", cog=cog, args=args, **fields)["result"]

    def notes_of(self, number: int) -> list[dict[str, Any]]:
        """Those that have come so far."""
        return self._notes[number]

    def wait_for_note(self, number: int) -> dict[str, Any]:
        while not self._notes[number]:
            assert number not in self._answers, f"it ended without a note: {self._answers[number]}"
            self.turn()
        return self._notes[number][-1]

    # ---- the end ----

    def printed(self) -> str:
        """What it wrote to its output and error output."""
        self._printed.flush()
        return os.pread(self._printed.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait(self) -> int:
        """Its exit status, once it has ended; nothing may come from it any more but answers to what is in flight."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.printed()}") from None

    def close_socket(self) -> None:
        """As if the engine were gone."""
        self.socket.close()

    def kill(self) -> None:
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE)
        self._printed.close()

    def __enter__(self) -> CogProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def frame(message: Any) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


# ---- what the protocol asks of a program ----


def check_hello(hello: dict[str, Any]) -> None:
    assert hello.get("op") == "hello", hello
    assert hello.get("protocol") == 1, hello
    assert isinstance(hello.get("version", ""), str | type(None)), hello
    assert isinstance(hello.get("cogs"), list), hello
    assert hello["cogs"], "no Cog"
    for described in hello["cogs"]:
        check_cog(described)
    names = [described["name"] for described in hello["cogs"]]
    assert len(set(names)) == len(names), names


def check_cog(described: Any) -> None:
    assert isinstance(described, dict), described
    name = described.get("name")
    assert isinstance(name, str), described
    assert name.split() == [name], "one word"
    for field, kind in COG_FIELDS.items():
        value = described.get(field)
        assert value is None or isinstance(value, kind), (name, field, value)
        assert kind is bool or not isinstance(value, bool), (name, field, value)
    assert all(isinstance(tag, str) for tag in described.get("tags") or []), described
    assert 1 <= (described.get("concurrency") or 16) <= 10_000, described


def check_note(note: dict[str, Any]) -> None:
    if "log" in note:
        assert isinstance(note["log"], str), note
    else:
        progress = note["progress"]
        assert progress is None or (isinstance(progress, (int, float)) and 0 <= progress <= 1), note
        assert isinstance(note.get("message", ""), str | type(None)), note


def check_answer(op: str, answer: dict[str, Any]) -> None:
    if op == "execute":
        result = answer.get("result")
        assert isinstance(result, dict), answer
        assert result.get("status") in STATUSES, answer
        assert isinstance(result.get("error") or "", str), answer
        assert result["status"] == "SUCCESS" or result.get("error"), f"a failure says what went wrong: {answer}"
        return
    assert ("ok" in answer) != ("error" in answer), answer
    if "error" in answer:
        assert isinstance(answer["error"], str), answer
        assert answer["error"], answer
    elif op == "describe":
        check_cog(answer["ok"])
    else:
        assert answer["ok"] is None, answer
