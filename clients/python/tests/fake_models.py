"""A server that streams as the APIs of OpenAI and Anthropic do, and records who left."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from interfaces import DEADLINE

Step = dict[str, Any] | Literal["wait", "cut"] | int
"""What the server does next: it sends an event, waits for `go`, or breaks the connection.

A number is the HTTP status of an error, as the first step.
"""

SECRET = "sk-secret-of-the-provider"
"""A text in all errors of the server."""


class FakeModel:
    """What the server sends, and what it saw."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.go = threading.Event()
        """Ends all `wait`."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[str] = []
        """The paths of the responses that were sent to the end."""
        self.left: list[str] = []
        """The paths of the requests whose client left before the end."""
        self.url = ""


def chat(*deltas: dict[str, Any] | str, finish: str | None = "stop", **last: Any) -> list[Step]:
    """Returns the chunks of Chat Completions. A string is a delta of the text."""
    steps: list[Step] = [_chunk({"role": "assistant", "content": ""})]
    for delta in deltas:
        if delta == "wait" or delta == "cut":  # noqa: PLR1714 - a set takes no dictionary
            steps.append("wait" if delta == "wait" else "cut")
        else:
            steps.append(_chunk({"content": delta} if isinstance(delta, str) else delta))
    if finish is not None:
        steps.append(_chunk({}, finish))
    if last:
        steps.append({**_chunk({}), "choices": [], **last})
    return steps


def _chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }


def second_choice(text: str) -> dict[str, Any]:
    """Returns the chunk of another choice."""
    return _chunk({"content": text}, index=1)


_PLACE: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def responses(*items: dict[str, Any] | Literal["wait", "cut"], **last: Any) -> list[Step]:
    """Returns the events of the Responses API. `last` are fields of the complete response."""
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "fake",
        "output": [],
        "status": "in_progress",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    message: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    steps: list[Step] = [
        {"type": "response.created", "response": response},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress"},
        },
        {"type": "response.content_part.added", **_PLACE, "part": part},
        *items,
    ]
    if last:
        done = {**message, "status": "completed"}
        steps.append({"type": "response.output_item.done", "output_index": 0, "item": done})
        kind = f"response.{last['status']}"
        steps.append({"type": kind, "response": {**response, **last}})
    for number, step in enumerate(steps):
        if isinstance(step, dict):
            step["sequence_number"] = number
    return steps


def text_delta(text: str) -> dict[str, Any]:
    """Returns an event of the Responses API with a part of the text."""
    return {"type": "response.output_text.delta", "delta": text, "logprobs": [], **_PLACE}


def messages(
    *items: dict[str, Any] | Literal["wait", "cut"], stop_reason: str | None = "end_turn"
) -> list[Step]:
    """Returns the events of the Messages API."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "fake",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    }
    steps: list[Step] = [{"type": "message_start", "message": message}, {"type": "ping"}, *items]
    if stop_reason is not None:
        delta = {"stop_reason": stop_reason, "stop_sequence": None}
        usage = {"output_tokens": 7}
        steps.append({"type": "message_delta", "delta": delta, "usage": usage})
        steps.append({"type": "message_stop"})
    return steps


def block(
    index: int, start: dict[str, Any], *deltas: dict[str, Any] | Literal["wait", "cut"]
) -> list[Any]:
    """Returns the events of one content block of the Messages API."""
    events: list[Any] = [{"type": "content_block_start", "index": index, "content_block": start}]
    for delta in deltas:
        if isinstance(delta, dict):
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        else:
            events.append(delta)
    return [*events, {"type": "content_block_stop", "index": index}]


def text_block(index: int, *texts: str) -> list[Any]:
    """Returns the events of a block of text. `wait` and `cut` are steps."""
    deltas: list[Any] = [
        text if text in {"wait", "cut"} else {"type": "text_delta", "text": text} for text in texts
    ]
    return block(index, {"type": "text", "text": ""}, *deltas)


@contextmanager
def fake_model() -> Generator[FakeModel, None, None]:
    """Runs the server. `OPENAI_BASE_URL` is its URL and `/v1`."""
    model = FakeModel()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            model.asked.append((self.path, json.loads(content)))
            steps = list(model.steps)
            if steps and isinstance(steps[0], int):
                self._refuse(steps[0])
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                self._stream(steps)
            except OSError:
                model.left.append(self.path)
                self.close_connection = True

        def _stream(self, steps: list[Step]) -> None:
            for step in steps:
                if step == "cut":
                    self.close_connection = True
                    return
                if step == "wait":
                    self._wait()
                else:
                    self._send(_sse(step))
            if self.path.endswith("/chat/completions"):
                self._send("data: [DONE]\n\n")
            self._send("")
            model.sent.append(self.path)

        def _wait(self) -> None:
            """Waits for `go`. Raises `OSError` when the client leaves meanwhile."""
            self.connection.settimeout(0.02)
            while not model.go.is_set():
                try:
                    if not self.connection.recv(1):
                        raise ConnectionResetError
                except TimeoutError:
                    continue
            self.connection.settimeout(None)

        def _send(self, text: str) -> None:
            data = text.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def _refuse(self, status: int) -> None:
            body = json.dumps({"error": {"message": SECRET, "type": "refused"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            # The SDKs would try again otherwise.
            self.send_header("x-should-retry", "false")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with _running(Handler) as url:
        model.url = url
        try:
            yield model
        finally:
            model.go.set()


def _sse(step: Any) -> str:
    name = f"event: {step['type']}\n" if "type" in step else ""
    return f"{name}data: {json.dumps(step, ensure_ascii=False)}\n\n"


@contextmanager
def _running(handler: Callable[..., BaseHTTPRequestHandler]) -> Generator[str, None, None]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Does nothing: clients that leave are what the tests are about."""

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(DEADLINE)
