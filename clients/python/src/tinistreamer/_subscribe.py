"""The two ways to begin a subscription."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from ._asubscription import AsyncSubscription, Token, aconnect_sse
from ._extra import websocket_extra
from ._follow import Follower
from ._subscription import Subscription, connect_sse


def subscribe(
    url: str,
    token: str | Callable[[], str],
    *,
    after: str | None = None,
    silence: float = 45.0,
    give_up_after: float = 300.0,
    http_client: httpx.Client | None = None,
) -> Subscription:
    """Follows a stream to its end.

    `url` is an `sse_url` or a `ws_url` (with the extra `websocket`) of the broker.
    `token` is a client token, or a function that returns one: asked at the first connection, and when a token is no longer good.
    `after` is the id after which to start; None: at the first event stored.
    `silence`: for how many seconds nothing, not even a heartbeat, may come before the connection counts as broken.
    `give_up_after`: for how many seconds that may last before `Disconnected` is raised.
    `http_client`: one of your own, for server-sent events; it is not closed.
    """
    follower = _follower(url, token, after, silence, give_up_after)
    ask = token if callable(token) else None
    if not follower.is_websocket:
        return Subscription(follower, ask, connect_sse(http_client))
    with websocket_extra():
        from ._ws_subscription import connect  # noqa: PLC0415

    return Subscription(follower, ask, connect)


def asubscribe(
    url: str,
    token: str | Token,
    *,
    after: str | None = None,
    silence: float = 45.0,
    give_up_after: float = 300.0,
    http_client: httpx.AsyncClient | None = None,
) -> AsyncSubscription:
    """Follows a stream to its end, with asyncio: as `subscribe`, but the function for tokens may be a coroutine function, too."""
    follower = _follower(url, token, after, silence, give_up_after)
    ask = token if callable(token) else None
    if not follower.is_websocket:
        return AsyncSubscription(follower, ask, aconnect_sse(http_client))
    with websocket_extra():
        from ._ws_asubscription import connect  # noqa: PLC0415

    return AsyncSubscription(follower, ask, connect)


def _follower(url: str, token: str | Token, after: str | None, silence: float, give_up_after: float) -> Follower:
    follower = Follower(url, after=after, silence=silence, give_up_after=give_up_after, asks_for_token=callable(token))
    if isinstance(token, str):
        follower.token = token
    return follower
