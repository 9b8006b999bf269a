"""Writers, with a real broker and broken connections."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any

import pytest
from conftest import Server, free_port
from interfaces import DEADLINE, Api, in_background, wait_until
from proxy import Proxy

from tinistreamer import Ack, Client, InvalidEvent, PublishError, WriterClosed

FAILED = '{"code":"error","message":"The producer failed"}'

pytestmark = pytest.mark.parametrize("transport", ["ndjson", "websocket"])


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)]


def writes(count: int, first: int = 0) -> list[tuple[Any, ...]]:
    return [("write", "token", str(number)) for number in range(first, first + count)]


def tokens(count: int) -> list[tuple[str, str | None]]:
    return [("token", str(number)) for number in range(count)]


def test_the_end_of_the_block_finishes_the_stream(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    acks: list[Ack] = []
    done = api.publish(
        server.url, server.api_key, key, writes(300), transport=transport, on_ack=acks.append
    )
    assert done == (300, 0)
    assert stored(client, key) == [("start", None), *tokens(300), ("end", None)]
    assert client.stream_info(key).status == "ended"
    counts = [ack.count for ack in acks]
    assert counts == sorted(set(counts))
    assert acks[-1] == Ack(300, client.stream_events(key)[-2].id)


def test_an_error_in_the_block_fails_the_stream_and_propagates(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)

    def fail() -> None:
        raise KeyError(key)

    with pytest.raises(KeyError):
        api.publish(
            server.url, server.api_key, key, [*writes(3), ("flush",), (fail,)], transport=transport
        )
    assert stored(client, key) == [("start", None), *tokens(3), ("fail", FAILED)]


def test_flush_returns_when_all_events_are_stored(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    seen: list[object] = []
    look = (lambda: seen.append(stored(client, key)),)
    api.publish(
        server.url,
        server.api_key,
        key,
        [*writes(5), ("flush",), look, ("flush",)],
        transport=transport,
    )
    assert seen == [[("start", None), *tokens(5)]]


def test_close_leaves_the_stream_active(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    api.publish(server.url, server.api_key, key, [*writes(5), ("close",)], transport=transport)
    assert client.stream_info(key).status == "active"
    assert stored(client, key) == [("start", None), *tokens(5)]


def test_cancel_cancels_the_stream(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    api.publish(server.url, server.api_key, key, [*writes(5), ("cancel",)], transport=transport)
    assert client.stream_info(key).status == "cancelled"


@pytest.mark.parametrize("end", ["finish", "cancel", "fail", "close"])
def test_a_writer_takes_no_calls_after_its_end(
    api: Api, server: Server, client: Client, key: str, transport: str, end: str
) -> None:
    client.create_stream(key)
    for after in (("write", "token"), ("finish",)):
        with pytest.raises(WriterClosed):
            api.publish(server.url, server.api_key, key, [(end,), after], transport=transport)
        if client.stream_info(key).status != "active":
            client.create_stream(key)


def test_a_refused_name_does_not_fail_the_writer(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    with pytest.raises(InvalidEvent):
        api.publish(
            server.url,
            server.api_key,
            key,
            [*writes(1), ("flush",), ("write", "end")],
            transport=transport,
        )
    assert stored(client, key) == [("start", None), *tokens(1), ("fail", FAILED)]


def test_broken_connections_lose_and_repeat_nothing(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key, max_events=10_000)

    def lose(answers: int) -> None:
        proxy.cut_responses = answers

    steps: list[tuple[Any, ...]] = []
    for part in range(0, 320, 80):
        # The response to a stored request is lost. Then a connection breaks at any time.
        steps += [
            (lose, 1),
            *writes(40, part),
            ("flush",),
            *writes(20, part + 40),
            (proxy.cut,),
            *writes(20, part + 60),
        ]
    api.publish(
        proxy.url, server.api_key, key, [*steps, ("flush",), (lose, 1)], transport=transport
    )
    assert proxy.connections > 4
    assert stored(client, key) == [("start", None), *tokens(320), ("end", None)]


def test_a_stalled_connection_is_replaced(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)

    def stall(stalls: bool) -> None:
        proxy.stalls = stalls

    def publish() -> object:
        steps: list[tuple[Any, ...]] = [
            *writes(1),
            ("flush",),
            (stall, True),
            *writes(3, 1),
            (went.set_result, None),
            ("flush",),
        ]
        return api.publish(proxy.url, server.api_key, key, steps, transport=transport)

    went: Future[None] = Future()
    done = in_background(publish)
    went.result(DEADLINE)
    before = proxy.connections
    wait_until(lambda: proxy.connections > before)
    stall(stalls=False)
    proxy.cut()
    assert done.result(DEADLINE) == (4, 0)
    assert stored(client, key) == [("start", None), *tokens(4), ("end", None)]


def test_a_stream_that_has_ended_fails_the_next_call(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    steps: list[tuple[Any, ...]] = [
        *writes(2),
        ("flush",),
        (client.end_stream, key),
        *writes(1, 2),
        ("flush",),
    ]
    with pytest.raises(PublishError) as raised:
        api.publish(server.url, server.api_key, key, steps, transport=transport)
    assert (raised.value.code, raised.value.acknowledged) == ("no-active-stream", 2)


def test_an_unreachable_broker_is_an_error_after_retry_for(
    api: Api, key: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PublishError) as raised:
        api.publish(
            f"http://127.0.0.1:{free_port()}",
            "some-key",
            key,
            [*writes(1), ("flush",)],
            transport=transport,
            retry_for=0.3,
            lease=0,
        )
    assert (raised.value.code, raised.value.acknowledged) == ("unreachable", 0)
    assert [record.levelno for record in caplog.records if record.name == "tinistreamer"] == [
        logging.WARNING
    ]


def test_write_waits_while_max_pending_events_are_unacknowledged(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    proxy.stalls = True
    written: list[int] = []
    steps: list[tuple[Any, ...]] = []
    for number in range(8):
        steps += [*writes(1, number), (written.append, number)]
    done = in_background(
        lambda: api.publish(
            proxy.url, server.api_key, key, steps, transport=transport, max_pending=3
        )
    )
    # At the second connection, the first one has timed out. Nothing else delayed the writes.
    wait_until(lambda: proxy.connections >= 2)
    assert written == [0, 1, 2]
    proxy.stalls = False
    proxy.cut()
    assert done.result(DEADLINE) == (8, 0)
    assert stored(client, key) == [("start", None), *tokens(8), ("end", None)]


def test_an_error_in_on_ack_fails_the_writer(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)

    def on_ack(ack: Ack) -> None:
        raise KeyError(ack)

    with pytest.raises(PublishError) as raised:
        api.publish(
            server.url,
            server.api_key,
            key,
            [*writes(1), ("flush",), ("finish",), ("flush",)],
            transport=transport,
            on_ack=on_ack,
        )
    assert isinstance(raised.value.__cause__, KeyError)
