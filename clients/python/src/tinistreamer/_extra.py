"""The extra that not every installation has."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def websocket_extra() -> Generator[None, None, None]:
    """Around imports that want the extra: says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "WebSockets want an extra: pip install 'tinistreamer[websocket]'", name=error.name
        ) from error
