from __future__ import annotations

from ...models.cancel_stream import CancelStream
from ...models.finished import Finished
from ...types import Operation


def cancel_stream(body: CancelStream) -> Operation[Finished]:
    """Cancels a stream: it takes no more events, and its subscribers are disconnected once they have all of it."""
    return Operation(
        method="POST",
        path="/api/stream/cancel",
        body=body.to_dict(),
        parse=lambda response: Finished.from_dict(response.json()),
    )
