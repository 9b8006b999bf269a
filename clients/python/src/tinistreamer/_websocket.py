"""WebSocket code that threads and asyncio share."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as WebSocketFrame

from ._errors import DisconnectedByOperator, TinistreamerError, Unreachable, api_error
from ._events import Event
from ._follower import Follower, closed_early
from ._frames import CommandReply, Frame, parse_message
from ._http import Broker, describe
from ._outbox import Outbox
from ._positions import Streams

CLOSE_TIMEOUT = 1.0
"""Seconds in which the broker must reply to a close.

Nothing is lost by a short timeout: unacknowledged events are sent again.
"""

# The errors of an opening handshake, apart from an invalid URL. In Python 3.10 the timeout of
# asyncio is not an OSError.
HANDSHAKE_ERRORS = (
    OSError,
    EOFError,
    asyncio.TimeoutError,
    InvalidHandshake,
    ConnectionClosed,
)


def upload_url(broker: Broker, outbox: Outbox) -> str:
    """Returns the URL to which a writer sends, from its first unacknowledged event on."""
    query = urlencode(outbox.parameters)
    return f"ws{broker.url.removeprefix('http')}/api/event/add/ws-stream?{query}"


def handshake_error(error: Exception) -> TinistreamerError:
    """Returns the error for a connection that could not be opened."""
    if isinstance(error, InvalidStatus):
        response = error.response
        retry_after = response.headers.get("Retry-After")
        return api_error(response.status_code, bytes(response.body or b""), retry_after)
    return Unreachable(describe(error))


def close_of(error: ConnectionClosed) -> tuple[int | None, str]:
    """Returns the broker's close code and reason; None without a close frame."""
    return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (None, "")


def decode_message(follower: Follower[Streams[Event]], message: str | bytes) -> list[Frame]:
    """Returns the frames of a message. A reply has no frames: it goes to the streams."""
    decoded = parse_message(message)
    if isinstance(decoded, CommandReply):
        follower.streams.replied(decoded)
        return []
    return decoded


def check_close(
    follower: Follower[Streams[Event]], error: ConnectionClosed, *, nothing_stored: bool
) -> None:
    """Completes the streams when the close means that no event follows. Raises otherwise.

    `nothing_stored`: the only message of the connection was the empty array. After any other
    message the last event must come before the close.
    """
    code, reason = close_of(error)
    # The broker uses this code only when its operator disconnects a subscriber.
    if code == CloseCode.POLICY_VIOLATION:
        raise DisconnectedByOperator
    if code != CloseCode.NORMAL_CLOSURE or not nothing_stored:
        raise closed_early(f"{code} {reason}" if code else "without a word")
    follower.streams.complete()


def is_activity(event: object) -> bool:
    """Whether a protocol event shows that the broker is there: a message or a ping."""
    return isinstance(event, WebSocketFrame) and event.opcode is not Opcode.CLOSE
