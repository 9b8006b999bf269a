from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class IssueToken:
    """Which stream a token is for."""

    key: str
    """The key of a stream that exists."""
    ttl: int | None = None
    """Seconds that the token is good for; the default is `STREAMER_TTL`."""

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON, without what is None."""
        value: dict[str, Any] = {
            "key": self.key,
            "ttl": self.ttl,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> IssueToken:
        """Reads the value from JSON; fields of later brokers are left out."""
        return cls(
            key=value["key"],
            ttl=value.get("ttl"),
        )
