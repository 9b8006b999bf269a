from __future__ import annotations

from urllib.parse import quote

from ...models.disconnected import Disconnected
from ...types import Operation


def disconnect_client(
    id: str,
) -> Operation[Disconnected]:
    """Disconnects a subscriber of this node. It may reconnect at once if its token is still valid."""
    return Operation(
        method="DELETE",
        path="/api/clients/{id}".format_map(
            {
                "id": quote(id, safe=""),
            }
        ),
        parse=lambda response: Disconnected.from_dict(response.json()),
    )
