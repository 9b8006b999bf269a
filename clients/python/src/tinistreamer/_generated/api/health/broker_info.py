from __future__ import annotations

from ...models.broker_info import BrokerInfo
from ...types import Operation


def broker_info() -> Operation[BrokerInfo]:
    """Reports the broker's version, store and load."""
    return Operation(
        method="GET",
        path="/api/info",
        parse=lambda response: BrokerInfo.from_dict(response.json()),
    )
