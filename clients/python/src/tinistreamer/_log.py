"""The log of this package. It never has a key, a token, or a URL with a query."""

from __future__ import annotations

import logging
import traceback

from ._errors import ApiError, PublishError, TinistreamerError, Unreachable

log = logging.getLogger("tinistreamer")


def brief(error: BaseException) -> str:
    """Describes an error for the log. The broker's messages have the keys of streams."""
    if isinstance(error, Unreachable):
        return error.message
    if isinstance(error, ApiError):
        return f"HTTP {error.status} ({error.code})"
    if isinstance(error, PublishError) and error.__cause__ is not None:
        return brief(error.__cause__)
    return error.code if isinstance(error, TinistreamerError) else type(error).__name__


def place_of(error: BaseException) -> str:
    """Returns the type of an error of the caller's, and where it was raised, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{where}"
