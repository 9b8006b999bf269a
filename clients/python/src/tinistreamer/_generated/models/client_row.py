from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ClientRow:
    """A connected subscriber of this node."""

    bytes_: int
    """Bytes of the frames and messages with those events."""
    events: int
    """Events sent to it."""
    id: str
    """Identifies its connection."""
    keys: list[str]
    """The streams that it follows."""
    since: str
    """When it connected. RFC 3339."""
    tags: list[str]
    """Its tags (`tags`)."""
    transport: str
    """How it is connected: `sse`, `ws`, `poll` or `ndjson`."""
    address: str | None = None
    """Its IP address, if known (`STREAMER_CLIENT_IP_HEADER`)."""
    filter_: str | None = None
    """Its event names filter. Absent if it receives all events."""
    lag: int | None = None
    """How many events it is behind, over all of its streams. Null if the store can't answer."""
    name: str | None = None
    """Its name (`client_name`)."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "bytes": self.bytes_,
            "events": self.events,
            "id": self.id,
            "keys": self.keys,
            "since": self.since,
            "tags": self.tags,
            "transport": self.transport,
            "address": self.address,
            "filter": self.filter_,
            "lag": self.lag,
            "name": self.name,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ClientRow:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            bytes_=value["bytes"],
            events=value["events"],
            id=value["id"],
            keys=value["keys"],
            since=value["since"],
            tags=value["tags"],
            transport=value["transport"],
            address=value.get("address"),
            filter_=value.get("filter"),
            lag=value.get("lag"),
            name=value.get("name"),
        )
