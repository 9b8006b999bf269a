from __future__ import annotations

from ...models.renew_stream import RenewStream
from ...models.renewed import Renewed
from ...types import Operation


def renew_stream(body: RenewStream) -> Operation[Renewed]:
    """Renews the lease of a stream. Starts, changes or ends its lease and its stall. After a stop, it gives the producer more time, once."""
    return Operation(
        method="POST",
        path="/api/stream/renew",
        body=body.to_dict(),
        parse=lambda response: Renewed.from_dict(response.json()),
    )
