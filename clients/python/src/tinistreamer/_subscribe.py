"""The ways to begin a subscription."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import httpx

from . import _aconnect, _connect
from ._asubscription import AsyncManySubscription, AsyncSubscription, Token
from ._asubscription import Connect as AsyncConnect
from ._extra import websocket_extra
from ._follower import make_follower
from ._many_positions import ManyStreams
from ._positions import OneStream
from ._request import SubscribeRequest, transport_of
from ._subscription import Connect, ManySubscription, Subscription


def subscribe(
    url: str,
    token: str | Callable[[], str],
    *,
    after: str | None = None,
    events: Iterable[str] | None = None,
    from_: str | None = None,
    wait: bool = False,
    client_name: str | None = None,
    tags: Iterable[str] | None = None,
    silence: float = 45.0,
    give_up_after: float = 300.0,
    http_client: httpx.Client | None = None,
) -> Subscription:
    """Follows a stream to its end.

    `url` is the broker's for one stream: an `sse_url`, a `ws_url` (with the extra `websocket`), or one to `/ndjson` or `/poll`.
    `token` is a client token, or a function that returns one: asked at the first connection, and when a token is no longer good.
    `after` is the id after which to start; None: where `from_` says.
    `events`: the names of the events that are wanted; a `*` at the end of one stands for any ending. None: all.
    `from_`: where to begin: `start` (None), `now`, `-N` for the last N events, or an RFC 3339 time.
    `wait`: wait for a stream that does not exist yet, if the token allows it.
    `client_name`, `tags`: what the broker lists this client as.
    `silence`: for how many seconds nothing, not even a heartbeat, may come before the connection counts as broken.
    `give_up_after`: for how many seconds that may last before `Disconnected` is raised.
    `http_client`: one of your own, for all but WebSockets; it is not closed.
    """
    streams = OneStream(_request(url, events, from_, wait, client_name, tags), after)
    follower = make_follower(streams, token, silence, give_up_after)
    return Subscription(follower, token if callable(token) else None, _connector(url, http_client))


def subscribe_many(
    url: str,
    keys: Iterable[str],
    token: str | Callable[[], str],
    *,
    after: str | Mapping[str, str] | None = None,
    events: Iterable[str] | None = None,
    from_: str | None = None,
    wait: bool = False,
    client_name: str | None = None,
    tags: Iterable[str] | None = None,
    silence: float = 45.0,
    give_up_after: float = 300.0,
    http_client: httpx.Client | None = None,
) -> ManySubscription:
    """Follows several streams over one connection, until all have ended.

    `url` is any of the broker's for clients; the keys that it names count for nothing.
    `after` is a cursor, as a subscription or the broker told it, or the last id of each stream, by key.
    All else is as in `subscribe`.
    """
    streams = ManyStreams(_request(url, events, from_, wait, client_name, tags), keys, after)
    follower = make_follower(streams, token, silence, give_up_after)
    return ManySubscription(
        follower, token if callable(token) else None, _connector(url, http_client)
    )


def asubscribe(
    url: str,
    token: str | Token,
    *,
    after: str | None = None,
    events: Iterable[str] | None = None,
    from_: str | None = None,
    wait: bool = False,
    client_name: str | None = None,
    tags: Iterable[str] | None = None,
    silence: float = 45.0,
    give_up_after: float = 300.0,
    http_client: httpx.AsyncClient | None = None,
) -> AsyncSubscription:
    """Follows a stream to its end, with asyncio: as `subscribe`, but the function for tokens may be a coroutine function, too."""
    streams = OneStream(_request(url, events, from_, wait, client_name, tags), after)
    follower = make_follower(streams, token, silence, give_up_after)
    return AsyncSubscription(
        follower, token if callable(token) else None, _aconnector(url, http_client)
    )


def asubscribe_many(
    url: str,
    keys: Iterable[str],
    token: str | Token,
    *,
    after: str | Mapping[str, str] | None = None,
    events: Iterable[str] | None = None,
    from_: str | None = None,
    wait: bool = False,
    client_name: str | None = None,
    tags: Iterable[str] | None = None,
    silence: float = 45.0,
    give_up_after: float = 300.0,
    http_client: httpx.AsyncClient | None = None,
) -> AsyncManySubscription:
    """Follows several streams over one connection, with asyncio: as `subscribe_many`, with tokens as in `asubscribe`."""
    streams = ManyStreams(_request(url, events, from_, wait, client_name, tags), keys, after)
    follower = make_follower(streams, token, silence, give_up_after)
    return AsyncManySubscription(
        follower, token if callable(token) else None, _aconnector(url, http_client)
    )


def _request(
    url: str,
    events: Iterable[str] | None,
    from_: str | None,
    wait: bool,
    client_name: str | None,
    tags: Iterable[str] | None,
) -> SubscribeRequest:
    return SubscribeRequest.of(
        url, events=events, from_=from_, wait=wait, client_name=client_name, tags=tags
    )


def _connector(url: str, http_client: httpx.Client | None) -> Connect:
    match transport_of(url):
        case "ws":
            with websocket_extra():
                from ._ws_connect import connect  # noqa: PLC0415
            return connect
        case "poll":
            return _connect.connect_polls(http_client)
        case transport:
            return _connect.connect_stream(http_client, transport)


def _aconnector(url: str, http_client: httpx.AsyncClient | None) -> AsyncConnect:
    match transport_of(url):
        case "ws":
            with websocket_extra():
                from ._ws_aconnect import connect  # noqa: PLC0415
            return connect
        case "poll":
            return _aconnect.aconnect_polls(http_client)
        case transport:
            return _aconnect.aconnect_stream(http_client, transport)
