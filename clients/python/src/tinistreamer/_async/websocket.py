"""Subscriptions over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from .._events import Event
from .._follower import CONNECT_TIMEOUT, Follower, silent
from .._frames import POSITIONS_SENT, Frame
from .._positions import Streams
from .._tasks.connection import AsyncConnection
from .._tasks.websocket import observed_websocket, receive
from .._websocket import (
    CLOSE_TIMEOUT,
    HANDSHAKE_ERRORS,
    check_close,
    decode_message,
    handshake_error,
)


async def connect(
    follower: Follower[Streams[Event]], connection: AsyncConnection
) -> AsyncGenerator[list[Frame], None]:
    """Makes a connection and yields the frames of the broker's messages."""
    try:
        websocket = await _open(follower, connection)

        async def send_command(command: str) -> None:
            with suppress(ConnectionClosed):
                await websocket.send(command)

        async with websocket:
            connection.send_command = send_command
            follower.connected_for_commands()
            yield []
            async for frames in _frames(follower, websocket):
                yield frames
    finally:
        connection.send_command = None
        connection.release()


async def _open(
    follower: Follower[Streams[Event]], connection: AsyncConnection
) -> ClientConnection:
    attempt = follower.begin_attempt()
    try:
        return await connect_websocket(
            attempt.url,
            additional_headers=attempt.headers,
            open_timeout=CONNECT_TIMEOUT,
            # A slow reader would not read pongs in time. The pings of the broker are enough.
            ping_interval=None,
            create_connection=observed_websocket(follower.record_activity, connection),
            close_timeout=CLOSE_TIMEOUT,
            compression=None,
            max_size=None,
        )
    except HANDSHAKE_ERRORS as error:
        raise handshake_error(error) from error


async def _frames(
    follower: Follower[Streams[Event]], websocket: ClientConnection
) -> AsyncGenerator[list[Frame], None]:
    is_first, nothing_stored = True, False
    since = follower.now()
    while (left := follower.silence_left(since)) > 0:
        try:
            message = await receive(websocket, left)
        except TimeoutError:
            # A ping may have come meanwhile.
            continue
        except ConnectionClosed as error:
            check_close(follower, error, nothing_stored=nothing_stored)
            return
        frames = decode_message(follower, message)
        nothing_stored = is_first and not frames
        yield [*frames, POSITIONS_SENT] if is_first else frames
        is_first = False
        since = follower.now()
    raise silent(follower.silence)
