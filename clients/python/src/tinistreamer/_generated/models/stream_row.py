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
    """Events stored."""
    status: str
    """Always `active`."""
    ttl: int
    """Seconds left unless something is written."""

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON, without what is None."""
        value: dict[str, Any] = {
            "key": self.key,
            "length": self.length,
            "status": self.status,
            "ttl": self.ttl,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StreamRow:
        """Reads the value from JSON; fields of later brokers are left out."""
        return cls(
            key=value["key"],
            length=value["length"],
            status=value["status"],
            ttl=value["ttl"],
        )
