"""The connection of a subscription, with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
import httpx

T = TypeVar("T")


class AsyncConnection:
    """The connection that a subscription reads, so that another task can interrupt it."""

    def __init__(self) -> None:
        self.is_closed = False
        """Whether the subscription must end."""
        self.send_command: Callable[[str], Awaitable[None]] | None = None
        """Sends a command, while the connection accepts commands.

        It does not report a command that is lost with the connection.
        """
        self._interrupted = asyncio.Event()
        self._scope: anyio.CancelScope | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """The extensions of an HTTP request. None: cancelling a task closes its connection."""
        return {}

    def begin(self) -> None:
        """A new connection will be made, with the streams that are followed now."""
        if not self.is_closed:
            self._interrupted.clear()

    @property
    def is_interrupted(self) -> bool:
        """Whether the subscription must not read from the connection any more."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """The streams have changed: another connection must be made."""
        self._interrupted.set()
        if self._scope is not None:
            self._scope.cancel()

    def close(self) -> None:
        """The subscription must end. Its caller closes the connection."""
        self.is_closed = True
        self._interrupted.set()

    async def wait(self, seconds: float) -> None:
        """Waits before the next attempt to connect."""
        await asyncio.sleep(seconds)

    async def wait_for_change(self) -> None:
        """Waits until there is a stream to follow."""
        await self._interrupted.wait()

    async def next(self, items: AsyncGenerator[T, None]) -> T | None:
        """Returns the next item; None after the last, and after an interruption."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                return await anext(items, None)
            finally:
                self._scope = None
        return None

    def hold(self, response: httpx.Response) -> None:
        """Does nothing: cancelling a task closes its connection."""

    def release(self) -> None:
        """Does nothing, as `hold`."""
