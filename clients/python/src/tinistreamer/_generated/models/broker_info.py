from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models.activity import Activity
from ..models.connection_info import ConnectionInfo


@dataclass(frozen=True, kw_only=True)
class BrokerInfo:
    """The broker: its version, its store and its load."""

    activity: Activity
    """What a node has done since its start, and its subscribers now."""
    delivery: str
    """How live events reach subscribers."""
    redis: ConnectionInfo
    """Connections to Redis, and the limit of subscribers."""
    store: str
    """`redis` or `memory`."""
    url: str
    """The public URL."""
    version: str
    """The broker's version."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "activity": self.activity.to_dict(),
            "delivery": self.delivery,
            "redis": self.redis.to_dict(),
            "store": self.store,
            "url": self.url,
            "version": self.version,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> BrokerInfo:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            activity=Activity.from_dict(value["activity"]),
            delivery=value["delivery"],
            redis=ConnectionInfo.from_dict(value["redis"]),
            store=value["store"],
            url=value["url"],
            version=value["version"],
        )
