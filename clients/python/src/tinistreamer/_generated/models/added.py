from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Added:
    """The events that were written."""

    ids: list[str]
    """The ids of the events that were written, in the order of the request."""
    num_events: int
    """How many events were written."""
    ignored: list[str] | None = None
    """The names of members that are neither `event` nor `data`, and were not stored: each once, the first 16, cut to 64 bytes. Absent when there are none."""
    num_duplicates: int | None = None
    """How many events, from the first on, the stream already had. Only with a producer."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "ids": self.ids,
            "num_events": self.num_events,
            "ignored": self.ignored,
            "num_duplicates": self.num_duplicates,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Added:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            ids=value["ids"],
            num_events=value["num_events"],
            ignored=value.get("ignored"),
            num_duplicates=value.get("num_duplicates"),
        )
