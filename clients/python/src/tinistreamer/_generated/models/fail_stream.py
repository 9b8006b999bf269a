from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FailStream:
    """The stream that fails."""

    key: str
    """The stream's key."""
    code: None | str = None
    """A word for programs that says what went wrong: 1 to 64 of `a` to `z`, `0` to `9`, `-`. The default is `error`."""
    generation: None | str = None
    """The generation that the stream must have, as the broker gave it when the stream was created."""
    message: None | str = None
    """A text for people that says what went wrong, in at most 1 KiB. The default is empty."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "code": self.code,
            "generation": self.generation,
            "message": self.message,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> FailStream:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value["key"],
            code=value.get("code"),
            generation=value.get("generation"),
            message=value.get("message"),
        )
