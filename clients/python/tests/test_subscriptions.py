"""Subscriptions to one stream, with a real broker and broken connections."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from conftest import Server, free_port
from fake_broker import Answer, events_of, follow
from interfaces import DEADLINE, Api, in_background, wait_until
from proxy import Proxy
from streams import add, expected, filled, words

from tinistreamer import (
    ApiError,
    Client,
    Disconnected,
    Event,
    NewEvent,
    asubscribe,
)

pytestmark = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


@pytest.mark.parametrize(
    ("finish", "last", "status"),
    [("end_stream", "end", "ended"), ("cancel_stream", "cancel", "cancelled")],
)
def test_all_events_come_in_order_and_then_the_iteration_ends(
    api: Api,
    server: Server,
    client: Client,
    key: str,
    transport: str,
    finish: str,
    last: str,
    status: str,
) -> None:
    token = filled(client, key, 300, ended=False)
    following = in_background(lambda: api.follow(server.follow_url(transport, key), token))
    add(client, key, 300, 300)
    getattr(client, finish)(key)
    events, outcome = following.result(DEADLINE)
    assert words(events) == expected(600, last)
    assert outcome == status


@pytest.mark.parametrize(
    "data", ["", "a\nb\n", " lead", "\u2028\u2029\x85\x0b\x1c", "\x00", "🦊é", ":", '{"a": [1]}']
)
def test_any_text_arrives_unchanged(
    api: Api, server: Server, client: Client, key: str, transport: str, data: str
) -> None:
    token = client.create_stream(key).token
    client.add_events(key, [NewEvent(event="a name: x", data=data), NewEvent(event="none")])
    client.end_stream(key)
    events, _ = api.follow(server.follow_url(transport, key), token)
    assert [(event.event, event.data) for event in events[1:3]] == [
        ("a name: x", data),
        ("none", ""),
    ]


def test_json_parses_the_data(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    token = client.create_stream(key).token
    client.add_events(key, [NewEvent(event="x", data={"a": [1, None]})])
    client.end_stream(key)
    events, _ = api.follow(server.follow_url(transport, key), token)
    assert events[1].json() == {"a": [1, None]}


def test_a_subscription_starts_after_an_id(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 5)
    after = client.stream_events(key)[3].id
    events, status = api.follow(server.follow_url(transport, key), token, after=after)
    assert (words(events), status) == (["3", "4", "end"], "ended")


def test_no_event_follows_the_last_one(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1)
    after = client.stream_info(key).last_id
    assert api.follow(server.follow_url(transport, key), token, after=after) == ([], None)


def test_events_that_are_no_longer_stored_are_reported(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    token = client.create_stream(key, max_events=10).token
    for part in range(5):
        add(client, key, part * 200, 200)
    client.end_stream(key)
    events, status = api.follow(server.follow_url(transport, key), token)
    loss = events[0]
    assert (loss.id, loss.event, status) == (None, "missedevents", "ended")
    assert loss.missed is not None
    assert json.loads(loss.data)["first"] == loss.missed.first == events[1].id
    assert loss.missed.missed == 1002 - len(events[1:])


def test_broken_connections_lose_and_repeat_nothing(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 10, ended=False)

    def seen(event: Event) -> None:
        if event.data in {"5", "9"}:
            proxy.cut()

    following = in_background(
        lambda: api.follow(server.follow_url(transport, key, proxy.url), token, seen)
    )
    add(client, key, 10, 10)
    wait_until(lambda: proxy.connections >= 2)
    client.end_stream(key)
    events, status = following.result(DEADLINE)
    assert (words(events), status) == (expected(20), "ended")


def test_silence_breaks_the_connection_and_a_heartbeat_keeps_it(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)
    url = server.follow_url(transport, key, proxy.url)
    following = in_background(lambda: api.follow(url, token, silence=2.5))
    wait_until(lambda: proxy.connections == 1)
    # The broker sends a heartbeat each second, so that the connection stays.
    time.sleep(3.5)
    assert proxy.connections == 1
    proxy.stalls = True
    wait_until(lambda: proxy.connections > 1)
    proxy.stalls = False
    proxy.cut()
    client.end_stream(key)
    events, _ = following.result(DEADLINE)
    assert words(events) == expected(1)


def test_an_unreachable_broker_is_an_error_after_give_up_after(
    api: Api, key: str, transport: str
) -> None:
    url = Server(f"http://127.0.0.1:{free_port()}", "").follow_url(transport, key)
    with pytest.raises(Disconnected) as raised:
        api.follow(url, "token", give_up_after=0.7)
    assert raised.value.code == "disconnected"


def test_a_token_function_is_called_first_and_when_the_token_is_no_longer_valid(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    asked: list[str] = []

    def ask() -> str:
        asked.append(client.issue_token(key, ttl=2 if not asked else 60).token)
        return asked[-1]

    def seen(_: Event) -> None:
        if len(asked) == 1:
            # Until the first token has expired. It was valid when the connection was made.
            time.sleep(3)
            proxy.cut()

    following = in_background(
        lambda: api.follow(server.follow_url(transport, key, proxy.url), ask, seen)
    )
    wait_until(lambda: len(asked) == 2)
    client.end_stream(key)
    events, _ = following.result(DEADLINE)
    assert (words(events), len(asked)) == (["start", "end"], 2)


def test_a_refused_token_is_an_error(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    for token in ("forged", lambda: "forged"):
        with pytest.raises(ApiError) as raised:
            api.follow(server.follow_url(transport, key), token)
        assert (raised.value.status, raised.value.code) == (401, "unauthorized")


def test_an_after_that_is_not_an_id_is_an_error(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    token = client.create_stream(key).token
    with pytest.raises(ApiError) as raised:
        api.follow(server.follow_url(transport, key), token, after="17")
    assert (raised.value.status, raised.value.code) == (400, "invalid-event-id")


def test_a_token_for_another_stream_is_an_error(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    other = client.create_stream(f"{key}-other").token
    with pytest.raises(ApiError) as raised:
        api.follow(server.follow_url(transport, key), other)
    assert (raised.value.status, raised.value.code) == (403, "forbidden")


def test_an_error_of_the_token_function_reaches_the_caller(
    api: Api, server: Server, key: str, transport: str
) -> None:
    def ask() -> str:
        raise KeyError(key)

    with pytest.raises(KeyError):
        api.follow(server.follow_url(transport, key), ask)


def test_a_coroutine_function_may_return_the_token(
    server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1)

    async def ask() -> str:
        await asyncio.sleep(0)
        return token

    async def run() -> list[Event]:
        return [event async for event in asubscribe(server.follow_url(transport, key), ask)]

    assert words(asyncio.run(run())) == expected(1)


def test_a_normal_end_before_the_last_event_counts_as_a_broken_connection(
    api: Api, transport: str
) -> None:
    """A server closes a WebSocket too early. The other responses just end."""
    answers: list[Answer] = [
        events_of(("5-0", "start"), ("5-1", "token")),
        events_of(("5-2", "end")),
    ]
    events, status, asked = follow(api, transport, answers)
    assert [event.id for event in events] == ["5-0", "5-1", "5-2"]
    assert (status, asked) == ("ended", [None, "5-1"])
