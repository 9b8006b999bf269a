from __future__ import annotations

from ...models.signals import Signals
from ...types import Operation


def read_signals(
    *,
    key: str,
    after: int | None = None,
    generation: str | None = None,
    wait: int | None = None,
) -> Operation[Signals]:
    """Reads the signals of a stream. With `Accept: text/event-stream`, the broker sends them as they come until the stream is finished. Each event is named `signal`, and its id is `GENERATION:SEQ`. The broker answers 204 if the stream is finished and no signal follows."""
    return Operation(
        method="GET",
        path="/api/stream/signals",
        params={
            "key": key,
            "after": after,
            "generation": generation,
            "wait": wait,
        },
        parse=lambda response: Signals.from_dict(response.json()),
    )
