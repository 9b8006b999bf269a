from __future__ import annotations

from ...models.add_events import AddEvents
from ...models.added import Added
from ...types import Operation


def add_events(
    body: AddEvents,
    *,
    strict: bool | None = None,
) -> Operation[Added]:
    """Writes a batch of events, all or nothing."""
    return Operation(
        method="POST",
        path="/api/event/add",
        params={
            "strict": strict,
        },
        body=body.to_dict(),
        parse=lambda response: Added.from_dict(response.json()),
    )
