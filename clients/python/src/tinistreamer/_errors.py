"""The errors of this package."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from ._events import Event


class TinistreamerError(Exception):
    """The base class of all errors of this package.

    `code` is a stable word in kebab case, for programs. `message` is one sentence, for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class ApiError(TinistreamerError):
    """The broker answered with an error.

    `status` is the HTTP status. `code` is one of the broker's error codes, or `unexpected-answer`
    when the answer is not from the broker. `retry_after` is the number of seconds that the broker
    asks to wait, or None. `stream_status` is the status of the stream when the request needs an
    active one and this one is finished: `ended`, `cancelled`, `failed` or `abandoned`. It is None
    when there is no stream, and from older brokers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        retry_after: float | None = None,
        stream_status: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.args = (status, code, message, retry_after, stream_status)
        self.status = status
        self.retry_after = retry_after
        self.stream_status = stream_status


class Unreachable(TinistreamerError):
    """No connection to the broker, or it broke before the answer. The code is `unreachable`."""

    def __init__(self, message: str) -> None:
        super().__init__("unreachable", message)
        self.args = (message,)


class InvalidEvent(TinistreamerError, ValueError):
    """The writer refused an event before it sent it. The writer goes on without the event.

    The code is `invalid-event` or `reserved-event`.
    """


class WriterClosed(TinistreamerError):
    """A caller used a writer after its end. The code is `writer-closed`."""

    def __init__(self) -> None:
        super().__init__("writer-closed", "The writer was finished, cancelled or closed before")
        self.args = ()


class PublishError(TinistreamerError):
    """A writer has failed. Only the first `acknowledged` events are confirmed to be stored.

    `code` is the code of the cause, which is the `__cause__`.
    """

    def __init__(self, acknowledged: int, cause: Exception) -> None:
        code = cause.code if isinstance(cause, TinistreamerError) else "publish-failed"
        reason = cause.message if isinstance(cause, TinistreamerError) else repr(cause)
        super().__init__(code, f"{reason}; {acknowledged} events were confirmed")
        self.args = (acknowledged, cause)
        self.acknowledged = acknowledged
        self.__cause__ = cause


class StreamNotActive(PublishError):
    """A writer's stream was finished elsewhere, or does not exist. The code is `no-active-stream`.

    `stream_status` is the status that the stream has, or None when the broker did not say it. The
    `__cause__` has no traceback of its own, because another client may finish a stream at any
    time.
    """

    def __init__(self, acknowledged: int, cause: Exception) -> None:
        super().__init__(acknowledged, cause)
        self.stream_status = cause.stream_status if isinstance(cause, ApiError) else None
        self.__cause__ = cause.with_traceback(None)
        cause.__cause__, cause.__context__ = None, None


class Stopped(PublishError):
    """Somebody has stopped the stream: the producer must not go on. The code is `stopped`.

    The end of a writer's block takes this error, and cancels the stream. `by` says who sent the
    signal `stop`. It is None for a token without a subject, and for a stream that was cancelled
    without a signal. `acknowledged` is as in `PublishError`.
    """

    def __init__(self, acknowledged: int, by: str | None = None) -> None:
        TinistreamerError.__init__(
            self, "stopped", f"The stream was stopped; {acknowledged} events were confirmed"
        )
        self.args = (acknowledged, by)
        self.acknowledged = acknowledged
        self.by = by


def publish_error(acknowledged: int, cause: Exception) -> PublishError:
    """Returns the error of a writer that has failed."""
    if isinstance(cause, TinistreamerError) and cause.code == "no-active-stream":
        return StreamNotActive(acknowledged, cause)
    return PublishError(acknowledged, cause)


class Disconnected(TinistreamerError):
    """A subscription received nothing for `give_up_after` seconds. The code is `disconnected`.

    The `__cause__` is the last failure.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("disconnected", f"The broker sent nothing for {seconds:g} seconds")
        self.args = (seconds,)


class DisconnectedByOperator(TinistreamerError):
    """The broker's operator disconnected the subscription, which must not connect again.

    The code is `disconnected-by-operator`.
    """

    def __init__(self) -> None:
        super().__init__(
            "disconnected-by-operator", "The broker's operator has disconnected this client"
        )
        self.args = ()


class Refused(TinistreamerError):
    """A stream could not be added to a subscription or dropped from it. The subscription goes on.

    `code` is from the broker, or `already-subscribed` or `not-subscribed`.
    """


class SubscriptionOver(TinistreamerError):
    """A caller added or dropped a stream after the end. The code is `subscription-over`."""

    def __init__(self) -> None:
        super().__init__("subscription-over", "The subscription is over")
        self.args = ()


class EventsMissed(TinistreamerError):
    """The broker no longer stores some events, and the caller needs all. The code is `missed`.

    `count` is the number of missing events; None when the broker could not count them.
    """

    def __init__(self, count: int | None, after: str | None) -> None:
        number = "An unknown number of" if count is None else count
        place = "at the beginning of the stream" if after is None else f"after {after}"
        super().__init__(
            "missed",
            f"{number} events {place} are no longer stored. Create the stream with a"
            " larger max_events, or set allow_missed to go on without them",
        )
        self.args = (count, after)
        self.count = count


class StreamFailed(TinistreamerError):
    """The stream broke off, and the caller needs a complete one.

    The code is `stream-failed` or `stream-abandoned`. `status` is `failed` or `abandoned`.
    `last_event` is the event `fail` or `abandon`, whose data says why; None when the subscription
    had yielded it before.
    """

    def __init__(
        self, status: Literal["failed", "abandoned"], last_event: Event | None = None
    ) -> None:
        what = "The stream failed" if status == "failed" else "The stream was abandoned"
        why = _reason_of(last_event)
        super().__init__(f"stream-{status}", f"{what}: {why}" if why else what)
        self.args = (status, last_event)
        self.status = status
        self.last_event = last_event


def _reason_of(last_event: Event | None) -> object:
    """Returns what the broker wrote about a failure, for a message."""
    try:
        reason = cast("dict[str, Any]", json.loads(last_event.data if last_event else "{}"))
        return reason.get("message") or reason.get("code") or reason.get("reason")
    except (ValueError, AttributeError):
        return None


class ModelFailed(TinistreamerError):
    """A model's answer broke off, without an error of the model's SDK.

    The code is `model-failed` when the model reported a failure, and `model-incomplete` when its
    stream ended too early. The message has no text of the model.
    """


class TooManyAnswers(TinistreamerError):
    """A backend already produces `max_running` answers. The code is `too-many-answers`."""

    def __init__(self, max_running: int) -> None:
        super().__init__("too-many-answers", f"{max_running} answers are being produced already")
        self.args = (max_running,)


class AnswerNotFound(TinistreamerError):
    """No answer has this key. The code is `stream-not-found`."""

    def __init__(self) -> None:
        super().__init__("stream-not-found", "There is no answer with this key")
        self.args = ()


class Gap(TinistreamerError):
    """An event does not follow the event before it. The code is `gap`.

    Something between the broker and the subscriber lost or repeated events.
    """

    def __init__(self, message: str) -> None:
        super().__init__("gap", message)
        self.args = (message,)


def api_error(status: int, body: bytes, retry_after: str | None) -> ApiError:
    """Returns the error in a response, also when a proxy sent it instead of the broker."""
    seconds: float | None = None
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        seconds = float(retry_after)
    try:
        decoded = cast("dict[str, Any]", json.loads(body))
        code, message = str(decoded["code"]), str(decoded["message"])
        return ApiError(status, code, message, seconds, decoded.get("stream_status"))
    except (ValueError, KeyError, TypeError):
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown"
        message = f"The answer was HTTP {status} ({phrase}), and not the broker's"
        return ApiError(status, "unexpected-answer", message, seconds)


def is_transient(error: TinistreamerError) -> bool:
    """Whether another attempt may succeed: no connection, or a broker that is busy or failing."""
    if isinstance(error, ApiError):
        return error.status in {408, 429} or error.status >= 500
    return isinstance(error, Unreachable)


def retry_after_of(error: TinistreamerError) -> float | None:
    """Returns the seconds that the broker asks to wait before the next attempt."""
    return error.retry_after if isinstance(error, ApiError) else None
