"""Events that the broker joins for a subscription, with a real broker and without I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from hypothesis import given
from hypothesis import strategies as st
from interfaces import DEADLINE, in_background, wait_until
from proxy import Proxy
from streams import add, create, filled

from tinistreamer import Client, Event, Gap, NewEvent, Unreachable
from tinistreamer._frames import Frame, NdjsonDecoder, parse_message, parse_poll
from tinistreamer._request import SubscribeRequest
from tinistreamer._sequence import SequenceCheck
from tinistreamer._sse import SseDecoder

over_all = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


def check(after: str | None = None, *, is_filtered: bool = False) -> SequenceCheck:
    return SequenceCheck(after, is_filtered=is_filtered, may_start_anywhere=False)


@given(st.integers(0, 50), st.integers(1, 20), st.integers(-3, 3))
def test_a_frame_must_begin_where_the_one_before_ended(before: int, count: int, shift: int) -> None:
    subject = check(f"5-{before}")
    frame = Frame(f"5-{before + count + shift}", "token", "x", count=count)
    if shift == 0:
        event = subject.accept(frame)
        assert event is not None
        assert (event.count, subject.position) == (count, frame.id)
        # The next frame stands for one.
        assert subject.accept(Frame(f"5-{before + count + 1}", "token")) is not None
        return
    with pytest.raises(Gap):
        subject.accept(frame)
    assert subject.position == f"5-{before}"


@given(st.integers(0, 50), st.integers(1, 20), st.integers(-3, 3))
def test_with_a_filter_a_frame_must_not_begin_before_the_last_end(
    before: int, count: int, shift: int
) -> None:
    subject = check(f"5-{before}", is_filtered=True)
    frame = Frame(f"5-{max(before + count + shift, 0)}", "token", "x", count=count)
    if shift >= 0:
        assert subject.accept(frame) is not None
        return
    with pytest.raises(Gap):
        subject.accept(frame)


@pytest.mark.parametrize(("number", "count", "fits"), [(9, 3, True), (7, 1, True), (9, 2, False)])
def test_after_a_loss_a_frame_begins_with_the_first_event(
    number: int, count: int, fits: bool
) -> None:
    subject = check("5-2")
    loss = {"after": "5-2", "first": "5-7", "missed": 4}
    subject.accept(Frame(None, "missedevents", json.dumps(loss)))
    frame = Frame(f"5-{number}", "token", "x", count=count)
    if fits:
        assert subject.accept(frame) is not None
    else:
        with pytest.raises(Gap):
            subject.accept(frame)


def test_every_transport_says_how_many_events_a_frame_stands_for() -> None:
    value = {"key": "k", "id": "5-3", "event": "token", "data": "abc", "count": 3}
    line = json.dumps(value)
    body = json.dumps({"events": [value], "cursor": "5-3", "status": "active"})
    one = {"key": "k", "id": "5-4", "event": "token"}
    frames = [
        *NdjsonDecoder().feed(f"{line}\n".encode()),
        parse_poll(body.encode()).frames[0],
    ]
    message = parse_message(f"[{line},{json.dumps(one)}]")
    assert isinstance(message, list)
    assert [frame.count for frame in [*frames, *message]] == [3, 3, 3, 1]
    for count in ("many", [1]):
        with pytest.raises(Unreachable):
            parse_message(json.dumps({**value, "count": count}))


@given(st.data())
def test_over_sse_a_comment_before_the_frame_says_it_and_counts_once(data: st.DataObject) -> None:
    text = (
        b":rollup 2000\nevent: token\ndata: a\nid: 5-2000\n\n"
        b":\n\n"
        b"event: token\ndata: b\nid: 5-2001\n\n"
        b": rollup 2\nevent: token\ndata: c\nid: 5-2003\n\n"
        b":rollup 0\n:rollup x\n:rollup 2 \nevent: token\ndata: d\nid: 5-2004\n\n"
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    decoder = SseDecoder()
    frames = [
        frame
        for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)
        for frame in decoder.feed(text[start:stop])
    ]
    assert [frame.count for frame in frames] == [2000, 1, 2, 1]


def test_one_name_or_several_are_parameters() -> None:
    def parameters(**options: Any) -> list[tuple[str, str]]:
        return SubscribeRequest.of("http://h/sse", **options).parameters

    assert parameters(rollup="token") == [("rollup", "token")]
    assert parameters(rollup=["a,b", "c"], rollup_path=["/delta/text", ""], rollup_ms=20) == [
        ("rollup_ms", "20"),
        ("rollup", "a,b"),
        ("rollup", "c"),
        ("rollup_path", "/delta/text"),
        ("rollup_path", ""),
    ]
    assert parameters() == []


def text_of(events: list[Event]) -> str:
    return "".join(event.data for event in events if event.event == "token")


@over_all
def test_stored_events_come_as_one_and_the_text_is_the_same(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 300, ended=False)
    add(client, key, 300, 1, "note")
    add(client, key, 301, 300)
    client.end_stream(key)
    url = server.follow_url(transport, key)
    events = backend.subscribe(url, token, rollup="token").collect()
    assert [(event.event, event.count) for event in events] == [
        ("start", 1),
        ("token", 300),
        ("note", 1),
        ("token", 300),
        ("end", 1),
    ]
    assert text_of(events) == text_of(backend.subscribe(url, token).collect())
    # A subscription continues after any id, also after one inside of a frame.
    after = client.stream_events(key)[100].id
    events = backend.subscribe(url, token, rollup=["token"], after=after).collect()
    assert [event.count for event in events] == [200, 1, 300, 1]
    assert events[0].data.startswith("100101")
    keyed = list(backend.subscribe_many(url, [key], token, rollup=["token"]))
    assert [event.count for event in keyed] == [1, 300, 1, 300, 1]


@over_all
def test_live_events_are_joined_and_cuts_lose_and_repeat_nothing(
    backend: Backend, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 50, ended=False)
    url = server.follow_url(transport, key, proxy.url)
    subscription = backend.subscribe(url, token, rollup="token", rollup_ms=50)
    events: list[Event] = []

    def read() -> None:
        for event in subscription:
            events.append(event)
            if len(events) % 3 == 0:
                proxy.cut()

    reading = in_background(read)
    for part in range(10):
        add(client, key, 50 + part * 20, 20)
        # The subscription has part of them, so that the next come over a later connection.
        wait_until(lambda: text_of(events).endswith(str(69 + part * 20)))  # noqa: B023
    client.end_stream(key)
    reading.result(DEADLINE)
    tokens = [event for event in events if event.event == "token"]
    assert text_of(events) == "".join(map(str, range(250)))
    assert sum(event.count for event in tokens) == 250
    assert len(tokens) < 250
    assert proxy.connections > 1


def test_a_path_names_the_text_inside_of_json(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    create(client, key)
    deltas = [NewEvent(event="delta", data={"text": letter, "i": 0}) for letter in "abc"]
    client.add_events(key, deltas)
    client.end_stream(key)
    subscription = backend.subscribe(
        server.follow_url("ndjson", key),
        client.issue_token(key).token,
        rollup="delta",
        rollup_path="/text",
    )
    (joined,) = [event for event in subscription.collect() if event.event == "delta"]
    assert (joined.json(), joined.count) == ({"text": "abc", "i": 0}, 3)
