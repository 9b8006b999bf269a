from __future__ import annotations

from ...models.fail_stream import FailStream
from ...models.finished import Finished
from ...types import Operation


def fail_stream(body: FailStream) -> Operation[Finished]:
    """Reports that the producer failed: the stream takes no more events, and its subscribers are disconnected once they have all of it."""
    return Operation(
        method="POST",
        path="/api/stream/fail",
        body=body.to_dict(),
        parse=lambda response: Finished.from_dict(response.json()),
    )
