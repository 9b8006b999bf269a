"""Errors that leave a writer's block, split characters, and mistakes of callers."""

from __future__ import annotations

import logging
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from conftest import Server
from interfaces import DEADLINE, Api

from tinistreamer import (
    AsyncClient,
    Client,
    NewEvent,
    PublishError,
    StreamNotActive,
    asubscribe,
    subscribe,
)

FAILED = '{"code":"error","message":"The producer failed"}'
HIGH, LOW = "\ud83d", "\ude00"

over_both = pytest.mark.parametrize("transport", ["ndjson", "websocket"])


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


def fail() -> None:
    raise KeyError


@over_both
def test_events_written_before_an_error_are_stored(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    writes: list[tuple[Any, ...]] = [("write", "token", str(number)) for number in range(300)]
    with pytest.raises(KeyError):
        api.publish(server.url, server.api_key, key, [*writes, (fail,)], transport=transport)
    assert stored(client, key) == [
        *[("token", str(number)) for number in range(300)],
        ("fail", FAILED),
    ]


class StuckBroker(BaseHTTPRequestHandler):
    """Never responds to an upload. Accepts the requests that finish a stream."""

    asked: ClassVar[list[str]] = []
    leave: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path.endswith("/json-stream"):
            self.leave.wait(DEADLINE)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status":"failed"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


def test_an_error_is_delayed_no_longer_than_flush_timeout(api: Api) -> None:
    StuckBroker.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), StuckBroker) as stuck:
        threading.Thread(target=stuck.serve_forever, daemon=True).start()
        try:
            with pytest.raises(KeyError):
                # Without flush_timeout the writer would try for an hour.
                api.publish(
                    f"http://127.0.0.1:{stuck.server_port}",
                    "key",
                    "k",
                    [("write", "t"), (fail,)],
                    flush_timeout=0.05,
                    retry_for=3600,
                )
        finally:
            StuckBroker.leave.set()
            stuck.shutdown()
    assert StuckBroker.asked[-1] == "/api/stream/fail"


@over_both
def test_halves_of_a_character_are_joined(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    data = [f"a{HIGH}", f"{LOW}b", f"{LOW}c{HIGH}d", f"{HIGH}{LOW}", HIGH, f"e{HIGH}"]
    steps: list[tuple[Any, ...]] = [("write", "token", text) for text in data]
    between: list[tuple[Any, ...]] = [("write", "usage", {"text": f"{HIGH}{LOW} {HIGH}", HIGH: 1})]
    done = api.publish(
        server.url,
        server.api_key,
        key,
        [steps[0], ("flush",), *between, *steps[1:]],
        transport=transport,
    )
    assert done == (8, 0)
    assert stored(client, key) == [
        ("token", "a"),
        ("usage", '{"text":"😀 \ufffd","\ufffd":1}'),
        ("token", "😀b"),
        ("token", "\ufffdc\ufffdd"),
        ("token", "😀"),
        ("token", ""),
        ("token", "\ufffde"),
        ("token", "\ufffd"),
        ("end", None),
    ]


def test_half_a_character_in_a_batch_is_replaced(
    api: Api, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    api.call(
        server.url,
        server.api_key,
        "add_events",
        key,
        [NewEvent(event="token", data=f"a{HIGH}"), NewEvent(event="token", data=f"{HIGH}{LOW}")],
    )
    assert stored(client, key) == [("token", "a\ufffd"), ("token", "😀")]


@over_both
def test_a_stream_that_is_finished_elsewhere_is_one_error_without_a_warning(
    api: Api,
    server: Server,
    client: Client,
    key: str,
    transport: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.create_stream(key)
    steps: list[tuple[Any, ...]] = [
        ("write", "token", "x"),
        ("flush",),
        (client.end_stream, key),
        ("write", "token", "y"),
        ("flush",),
    ]
    with pytest.raises(StreamNotActive) as raised:
        api.publish(server.url, server.api_key, key, steps, transport=transport)
    assert isinstance(raised.value, PublishError)
    assert (raised.value.code, raised.value.acknowledged) == ("no-active-stream", 1)
    shown = "".join(traceback.format_exception(raised.value))
    assert (shown.count("Traceback"), shown.count("During handling")) == (1, 0)
    assert [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "tinistreamer"
    ] == []


def test_arguments_of_a_wrong_type_are_named_in_the_error(
    api: Api, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    with pytest.raises(
        TypeError, match=r"name of an event is a string, not dict \{'event': 'token'\}"
    ):
        api.publish(server.url, server.api_key, key, [("write", {"event": "token"})])
    with pytest.raises(TypeError, match="list of NewEvent"):
        api.call(server.url, server.api_key, "add_events", key, [{"event": "token"}])
    with pytest.raises(TypeError, match="key of a stream is a string, not dict"):
        api.call(server.url, server.api_key, "create_stream", {"key": key})
    with pytest.raises(TypeError, match="key of a stream is a string, not None"):
        api.publish(server.url, server.api_key, None, [])  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_the_error_names_what_is_missing_to_make_a_client(make: Any) -> None:
    with pytest.raises(TypeError, match="URL is missing: pass url"):
        make(None, "key")
    for nothing in (None, ""):
        with pytest.raises(TypeError, match="API key is missing: pass api_key"):
            make("http://127.0.0.1:8000", nothing)


@pytest.mark.parametrize("follow", [subscribe, asubscribe])
def test_the_error_names_what_is_missing_to_subscribe(follow: Any) -> None:
    with pytest.raises(TypeError, match="URL is missing: pass url"):
        follow(None, "token")
    with pytest.raises(TypeError, match="token is missing: pass token"):
        follow("http://127.0.0.1/sse?key=k", None)
