"""Following over a WebSocket, with asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from ._events import Event
from ._follower import CONNECT_TIMEOUT, Follower, silent
from ._frames import POSITIONS_SENT, Frame
from ._line import Line
from ._positions import Streams
from ._websocket import (
    CLOSE_TIMEOUT,
    HANDSHAKE_ERRORS,
    check_close,
    decode_message,
    handshake_error,
    is_activity,
)


async def connect(
    follower: Follower[Streams[Event]], line: Line
) -> AsyncGenerator[list[Frame], None]:
    """Connects for the broker's messages."""

    class Connection(ClientConnection):
        """Hears the broker's pings, too."""

        def process_event(self, event: Any) -> None:
            if is_activity(event):
                follower.record_activity()
            super().process_event(event)

    request = follower.begin_attempt()
    try:
        connection = await connect_websocket(
            request.url,
            additional_headers=request.headers,
            open_timeout=CONNECT_TIMEOUT,
            # A reader that is slow would not take pongs in time. The broker's pings tell enough.
            ping_interval=None,
            create_connection=Connection,
            close_timeout=CLOSE_TIMEOUT,
            compression=None,
            max_size=None,
        )
    except HANDSHAKE_ERRORS as error:
        raise handshake_error(error) from error

    async def ask(question: str) -> None:
        with suppress(ConnectionClosed):
            await connection.send(question)

    try:
        async with connection:
            line.ask = ask
            follower.connected_for_commands()
            yield []
            async for frames in _frames(follower, connection):
                yield frames
    finally:
        line.ask = None


async def _frames(
    follower: Follower[Streams[Event]], connection: ClientConnection
) -> AsyncGenerator[list[Frame], None]:
    nothing_new: bool | None = None
    since = follower.now()
    while (left := follower.silence_left(since)) > 0:
        try:
            # asyncio.wait_for loses a cancellation that meets the end of what it waits for, before Python 3.12.
            with anyio.fail_after(left):
                message = await connection.recv()
        except TimeoutError:
            continue
        except ConnectionClosed as error:
            check_close(follower, error, nothing_stored=nothing_new is True)
            return
        frames = decode_message(follower, message)
        is_first = nothing_new is None
        nothing_new = is_first and not frames
        yield [*frames, POSITIONS_SENT] if is_first else frames
        since = follower.now()
    raise silent(follower.silence)
