from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The deadlines of a stream."""

    lease_expires_at: None | str = None
    """When the broker abandons the stream, unless its producer shows that it is alive. RFC 3339. Null if the stream has no lease."""
    stall_expires_at: None | str = None
    """When the broker abandons the stream, unless its producer writes an event. RFC 3339. Null if the stream has no stall."""
    stop_expires_at: None | str = None
    """When the broker cancels the stream because its producer did not follow a stop. RFC 3339. Null if there is no such deadline."""
    stop_requested_at: None | str = None
    """When somebody first asked the producer to stop. RFC 3339. Null if nobody did."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "lease_expires_at": self.lease_expires_at,
            "stall_expires_at": self.stall_expires_at,
            "stop_expires_at": self.stop_expires_at,
            "stop_requested_at": self.stop_requested_at,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Renewed:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            lease_expires_at=value.get("lease_expires_at"),
            stall_expires_at=value.get("stall_expires_at"),
            stop_expires_at=value.get("stop_expires_at"),
            stop_requested_at=value.get("stop_requested_at"),
        )
