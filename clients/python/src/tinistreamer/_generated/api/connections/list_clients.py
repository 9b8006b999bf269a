from __future__ import annotations

from ...models.client_row import ClientRow
from ...types import Operation


def list_clients(
    *,
    key: str | None = None,
    tag: str | None = None,
) -> Operation[list[ClientRow]]:
    """Lists the subscribers that are connected to this node."""
    return Operation(
        method="GET",
        path="/api/clients",
        params={
            "key": key,
            "tag": tag,
        },
        parse=lambda response: [ClientRow.from_dict(item) for item in response.json()],
    )
