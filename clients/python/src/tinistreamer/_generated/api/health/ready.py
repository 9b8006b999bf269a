from __future__ import annotations

from ...types import Operation


def ready() -> Operation[str]:
    """The store answers and takes writes, what is written is heard here, and the broker is not stopping."""
    return Operation(
        method="GET",
        path="/api/ready",
        parse=lambda response: response.text,
    )
