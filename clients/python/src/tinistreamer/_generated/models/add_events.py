from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models.event import Event


@dataclass(frozen=True, kw_only=True)
class AddEvents:
    """Events for a stream."""

    events: list[Event]
    """The events, in order."""
    key: str
    """The stream's key."""
    generation: None | str = None
    """The generation that the stream must have, as the broker gave it when the stream was created."""
    producer: None | str = None
    """The producer of the events: a name that no other producer uses, 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`. With it, a caller can repeat a request whose response was lost: the broker skips events that the stream already has."""
    sequence: int | None = None
    """How many events the producer had sent into this stream before these. It needs a `producer`."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "events": [item.to_dict() for item in self.events],
            "key": self.key,
            "generation": self.generation,
            "producer": self.producer,
            "sequence": self.sequence,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> AddEvents:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            events=[Event.from_dict(item) for item in value["events"]],
            key=value["key"],
            generation=value.get("generation"),
            producer=value.get("producer"),
            sequence=value.get("sequence"),
        )
