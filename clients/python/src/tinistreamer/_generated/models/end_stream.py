from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EndStream:
    """The stream to end."""

    key: str
    """The stream's key."""
    data: Any = None
    """The data of the last event: a string, or any other JSON value. The broker stores other values as their compact JSON text. `null` is the same as no data."""
    generation: None | str = None
    """The generation that the stream must have, as the broker gave it when the stream was created."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "data": self.data,
            "generation": self.generation,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> EndStream:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value["key"],
            data=value.get("data"),
            generation=value.get("generation"),
        )
