from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CancelStream:
    """The stream to cancel."""

    key: str
    """The stream's key."""
    by: None | str = None
    """Who cancels it, in at most 128 bytes. The last event contains it."""
    generation: None | str = None
    """The generation that the stream must have, as the broker gave it when the stream was created."""
    reason: None | str = None
    """Why, in at most 1 KiB. The last event contains it."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "by": self.by,
            "generation": self.generation,
            "reason": self.reason,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CancelStream:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value["key"],
            by=value.get("by"),
            generation=value.get("generation"),
            reason=value.get("reason"),
        )
