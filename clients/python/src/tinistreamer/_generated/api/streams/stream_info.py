from __future__ import annotations

from ...models.stream_state import StreamState
from ...types import Operation


def stream_info(
    *,
    key: str,
) -> Operation[StreamState]:
    """Reports the state of a stream."""
    return Operation(
        method="GET",
        path="/api/stream/info",
        params={
            "key": key,
        },
        parse=lambda response: StreamState.from_dict(response.json()),
    )
