"""Streams that are added to a subscription and dropped from it, with a real broker."""

from __future__ import annotations

import asyncio
import threading

import pytest
from conftest import Server
from interfaces import DEADLINE, Api, Reactions, in_background
from proxy import Proxy
from streams import add, create, expected, keys_of, of, words

from tinistreamer import (
    Client,
    KeyedEvent,
    Refused,
    asubscribe_many,
    subscribe_many,
)

pytestmark = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


def test_the_loop_itself_adds_and_drops_streams(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    first, second, third, late = keys_of(key, 4)
    create(client, first, second, third, late)
    for each in (first, second, third, late):
        add(client, each, 0, 10)
    for each in (first, third, late):
        client.end_stream(each)
    react: Reactions = {
        (first, "3"): [
            ("drop", second),
            ("add", third, {"from_": "-3"}),
            (proxy.cut,),
            ("add", late),
        ],
    }
    token = client.issue_token(prefix=key).token
    events, statuses, _ = api.follow_many(
        server.many_url(transport, proxy.url), [first, second], token, react
    )
    assert of(events, first) == expected(10)
    assert of(events, third) == ["8", "9", "end"]
    assert of(events, late) == expected(10)
    dropped = of(events, second)
    assert dropped == expected(10)[: len(dropped)]
    at = next(
        number for number, event in enumerate(events) if (event.key, event.data) == (first, "3")
    )
    assert second not in {event.key for event in events[at:]}
    assert statuses == {first: "ended", third: "ended", late: "ended"}


def test_another_thread_adds_and_drops_streams_while_no_event_comes(
    server: Server, client: Client, key: str, transport: str
) -> None:
    quiet, late, foreign = f"{key}-a", f"{key}-b", f"other-{key}"
    create(client, quiet, late, foreign)
    token = client.issue_token(prefix=key).token
    subscription = subscribe_many(server.many_url(transport), [quiet], token)
    began = threading.Event()

    def read() -> list[KeyedEvent]:
        events: list[KeyedEvent] = []
        for event in subscription:
            events.append(event)
            began.set()
        return events

    following = in_background(read)
    assert began.wait(DEADLINE)
    subscription.add(late)
    with pytest.raises(Refused) as raised:
        subscription.add(foreign)
    assert raised.value.code == "forbidden"
    position = subscription.drop(quiet)
    assert position == client.stream_info(quiet).last_id
    add(client, quiet, 0, 3)
    subscription.add(quiet, after=position)
    for each in (quiet, late):
        client.end_stream(each)
    events = following.result(DEADLINE)
    assert (of(events, quiet), of(events, late)) == (expected(3), ["start", "end"])
    assert subscription.statuses == {late: "ended", quiet: "ended"}


def test_another_task_adds_and_drops_streams_while_no_event_comes(
    server: Server, client: Client, key: str, transport: str
) -> None:
    quiet, late, foreign = f"{key}-a", f"{key}-b", f"other-{key}"
    create(client, quiet, late, foreign)
    token = client.issue_token(prefix=key).token

    async def run() -> list[KeyedEvent]:
        subscription = asubscribe_many(server.many_url(transport), [quiet], token)
        events: list[KeyedEvent] = []
        began = asyncio.Event()

        async def read() -> None:
            async for event in subscription:
                events.append(event)
                began.set()

        reading = asyncio.create_task(read())
        await began.wait()
        await subscription.add(late)
        with pytest.raises(Refused) as raised:
            await subscription.add(foreign)
        assert raised.value.code == "forbidden"
        position = await subscription.drop(quiet)
        add(client, quiet, 0, 3)
        await subscription.add(quiet, after=position)
        for each in (quiet, late):
            client.end_stream(each)
        await reading
        assert subscription.statuses == {late: "ended", quiet: "ended"}
        return events

    events = asyncio.run(asyncio.wait_for(run(), DEADLINE))
    assert (of(events, quiet), of(events, late)) == (expected(3), ["start", "end"])


def test_without_any_stream_the_iteration_waits_for_another(
    server: Server, client: Client, key: str, transport: str
) -> None:
    create(client, f"{key}-a", f"{key}-b")
    token = client.issue_token(prefix=key).token
    subscription = subscribe_many(server.many_url(transport), [f"{key}-a"], token)
    assert next(subscription).event == "start"
    subscription.drop(f"{key}-a")
    following = in_background(lambda: list(subscription))
    subscription.add(f"{key}-b")
    client.end_stream(f"{key}-b")
    assert words(following.result(DEADLINE)) == ["start", "end"]
