"""Decoded frames: events, positions and replies, in one form for all transports. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from ._errors import Unreachable
from ._status import FinalStatus, final_status


@dataclass(frozen=True)
class Frame:
    """An event or a position, as a transport delivered it."""

    id: str | None
    """The id of the event, or the position; None when the frame has none."""
    event: str | None
    """The event's name; None: the frame is a position, up to which the broker has read."""
    data: str = ""
    key: str | None = None
    """The key of the stream, when the frame names it."""
    cursor: str | None = None
    """The position in all streams of the connection, when the frame has it."""
    status: FinalStatus | None = None
    """The stream's status, when the broker says that this event is its last."""
    status_if_last: FinalStatus | None = None
    """The status that the stream has if no event follows. Only over server-sent events."""
    count: int = 1
    """How many events of the stream the frame stands for. More than one only with a rollup."""


POSITIONS_SENT = Frame(None, None)
"""Follows the last position that the broker sends when a connection starts.

A stream without a position then starts with its first event.
"""


@dataclass(frozen=True)
class CommandReply:
    """The broker's reply to a WebSocket command `subscribe` or `unsubscribe`.

    Replies come in the order of the commands.
    """

    op: str
    """`subscribed`, `unsubscribed` or `error`."""
    after: str | None
    """The position in the stream."""
    code: str
    message: str


@dataclass(frozen=True)
class PollResponse:
    """The response to a long poll."""

    frames: list[Frame]
    cursor: str | None
    is_complete: bool
    """Whether all streams are finished, so that no event can follow."""


def parse_message(message: str | bytes) -> list[Frame] | CommandReply:
    """Decodes a WebSocket message: one event, an array of the stored events, or a reply.

    Raises `Unreachable` when the message has another form.
    """
    try:
        decoded: Any = json.loads(message)
        values = cast("list[dict[str, Any]]", decoded if isinstance(decoded, list) else [decoded])
        if len(values) == 1 and "op" in values[0]:
            return _reply(values[0])
        return [_frame(value) for value in values]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("A message is not of the broker's form") from error


def parse_poll(body: bytes) -> PollResponse:
    """Decodes the body of a long poll's response. Raises `Unreachable` when it has another form."""
    try:
        decoded = json.loads(body)
        frames = [_frame(value) for value in decoded["events"]]
        return PollResponse(frames, decoded["cursor"], decoded["status"] != "active")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("An answer is not of the broker's form") from error


class NdjsonDecoder:
    """Decodes lines of JSON from chunks that may be cut anywhere. An empty line is a heartbeat."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that this chunk completes.

        Raises `Unreachable` when a line has another form.
        """
        # Only the new chunk is searched for line ends: a long line comes in many chunks.
        *lines, rest = chunk.split(b"\n")
        frames: list[Frame] = []
        for line in lines:
            whole = b"".join((*self._parts, line))
            self._parts.clear()
            # The broker sends all positions before the first heartbeat.
            frames.append(_line(whole) if whole else POSITIONS_SENT)
        self._parts.append(rest)
        return frames


def _line(line: bytes) -> Frame:
    try:
        return _frame(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("A line is not of the broker's form") from error


def _frame(value: dict[str, Any]) -> Frame:
    # The broker sends nothing that has neither an event nor an id: without both, this raises.
    event = value.get("event")
    event_id = value.get("id") if event is not None else value["id"]
    status = final_status(value.get("stream_status"))
    data, count = value.get("data") or "", int(value.get("count") or 1)
    return Frame(event_id, event, data, value.get("key"), status=status, count=count)


def _reply(value: dict[str, Any]) -> CommandReply:
    return CommandReply(
        value["op"], value.get("after"), value.get("code", ""), value.get("message", "")
    )
