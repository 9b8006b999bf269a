from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Access:
    """The URLs at which subscribers follow streams, and the token that opens the streams. The URLs name the streams, except for a token of a prefix."""

    expires_at: str
    """When the token expires. RFC 3339."""
    sse_url: str
    """For server-sent events; without the token."""
    token: str
    """The token."""
    ws_url: str
    """For WebSocket; without the token."""
    created: bool | None = None
    """Whether this request created the stream. Only in the answer to `POST /stream`."""
    generation: str | None = None
    """Distinguishes the stream from every other that has had its key: 32 hex digits. A request that names it means this stream and no later one. Absent unless the token is for one stream that exists."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "expires_at": self.expires_at,
            "sse_url": self.sse_url,
            "token": self.token,
            "ws_url": self.ws_url,
            "created": self.created,
            "generation": self.generation,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Access:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            expires_at=value["expires_at"],
            sse_url=value["sse_url"],
            token=value["token"],
            ws_url=value["ws_url"],
            created=value.get("created"),
            generation=value.get("generation"),
        )
