"""The options of a writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ._events import check_key

UploadTransport = Literal["ndjson", "websocket"]

IfTaken = Literal["error", "attach", "replace"]
"""What `create_stream` does where the key has a stream."""

Permission = Literal["read", "signal"]
"""What a token permits: to follow streams, or to send signals to their producers."""

MAX_EVENTS = 100_000
"""The number of events that a stream keeps, unless the caller gives another one."""


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

    def __post_init__(self) -> None:
        check_key(self.key)
        if self.flush_timeout < 0:
            raise ValueError("flush_timeout is not negative")
        if self.max_pending < 1:
            raise ValueError("max_pending is at least 1")
        if self.retry_for < 0:
            raise ValueError("retry_for is not negative")
