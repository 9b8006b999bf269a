"""Streams that end, are cancelled, fail or are abandoned: what subscribers and backends see."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any

import pytest
from conftest import Server
from fake_broker import events_of, follow
from interfaces import DEADLINE, Api, Reactions, in_background
from proxy import Proxy
from streams import add, create, expected, filled, keys_of, of, words

from tinistreamer import (
    ApiError,
    Client,
    Event,
    NewEvent,
    PublishError,
    StreamFailed,
    StreamNotActive,
    asubscribe,
    subscribe,
)

over_all = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])
over_both = pytest.mark.parametrize("transport", ["ndjson", "websocket"])
FAILURE = '{"code":"overloaded","message":"The model is overloaded"}'


def fail(client: Client, key: str) -> None:
    client.fail_stream(key, code="overloaded", message="The model is overloaded")


@over_all
@pytest.mark.parametrize("options", [{}, {"events": ["token"]}, {"from_": "-1"}])
def test_a_failed_stream_ends_the_iteration_with_its_reason_and_status(
    api: Api, server: Server, client: Client, key: str, transport: str, options: dict[str, Any]
) -> None:
    token = filled(client, key, 20, ended=False)
    following = in_background(
        lambda: api.follow(server.follow_url(transport, key), token, **options)
    )
    add(client, key, 20, 20)
    fail(client, key)
    for events, status in (
        following.result(DEADLINE),
        api.follow(server.follow_url(transport, key), token, **options),
    ):
        assert (events[-1].event, events[-1].data, status) == ("fail", FAILURE, "failed")
        assert events[-1].json()["code"] == "overloaded"
        if "from_" not in options:
            assert words(events[:-1]) == expected(40)[:-1]


@over_all
def test_after_a_cut_behind_the_event_fail_the_end_is_still_known(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 3, ended=False)
    fail(client, key)

    def seen(event: Event) -> None:
        if event.event == "fail":
            # The next request breaks too, before its response.
            proxy.cut_responses = 1
            proxy.cut()

    events, status = api.follow(server.follow_url(transport, key, proxy.url), token, seen)
    assert (words(events), status) == (expected(3, FAILURE), "failed")
    assert proxy.connections == (3 if transport == "sse" else 1)


@over_all
@pytest.mark.parametrize("name", ["fail", "abandon"])
def test_an_event_of_that_name_without_a_status_is_an_ordinary_one(
    api: Api, transport: str, name: str
) -> None:
    events, status, asked = follow(
        api,
        transport,
        [
            # The stream goes on over the same connection, and over the next one.
            events_of(("5-0", "start"), ("5-1", name), ("5-2", "token"), ("5-3", name)),
            events_of(("5-4", name)),
            events_of(("5-5", "end")),
        ],
    )
    assert [event.event for event in events] == ["start", name, "token", name, name, "end"]
    assert (status, asked) == ("ended", [None, "5-3", "5-4"])


@over_all
@pytest.mark.parametrize(("name", "status"), [("fail", "failed"), ("abandon", "abandoned")])
def test_the_status_of_the_last_event_is_believed_and_over_sse_the_204(
    api: Api, transport: str, name: str, status: str
) -> None:
    last = events_of(("5-0", "start"), ("5-1", name), stream_status=status)
    events, outcome, asked = follow(api, transport, [last, None])
    assert [event.event for event in events] == ["start", name]
    assert outcome == status
    assert asked == ([None, "5-1"] if transport == "sse" else [None])


def test_the_status_is_believed_more_than_the_name(api: Api) -> None:
    last = events_of(("5-0", "end"), stream_status="abandoned")
    assert follow(api, "ndjson", [last])[1] == "abandoned"


@pytest.mark.parametrize("transport", ["ws", "ndjson", "poll"])
def test_an_ordinary_event_before_a_204_is_no_status(api: Api, transport: str) -> None:
    events, status, _ = follow(api, transport, [events_of(("5-0", "fail")), None])
    assert ([event.event for event in events], status) == (["fail"], None)


@over_all
@pytest.mark.parametrize("cut", [False, True])
def test_of_several_streams_one_fails_and_one_ends(
    api: Api, server: Server, proxy: Proxy, client: Client, key: str, transport: str, cut: bool
) -> None:
    keys = keys_of(key, 3)
    create(client, *keys)
    token = client.issue_token(keys=keys).token
    for each in keys:
        add(client, each, 0, 3)

    def finish() -> None:
        if cut:
            proxy.cut()
        client.end_stream(keys[1])
        fail(client, keys[2])

    fail(client, keys[0])
    react: Reactions = {(keys[0], FAILURE): [(finish,)]}
    url = server.many_url(transport, proxy.url)
    events, statuses, cursor = api.follow_many(url, keys, token, react)
    lasts = [FAILURE, "end", FAILURE]
    assert [of(events, each) for each in keys] == [expected(3, last) for last in lasts]
    assert [statuses[each] for each in keys] == ["failed", "ended", "failed"]
    assert api.follow_many(url, keys, token, after=cursor)[0] == []


@over_all
def test_a_text_of_a_stream_that_failed_is_an_error(
    server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 2, ended=False)
    fail(client, key)
    url = server.follow_url(transport, key)

    def read(is_async: bool) -> str:
        if is_async:
            return asyncio.run(asubscribe(url, token).text())
        return subscribe(url, token).text()

    for is_async in (False, True):
        with pytest.raises(StreamFailed, match="The stream failed: The model is over") as raised:
            read(is_async)
        assert (raised.value.code, raised.value.status) == ("stream-failed", "failed")
        assert raised.value.last_event is not None
        assert raised.value.last_event.data == FAILURE
        again = pickle.loads(pickle.dumps(raised.value))
        assert (str(again), again.last_event) == (str(raised.value), raised.value.last_event)
    events = subscribe(url, token)
    assert (words(events.collect()), events.status) == (expected(2, FAILURE), "failed")


def test_the_error_says_what_the_broker_wrote_and_needs_no_reason() -> None:
    lease = Event("5-1", "abandon", '{"reason":"lease"}')
    assert StreamFailed("abandoned", lease).message == "The stream was abandoned: lease"
    for data in ("", "null", "3", "{"):
        error = StreamFailed("failed", Event("5-1", "fail", data))
        assert (error.message, error.code) == ("The stream failed", "stream-failed")
    assert StreamFailed("failed").message == "The stream failed"


def test_the_last_event_has_what_the_call_says(
    api: Api, server: Server, client: Client, key: str
) -> None:
    calls: list[tuple[str, dict[str, Any], str | None]] = [
        ("end", {"data": {"tokens": 3}}, '{"tokens":3}'),
        ("end", {"data": "bye"}, "bye"),
        ("end", {}, None),
        ("cancel", {"reason": "enough", "by": "user-7"}, '{"reason":"enough","by":"user-7"}'),
        ("cancel", {}, None),
        ("fail", {"code": "overloaded", "message": "The model is overloaded"}, FAILURE),
        ("fail", {}, '{"code":"error","message":""}'),
    ]
    statuses = {"end": "ended", "cancel": "cancelled", "fail": "failed"}
    for name, options, data in calls:
        generation = client.create_stream(key).generation
        done = api.call(
            server.url,
            server.api_key,
            f"{name}_stream",
            key,
            generation=generation,
            **options,
        )
        assert done.status == client.stream_info(key).status == statuses[name]
        last = client.stream_events(key)[-1]
        assert (last.event, last.data) == (name, data)


@pytest.mark.parametrize("method", ["end_stream", "cancel_stream", "fail_stream"])
def test_to_finish_a_finished_stream_is_a_success_and_returns_its_status(
    api: Api, server: Server, client: Client, key: str, method: str
) -> None:
    with pytest.raises(ApiError) as raised:
        api.call(server.url, server.api_key, method, key)
    assert (raised.value.code, raised.value.stream_status) == ("no-active-stream", None)
    client.create_stream(key)
    fail(client, key)
    assert api.call(server.url, server.api_key, method, key).status == "failed"
    with pytest.raises(ApiError) as raised:
        add(client, key, 0, 1)
    assert (raised.value.code, raised.value.stream_status) == ("no-active-stream", "failed")
    assert pickle.loads(pickle.dumps(raised.value)).stream_status == "failed"


@pytest.mark.parametrize("method", ["end_stream", "cancel_stream", "fail_stream", "add_events"])
def test_a_request_that_names_another_generation_does_nothing(
    api: Api, server: Server, client: Client, key: str, method: str
) -> None:
    more = ([NewEvent(event="x")],) if method == "add_events" else ()
    old = client.create_stream(key).generation
    new = client.create_stream(key, if_exists="replace").generation
    assert old != new
    with pytest.raises(ApiError) as raised:
        api.call(server.url, server.api_key, method, key, *more, generation=old)
    assert (raised.value.status, raised.value.code) == (409, "stale-generation")
    assert client.stream_info(key).status == "active"
    assert [row.generation for row in client.list_streams(key)] == [new]


def test_to_create_may_attach_replace_or_repeat(
    api: Api, server: Server, client: Client, key: str
) -> None:
    def create(**options: Any) -> Any:
        return api.call(server.url, server.api_key, "create_stream", key, **options)

    first = create(request_id="r1")
    assert first.created
    again = create(request_id="r1")
    assert (again.created, again.generation) == (True, first.generation)
    with pytest.raises(ApiError) as raised:
        create()
    assert raised.value.code == "existing-stream"
    attached = create(if_exists="attach")
    assert (attached.created, attached.generation) == (False, first.generation)
    client.end_stream(key)
    assert create(if_finished="attach").generation == first.generation
    with pytest.raises(ApiError) as raised:
        create(if_finished="error")
    assert raised.value.stream_status == "ended"
    assert create().generation != first.generation


@over_both
@pytest.mark.parametrize("then", ["cancel", "fail"])
@pytest.mark.parametrize("how", ["end_stream", "cancel_stream", "fail_stream"])
def test_to_cancel_or_fail_succeeds_when_the_stream_was_finished_elsewhere(
    api: Api, server: Server, client: Client, key: str, transport: str, then: str, how: str
) -> None:
    client.create_stream(key)
    steps = [("write", "token", "x"), ("flush",), (getattr(client, how), key), (then,)]
    api.publish(server.url, server.api_key, key, steps, transport=transport)
    finish = how.partition("_")[0]
    assert words_of(client, key) == ["start", "token", finish]


@over_both
def test_a_writer_says_how_its_stream_was_finished_elsewhere(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    steps = [("write", "token", "x"), ("flush",), (fail, client, key), ("finish",)]
    with pytest.raises(StreamNotActive) as raised:
        api.publish(server.url, server.api_key, key, steps, transport=transport)
    assert (raised.value.stream_status, raised.value.acknowledged) == ("failed", 1)
    assert client.stream_info(key).status == "failed"


@over_both
def test_an_error_in_the_block_goes_on_when_the_stream_has_failed_elsewhere(
    api: Api,
    server: Server,
    client: Client,
    key: str,
    transport: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def raise_error() -> None:
        raise KeyError(key)

    client.create_stream(key)
    steps: list[tuple[Any, ...]] = [
        ("write", "token", "x"),
        ("flush",),
        (fail, client, key),
        ("write", "token", "y"),
        (raise_error,),
    ]
    # Over a WebSocket the writer may know of the failure before it writes again.
    with pytest.raises((KeyError, StreamNotActive)):
        api.publish(server.url, server.api_key, key, steps, transport=transport)
    assert client.stream_info(key).status == "failed"
    assert [
        record.message
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "tinistreamer"
    ] == []


@over_both
def test_a_writer_writes_into_the_stream_of_its_generation_only(
    api: Api, server: Server, client: Client, key: str, transport: str
) -> None:
    old = client.create_stream(key).generation
    steps: list[tuple[Any, ...]] = [("write", "token", "x")]
    new = client.create_stream(key, if_exists="replace").generation
    with pytest.raises(PublishError) as raised:
        api.publish(server.url, server.api_key, key, steps, transport=transport, generation=old)
    assert raised.value.code == "stale-generation"
    assert client.stream_info(key).length == 1
    options: dict[str, Any] = {"transport": transport, "generation": new}
    assert api.publish(server.url, server.api_key, key, steps, **options) == (1, 0)
    assert words_of(client, key) == ["start", "token", "end"]


def words_of(client: Client, key: str) -> list[str]:
    return [event.event for event in client.stream_events(key)]
