from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a stream was finished."""

    status: str
    """`ended`, `cancelled` or `failed`."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "status": self.status,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Finished:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            status=value["status"],
        )
