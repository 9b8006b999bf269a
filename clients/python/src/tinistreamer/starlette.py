"""Answers in the background of a Starlette app.

answers = Answers()
app = Starlette(routes=…, lifespan=answers.lifespan)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ._answers import refusal_of
from ._async.answers import AsyncAnswers, AsyncProduce
from ._async.client import AsyncClient
from ._errors import TinistreamerError
from ._extra import extra
from ._writer_options import IfTaken

with extra("starlette", "Starlette needs"):
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Answers", "AsyncProduce", "answers_of", "client_of"]

_STATE = "tinistreamer"


class Answers(AsyncAnswers):
    """Answers that go on after their requests, such as those of a model.

    `start` and `access` raise an `HTTPException` where a page gets an error: 404 when no answer has
    the key, 409 when an active one has it, and 503 when the broker cannot be reached, or when too
    many answers are produced. The `detail` has no text of the broker.
    """

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[dict[str, Self]]:
        """The lifespan of an app: the answers end with it, and the client is closed.

        In a lifespan of your own, use `async with answers` and `yield {"tinistreamer": answers}`.
        """
        del app
        async with self:
            yield {_STATE: self}

    async def start(
        self,
        produce: AsyncProduce,
        *,
        key: str | None = None,
        subject: str | None = None,
        if_exists: IfTaken | None = None,
        if_finished: IfTaken | None = None,
        ttl: int | None = None,
    ) -> dict[str, str]:
        """Does the same as `AsyncAnswers.start`. Raises `HTTPException`, see the class."""
        try:
            return await super().start(
                produce,
                key=key,
                subject=subject,
                if_exists=if_exists,
                if_finished=if_finished,
                ttl=ttl,
            )
        except TinistreamerError as error:
            raise _http_error(error) from error

    async def access(self, key: str, *, subject: str | None = None) -> dict[str, str]:
        """Does the same as `AsyncAnswers.access`. Raises `HTTPException`, see the class."""
        try:
            return await super().access(key, subject=subject)
        except TinistreamerError as error:
            raise _http_error(error) from error


def answers_of(connection: HTTPConnection) -> Answers:
    """Returns the answers of the app that handles a request.

    Raises `RuntimeError` when the lifespan of the app does not provide them.
    """
    found = getattr(connection.state, _STATE, None)
    if not isinstance(found, Answers):
        raise RuntimeError(  # noqa: TRY004 - it is about the app, not about the argument
            "The app has no answers: pass lifespan=Answers().lifespan to it"
        )
    return found


def client_of(connection: HTTPConnection) -> AsyncClient:
    """Returns the client that all requests of an app share. Raises as `answers_of` does."""
    return answers_of(connection).client


def _http_error(error: TinistreamerError) -> Exception:
    refusal = refusal_of(error)
    return error if refusal is None else HTTPException(*refusal)
