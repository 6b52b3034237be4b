"""A small HTTP server around a real model that speaks the dialects of real servers, faults included.

By hand: ``python -m tests.servers.fake_server --model DIR --dialect vllm --port 8000 [--bend temperature] [--fault 429 --fault cut …]``.

A *fault* happens to one request each, in the order given, and then all is well; ``*`` after a fault makes it happen to every request that follows.

500 503 429    that status (429 with ``Retry-After``)        garbage    half of the JSON, status 200
slow           an answer that comes too late                 html       a web page, status 200
cut            the connection ends within the answer          count      one choice is missing
ok             nothing                                       shape      valid JSON of another shape
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.dialects import DIALECTS, Reply, refused, routes
from tests.servers.engine import BENDS, Engine, load_engine

FAULTS = ("ok", "500", "503", "429", "slow", "cut", "garbage", "html", "count", "shape")


@dataclass
class Fake:
    """What the server does, and what it has seen; tests read and change it while it runs.

    Attributes:
        engine: The model.
        dialect: One of ``DIALECTS``.
        faults: Faults to come; only requests that are posted take one.
        retry_after: Seconds asked for with status 429.
        slowness: Seconds that a slow answer takes.
        key: The key that a request must bring, if any.
        pages: Answer unknown paths with a web page and status 200, as web applications do.
        bend_after: Posts after which bends called ``later`` set in.
        requests: (path, headers, body) of all requests so far.
        most_at_once: Most requests that were under way at a time.
    """

    engine: Engine
    dialect: str = "vllm"
    faults: list[str] = field(default_factory=list)
    retry_after: str = "0"
    slowness: float = 0.5
    key: str | None = None
    pages: bool = False
    later: set[str] = field(default_factory=set)
    bend_after: int = 0
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Note how many requests are under way."""
        with self._lock:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    @property
    def posts(self) -> list[tuple[str, dict[str, str], Any]]:
        return [r for r in self.requests if r[2] is not None]

    def fault(self) -> str:
        """The fault of the next request."""
        with self._lock:
            if not self.faults:
                return "ok"
            return self.faults[0][:-1] if self.faults[0].endswith("*") else self.faults.pop(0)

    def reply(self, path: str, body: Any) -> Reply:
        """What the dialect says."""
        if self.later and len(self.posts) > self.bend_after:
            self.engine.bends |= self.later
        route = routes(self.engine, self.dialect).get(path)
        return refused(404, "Not Found") if route is None else route(body or {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:  # the name is http.server's
        self._answer(None)

    def do_POST(self) -> None:  # the name is http.server's
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.fake.counted():
            self._answer(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: bodies hold canaries."""

    def _answer(self, body: Any) -> None:
        fake = self.server.fake
        fake.requests.append((self.path, dict(self.headers.items()), body))
        if fake.key is not None and self.headers["Authorization"] != f"Bearer {fake.key}":
            return self._send(*refused(401, "invalid key"))
        fault = fake.fault() if body is not None else "ok"
        if fault in ("500", "503", "429"):
            after = {"Retry-After": fake.retry_after} if fault == "429" else {}
            return self._send(*refused(int(fault), "not now"), **after)
        if fault == "html":
            return self._raw(200, b"<html><body>Welcome</body></html>", "text/html")
        if fault == "slow":
            time.sleep(fake.slowness)
        if fault == "shape":
            return self._send(200, ["something", "else"])
        if fake.pages and self.path not in routes(fake.engine, fake.dialect):
            return self._raw(200, b"<html><body>Welcome</body></html>", "text/html")
        status, value = fake.reply(self.path, body)
        if fault == "count" and isinstance(value, dict) and "choices" in value:
            value["choices"] = value["choices"][:-1]
        data = json.dumps(value).encode()
        if fault == "garbage":
            return self._raw(status, data[: len(data) // 2])
        if fault == "cut":
            return self._cut(data)
        return self._raw(status, data)

    def _send(self, status: int, value: Any, **headers: str) -> None:
        self._raw(status, json.dumps(value).encode(), **headers)

    def _raw(
        self, status: int, data: bytes, kind: str = "application/json", **headers: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}", "Server: fake"]
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + data)

    def _cut(self, data: bytes) -> None:
        """Promise all of it, send half, hang up."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data[: len(data) // 2])
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, fake: Fake, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.fake = fake

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the tests."""


@contextmanager
def running(fake: Fake) -> Iterator[Fake]:
    """The server in a thread of its own; ``fake.url`` says where."""
    server = _Server(fake)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dialect", choices=DIALECTS, default="vllm")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--bend", choices=BENDS, action="append", default=[])
    parser.add_argument("--fault", action="append", default=[])
    asked = parser.parse_args()
    engine = load_engine(asked.model)
    engine.bends |= set(asked.bend)
    server = _Server(Fake(engine, asked.dialect, faults=asked.fault), asked.port)
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
