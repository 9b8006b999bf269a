from __future__ import annotations

from ...models.access import Access
from ...models.create_stream import CreateStream
from ...types import Operation


def create_stream(body: CreateStream) -> Operation[Access]:
    """Creates a stream."""
    return Operation(
        method="POST",
        path="/api/stream",
        body=body.to_dict(),
        parse=lambda response: Access.from_dict(response.json()),
    )
