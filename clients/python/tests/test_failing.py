"""Producers that fail: what their subscribers learn, with a real broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from fake_routes import fake_routes
from interfaces import DEADLINE

from tinistreamer import AsyncClient, Client, Failure, StreamNotActive, WriterClosed

over_both = pytest.mark.parametrize("transport", ["ndjson", "websocket"])
FAILED = '{"code":"error","message":"The producer failed"}'
INTERRUPTED = '{"code":"interrupted","message":"The producer was interrupted"}'
SECRET = "sk-secret"


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


class Overloaded(Exception):
    """An error of a model."""


@over_both
@pytest.mark.parametrize(
    ("error", "data"),
    [
        (Overloaded(SECRET), FAILED),
        (ValueError(SECRET), FAILED),
        (KeyboardInterrupt(SECRET), INTERRUPTED),
        (SystemExit(SECRET), INTERRUPTED),
        (asyncio.CancelledError(SECRET), INTERRUPTED),
    ],
)
def test_an_error_that_leaves_the_block_fails_the_stream_without_its_text(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    transport: str,
    error: BaseException,
    data: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.create_stream(key)

    def produce() -> None:
        with backend.publish(server.url, server.api_key, key, transport=transport) as writer:
            writer.write("token", "x")
            raise error

    with pytest.raises(type(error)) as raised:
        produce()
    assert raised.value is error
    assert stored(client, key) == [("token", "x"), ("fail", data)]
    assert client.stream_info(key).status == "failed"
    assert SECRET not in caplog.text


def describe(error: BaseException) -> Failure:
    if isinstance(error, Overloaded):
        return Failure("model-overloaded", "Too much")
    if isinstance(error, asyncio.CancelledError):
        return Failure(message="The user has left")
    raise ValueError(SECRET)


def return_a_tuple(error: BaseException) -> tuple[str, str]:
    del error
    return ("code", "message")


def return_no_code(error: BaseException) -> Failure:
    del error
    return Failure("Not a code")


@pytest.mark.parametrize(
    ("error", "failure", "data"),
    [
        (Overloaded(), describe, '{"code":"model-overloaded","message":"Too much"}'),
        (asyncio.CancelledError(), describe, '{"code":"error","message":"The user has left"}'),
        # The function itself fails.
        (KeyError(), describe, FAILED),
        (KeyboardInterrupt(), describe, INTERRUPTED),
        (KeyError(), return_a_tuple, FAILED),
        (KeyError(), return_no_code, FAILED),
    ],
)
def test_failure_says_what_subscribers_learn(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    error: BaseException,
    failure: Any,
    data: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.create_stream(key)
    writer = backend.publish(server.url, server.api_key, key, failure=failure)
    with pytest.raises(type(error)), writer:
        raise error
    assert stored(client, key) == [("fail", data)]
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    is_default = data in {FAILED, INTERRUPTED}
    assert [warning.startswith("The function `failure` r") for warning in warnings] == (
        [True] * is_default
    )
    assert SECRET not in caplog.text


@over_both
@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        ({}, '{"code":"error","message":""}'),
        ({"code": "too-long"}, '{"code":"too-long","message":""}'),
        ({"code": "a", "message": "b"}, '{"code":"a","message":"b"}'),
        ({"message": "\ud83d"}, '{"code":"error","message":"\ufffd"}'),
    ],
)
def test_fail_reports_a_failure_after_the_written_events(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    transport: str,
    arguments: dict[str, str],
    data: str,
) -> None:
    client.create_stream(key)
    with backend.publish(server.url, server.api_key, key, transport=transport) as writer:
        for number in range(100):
            writer.write("token", str(number))
        writer.fail(**arguments)
        for call in (writer.fail, writer.finish, writer.cancel, lambda: writer.write("token")):
            with pytest.raises(WriterClosed):
                call()
    assert stored(client, key) == [*(("token", str(n)) for n in range(100)), ("fail", data)]


def test_an_invalid_code_is_refused_and_the_writer_goes_on(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    with backend.publish(server.url, server.api_key, key) as writer:
        for code in ("", "A", "a b", "a" * 65, "a\n"):
            with pytest.raises(ValueError, match="code of a failure"):
                writer.fail(code)
        writer.write("token", "x")
    assert stored(client, key) == [("token", "x"), ("end", None)]


def test_a_long_message_is_cut_where_a_character_ends() -> None:
    assert Failure(message="é" * 600).message == "é" * 512
    assert Failure(message="a" + "é" * 600).message == "a" + "é" * 511
    assert Failure("a").message is None


def test_fail_waits_no_longer_than_flush_timeout_and_drops_the_rest(backend: Backend) -> None:
    with fake_routes({"/api/event/add/json-stream": lambda _: None}) as fake:
        writer = backend.publish(
            fake.url, "key", "k", flush_timeout=0.05, retry_for=3600, timeout=1
        )
        writer.write("token", "x")
        writer.fail("late", "It took too long")
        assert fake.bodies("/api/stream/fail") == [
            {"key": "k", "code": "late", "message": "It took too long"}
        ]
        assert writer.pending == 0


def test_to_fail_is_tried_again(backend: Backend) -> None:
    answers: list[Any] = [
        (503, {"code": "store-unavailable", "message": ""}),
        # The first one did it: its answer was lost.
        (404, {"code": "no-active-stream", "message": "", "stream_status": "failed"}),
    ]
    with fake_routes({"/api/stream/fail": lambda _: answers.pop(0)}) as fake:
        backend.publish(fake.url, "key", "k").fail()
        assert answers == []
        inactive = (404, {"code": "no-active-stream", "message": ""})
        fake.routes["/api/stream/fail"] = lambda _: inactive
        writer = backend.publish(fake.url, "key", "k")
        with pytest.raises(StreamNotActive):
            writer.fail()


def test_a_generator_that_is_closed_was_interrupted(
    server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)

    async def produce(backend: AsyncClient) -> AsyncGenerator[str, None]:
        async with backend.publish(key) as writer:
            await writer.write("token", "x")
            yield "written"

    async def run() -> None:
        async with AsyncClient(server.url, server.api_key) as backend:
            generator = produce(backend)
            assert await anext(generator) == "written"
            await generator.aclose()

    asyncio.run(asyncio.wait_for(run(), DEADLINE))
    assert stored(client, key) == [("token", "x"), ("fail", INTERRUPTED)]
