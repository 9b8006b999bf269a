from __future__ import annotations

from ...models.send_signal import SendSignal
from ...models.signal_sent import SignalSent
from ...types import Operation


def send_signal(
    body: SendSignal,
    *,
    key: str,
) -> Operation[SignalSent]:
    """Sends a signal to the producer of an active stream, for example `stop`."""
    return Operation(
        method="POST",
        path="/api/client/signal",
        params={
            "key": key,
        },
        body=body.to_dict(),
        parse=lambda response: SignalSent.from_dict(response.json()),
    )
