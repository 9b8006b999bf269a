"""What can go wrong, as types."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, cast


class TinistreamerError(Exception):
    """The base of all errors of this package.

    `code` is a stable kebab-case word to decide by, `message` one sentence for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class ApiError(TinistreamerError):
    """The broker answered with an error.

    `status` is the HTTP status, `code` a word from the broker's list of error codes (`unexpected-answer` when something other
    than the broker answered), `retry_after` the seconds after which to try again, where the broker told them.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message)
        self.args = (status, code, message, retry_after)
        self.status = status
        self.retry_after = retry_after


class Unreachable(TinistreamerError):
    """The broker could not be reached, or the connection broke before it answered. The code is `unreachable`."""

    def __init__(self, message: str) -> None:
        super().__init__("unreachable", message)
        self.args = (message,)


class InvalidEvent(TinistreamerError, ValueError):
    """The event was refused before it was sent: `invalid-event` or `reserved-event`. The writer goes on without it."""


class WriterClosed(TinistreamerError):
    """Something was asked of a writer after its end. The code is `writer-closed`."""

    def __init__(self) -> None:
        super().__init__("writer-closed", "The writer was finished, cancelled or closed before")
        self.args = ()


class PublishError(TinistreamerError):
    """A writer has failed, and no event after the first `acknowledged` is confirmed to be stored.

    `code` is the code of what went wrong, which is the `__cause__`.
    """

    def __init__(self, acknowledged: int, cause: Exception) -> None:
        code = cause.code if isinstance(cause, TinistreamerError) else "publish-failed"
        reason = cause.message if isinstance(cause, TinistreamerError) else repr(cause)
        super().__init__(code, f"{reason}; {acknowledged} events were confirmed")
        self.args = (acknowledged, cause)
        self.acknowledged = acknowledged
        self.__cause__ = cause


class StreamNotActive(PublishError):
    """A writer's stream is not active: it was finished elsewhere, or does not exist. The code is `no-active-stream`.

    The `__cause__` has no traceback of its own: that a stream is stopped from elsewhere is nothing unusual.
    """

    def __init__(self, acknowledged: int, cause: Exception) -> None:
        super().__init__(acknowledged, cause)
        self.__cause__ = cause.with_traceback(None)
        cause.__cause__, cause.__context__ = None, None


def publish_error(acknowledged: int, cause: Exception) -> PublishError:
    """Why a writer has failed."""
    if isinstance(cause, TinistreamerError) and cause.code == "no-active-stream":
        return StreamNotActive(acknowledged, cause)
    return PublishError(acknowledged, cause)


class Disconnected(TinistreamerError):
    """A subscription heard nothing for `give_up_after`. The code is `disconnected`; the `__cause__` is the last failure."""

    def __init__(self, seconds: float) -> None:
        super().__init__("disconnected", f"No sign of life of the stream for {seconds:g} seconds")
        self.args = (seconds,)


class DisconnectedByOperator(TinistreamerError):
    """The broker's operator disconnected the client, which shall not come back. The code is `disconnected-by-operator`."""

    def __init__(self) -> None:
        super().__init__(
            "disconnected-by-operator", "The broker's operator has disconnected this client"
        )
        self.args = ()


class Refused(TinistreamerError):
    """A stream could not be added to a subscription, or dropped from it; the subscription goes on as it was.

    `code` is the broker's, or `already-subscribed` or `not-subscribed`.
    """


class SubscriptionOver(TinistreamerError):
    """A stream was to be added to a subscription, or dropped from it, after its end. The code is `subscription-over`."""

    def __init__(self) -> None:
        super().__init__("subscription-over", "The subscription is over")
        self.args = ()


class EventsMissed(TinistreamerError):
    """Events are no longer stored, and the caller needs all of them. The code is `missed`.

    `count` is how many are missing; None when the broker could not count them.
    """

    def __init__(self, count: int | None, after: str | None) -> None:
        place = "at the beginning of the stream" if after is None else f"after {after}"
        super().__init__(
            "missed",
            f"{'An unknown number of' if count is None else count} events {place} are no longer stored. Create the stream with a"
            " larger max_events, or set allow_missed to go on without them",
        )
        self.args = (count, after)
        self.count = count


class Gap(TinistreamerError):
    """An event does not follow the one before: something between broker and client lost or repeated events. The code is `gap`."""

    def __init__(self, message: str) -> None:
        super().__init__("gap", message)
        self.args = (message,)


def api_error(status: int, body: bytes, retry_after: str | None) -> ApiError:
    """The error that an answer tells; also for answers that are not the broker's, such as a proxy's pages."""
    seconds = (
        float(retry_after)
        if retry_after is not None and retry_after.isascii() and retry_after.isdigit()
        else None
    )
    try:
        told = cast("dict[str, Any]", json.loads(body))
        return ApiError(status, str(told["code"]), str(told["message"]), seconds)
    except (ValueError, KeyError, TypeError):
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown"
        return ApiError(
            status,
            "unexpected-answer",
            f"The answer was HTTP {status} ({phrase}), and not the broker's",
            seconds,
        )


def is_transient(error: TinistreamerError) -> bool:
    """Whether it is worth trying again: the connection failed, or the broker is busy or failing."""
    if isinstance(error, ApiError):
        return error.status in {408, 429} or error.status >= 500
    return isinstance(error, Unreachable)


def retry_after_of(error: TinistreamerError) -> float | None:
    """The seconds before which the broker does not want to be asked again."""
    return error.retry_after if isinstance(error, ApiError) else None
