"""Subscriptions to several streams, with a real broker and broken connections."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest
from conftest import Server
from interfaces import DEADLINE, Api, Reactions, in_background, wait_until
from proxy import Proxy
from streams import add, create, expected, keys_of, of

from tinistreamer import (
    ApiError,
    Client,
    KeyedEvent,
    asubscribe_many,
    subscribe_many,
)

pytestmark = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


@pytest.mark.parametrize("count", [1, 2, 20])
def test_all_events_of_each_stream_come_in_order_and_then_the_iteration_ends(
    api: Api, server: Server, client: Client, key: str, transport: str, count: int
) -> None:
    keys = keys_of(key, count)
    create(client, *keys)
    token = client.issue_token(keys=keys).token
    following = in_background(lambda: api.follow_many(server.many_url(transport), keys, token))
    for part in range(5):
        for each in keys:
            add(client, each, part * 10, 10)
    for each in keys[1:]:
        client.end_stream(each)
    client.cancel_stream(keys[0])
    events, statuses, _ = following.result(DEADLINE)
    assert {each: of(events, each) for each in keys} == {
        each: expected(50, "end" if each in keys[1:] else "cancel") for each in keys
    }
    assert statuses == {each: "ended" if each in keys[1:] else "cancelled" for each in keys}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_broken_connections_lose_and_repeat_nothing(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str, count: int
) -> None:
    keys = keys_of(key, count)
    create(client, *keys)
    token = client.issue_token(prefix=key).token
    for each in keys:
        add(client, each, 0, 10)
    react: Reactions = {
        (keys[0], "5"): [(proxy.cut,)],
        (keys[-1], "9"): [(proxy.cut,)],
        (keys[0], "15"): [(proxy.cut,)],
    }
    following = in_background(
        lambda: api.follow_many(server.many_url(transport, proxy.url), keys, token, react)
    )
    for each in keys:
        add(client, each, 10, 10)
    wait_until(lambda: proxy.connections >= 2)
    for each in keys:
        client.end_stream(each)
    events, statuses, _ = following.result(DEADLINE)
    assert {each: of(events, each) for each in keys} == {each: expected(20) for each in keys}
    assert set(statuses.values()) == {"ended"}


def test_another_subscription_continues_at_the_cursor_over_any_transport(
    server: Server, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 3)
    create(client, *keys)
    token = client.issue_token(prefix=key).token
    add(client, keys[0], 0, 5)
    add(client, keys[1], 0, 5)
    client.end_stream(keys[1])
    had: list[KeyedEvent] = []
    cursor: str | None = None
    # A few events at a time, over each transport in turn.
    for turn in range(6):
        then = ["sse", "ws", "ndjson", "poll"][
            (["sse", "ws", "ndjson", "poll"].index(transport) + turn) % 4
        ]
        with subscribe_many(server.many_url(then), keys, token, after=cursor) as subscription:
            had += islice(subscription, 2)
            cursor = subscription.cursor
    add(client, keys[2], 0, 1)
    for each in (keys[0], keys[2]):
        client.end_stream(each)
    with subscribe_many(server.many_url(transport), keys, token, after=cursor) as subscription:
        had += subscription
        assert subscription.cursor is not None
        cursor = subscription.cursor
    assert [of(had, each) for each in keys] == [expected(5), expected(5), expected(1)]
    with subscribe_many(server.many_url(transport), keys, token, after=cursor) as subscription:
        assert list(subscription) == []
        assert set(subscription.statuses.values()) <= {None}


def test_each_stream_starts_after_its_id(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 2)
    create(client, *keys)
    for each in keys:
        add(client, each, 0, 5)
        client.end_stream(each)
    after = {keys[0]: client.stream_events(keys[0])[3].id}
    events, _, _ = api.follow_many(
        server.many_url(transport), keys, client.issue_token(keys=keys).token, after=after
    )
    assert (of(events, keys[0]), of(events, keys[1])) == (["3", "4", "end"], expected(5))


def test_only_wanted_events_come_and_filtered_ones_move_the_position(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 2)
    create(client, *keys)
    for each in keys:
        for number in range(10):
            add(client, each, number, 1, "alert" if number % 4 == 0 else "metric")
    react: Reactions = {(keys[0], "8"): [(proxy.cut,)], (keys[1], "4"): [(proxy.cut,)]}
    token = client.issue_token(keys=keys).token
    url = server.many_url(transport, proxy.url)
    following = in_background(
        lambda: api.follow_many(url, keys, token, react, events=["al*", "never"])
    )
    wait_until(lambda: proxy.connections >= 2)
    for each in keys:
        client.end_stream(each)
    events, _, _ = following.result(DEADLINE)
    assert [of(events, each) for each in keys] == [["start", "0", "4", "8", "end"]] * 2


@pytest.mark.parametrize(("from_", "first"), [("start", "start"), ("now", "10"), ("-3", "7")])
def test_streams_start_at_the_start_position(
    api: Api,
    server: Server,
    proxy: Proxy,
    client: Client,
    key: str,
    transport: str,
    from_: str,
    first: str,
) -> None:
    keys = keys_of(key, 2)
    create(client, *keys)
    for each in keys:
        add(client, each, 0, 10)
    token = client.issue_token(keys=keys).token
    following = in_background(
        lambda: api.follow_many(server.many_url(transport, proxy.url), keys, token, from_=from_)
    )
    # The first response contains the start position, with or without events. Of a response that
    # goes on, a heartbeat is the third chunk at the latest.
    wait_until(lambda: proxy.response_chunks >= (2 if transport == "poll" else 3))
    proxy.cut()
    for each in keys:
        add(client, each, 10, 2)
        client.end_stream(each)
    events, _, _ = following.result(DEADLINE)
    whole = expected(12)
    assert [of(events, each) for each in keys] == [whole[whole.index(first) :]] * 2


def test_streams_that_do_not_exist_yet_are_waited_for(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 2)
    create(client, keys[0])
    token = client.issue_token(keys=keys, wait=True).token
    following = in_background(
        lambda: api.follow_many(server.many_url(transport), keys, token, wait=True)
    )
    add(client, keys[0], 0, 1)
    client.end_stream(keys[0])
    create(client, keys[1])
    client.end_stream(keys[1])
    events, _, _ = following.result(DEADLINE)
    assert [of(events, each) for each in keys] == [expected(1), expected(0)]


def test_a_stream_that_is_gone_is_reported_and_the_others_go_on(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 2)
    create(client, keys[0])
    # Long enough for a first connection on a busy machine.
    client.create_stream(keys[1], ttl=3)
    token = client.issue_token(keys=keys).token
    last = client.stream_info(keys[1]).last_id

    def expire() -> None:
        wait_until(lambda: not is_there(client, keys[1]))
        proxy.cut()
        client.end_stream(keys[0])

    react: Reactions = {(keys[1], "start"): [(expire,)]}
    url = server.many_url(transport, proxy.url)
    events, statuses, _ = api.follow_many(url, keys, token, react)
    (loss,) = [event.missed for event in events if event.missed is not None]
    assert (loss.after, loss.first, loss.missed) == (last, None, None)
    assert of([event for event in events if event.missed is None], keys[1]) == ["start"]
    assert of(events, keys[0]) == ["start", "end"]
    assert statuses == {keys[0]: "ended", keys[1]: "gone"}


def is_there(client: Client, key: str) -> bool:
    try:
        client.stream_info(key)
    except ApiError:
        return False
    return True


def test_a_stream_that_does_not_exist_or_is_not_allowed_is_an_error(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 2)
    create(client, keys[0])
    for token, code in (
        (client.issue_token(prefix=key), "stream-not-found"),
        (client.issue_token(keys[0]), "forbidden"),
    ):
        with pytest.raises(ApiError) as raised:
            api.follow_many(server.many_url(transport), keys, token.token)
        assert raised.value.code == code


def test_close_ends_the_iteration_in_another_thread(
    server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    create(client, f"{key}-a", f"{key}-b")
    token = client.issue_token(prefix=key).token
    subscription = subscribe_many(
        server.many_url(transport, proxy.url), [f"{key}-a", f"{key}-b"], token
    )
    seen: list[KeyedEvent] = []
    following = in_background(lambda: seen.extend(subscription))
    wait_until(lambda: len(subscription.cursor or "") > 0)
    subscription.close()
    following.result(DEADLINE)
    wait_until(lambda: proxy.open_connections == 0)


def test_a_cancelled_wait_for_an_event_loses_nothing(
    server: Server, client: Client, key: str, transport: str
) -> None:
    keys = keys_of(key, 2)
    create(client, *keys)
    token = client.issue_token(prefix=key).token

    async def run() -> list[KeyedEvent]:
        events: list[KeyedEvent] = []
        subscription = asubscribe_many(server.many_url(transport), keys, token)
        async with subscription:
            for part in range(3):
                for each in keys:
                    add(client, each, part, 1)
                while len(events) < 2 * (part + 2):
                    events.append(await anext(subscription))
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(subscription), 0.05)
            for each in keys:
                client.end_stream(each)
            events.extend([event async for event in subscription])
        return events

    events = asyncio.run(asyncio.wait_for(run(), DEADLINE))
    assert [of(events, each) for each in keys] == [expected(3)] * 2
