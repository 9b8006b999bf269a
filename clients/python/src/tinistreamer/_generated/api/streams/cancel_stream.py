from __future__ import annotations

from ...models.cancel_stream import CancelStream
from ...models.finished import Finished
from ...types import Operation


def cancel_stream(body: CancelStream) -> Operation[Finished]:
    """Cancels a stream. It takes no more events. The broker disconnects each subscriber after it has sent all events."""
    return Operation(
        method="POST",
        path="/api/stream/cancel",
        body=body.to_dict(),
        parse=lambda response: Finished.from_dict(response.json()),
    )
