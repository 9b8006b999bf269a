"""Where a subscription gets its URL and its tokens from, with a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from interfaces import DEADLINE, in_background, wait_until
from proxy import Proxy
from streams import expected, filled, words

from tinistreamer import Access, ApiError, Client, asubscribe, asubscribe_many, subscribe

over_all = pytest.mark.parametrize("transport", ["sse", "ws", "ndjson", "poll"])


class Counted:
    """A function for an access, which counts its calls."""

    def __init__(self, access: Any) -> None:
        self.calls = 0
        self._access = access

    def __call__(self) -> Any:
        self.calls += 1
        return self._access


def given(access: Access) -> list[Any]:
    """Returns all forms of an access."""
    both = {"sse_url": access.sse_url, "token": access.token, "generation": "more"}
    return [access, both, lambda: access, lambda: both]


def test_an_access_is_all_that_a_subscription_needs(
    backend: Backend, client: Client, key: str
) -> None:
    filled(client, key, 3)
    for access in given(client.issue_token(key)):
        subscription = backend.subscribe(access=access)
        assert words(subscription.collect()) == expected(3)
        many = backend.subscribe_many(keys=[key], access=access)
        assert words(list(many)) == expected(3)


def test_a_coroutine_function_may_return_it(client: Client, key: str) -> None:
    filled(client, key, 3)
    access = client.issue_token(key)

    async def ask() -> Access:
        await asyncio.sleep(0)
        return access

    async def run() -> None:
        assert words(await asubscribe(access=ask).collect()) == expected(3)
        many = asubscribe_many(None, [key], access=ask)
        assert words([event async for event in many]) == expected(3)

    asyncio.run(asyncio.wait_for(run(), DEADLINE))


@over_all
def test_a_url_beside_it_counts_more_and_names_the_transport(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 3)
    ask = Counted({"sse_url": "http://127.0.0.1:1/api/client/sse?key=k", "token": token})
    subscription = backend.subscribe(server.follow_url(transport, key), access=ask)
    assert words(subscription.collect()) == expected(3)
    assert ask.calls == 1


@over_all
def test_a_token_beside_it_is_first_and_the_access_renews_it(
    backend: Backend, server: Server, proxy: Proxy, client: Client, key: str, transport: str
) -> None:
    token = filled(client, key, 1, ended=False)
    short = client.issue_token(key, ttl=2).token
    # Its URL is of no use: the subscription has one.
    ask = Counted({"sse_url": "http://127.0.0.1:1/", "token": token})
    url = server.follow_url(transport, key, proxy.url)
    subscription = backend.subscribe(url, short, access=ask)
    assert next(subscription).event == "start"
    assert ask.calls == 0
    # Until the first token has expired. It was valid when the connection was made.
    time.sleep(3)
    proxy.cut()
    following = in_background(lambda: list(subscription))
    wait_until(lambda: ask.calls == 1)
    client.end_stream(key)
    assert words(following.result(DEADLINE)) == ["0", "end"]
    assert ask.calls == 1


def test_a_refused_token_beside_an_access_is_replaced_by_that_of_the_access_once(
    backend: Backend, client: Client, key: str
) -> None:
    filled(client, key, 1)
    access = client.issue_token(key)
    assert words(backend.subscribe(None, "forged", access=access).collect()) == expected(1)
    forged = {"sse_url": access.sse_url, "token": "forged"}
    for refused in (forged, lambda: forged):
        subscription = backend.subscribe(token="also forged", access=refused)
        with pytest.raises(ApiError, match="unauthorized"):
            list(subscription)


@pytest.mark.parametrize("follow", [subscribe, asubscribe])
def test_the_error_names_what_is_missing(follow: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"URL is missing: pass url, .*or pass access"):
        follow()
    with pytest.raises(TypeError, match="URL is missing"):
        follow(token="t")
    with pytest.raises(TypeError, match=r"token is missing: pass token, .*or pass access"):
        follow("http://127.0.0.1:8000/api/client/sse?key=k")
    with pytest.raises(TypeError, match="Beside access, token is a text"):
        follow(token=lambda: "t", access=dict)
    for access, missing in (
        ({"token": "t"}, "sse_url"),
        ({"sse_url": "http://h/sse"}, "token"),
        ({"sse_url": "http://h/sse", "token": None}, "token"),
        ("http://h/sse", "sse_url"),
    ):
        with pytest.raises(TypeError, match=f"access has no {missing}"):
            follow(access=access)
    with pytest.raises(ValueError, match="none of the broker's"):
        follow(access={"sse_url": "http://127.0.0.1/elsewhere", "token": "t"})


def test_an_access_that_a_function_returns_is_checked_as_well(backend: Backend) -> None:
    with pytest.raises(TypeError, match="access has no sse_url"):
        list(backend.subscribe(access=dict[str, str]))
    with pytest.raises(ValueError, match="none of the broker's"):
        list(backend.subscribe(access=lambda: {"sse_url": "http://h/x", "token": "t"}))
    with pytest.raises(TypeError, match="A token is a text, not int"):
        list(backend.subscribe("http://127.0.0.1:1/sse?key=k", lambda: 17))
