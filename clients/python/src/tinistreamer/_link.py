"""The connection of a synchronous subscription."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Link:
    """The connection of a subscription, so that another thread can cut it."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._stirred = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.ask: Callable[[str], None] | None = None
        """Sends a question, while the connection takes any. What gets lost with the connection is not told here."""

    @property
    def is_closed(self) -> bool:
        """Whether the subscription shall end."""
        return self._closed.is_set()

    def hold(self, connection: socket.socket | None) -> None:
        """The connection is made over this socket now."""
        with self._lock:
            self._socket = connection
            if self._stirred.is_set():
                self._cut()

    def begin(self) -> None:
        """A connection is to be made, with what is to be followed now."""
        with self._lock:
            if not self.is_closed:
                self._stirred.clear()

    @property
    def is_interrupted(self) -> bool:
        """Whether the connection shall not be read from any more."""
        return self._stirred.is_set()

    def interrupt(self) -> None:
        """Something else is to be followed: another connection shall be made."""
        with self._lock:
            self._stirred.set()
            self._cut()

    def close(self) -> None:
        """Wakes whoever reads or waits."""
        with self._lock:
            self._closed.set()
            self._stirred.set()
            self._cut()

    def wait(self, seconds: float) -> None:
        """Sleeps until then or until the end."""
        self._closed.wait(seconds)

    def wait_for_change(self) -> None:
        """Sleeps until something is to be followed, or until the end."""
        self._stirred.wait()

    def _cut(self) -> None:
        if self._socket is not None:
            # Closing the socket would not wake a thread that reads from it.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
