"""Management, with a real broker."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from conftest import Server, free_port
from interfaces import DEADLINE, Api, in_background, wait_until

from tinistreamer import (
    ApiError,
    AsyncClient,
    Client,
    DisconnectedByOperator,
    NewEvent,
    Unreachable,
)


def test_all_calls_work_on_a_stream(api: Api, server: Server, key: str) -> None:
    def call(method: str, *arguments: object, **options: object) -> object:
        return api.call(server.url, server.api_key, method, *arguments, **options)

    access = api.call(server.url, server.api_key, "create_stream", key, ttl=60, max_events=100)
    assert access.sse_url.startswith(server.url)
    assert api.call(server.url, server.api_key, "issue_token", key, ttl=30).token != access.token
    added = api.call(
        server.url,
        server.api_key,
        "add_events",
        key,
        [NewEvent(event="token", data={"a": 1}), NewEvent(event="empty")],
    )
    assert added.num_events == len(added.ids) == 2
    assert [row.key for row in api.call(server.url, server.api_key, "list_streams", key)] == [key]
    assert api.call(server.url, server.api_key, "stream_info", key).last_id == added.ids[-1]
    stored = api.call(server.url, server.api_key, "stream_events", key)
    assert [(event.event, event.data) for event in stored] == [
        ("start", None),
        ("token", '{"a":1}'),
        ("empty", None),
    ]
    assert api.call(server.url, server.api_key, "end_stream", key).status == "ended"
    api.call(server.url, server.api_key, "create_stream", key)
    assert api.call(server.url, server.api_key, "cancel_stream", key).status == "cancelled"
    assert api.call(server.url, server.api_key, "broker_info").store == "memory"
    assert call("ready") == "OK"


def test_tokens_are_for_one_stream_for_several_or_for_a_prefix(
    api: Api, server: Server, client: Client, key: str
) -> None:
    keys = [f"{key}-a", f"{key}-b"]
    for each in keys:
        client.create_stream(each)
        client.end_stream(each)

    def token(*arguments: object, **options: object) -> str:
        return str(api.call(server.url, server.api_key, "issue_token", *arguments, **options).token)

    url = server.many_url("sse")
    for opening in (token(keys=keys), token(prefix=key), token(keys=iter(keys), wait=True)):
        assert len(api.follow_many(url, keys, opening)[0]) == 4
    with pytest.raises(ApiError) as raised:
        api.follow_many(url, keys, token(keys[0]))
    assert raised.value.code == "forbidden"
    with pytest.raises(ApiError) as raised:
        token(keys=[*keys, f"{key}-c"])
    assert raised.value.code == "no-active-stream"


def test_subscribers_are_listed_with_name_and_tags_and_disconnected(
    api: Api, server: Server, client: Client, key: str
) -> None:
    keys = [f"{key}-a", f"{key}-b"]
    for each in keys:
        client.create_stream(each)
    token = client.issue_token(keys=keys).token
    options: dict[str, Any] = {"client_name": "the desk", "tags": [key, "y"], "events": ["alert*"]}
    following = in_background(
        lambda: api.follow_many(server.many_url("ws"), keys, token, **options)
    )
    wait_until(lambda: len(client.list_clients(tag=key)) == 1)
    (row,) = api.call(server.url, server.api_key, "list_clients", key=keys[1])
    assert (row.name, row.tags, sorted(row.keys), row.transport) == (
        "the desk",
        [key, "y"],
        keys,
        "ws",
    )
    assert api.call(server.url, server.api_key, "list_clients", tag=f"{key}-none") == []
    assert (
        api.call(server.url, server.api_key, "disconnect_client", row.id).status == "disconnected"
    )
    with pytest.raises(DisconnectedByOperator) as raised:
        following.result(DEADLINE)
    assert raised.value.code == "disconnected-by-operator"
    with pytest.raises(ApiError) as refused:
        api.call(server.url, server.api_key, "disconnect_client", "no/such client")
    assert refused.value.code == "client-not-found"


def test_events_of_a_producer_are_written_once(
    api: Api, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    for _ in range(2):
        api.call(
            server.url,
            server.api_key,
            "add_events",
            key,
            [NewEvent(event="x")],
            producer="p",
            sequence=0,
        )
    assert client.stream_info(key).length == 2


def test_an_error_has_the_brokers_status_code_and_message(
    api: Api, server: Server, key: str
) -> None:
    with pytest.raises(ApiError) as raised:
        api.call(server.url, server.api_key, "end_stream", key)
    assert (raised.value.status, raised.value.code) == (404, "no-active-stream")
    assert raised.value.message
    with pytest.raises(ApiError) as refused:
        api.call(server.url, "another key", "broker_info")
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")


def test_a_broker_that_does_not_run_is_unreachable(api: Api) -> None:
    with pytest.raises(Unreachable) as raised:
        api.call(f"http://127.0.0.1:{free_port()}", "some-key", "ready")
    assert raised.value.code == "unreachable"


def answering(answer: httpx.Response) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(lambda _: answer))


def test_retry_after_is_in_seconds() -> None:
    answer = httpx.Response(
        503, headers={"Retry-After": "7"}, json={"code": "store-unavailable", "message": "Away"}
    )
    with (
        answering(answer) as http,
        Client("http://broker", "k", http_client=http) as client,
        pytest.raises(ApiError) as raised,
    ):
        client.ready()
    assert (raised.value.retry_after, raised.value.code) == (7.0, "store-unavailable")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, html="<p>Bad gateway</p>"),
        httpx.Response(599),
        httpx.Response(302, headers={"Location": "/"}),
        httpx.Response(200, json=[]),
    ],
)
def test_a_response_that_is_not_from_the_broker_is_an_error(answer: httpx.Response) -> None:
    with (
        answering(answer) as http,
        Client("http://broker", "k", http_client=http) as client,
        pytest.raises(ApiError) as raised,
    ):
        client.broker_info()
    assert (raised.value.status, raised.value.code) == (answer.status_code, "unexpected-answer")


def test_the_callers_http_client_is_used_and_stays_open() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text="OK")

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            async with AsyncClient("http://broker/base/", "k", http_client=http) as client:
                assert await client.ready() == "OK"
            assert not http.is_closed

    asyncio.run(run())
    assert [(str(request.url), request.headers["X-API-KEY"]) for request in asked] == [
        ("http://broker/base/api/ready", "k")
    ]


def test_an_invalid_url_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="http://"):
        Client("broker:8000", "k")


def test_the_api_key_is_not_shown() -> None:
    with Client("http://broker", "a-secret") as client:
        assert "a-secret" not in repr(vars(client))
