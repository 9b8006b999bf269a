from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models.keyed_event import KeyedEvent


@dataclass(frozen=True, kw_only=True)
class Polled:
    """The answer to a poll."""

    events: list[KeyedEvent]
    """The events, each stream's in its order."""
    status: str
    """`active` while more events may follow. Otherwise `ended`. With one key also `cancelled`, `failed` or `abandoned`."""
    cursor: None | str = None
    """The position to send as `after` in the next request. With one key it is an event's id. Null while nothing is known of the stream."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "events": [item.to_dict() for item in self.events],
            "status": self.status,
            "cursor": self.cursor,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Polled:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            events=[KeyedEvent.from_dict(item) for item in value["events"]],
            status=value["status"],
            cursor=value.get("cursor"),
        )
