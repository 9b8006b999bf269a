from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models.client_counts import ClientCounts


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What a node has done since its start, and its subscribers now."""

    bytes_in: int
    """Bytes of names and data of the events written."""
    bytes_out: int
    """Bytes of the frames and messages with the events sent to subscribers."""
    clients: ClientCounts
    """Subscribers now, by transport."""
    events_in: int
    """Events written into streams."""
    events_out: int
    """Events sent to subscribers, history included."""
    uptime: int
    """Seconds since the start."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "clients": self.clients.to_dict(),
            "events_in": self.events_in,
            "events_out": self.events_out,
            "uptime": self.uptime,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Activity:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            bytes_in=value["bytes_in"],
            bytes_out=value["bytes_out"],
            clients=ClientCounts.from_dict(value["clients"]),
            events_in=value["events_in"],
            events_out=value["events_out"],
            uptime=value["uptime"],
        )
