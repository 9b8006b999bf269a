"""The events of a model's stream, with asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from .._generated.models import Event as NewEvent
from .._model_events import ModelStream
from .source import close_source

# Seconds in which a request that is cancelled closes its connection.
_LEAVE = 1.0

AsyncModelSource = (
    AsyncIterable[Any]
    | AbstractAsyncContextManager[AsyncIterable[Any]]
    | Awaitable[AsyncIterable[Any]]
)
"""A stream of an SDK, or what becomes one: what `create(…)` returns, also before `await`."""


class AsyncModelEvents:
    """The events of a model's stream, for `pipe_from`. `aclose` ends the model.

    The request to the model begins with the first event, if the stream has not begun.
    """

    def __init__(self, source: AsyncModelSource, stream: ModelStream) -> None:
        self._source = source
        self._stream = stream
        self._items: AsyncIterator[Any] | None = None
        self._opened: list[object] = []
        # No more than the events of one item.
        self._ready: deque[NewEvent] = deque()
        self._is_over = False

    def __aiter__(self) -> AsyncModelEvents:
        return self

    async def __anext__(self) -> NewEvent:
        while not self._ready:
            if self._is_over:
                raise StopAsyncIteration
            if self._items is None:
                self._items = await self._open()
            try:
                item = await anext(self._items)
            except StopAsyncIteration:
                self._is_over = True
                self._ready.extend(self._stream.end())
            else:
                self._ready.extend(self._stream.take(item))
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Closes the connection to the model, so that it stops."""
        self._is_over = True
        for opened in reversed(self._opened):
            await close_source(opened)
        if not self._opened:
            # Nobody has read from it or awaited it, and nobody will.
            if isinstance(self._source, asyncio.Future):
                self._source.cancel()
                await asyncio.wait([self._source], timeout=_LEAVE)
            await close_source(self._source)

    async def _open(self) -> AsyncIterator[Any]:
        source: Any = self._source
        if inspect.isawaitable(source):
            source = await source
        if not hasattr(source, "__aiter__"):
            manager: AbstractAsyncContextManager[Any] = source
            source = await manager.__aenter__()
            self._opened.append(_Entered(manager))
        self._opened.append(source)
        if hasattr(source, "__anext__"):
            return cast("AsyncIterator[Any]", source)
        items: AsyncIterator[Any] = aiter(source)
        self._opened.append(items)
        return items


class _Entered:
    """A context manager, whose end closes what it manages."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager

    async def aclose(self) -> None:
        """Leaves the context."""
        await self._manager.__aexit__(None, None, None)
