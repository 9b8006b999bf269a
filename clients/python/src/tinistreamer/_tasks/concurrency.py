"""Waiting, taking turns, and running a function beside the caller, with asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio

from .._access import AnyAccess

AsyncTokenSource = Callable[[], str | Awaitable[str]]
"""A function or a coroutine function of the caller's that returns a token."""

AsyncAccessSource = Callable[[], AnyAccess | Awaitable[AnyAccess]]
"""A function or a coroutine function of the caller's that returns an access."""

AsyncCondition = asyncio.Condition
AsyncLock = asyncio.Lock

CANCELLED: tuple[type[BaseException], ...] = (asyncio.CancelledError,)
"""The exceptions that interrupt a step, and after which the caller may take another."""


async def get(source: Callable[[], object]) -> object:
    """Calls the caller's function for a token or an access."""
    got = source()
    return await got if inspect.isawaitable(got) else got


async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


async def wait_for(
    condition: AsyncCondition, holds: Callable[[], object], timeout: float | None
) -> None:
    """Waits until `holds`, or for `timeout` seconds. The caller has locked the condition."""
    # Before Python 3.12 asyncio.wait_for loses a cancellation that comes at the end of the wait.
    with anyio.move_on_after(timeout) as scope:
        # anyio cancels only a task whose future is not done yet. A busy writer notifies in each
        # turn of the loop, so that the future is always done: then only a look ends the wait.
        while not holds() and not scope.cancel_called:
            await condition.wait()


class AsyncWorker:
    """Runs a function beside the caller, in a task of its own."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._task = asyncio.create_task(run(), name=name)

    def cancel(self) -> None:
        """Cancels the function."""
        self._task.cancel()

    async def stop(self) -> None:
        """Cancels the function, and waits until it has ended."""
        self.cancel()
        await self.join()

    async def join(self) -> None:
        """Waits until the function has ended."""
        if not self._task.done():
            # Unlike `await task`, this does not pass a cancellation of the caller on.
            await asyncio.wait([self._task])


class AsyncTurns:
    """Lets one caller at a time take a turn. The others wait until it has ended."""

    def __init__(self) -> None:
        self._current: asyncio.Future[None] | None = None
        self._is_closed = False

    async def take(self, is_needed: Callable[[], bool]) -> bool:
        """Waits for a turn. Returns False when the caller needs no turn any more."""
        while is_needed() and not self._is_closed:
            if self._current is None:
                self._current = asyncio.get_running_loop().create_future()
                return True
            # Unlike `await future`, this does not pass a cancellation of the caller on.
            await asyncio.wait([self._current])
        return False

    def end(self) -> bool:
        """Ends the turn. Returns whether the caller must clean up, after `close`."""
        current, self._current = self._current, None
        if current is not None:
            current.set_result(None)
        return self._is_closed

    def close(self) -> bool:
        """Allows no more turns. Returns whether the caller must clean up."""
        self._is_closed = True
        return True
