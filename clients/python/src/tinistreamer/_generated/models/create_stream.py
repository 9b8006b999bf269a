from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CreateStream:
    """The stream to create."""

    key: str
    """Its key: 1 to 256 bytes of UTF-8 without control characters."""
    if_exists: str | None = None
    """What to do where a stream has the key already."""
    if_finished: str | None = None
    """What to do where a stream has the key already."""
    lease: int | None = None
    """Seconds that the producer may be silent before the broker abandons the stream: 2 or more. 0 is no limit. Every write shows that the producer is alive, and so does `POST /stream/renew`. The default is `STREAMER_LEASE`."""
    max_events: int | None = None
    """About how many events the stream keeps. The default is `STREAMER_MAX_EVENTS`."""
    permissions: list[str] | None = None
    """What the token permits. `read`: to follow the streams. `signal`: to send signals to their producers. The default is `["read"]`."""
    request_id: None | str = None
    """An id of this request, 1 to 64 characters. If you repeat the request with the same id within a minute, the answer is the stream that the first request created, not `existing-stream`."""
    stall: int | None = None
    """Seconds that the producer may write no event before the broker abandons the stream: 2 or more. 0 is no limit. The default is `STREAMER_STALL`."""
    stop_grace: int | None = None
    """Seconds that the producer has to follow the signal `stop` before the broker cancels the stream. 0 is no limit. The default is 10."""
    subject: None | str = None
    """The user of the token: 1 to 128 bytes of UTF-8 without control characters. Signals that are sent with the token carry this name."""
    ttl: int | None = None
    """Seconds that the stream lives after its last write, and that the token is valid. The default is `STREAMER_TTL`."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "if_exists": self.if_exists,
            "if_finished": self.if_finished,
            "lease": self.lease,
            "max_events": self.max_events,
            "permissions": self.permissions,
            "request_id": self.request_id,
            "stall": self.stall,
            "stop_grace": self.stop_grace,
            "subject": self.subject,
            "ttl": self.ttl,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CreateStream:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value["key"],
            if_exists=value.get("if_exists"),
            if_finished=value.get("if_finished"),
            lease=value.get("lease"),
            max_events=value.get("max_events"),
            permissions=value.get("permissions"),
            request_id=value.get("request_id"),
            stall=value.get("stall"),
            stop_grace=value.get("stop_grace"),
            subject=value.get("subject"),
            ttl=value.get("ttl"),
        )
