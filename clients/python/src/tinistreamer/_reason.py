"""Why a stream was finished. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, cast


@dataclass(frozen=True)
class Reason:
    """What the last event of a stream says. The members that it does not have are None."""

    code: str | None = None
    """Of `fail`: a word for programs, such as `error`."""
    message: str | None = None
    """Of `fail`: a text for people."""
    reason: str | None = None
    """Of `cancel` and `abandon`: a word such as `stop` or `lease`, or a text."""
    by: str | None = None
    """Of `cancel`: who has stopped the stream."""


def reason_in(data: str) -> Reason | None:
    """Returns the reason in the data of a last event; None without one, or when it is no JSON."""
    try:
        value = cast("object", json.loads(data))
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    known = cast("dict[str, Any]", value)
    names = (field.name for field in fields(Reason))
    found = {name: known[name] for name in names if isinstance(known.get(name), str)}
    return Reason(**found) if found else None
