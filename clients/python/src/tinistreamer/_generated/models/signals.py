from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models.signal_record import SignalRecord


@dataclass(frozen=True, kw_only=True)
class Signals:
    """Signals of a stream."""

    signals: list[SignalRecord]
    """The signals after `after`, in order. More may follow: ask again with the last `seq`."""
    stream_status: str
    """`active`, `ended`, `cancelled`, `failed` or `abandoned`."""
    generation: str | None = None
    """Distinguishes the stream from every other that has had its key: 32 hex digits."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "signals": [item.to_dict() for item in self.signals],
            "stream_status": self.stream_status,
            "generation": self.generation,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Signals:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            signals=[SignalRecord.from_dict(item) for item in value["signals"]],
            stream_status=value["stream_status"],
            generation=value.get("generation"),
        )
