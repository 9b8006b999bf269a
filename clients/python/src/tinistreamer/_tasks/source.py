"""What a writer pipes, with asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from .._log import log
from .interruption import AsyncInterruption

AsyncItems = AsyncIterable[Any] | Iterable[Any]
"""What an asynchronous writer can pipe."""


class AsyncSource:
    """Reads an asynchronous iterable, or a plain one, until a stop."""

    def __init__(self, source: AsyncItems) -> None:
        self._source = source
        if isinstance(source, AsyncIterable):
            self._items: AsyncIterator[Any] = aiter(source)
        else:
            self._items = _taking_turns(source)
        self.is_interrupted = False
        """Whether a stop, or a failure of the writer, has ended the reading."""
        self._interruption = AsyncInterruption()

    async def next(self) -> tuple[Any] | None:
        """Returns the next item in a tuple; None after the last, and after a stop."""
        if self.is_interrupted:
            return None
        self._interruption.enter()
        try:
            item = await anext(self._items)
        except StopAsyncIteration as error:
            self._interruption.leave(error)
            return None
        except BaseException as error:
            is_interruption = self._interruption.leave(error)
            # After a stop, the source may make another error of the cancellation.
            if is_interruption or (self.is_interrupted and isinstance(error, Exception)):
                return None
            raise
        self._interruption.leave(None)
        return (item,)

    def interrupt(self) -> None:
        """Ends a `next` that waits, and those that follow."""
        self.is_interrupted = True
        self._interruption.interrupt()

    async def aclose(self) -> None:
        """Closes the source, so that what produces its items stops."""
        await close_source(self._items)
        await close_source(self._source)


async def close_source(source: object) -> None:
    """Closes something that is read. A failure of that goes into the log."""
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    if not callable(close):
        return
    try:
        closing = close()
        if inspect.isawaitable(closing):
            await closing
    except Exception as error:  # noqa: BLE001 - the stop, or another error, is on its way
        log.warning("A source could not be closed: %s", type(error).__name__)


async def _taking_turns(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yields the items of a plain iterable, and lets other tasks run in between."""
    for item in items:
        yield item
        await asyncio.sleep(0)
