"""Answers in a project of Django, under WSGI and ASGI, with a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from conftest import Server, free_port
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from interfaces import DEADLINE, wait_until

from tinistreamer import Client, subscribe
from tinistreamer.django import Answers, AsyncAnswers

if not settings.configured:
    settings.configure(DEFAULT_CHARSET="utf-8")

Asked = tuple[int, dict[str, Any]]


class Wsgi:
    """Views under WSGI."""

    @staticmethod
    def ask(view: Callable[..., Any], method: str = "POST", *arguments: str) -> Asked:
        """Returns the status and the body of the response of a view."""
        response = view(wsgi_request(method), *arguments)
        return response.status_code, json.loads(response.content or "{}")

    @staticmethod
    def answer(result: Any) -> Callable[[HttpRequest], Any]:
        """Returns a function that makes an answer."""
        return lambda _: result

    def answers(self, *arguments: Any, **options: Any) -> Any:
        """Returns answers, which end with the test."""
        self._answers = Answers(*arguments, **options)
        return self._answers

    def close(self) -> None:
        """Ends the answers."""
        self._answers.close()


class Asgi:
    """Views under ASGI."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def ask(self, view: Callable[..., Awaitable[Any]], method: str = "POST", *keys: str) -> Asked:
        """Returns the status and the body of the response of a view."""

        async def run() -> Any:
            response = await view(asgi_request(method), *keys)
            # Time for the answer.
            await asyncio.sleep(0.2)
            return response

        response = self._loop.run_until_complete(asyncio.wait_for(run(), DEADLINE))
        return response.status_code, json.loads(response.content or "{}")

    @staticmethod
    def answer(result: Any) -> Callable[[HttpRequest], Any]:
        """Returns a coroutine function that makes an answer."""

        async def make(_: HttpRequest) -> Any:
            return result

        return make

    def answers(self, *arguments: Any, **options: Any) -> Any:
        """Returns answers, which end with the test."""
        self._answers = AsyncAnswers(*arguments, **options)
        return self._answers

    def close(self) -> None:
        """Ends the answers."""
        self._loop.run_until_complete(self._answers.aclose())
        self._loop.close()


def wsgi_request(method: str) -> WSGIRequest:
    return WSGIRequest({"REQUEST_METHOD": method, "wsgi.input": BytesIO(), "PATH_INFO": "/"})


def asgi_request(method: str) -> ASGIRequest:
    return ASGIRequest({"type": "http", "method": method, "path": "/", "headers": []}, BytesIO())


Way = Wsgi | Asgi


@pytest.fixture(params=[Wsgi, Asgi], ids=["wsgi", "asgi"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    made: Way = request.param()
    yield made
    made.close()


def test_the_views(way: Way, server: Server) -> None:
    answers: Any = way.answers(server.url, server.api_key)
    view = answers.view(way.answer(["a", "b"]), subject=_path_of)
    status, access = way.ask(view)
    assert (status, set(access)) == (200, {"key", "sse_url", "token"})
    status, again = way.ask(answers.access_view, "GET", access["key"])
    assert (status, again["key"]) == (200, access["key"])
    with subscribe(access=again) as events:
        assert events.text() == "ab"
    assert way.ask(view, "GET")[0] == 405
    assert way.ask(answers.access_view, "POST", access["key"])[0] == 405
    assert way.ask(answers.access_view, "GET", "answer-none")[0] == 404


def test_the_subject_of_a_page(way: Way, server: Server, client: Client) -> None:
    answers: Any = way.answers(server.url, server.api_key, grace=0.0)
    view = answers.view(way.answer(_waiting(is_async=isinstance(way, Asgi))), subject=_ada)
    access = way.ask(view)[1]
    with subscribe(access=access) as events:
        events.request_stop()
    assert [signal.by for signal in client.read_signals(access["key"]).signals] == ["ada"]


def _path_of(request: HttpRequest) -> str:
    return request.path


def _ada(_: HttpRequest) -> str:
    return "ada"


def _waiting(*, is_async: bool) -> Any:
    async def wait_in_task(writer: Any) -> None:
        await writer.stopped()

    def wait_in_thread(writer: Any) -> None:
        writer.stopped(DEADLINE)

    return wait_in_task if is_async else wait_in_thread


def test_a_view_may_refuse(way: Way, server: Server, client: Client) -> None:
    before = len(client.list_streams("answer-*"))
    answers: Any = way.answers(server.url, server.api_key)
    refusal = way.answer(HttpResponse('{"no": 1}', status=403))
    assert way.ask(answers.view(refusal)) == (403, {"no": 1})
    assert len(client.list_streams("answer-*")) == before


def test_a_broker_that_cannot_be_reached(way: Way) -> None:
    answers: Any = way.answers(f"http://127.0.0.1:{free_port()}", "k")
    gone = (503, {"detail": "Streams are not available now"})
    assert way.ask(answers.view(way.answer(["a"]))) == gone
    assert way.ask(answers.access_view, "GET", "answer-1") == gone


def test_the_settings_of_the_project(
    way: Way, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URL", "API_KEY"):
        monkeypatch.delenv(f"TINISTREAMER_{name}", raising=False)
        monkeypatch.delenv(f"STREAMER_{name}", raising=False)
    answers: Any = way.answers()
    with pytest.raises(ValueError, match="TINISTREAMER_URL"):
        _ = answers.client
    monkeypatch.setattr(settings, "TINISTREAMER_URL", server.url, raising=False)
    monkeypatch.setattr(settings, "TINISTREAMER_API_KEY", server.api_key, raising=False)
    assert way.ask(answers.view(way.answer(["a"])))[0] == 200


def test_asynchronous_views_need_asgi(server: Server) -> None:
    answers = AsyncAnswers(server.url, server.api_key)

    async def run() -> None:
        with pytest.raises(ImproperlyConfigured, match="use Answers under WSGI"):
            await answers.view(Asgi.answer(["a"]))(wsgi_request("POST"))

    asyncio.run(run())


def test_the_lifespan_of_an_application(server: Server, client: Client) -> None:
    answers = AsyncAnswers(server.url, server.api_key, grace=0.0)
    served: list[str] = []

    async def django(scope: dict[str, Any], receive: Any, send: Any) -> None:
        del receive, send
        served.append(scope["type"])

    application = answers.asgi(django)

    async def run() -> tuple[str, list[str]]:
        received: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        sent: list[str] = []

        async def send(message: dict[str, str]) -> None:
            sent.append(message["type"])

        await received.put({"type": "lifespan.startup"})
        life = asyncio.ensure_future(application({"type": "lifespan"}, received.get, send))
        await application({"type": "http"}, received.get, send)
        key = (await answers.start(_waiting(is_async=True)))["key"]
        await asyncio.to_thread(wait_until, lambda: _has_lease(client, key))
        await received.put({"type": "lifespan.shutdown"})
        await life
        return key, sent

    key, sent = asyncio.run(asyncio.wait_for(run(), DEADLINE))
    assert served == ["http"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert client.stream_info(key).status == "failed"


def _has_lease(client: Client, key: str) -> bool:
    return client.renew_stream(key).lease_expires_at is not None
