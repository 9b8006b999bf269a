from __future__ import annotations

from ...models.stored_event import StoredEvent
from ...types import Operation


def stream_events(
    *,
    key: str,
) -> Operation[list[StoredEvent]]:
    """Reads all stored events of a stream, also after its end. The request does not count as a subscriber."""
    return Operation(
        method="GET",
        path="/api/stream/events",
        params={
            "key": key,
        },
        parse=lambda response: [StoredEvent.from_dict(item) for item in response.json()],
    )
