"""Stops: how a writer hears them, and what it does then, with a real broker."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from fake_routes import Answer, Route, fake_routes
from interfaces import DEADLINE, in_background, wait_until

from tinistreamer import Client, PublishError, Stop, Stopped, Writer, WriterClosed

over_both = pytest.mark.parametrize("transport", ["ndjson", "websocket"])
STOP = {"seq": 1, "name": "stop", "by": "user-7", "time": ""}
BY_KEY = '{"reason":"stop","by":"api-key"}'


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


def create(client: Client, key: str) -> None:
    client.create_stream(key, stop_grace=600)


@over_both
def test_after_a_stop_a_write_is_refused_and_the_block_cancels_the_stream_without_an_error(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    create(client, key)
    with backend.publish(server.url, server.api_key, key, transport=transport) as writer:
        for number in range(200):
            writer.write("token", str(number))
        client.send_signal(key, "stop", data={"why": "enough"})
        stop = writer.stopped()
        assert isinstance(stop, Stop)
        assert stop.signal is not None
        assert (stop.by, stop.signal.seq, stop.signal.data) == ("api-key", 1, {"why": "enough"})
        # Already heard: it is returned at once, and again.
        assert writer.stopped(0.0) == stop
        with pytest.raises(Stopped) as raised:
            writer.write("token", "too late")
        error = raised.value
        assert (error.code, error.by) == ("stopped", "api-key")
        assert isinstance(error, PublishError)
        again = pickle.loads(pickle.dumps(error))
        # The last events may not be confirmed yet.
        assert 0 <= error.acknowledged <= 200
        assert (str(again), again.by) == (str(error), "api-key")
        assert again.acknowledged == error.acknowledged
        raise error
    tokens = [("token", str(number)) for number in range(200)]
    assert stored(client, key) == [*tokens, ("cancel", BY_KEY)]
    # The last write was not waited for.
    assert writer.acknowledged == 200


def test_the_subject_of_a_token_is_who_has_stopped_the_stream(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    token = client.create_stream(key, permissions=["read", "signal"], subject="user-7").token
    subscription = backend.subscribe(server.follow_url("sse", key), token)
    with backend.publish(server.url, server.api_key, key) as writer:
        assert subscription.request_stop() == 1
        # The second one is the same stop.
        assert subscription.request_stop() == 1
        stop = writer.stopped()
        assert (stop.by, stop.signal.seq) == ("user-7", 1)
    assert stored(client, key) == [("cancel", '{"reason":"stop","by":"user-7"}')]
    with subscription:
        assert [event.event for event in subscription] == ["start", "cancel"]
    assert (subscription.reason.reason, subscription.reason.by) == ("stop", "user-7")


@over_both
def test_a_writer_that_does_not_hear_learns_of_the_stop_with_its_next_renewal(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    create(client, key)

    def write(writer: Any) -> None:
        while True:
            writer.write("token", ".")
            # A renewal needs a part of the CPU, too.
            time.sleep(0.01)

    options = {"transport": transport, "lease": 2}
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        client.send_signal(key, "steer")
        client.send_signal(key, "stop")
        write(writer)
    assert stored(client, key)[-1] == ("cancel", BY_KEY)


@over_both
def test_a_write_that_waits_for_room_ends_with_the_stop(backend: Backend, transport: str) -> None:
    is_sent = threading.Event()

    def hear(_: dict[str, Any]) -> Answer:
        is_sent.wait(DEADLINE)
        return (200, {"signals": [STOP], "stream_status": "active"})

    # Uploads are never answered.
    routes: dict[str, Route] = {
        "/api/event/add/json-stream": lambda _: None,
        "/api/event/add/ws-stream": lambda _: None,
        "/api/stream/signals": hear,
    }
    options: dict[str, Any] = {"transport": transport, "max_pending": 1, "timeout": 1}
    options["flush_timeout"] = 0.0
    with fake_routes(routes) as fake:
        writer = backend.publish(fake.url, "key", "k", **options)
        writer.write("token", "x")
        hearing = in_background(writer.stopped)
        waiting = in_background(lambda: writer.write("token", "y"))
        wait_until(lambda: bool(fake.bodies("/api/stream/signals")))
        assert (waiting.done(), hearing.done(), writer.pending) == (False, False, 1)
        is_sent.set()
        with pytest.raises(Stopped):
            waiting.result(DEADLINE)
        assert hearing.result(DEADLINE).by == "user-7"
        writer.cancel()
        cancelled = {"key": "k", "reason": "stop", "by": "user-7"}
        assert fake.bodies("/api/stream/cancel") == [cancelled]


@over_both
def test_a_stream_that_is_cancelled_elsewhere_is_a_stop_without_a_name(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    create(client, key)
    with backend.publish(server.url, server.api_key, key, transport=transport) as writer:
        writer.write("token", "x")
        writer.flush()
        client.cancel_stream(key, reason="admin", by="admin")
        stop = writer.stopped()
        assert (stop.by, stop.signal) == (None, None)
        with pytest.raises(Stopped):
            writer.write("token", "y")
    assert stored(client, key) == [("token", "x"), ("cancel", '{"reason":"admin","by":"admin"}')]


@over_both
@pytest.mark.parametrize("last", ["flush", "finish", "leave"])
def test_a_writer_that_learns_of_it_by_writing_has_the_error_stopped(
    backend: Backend, server: Server, client: Client, key: str, transport: str, last: str
) -> None:
    create(client, key)
    errors: list[Stopped] = []
    # Without a lease, only the answer to the upload says it.
    options: dict[str, Any] = {"transport": transport, "lease": 0}
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        writer.write("token", "x")
        writer.flush()
        client.send_signal(key, "stop")
        client.cancel_stream(key)
        try:
            writer.write("token", "y")
            if last != "leave":
                getattr(writer, last)()
        except Stopped as error:
            errors.append(error)
            raise
    if last != "leave":
        assert [(error.by, error.acknowledged) for error in errors] == [("api-key", 1)]
    assert writer.stopped().by == "api-key"
    assert stored(client, key) == [("token", "x"), ("cancel", None)]


@over_both
def test_a_renewal_also_says_that_the_stream_is_cancelled(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    create(client, key)
    options: dict[str, Any] = {"transport": transport, "lease": 2}
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        writer.write("token", "x")
        writer.flush()
        client.cancel_stream(key)

        def is_refused() -> bool:
            try:
                # Nothing is sent, so that only a renewal can say it.
                writer.pipe_from([])
            except Stopped:
                return True
            return False

        wait_until(is_refused)
    assert stored(client, key) == [("token", "x"), ("cancel", None)]


def test_stopped_returns_none_at_the_timeout_and_when_the_writer_ends_or_fails(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    for end in ("finish", "cancel", "fail", "close"):
        create(client, f"{key}-{end}")
        writer = backend.publish(server.url, server.api_key, f"{key}-{end}")
        assert writer.stopped(0.01) is None
        waiting = in_background(writer.stopped)
        getattr(writer, end)()
        assert waiting.result(DEADLINE) is None
        assert writer.stopped() is None
    with fake_routes(
        {
            "/api/stream/signals": lambda _: None,
            "/api/event/add/json-stream": lambda _: (400, {"code": "invalid-key", "message": ""}),
        }
    ) as fake:
        writer = backend.publish(fake.url, "key", "k")
        waiting = in_background(writer.stopped)
        wait_until(lambda: bool(fake.bodies("/api/stream/signals")))
        writer.write("token", "x")
        assert waiting.result(DEADLINE) is None
        # Nobody needs signals any more.
        wait_until(lambda: fake.left == ["/api/stream/signals"])


@over_both
@pytest.mark.parametrize("end", ["leave", "finish"])
def test_with_write_after_stop_the_producer_writes_on(
    backend: Backend, server: Server, client: Client, key: str, transport: str, end: str
) -> None:
    create(client, key)
    options: dict[str, Any] = {"transport": transport, "write_after_stop": True}
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        client.send_signal(key, "stop")
        writer.stopped()
        writer.write("token", "last words")
        if end == "finish":
            writer.finish()
    last = ("end", None) if end == "finish" else ("cancel", BY_KEY)
    assert stored(client, key) == [("token", "last words"), last]


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        ({}, BY_KEY),
        ({"reason": "tired"}, '{"reason":"tired"}'),
        ({"reason": "tired", "by": "me"}, '{"reason":"tired","by":"me"}'),
    ],
)
def test_cancel_says_what_its_caller_says_and_otherwise_what_the_signal_says(
    backend: Backend, server: Server, client: Client, key: str, arguments: Any, data: str
) -> None:
    create(client, key)
    writer = backend.publish(server.url, server.api_key, key)
    client.send_signal(key, "stop")
    writer.stopped()
    writer.flush()
    writer.cancel(**arguments)
    assert stored(client, key) == [("cancel", data)]
    with pytest.raises(WriterClosed):
        writer.cancel()


def test_without_a_stop_cancel_has_no_reason_and_is_no_stop_of_the_writer_itself(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    create(client, key)
    with backend.publish(server.url, server.api_key, key, lease=2) as writer:
        hearing = in_background(lambda: list(writer.signals()))
        waiting = in_background(writer.stopped)
        assert writer.stopped(0.1) is None
        writer.cancel()
        assert (waiting.result(DEADLINE), hearing.result(DEADLINE)) == (None, [])
    assert stored(client, key) == [("cancel", None)]


@pytest.mark.parametrize("error", [KeyError("secret"), KeyboardInterrupt()])
def test_after_a_stop_an_exception_ends_at_the_block_and_an_interrupt_goes_on(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    create(client, key)
    reached: list[str] = []

    def publish() -> None:
        with backend.publish(server.url, server.api_key, key) as writer:
            writer.write("token", "x")
            client.send_signal(key, "stop")
            writer.stopped()
            raise error
        reached.append("after the block")

    if isinstance(error, Exception):
        publish()
        assert reached
        assert f"After a stop, KeyError ({__file__}:" in caplog.text
    else:
        with pytest.raises(KeyboardInterrupt):
            publish()
    assert "secret" not in caplog.text
    assert stored(client, key) == [("token", "x"), ("cancel", BY_KEY)]


def test_a_stop_ends_at_the_block_of_its_own_writer(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    inner_key = f"{key}-inner"
    create(client, key)
    create(client, inner_key)
    after_inner = False
    with backend.publish(server.url, server.api_key, key) as outer:
        client.send_signal(key, "stop")
        outer.stopped()
        with backend.publish(server.url, server.api_key, inner_key):
            outer.write("token", "x")
        after_inner = True
    assert not after_inner
    assert stored(client, key) == [("cancel", BY_KEY)]
    failure = '{"code":"error","message":"The producer failed"}'
    assert stored(client, inner_key) == [("fail", failure)]


def test_a_writer_that_has_finished_takes_no_stop_of_another(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    inner_key = f"{key}-inner"
    create(client, key)
    create(client, inner_key)
    after_inner = False
    with backend.publish(server.url, server.api_key, key) as outer:
        client.send_signal(key, "stop")
        outer.stopped()
        with backend.publish(server.url, server.api_key, inner_key) as inner:
            inner.finish()
            outer.write("token", "x")
        after_inner = True
    assert not after_inner
    assert stored(client, inner_key) == [("end", None)]


def test_a_stop_that_cannot_be_carried_out_is_a_warning(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    routes: dict[str, Route] = {
        "/api/stream/signals": lambda body: (
            (200, {"signals": [STOP], "stream_status": "active"})
            if "after=0" in body["query"]
            else None
        ),
        "/api/stream/cancel": lambda _: (403, {"code": "forbidden", "message": "of stream k"}),
    }
    with fake_routes(routes) as fake, backend.publish(fake.url, "key", "k") as writer:
        assert writer.stopped().by == "user-7"
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "The stream could not be finished: HTTP 403 (forbidden)"
    ]


def test_threads_wait_for_the_same_stop(client: Client, key: str) -> None:
    create(client, key)
    heard: list[Stop | None] = []

    def wait(writer: Writer) -> None:
        heard.append(writer.stopped())

    with client.publish(key) as writer:
        threads = [threading.Thread(target=wait, args=(writer,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        client.send_signal(key, "stop")
        for thread in threads:
            thread.join(DEADLINE)
    assert [stop.by for stop in heard if stop is not None] == ["api-key"] * 5
