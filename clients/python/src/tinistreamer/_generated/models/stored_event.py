from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An event as it is stored."""

    event: str
    """Its name."""
    id: str
    """`<milliseconds>-<number>`."""
    time: str
    """When it was written. RFC 3339 with milliseconds."""
    data: None | str = None
    """Its data, if it has any."""

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON, without what is None."""
        value: dict[str, Any] = {
            "event": self.event,
            "id": self.id,
            "time": self.time,
            "data": self.data,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StoredEvent:
        """Reads the value from JSON; fields of later brokers are left out."""
        return cls(
            event=value["event"],
            id=value["id"],
            time=value["time"],
            data=value.get("data"),
        )
