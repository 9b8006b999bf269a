"""Waiting, taking turns, and running a function beside the caller, with threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .._access import AnyAccess

TokenSource = Callable[[], str]
"""A function of the caller's that returns a token."""

AccessSource = Callable[[], AnyAccess]
"""A function of the caller's that returns an access."""

Condition = threading.Condition
Lock = threading.Lock

CANCELLED: tuple[type[BaseException], ...] = ()
"""Nothing interrupts a step of a thread, except its end."""


def get(source: Callable[[], object]) -> object:
    """Calls the caller's function for a token or an access."""
    return source()


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


def wait_for(condition: Condition, holds: Callable[[], object], timeout: float | None) -> None:
    """Waits until `holds`, or for `timeout` seconds. The caller has locked the condition."""
    condition.wait_for(holds, timeout)


class Worker:
    """Runs a function beside the caller, in a thread of its own."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        # A daemon: a writer that is never closed must not keep the process alive.
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Does nothing, as `stop`."""

    def stop(self) -> None:
        """Does nothing: a thread cannot be cancelled. It ends by itself, and `join` waits."""

    def join(self) -> None:
        """Waits until the function has ended."""
        # The function may call this itself: on_ack may finish its own writer.
        if self._thread is not threading.current_thread():
            self._thread.join()


class Turns:
    """Lets one caller at a time take a turn. The others wait until it has ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._is_closed = False

    def take(self, is_needed: Callable[[], bool]) -> bool:
        """Waits for a turn. Returns False when the caller needs no turn any more."""
        with self._changed:
            while is_needed() and not self._is_closed:
                if not self._is_taken:
                    self._is_taken = True
                    return True
                self._changed.wait()
            return False

    def end(self) -> bool:
        """Ends the turn. Returns whether the caller must clean up, after `close`."""
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()
            return self._is_closed

    def close(self) -> bool:
        """Allows no more turns. Returns whether the caller must clean up.

        A thread that has the turn cleans up at the end of the turn.
        """
        with self._changed:
            was_closed, self._is_closed = self._is_closed, True
            self._changed.notify_all()
            return not (was_closed or self._is_taken)
