"""The streams of a subscription and its position in each. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from . import _cursor
from ._errors import TinistreamerError
from ._events import Event
from ._frames import POSITIONS_SENT, CommandReply, Frame
from ._request import SubscribeRequest, may_start_anywhere, start_parameters, with_query
from ._sequence import SequenceCheck

E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True)
class Resumption:
    """Where the next connection continues."""

    url: str
    cursor: str | None
    """The position in the streams; None: at the start position."""


class Streams(ABC, Generic[E_co]):
    """The streams of a subscription, and the frames that wait for the caller.

    The position moves when the caller takes a frame, not when the frame arrives.
    """

    def __init__(self, request: SubscribeRequest) -> None:
        self._request = request
        self._inbox: deque[Frame] = deque()

    @property
    def url(self) -> str:
        """The URL of the subscription; empty until an access brings it."""
        return self._request.url

    @url.setter
    def url(self, url: str) -> None:
        self._request = replace(self._request, url=url)

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether all streams are finished, so that no event can follow."""

    @property
    @abstractmethod
    def may_be_over(self) -> bool:
        """Whether all streams are finished if no event follows. The next request shows it."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether there is no stream to follow for now."""

    @property
    def has_frames(self) -> bool:
        """Whether frames wait for the caller."""
        return bool(self._inbox)

    @abstractmethod
    def begin_connection(self) -> Resumption:
        """Returns where a new connection continues.

        Discards frames that wait for the caller. The new connection delivers them again.
        """

    def receive(self, frames: Iterable[Frame]) -> None:
        """Keeps frames that arrived until the caller takes them."""
        self._inbox.extend(frames)

    @abstractmethod
    def take(self) -> E_co | None:
        """Takes the next frame, and returns its event; None for a position. Raises `Gap`."""

    @abstractmethod
    def complete(self) -> None:
        """The broker reports that no event follows the position."""

    @abstractmethod
    def resolve_sse(self, frame: Frame) -> Frame:
        """Returns the frame with the key, id and cursor that its SSE id contains."""

    @abstractmethod
    def position_frame(self, cursor: str) -> Frame:
        """Returns the cursor of a poll's response as a frame, which follows the events."""

    @property
    @abstractmethod
    def is_adding(self) -> bool:
        """Whether the connection asked for streams that a caller is adding.

        A refusal then concerns those streams only.
        """

    @abstractmethod
    def connected(self) -> None:
        """The broker has accepted the connection and its streams."""

    @abstractmethod
    def accept_commands(self) -> None:
        """The connection accepts commands until it is closed."""

    @abstractmethod
    def replied(self, reply: CommandReply) -> None:
        """The broker has replied to the oldest command."""

    @abstractmethod
    def refused(self, error: TinistreamerError) -> None:
        """The broker has refused the connection: the streams being added are left out."""

    @abstractmethod
    def disconnected(self) -> None:
        """The connection is closed."""


def without_wait_marker(frame: Frame) -> Frame:
    """Translates the position `KEY:` of a connection to one stream over server-sent events.

    The broker sends it while it waits for the stream to be created.
    """
    is_marker = frame.event is None and frame.id is not None and frame.id.endswith(":")
    return POSITIONS_SENT if is_marker else frame


class OneStream(Streams[Event]):
    """The one stream that the URL names."""

    def __init__(self, request: SubscribeRequest, after: str | None) -> None:
        super().__init__(request)
        if after is not None:
            _cursor.check(after)
        self._from = request.from_
        self.sequence = SequenceCheck(
            after,
            is_filtered=request.is_filtered,
            may_start_anywhere=may_start_anywhere(request.from_),
        )
        self._is_complete = False

    @property
    def is_over(self) -> bool:
        return self._is_complete or self.sequence.status not in {None, "gone"}

    @property
    def may_be_over(self) -> bool:
        return self.sequence.status_if_last is not None

    @property
    def is_idle(self) -> bool:
        return False

    @property
    def is_adding(self) -> bool:
        return False

    def begin_connection(self) -> Resumption:
        self._inbox.clear()
        start = start_parameters(self._from, wait=self._request.wait)
        url = with_query(self._request.url, [*self._request.parameters, *start])
        return Resumption(url, self.sequence.position)

    def take(self) -> Event | None:
        frame = self._inbox.popleft()
        if frame is POSITIONS_SENT:
            self._from = None
            return None
        return self.sequence.accept(frame)

    def complete(self) -> None:
        self._is_complete = True
        self.sequence.complete()

    def resolve_sse(self, frame: Frame) -> Frame:
        return without_wait_marker(frame)

    def position_frame(self, cursor: str) -> Frame:
        return Frame(cursor, None)

    def connected(self) -> None:
        """No stream is being added."""

    def accept_commands(self) -> None:
        """One stream needs no commands."""

    def replied(self, reply: CommandReply) -> None:
        """No command was sent."""

    def refused(self, error: TinistreamerError) -> None:
        """No stream is being added."""

    def disconnected(self) -> None:
        """The position is the only state."""
