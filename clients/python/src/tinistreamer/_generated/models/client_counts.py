from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ClientCounts:
    """Subscribers now, by transport."""

    ndjson: int
    """Over newline-delimited JSON."""
    poll: int
    """By long polling."""
    sse: int
    """Over server-sent events."""
    ws: int
    """Over WebSocket."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "ndjson": self.ndjson,
            "poll": self.poll,
            "sse": self.sse,
            "ws": self.ws,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ClientCounts:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            ndjson=value["ndjson"],
            poll=value["poll"],
            sse=value["sse"],
            ws=value["ws"],
        )
