"""Work that outlives the call that began it, with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

# A task may wait for something else at each cancellation, such as for its last request.
_CANCELLATIONS = 3


class AsyncBackground:
    """Runs functions in tasks of their own, and keeps the tasks until they end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self,
        run: Callable[[], Coroutine[Any, Any, None]],
        interrupt: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Runs a function. Its error goes to the exception handler of the event loop."""
        del interrupt  # Cancelling the task is enough.
        task = asyncio.create_task(run(), name="tinistreamer-answer")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self, grace: float, leave: float) -> int:
        """Waits for at most `grace` seconds, and interrupts what still runs.

        That may take `leave` seconds more. Returns how many functions did not end even then.
        """
        await self._wait(grace)
        for _ in range(_CANCELLATIONS):
            for task in self._tasks:
                task.cancel()
            await self._wait(leave / _CANCELLATIONS)
        return len(self._tasks)

    async def _wait(self, seconds: float) -> None:
        if self._tasks:
            # A copy: each task leaves the set when it ends.
            await asyncio.wait([*self._tasks], timeout=seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "An answer failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
