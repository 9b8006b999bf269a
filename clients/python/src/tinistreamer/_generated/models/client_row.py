from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ClientRow:
    """A client of the node."""

    bytes_: int
    """Bytes of the frames and messages with them."""
    events: int
    """Events that were handed to its connection."""
    id: str
    """What it is called while it is connected."""
    keys: list[str]
    """The streams that it follows."""
    since: str
    """Since when. RFC 3339."""
    tags: list[str]
    """Words that it is to be found by (`tags`)."""
    transport: str
    """How it is connected: `sse`, `ws`, `poll` or `ndjson`."""
    address: str | None = None
    """Its IP address, as far as is known (`STREAMER_CLIENT_IP_HEADER`)."""
    filter_: str | None = None
    """The names of the events that it asked for; none: all."""
    lag: int | None = None
    """How many events it is behind, over all of its streams; null when the store can't say."""
    name: str | None = None
    """What it calls itself (`client_name`)."""

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
