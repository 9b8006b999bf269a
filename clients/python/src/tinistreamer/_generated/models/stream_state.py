from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """A stream."""

    clients: int
    """Subscribers on this node."""
    created_at: str
    """When the stream was created. RFC 3339."""
    first_id: str
    """The id of the oldest stored event."""
    key: str
    """Its key."""
    last_id: str
    """The id of the newest event."""
    length: int
    """How many events are stored."""
    status: str
    """`active`, `ended`, `cancelled`, `failed` or `abandoned`."""
    ttl: int
    """Seconds left unless something is written."""
    clients_total: int | None = None
    """About how many subscribers all nodes have: each node reports its count every 5 seconds. Null if the store can't answer."""
    generation: str | None = None
    """Distinguishes the stream from every other that has had its key: 32 hex digits."""
    lease_expires_at: None | str = None
    """When the broker abandons the stream, unless its producer shows that it is alive. RFC 3339. Null if the stream has no lease."""
    reason: Any = None
    """Why a stream is cancelled, failed or abandoned: the data of its last event, `{"reason", "by"}` or `{"code", "message"}`. Null if nobody gave a reason."""
    stall_expires_at: None | str = None
    """When the broker abandons the stream, unless its producer writes an event. RFC 3339. Null if the stream has no stall."""
    stop_requested_at: None | str = None
    """When the first signal `stop` arrived. RFC 3339. Null if none did."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "clients": self.clients,
            "created_at": self.created_at,
            "first_id": self.first_id,
            "key": self.key,
            "last_id": self.last_id,
            "length": self.length,
            "status": self.status,
            "ttl": self.ttl,
            "clients_total": self.clients_total,
            "generation": self.generation,
            "lease_expires_at": self.lease_expires_at,
            "reason": self.reason,
            "stall_expires_at": self.stall_expires_at,
            "stop_requested_at": self.stop_requested_at,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StreamState:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            clients=value["clients"],
            created_at=value["created_at"],
            first_id=value["first_id"],
            key=value["key"],
            last_id=value["last_id"],
            length=value["length"],
            status=value["status"],
            ttl=value["ttl"],
            clients_total=value.get("clients_total"),
            generation=value.get("generation"),
            lease_expires_at=value.get("lease_expires_at"),
            reason=value.get("reason"),
            stall_expires_at=value.get("stall_expires_at"),
            stop_requested_at=value.get("stop_requested_at"),
        )
