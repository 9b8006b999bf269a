from __future__ import annotations

from ...models.end_stream import EndStream
from ...models.finished import Finished
from ...types import Operation


def end_stream(body: EndStream) -> Operation[Finished]:
    """Ends a stream: it takes no more events, and its subscribers are disconnected once they have all of it."""
    return Operation(
        method="POST",
        path="/api/stream/end",
        body=body.to_dict(),
        parse=lambda response: Finished.from_dict(response.json()),
    )
