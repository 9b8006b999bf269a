from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Error:
    """The body of every error response."""

    code: str
    """A stable kebab-case word; the list is in `docs/reference/errors.md`."""
    message: str
    """One plain sentence that says what was wrong with this request."""
    stream_status: str | None = None
    """The status of the stream, if it is finished and the request needs an active one."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "stream_status": self.stream_status,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Error:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            code=value["code"],
            message=value["message"],
            stream_status=value.get("stream_status"),
        )
