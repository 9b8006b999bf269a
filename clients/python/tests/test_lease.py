"""The lease of a writer, with a real broker, a broken one, and without I/O."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
from typing import Any

import httpx
import pytest
from blocking import Backend
from conftest import Server
from fake_routes import NOT_FOUND, Answer, fake_routes
from interfaces import DEADLINE, wait_until

from tinistreamer import ApiError, AsyncClient, Client, Renewed, Unreachable
from tinistreamer._lease import Lease
from tinistreamer._writer_options import WriterOptions

over_both = pytest.mark.parametrize("transport", ["ndjson", "websocket"])
RENEW = "/api/stream/renew"
RENEWED = (200, {"lease_expires_at": "2026-01-01T00:00:30.000Z"})


def lease(seconds: int = 30, generation: str | None = None) -> Lease:
    return Lease(seconds, "k", generation, clock=lambda: 100.0)


def inactive(status: str | None) -> ApiError:
    return ApiError(404, "no-active-stream", "", stream_status=status)


def test_each_renewal_says_how_long_the_lease_is() -> None:
    subject = lease(40, "a" * 32)
    assert subject.left == 0.0
    for _ in range(2):
        body = subject.renew().body
        assert body == {"key": "k", "lease": 40, "generation": "a" * 32}
        assert subject.left == 10.0
    assert subject.release().body == {"key": "k", "lease": 0, "generation": "a" * 32}
    assert [lease(seconds).timeout for seconds in (2, 10, 86_400)] == [1.0, 5.0, 10.0]


@pytest.mark.parametrize(
    ("answer", "goes_on", "is_stopped"),
    [
        (Renewed(lease_expires_at="x"), True, False),
        (Renewed(lease_expires_at="x", stop_expires_at="y"), True, True),
        (Renewed(lease_expires_at="x", stop_requested_at="y"), True, True),
        (Unreachable("broken"), True, False),
        (ApiError(503, "store-unavailable", ""), True, False),
        (ApiError(429, "too-many", ""), True, False),
        (ApiError(200, "unexpected-answer", ""), True, False),
        # The stream does not exist yet.
        (inactive(None), True, False),
        (inactive("ended"), False, False),
        (inactive("abandoned"), False, False),
        (inactive("cancelled"), False, True),
        # A broker without leases.
        (ApiError(404, "not-found", ""), False, False),
        (ApiError(405, "method-not-allowed", ""), False, False),
        (ApiError(404, "unexpected-answer", ""), False, False),
        (ApiError(409, "stale-generation", ""), False, False),
        (ApiError(400, "invalid-key", ""), False, False),
        (ApiError(401, "unauthorized", ""), False, False),
        (ApiError(403, "forbidden", ""), False, False),
    ],
)
def test_the_answer_says_whether_to_renew_again_and_whether_to_stop(
    answer: Any, goes_on: bool, is_stopped: bool
) -> None:
    subject = lease()
    subject.renew()
    assert subject.answered(answer) is is_stopped
    assert subject.is_over is not goes_on


@pytest.mark.parametrize("seconds", [1, -1, 86_401, 2.5, 30.0, "30", True, None])
def test_another_lease_is_refused_before_anything_is_sent(seconds: Any) -> None:
    with pytest.raises(ValueError, match="lease is 2 to 86400 whole seconds, or 0"):
        WriterOptions("k", "ndjson", 1, 60.0, None, lease=seconds)
    for valid in (0, 2, 86_400):
        WriterOptions("k", "ndjson", 1, 60.0, None, lease=valid)


def lease_end(client: Client, key: str) -> str | None:
    return client.stream_info(key).lease_expires_at


@over_both
def test_a_silent_writer_keeps_the_stream_and_close_ends_the_lease(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    writer = backend.publish(server.url, server.api_key, key, transport=transport, lease=2)
    with writer:
        writer.write("token", "x")
        ends: set[str | None] = set()

        def seen() -> int:
            ends.add(lease_end(client, key))
            return len(ends - {None})

        # At least 4.5 seconds of silence, and more than twice the lease.
        wait_until(lambda: seen() >= 10)
        writer.close()
    assert (client.stream_info(key).status, lease_end(client, key)) == ("active", None)


def test_without_a_lease_the_stream_has_none(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    with backend.publish(server.url, server.api_key, key) as writer:
        wait_until(lambda: lease_end(client, key) is not None)
        writer.close()
    with fake_routes({RENEW: lambda _: RENEWED}) as fake:
        with backend.publish(fake.url, "key", "k", lease=0) as writer:
            writer.write("token", "x")
            writer.close()
        assert fake.bodies(RENEW) == []


def test_the_first_write_begins_the_lease_and_the_end_of_the_stream_needs_no_request(
    backend: Backend,
) -> None:
    with fake_routes({RENEW: lambda _: RENEWED}) as fake:
        writer = backend.publish(fake.url, "key", "k", generation="a" * 32)
        assert fake.asked == []
        writer.write("token", "x")
        wait_until(lambda: bool(fake.bodies(RENEW)))
        writer.finish()
        assert fake.bodies(RENEW) == [{"key": "k", "lease": 30, "generation": "a" * 32}]


def test_close_sends_the_end_of_the_lease_once_after_all_events(backend: Backend) -> None:
    with fake_routes({RENEW: lambda _: RENEWED}) as fake:
        with backend.publish(fake.url, "key", "k") as writer:
            writer.write("token", "x")
            writer.close()
        assert [body["lease"] for body in fake.bodies(RENEW)] == [30, 0]
        assert fake.asked[-1] == (RENEW, {"key": "k", "lease": 0})


def test_a_renewal_that_is_never_answered_delays_nothing(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with fake_routes({RENEW: lambda _: None}) as fake:
        with backend.publish(fake.url, "key", "k", lease=86_400) as writer:
            wait_until(lambda: bool(fake.bodies(RENEW)))
            writer.write("token", "x")
            writer.flush()
        assert fake.asked[-1][0] == "/api/stream/end"
        # Its connection is closed at once.
        wait_until(lambda: RENEW in fake.left)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        with backend.publish(fake.url, "key", "k", lease=2) as writer:
            writer.close()


def test_a_broker_that_fails_to_renew_is_asked_again_and_the_writer_goes_on(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: dict[str, Any]) -> Answer:
        return (503, {"code": "store-unavailable", "message": "no store at the key k"})

    with fake_routes({RENEW: fail}) as fake:
        with backend.publish(fake.url, "key", "k", lease=2) as writer:
            wait_until(lambda: len(fake.bodies(RENEW)) >= 3)
            writer.write("token", "x")
        assert fake.asked[-1][0] == "/api/stream/end"
    warnings = {(record.levelno, record.getMessage()) for record in caplog.records}
    assert (
        logging.WARNING,
        "The lease could not be renewed: HTTP 503 (store-unavailable)",
    ) in warnings
    assert "no store" not in caplog.text


@pytest.mark.parametrize(
    "answer", [NOT_FOUND, (405, {"code": "method-not-allowed", "message": ""})]
)
def test_a_broker_without_leases_is_asked_once_and_that_is_no_warning(
    backend: Backend, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with fake_routes({RENEW: lambda _: answer}) as fake:
        with backend.publish(fake.url, "key", "k", lease=2) as writer:
            wait_until(lambda: bool(fake.bodies(RENEW)))
            # More than one quarter of the lease.
            threading.Event().wait(1.2)
            writer.write("token", "x")
            writer.close()
        assert len(fake.bodies(RENEW)) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_renewals_and_long_polls_use_the_callers_http_client(backend: Backend) -> None:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        answer: dict[str, Any] = {"signals": [], "stream_status": "ended", "status": "ended"}
        return httpx.Response(200, json=answer)

    own = backend.http_client(transport=httpx.MockTransport(respond))
    options: dict[str, Any] = {"http_client": own, "timeout": 7.0}
    with backend.publish("http://broker", "key", "k", **options) as writer:
        assert list(writer.signals()) == []
        wait_until(lambda: len(requests) >= 2)
    found = {request.url.path: request for request in requests}
    renewal, poll = found[RENEW], found["/api/stream/signals"]
    assert renewal.extensions["timeout"]["read"] == 10.0
    assert poll.extensions["timeout"] == {"connect": 7.0, "read": 35.0, "write": 7.0, "pool": 7.0}
    assert dict(poll.url.params) == {"key": "k", "after": "0", "wait": "20"}
    assert poll.headers["X-API-KEY"] == "key"


PRODUCER = """
import sys
from tinistreamer import Client
client = Client(sys.argv[1], sys.argv[2])
writer = client.publish(sys.argv[3], lease=2)
writer.write("token", "x")
writer.flush()
while client.stream_info(sys.argv[3]).lease_expires_at is None:
    pass
print("leased", flush=True)
if sys.argv[4] == "hang":
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["hang", "return"])
def test_a_process_that_dies_leaves_an_abandoned_stream_and_a_lease_keeps_no_process_alive(
    server: Server, client: Client, key: str, end: str
) -> None:
    client.create_stream(key)
    command = [sys.executable, "-c", PRODUCER, server.url, server.api_key, key, end]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"leased\n"
        if end == "hang":
            process.kill()
        process.wait(DEADLINE)
    wait_until(lambda: client.stream_info(key).status == "abandoned")
    assert client.stream_info(key).reason == {"reason": "lease"}


def test_a_writer_that_its_program_drops_keeps_no_lease(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    writer = backend.publish(server.url, server.api_key, key, lease=2)
    writer.write("token", "x")
    writer.flush()
    wait_until(lambda: lease_end(client, key) is not None)
    del writer
    gc.collect()
    wait_until(lambda: client.stream_info(key).status == "abandoned")


def test_a_client_that_is_closed_too_early_ends_the_lease_quietly(server: Server, key: str) -> None:
    with Client(server.url, server.api_key) as client:
        client.create_stream(key)
        writer = client.publish(key, lease=2)
        writer.write("token", "x")
        writer.flush()
    with Client(server.url, server.api_key) as other:
        wait_until(lambda: other.stream_info(key).status == "abandoned")


async def _use_many(url: str) -> None:
    async with AsyncClient(url, "key") as client:
        writers = [client.publish(f"k{number}", lease=0) for number in range(120)]
        for writer in writers:
            assert await writer.stopped(0.001) is None
        for writer in writers:
            await writer.write("token", "x")
            await writer.finish()


def test_writers_that_hear_do_not_use_up_the_connections() -> None:
    with fake_routes({"/api/stream/signals": lambda _: None}) as fake:
        asyncio.run(asyncio.wait_for(_use_many(fake.url), DEADLINE))
        assert len(fake.bodies("/api/stream/end")) == 120
