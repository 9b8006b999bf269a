"""Events that are no longer stored: their number, and the error of `text` and `collect`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import Server

from tinistreamer import Client, EventsMissed, MissedTotal, NewEvent, asubscribe, subscribe
from tinistreamer._events import Missed
from tinistreamer._missed import MissedCounter, sum_of


def collect(
    method: str, url: str, token: str, *, is_async: bool, **options: Any
) -> tuple[Any, MissedTotal | None]:
    async def run() -> tuple[Any, MissedTotal | None]:
        events = asubscribe(url, token)
        return await getattr(events, method)(**options), events.missed

    if is_async:
        return asyncio.run(run())
    events = subscribe(url, token)
    return getattr(events, method)(**options), events.missed


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])
def test_a_text_without_its_start_is_an_error_unless_allowed(
    server: Server, client: Client, key: str, transport: str, *, is_async: bool
) -> None:
    token = client.create_stream(key, max_events=None).token
    client.add_events(key, [NewEvent(event="token", data=f"{number} ") for number in range(1500)])
    client.end_stream(key)
    stored = client.stream_events(key)
    lost = 1502 - len(stored)
    assert lost > 0
    url = server.follow_url(transport, key)
    for method in ("text", "collect"):
        with pytest.raises(EventsMissed) as raised:
            collect(method, url, token, is_async=is_async)
        assert (raised.value.code, raised.value.count) == ("missed", lost)
    text, missed = collect("text", url, token, is_async=is_async, allow_missed=True)
    assert text == "".join(str(event.data) for event in stored if event.event == "token")
    assert missed == MissedTotal(lost, known=True)
    events, _ = collect("collect", url, token, is_async=is_async, allow_missed=True)
    assert len(events) == len(stored) + 1


def test_a_stream_keeps_a_long_answer_by_default(server: Server, client: Client, key: str) -> None:
    token = client.create_stream(key).token
    words = [f"{number} " for number in range(1500)]
    with client.publish(key) as writer:
        for word in words:
            writer.write("token", word)
    assert collect("text", server.follow_url("sse", key), token, is_async=False) == (
        "".join(words),
        None,
    )


def test_a_loss_that_is_reported_again_counts_once() -> None:
    counter = MissedCounter()
    assert counter.total is None
    counter.add(Missed("1-0", "1-5", 4))
    counter.add(Missed("1-0", "1-7", 6))
    assert counter.total == MissedTotal(6, known=True)
    counter.add(Missed("1-7", "1-9", 1))
    assert counter.total == MissedTotal(7, known=True)
    counter.add(Missed("1-99", "1-0", None))
    assert counter.total == MissedTotal(7, known=False)
    assert sum_of([counter.total, None, MissedTotal(2, known=True)]) == MissedTotal(9, known=False)


def test_an_event_of_another_name_is_not_part_of_the_text(
    server: Server, client: Client, key: str
) -> None:
    token = client.create_stream(key).token
    client.add_events(
        key,
        [
            NewEvent(event="token", data="a"),
            NewEvent(event="thought", data="b"),
            NewEvent(event="token", data="c"),
        ],
    )
    client.cancel_stream(key)
    with subscribe(server.follow_url("sse", key), token) as events:
        assert events.text() == "ac"
        assert events.status == "cancelled"
    with subscribe(server.follow_url("sse", key), token) as events:
        assert events.text("thought") == "b"
