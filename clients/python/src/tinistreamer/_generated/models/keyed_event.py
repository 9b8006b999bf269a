from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class KeyedEvent:
    """An event of a stream."""

    event: str
    """Its name."""
    key: str
    """The key of its stream."""
    count: int | None = None
    """With `rollup`: how many events this one stands for, if there are several."""
    data: None | str = None
    """Its data, if it has any."""
    id: None | str = None
    """`<milliseconds>-<number>`; absent in `missedevents`."""
    stream_status: str | None = None
    """With the last event of a stream: `ended`, `cancelled`, `failed` or `abandoned`."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "event": self.event,
            "key": self.key,
            "count": self.count,
            "data": self.data,
            "id": self.id,
            "stream_status": self.stream_status,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> KeyedEvent:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            event=value["event"],
            key=value["key"],
            count=value.get("count"),
            data=value.get("data"),
            id=value.get("id"),
            stream_status=value.get("stream_status"),
        )
