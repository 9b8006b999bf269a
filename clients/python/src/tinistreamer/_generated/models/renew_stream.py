from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RenewStream:
    """The stream whose producer is alive, and what the producer needs."""

    key: str
    """Its key."""
    generation: None | str = None
    """The generation that the stream must have, as the broker gave it when the stream was created."""
    lease: int | None = None
    """Seconds that the producer may be silent from now on: 2 or more. 0 is no limit. Without it the lease begins anew with its old length."""
    stall: int | None = None
    """Seconds that the producer may write no event from now on: 2 or more. 0 is no limit. Without it the deadline stays as it is."""
    stop_ack: bool | None = None
    """The producer follows a stop, and needs its `stop_grace` once more. Only the first time counts."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "generation": self.generation,
            "lease": self.lease,
            "stall": self.stall,
            "stop_ack": self.stop_ack,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RenewStream:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value["key"],
            generation=value.get("generation"),
            lease=value.get("lease"),
            stall=value.get("stall"),
            stop_ack=value.get("stop_ack"),
        )
