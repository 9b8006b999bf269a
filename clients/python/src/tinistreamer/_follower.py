"""What a subscription decides about its connections, without I/O: when it is silent, when to try again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ._backoff import Backoff
from ._errors import (
    ApiError,
    Disconnected,
    TinistreamerError,
    Unreachable,
    is_transient,
    retry_after_of,
)
from ._events import Event
from ._frames import PLACED, Frame, NdjsonDecoder, Polled
from ._positions import Streams
from ._request import StreamTransport, with_query
from ._sse import SseDecoder

CONNECT_TIMEOUT = 10.0
"""Seconds that a connection may take to be made."""

_LONGEST_POLL = 25
"""Seconds that a long poll may wait for news."""

S_co = TypeVar("S_co", bound=Streams[Event], covariant=True)


@dataclass(frozen=True)
class Request:
    """What to ask the broker."""

    url: str
    headers: dict[str, str]


class Follower(Generic[S_co]):
    """The state of a subscription's connections, and what to do next."""

    def __init__(
        self,
        streams: S_co,
        *,
        silence: float,
        give_up_after: float,
        asks_for_token: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if silence <= 0 or give_up_after <= 0:
            raise ValueError("silence and give_up_after are positive")
        self.streams = streams
        self.silence = min(silence, give_up_after)
        self.token: str | None = None
        self._token_is_new = False
        self._asks_for_token = asks_for_token
        self._give_up_after = give_up_after
        self._clock = clock
        self._heard: float | None = None
        self._backoff = Backoff(1.0, 30.0)

    def took_token(self, token: str) -> None:
        """The caller's function made a token."""
        self.token = token
        self._token_is_new = True

    def connecting(self) -> Request:
        """An attempt to connect begins; what to ask for."""
        if self._heard is None:
            self.hear()
        resumption = self.streams.begin_connection()
        headers = self._authorization()
        if resumption.cursor is not None:
            headers["Last-Event-ID"] = resumption.cursor
        return Request(resumption.url, headers)

    def polling(self, wait: int) -> Request:
        """What to ask for in a long poll that waits so many seconds."""
        if self._heard is None:
            self.hear()
        resumption = self.streams.begin_connection()
        after = [("after", resumption.cursor)] if resumption.cursor is not None else []
        return Request(
            with_query(resumption.url, [*after, ("wait", str(wait))]), self._authorization()
        )

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def poll_wait(self) -> int:
        """The seconds that a long poll waits: no more than silence may last, nor so long that it is given up for its silence."""
        return max(1, min(_LONGEST_POLL, int(self.silence), int(self._give_up_after / 2)))

    def connected(self) -> None:
        """The broker took the token, and what was asked for."""
        self._token_is_new = False
        self.streams.connected()

    def opened(self) -> None:
        """As `connected`; and the connection takes questions."""
        self.connected()
        self.streams.takes_questions()

    def hear(self) -> None:
        """The broker gave a sign of life: an event or a heartbeat."""
        self._heard = self._clock()

    def rest(self) -> None:
        """There was nothing to follow, so that nothing could be heard."""
        self._heard = None

    def now(self) -> float:
        """The time, in seconds."""
        return self._clock()

    def silence_left(self, since: float) -> float:
        """The seconds of silence that may still follow, when it was listened since then."""
        return self.silence - (self._clock() - max(since, self._heard or since))

    def decoder(self, transport: StreamTransport) -> Callable[[bytes], list[Frame]]:
        """Makes frames out of the pieces of an answer, heartbeats and the reconnection time heeded."""
        ndjson, sse = NdjsonDecoder(), SseDecoder()

        def decode(chunk: bytes) -> list[Frame]:
            self.hear()
            if transport == "ndjson":
                return ndjson.feed(chunk)
            frames = [self.streams.of_sse(frame) for frame in sse.feed(chunk)]
            if sse.retry is not None:
                self._backoff.first = sse.retry
            return frames

        return decode

    def decode_polled(self, polled: Polled) -> list[Frame]:
        """The frames in the answer to a long poll, which ends with its position."""
        self.hear()
        position = [self.streams.of_cursor(polled.cursor)] if polled.cursor is not None else []
        return [*polled.frames, *position, PLACED]

    def receive(self, frames: list[Frame]) -> None:
        """Frames have come, which ends a row of failures."""
        if any(frame is not PLACED for frame in frames):
            self._backoff.reset()
        # Positions are told before events are.
        has_events = any(frame.event is not None for frame in frames)
        self.streams.receive([*frames, PLACED] if has_events else frames)

    def failed(self, error: TinistreamerError) -> float:
        """The connection failed or broke: the seconds to wait before the next. Raises if there shall be none."""
        token_was_new, self._token_is_new = self._token_is_new, False
        if (
            isinstance(error, ApiError)
            and error.status == 401
            and self._asks_for_token
            and not token_was_new
        ):
            self.token = None
            return 0.0
        if not is_transient(error):
            if isinstance(error, ApiError) and self.streams.is_adding:
                self.streams.refused(error)
                return 0.0
            raise error
        heard = self._clock() if self._heard is None else self._heard
        delay = self._backoff.next(
            heard + self._give_up_after - self._clock(), retry_after_of(error)
        )
        if delay is None:
            raise Disconnected(self._give_up_after) from error
        return delay


def closed_early(how: str) -> Unreachable:
    """What it means that a connection ends before the stream."""
    return Unreachable(f"The connection was closed before the stream's end ({how})")


def silent(seconds: float) -> Unreachable:
    """What it means that nothing comes, not even a heartbeat."""
    return Unreachable(f"Nothing came for {seconds:g} seconds")
