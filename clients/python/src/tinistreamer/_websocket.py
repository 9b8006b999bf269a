"""What both kinds of WebSocket connection have in common."""

from __future__ import annotations

from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode

from . import _frames
from ._errors import DisconnectedByOperator, TinistreamerError, Unreachable, api_error
from ._events import Event
from ._follower import Follower, closed_early
from ._http import Broker, describe
from ._outbox import Outbox
from ._positions import Streams

CLOSE_TIMEOUT = 1.0
"""Seconds that the broker may take to answer a close. What is lost is lost already: it was not acknowledged."""

# What the opening of a connection may raise, besides mistakes in the URL.
HANDSHAKE_ERRORS = (OSError, EOFError, InvalidHandshake, ConnectionClosed)


def upload_url(broker: Broker, outbox: Outbox) -> str:
    """Where a writer sends, from its first unacknowledged event on."""
    query = urlencode({"key": outbox.options.key, **outbox.position})
    return f"ws{broker.url.removeprefix('http')}/api/event/add/ws-stream?{query}"


def handshake_error(error: Exception) -> TinistreamerError:
    """What it means that a connection could not be opened."""
    if isinstance(error, InvalidStatus):
        answer = error.response
        return api_error(
            answer.status_code, bytes(answer.body or b""), answer.headers.get("Retry-After")
        )
    return Unreachable(describe(error))


def close_of(error: ConnectionClosed) -> tuple[int | None, str]:
    """The code and the reason with which the broker closed the connection; None if it just broke."""
    return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (None, "")


def frames_of(follower: Follower[Streams[Event]], message: str | bytes) -> list[_frames.Frame]:
    """The events in a message; none if it was an answer, which is heeded."""
    told = _frames.message_of(message)
    if isinstance(told, _frames.Answer):
        follower.streams.answered(told)
        return []
    return told


def end_of(
    follower: Follower[Streams[Event]], error: ConnectionClosed, *, nothing_new: bool
) -> None:
    """The broker closed a subscription's connection before the last event: raises, unless it is complete.

    `nothing_new`: the one message of the connection was the empty array. After any other the last event must come.
    """
    code, reason = close_of(error)
    # The broker closes with this code for no other reason.
    if code == CloseCode.POLICY_VIOLATION:
        raise DisconnectedByOperator
    if code != CloseCode.NORMAL_CLOSURE or not nothing_new:
        raise closed_early(f"{code} {reason}" if code else "without a word")
    follower.streams.complete()


def is_life(event: object) -> bool:
    """Whether something that came is a sign of life of the stream: a message or a ping."""
    return isinstance(event, Frame) and event.opcode is not Opcode.CLOSE
