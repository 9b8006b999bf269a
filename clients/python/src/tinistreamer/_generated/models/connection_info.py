from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ConnectionInfo:
    """Connections to Redis, and the limit of subscribers."""

    static: int
    """Connections for writes and management; 0 with the embedded store."""
    streaming: int
    """Connections for subscribers, idle ones included."""
    streaming_available: int
    """How many more subscribers could connect."""
    streaming_in_use: int
    """Subscribers now."""
    streaming_max: int
    """The most subscribers of the node."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "static": self.static,
            "streaming": self.streaming,
            "streaming_available": self.streaming_available,
            "streaming_in_use": self.streaming_in_use,
            "streaming_max": self.streaming_max,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ConnectionInfo:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            static=value["static"],
            streaming=value["streaming"],
            streaming_available=value["streaming_available"],
            streaming_in_use=value["streaming_in_use"],
            streaming_max=value["streaming_max"],
        )
