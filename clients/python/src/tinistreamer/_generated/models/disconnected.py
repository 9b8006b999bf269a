from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Disconnected:
    """What became of a client."""

    status: str
    """`disconnected`."""

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON, without what is None."""
        value: dict[str, Any] = {
            "status": self.status,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Disconnected:
        """Reads the value from JSON; fields of later brokers are left out."""
        return cls(
            status=value["status"],
        )
