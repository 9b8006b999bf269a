from __future__ import annotations

from ...models.stream_row import StreamRow
from ...types import Operation


def list_streams(
    *,
    pattern: str | None = None,
) -> Operation[list[StreamRow]]:
    """Lists the active streams."""
    return Operation(
        method="GET",
        path="/api/stream",
        params={
            "pattern": pattern,
        },
        parse=lambda response: [StreamRow.from_dict(item) for item in response.json()],
    )
