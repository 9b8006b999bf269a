"""The asynchronous client of a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import httpx

from .._errors import ApiError
from .._events import check_events, check_key
from .._failure import FailureOf
from .._finish import finished_before
from .._generated.api.clients.send_signal import send_signal
from .._generated.api.connections.disconnect_client import disconnect_client
from .._generated.api.connections.list_clients import list_clients
from .._generated.api.health.broker_info import broker_info
from .._generated.api.health.ready import ready
from .._generated.api.ingestion.add_events import add_events
from .._generated.api.streams.cancel_stream import cancel_stream
from .._generated.api.streams.create_stream import create_stream
from .._generated.api.streams.end_stream import end_stream
from .._generated.api.streams.fail_stream import fail_stream
from .._generated.api.streams.issue_token import issue_token
from .._generated.api.streams.list_streams import list_streams
from .._generated.api.streams.read_signals import read_signals
from .._generated.api.streams.renew_stream import renew_stream
from .._generated.api.streams.stream_events import stream_events
from .._generated.api.streams.stream_info import stream_info
from .._generated.models import (
    Access,
    Added,
    AddEvents,
    BrokerInfo,
    CancelStream,
    ClientRow,
    CreateStream,
    EndStream,
    FailStream,
    Finished,
    IssueToken,
    Renewed,
    RenewStream,
    SendSignal,
    Signals,
    SignalSent,
    StoredEvent,
    StreamRow,
    StreamState,
)
from .._generated.models import Disconnected as Disconnection
from .._generated.models import Event as NewEvent
from .._generated.types import Operation
from .._http import Broker
from .._writer_options import (
    MAX_EVENTS,
    Ack,
    IfTaken,
    Permission,
    UploadTransport,
    WriterOptions,
)
from .http_client import AsyncHttp
from .writer import AsyncWriter


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
        self._http = AsyncHttp(Broker(url, api_key, timeout), http_client)

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
        await self._http.aclose()

    async def create_stream(
        self,
        key: str,
        *,
        ttl: int | None = None,
        max_events: int | None = MAX_EVENTS,
        if_exists: IfTaken | None = None,
        if_finished: IfTaken | None = None,
        request_id: str | None = None,
        stop_grace: int | None = None,
        lease: int | None = None,
        stall: int | None = None,
        permissions: Iterable[Permission] | None = None,
        subject: str | None = None,
    ) -> Access:
        """Creates a stream.

        The broker deletes it `ttl` seconds after the last write, and keeps about its newest
        `max_events` events. None means the broker's setting. The broker's own default of 500 events
        is too few for the answer of a model. A word takes about 25 bytes in Redis.

        `if_exists` says what to do where the key has an active stream, and `if_finished` where it
        has a finished one. `error` raises `ApiError` with the code `existing-stream`. `attach`
        returns a token for that stream. `replace` deletes it, and creates a new one. The defaults
        are `error` and `replace`. `created` of the result says whether the stream is new.

        `request_id` is an id that no other request has. A call that is repeated with it within a
        minute returns the stream that the first call created.

        `stop_grace` is how many seconds the producer has to follow the signal `stop`, before the
        broker cancels the stream. 0 means for ever, and None the default of 10.

        `lease` is how many seconds the producer may be silent, and `stall` how many it may write no
        event, before the broker abandons the stream. 0 means for ever, and None the broker's
        setting.

        For `permissions` and `subject`, see `issue_token`.
        """
        check_key(key)
        body = CreateStream(
            key=key,
            ttl=ttl,
            max_events=max_events,
            if_exists=if_exists,
            if_finished=if_finished,
            request_id=request_id,
            stop_grace=stop_grace,
            lease=lease,
            stall=stall,
            permissions=None if permissions is None else list(permissions),
            subject=subject,
        )
        return await self._http.execute(create_stream(body))

    async def issue_token(
        self,
        key: str | None = None,
        *,
        keys: Iterable[str] | None = None,
        prefix: str | None = None,
        ttl: int | None = None,
        wait: bool = False,
        permissions: Iterable[Permission] | None = None,
        subject: str | None = None,
    ) -> Access:
        """Issues a token for one stream, for several, or for all keys with a prefix.

        It is valid for `ttl` seconds. `wait` also allows streams that do not exist yet. Without it
        each stream must exist.

        `permissions` is what the token permits: `read`, to follow the streams, and `signal`, to
        send signals to their producers. The default is `read` alone. `subject` says who gets the
        token. Its signals carry this name.
        """
        body = IssueToken(
            key=key,
            keys=None if keys is None else list(keys),
            prefix=prefix,
            ttl=ttl,
            wait=wait or None,
            permissions=None if permissions is None else list(permissions),
            subject=subject,
        )
        return await self._http.execute(issue_token(body))

    async def list_clients(
        self, *, key: str | None = None, tag: str | None = None
    ) -> list[ClientRow]:
        """Lists the subscribers of this broker node, optionally of one stream or with one tag."""
        return await self._http.execute(list_clients(key=key, tag=tag))

    async def disconnect_client(
        self,
        id: str,  # noqa: A002 - the broker's name
    ) -> Disconnection:
        """Disconnects a subscriber of this node. It may return while its token is valid."""
        return await self._http.execute(disconnect_client(id))

    async def list_streams(self, pattern: str | None = None) -> list[StreamRow]:
        """Lists the active streams whose keys match the glob."""
        return await self._http.execute(list_streams(pattern=pattern))

    async def stream_info(self, key: str) -> StreamState:
        """Describes a stream, active or finished."""
        return await self._http.execute(stream_info(key=key))

    async def stream_events(self, key: str) -> list[StoredEvent]:
        """Returns all stored events of a stream, active or finished."""
        return await self._http.execute(stream_events(key=key))

    async def end_stream(
        self, key: str, *, data: Any = None, generation: str | None = None
    ) -> Finished:
        """Ends a stream: it is complete.

        `data` is the data of the last event: a string, or another JSON value. `generation` is the
        one that the stream must have. If another stream has the key, `ApiError` is raised, with the
        code `stale-generation`. If the stream is finished already, nothing changes, and the result
        has the status of the stream.
        """
        return await self._finish(end_stream(EndStream(key=key, data=data, generation=generation)))

    async def cancel_stream(
        self,
        key: str,
        *,
        reason: str | None = None,
        by: str | None = None,
        generation: str | None = None,
    ) -> Finished:
        """Cancels a stream: somebody has stopped it, and it stays incomplete.

        The last event says why (`reason`), and who has stopped it (`by`). For `generation` and a
        finished stream, see `end_stream`.
        """
        body = CancelStream(key=key, reason=reason, by=by, generation=generation)
        return await self._finish(cancel_stream(body))

    async def fail_stream(
        self,
        key: str,
        *,
        code: str | None = None,
        message: str | None = None,
        generation: str | None = None,
    ) -> Finished:
        """Reports that the producer of a stream failed: it broke off, and stays incomplete.

        `code` is a word for programs, of `a` to `z`, `0` to `9` and `-`. None stands for `error`.
        `message` is a text for people. The last event has both. For `generation` and a finished
        stream, see `end_stream`.
        """
        body = FailStream(key=key, code=code, message=message, generation=generation)
        return await self._finish(fail_stream(body))

    async def send_signal(
        self,
        key: str,
        name: str,
        *,
        data: Any = None,
        id: str | None = None,  # noqa: A002 - the broker's name
        generation: str | None = None,
    ) -> SignalSent:
        """Sends a signal to the producer of an active stream. `stop` asks it to finish.

        A second `stop` is not stored, and neither is a signal with an `id` that was used before.
        The result then has the number of the first one.
        """
        check_key(key)
        body = SendSignal(name=name, data=data, id=id, generation=generation)
        return await self._http.execute(send_signal(body, key=key))

    async def read_signals(self, key: str, *, after: int = 0) -> Signals:
        """Returns the signals of a stream, after the one with the number `after`.

        A long list comes in parts: ask again with the number of the last one.
        """
        return await self._http.execute(read_signals(key=key, after=after))

    async def renew_stream(
        self,
        key: str,
        *,
        lease: int | None = None,
        stall: int | None = None,
        stop_ack: bool = False,
        generation: str | None = None,
    ) -> Renewed:
        """Shows that the producer of a stream lives, and returns the stream's deadlines.

        `lease` and `stall`, as in `create_stream`, begin anew; 0 ends them, and None keeps them.
        With `stop_ack` the producer gets the time to follow a stop once more; only the first time.
        """
        body = RenewStream(
            key=key, lease=lease, stall=stall, stop_ack=stop_ack, generation=generation
        )
        return await self._http.execute(renew_stream(body))

    async def add_events(
        self,
        key: str,
        events: Iterable[NewEvent],
        *,
        producer: str | None = None,
        sequence: int | None = None,
        generation: str | None = None,
    ) -> Added:
        """Writes all events or none.

        `producer` is a name that no other sender uses. `sequence` is the number of events that it
        has sent into the stream before. With both, the call may be repeated: the broker skips the
        events that it has. `generation` is the one that the stream must have.
        """
        body = AddEvents(
            key=key,
            events=check_events(events),
            producer=producer,
            sequence=sequence,
            generation=generation,
        )
        return await self._http.execute(add_events(body))

    async def broker_info(self) -> BrokerInfo:
        """Describes the broker and its load."""
        return await self._http.execute(broker_info())

    async def ready(self) -> str:
        """Returns `OK` when the broker reaches its store. Raises otherwise."""
        return await self._http.execute(ready())

    def publish(
        self,
        key: str,
        *,
        transport: UploadTransport = "ndjson",
        max_pending: int = 1000,
        retry_for: float = 60.0,
        on_ack: Callable[[Ack], object] | None = None,
        flush_timeout: float = 5.0,
        generation: str | None = None,
        lease: int = 30,
        failure: FailureOf | None = None,
        coalesce: float = 0.0,
        write_after_stop: bool = False,
        cancel_on_stop: bool = False,
    ) -> AsyncWriter:
        """Returns a writer for an active stream. Use it in an `async with` block.

        `transport`: `ndjson` sends the events that are ready as one request. `websocket`, which
        needs the extra of that name, sends each event at once.
        `max_pending`: the number of unacknowledged events at which `write` waits.
        `retry_for`: the seconds without a confirmation for which the writer repeats attempts.
        `on_ack`: called each time the broker confirms events.
        `flush_timeout`: the seconds, after an exception in the block, in which the written events
        may still be stored.
        `generation`: the one that the stream must have. The writer fails with `stale-generation`
        when another stream has the key.
        `lease`: the seconds, from 2 on, after whose silence the broker abandons the stream. The
        writer renews it, also while it waits for events. 0: no lease.
        `failure`: says what subscribers learn about an exception that leaves the block.
        `coalesce`: the seconds for which consecutive strings of one event name become one event.
        `write_after_stop`: `write` works after a stop, too.
        `cancel_on_stop`: a stop cancels the task that has entered the block, as a timeout does. The
        block takes this cancellation.
        """
        options = WriterOptions(
            key,
            transport,
            max_pending,
            retry_for,
            on_ack,
            flush_timeout,
            generation,
            lease,
            failure,
            coalesce,
            write_after_stop,
            cancel_on_stop,
        )
        return AsyncWriter(self._http, options)

    async def _finish(self, operation: Operation[Finished]) -> Finished:
        try:
            return await self._http.execute(operation)
        except ApiError as error:
            return finished_before(error)
