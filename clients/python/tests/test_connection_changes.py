"""What a subscription reports about its connection, to the caller and to the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from blocking import Backend
from conftest import Server, free_port
from interfaces import DEADLINE, in_background, wait_until
from proxy import Proxy
from streams import add, filled, words

from tinistreamer import ApiError, Client, ConnectionChange, Disconnected, Unreachable
from tinistreamer._connection_changes import ConnectionReporter

over_all = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


def states(changes: list[ConnectionChange]) -> list[tuple[str, int]]:
    return [(change.state, change.attempt) for change in changes]


def test_attempts_count_until_the_next_event_and_the_end_comes_once() -> None:
    changes: list[ConnectionChange] = []
    subject = ConnectionReporter(changes.append)
    broken = Unreachable("broken")
    subject.connecting()
    subject.open()
    subject.open()
    subject.waiting(broken, 1.5)
    subject.connecting()
    subject.waiting(broken, 3.0)
    subject.connecting()
    subject.open()
    subject.end_row()
    subject.waiting(broken, 0.5)
    subject.connecting()
    subject.closed(broken)
    subject.closed()
    subject.connecting()
    assert states(changes) == [
        ("connecting", 1),
        ("open", 1),
        ("waiting", 1),
        ("connecting", 2),
        ("waiting", 2),
        ("connecting", 3),
        ("open", 3),
        ("waiting", 3),
        ("connecting", 1),
        ("closed", 1),
    ]
    assert changes[2] == ConnectionChange("waiting", 1, broken, 1.5)
    assert changes[-1] == ConnectionChange("closed", 1, broken, None)


@over_all
def test_a_subscription_reports_each_change(
    backend: Backend, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)
    changes: list[ConnectionChange] = []
    url = server.follow_url(transport, key, proxy.url)
    with backend.subscribe(url, token, on_connection=changes.append) as subscription:
        assert changes == []
        assert [next(subscription).event, next(subscription).data] == ["start", "0"]
        assert states(changes) == [("connecting", 1), ("open", 1)]
        # The next attempt fails before its response. Polls have no connection in between.
        proxy.cut_responses = 2 if transport == "poll" else 1
        proxy.cut()
        following = in_background(lambda: list(subscription))
        wait_until(lambda: states(changes)[-1] == ("open", 2))
        client.end_stream(key)
        assert words(following.result(DEADLINE)) == ["end"]
    assert states(changes)[2:] == [
        ("waiting", 1),
        ("connecting", 1),
        ("waiting", 1),
        ("connecting", 2),
        ("open", 2),
        ("closed", 2),
    ]
    for change in changes:
        is_waiting = change.state == "waiting"
        assert isinstance(change.error, Unreachable) == is_waiting
        assert (change.retry_in is not None) == is_waiting


@over_all
def test_the_end_of_a_subscription_has_its_error(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    changes: list[ConnectionChange] = []
    url = server.follow_url(transport, key)
    with pytest.raises(ApiError) as raised:
        list(backend.subscribe(url, "forged", on_connection=changes.append))
    assert states(changes) == [("connecting", 1), ("closed", 1)]
    assert changes[-1].error is raised.value
    changes.clear()
    down = Server(f"http://127.0.0.1:{free_port()}", "").follow_url(transport, key)
    options: dict[str, Any] = {"give_up_after": 0.5, "on_connection": changes.append}
    with pytest.raises(Disconnected) as gave_up:
        list(backend.subscribe(down, "t", **options))
    assert changes[-1] == ConnectionChange("closed", changes[-1].attempt, gave_up.value)
    assert changes[-1].attempt >= 1


@over_all
def test_a_caller_that_leaves_closes_it_without_an_error(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)
    changes: list[ConnectionChange] = []
    url = server.follow_url(transport, key)
    with backend.subscribe(url, token, on_connection=changes.append) as subscription:
        next(subscription)
    subscription.close()
    assert changes == [
        ConnectionChange("connecting", 1),
        ConnectionChange("open", 1),
        ConnectionChange("closed", 1),
    ]


@over_all
def test_a_change_of_the_streams_is_no_failure(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    keys = [f"{key}-{number}" for number in range(2)]
    for each in keys:
        filled(client, each, 1, ended=False)
    token = client.issue_token(keys=keys).token
    changes: list[ConnectionChange] = []
    options: dict[str, Any] = {"on_connection": changes.append}
    url = server.many_url(transport)
    with backend.subscribe_many(url, keys[:1], token, **options) as many:
        next(many)
        many.add(keys[1])
        for each in keys:
            client.end_stream(each)
        list(many)
        assert many.reasons == {keys[0]: None, keys[1]: None}
    expected = [("connecting", 1), ("open", 1)]
    # Over a WebSocket, an addition is a message.
    again = 1 if transport == "ws" else 2
    assert states(changes) == [*expected * again, ("closed", 1)]


def test_an_error_of_the_function_ends_the_subscription(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    token = filled(client, key, 1)

    def fail(change: ConnectionChange) -> None:
        raise KeyError(change.state)

    subscription = backend.subscribe(server.follow_url("sse", key), token, on_connection=fail)
    with pytest.raises(KeyError):
        list(subscription)


@over_all
def test_the_log_has_reconnects_and_no_secret(
    backend: Backend,
    server: Server,
    proxy: Proxy,
    client: Client,
    key: str,
    transport: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "tinistreamer")
    token = filled(client, key, 1, ended=False)
    subscription = backend.subscribe(server.follow_url(transport, key, proxy.url), token)
    writer = backend.publish(proxy.url, server.api_key, key, lease=2)
    writer.stopped(0.01)
    assert next(subscription).event == "start"
    proxy.cut()
    following = in_background(lambda: list(subscription))

    def reconnects_are_logged() -> bool:
        # Polls have no connection in between.
        proxy.cut_responses = 1 if transport == "poll" else 0
        return "connects again in" in caplog.text

    wait_until(reconnects_are_logged)
    proxy.cut_responses = 0
    add(client, key, 1, 1)
    writer.write("token", "secret data")
    writer.finish()
    following.result(DEADLINE)
    found = [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == "tinistreamer"
    ]
    reconnects = [level for level, message in found if "connects again in" in message]
    assert set(reconnects) == {logging.INFO}
    assert (logging.DEBUG, "The connection of a subscription is open, attempt 1") in found
    for secret in (token, server.api_key, key, "secret data", "?"):
        assert all(secret not in message for _, message in found)
