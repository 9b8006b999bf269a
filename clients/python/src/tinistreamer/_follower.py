"""When a subscription connects, what it asks for, and when it connects again. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ._backoff import Backoff
from ._connection_changes import ConnectionReporter, OnConnection
from ._errors import (
    ApiError,
    Disconnected,
    TinistreamerError,
    Unreachable,
    is_transient,
    retry_after_of,
)
from ._events import Event
from ._frames import POSITIONS_SENT, Frame, NdjsonDecoder, PollResponse
from ._positions import Resumption, Streams
from ._request import HttpTransport, with_query
from ._sse import SseDecoder

CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection must be made."""

_LONGEST_POLL = 25
"""Seconds for which the broker may hold the response to a long poll back."""

S_co = TypeVar("S_co", bound=Streams[Event], covariant=True)


@dataclass(frozen=True)
class Attempt:
    """The inputs of one attempt to connect."""

    url: str
    headers: dict[str, str]


class Follower(Generic[S_co]):
    """Decides how a subscription connects and when it connects again.

    It keeps the token, the time of the last activity, and the failures in a row.
    """

    def __init__(
        self,
        streams: S_co,
        *,
        silence: float,
        give_up_after: float,
        asks_for_token: bool,
        clock: Callable[[], float] = time.monotonic,
        on_connection: OnConnection | None = None,
    ) -> None:
        if silence <= 0 or give_up_after <= 0:
            raise ValueError("silence and give_up_after are positive")
        self.streams = streams
        self.silence = min(silence, give_up_after)
        self.token: str | None = None
        self.reporter = ConnectionReporter(on_connection)
        self._token_is_new = False
        self._asks_for_token = asks_for_token
        self._give_up_after = give_up_after
        self._clock = clock
        self._last_activity: float | None = None
        self._backoff = Backoff(1.0, 30.0)
        self._asked_for_end = False

    def set_new_token(self, token: str) -> None:
        """Takes a token from the caller's function."""
        self.token = token
        self._token_is_new = True

    def begin_attempt(self) -> Attempt:
        """Returns what the next connection asks for."""
        resumption = self._begin()
        headers = self._authorization()
        if resumption.cursor is not None:
            headers["Last-Event-ID"] = resumption.cursor
        return Attempt(resumption.url, headers)

    def begin_poll(self, wait: int) -> Attempt:
        """Returns what the next long poll asks for. The broker may wait `wait` seconds."""
        resumption = self._begin()
        after = [("after", resumption.cursor)] if resumption.cursor is not None else []
        url = with_query(resumption.url, [*after, ("wait", str(wait))])
        return Attempt(url, self._authorization())

    def _begin(self) -> Resumption:
        if self._last_activity is None:
            self.record_activity()
        return self.streams.begin_connection()

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def poll_wait(self) -> int:
        """The seconds for which the broker may hold a poll's response back.

        They are limited by `silence`, and by half of `give_up_after`: else the wait would count as
        a failure.
        """
        return max(1, min(_LONGEST_POLL, int(self.silence), int(self._give_up_after / 2)))

    def connected(self) -> None:
        """The broker has accepted the token and the streams."""
        self._token_is_new = False
        self.streams.connected()
        self.reporter.open()

    def connected_for_commands(self) -> None:
        """The broker has accepted a connection that accepts commands."""
        self.connected()
        self.streams.accept_commands()

    def record_activity(self) -> None:
        """The broker has sent something: an event or a heartbeat."""
        self._last_activity = self._clock()

    def rest(self) -> None:
        """There is no stream to follow, so that the broker sends nothing."""
        self._last_activity = None

    def now(self) -> float:
        """The time in seconds."""
        return self._clock()

    def silence_left(self, since: float) -> float:
        """Returns the seconds after which a connection, read since then, counts as broken."""
        return self.silence - (self._clock() - max(since, self._last_activity or since))

    def decoder(self, transport: HttpTransport) -> Callable[[bytes], list[Frame]]:
        """Returns a function that decodes the chunks of one response.

        It records each chunk as activity, and uses the reconnection time that the broker sends.
        """
        ndjson, sse = NdjsonDecoder(), SseDecoder()

        def decode(chunk: bytes) -> list[Frame]:
            self.record_activity()
            if transport == "ndjson":
                return ndjson.feed(chunk)
            frames = [self.streams.resolve_sse(frame) for frame in sse.feed(chunk)]
            if sse.retry is not None:
                self._backoff.first = sse.retry
            return frames

        return decode

    def decode_poll(self, response: PollResponse) -> list[Frame]:
        """Returns the frames of a poll's response. The position comes last."""
        self.record_activity()
        position: list[Frame] = []
        if response.cursor is not None:
            position.append(self.streams.position_frame(response.cursor))
        return [*response.frames, *position, POSITIONS_SENT]

    def receive(self, frames: list[Frame]) -> None:
        """Takes frames from the connection. They end a row of failures."""
        if any(frame is not POSITIONS_SENT for frame in frames):
            self._backoff.reset()
        # The broker sends all positions before the first event.
        has_events = any(frame.event is not None for frame in frames)
        if has_events:
            self._asked_for_end = False
            self.reporter.end_row()
        self.streams.receive([*frames, POSITIONS_SENT] if has_events else frames)

    def failed(self, error: TinistreamerError) -> float:
        """Returns the seconds until the next attempt, after an attempt or a connection failed.

        Raises the error when it is final, and `Disconnected` after `give_up_after`.
        """
        delay = self._delay_after(error)
        self.reporter.waiting(error, delay)
        return delay

    def _delay_after(self, error: TinistreamerError) -> float:
        token_was_new, self._token_is_new = self._token_is_new, False
        is_refused = isinstance(error, ApiError) and error.status == 401
        if is_refused and self._asks_for_token and not token_was_new:
            self.token = None
            return 0.0
        if isinstance(error, Unreachable) and self.streams.may_be_over and not self._asked_for_end:
            # A 204 will confirm the end. Only the first request after the event is sent at once.
            self._asked_for_end = True
            return 0.0
        if not is_transient(error):
            if isinstance(error, ApiError) and self.streams.is_adding:
                self.streams.refused(error)
                return 0.0
            raise error
        since = self._clock() if self._last_activity is None else self._last_activity
        remaining = since + self._give_up_after - self._clock()
        delay = self._backoff.next(remaining, retry_after_of(error))
        if delay is None:
            raise Disconnected(self._give_up_after) from error
        return delay


def closed_early(how: str) -> Unreachable:
    """Returns the error for a connection that ends before its streams."""
    return Unreachable(f"The connection was closed before the stream's end ({how})")


def silent(seconds: float) -> Unreachable:
    """Returns the error for a connection on which nothing arrives, not even a heartbeat."""
    return Unreachable(f"Nothing came for {seconds:g} seconds")
