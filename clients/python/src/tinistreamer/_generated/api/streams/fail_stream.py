from __future__ import annotations

from ...models.fail_stream import FailStream
from ...models.finished import Finished
from ...types import Operation


def fail_stream(body: FailStream) -> Operation[Finished]:
    """Reports that the producer failed. The stream takes no more events. The broker disconnects each subscriber after it has sent all events."""
    return Operation(
        method="POST",
        path="/api/stream/fail",
        body=body.to_dict(),
        parse=lambda response: Finished.from_dict(response.json()),
    )
