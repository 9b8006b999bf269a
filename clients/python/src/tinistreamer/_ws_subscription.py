"""Following over a WebSocket, with threads."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from ._follow import CONNECT_TIMEOUT, Follower, frames_of, silent
from ._sse import Frame
from ._subscription import Link
from ._websocket import CLOSE_TIMEOUT, HANDSHAKE_ERRORS, end_of, handshake_error, is_life


@contextmanager
def connect(follower: Follower, headers: dict[str, str], link: Link) -> Generator[Iterator[Frame], None, None]:
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
            if is_life(event):
                follower.hear()
            super().process_event(event)

    try:
        connection = connect_websocket(
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
    try:
        with connection:
            follower.connected()
            yield _frames(follower, connection)
    finally:
        link.hold(None)


def _frames(follower: Follower, connection: ClientConnection) -> Iterator[Frame]:
    nothing_new = False
    since = follower.now()
    while (left := follower.silence_left(since)) > 0:
        try:
            message = connection.recv(left)
        except TimeoutError:
            continue
        except ConnectionClosed as error:
            end_of(follower, error, nothing_new=nothing_new)
            return
        frames = frames_of(message)
        nothing_new = not frames
        yield from frames
        since = follower.now()
    raise silent(follower.silence)
