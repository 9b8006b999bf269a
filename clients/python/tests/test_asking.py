"""Signals of a subscription to the producer of its stream, with a real broker."""

from __future__ import annotations

import json
import threading
import time
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from blocking import Backend
from conftest import Server, free_port
from fake_routes import Answer, fake_routes
from interfaces import DEADLINE, in_background, wait_until
from proxy import Proxy
from streams import words

from tinistreamer import ApiError, Client, Unreachable, subscribe
from tinistreamer._async import signalling as async_signalling
from tinistreamer._request import signal_url
from tinistreamer._sync import signalling as sync_signalling

over_all = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])
SIGNAL = "/api/client/signal"


def may_signal(client: Client, *keys: str, ttl: int = 60, subject: str | None = "user-7") -> str:
    permissions: Any = ["read", "signal"]
    return client.issue_token(keys=keys, permissions=permissions, subject=subject, ttl=ttl).token


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        ("http://h/api/client/sse?key=k", None, "http://h/api/client/signal?key=k"),
        ("https://h:1/a/api/client/poll?x=1&key=k", None, "https://h:1/a/api/client/signal?key=k"),
        ("ws://h/api/client/ws?key=a%20b%26", None, "http://h/api/client/signal?key=a%20b%26"),
        ("wss://h/api/client/ws", "ü/", "https://h/api/client/signal?key=%C3%BC%2F"),
        ("http://h/api/client/sse?key=k", "other", "http://h/api/client/signal?key=other"),
    ],
)
def test_the_url_is_that_of_the_subscription(url: str, key: str | None, expected: str) -> None:
    assert signal_url(url, key) == expected


def test_a_url_without_one_stream_is_an_error(backend: Backend) -> None:
    for query in ("", "?key=a&key=b"):
        subscription = backend.subscribe(f"http://127.0.0.1:1/api/client/sse{query}", "t")
        with pytest.raises(ValueError, match="does not name one stream"):
            subscription.request_stop()


@over_all
def test_signals_work_before_the_first_event_in_the_loop_and_after_the_end(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key, stop_grace=600)
    subscription = backend.subscribe(server.follow_url(transport, key), may_signal(client, key))
    assert subscription.signal("early", {"a": [1]}) == 1
    for event in subscription:
        if event.event == "start":
            assert subscription.signal("steer") == 2
            assert subscription.request_stop() == 3
            assert subscription.request_stop() == 3
            client.cancel_stream(key)
    assert subscription.status == "cancelled"
    assert subscription.request_stop() is None
    with pytest.raises(ApiError) as raised:
        subscription.signal("steer")
    assert (raised.value.code, raised.value.stream_status) == ("no-active-stream", "cancelled")
    found = [(each.name, each.data, each.by) for each in client.read_signals(key).signals]
    assert found == [
        ("early", {"a": [1]}, "user-7"),
        ("steer", None, "user-7"),
        ("stop", None, "user-7"),
    ]


def test_of_several_streams_the_key_says_which(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    keys = [f"{key}-0", f"{key} :1"]
    for each in keys:
        client.create_stream(each, stop_grace=600)
    many = backend.subscribe_many(server.many_url("sse"), keys, may_signal(client, *keys))
    assert many.signal(keys[1], "steer", 1) == 1
    assert many.request_stop(keys[1]) == 2
    assert many.request_stop(keys[0]) == 1
    assert [each.name for each in client.read_signals(keys[1]).signals] == ["steer", "stop"]


def test_a_refusal_is_an_error_and_the_subscription_goes_on(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    token = client.create_stream(key).token
    subscription = backend.subscribe(server.follow_url("sse", key), token)
    assert next(subscription).event == "start"
    with pytest.raises(ApiError) as raised:
        subscription.request_stop()
    assert (raised.value.status, raised.value.code) == (403, "forbidden")
    client.end_stream(key)
    assert words(list(subscription)) == ["end"]
    other = backend.subscribe(server.follow_url("sse", f"{key}-none"), may_signal(client, key))
    with pytest.raises(ApiError):
        other.request_stop()


def test_an_expired_token_is_replaced_once_and_shared_with_the_subscription(
    backend: Backend, server: Server, proxy: Proxy, client: Client, key: str
) -> None:
    client.create_stream(key, stop_grace=600)
    asked: list[str] = []

    def ask() -> str:
        asked.append(may_signal(client, key, ttl=2 if not asked else 60))
        return asked[-1]

    subscription = backend.subscribe(server.follow_url("sse", key, proxy.url), ask)
    assert next(subscription).event == "start"
    # Until the token has expired. The connection stays open.
    time.sleep(3)
    assert subscription.request_stop() == 1
    assert len(asked) == 2
    # The connection takes the same token.
    proxy.cut()
    following = in_background(lambda: list(subscription))
    wait_until(lambda: proxy.connections >= 3)
    client.cancel_stream(key)
    assert words(following.result(DEADLINE)) == ["cancel"]
    assert len(asked) == 2


def test_a_function_is_asked_before_the_first_event_and_not_twice_for_a_refused_token(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key, stop_grace=600)
    asked: list[str] = []

    def ask() -> str:
        asked.append(may_signal(client, key))
        return asked[-1]

    subscription = backend.subscribe(server.follow_url("sse", key), ask)
    assert subscription.signal("steer") == 1
    assert next(subscription).event == "start"
    assert len(asked) == 1

    forged: list[str] = []

    def forge() -> str:
        forged.append("forged")
        return "forged"

    with pytest.raises(ApiError) as raised:
        backend.subscribe(server.follow_url("sse", key), forge).request_stop()
    assert (raised.value.status, len(forged)) == (401, 2)
    with pytest.raises(ApiError, match="unauthorized"):
        backend.subscribe(server.follow_url("sse", key), "forged").request_stop()


def test_two_signals_whose_token_has_expired_ask_for_one_token() -> None:
    both_refused = threading.Barrier(2)
    tokens = iter(["old", "new", "newer"])

    def respond(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] != "Bearer old":
            return httpx.Response(200, json={"seq": 1})
        both_refused.wait(DEADLINE)
        return httpx.Response(401, json={"code": "token-expired", "message": ""})

    own = httpx.Client(transport=httpx.MockTransport(respond))
    url = "http://broker/api/client/sse?key=k"
    subscription = subscribe(url, lambda: next(tokens), http_client=own)
    asked = [in_background(subscription.request_stop) for _ in range(2)]
    assert [each.result(DEADLINE) for each in asked] == [1, 1]
    assert next(tokens) == "newer"


def test_an_access_brings_the_url_for_a_signal(backend: Backend, client: Client, key: str) -> None:
    permissions: Any = ["read", "signal"]
    access = client.create_stream(key, permissions=permissions)
    calls: list[None] = []

    def ask() -> object:
        calls.append(None)
        return access

    subscription = backend.subscribe(access=ask)
    assert subscription.request_stop() == 1
    client.cancel_stream(key)
    assert words(list(subscription)) == ["start", "cancel"]
    assert len(calls) == 1


def test_a_signal_is_sent_again_with_the_same_id(backend: Backend) -> None:
    answers: list[Answer] = [
        (503, {"code": "store-unavailable", "message": ""}),
        (429, {"code": "too-many-signals", "message": ""}),
        (200, {"seq": 7}),
        (200, {"seq": 8}),
    ]
    with fake_routes({SIGNAL: lambda _: answers.pop(0)}) as fake:
        subscription = backend.subscribe(f"{fake.url}/api/client/sse?key=k", "t")
        assert subscription.signal("steer", 1) == 7
        assert subscription.signal("steer", 1) == 8
        bodies = fake.bodies(SIGNAL)
        ids = [body.pop("id") for body in bodies]
        assert bodies == [{"name": "steer", "data": 1}] * 4
        assert len(set(ids[:3])) == 1
        assert ids[3] != ids[0]


def test_a_lost_answer_makes_no_second_signal(
    backend: Backend, server: Server, proxy: Proxy, client: Client, key: str
) -> None:
    client.create_stream(key)
    url = server.follow_url("sse", key, proxy.url)
    subscription = backend.subscribe(url, may_signal(client, key))
    proxy.cut_responses = 1
    assert subscription.signal("steer") == 1
    assert proxy.cut_responses == 0
    assert len(client.read_signals(key).signals) == 1


def test_a_broker_that_does_not_run_is_an_error_after_a_while(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (async_signalling, sync_signalling):
        assert module._RETRY_FOR == 30.0  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(module, "_RETRY_FOR", 0.2)
    url = f"http://127.0.0.1:{free_port()}/api/client/sse?key=k"
    with pytest.raises(Unreachable):
        backend.subscribe(url, "t").request_stop()


def test_the_callers_http_client_sends_the_signal(backend: Backend) -> None:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"seq": 1})

    own = backend.http_client(transport=httpx.MockTransport(respond))
    subscription = backend.subscribe("ws://broker/api/client/ws?key=k", "t", http_client=own)
    assert subscription.request_stop() == 1
    (request,) = requests
    assert request.headers["Authorization"] == "Bearer t"
    assert "X-API-KEY" not in request.headers
    assert dict(parse_qsl(request.url.query.decode())) == {"key": "k"}
    assert json.loads(request.content)["name"] == "stop"


def test_another_thread_may_ask_while_one_reads(server: Server, client: Client, key: str) -> None:
    client.create_stream(key)
    subscription = subscribe(server.follow_url("sse", key), may_signal(client, key))
    started = threading.Event()

    def read() -> list[str]:
        names: list[str] = []
        for event in subscription:
            names.append(event.event)
            started.set()
        return names

    reading = in_background(read)
    assert started.wait(DEADLINE)
    with client.publish(key) as writer:
        assert subscription.request_stop() == 1
        assert writer.stopped() is not None
    assert reading.result(DEADLINE) == ["start", "cancel"]
