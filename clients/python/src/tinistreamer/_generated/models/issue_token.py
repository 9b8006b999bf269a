from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class IssueToken:
    """The streams that a token is for: exactly one of `key`, `keys` and `prefix`."""

    key: None | str = None
    """The key of one stream."""
    keys: list[str] | None = None
    """The keys of several streams, at most `STREAMER_MAX_KEYS_PER_CLIENT` (32). The same key twice counts once."""
    permissions: list[str] | None = None
    """What the token permits. `read`: to follow the streams. `signal`: to send signals to their producers. The default is `["read"]`."""
    prefix: None | str = None
    """The token opens every stream whose key begins with this, now and later: 1 to 256 bytes of UTF-8 without control characters."""
    subject: None | str = None
    """The user of the token: 1 to 128 bytes of UTF-8 without control characters. Signals that are sent with the token carry this name."""
    ttl: int | None = None
    """Seconds that the token is valid. The default is `STREAMER_TTL`."""
    wait: bool | None = None
    """With `key` or `keys`: for a key without a stream, the token opens each later stream at that key."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the value for JSON, without fields that are None."""
        value: dict[str, Any] = {
            "key": self.key,
            "keys": self.keys,
            "permissions": self.permissions,
            "prefix": self.prefix,
            "subject": self.subject,
            "ttl": self.ttl,
            "wait": self.wait,
        }
        return {name: field for name, field in value.items() if field is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> IssueToken:
        """Makes a value of JSON, and ignores fields of later brokers."""
        return cls(
            key=value.get("key"),
            keys=value.get("keys"),
            permissions=value.get("permissions"),
            prefix=value.get("prefix"),
            subject=value.get("subject"),
            ttl=value.get("ttl"),
            wait=value.get("wait"),
        )
