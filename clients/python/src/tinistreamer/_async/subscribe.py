"""The functions that start an asynchronous subscription."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TypeVar

import httpx

from .._access import AnyAccess
from .._connection_changes import OnConnection
from .._events import Event
from .._extra import websocket_extra
from .._follower import Follower
from .._frames import Frame
from .._many_positions import ManyStreams
from .._positions import OneStream, Streams
from .._request import Names, SubscribeRequest, transport_of
from .._tasks.concurrency import AsyncAccessSource, AsyncTokenSource
from .._tasks.connection import AsyncConnection
from .credentials import AsyncCredentials
from .http import poll_connector, stream_connector
from .iteration import AsyncConnect
from .many_subscription import AsyncManySubscription
from .signalling import AsyncSignalling
from .subscription import AsyncSubscription

S = TypeVar("S", bound=Streams[Event])


def asubscribe(
    url: str | None = None,
    token: str | AsyncTokenSource | None = None,
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
    access: AnyAccess | AsyncAccessSource | None = None,
    rollup: Names | None = None,
    rollup_path: Names | None = None,
    rollup_ms: int | None = None,
    on_connection: OnConnection | None = None,
) -> AsyncSubscription:
    """Follows a stream to its end.

    `url` is an `sse_url` or a `ws_url` of the broker for one stream, or one that ends with
    `/ndjson` or `/poll`. A `ws_url` needs the extra `websocket`.
    `token` is a token, or a function or coroutine function that returns one.
    It is called before the first connection, and when a token is no longer valid.
    `access` stands for both: what `create_stream` and `issue_token` return, a dictionary with
    `sse_url` and `token`, or a function or coroutine function that returns one of them. Its URL
    counts once, and only without `url`. A `token` beside it is used first.
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
    `rollup` is one name or several: consecutive events of such a name come as one, whose `count`
    says how many they are. `rollup_path` has a JSON pointer for each name, to the text that is
    joined. `rollup_ms` also gathers live events, for so many milliseconds.
    `on_connection` is called with a `ConnectionChange` each time that the connection changes.
    """
    credentials = AsyncCredentials(url, token, access)
    request = SubscribeRequest.of(
        credentials.url,
        events=events,
        from_=from_,
        wait=wait,
        client_name=client_name,
        tags=tags,
        rollup=rollup,
        rollup_path=rollup_path,
        rollup_ms=rollup_ms,
    )
    follower = _follower(
        OneStream(request, after), credentials, silence, give_up_after, on_connection
    )
    signalling = AsyncSignalling(follower, credentials, http_client)
    connect = _connector(credentials.url, http_client)
    return AsyncSubscription(follower, credentials, connect, signalling)


def asubscribe_many(
    url: str | None = None,
    keys: Iterable[str] = (),
    token: str | AsyncTokenSource | None = None,
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
    access: AnyAccess | AsyncAccessSource | None = None,
    rollup: Names | None = None,
    rollup_path: Names | None = None,
    rollup_ms: int | None = None,
    on_connection: OnConnection | None = None,
) -> AsyncManySubscription:
    """Follows several streams over one connection, until all are finished.

    `url` is one of the broker's URLs for subscribers. The keys in it are ignored.
    `after` is a cursor from a subscription or from the broker, or the last id of each stream by
    key. The other options are those of `asubscribe`.
    """
    credentials = AsyncCredentials(url, token, access)
    request = SubscribeRequest.of(
        credentials.url,
        events=events,
        from_=from_,
        wait=wait,
        client_name=client_name,
        tags=tags,
        rollup=rollup,
        rollup_path=rollup_path,
        rollup_ms=rollup_ms,
    )
    follower = _follower(
        ManyStreams(request, keys, after), credentials, silence, give_up_after, on_connection
    )
    signalling = AsyncSignalling(follower, credentials, http_client)
    connect = _connector(credentials.url, http_client)
    return AsyncManySubscription(follower, credentials, connect, signalling)


def _follower(
    streams: S,
    credentials: AsyncCredentials,
    silence: float,
    give_up_after: float,
    on_connection: OnConnection | None,
) -> Follower[S]:
    follower = Follower(
        streams,
        silence=silence,
        give_up_after=give_up_after,
        asks_for_token=credentials.can_ask,
        on_connection=on_connection,
    )
    follower.token = credentials.first_token
    return follower


def _connector(url: str, http_client: httpx.AsyncClient | None) -> AsyncConnect:
    """Returns the function that connects. Without a URL, an access brings it later."""

    def connect_to_access(
        follower: Follower[Streams[Event]], connection: AsyncConnection
    ) -> AsyncGenerator[list[Frame], None]:
        return _connector_for(follower.streams.url, http_client)(follower, connection)

    return _connector_for(url, http_client) if url else connect_to_access


def _connector_for(url: str, http_client: httpx.AsyncClient | None) -> AsyncConnect:
    match transport_of(url):
        case "ws":
            with websocket_extra():
                from .websocket import connect  # noqa: PLC0415
            return connect
        case "poll":
            return poll_connector(http_client)
        case transport:
            return stream_connector(http_client, transport)
