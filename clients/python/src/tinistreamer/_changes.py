"""The streams of a subscription to several, and how they change."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ._cursor import Position
from ._errors import TinistreamerError
from ._sequence import SequenceCheck


@dataclass
class Member:
    """One of the streams that are followed."""

    track: SequenceCheck
    from_: str | None
    wait: bool
    is_finished: bool = False
    in_base: bool = False
    """Whether the base has its position, or a newer one than the track."""
    is_placed: bool = False
    """Whether it begins with its first event although its `from` was another: it was waited for."""

    @property
    def position(self) -> Position | None:
        """The position to spell out, if there is one that the base does not have."""
        if self.in_base or self.track.position is None:
            return None
        return Position(self.track.position, self.is_finished and self.track.status != "gone")

    @property
    def begins(self) -> bool:
        """Whether nothing is known of it, so that it begins where `from` says."""
        return not self.in_base and self.track.position is None


class Change:
    """A stream to be added (`member`) or dropped (None), until it is settled."""

    def __init__(self, key: str, member: Member | None) -> None:
        self.key = key
        self.member = member
        self.is_asked = False
        """Whether the broker is to be asked, by `question`."""
        self.is_settled = False
        self.error: TinistreamerError | None = None
        self.position: str | None = None
        """The last event handed out of a stream that was dropped."""

    @property
    def question(self) -> str:
        """The message over a WebSocket."""
        if self.member is None:
            return json.dumps({"op": "unsubscribe", "key": self.key})
        question: dict[str, object] = {"op": "subscribe", "key": self.key}
        if self.member.track.position is not None:
            question["after"] = self.member.track.position
        if self.member.from_ is not None:
            question["from"] = self.member.from_
        if self.member.wait:
            question["wait"] = True
        return json.dumps(question)

    def settle(self, error: TinistreamerError | None = None) -> None:
        """It is done, or refused."""
        self.is_settled, self.error = True, error
