"""The optional dependency for WebSockets."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def websocket_extra() -> Generator[None, None, None]:
    """Wraps imports that need the extra `websocket`; the error names the command to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "WebSockets want an extra: pip install 'tinistreamer[websocket]'", name=error.name
        ) from error
