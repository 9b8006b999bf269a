"""The end of a subscription before the end of its stream, with a real broker."""

from __future__ import annotations

import asyncio

import pytest
from conftest import Server, free_port
from interfaces import DEADLINE, in_background, wait_until
from proxy import Proxy
from streams import filled, words

from tinistreamer import (
    AsyncSubscription,
    Client,
    asubscribe,
    subscribe,
)

pytestmark = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


def test_close_from_another_thread_ends_the_iteration_and_the_connection(
    server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)
    subscription = subscribe(server.follow_url(transport, key, proxy.url), token)
    following = in_background(lambda: list(subscription))
    wait_until(lambda: subscription.last_id == client.stream_info(key).last_id)
    subscription.close()
    assert words(following.result(DEADLINE)) == ["start", "0"]
    wait_until(lambda: proxy.open_connections == 0)


def test_a_closed_subscription_yields_no_more_events(
    server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 3)
    with subscribe(server.follow_url(transport, key), token) as subscription:
        assert next(subscription).event == "start"
    assert list(subscription) == []

    async def run() -> None:
        async with asubscribe(server.follow_url(transport, key), token) as events:
            assert (await anext(events)).event == "start"
        assert [event async for event in events] == []

    asyncio.run(run())


def test_close_ends_a_wait_for_the_next_attempt(key: str, transport: str) -> None:
    subscription = subscribe(
        Server(f"http://127.0.0.1:{free_port()}", "").follow_url(transport, key), "token"
    )
    following = in_background(lambda: list(subscription))
    subscription.close()
    assert following.result(DEADLINE) == []


def test_leaving_a_synchronous_loop_closes_the_connection(
    server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)
    for event in subscribe(server.follow_url(transport, key, proxy.url), token):
        assert event.event == "start"
        break
    wait_until(lambda: proxy.open_connections == 0)


def test_leaving_an_asynchronous_loop_closes_the_connection(
    server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)

    async def run() -> None:
        async for event in asubscribe(server.follow_url(transport, key, proxy.url), token):
            assert event.event == "start"
            break
        while proxy.open_connections:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), DEADLINE))


def test_cancelling_the_task_closes_the_connection(
    server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)

    async def read(subscription: AsyncSubscription, read_both: asyncio.Event) -> None:
        async for event in subscription:
            if event.event == "token":
                read_both.set()

    async def run() -> None:
        read_both = asyncio.Event()
        task = asyncio.create_task(
            read(asubscribe(server.follow_url(transport, key, proxy.url), token), read_both)
        )
        await read_both.wait()
        assert proxy.open_connections == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while proxy.open_connections:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), DEADLINE))
