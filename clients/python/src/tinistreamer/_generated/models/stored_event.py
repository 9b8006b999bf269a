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
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "event": self.event,
            "id": self.id,
            "time": self.time,
            "data": self.data,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StoredEvent:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            event=value["event"],
            id=value["id"],
            time=value["time"],
            data=value.get("data"),
        )
