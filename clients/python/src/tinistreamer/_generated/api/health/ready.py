from __future__ import annotations

from ...types import Operation


def ready() -> Operation[str]:
    """Reports that the store answers and takes writes, that this node receives what is written, and that the broker is not stopping."""
    return Operation(
        method="GET",
        path="/api/ready",
        parse=lambda response: response.text,
    )
