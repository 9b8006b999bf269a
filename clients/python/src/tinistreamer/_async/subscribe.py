"""The functions that start an asynchronous subscription."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import httpx

from .._extra import websocket_extra
from .._follower import make_follower
from .._many_positions import ManyStreams
from .._positions import OneStream
from .._request import SubscribeRequest, transport_of
from .._tasks.concurrency import AsyncTokenSource
from .http import poll_connector, stream_connector
from .iteration import AsyncConnect
from .many_subscription import AsyncManySubscription
from .subscription import AsyncSubscription


def asubscribe(
    url: str,
    token: str | AsyncTokenSource,
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
    """Follows a stream to its end.

    `url` is an `sse_url` or a `ws_url` of the broker for one stream, or one that ends with
    `/ndjson` or `/poll`. A `ws_url` needs the extra `websocket`.
    `token` is a token, or a function or coroutine function that returns one.
    It is called before the first connection, and when a token is no longer valid.
    `after` is the id of the event after which to start. None: at the start position `from_`.
    `events` are the names of the wanted events. A `*` at the end stands for any ending. None: all.
    `from_` is the start position: `start` (None), `now`, `-N` for the last N events, or an RFC 3339
    time.
    `wait` waits for a stream that does not exist yet, if the token allows it.
    `client_name` and `tags` are shown in the broker's list of subscribers.
    `silence` is the number of seconds without data or a heartbeat after which the connection
    counts as broken.
    `give_up_after` is the number of such seconds after which `Disconnected` is raised.
    `http_client` is your own HTTP client, for all transports but WebSocket. It stays open.
    """
    request = SubscribeRequest.of(
        url, events=events, from_=from_, wait=wait, client_name=client_name, tags=tags
    )
    follower = make_follower(OneStream(request, after), token, silence, give_up_after)
    source = token if callable(token) else None
    return AsyncSubscription(follower, source, _connector(url, http_client))


def asubscribe_many(
    url: str,
    keys: Iterable[str],
    token: str | AsyncTokenSource,
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
    """Follows several streams over one connection, until all are finished.

    `url` is one of the broker's URLs for subscribers. The keys in it are ignored.
    `after` is a cursor from a subscription or from the broker, or the last id of each stream by
    key. The other options are those of `asubscribe`.
    """
    request = SubscribeRequest.of(
        url, events=events, from_=from_, wait=wait, client_name=client_name, tags=tags
    )
    follower = make_follower(ManyStreams(request, keys, after), token, silence, give_up_after)
    source = token if callable(token) else None
    return AsyncManySubscription(follower, source, _connector(url, http_client))


def _connector(url: str, http_client: httpx.AsyncClient | None) -> AsyncConnect:
    match transport_of(url):
        case "ws":
            with websocket_extra():
                from .websocket import connect  # noqa: PLC0415
            return connect
        case "poll":
            return poll_connector(http_client)
        case transport:
            return stream_connector(http_client, transport)
