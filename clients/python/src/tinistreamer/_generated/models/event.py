from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a producer."""

    event: str
    """Its name: 1 to 128 bytes without control characters. The broker itself uses `start`, `end`, `cancel`, `fail`, `abandon`, `error` and `missedevents`."""
    data: Any = None
    """A string, or any other JSON value. The broker stores other values as their compact JSON text. `null` is the same as no data."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "event": self.event,
            "data": self.data,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Event:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            event=value["event"],
            data=value.get("data"),
        )
