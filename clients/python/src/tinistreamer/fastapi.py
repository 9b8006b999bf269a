"""Answers in the background of a FastAPI app, and its dependencies.

answers = Answers()
app = FastAPI(lifespan=answers.lifespan)
"""

# No `from __future__ import annotations`: FastAPI reads the annotations of these functions.

from typing import Annotated

from ._async.client import AsyncClient
from ._extra import extra

with extra("fastapi", "FastAPI needs"):
    from fastapi import Depends

from . import starlette
from .starlette import AsyncProduce, answers_of, client_of

__all__ = ["Answers", "AsyncProduce", "SharedAnswers", "SharedClient"]


def _nobody() -> None:
    """The subject of a token, where FastAPI calls `access`: a request must not choose it."""


class Answers(starlette.Answers):
    """Answers that go on after their requests, such as those of a model.

    Everything is as in `tinistreamer.starlette`. `access` may also be a route:
    `app.add_api_route("/answers/{key}", answers.access)`.
    """

    async def access(
        self, key: str, *, subject: Annotated[str | None, Depends(_nobody)] = None
    ) -> dict[str, str]:
        """Returns what a page needs to follow an answer again, such as after a reload.

        Check before who asks: this method does not. Raises `HTTPException`: 404 when no answer has
        the key, and 503 when the broker cannot be reached.
        """
        return await super().access(key, subject=subject)


SharedAnswers = Annotated[starlette.Answers, Depends(answers_of)]
"""A parameter of a route: the answers of the app's lifespan."""

SharedClient = Annotated[AsyncClient, Depends(client_of)]
"""A parameter of a route: the client that all requests share."""
