from __future__ import annotations

from ...models.end_stream import EndStream
from ...models.finished import Finished
from ...types import Operation


def end_stream(body: EndStream) -> Operation[Finished]:
    """Ends a stream. It takes no more events. The broker disconnects each subscriber after it has sent all events."""
    return Operation(
        method="POST",
        path="/api/stream/end",
        body=body.to_dict(),
        parse=lambda response: Finished.from_dict(response.json()),
    )
