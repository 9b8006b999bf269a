"""What a WebSocket needs besides the library, with threads."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.sync.client import ClientConnection

from .._websocket import is_activity
from .connection import Connection


def observed_websocket(
    record_activity: Callable[[], None], connection: Connection
) -> type[ClientConnection]:
    """Returns a class of WebSockets that record each message and each ping as activity."""

    class ObservedWebSocket(ClientConnection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            connection.hold_socket(self.socket)

        def send_data(self) -> None:
            # When a pong or the reply to a close cannot be sent, the library would drop the
            # messages that came before it.
            with suppress(OSError):
                super().send_data()

        def process_event(self, event: Any) -> None:
            if is_activity(event):
                record_activity()
            super().process_event(event)

    return ObservedWebSocket


def receive(websocket: ClientConnection, timeout: float) -> str | bytes:
    """Returns the next message. Raises `TimeoutError` after `timeout` seconds."""
    return websocket.recv(timeout)


def abort(websocket: ClientConnection) -> None:
    """Breaks the connection, so that a blocked send ends."""
    with suppress(OSError):
        websocket.socket.shutdown(socket.SHUT_RDWR)
