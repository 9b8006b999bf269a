"""Sources that a writer pipes into its stream, with a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from fake_routes import fake_routes
from interfaces import DEADLINE, in_background, wait_until

from tinistreamer import AsyncClient, Client, InvalidEvent, NewEvent, PublishError, Stopped

BY_KEY = ("cancel", '{"reason":"stop","by":"api-key"}')


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


class Source:
    """Yields items. Then it waits until it is closed, or ends, or fails."""

    def __init__(self, items: Iterable[Any], then: str = "end") -> None:
        self._items = iter(items)
        self._then = then
        self.closed = threading.Event()

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except StopIteration:
            if self._then == "wait":
                self.closed.wait(DEADLINE)
                raise OSError("closed while it was read") from None
            if self._then == "fail":
                raise KeyError from None
            raise

    def close(self) -> None:
        self.closed.set()


class AsyncSource(Source):
    """The same for asyncio. It cleans up for a while."""

    def __aiter__(self) -> AsyncSource:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._items)
        except StopIteration:
            if self._then == "wait":
                await asyncio.Event().wait()
            if self._then == "fail":
                raise KeyError from None
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        await asyncio.sleep(0.01)
        self.closed.set()


def source(backend: Backend, items: Iterable[Any], then: str = "end") -> Source:
    return AsyncSource(items, then) if backend.is_async else Source(items, then)


@pytest.mark.parametrize("event", ["token", "delta"])
def test_each_item_becomes_an_event_and_the_writer_goes_on(
    backend: Backend, server: Server, client: Client, key: str, event: str
) -> None:
    client.create_stream(key)
    items = ["a", {"b": 1}, None]
    options = {} if event == "token" else {"event": event}
    with backend.publish(server.url, server.api_key, key) as writer:
        writer.pipe_from(source(backend, items), **options)
        # A plain iterable will do for both interfaces.
        writer.pipe_from(iter(items), **options)
        writer.pipe_from(items, **options)
        writer.write("last")
    written = [(event, "a"), (event, '{"b":1}'), (event, None)]
    assert stored(client, key) == [*written * 3, ("last", None), ("end", None)]


def test_an_item_may_have_a_name_of_its_own(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    items = ["a", NewEvent(event="usage", data={"tokens": 1}), NewEvent(event="done"), "b"]
    with backend.publish(server.url, server.api_key, key) as writer:
        writer.pipe_from(source(backend, items))
        with pytest.raises(InvalidEvent):
            writer.pipe_from([NewEvent(event="end")])
    written = [("token", "a"), ("usage", '{"tokens":1}'), ("done", None), ("token", "b")]
    assert stored(client, key) == [*written, ("end", None)]


@pytest.mark.parametrize("write_after_stop", [False, True])
def test_a_stop_closes_a_source_that_waits_and_is_raised(
    backend: Backend, server: Server, client: Client, key: str, write_after_stop: bool
) -> None:
    client.create_stream(key, stop_grace=600)
    read = source(backend, ["a", "b"], "wait")
    raised: list[Stopped] = []

    def produce() -> None:
        options = {"write_after_stop": write_after_stop}
        with backend.publish(server.url, server.api_key, key, **options) as writer:
            try:
                writer.pipe_from(read)
            except Stopped as error:
                raised.append(error)
                raise

    produced = in_background(produce)
    wait_until(lambda: len(stored(client, key)) == 2)
    client.send_signal(key, "stop")
    produced.result(DEADLINE)
    assert read.closed.is_set()
    assert [error.by for error in raised] == ["api-key"]
    assert stored(client, key) == [("token", "a"), ("token", "b"), BY_KEY]


def test_a_stop_before_the_pipe_closes_the_source_at_once(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key, stop_grace=600)
    read = source(backend, [], "wait")
    with backend.publish(server.url, server.api_key, key) as writer:
        client.send_signal(key, "stop")
        writer.stopped()
        with pytest.raises(Stopped):
            writer.pipe_from(read)
        wait_until(read.closed.is_set)
    assert stored(client, key) == [BY_KEY]


def test_a_generator_is_closed_by_the_thread_or_task_that_runs_it(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key, stop_grace=600)
    closed: list[str] = []

    def endless() -> Generator[str, None, None]:
        try:
            while True:
                yield "x"
        finally:
            closed.append(threading.current_thread().name)

    async def async_endless() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "x"
                await asyncio.sleep(0)
        finally:
            # The stop cancels once: what follows is not disturbed.
            await asyncio.sleep(0.01)
            closed.append("async")

    def produce() -> None:
        with backend.publish(server.url, server.api_key, key) as writer:
            writer.pipe_from(async_endless() if backend.is_async else endless())

    produced = in_background(produce)
    wait_until(lambda: len(stored(client, key)) > 5)
    client.send_signal(key, "stop")
    produced.result(DEADLINE)
    assert len(closed) == 1
    assert "closer" not in closed[0]
    assert stored(client, key)[-1] == BY_KEY


@pytest.mark.parametrize(
    ("items", "then", "error"),
    [(["a"], "fail", KeyError), (["a", float("nan")], "wait", InvalidEvent)],
)
def test_another_error_is_raised_and_closes_the_source(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    items: list[Any],
    then: str,
    error: type[Exception],
) -> None:
    client.create_stream(key)
    read = source(backend, items, then)
    writer = backend.publish(server.url, server.api_key, key)
    with pytest.raises(error):
        writer.pipe_from(read)
    assert read.closed.is_set()
    writer.finish()
    assert stored(client, key) == [("token", "a"), ("end", None)]


def test_a_writer_that_fails_closes_a_source_that_waits(backend: Backend) -> None:
    read = source(backend, ["a"], "wait")
    refused = (400, {"code": "invalid-key", "message": ""})
    with fake_routes(
        {"/api/event/add/json-stream": lambda _: refused, "/api/stream/signals": lambda _: None}
    ) as fake:
        writer = backend.publish(fake.url, "key", "k")
        with pytest.raises(PublishError) as raised:
            writer.pipe_from(read)
        assert (raised.value.code, read.closed.is_set()) == ("invalid-key", True)


def test_a_source_that_cannot_be_closed_does_not_hide_the_stop(
    backend: Backend, server: Server, client: Client, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.create_stream(key, stop_grace=600)
    read = source(backend, ["a"], "wait")
    close: Callable[[], None] = read.closed.set

    def fail() -> None:
        close()
        raise KeyError("secret")

    setattr(read, "aclose" if backend.is_async else "close", fail)
    writer = backend.publish(server.url, server.api_key, key)
    piped = in_background(lambda: writer.pipe_from(read))
    wait_until(lambda: len(stored(client, key)) == 1)
    client.send_signal(key, "stop")
    with pytest.raises(Stopped):
        piped.result(DEADLINE)
    writer.cancel()
    assert "A source could not be closed: KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_cancelling_the_task_closes_the_source_and_goes_on(
    server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    read = AsyncSource(["a"], "wait")

    async def produce() -> None:
        async with (
            AsyncClient(server.url, server.api_key) as backend,
            backend.publish(key) as writer,
        ):
            await writer.pipe_from(read)

    async def run() -> None:
        task = asyncio.create_task(produce())
        while not await asyncio.to_thread(stored, client, key):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(run(), DEADLINE))
    assert read.closed.is_set()
    assert stored(client, key)[-1][0] == "fail"
