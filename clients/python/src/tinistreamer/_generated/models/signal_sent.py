from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SignalSent:
    """The number of a stored signal."""

    seq: int
    """The number of the signal in its stream, from 1. For a signal that was stored before, this is the number of that one."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "seq": self.seq,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SignalSent:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            seq=value["seq"],
        )
