"""The connection of an asynchronous subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Line:
    """The connection of a subscription, so that another task can have another made."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._scope: anyio.CancelScope | None = None
        self.ask: Callable[[str], Awaitable[None]] | None = None
        """Sends a question, while the connection takes any. What gets lost with the connection is not told here."""

    def begin(self) -> None:
        """A connection is to be made, with what is to be followed now."""
        self._changed.clear()

    @property
    def is_interrupted(self) -> bool:
        """Whether the connection shall not be read from any more."""
        return self._changed.is_set()

    def interrupt(self) -> None:
        """Something else is to be followed: another connection shall be made."""
        self._changed.set()
        if self._scope is not None:
            self._scope.cancel()

    async def wait_for_change(self) -> None:
        """Sleeps until something is to be followed."""
        await self._changed.wait()

    async def next(self, items: AsyncGenerator[T, None]) -> T | None:
        """The next item; None after the last, and when interrupted."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                return await anext(items, None)
            finally:
                self._scope = None
        return None
