"""The options of answers that a backend produces in the background. No I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http import HTTPStatus

from ._errors import AnswerNotFound, ApiError, TinistreamerError, TooManyAnswers, Unreachable
from ._failure import FailureOf
from ._generated.models import Access
from ._writer_options import Permission

LEAVE = 5.0
"""Seconds that interrupted answers have at a shutdown, to report that their streams failed."""


@dataclass(frozen=True)
class AnswerOptions:
    """The options of `Answers`, which describes them."""

    prefix: str
    permissions: tuple[Permission, ...]
    failure: FailureOf | None
    lease: int
    coalesce: float
    grace: float
    max_running: int

    def __post_init__(self) -> None:
        if not self.grace >= 0:
            raise ValueError("grace is not negative")
        if self.max_running < 1:
            raise ValueError("max_running is at least 1")

    def new_key(self) -> str:
        """Returns a key that nobody can guess."""
        return f"{self.prefix}{secrets.token_urlsafe(16)}"

    def is_answer(self, key: str) -> bool:
        """Whether a stream with this key can be an answer of this backend."""
        return key.startswith(self.prefix)

    def check_key(self, key: str) -> str:
        """Returns the key of a new answer. Raises `ValueError` when it lacks the prefix."""
        if not self.is_answer(key):
            raise ValueError(f"The key of an answer begins with {self.prefix!r}, unlike {key!r}")
        return key


def page_access(key: str, access: Access) -> dict[str, str]:
    """Returns what a page needs to follow an answer."""
    return {"key": key, "sse_url": access.sse_url, "token": access.token}


def refusal_of(error: TinistreamerError) -> tuple[HTTPStatus, str] | None:
    """Returns the response to a page; None for an error that is a defect of the program.

    The broker's own messages have keys and settings, so that pages do not get them.
    """
    if isinstance(error, AnswerNotFound):
        return HTTPStatus.NOT_FOUND, error.message
    if isinstance(error, ApiError) and error.code == "existing-stream":
        return HTTPStatus.CONFLICT, "An answer has this key"
    if isinstance(error, TooManyAnswers):
        return HTTPStatus.SERVICE_UNAVAILABLE, "Too many answers run at once"
    if isinstance(error, Unreachable) or (isinstance(error, ApiError) and _is_busy(error.status)):
        return HTTPStatus.SERVICE_UNAVAILABLE, "Streams are not available now"
    return None


def _is_busy(status: int) -> bool:
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
