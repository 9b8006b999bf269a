"""The synchronous subscription."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Any

import httpx

from ._errors import TinistreamerError, Unreachable
from ._events import Event
from ._follow import Follower, Status, closed_early
from ._http import check_sse, describe, sse_headers, sse_timeout
from ._sse import Frame, SseDecoder

Connect = Callable[[Follower, dict[str, str], "Link"], AbstractContextManager[Iterator[Frame]]]


class Link:
    """The socket of a subscription, so that another thread can cut it."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the subscription shall end."""
        return self._closed.is_set()

    def hold(self, connection: socket.socket | None) -> None:
        """The connection is made over this socket now."""
        with self._lock:
            self._socket = connection
            if self.is_closed:
                self._cut()

    def close(self) -> None:
        """Wakes whoever reads or waits."""
        with self._lock:
            self._closed.set()
            self._cut()

    def wait(self, seconds: float) -> None:
        """Sleeps until then or until the end."""
        self._closed.wait(seconds)

    def _cut(self) -> None:
        if self._socket is not None:
            # Closing the socket would not wake a thread that reads from it.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Subscription:
    """The events of a stream, in order: an iterator, best used in a `with` block.

    It connects when the first event is asked for. Raises `ApiError`, `Disconnected` and `Gap`; other failures are got over by
    connecting again. One thread at a time may iterate; `close` may be called by any.
    """

    def __init__(self, follower: Follower, token: Callable[[], str] | None, connect: Connect) -> None:
        self._follower = follower
        self._link = Link()
        self._lock = threading.Lock()
        self._is_iterating = False
        # Not a method: a generator that referred to this object would outlive a loop that was left.
        self._events = _follow(follower, token, connect, self._link)

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was handed out, or `after`."""
        return self._follower.last_id

    @property
    def status(self) -> Status | None:
        """`ended` or `cancelled` once that event was handed out."""
        return self._follower.status

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> Event:
        with self._lock:
            if self._link.is_closed:
                raise StopIteration
            self._is_iterating = True
        try:
            return next(self._events)
        finally:
            with self._lock:
                self._is_iterating = False
                is_closed = self._link.is_closed
            if is_closed:
                self._events.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; an iteration in another thread ends."""
        with self._lock:
            was_closed, is_iterating = self._link.is_closed, self._is_iterating
            self._link.close()
        if not was_closed and not is_iterating:
            self._events.close()


def _follow(follower: Follower, token: Callable[[], str] | None, connect: Connect, link: Link) -> Generator[Event, None, None]:
    while not (follower.is_over or link.is_closed):
        if follower.token is None and token is not None:
            follower.took_token(token())
        try:
            with connect(follower, follower.connecting(), link) as frames:
                for frame in frames:
                    yield follower.accept(frame)
                    # Time that the caller took for an event is no silence.
                    follower.hear()
                    if follower.is_over:
                        return
            if not follower.is_over:
                raise closed_early("it just ended")
        except TinistreamerError as error:
            if link.is_closed:
                return
            link.wait(follower.failed(error))


def connect_sse(http_client: httpx.Client | None) -> Connect:
    """Connects for server-sent events."""

    @contextmanager
    def connect(follower: Follower, headers: dict[str, str], link: Link) -> Generator[Iterator[Frame], None, None]:
        def trace(event: str, info: dict[str, Any]) -> None:
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                link.hold(info["return_value"].get_extra_info("socket"))

        try:
            with (
                nullcontext(http_client) if http_client is not None else httpx.Client() as client,
                client.stream(
                    "GET",
                    follower.url,
                    headers=sse_headers(headers),
                    timeout=sse_timeout(follower),
                    extensions={"trace": trace},
                ) as response,
            ):
                # A connection out of the client's pool was made before anybody traced it.
                if (stream := response.extensions.get("network_stream")) is not None:
                    link.hold(stream.get_extra_info("socket"))
                if response.status_code not in {200, 204}:
                    response.read()
                check_sse(follower, response)
                yield _sse_frames(follower, response)
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        finally:
            link.hold(None)

    return connect


def _sse_frames(follower: Follower, response: httpx.Response) -> Iterator[Frame]:
    decoder = SseDecoder()
    for chunk in response.iter_bytes():
        yield from follower.decode(decoder, chunk)
