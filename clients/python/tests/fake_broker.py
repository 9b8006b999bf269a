"""A broker that sends what a test says, over each transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from interfaces import DEADLINE, Api, Sync, in_background
from websockets.sync.server import Server, ServerConnection, serve

from tinistreamer import Event

Answer = list[dict[str, str]] | None
"""The events of one connection, which the broker then closes. None: no event follows."""

MEDIA_TYPES = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "poll": "application/json",
}


def events_of(*events: tuple[str, str], **fields: str) -> list[dict[str, str]]:
    """Makes events of ids and names. The last one has the fields."""
    made = [{"id": event_id, "event": name} for event_id, name in events]
    made[-1].update(fields)
    return made


def follow(
    api: Api, transport: str, answers: list[Answer]
) -> tuple[list[Event], str | None, list[str | None]]:
    """Follows the stream `k`, with one answer for each connection.

    Returns the events, the status, and after which id each connection asked.
    """
    asked: list[str | None] = []

    def next_answer(after: str | None) -> Answer:
        asked.append(after)
        return answers[len(asked) - 1]

    events, status = (
        _follow_websocket(api, next_answer)
        if transport == "ws"
        else _follow_http(api, transport, next_answer)
    )
    return events, status, asked


def _follow_websocket(
    api: Api, next_answer: Callable[[str | None], Answer]
) -> tuple[list[Event], str | None]:
    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        answer = next_answer(connection.request.headers.get("Last-Event-ID"))
        connection.send(json.dumps(answer or []))

    fake: Server = serve(handle, "127.0.0.1", 0)
    with fake:
        thread = in_background(fake.serve_forever)
        port = fake.socket.getsockname()[1]
        outcome = api.follow(f"ws://127.0.0.1:{port}/api/client/ws?key=k", "token")
        fake.shutdown()
        thread.result(DEADLINE)
    return outcome


def _follow_http(
    api: Api, transport: str, next_answer: Callable[[str | None], Answer]
) -> tuple[list[Event], str | None]:
    def respond(request: httpx.Request) -> httpx.Response:
        after = request.headers.get("Last-Event-ID") or request.url.params.get("after")
        answer = next_answer(after)
        if answer is None and transport != "poll":
            return httpx.Response(204)
        headers = {"Content-Type": MEDIA_TYPES[transport]}
        return httpx.Response(200, headers=headers, text=_body(transport, answer, after))

    mock = httpx.MockTransport(respond)
    own: Any = (
        httpx.Client(transport=mock) if isinstance(api, Sync) else httpx.AsyncClient(transport=mock)
    )
    url = f"http://broker/api/client/{transport}?key=k"
    return api.follow(url, "token", http_client=own)


def _body(transport: str, answer: Answer, after: str | None) -> str:
    events = answer or []
    match transport:
        case "sse":
            return "".join(
                f"retry: 1\nevent: {event['event']}\ndata:\nid: {event['id']}\n\n"
                for event in events
            )
        case "ndjson":
            return "".join(f"{json.dumps({'key': 'k', **event})}\n" for event in events)
        case _:
            cursor = events[-1]["id"] if events else after
            status = "ended" if answer is None else "active"
            return json.dumps({"events": events, "cursor": cursor, "status": status})
