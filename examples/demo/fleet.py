"""A fleet of real processes on this machine, the requests that its users send, and what of them fails.

Nothing here knows cogwork: it is what an inventory, an init system and a load balancer are elsewhere.
"""

import atexit
import collections
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

SERVICE = pathlib.Path(__file__).with_name("service.py")
START_TIMEOUT = 20.0


class ServiceDiedError(Exception):
    """A service ended when it should have begun to serve."""


class Node:
    """One place in the fleet: a name, a port, a settings file, and the process that serves there now."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name = name
        self.port = 0  # the first process picks a free one, its successors keep it
        self.settings = folder / f"{name}.conf"
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[str] | None = None

    def spawn(self, version: str) -> None:
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SERVICE), self.name, version, str(self.port), str(self.settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # a group of its own: Ctrl-C in the terminal is for the demo, not for the fleet
            )

    def wait_until_listening(self) -> None:
        process = self.process
        assert process is not None
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT)
        line = process.stdout.readline() if ready else ""
        if line.strip():
            self.port = int(line)
            return
        self.stop()
        said = self.log.read_text(encoding="utf-8").strip().splitlines()
        raise ServiceDiedError(said[-1] if said else f"{self.name}: the process ended without a word")

    def stop(self) -> None:
        """Asks the process and whatever it started to end, then makes them."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def get(self, path: str, timeout: float = 2.0) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def version(self) -> str:
        return str(self.get("/version")[1]["version"])

    def healthy(self) -> bool:
        try:
            return self.get("/health")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


class Fleet:
    """Starts the services, replaces them, and stops them all, whatever happens. Any thread."""

    def __init__(self, size: int, version: str, warm_up: float, broken: str) -> None:
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="cogwork-demo-fleet-"))
        names = [f"edge-{number:02}" for number in range(1, size + 1)]
        self.nodes = {name: Node(name, self._folder) for name in names}
        self._lock = threading.Lock()
        self._in_rotation = set(names)
        self._first_version = version
        self.socket = self._folder / "fleetctl"
        for node in self.nodes.values():
            old_setting = "legacy_tls = yes\n" if node.name == broken else ""
            node.settings.write_text(f"warm_up = {warm_up}\n{old_setting}", encoding="utf-8")

    def __enter__(self) -> "Fleet":
        atexit.register(self.stop)  # also where an exception never reaches __exit__
        try:
            for node in self.nodes.values():
                node.spawn(self._first_version)
            for node in self.nodes.values():
                node.wait_until_listening()
            deadline = time.monotonic() + START_TIMEOUT
            for node in self.nodes.values():
                while not node.healthy():
                    if time.monotonic() > deadline:
                        raise ServiceDiedError(f"{node.name}: not healthy after {START_TIMEOUT:.0f} s")
                    time.sleep(0.02)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        with self._lock:
            for node in self.nodes.values():
                if node.process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(node.process.pid, signal.SIGTERM)
            for node in self.nodes.values():
                node.stop()
            shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def replace(self, name: str, version: str) -> None:
        """Ends the process of a node and starts one of another version in its place. Raises ServiceDiedError."""
        node = self.nodes[name]
        node.stop()
        node.spawn(version)
        node.wait_until_listening()

    # What `fleetctl` asks, for steps that are no Python.

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Answers `fleetctl`, each question in a thread of its own."""
        fleet = self

        class Question(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(fleet.answer(self.rfile.readline().decode().split()).encode())

        with socketserver.ThreadingUnixStreamServer(str(self.socket), Question) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="fleetctl", daemon=True)
            thread.start()
            yield
            server.shutdown()
            thread.join()

    def answer(self, words: list[str]) -> str:
        """ "yes" or "no", and what there is to say."""
        try:
            match words:
                case ["version", name]:
                    return f"yes {self.nodes[name].version()}"
                case ["healthy", name]:
                    return "yes" if self.nodes[name].healthy() else f"no {name} is not healthy"
                case ["replace", name, version]:
                    self.replace(name, version)
                    return "yes"
                case ["put-back", name]:
                    self.put_back(name)
                    return "yes"
        except ServiceDiedError as died:
            return f"no {died}"
        except (KeyError, OSError, http.client.HTTPException) as error:
            return f"no {type(error).__name__}: {error}"
        return f"no fleetctl does not know {' '.join(words)!r}"

    # What a load balancer knows: who is to get requests.

    def take_out(self, name: str) -> None:
        with self._lock:
            self._in_rotation.discard(name)

    def put_back(self, name: str) -> None:
        with self._lock:
            self._in_rotation.add(name)

    def in_rotation(self) -> list[str]:
        with self._lock:
            return sorted(self._in_rotation)

    def versions(self) -> dict[str, str]:
        """Asks every service what it is."""
        return {name: node.version() for name, node in self.nodes.items()}


class Traffic:
    """The users: a bounded stream of requests to the nodes in rotation, and how many of the latest failed."""

    def __init__(self, fleet: Fleet, per_second: float, window: float) -> None:
        self._fleet = fleet
        self._pause = 1.0 / per_second
        self._window = window
        self._lock = threading.Lock()
        self._latest: collections.deque[tuple[float, bool]] = collections.deque()
        self._sent = 0
        self._failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        for name in self._round_and_round():
            due = max(due + self._pause, time.monotonic() - 1.0)  # a stall is made up for, but not for ever
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._send(name)

    def _round_and_round(self) -> Iterator[str]:
        while True:
            for name in self._fleet.in_rotation():
                if name in self._fleet.in_rotation():  # taken out since
                    yield name

    def _send(self, name: str) -> None:
        try:
            ok = self._fleet.nodes[name].get("/")[0] == 200
        except (OSError, http.client.HTTPException):
            ok = False
        now = time.monotonic()
        with self._lock:
            self._sent += 1
            self._failed += not ok
            self._latest.append((now, ok))
            while self._latest and self._latest[0][0] < now - self._window:
                self._latest.popleft()

    def error_rate(self) -> tuple[float, int]:
        """The share of failed requests in the window, and how many requests that is."""
        with self._lock:
            latest = list(self._latest)
        failed = sum(not ok for _, ok in latest)
        return (failed / len(latest) if latest else 0.0), len(latest)

    def totals(self) -> tuple[int, int]:
        with self._lock:
            return self._sent, self._failed
