"""What a writer decides, without I/O: what is unacknowledged, what to send, when to try again."""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, cast

from ._backoff import Backoff
from ._errors import (
    ApiError,
    PublishError,
    TinistreamerError,
    Unreachable,
    WriterClosed,
    is_transient,
    publish_error,
    retry_after_of,
)
from ._events import check_key, encode
from ._generated.api.streams.cancel_stream import cancel_stream
from ._generated.api.streams.end_stream import end_stream
from ._generated.api.streams.stream_info import stream_info
from ._generated.models import Finished, KeyOnly, StreamState, UploadSummary
from ._generated.types import Operation
from ._surrogates import SplitCharacters

Transport = Literal["ndjson", "websocket"]

MAX_EVENTS = 100_000
"""Events that a stream keeps when its creator says nothing else."""

# The error codes that have another status than 400 and may come over a WebSocket, where there are no statuses.
_STATUS_OF = {
    "no-active-stream": 404,
    "sequence-gap": 409,
    "too-large": 413,
    "internal-error": 500,
    "store-unavailable": 503,
    "shutting-down": 503,
}


@dataclass(frozen=True)
class Ack:
    """The broker has confirmed events."""

    count: int
    """How many events of this writer are stored now."""
    last_id: str | None
    """The id of the last of them; None if it is not known, as after a repeated request."""


@dataclass(frozen=True)
class WriterOptions:
    """How a writer works; `Client.publish` describes the fields."""

    key: str
    transport: Transport
    max_pending: int
    retry_for: float
    on_ack: Callable[[Ack], object] | None
    flush_timeout: float = 5.0

    def __post_init__(self) -> None:
        check_key(self.key)
        if self.flush_timeout < 0:
            raise ValueError("flush_timeout is not negative")
        if self.max_pending < 1:
            raise ValueError("max_pending is at least 1")
        if self.retry_for < 0:
            raise ValueError("retry_for is not negative")


class Retry:
    """When to try again, and for how long."""

    def __init__(self, retry_for: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry_for = retry_for
        self._clock = clock
        self._backoff = Backoff(0.1, 5.0)
        self._since = clock()

    def restart(self) -> None:
        """The broker confirmed something, or there is something to send for the first time."""
        self._since = self._clock()
        self._backoff.reset()

    @property
    def remaining(self) -> float:
        """The seconds for which it may still be tried."""
        return max(self._since + self._retry_for - self._clock(), 0.0)

    def after(self, error: TinistreamerError) -> float:
        """The seconds to wait after this error; raises it where there is no use in trying again, or no time."""
        delay = (
            self._backoff.next(self.remaining, retry_after_of(error))
            if is_transient(error)
            else None
        )
        if delay is None:
            raise error
        return delay


class Outbox:
    """The events of one writer that are not acknowledged yet, and how far it is."""

    def __init__(
        self, options: WriterOptions, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.options = options
        self.timeout = timeout
        self.producer = secrets.token_hex(16)
        self.retry = Retry(options.retry_for, clock)
        self.acknowledged = 0
        self.last_id: str | None = None
        self.failure: PublishError | None = None
        self.ended = False
        """No more events are taken."""
        self.settled = False
        """The writer was finished, cancelled or closed."""
        self._lines: deque[str] = deque()
        self._characters = SplitCharacters()
        self._on_their_way = 0
        self._dropped = False
        self._clock = clock
        self._waiting_since = clock()

    @property
    def attempt_timeout(self) -> float:
        """The seconds that the next attempt may take, so that retry_for is kept."""
        return min(self.timeout, max(self.retry.remaining, 1.0))

    @property
    def pending(self) -> int:
        """How many events are not acknowledged."""
        return len(self._lines)

    @property
    def unsent(self) -> int:
        """How many events are not on their way."""
        return len(self._lines) - self._on_their_way

    @property
    def is_full(self) -> bool:
        """Whether a writer has to wait."""
        return (
            len(self._lines) >= self.options.max_pending and not self.ended and self.failure is None
        )

    @property
    def is_drained(self) -> bool:
        """Whether the sender has nothing to do any more."""
        return (self.ended and not self._lines) or self.failure is not None

    def check_open(self) -> None:
        """Raises where no events are taken."""
        if self.failure is not None:
            raise self.failure
        if self.ended:
            raise WriterClosed

    def check_unsettled(self) -> None:
        """Raises where the writer's end was settled before."""
        if self.settled:
            raise WriterClosed

    def join(self, event: str, data: Any, line: str) -> str:
        """The JSON of an event, which is `line` unless its data are to be joined with those of a neighbour."""
        if not isinstance(data, str):
            return line
        joined = self._characters.join(event, data)
        return line if joined == data else encode(event, joined)

    def put(self, line: str) -> None:
        """Takes an encoded event."""
        self.check_open()
        self._append(line)

    def _append(self, line: str) -> None:
        if not self._lines:
            self.retry.restart()
        self._lines.append(line)

    def end(self) -> None:
        """Takes no more events. Halves of characters whose other halves never came are events of their own."""
        self.ended = True
        rest = self._characters.rest()
        if self.failure is None:
            for event in rest:
                self._append(encode(event, "\ufffd"))

    def take(self) -> list[str]:
        """The events that are ready; they are on their way now."""
        if not self._on_their_way:
            self._waiting_since = self._clock()
        ready = list(islice(self._lines, self._on_their_way, None))
        self._on_their_way = len(self._lines)
        return ready

    def is_overdue(self, timeout: float) -> bool:
        """Whether the broker has left events unanswered for so many seconds."""
        return self._on_their_way > 0 and self._clock() - self._waiting_since >= timeout

    def take_upload(self) -> Operation[UploadSummary]:
        """All that is unacknowledged, as one NDJSON request."""
        self._on_their_way = 0
        lines = self.take()
        return Operation(
            method="POST",
            path="/api/event/add/json-stream",
            params={"key": self.options.key, **self.position},
            content="".join(f"{line}\n" for line in lines).encode(),
            parse=lambda response: UploadSummary.from_dict(response.json()),
        )

    @property
    def position(self) -> dict[str, str | int]:
        """Where the first unacknowledged event stands, as query parameters."""
        return {"producer": self.producer, "sequence": self.acknowledged}

    def uploaded(self, summary: UploadSummary) -> Ack:
        """Takes the answer to an NDJSON request. Raises `ApiError` if it does not confirm all of it."""
        sent = self._on_their_way
        stored = summary.num_events + (summary.num_duplicates or 0)
        ack = self._stored(stored, summary.last_id)
        if summary.errors:
            raise ApiError(
                200, "invalid-event", f"The broker refused an event: {summary.errors[0]}"
            )
        if stored != sent:
            raise ApiError(
                200, "unexpected-answer", f"Of {sent} events the broker confirmed {stored}"
            )
        return ack

    def answered(self, message: str | bytes) -> Ack:
        """Takes the answer to one event over a WebSocket. Raises `ApiError` if it was not stored."""
        try:
            answer = cast("dict[str, Any]", json.loads(message))
            if answer["type"] == "success" and self._on_their_way:
                return self._stored(1, answer["id"])
            code, text = str(answer["code"]), str(answer["message"])
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(
                200, "unexpected-answer", "The answer to an event has not the shape of the broker's"
            ) from error
        raise ApiError(_STATUS_OF.get(code, 400), code, text)

    def broken(self, error: TinistreamerError) -> float:
        """What was on its way is to be sent again, after so many seconds. Raises the error if it is final."""
        self._on_their_way = 0
        if not self._lines and is_transient(error):
            return 0.0
        return self.retry.after(error)

    def fail(self, cause: Exception) -> None:
        """Nothing more can be sent."""
        if not self._dropped:
            self.failure = publish_error(self.acknowledged, cause)

    def drop(self) -> None:
        """Forgets what is unacknowledged and takes no more."""
        self.ended = self._dropped = True
        self._lines.clear()
        self._on_their_way = 0

    def settling(
        self, how: Literal["end", "cancel"]
    ) -> Generator[Operation[Finished | StreamState] | float, object, None]:
        """Ends or cancels the stream: yields what to request, and the seconds to wait; takes answers and errors.

        Returns when the stream is finished in the way that was asked for; raises the last error when it can't be.
        """
        key = KeyOnly(key=self.options.key)
        operation, wanted = (
            (end_stream(key), "ended") if how == "end" else (cancel_stream(key), "cancelled")
        )
        # A writer that has failed has been trying for long enough.
        retry = Retry(0.0 if self.failure else self.options.retry_for)
        answer_lost = False
        while True:
            outcome = yield operation
            if answer_lost and isinstance(outcome, ApiError) and outcome.code == "no-active-stream":
                state = yield stream_info(key=self.options.key)
                if isinstance(state, StreamState):
                    if state.status == wanted:
                        return
                    raise outcome
                outcome = state
            if not isinstance(outcome, TinistreamerError):
                return
            yield retry.after(outcome)
            answer_lost = True

    def _stored(self, count: int, last_id: str | None) -> Ack:
        for _ in range(min(count, len(self._lines))):
            self._lines.popleft()
        self._on_their_way = max(self._on_their_way - count, 0)
        if count:
            self.acknowledged += count
            self.last_id = last_id
            self._waiting_since = self._clock()
            self.retry.restart()
        return Ack(self.acknowledged, self.last_id)


def closed_by(code: int | None, reason: str) -> TinistreamerError:
    """What it means to a writer that its WebSocket was closed."""
    if code == 1011:
        return ApiError(404, "no-active-stream", reason or "The stream has ended")
    if code == 1009:
        return ApiError(413, "too-large", reason or "The event is too large")
    return Unreachable(f"The connection was closed ({code or 'without a code'}) {reason}".rstrip())
