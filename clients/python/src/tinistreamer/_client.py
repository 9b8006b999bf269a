"""The synchronous client of a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar

import httpx

from ._errors import Unreachable
from ._events import check_events, check_key
from ._generated.api.connections.disconnect_client import disconnect_client
from ._generated.api.connections.list_clients import list_clients
from ._generated.api.health.broker_info import broker_info
from ._generated.api.health.ready import ready
from ._generated.api.ingestion.add_events import add_events
from ._generated.api.streams.cancel_stream import cancel_stream
from ._generated.api.streams.create_stream import create_stream
from ._generated.api.streams.end_stream import end_stream
from ._generated.api.streams.issue_token import issue_token
from ._generated.api.streams.list_streams import list_streams
from ._generated.api.streams.stream_events import stream_events
from ._generated.api.streams.stream_info import stream_info
from ._generated.models import (
    Access,
    Added,
    AddEvents,
    BrokerInfo,
    ClientRow,
    CreateStream,
    Event,
    Finished,
    IssueToken,
    KeyOnly,
    StoredEvent,
    StreamRow,
    StreamState,
)
from ._generated.models import Disconnected as Disconnection
from ._generated.types import Operation
from ._http import Broker, describe, parse_response
from ._writer import Writer
from ._writer_options import MAX_EVENTS, Ack, UploadTransport, WriterOptions

T = TypeVar("T")


class Client:
    """A backend's access to a broker. May be used by several threads at once.

    Each method raises `ApiError` when the broker answers with an error and `Unreachable` when it does not answer; nothing but
    what a writer sends is tried again by itself.

    `timeout` is in seconds, for each phase of a request. A `http_client` of your own (for proxies, certificates, limits) is not
    closed by this class.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._broker = Broker(url, api_key, timeout)
        self._owns_http = http_client is None
        self._http = http_client or httpx.Client()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections. Writers must be left before."""
        if self._owns_http:
            self._http.close()

    def create_stream(
        self, key: str, *, ttl: int | None = None, max_events: int | None = MAX_EVENTS
    ) -> Access:
        """Starts a stream.

        It lives `ttl` seconds after its last write and keeps its newest `max_events` events, about. None: as the broker is set.
        Its own default of 500 events is too few for an answer of a model; a word takes about 25 bytes in Redis.
        """
        check_key(key)
        return self._execute(create_stream(CreateStream(key=key, ttl=ttl, max_events=max_events)))

    def issue_token(
        self,
        key: str | None = None,
        *,
        keys: Iterable[str] | None = None,
        prefix: str | None = None,
        ttl: int | None = None,
        wait: bool = False,
    ) -> Access:
        """Another token, good for `ttl` seconds: for one stream, for several, or for all whose keys begin with a prefix.

        `wait`: streams that are not there yet are let in, too; else each must exist.
        """
        listed = None if keys is None else list(keys)
        body = IssueToken(key=key, keys=listed, prefix=prefix, ttl=ttl, wait=wait or None)
        return self._execute(issue_token(body))

    def list_clients(self, *, key: str | None = None, tag: str | None = None) -> list[ClientRow]:
        """The clients that are connected to this node of the broker: all, or those of a stream, or with a tag."""
        return self._execute(list_clients(key=key, tag=tag))

    def disconnect_client(self, id: str) -> Disconnection:  # noqa: A002 (the broker's word)
        """Disconnects a client of this node; it may come back if its token is still good."""
        return self._execute(disconnect_client(id))

    def list_streams(self, pattern: str | None = None) -> list[StreamRow]:
        """The active streams whose keys match the glob."""
        return self._execute(list_streams(pattern=pattern))

    def stream_info(self, key: str) -> StreamState:
        """What a stream is like, active or finished."""
        return self._execute(stream_info(key=key))

    def stream_events(self, key: str) -> list[StoredEvent]:
        """All events stored of a stream, active or finished."""
        return self._execute(stream_events(key=key))

    def end_stream(self, key: str) -> Finished:
        """Ends a stream: it is complete."""
        return self._execute(end_stream(KeyOnly(key=key)))

    def cancel_stream(self, key: str) -> Finished:
        """Cancels a stream: it stays incomplete."""
        return self._execute(cancel_stream(KeyOnly(key=key)))

    def add_events(
        self,
        key: str,
        events: Iterable[Event],
        *,
        producer: str | None = None,
        sequence: int | None = None,
    ) -> Added:
        """Writes events, all or none.

        With a `producer` (a name that no other sender uses) and a `sequence` (how many events it had sent into the stream
        before), what the broker has already is not written again, so that the call can be repeated.
        """
        body = AddEvents(key=key, events=check_events(events), producer=producer, sequence=sequence)
        return self._execute(add_events(body))

    def broker_info(self) -> BrokerInfo:
        """What the broker is, and how full it is."""
        return self._execute(broker_info())

    def ready(self) -> str:
        """Returns `OK` when the broker's store answers; else raises."""
        return self._execute(ready())

    def publish(
        self,
        key: str,
        *,
        transport: UploadTransport = "ndjson",
        max_pending: int = 1000,
        retry_for: float = 60.0,
        on_ack: Callable[[Ack], object] | None = None,
        flush_timeout: float = 5.0,
    ) -> Writer:
        """A writer for an active stream, to be used in a `with` block.

        `transport`: `ndjson` sends what is ready as one request; `websocket` (an extra) sends each event at once.
        `max_pending`: how many events may be unacknowledged before `write` waits.
        `retry_for`: for how many seconds without a confirmation it is tried again after a failure.
        `on_ack`: called, in the writer's own thread, each time the broker confirms events.
        `flush_timeout`: for how many seconds, after an exception in the block, to wait until what was written is stored.
        """
        options = WriterOptions(key, transport, max_pending, retry_for, on_ack, flush_timeout)
        return Writer(self._broker, self._execute, options)

    def _execute(self, operation: Operation[T], timeout: float | None = None) -> T:
        try:
            response = self._http.send(self._broker.request(self._http, operation, timeout))
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        return parse_response(operation, response)
