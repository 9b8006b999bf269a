"""A stop: somebody asks the producer of a stream to finish. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._errors import ApiError
from ._generated.models import SignalRecord

STOP_SIGNAL = "stop"


@dataclass(frozen=True)
class Stop:
    """A stop that a writer has heard.

    Somebody sent the signal `stop`, or the stream was cancelled elsewhere.
    """

    by: str | None
    """Who sent the signal: the subject of a token, or `api-key`.

    None for a token without a subject, and for a stream that was cancelled without a signal.
    """
    signal: SignalRecord | None = None
    """The signal; None when there was none, or when it could not be read."""


def stop_among(signals: Iterable[SignalRecord]) -> Stop | None:
    """Returns the stop that is one of these signals."""
    for signal in signals:
        if signal.name == STOP_SIGNAL:
            return Stop(signal.by, signal)
    return None


def is_cancelled(error: Exception) -> bool:
    """Whether the broker refused a request because the stream is cancelled."""
    return (
        isinstance(error, ApiError)
        and error.code == "no-active-stream"
        and error.stream_status == "cancelled"
    )
