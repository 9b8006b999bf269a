"""Following over a WebSocket, with asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from ._follow import CONNECT_TIMEOUT, Follower, frames_of, silent
from ._sse import Frame
from ._websocket import CLOSE_TIMEOUT, HANDSHAKE_ERRORS, end_of, handshake_error, is_life


@asynccontextmanager
async def connect(follower: Follower, headers: dict[str, str]) -> AsyncGenerator[AsyncGenerator[Frame, None], None]:
    """Connects for the broker's messages."""

    class Connection(ClientConnection):
        """Hears the broker's pings, too."""

        def process_event(self, event: Any) -> None:
            if is_life(event):
                follower.hear()
            super().process_event(event)

    try:
        connection = await connect_websocket(
            follower.url,
            additional_headers=headers,
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
    async with connection:
        follower.connected()
        yield _frames(follower, connection)


async def _frames(follower: Follower, connection: ClientConnection) -> AsyncGenerator[Frame, None]:
    nothing_new = False
    since = follower.now()
    while (left := follower.silence_left(since)) > 0:
        try:
            # asyncio.wait_for loses a cancellation that meets the end of what it waits for, before Python 3.12.
            with anyio.fail_after(left):
                message = await connection.recv()
        except TimeoutError:
            continue
        except ConnectionClosed as error:
            end_of(follower, error, nothing_new=nothing_new)
            return
        frames = frames_of(message)
        nothing_new = not frames
        for frame in frames:
            yield frame
        since = follower.now()
    raise silent(follower.silence)
