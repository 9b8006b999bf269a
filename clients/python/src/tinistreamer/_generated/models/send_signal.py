from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SendSignal:
    """A signal to the producer of a stream."""

    name: str
    """What the producer is asked to do: 1 to 64 of `a` to `z`, `0` to `9`, `-`. `stop` asks it to finish. Other names are the application's own."""
    data: Any = None
    """More about it: any JSON value of at most 16 KiB. `null` is the same as none."""
    generation: None | str = None
    """The generation that the stream must have, as the broker gave it when the stream was created."""
    id: None | str = None
    """An id of the signal, 1 to 64 characters. If the same sender sends a signal with the same id again, the broker does not store it again."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "name": self.name,
            "data": self.data,
            "generation": self.generation,
            "id": self.id,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SendSignal:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            name=value["name"],
            data=value.get("data"),
            generation=value.get("generation"),
            id=value.get("id"),
        )
