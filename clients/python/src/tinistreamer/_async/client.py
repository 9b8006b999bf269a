"""The asynchronous client of a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar

import httpx

from .._errors import Unreachable
from .._events import check_events, check_key
from .._generated.api.connections.disconnect_client import disconnect_client
from .._generated.api.connections.list_clients import list_clients
from .._generated.api.health.broker_info import broker_info
from .._generated.api.health.ready import ready
from .._generated.api.ingestion.add_events import add_events
from .._generated.api.streams.cancel_stream import cancel_stream
from .._generated.api.streams.create_stream import create_stream
from .._generated.api.streams.end_stream import end_stream
from .._generated.api.streams.issue_token import issue_token
from .._generated.api.streams.list_streams import list_streams
from .._generated.api.streams.stream_events import stream_events
from .._generated.api.streams.stream_info import stream_info
from .._generated.models import (
    Access,
    Added,
    AddEvents,
    BrokerInfo,
    ClientRow,
    CreateStream,
    Finished,
    IssueToken,
    KeyOnly,
    StoredEvent,
    StreamRow,
    StreamState,
)
from .._generated.models import Disconnected as Disconnection
from .._generated.models import Event as NewEvent
from .._generated.types import Operation
from .._http import Broker, describe, parse_response
from .._writer_options import MAX_EVENTS, Ack, UploadTransport, WriterOptions
from .writer import AsyncWriter

T = TypeVar("T")


class AsyncClient:
    """A backend's access to a broker, for asyncio. Several tasks may use it at once.

    Each method raises `ApiError` when the broker answers with an error, and `Unreachable` when it
    does not answer. Only a writer repeats its requests.

    `timeout` is in seconds, for each phase of a request. Pass your own `http_client` for proxies,
    certificates or limits. This class does not close it.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._broker = Broker(url, api_key, timeout)
        self._owns_http = http_client is None
        self._http = http_client or httpx.AsyncClient()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections. Leave the blocks of all writers before."""
        if self._owns_http:
            await self._http.aclose()

    async def create_stream(
        self, key: str, *, ttl: int | None = None, max_events: int | None = MAX_EVENTS
    ) -> Access:
        """Creates a stream.

        The broker deletes it `ttl` seconds after the last write, and keeps about its newest
        `max_events` events. None means the broker's setting. The broker's own default of 500 events
        is too few for the answer of a model. A word takes about 25 bytes in Redis.
        """
        check_key(key)
        return await self._execute(
            create_stream(CreateStream(key=key, ttl=ttl, max_events=max_events))
        )

    async def issue_token(
        self,
        key: str | None = None,
        *,
        keys: Iterable[str] | None = None,
        prefix: str | None = None,
        ttl: int | None = None,
        wait: bool = False,
    ) -> Access:
        """Issues a token for one stream, for several, or for all keys with a prefix.

        It is valid for `ttl` seconds. `wait` also allows streams that do not exist yet. Without it
        each stream must exist.
        """
        listed = None if keys is None else list(keys)
        body = IssueToken(key=key, keys=listed, prefix=prefix, ttl=ttl, wait=wait or None)
        return await self._execute(issue_token(body))

    async def list_clients(
        self, *, key: str | None = None, tag: str | None = None
    ) -> list[ClientRow]:
        """Lists the subscribers of this broker node, optionally of one stream or with one tag."""
        return await self._execute(list_clients(key=key, tag=tag))

    async def disconnect_client(
        self,
        id: str,  # noqa: A002 - the broker's name
    ) -> Disconnection:
        """Disconnects a subscriber of this node. It may return while its token is valid."""
        return await self._execute(disconnect_client(id))

    async def list_streams(self, pattern: str | None = None) -> list[StreamRow]:
        """Lists the active streams whose keys match the glob."""
        return await self._execute(list_streams(pattern=pattern))

    async def stream_info(self, key: str) -> StreamState:
        """Describes a stream, active or finished."""
        return await self._execute(stream_info(key=key))

    async def stream_events(self, key: str) -> list[StoredEvent]:
        """Returns all stored events of a stream, active or finished."""
        return await self._execute(stream_events(key=key))

    async def end_stream(self, key: str) -> Finished:
        """Ends a stream: it is complete."""
        return await self._execute(end_stream(KeyOnly(key=key)))

    async def cancel_stream(self, key: str) -> Finished:
        """Cancels a stream: it stays incomplete."""
        return await self._execute(cancel_stream(KeyOnly(key=key)))

    async def add_events(
        self,
        key: str,
        events: Iterable[NewEvent],
        *,
        producer: str | None = None,
        sequence: int | None = None,
    ) -> Added:
        """Writes all events or none.

        `producer` is a name that no other sender uses. `sequence` is the number of events that it
        has sent into the stream before. With both, the call may be repeated: the broker skips the
        events that it has.
        """
        body = AddEvents(key=key, events=check_events(events), producer=producer, sequence=sequence)
        return await self._execute(add_events(body))

    async def broker_info(self) -> BrokerInfo:
        """Describes the broker and its load."""
        return await self._execute(broker_info())

    async def ready(self) -> str:
        """Returns `OK` when the broker reaches its store. Raises otherwise."""
        return await self._execute(ready())

    def publish(
        self,
        key: str,
        *,
        transport: UploadTransport = "ndjson",
        max_pending: int = 1000,
        retry_for: float = 60.0,
        on_ack: Callable[[Ack], object] | None = None,
        flush_timeout: float = 5.0,
    ) -> AsyncWriter:
        """Returns a writer for an active stream. Use it in an `async with` block.

        `transport`: `ndjson` sends the events that are ready as one request. `websocket`, which
        needs the extra of that name, sends each event at once.
        `max_pending`: the number of unacknowledged events at which `write` waits.
        `retry_for`: the seconds without a confirmation for which the writer repeats attempts.
        `on_ack`: called each time the broker confirms events.
        `flush_timeout`: the seconds, after an exception in the block, in which the written events
        may still be stored.
        """
        options = WriterOptions(key, transport, max_pending, retry_for, on_ack, flush_timeout)
        return AsyncWriter(self._broker, self._execute, options)

    async def _execute(self, operation: Operation[T], timeout: float | None = None) -> T:
        try:
            request = self._broker.request(self._http, operation, timeout)
            response = await self._http.send(request)
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        return parse_response(operation, response)
