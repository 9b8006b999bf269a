"""An access: the URL and the token of a subscription. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast


class AccessLike(Protocol):
    """An object with a URL and a token, such as `Access`."""

    @property
    def sse_url(self) -> str:
        """The URL for server-sent events."""
        ...

    @property
    def token(self) -> str:
        """The token for it."""
        ...


AnyAccess = AccessLike | Mapping[str, Any]
"""An `Access`, or what a backend made of one: `{"sse_url", "token"}`."""


@dataclass(frozen=True)
class CheckedAccess:
    """The parts of an access that a subscription needs."""

    url: str
    token: str


def check_access(access: object) -> CheckedAccess:
    """Returns the parts of an access. Raises `TypeError` when it lacks one."""
    found: list[str] = []
    for name in ("sse_url", "token"):
        if isinstance(access, Mapping):
            value = cast("Mapping[str, object]", access).get(name)
        else:
            value = cast("object", getattr(access, name, None))
        if not isinstance(value, str) or not value:
            raise TypeError(f"The access has no {name}: it is what create_stream returns")
        found.append(value)
    return CheckedAccess(*found)


def check_token(token: object) -> str:
    """Returns the token that a caller's function has returned. Raises `TypeError` for no text."""
    if not isinstance(token, str):
        raise TypeError(f"A token is a text, not {type(token).__name__}")
    return token
