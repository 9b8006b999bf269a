"""What comes over the transports, decoded, without I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from ._errors import Unreachable


@dataclass(frozen=True)
class Frame:
    """An event, or only a position, as it came over any transport."""

    id: str | None
    """That of this frame, if it has one of its own."""
    event: str | None
    """The event's name; None: the frame tells no more than how far the stream was looked through."""
    data: str = ""
    key: str | None = None
    """The stream, where the frame says it."""
    cursor: str | None = None
    """The position in all streams of the connection, where the frame tells it."""


PLACED = Frame(None, None)
"""Comes when the broker has told all positions that there are: a stream without one begins with its first event."""


@dataclass(frozen=True)
class Answer:
    """What the broker answers over a WebSocket to `subscribe` and `unsubscribe`, in their order."""

    op: str
    """`subscribed`, `unsubscribed` or `error`."""
    after: str | None
    """The position in the stream."""
    code: str
    message: str


@dataclass(frozen=True)
class Polled:
    """An answer to a long poll."""

    frames: list[Frame]
    cursor: str | None
    is_complete: bool
    """Whether it holds the rest of all streams."""


def message_of(message: str | bytes) -> list[Frame] | Answer:
    """A WebSocket message: events (one, or an array of those so far), or an answer. Raises `Unreachable` if it is neither."""
    try:
        told: Any = json.loads(message)
        values = cast("list[dict[str, Any]]", told if isinstance(told, list) else [told])
        if len(values) == 1 and "op" in values[0]:
            return _answer(values[0])
        return [_frame(value) for value in values]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("A message is not of the broker's form") from error


def polled(body: bytes) -> Polled:
    """What a long poll brought. Raises `Unreachable` if it is not of the broker's form."""
    try:
        told = json.loads(body)
        return Polled(
            [_frame(value) for value in told["events"]], told["cursor"], told["status"] != "active"
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("An answer is not of the broker's form") from error


class NdjsonDecoder:
    """Makes frames out of lines of JSON that are cut anywhere. Empty lines are heartbeats."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that this chunk completes. Raises `Unreachable` if a line is not of the broker's form."""
        # Only the new piece is looked at: a long line comes in many.
        *lines, rest = chunk.split(b"\n")
        frames: list[Frame] = []
        for line in lines:
            whole = b"".join((*self._parts, line))
            self._parts.clear()
            # Positions are told before a heartbeat is.
            frames.append(_line(whole) if whole else PLACED)
        self._parts.append(rest)
        return frames


def _line(line: bytes) -> Frame:
    try:
        return _frame(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("A line is not of the broker's form") from error


def _frame(value: dict[str, Any]) -> Frame:
    # What has neither an event nor an id tells nothing, and is none of the broker's.
    event = value.get("event")
    event_id = value.get("id") if event is not None else value["id"]
    return Frame(event_id, event, value.get("data") or "", value.get("key"))


def _answer(value: dict[str, Any]) -> Answer:
    return Answer(value["op"], value.get("after"), value.get("code", ""), value.get("message", ""))
