"""An operation of the broker: the request to send, and the function that parses its response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Operation(Generic[T_co]):
    """One request, ready to send."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T_co]
    params: Mapping[str, str | int | None] | None = None
    body: Mapping[str, Any] | None = None
    content: bytes | None = None
