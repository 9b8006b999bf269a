"""The events of a writer that the broker has not acknowledged yet. No I/O."""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, cast
from weakref import WeakSet

from ._errors import (
    ApiError,
    PublishError,
    Stopped,
    TinistreamerError,
    Unreachable,
    WriterClosed,
    is_transient,
    publish_error,
)
from ._events import encode
from ._gathering import Gathering
from ._generated.models import UploadSummary
from ._generated.types import Operation
from ._retry import Retry
from ._stop import Stop, is_cancelled
from ._surrogates import SplitCharacters
from ._writer_options import Ack, WriterOptions

# A WebSocket has no HTTP statuses. These error codes have another status than 400.
_STATUS_OF = {
    "no-active-stream": 404,
    "sequence-gap": 409,
    "stale-generation": 409,
    "too-large": 413,
    "internal-error": 500,
    "store-unavailable": 503,
    "shutting-down": 503,
}


class Outbox:
    """Keeps the unacknowledged events of one writer, and how many are acknowledged."""

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
        """Whether the writer takes no more events."""
        self.settled = False
        """Whether the writer was finished, cancelled, failed or closed."""
        self.stop: Stop | None = None
        """The stop that the writer has heard."""
        self._raised: WeakSet[Stopped] = WeakSet()
        self._lines: deque[str] = deque()
        self._characters = SplitCharacters()
        self._gathering = Gathering(options.coalesce, clock)
        self._in_flight = 0
        self.is_dropped = False
        """Whether the writer dropped its unacknowledged events, to finish the stream."""
        self._clock = clock
        self._waiting_since = clock()

    @property
    def attempt_timeout(self) -> float:
        """The timeout of the next attempt in seconds. It is at most what `retry_for` leaves."""
        return min(self.timeout, max(self.retry.remaining, 1.0))

    @property
    def pending(self) -> int:
        """The number of unacknowledged events, with one that is being gathered."""
        return len(self._lines) + len(self._gathering)

    @property
    def unsent(self) -> int:
        """The number of events that are not in flight."""
        return len(self._lines) - self._in_flight

    @property
    def is_full(self) -> bool:
        """Whether another event must wait."""
        at_limit = self.pending >= self.options.max_pending
        return at_limit and not self.ended and self.failure is None and not self.is_stopped

    def must_wait(self, event: str, data: object) -> bool:
        """Whether `write` must wait. What is gathered takes no more room with more data."""
        return self.is_full and not self._gathering.takes(event, data)

    @property
    def is_stopped(self) -> bool:
        """Whether the writer takes no more events because of a stop."""
        return self.stop is not None and not self.options.write_after_stop

    @property
    def gathering_left(self) -> float | None:
        """The seconds until what is gathered is due; None when nothing is gathered."""
        return self._gathering.left

    @property
    def is_drained(self) -> bool:
        """Whether the sender can stop."""
        return (self.ended and not self.pending) or self.failure is not None

    def check_open(self) -> None:
        """Raises when the writer takes no events."""
        if self.failure is not None:
            raise self.failure
        if self.ended:
            raise WriterClosed
        if self.is_stopped:
            raise self.stopped()

    def stopped(self) -> Stopped:
        """Returns the error after a stop."""
        error = Stopped(self.acknowledged, self.stop.by if self.stop is not None else None)
        self._raised.add(error)
        return error

    def has_raised(self, error: BaseException | None) -> bool:
        """Whether the error is a `Stopped` of this writer, and not of one whose block is around.

        A task group may have put several of them together.
        """
        if isinstance(error, Stopped):
            return error in self._raised
        group: tuple[BaseException, ...] = getattr(error, "exceptions", ())
        return bool(group) and all(self.has_raised(each) for each in group)

    def check_unsettled(self) -> None:
        """Raises when the writer was finished, cancelled, failed or closed before."""
        if self.settled:
            raise WriterClosed

    def add(self, event: str, data: object, line: str) -> None:
        """Adds an event. `line` is its JSON."""
        self.check_open()
        if not isinstance(data, str):
            self.release()
            self._append(line)
            return
        text = self._characters.join(event, data)
        if self._gathering.window:
            for name, gathered in self._gathering.add(event, text):
                self._append(encode(name, gathered))
        else:
            self._append(line if text == data else encode(event, text))

    def put(self, line: str) -> None:
        """Adds an encoded event."""
        self.check_open()
        self._append(line)

    def release(self) -> None:
        """Sends what is gathered at once."""
        for event, text in self._gathering.take():
            self._append(encode(event, text))

    def release_due(self) -> None:
        """Sends what is gathered, if its time has passed."""
        if self._gathering.left == 0.0:
            self.release()

    def _append(self, line: str) -> None:
        if not self._lines:
            self.retry.restart()
        self._lines.append(line)

    def end(self) -> None:
        """Takes no more events. A first half that still waits becomes an event of its own."""
        self.ended = True
        unpaired = self._characters.take_unpaired()
        if self.failure is None:
            self.release()
            for event in unpaired:
                self._append(encode(event, "\ufffd"))

    def take(self) -> list[str]:
        """Returns the events that are ready. They are in flight from now on."""
        if not self._in_flight:
            self._waiting_since = self._clock()
        ready = list(islice(self._lines, self._in_flight, None))
        self._in_flight = len(self._lines)
        return ready

    def is_overdue(self, timeout: float) -> bool:
        """Whether the broker has not acknowledged events in flight for `timeout` seconds."""
        return self._in_flight > 0 and self._clock() - self._waiting_since >= timeout

    def take_upload(self) -> Operation[UploadSummary]:
        """Returns all unacknowledged events as one NDJSON request."""
        self._in_flight = 0
        lines = self.take()
        return Operation(
            method="POST",
            path="/api/event/add/json-stream",
            params=self.parameters,
            content="".join(f"{line}\n" for line in lines).encode(),
            parse=lambda response: UploadSummary.from_dict(response.json()),
        )

    @property
    def parameters(self) -> dict[str, str | int]:
        """The stream, and the number of the first unacknowledged event, as query parameters."""
        generation = self.options.generation
        return {
            "key": self.options.key,
            **({} if generation is None else {"generation": generation}),
            "producer": self.producer,
            "sequence": self.acknowledged,
        }

    def uploaded(self, summary: UploadSummary) -> Ack:
        """Takes the response to an NDJSON request.

        Raises `ApiError` when it does not confirm all events.
        """
        sent = self._in_flight
        stored = summary.num_events + (summary.num_duplicates or 0)
        ack = self._acknowledge(stored, summary.last_id)
        if summary.errors:
            raise ApiError(
                200, "invalid-event", f"The broker refused an event: {summary.errors[0]}"
            )
        if stored != sent:
            raise ApiError(
                200, "unexpected-answer", f"Of {sent} events the broker confirmed {stored}"
            )
        return ack

    def replied(self, message: str | bytes) -> Ack:
        """Takes the reply to one event over a WebSocket.

        Raises `ApiError` when the broker did not store the event.
        """
        try:
            reply = cast("dict[str, Any]", json.loads(message))
            if reply["type"] == "success" and self._in_flight:
                return self._acknowledge(1, reply["id"])
            code, text = str(reply["code"]), str(reply["message"])
            status = reply.get("stream_status")
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(
                200, "unexpected-answer", "The answer to an event has not the shape of the broker's"
            ) from error
        raise ApiError(_STATUS_OF.get(code, 400), code, text, stream_status=status)

    def broken(self, error: TinistreamerError) -> float:
        """Returns the seconds until the events in flight are sent again. Raises a final error."""
        self._in_flight = 0
        if not self._lines and is_transient(error):
            return 0.0
        return self.retry.after(error)

    def fail(self, cause: Exception) -> None:
        """Records that no more events can be sent."""
        if not self.is_dropped:
            self.failure = self.error_of(cause)

    def error_of(self, cause: Exception) -> PublishError:
        """Returns the error of this writer for what went wrong."""
        if is_cancelled(cause):
            self.stop = self.stop or Stop(by=None)
            return self.stopped()
        return publish_error(self.acknowledged, cause)

    def drop(self) -> None:
        """Drops the unacknowledged events, and takes no more."""
        self.ended = self.is_dropped = True
        self._gathering.take()
        self._lines.clear()
        self._in_flight = 0

    def _acknowledge(self, count: int, last_id: str | None) -> Ack:
        for _ in range(min(count, len(self._lines))):
            self._lines.popleft()
        self._in_flight = max(self._in_flight - count, 0)
        if count:
            self.acknowledged += count
            self.last_id = last_id
            self._waiting_since = self._clock()
            self.retry.restart()
        return Ack(self.acknowledged, self.last_id)


def closed_by(code: int | None, reason: str) -> TinistreamerError:
    """Returns the error for a writer's WebSocket that the broker closed with this code."""
    if code == 1011:
        return ApiError(404, "no-active-stream", reason or "The stream has ended")
    if code == 1009:
        return ApiError(413, "too-large", reason or "The event is too large")
    detail = f"The connection was closed ({code or 'without a code'}) {reason}"
    return Unreachable(detail.rstrip())
