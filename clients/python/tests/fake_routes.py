"""A broker whose answers a test chooses for each path. Others are answered as by an old broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from interfaces import DEADLINE

NOT_FOUND = (404, {"code": "not-found", "message": "Nothing is at this path"})

Answer = tuple[int, dict[str, Any]] | None
"""A status and a body. None: no answer, until the end of the test."""

Route = Callable[[dict[str, Any]], Answer]
"""Takes the body of a request. Returns the answer."""


class Routes:
    """The answers of a fake broker by path, and the requests that it got."""

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes: dict[str, Route] = {
            "/api/event/add/json-stream": _store,
            "/api/stream/end": lambda _: (200, {"status": "ended"}),
            "/api/stream/cancel": lambda _: (200, {"status": "cancelled"}),
            "/api/stream/fail": lambda _: (200, {"status": "failed"}),
            **routes,
        }
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.left: list[str] = []
        """The paths of requests whose client has gone before the answer."""
        self.over = threading.Event()
        self.url = ""

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """Returns the bodies of all requests for a path."""
        return [body for asked, body in list(self.asked) if asked == path]


def _store(body: dict[str, Any]) -> Answer:
    count = len(body["lines"])
    answer: dict[str, Any] = {
        "ids": [],
        "errors": [],
        "num_errors": 0,
        "num_events": count,
        "last_id": "5-1",
    }
    return (200, answer)


@contextmanager
def fake_routes(routes: dict[str, Route] | None = None) -> Generator[Routes]:
    """Runs a fake broker."""
    fake = Routes(routes or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path.endswith("/json-stream"):
                body: dict[str, Any] = {
                    "lines": [json.loads(line) for line in content.split(b"\n") if line]
                }
            else:
                body = json.loads(content) if content else {"query": self.path.partition("?")[2]}
            fake.asked.append((path, body))
            route = fake.routes.get(path)
            answer: Answer = NOT_FOUND if route is None else route(body)
            if answer is None:
                self._hang(path)
                return
            text = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _hang(self, path: str) -> None:
            self.connection.settimeout(0.05)
            self.close_connection = True
            while not fake.over.is_set():
                try:
                    if not self.connection.recv(1):
                        fake.left.append(path)
                        return
                except TimeoutError:
                    continue
                except OSError:
                    fake.left.append(path)
                    return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield fake
        finally:
            fake.over.set()
            server.shutdown()
            thread.join(DEADLINE)
