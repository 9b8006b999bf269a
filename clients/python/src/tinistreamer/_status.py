"""The statuses of a stream, and the events that finish it. No I/O."""

from __future__ import annotations

from typing import Literal, cast, get_args

FinalStatus = Literal["ended", "cancelled", "failed", "abandoned"]
"""How a stream was finished."""

Outcome = Literal[FinalStatus, "gone"]
Status = Literal["active", Outcome]

LAST_EVENTS: dict[str, FinalStatus] = {"end": "ended", "cancel": "cancelled"}
"""Events whose name alone says that the stream is finished. Only the broker writes them."""

POSSIBLE_LAST_EVENTS: dict[str, FinalStatus] = {"fail": "failed", "abandon": "abandoned"}
"""Events that finish a stream when the broker says so.

An older broker let publishers write events of these names. They are ordinary events.
"""


def final_status(value: object) -> FinalStatus | None:
    """Returns the `stream_status` of an event; None without one that this version knows."""
    return cast("FinalStatus", value) if value in get_args(FinalStatus) else None
