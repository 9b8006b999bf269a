"""What a WebSocket needs besides the library, with asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection

from .._websocket import is_activity
from .connection import AsyncConnection


def observed_websocket(
    record_activity: Callable[[], None], connection: AsyncConnection
) -> type[ClientConnection]:
    """Returns a class of WebSockets that record each message and each ping as activity."""
    del connection  # Cancelling a task closes its connection.

    class ObservedWebSocket(ClientConnection):
        def process_event(self, event: Any) -> None:
            if is_activity(event):
                record_activity()
            super().process_event(event)

    return ObservedWebSocket


async def receive(websocket: ClientConnection, timeout: float) -> str | bytes:
    """Returns the next message. Raises `TimeoutError` after `timeout` seconds."""
    # Before Python 3.12 asyncio.wait_for loses a cancellation that comes at the end of the wait.
    with anyio.fail_after(timeout):
        return await websocket.recv()


def abort(websocket: ClientConnection) -> None:
    """Breaks the connection, so that a blocked send ends."""
    websocket.transport.abort()
