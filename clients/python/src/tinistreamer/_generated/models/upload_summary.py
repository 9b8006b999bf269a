from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class UploadSummary:
    """The result of an upload."""

    errors: list[str]
    """What was wrong with the lines that were not written: the first 100."""
    ids: list[str]
    """The ids of the events that were written: the first 10,000."""
    num_errors: int
    """How many lines were not written."""
    num_events: int
    """How many events were written."""
    ignored: list[str] | None = None
    """The names of members that are neither `event` nor `data`, and were not stored: each once, the first 16, cut to 64 bytes. Absent when there are none."""
    last_id: None | str = None
    """The id of the last event that was written."""
    num_duplicates: int | None = None
    """How many events the stream already had. They were not written again. Only with a producer."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "errors": self.errors,
            "ids": self.ids,
            "num_errors": self.num_errors,
            "num_events": self.num_events,
            "ignored": self.ignored,
            "last_id": self.last_id,
            "num_duplicates": self.num_duplicates,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> UploadSummary:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            errors=value["errors"],
            ids=value["ids"],
            num_errors=value["num_errors"],
            num_events=value["num_events"],
            ignored=value.get("ignored"),
            last_id=value.get("last_id"),
            num_duplicates=value.get("num_duplicates"),
        )
