from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StreamRow:
    """An active stream in a list."""

    key: str
    """Its key."""
    length: int
    """How many events are stored."""
    status: str
    """Always `active`."""
    ttl: int
    """Seconds left unless something is written."""
    generation: str | None = None
    """Distinguishes the stream from every other that has had its key: 32 hex digits."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "length": self.length,
            "status": self.status,
            "ttl": self.ttl,
            "generation": self.generation,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StreamRow:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value["key"],
            length=value["length"],
            status=value["status"],
            ttl=value["ttl"],
            generation=value.get("generation"),
        )
