"""The options of a writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ._events import check_key
from ._failure import FailureOf

UploadTransport = Literal["ndjson", "websocket"]

IfTaken = Literal["error", "attach", "replace"]
"""What `create_stream` does where the key has a stream."""

Permission = Literal["read", "signal"]
"""What a token permits: to follow streams, or to send signals to their producers."""

MAX_EVENTS = 100_000
"""The number of events that a stream keeps, unless the caller gives another one."""


_LONGEST_LEASE = 86_400


@dataclass(frozen=True)
class Ack:
    """An acknowledgement: the broker has stored events."""

    count: int
    """The number of events of this writer that are stored now."""
    last_id: str | None
    """The id of the last of them; None when it is unknown, such as after a repeated request."""


@dataclass(frozen=True)
class WriterOptions:
    """The options of a writer, as `Client.publish` describes them."""

    key: str
    transport: UploadTransport
    max_pending: int
    retry_for: float
    on_ack: Callable[[Ack], object] | None
    flush_timeout: float = 5.0
    generation: str | None = None
    lease: int = 30
    failure: FailureOf | None = None
    coalesce: float = 0.0
    write_after_stop: bool = False
    cancel_on_stop: bool = False

    def __post_init__(self) -> None:
        check_key(self.key)
        _check_lease(self.lease)
        if not self.coalesce >= 0:
            raise ValueError("coalesce is not negative")
        if self.flush_timeout < 0:
            raise ValueError("flush_timeout is not negative")
        if self.max_pending < 1:
            raise ValueError("max_pending is at least 1")
        if self.retry_for < 0:
            raise ValueError("retry_for is not negative")


def _check_lease(lease: object) -> None:
    if isinstance(lease, int) and not isinstance(lease, bool):
        seconds: int = lease
        if seconds == 0 or 2 <= seconds <= _LONGEST_LEASE:
            return
    raise ValueError(f"lease is 2 to {_LONGEST_LEASE} whole seconds, or 0, not {lease!r}")
