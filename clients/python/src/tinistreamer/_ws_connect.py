"""Following over a WebSocket, with threads."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from ._events import Event
from ._follower import CONNECT_TIMEOUT, Follower, silent
from ._frames import POSITIONS_SENT, Frame
from ._link import Link
from ._positions import Streams
from ._websocket import (
    CLOSE_TIMEOUT,
    HANDSHAKE_ERRORS,
    check_close,
    decode_message,
    handshake_error,
    is_activity,
)


def connect(follower: Follower[Streams[Event]], link: Link) -> Generator[list[Frame], None, None]:
    """Connects for the broker's messages."""

    class Connection(ClientConnection):
        """Hears the broker's pings, too."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            link.hold(self.socket)

        def send_data(self) -> None:
            # Where a pong or the answer to a close can't be sent, websockets drops the messages that came before it.
            with suppress(OSError):
                super().send_data()

        def process_event(self, event: Any) -> None:
            if is_activity(event):
                follower.record_activity()
            super().process_event(event)

    request = follower.begin_attempt()
    try:
        connection = connect_websocket(
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

    def ask(question: str) -> None:
        with suppress(ConnectionClosed):
            connection.send(question)

    try:
        with connection:
            link.ask = ask
            follower.connected_for_commands()
            yield []
            yield from _frames(follower, connection)
    finally:
        link.ask = None
        link.hold(None)


def _frames(
    follower: Follower[Streams[Event]], connection: ClientConnection
) -> Generator[list[Frame], None, None]:
    nothing_new: bool | None = None
    since = follower.now()
    while (left := follower.silence_left(since)) > 0:
        try:
            message = connection.recv(left)
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
