"""One service of the demo's fleet: a process that serves its version and its health over HTTP on loopback.

Standard library only. Each version behaves as real ones do: 2.1.0 no longer understands an old setting and will not
start with it; 2.1.1 starts, says that it is healthy, and after a few requests fails most of those that follow.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSES_OLD_SETTINGS = {"2.1.0", "2.1.1"}
LEAKS_HANDLES = {"2.1.1"}
HANDLES = 5


class Service(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name: str, version: str, port: int, warm_up: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.name = name
        self.version = version
        self.ready_at = time.monotonic() + warm_up
        self.lock = threading.Lock()
        self.requests = 0
        self.errors = 0

    def server_bind(self) -> None:
        # HTTPServer would ask the resolver for this host's name, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it was another process's a moment ago
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def serve_one(self) -> bool:
        """Counts a request; whether it succeeds."""
        with self.lock:
            self.requests += 1
            failed = self.version in LEAKS_HANDLES and self.requests > HANDLES and self.requests % 4 != 0
            self.errors += failed
            return not failed


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        service = self.server
        if self.path == "/version":
            self.answer(200, {"name": service.name, "version": service.version, "pid": os.getpid()})
        elif self.path == "/health":
            warm = time.monotonic() >= service.ready_at
            self.answer(200 if warm else 503, {"health": "ok" if warm else "warming up"})
        elif self.path == "/metrics":
            self.answer(200, {"requests": service.requests, "errors": service.errors})
        elif self.path == "/":
            if service.serve_one():
                self.answer(200, {"hello": service.name})
            else:
                self.answer(500, {"error": "no handle left"})
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def read_settings(path: str) -> dict[str, str]:
    with open(path, encoding="utf-8") as file:
        pairs = (line.split("=", 1) for line in file if "=" in line)
        return {key.strip(): value.strip() for key, value in pairs}


def main(name: str, version: str, port: str, settings_file: str) -> int:
    settings = read_settings(settings_file)
    if "legacy_tls" in settings and version in REFUSES_OLD_SETTINGS:
        print(f"{name}: setting 'legacy_tls' is not known to version {version}", file=sys.stderr)
        return 78
    service = Service(name, version, int(port), float(settings.get("warm_up", "0")))

    def end_with_the_fleet() -> None:
        sys.stdin.read()  # the fleet holds the other end, however it ends
        os._exit(0)

    threading.Thread(target=end_with_the_fleet, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(service.server_address[1], flush=True)
    service.serve_forever(poll_interval=60)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
