"""Answers in the background of a Django project: `Answers` under WSGI, `AsyncAnswers` under ASGI.

    answers = Answers()
    urlpatterns = [
        path("answers", answers.view(answer)),
        path("answers/<str:key>", answers.access_view),
    ]

The broker's address and API key are the settings `TINISTREAMER_URL` and `TINISTREAMER_API_KEY`, or
the variables of these names in the environment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ._answers import refusal_of
from ._async.answers import AsyncAnswers as _AsyncAnswers
from ._async.answers import AsyncProduce
from ._errors import TinistreamerError
from ._extra import extra
from ._generated.models import Access
from ._settings import broker_settings
from ._sync.answers import Answers as _Answers
from ._sync.answers import Produce
from ._threads.background import call_at_exit

with extra("django", "Django needs"):
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.handlers.wsgi import WSGIRequest
    from django.http import HttpRequest, HttpResponseBase, JsonResponse
    from django.views.decorators.http import require_GET, require_POST

__all__ = ["Answers", "AsyncAnswers", "AsyncProduce", "Produce"]

AsgiApplication = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
"""An application of ASGI, such as what `get_asgi_application` returns."""


class Answers(_Answers):
    """Answers that go on after their requests, in threads. For WSGI.

    At the end of the process they get `grace` seconds. Then their streams fail. The views respond
    with 404 when no answer has the key, with 409 when an active one has it, and with 503 when the
    broker cannot be reached, or when too many answers are produced.
    """

    _ends_at_exit = False

    def view(
        self,
        answer: Callable[[HttpRequest], Produce | HttpResponseBase],
        *,
        subject: Callable[[HttpRequest], str | None] = lambda _: None,
    ) -> Callable[[HttpRequest], HttpResponseBase]:
        """Returns a view for POST, which responds with what a page needs to follow an answer.

        `answer` takes the request, and returns what `start` produces: a function or a source. It
        may also return a response, such as an error. `subject` says who gets the token.
        """

        @require_POST
        def view(request: HttpRequest) -> HttpResponseBase:
            produce = answer(request)
            if isinstance(produce, HttpResponseBase):
                return produce
            try:
                return JsonResponse(self.start(produce, subject=subject(request)))
            except TinistreamerError as error:
                return _response_to(error)

        return view

    @property
    def access_view(self) -> Callable[[HttpRequest, str], HttpResponseBase]:
        """A view for GET that responds so again for the answer `key`, such as after a reload.

        It does not check who asks: wrap it, or call `access` in a view of your own.
        """

        @require_GET
        def view(request: HttpRequest, key: str) -> HttpResponseBase:
            del request
            try:
                return JsonResponse(self.access(key))
            except TinistreamerError as error:
                return _response_to(error)

        return view

    def _find_settings(self) -> tuple[str, str]:
        return broker_settings(*_of_project(*self._settings))

    def _produce(self, key: str, access: Access, produce: Produce) -> None:
        # Not before, because a server may fork its processes first.
        with self._lock:
            was_ready, self._ends_at_exit = self._ends_at_exit, True
        if not was_ready:
            call_at_exit(self.close)
        super()._produce(key, access, produce)


class AsyncAnswers(_AsyncAnswers):
    """Answers that go on after their requests, in tasks. For ASGI.

    The views respond as those of `Answers` do. Wrap the application with `asgi`.
    """

    def view(
        self,
        answer: Callable[[HttpRequest], Awaitable[AsyncProduce | HttpResponseBase]],
        *,
        subject: Callable[[HttpRequest], str | None] = lambda _: None,
    ) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
        """Returns an asynchronous view for POST. See `Answers.view`.

        `answer` is a coroutine function. The view raises `ImproperlyConfigured` under WSGI, where
        each request has an event loop that ends with it.
        """

        @require_POST
        async def view(request: HttpRequest) -> HttpResponseBase:
            if isinstance(request, WSGIRequest):
                raise ImproperlyConfigured("AsyncAnswers needs ASGI: use Answers under WSGI")
            produce = await answer(request)
            if isinstance(produce, HttpResponseBase):
                return produce
            try:
                return JsonResponse(await self.start(produce, subject=subject(request)))
            except TinistreamerError as error:
                return _response_to(error)

        return view

    @property
    def access_view(self) -> Callable[[HttpRequest, str], Awaitable[HttpResponseBase]]:
        """An asynchronous view for GET. See `Answers.access_view`."""

        @require_GET
        async def view(request: HttpRequest, key: str) -> HttpResponseBase:
            del request
            try:
                return JsonResponse(await self.access(key))
            except TinistreamerError as error:
                return _response_to(error)

        return view

    def asgi(self, application: AsgiApplication) -> AsgiApplication:
        """Returns the application with a lifespan, which Django has not: the answers end with it.

        Without it the server cancels the answers when it stops. Their streams fail then as well.
        """

        async def with_lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                await application(scope, receive, send)
                return
            await receive()
            async with self:
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})

        return with_lifespan

    def _find_settings(self) -> tuple[str, str]:
        return broker_settings(*_of_project(*self._settings))


def _of_project(url: str | None, api_key: str | None) -> tuple[str | None, str | None]:
    return (
        url or getattr(settings, "TINISTREAMER_URL", None),
        api_key or getattr(settings, "TINISTREAMER_API_KEY", None),
    )


def _response_to(error: TinistreamerError) -> JsonResponse:
    """Returns the response to an error. Raises what is a defect of the program."""
    refusal = refusal_of(error)
    if refusal is None:
        raise error
    status, message = refusal
    return JsonResponse({"detail": message}, status=status)
