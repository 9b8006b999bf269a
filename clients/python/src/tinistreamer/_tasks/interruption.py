"""Interrupting code of the caller's, with asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

_COUNTS = sys.version_info >= (3, 11)
"""Whether a task counts its cancellations."""


class AsyncInterruption:
    """Cancels the task that runs a piece of code, once, as `asyncio.timeout` does it.

    The code may be left by another cancellation at the same time. That one goes on.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._was_cancelled = False
        # Where nothing counts them, the message tells this cancellation from another.
        self._message = f"Interrupted by tinistreamer {id(self):x}"

    def enter(self, *, is_due: bool = False) -> None:
        """The code begins, in the current task. `is_due`: cancel it when it first waits."""
        self._task = asyncio.current_task()
        self._cancelling = self._count("cancelling")
        self._was_cancelled = False
        if is_due:
            asyncio.get_running_loop().call_soon(self.interrupt)

    def interrupt(self) -> None:
        """Cancels the task, if the code is still running. The task itself goes on undisturbed."""
        if self._task is None or self._was_cancelled or self._task is asyncio.current_task():
            return
        self._was_cancelled = True
        self._task.cancel(self._message)

    def leave(self, error: BaseException | None) -> bool:
        """The code has ended. Returns whether `error` is nothing but the cancellation of it."""
        was_cancelled, self._was_cancelled = self._was_cancelled, False
        left = self._count("uncancel") if was_cancelled else 0
        self._task = None
        if not was_cancelled or not isinstance(error, asyncio.CancelledError):
            return False
        return left <= self._cancelling if _COUNTS else self._is_marked(error)

    def _count(self, method: str) -> int:
        """Calls a method of the task that Python has since 3.11."""
        return cast("Callable[[], int]", getattr(self._task, method))() if _COUNTS else 0

    def _is_marked(self, error: BaseException | None) -> bool:
        while error is not None:
            if error.args == (self._message,):
                return True
            error = error.__context__
        return False
