"""The connection of a subscription, with threads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


class Connection:
    """The connection that a subscription reads, so that another thread can interrupt it.

    A thread that reads from a socket only wakes when another thread shuts the socket down.
    """

    def __init__(self) -> None:
        self.send_command: Callable[[str], None] | None = None
        """Sends a command, while the connection accepts commands.

        It does not report a command that is lost with the connection.
        """
        self._closed = threading.Event()
        self._interrupted = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the subscription must end."""
        return self._closed.is_set()

    @property
    def extensions(self) -> dict[str, Any]:
        """The extensions of an HTTP request. They report the socket as soon as it is connected."""
        return {"trace": self._trace}

    def begin(self) -> None:
        """A new connection will be made, with the streams that are followed now."""
        with self._lock:
            if not self.is_closed:
                self._interrupted.clear()

    @property
    def is_interrupted(self) -> bool:
        """Whether the subscription must not read from the connection any more."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """The streams have changed: another connection must be made."""
        with self._lock:
            self._interrupted.set()
            self._shut_down()

    def close(self) -> None:
        """The subscription must end: wakes a thread that reads or waits."""
        with self._lock:
            self._closed.set()
            self._interrupted.set()
            self._shut_down()

    def wait(self, seconds: float) -> None:
        """Waits before the next attempt to connect, or until the subscription must end."""
        self._closed.wait(seconds)

    def wait_for_change(self) -> None:
        """Waits until there is a stream to follow, or until the subscription must end."""
        self._interrupted.wait()

    def next(self, items: Generator[T, None, None]) -> T | None:
        """Returns the next item; None after the last."""
        return next(items, None)

    def hold(self, response: httpx.Response) -> None:
        """Takes the socket of a response.

        The HTTP client may have taken the socket out of its pool, so that no trace reported it.
        """
        if (stream := response.extensions.get("network_stream")) is not None:
            self.hold_socket(stream.get_extra_info("socket"))

    def hold_socket(self, connection: socket.socket) -> None:
        """Takes the socket of the connection, and shuts it down when interrupted before."""
        with self._lock:
            self._socket = connection
            if self._interrupted.is_set():
                self._shut_down()

    def release(self) -> None:
        """Forgets the socket, after the connection was closed."""
        with self._lock:
            self._socket = None

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.hold_socket(info["return_value"].get_extra_info("socket"))

    def _shut_down(self) -> None:
        if self._socket is not None:
            # To close the socket would not wake a thread that reads from it.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
