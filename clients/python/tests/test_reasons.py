"""Why a stream was finished, as its subscribers learn it."""

from __future__ import annotations

from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from streams import filled

from tinistreamer import Client, Reason
from tinistreamer._reason import reason_in

over_all = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"reason":"stop","by":"user-7"}', Reason(reason="stop", by="user-7")),
        ('{"code":"a","message":"b"}', Reason(code="a", message="b")),
        ('{"reason":"lease","more":1}', Reason(reason="lease")),
        ('{"reason":1,"by":"x"}', Reason(by="x")),
        ('{"message":""}', Reason(message="")),
        ("{}", None),
        ("", None),
        ("{", None),
        ("[]", None),
        ("null", None),
        ("3", None),
        ('"text"', None),
    ],
)
def test_the_reason_is_in_the_data_of_the_last_event(data: str, reason: Reason | None) -> None:
    assert reason_in(data) == reason


@over_all
@pytest.mark.parametrize(
    ("method", "options", "reason"),
    [
        ("end_stream", {}, None),
        ("end_stream", {"data": {"reason": "of the caller's"}}, None),
        ("cancel_stream", {}, None),
        ("cancel_stream", {"reason": "stop", "by": "me"}, Reason(reason="stop", by="me")),
        ("fail_stream", {}, Reason(code="error", message="")),
        ("fail_stream", {"code": "a", "message": "b"}, Reason(code="a", message="b")),
    ],
)
def test_a_subscription_has_the_reason_at_the_end_and_not_before(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    transport: str,
    method: str,
    options: dict[str, Any],
    reason: Reason | None,
) -> None:
    token = filled(client, key, 1, ended=False)
    getattr(client, method)(key, **options)
    url = server.follow_url(transport, key)
    with backend.subscribe(url, token) as subscription:
        assert (subscription.reason, subscription.status) == (None, None)
        next(subscription)
        assert (subscription.reason, subscription.status) == (None, None)
        list(subscription)
        assert subscription.reason == reason
    with backend.subscribe_many(url, [key], token) as many:
        next(many)
        assert many.reasons == {key: None}
        list(many)
        assert many.reasons == {key: reason}
    last = client.stream_info(key).last_id
    after_the_end = backend.subscribe(url, token, after=last)
    assert list(after_the_end) == []
    assert (after_the_end.status, after_the_end.reason) == (None, None)
