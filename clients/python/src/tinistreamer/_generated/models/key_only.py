from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class KeyOnly:
    """Which stream."""

    key: str
    """The stream's key."""

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON, without what is None."""
        value: dict[str, Any] = {
            "key": self.key,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> KeyOnly:
        """Reads the value from JSON; fields of later brokers are left out."""
        return cls(
            key=value["key"],
        )
