from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SignalRecord:
    """A signal."""

    name: str
    """What the producer is asked to do. `stop`: to finish."""
    seq: int
    """Its number in the stream, from 1."""
    time: str
    """When the broker stored it. RFC 3339."""
    by: None | str = None
    """Who sent it: the subject of the token, or `api-key`. Null for a token without a subject."""
    data: Any = None
    """More about it: any JSON value."""
    id: str | None = None
    """The sender's id of it."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "name": self.name,
            "seq": self.seq,
            "time": self.time,
            "by": self.by,
            "data": self.data,
            "id": self.id,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SignalRecord:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            name=value["name"],
            seq=value["seq"],
            time=value["time"],
            by=value.get("by"),
            data=value.get("data"),
            id=value.get("id"),
        )
