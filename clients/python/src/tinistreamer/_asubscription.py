"""The asynchronous subscription."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from types import TracebackType

import httpx

from ._errors import TinistreamerError, Unreachable
from ._events import Event
from ._follow import Follower, Status, closed_early
from ._http import check_sse, describe, sse_headers, sse_timeout
from ._sse import Frame, SseDecoder

Connect = Callable[[Follower, dict[str, str]], AbstractAsyncContextManager[AsyncGenerator[Frame, None]]]
Token = Callable[[], str | Awaitable[str]]


class AsyncSubscription:
    """The events of a stream, in order: an asynchronous iterator, best used in an `async with` block.

    It connects when the first event is asked for. Raises `ApiError`, `Disconnected` and `Gap`; other failures are got over by
    connecting again. Cancelling the task that iterates closes the connection.
    """

    def __init__(self, follower: Follower, token: Token | None, connect: Connect) -> None:
        self._follower = follower
        # Not a method: a generator that referred to this object would outlive a loop that was left.
        self._events = _follow(follower, token, connect)

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was handed out, or `after`."""
        return self._follower.last_id

    @property
    def status(self) -> Status | None:
        """`ended` or `cancelled` once that event was handed out."""
        return self._follower.status

    def __aiter__(self) -> AsyncSubscription:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection. To end an iteration in another task, cancel that task."""
        await self._events.aclose()


async def _follow(follower: Follower, token: Token | None, connect: Connect) -> AsyncGenerator[Event, None]:
    while not follower.is_over:
        if follower.token is None and token is not None:
            made = token()
            follower.took_token(await made if inspect.isawaitable(made) else made)
        try:
            async with connect(follower, follower.connecting()) as frames, aclosing(frames):
                async for frame in frames:
                    yield follower.accept(frame)
                    # Time that the caller took for an event is no silence.
                    follower.hear()
                    if follower.is_over:
                        return
            if not follower.is_over:
                raise closed_early("it just ended")
        except TinistreamerError as error:
            await asyncio.sleep(follower.failed(error))


def aconnect_sse(http_client: httpx.AsyncClient | None) -> Connect:
    """Connects for server-sent events."""

    @asynccontextmanager
    async def connect(follower: Follower, headers: dict[str, str]) -> AsyncGenerator[AsyncGenerator[Frame, None], None]:
        try:
            async with (
                nullcontext(http_client) if http_client is not None else httpx.AsyncClient() as client,
                client.stream("GET", follower.url, headers=sse_headers(headers), timeout=sse_timeout(follower)) as response,
            ):
                if response.status_code not in {200, 204}:
                    await response.aread()
                check_sse(follower, response)
                yield _sse_frames(follower, response.aiter_bytes())
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error

    return connect


async def _sse_frames(follower: Follower, chunks: AsyncIterator[bytes]) -> AsyncGenerator[Frame, None]:
    decoder = SseDecoder()
    async for chunk in chunks:
        for frame in follower.decode(decoder, chunk):
            yield frame
