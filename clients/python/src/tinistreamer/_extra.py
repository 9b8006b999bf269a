"""The optional dependencies."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def extra(name: str, what: str) -> Generator[None, None, None]:
    """Wraps imports that need an extra; the error names the command to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} an extra: pip install 'tinistreamer[{name}]'", name=error.name
        ) from error


def websocket_extra() -> AbstractContextManager[None]:
    """Wraps imports that need the extra `websocket`."""
    return extra("websocket", "WebSockets want")
