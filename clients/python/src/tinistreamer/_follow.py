"""What a subscription decides, without I/O: where to go on, what is a gap, when to try again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from ._backoff import Backoff
from ._errors import ApiError, Disconnected, Gap, TinistreamerError, Unreachable, is_transient, retry_after_of
from ._events import Event, Missed, number_of
from ._sse import Frame, SseDecoder

Status = Literal["ended", "cancelled"]

_FINAL: dict[str, Status] = {"end": "ended", "cancel": "cancelled"}

CONNECT_TIMEOUT = 10.0
"""Seconds that a connection may take to be made."""


class Follower:
    """How far a subscription is, and what to do next."""

    def __init__(
        self,
        url: str,
        *,
        after: str | None,
        silence: float,
        give_up_after: float,
        asks_for_token: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # What else is no id is for the broker to say; this could not be sent to it.
        if after is not None and not (after.isascii() and after.isprintable()):
            raise ValueError(f"An event id is <milliseconds>-<number>, unlike {after!r}")
        if silence <= 0 or give_up_after <= 0:
            raise ValueError("silence and give_up_after are positive")
        self.url = url
        self.is_websocket = is_websocket(url)
        self.last_id = after
        self.status: Status | None = None
        self.is_over = False
        self.silence = min(silence, give_up_after)
        self.token: str | None = None
        self._token_is_new = False
        self._asks_for_token = asks_for_token
        self._give_up_after = give_up_after
        self._clock = clock
        self._heard: float | None = None
        self._backoff = Backoff(1.0, 30.0)
        self._expected = 0 if after is None else (number_of(after) or 0) + 1
        self._first: str | None = None

    def took_token(self, token: str) -> None:
        """The caller's function made a token."""
        self.token = token
        self._token_is_new = True

    def connecting(self) -> dict[str, str]:
        """An attempt to connect begins; the headers for it."""
        if self._heard is None:
            self.hear()
        headers = {"Authorization": f"Bearer {self.token}"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        return headers

    def connected(self) -> None:
        """The broker took the token."""
        self._token_is_new = False

    def hear(self) -> None:
        """The broker gave a sign of life: an event or a heartbeat."""
        self._heard = self._clock()

    def now(self) -> float:
        """The time, in seconds."""
        return self._clock()

    def silence_left(self, since: float) -> float:
        """The seconds of silence that may still follow, when it was listened since then."""
        return self.silence - (self._clock() - max(since, self._heard or since))

    def decode(self, decoder: SseDecoder, chunk: bytes) -> Iterator[Frame]:
        """The frames in a piece of an event stream, heartbeats and the reconnection time heeded."""
        self.hear()
        yield from decoder.feed(chunk)
        if decoder.retry is not None:
            self._backoff.first = decoder.retry

    def accept(self, frame: Frame) -> Event:
        """The event to hand out. Raises `Gap` if it is not the one that must come next."""
        if frame.event == "missedevents":
            return self._accept_missed(frame)
        number = number_of(frame.id)
        if number is None:
            raise Gap(f"An event {frame.event!r} came without an id")
        if number != self._expected or (self._first is not None and frame.id != self._first):
            raise Gap(f"After {self.last_id} the event {self._first or f'number {self._expected}'} must come, not {frame.id}")
        self._expected, self._first = number + 1, None
        self.last_id = frame.id
        self.status = _FINAL.get(frame.event)
        self.is_over = self.status is not None
        self._backoff.reset()
        return Event(frame.id, frame.event, frame.data)

    def _accept_missed(self, frame: Frame) -> Event:
        try:
            told = cast("dict[str, Any]", json.loads(frame.data))
            missed = Missed(after=told["after"], first=told["first"], missed=told["missed"])
            number = number_of(missed.first)
        except (ValueError, KeyError, TypeError) as error:
            raise Gap(f"What was missed can't be read: {frame.data}") from error
        if number is None:
            raise Gap(f"What was missed can't be read: {frame.data}")
        self._expected, self._first = number, missed.first
        self._backoff.reset()
        return Event(None, frame.event, frame.data, missed)

    def complete(self) -> None:
        """The broker says that there is nothing after the last id."""
        self.is_over = True

    def failed(self, error: TinistreamerError) -> float:
        """The connection failed or broke: the seconds to wait before the next. Raises if there shall be none."""
        token_was_new, self._token_is_new = self._token_is_new, False
        if isinstance(error, ApiError) and error.status == 401 and self._asks_for_token and not token_was_new:
            self.token = None
            return 0.0
        if not is_transient(error):
            raise error
        heard = self._clock() if self._heard is None else self._heard
        delay = self._backoff.next(heard + self._give_up_after - self._clock(), retry_after_of(error))
        if delay is None:
            raise Disconnected(self._give_up_after) from error
        return delay


def is_websocket(url: str) -> bool:
    """Whether the URL is a `ws_url`, by its path. Raises `ValueError` if it is not an `sse_url` either."""
    parts = urlsplit(url)
    if parts.path.endswith("/ws") and parts.scheme in {"ws", "wss"}:
        return True
    if parts.path.endswith("/sse") and parts.scheme in {"http", "https"}:
        return False
    raise ValueError("The URL is neither an sse_url nor a ws_url of the broker")


def frames_of(message: str | bytes) -> list[Frame]:
    """The events in a WebSocket message: one, or an array of those so far. Raises `Unreachable` if it is neither."""
    try:
        told = json.loads(message)
        events = cast("list[dict[str, Any]]", told if isinstance(told, list) else [told])
        return [Frame(event.get("id"), event["event"], event.get("data") or "") for event in events]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("A message is not of the broker's form") from error


def closed_early(how: str) -> Unreachable:
    """What it means that a connection ends before the stream."""
    return Unreachable(f"The connection was closed before the stream's end ({how})")


def silent(seconds: float) -> Unreachable:
    """What it means that nothing comes, not even a heartbeat."""
    return Unreachable(f"Nothing came for {seconds:g} seconds")
