"""What a subscription follows, without I/O: where to go on, what comes next, when it is over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from . import _cursor
from ._errors import TinistreamerError
from ._events import Event
from ._frames import PLACED, Answer, Frame
from ._request import SubscribeRequest, begin_pairs, begins_anywhere, with_query
from ._sequence import SequenceCheck

E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True)
class Resumption:
    """What a connection is to ask for."""

    url: str
    cursor: str | None
    """Where to go on; None: at the beginning."""


class Streams(ABC, Generic[E_co]):
    """The streams of a subscription. Frames wait here until they are handed out; only then they count for the position."""

    def __init__(self) -> None:
        self._inbox: deque[Frame] = deque()

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing can come any more."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether there is nothing to follow for now."""

    @property
    def has_frames(self) -> bool:
        """Whether frames wait to be handed out."""
        return bool(self._inbox)

    @abstractmethod
    def begin_connection(self) -> Resumption:
        """A connection is to be made. What the last one brought and was not handed out comes again."""

    def receive(self, frames: Iterable[Frame]) -> None:
        """Frames have come."""
        self._inbox.extend(frames)

    @abstractmethod
    def take(self) -> E_co | None:
        """Takes the next frame: the event to hand out, if it is one. Raises `Gap`."""

    @abstractmethod
    def complete(self) -> None:
        """The broker says that there is nothing after the position."""

    @abstractmethod
    def of_sse(self, frame: Frame) -> Frame:
        """The frame with what its id says."""

    @abstractmethod
    def of_cursor(self, cursor: str) -> Frame:
        """What the cursor of a long poll's answer tells, as a frame that comes after its events."""

    @property
    @abstractmethod
    def is_adding(self) -> bool:
        """Whether the connection asked for streams that are only to be added, so that a refusal concerns them alone."""

    @abstractmethod
    def connected(self) -> None:
        """The broker has taken what the connection asked for."""

    @abstractmethod
    def takes_questions(self) -> None:
        """The connection takes questions, until it is no more."""

    @abstractmethod
    def answered(self, answer: Answer) -> None:
        """The broker answered the oldest question."""

    @abstractmethod
    def refused(self, error: TinistreamerError) -> None:
        """The broker has not: what was to be added is left out from now on."""

    @abstractmethod
    def disconnected(self) -> None:
        """The connection is no more."""


def placed_or(frame: Frame) -> Frame:
    """A frame over server-sent events for one stream, whose position is `KEY:` where the broker waits for the stream."""
    return (
        PLACED if frame.event is None and frame.id is not None and frame.id.endswith(":") else frame
    )


class OneStream(Streams[Event]):
    """One stream, the one that the URL names."""

    def __init__(self, url: str, after: str | None, wanted: SubscribeRequest) -> None:
        super().__init__()
        if after is not None:
            _cursor.check(after)
        self._url, self._wanted = url, wanted
        self._from = wanted.from_
        self.track = SequenceCheck(
            after,
            is_filtered=wanted.events is not None,
            begins_anywhere=begins_anywhere(wanted.from_),
        )
        self._is_complete = False

    @property
    def is_over(self) -> bool:
        return self._is_complete or self.track.status in {"ended", "cancelled"}

    @property
    def is_idle(self) -> bool:
        return False

    @property
    def is_adding(self) -> bool:
        return False

    def begin_connection(self) -> Resumption:
        self._inbox.clear()
        pairs = [*self._wanted.pairs, *begin_pairs(self._from, wait=self._wanted.wait)]
        return Resumption(with_query(self._url, pairs), self.track.position)

    def take(self) -> Event | None:
        frame = self._inbox.popleft()
        if frame is PLACED:
            self._from = None
            return None
        return self.track.accept(frame)

    def complete(self) -> None:
        self._is_complete = True

    def of_sse(self, frame: Frame) -> Frame:
        return placed_or(frame)

    def of_cursor(self, cursor: str) -> Frame:
        return Frame(cursor, None)

    def connected(self) -> None:
        """Nothing waits for it."""

    def takes_questions(self) -> None:
        """There are none."""

    def answered(self, answer: Answer) -> None:
        """Nothing was asked."""

    def refused(self, error: TinistreamerError) -> None:
        """Nothing was to be added."""

    def disconnected(self) -> None:
        """The position is all that there is."""
