"""Answers in apps of Starlette and FastAPI, with a real broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
from conftest import Server, free_port
from fastapi import FastAPI
from interfaces import wait_until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tinistreamer import ApiError, AsyncClient, Client
from tinistreamer import fastapi as for_fastapi
from tinistreamer import starlette as for_starlette
from tinistreamer.fastapi import SharedAnswers, SharedClient
from tinistreamer.starlette import answers_of, client_of

Lifespan = Callable[[Any], Any]


def of_starlette(answers: for_starlette.Answers, lifespan: Lifespan) -> Any:
    async def start(request: Request) -> JSONResponse:
        key = request.query_params.get("key")
        return JSONResponse(await answers_of(request).start(["a"], key=key))

    async def access(request: Request) -> JSONResponse:
        return JSONResponse(await answers.access(request.path_params["key"]))

    async def streams(request: Request) -> PlainTextResponse:
        shared: AsyncClient = client_of(request)
        assert shared is answers.client
        return PlainTextResponse(",".join(row.key for row in await shared.list_streams()))

    routes = [
        Route("/answers", start, methods=["POST"]),
        Route("/answers/{key}", access),
        Route("/streams", streams),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def of_fastapi(answers: for_starlette.Answers, lifespan: Lifespan) -> Any:
    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/answers/{key}", answers.access)

    async def start(shared: SharedAnswers, key: str | None = None) -> dict[str, str]:
        return await shared.start(["a"], key=key)

    async def streams(client: SharedClient) -> PlainTextResponse:
        assert client is answers.client
        return PlainTextResponse(",".join(row.key for row in await client.list_streams()))

    # The annotations are texts here, and their names are in this module.
    app.post("/answers")(start)
    app.get("/streams")(streams)
    return app


Browsing = AbstractContextManager[Any]


def browse(app: Starlette) -> Browsing:
    """Runs an app with its lifespan."""
    return cast("Browsing", TestClient(app))


def is_ended(client: Client, key: str) -> bool:
    return client.stream_info(key).status == "ended"


FRAMEWORKS = [(of_starlette, for_starlette.Answers), (of_fastapi, for_fastapi.Answers)]
frameworks = pytest.mark.parametrize(("build", "kind"), FRAMEWORKS, ids=["starlette", "fastapi"])


@frameworks
@pytest.mark.parametrize("lifespan", ["ours", "own"])
def test_an_app_with_its_lifespan(
    server: Server, client: Client, build: Any, kind: Any, lifespan: str
) -> None:
    answers = kind(server.url, server.api_key)

    @asynccontextmanager
    async def own(app: Any) -> AsyncGenerator[dict[str, Any]]:
        del app
        async with answers:
            yield {"tinistreamer": answers}

    app: Starlette = build(answers, answers.lifespan if lifespan == "ours" else own)
    for _ in range(2):
        # Each time with a client that belongs to the event loop of this lifespan.
        with browse(app) as browser:
            access = browser.post("/answers").json()
            assert set(access) == {"key", "sse_url", "token"}
            again = browser.get(f"/answers/{access['key']}", params={"subject": "somebody"})
            assert again.json()["key"] == access["key"]
            assert again.json()["token"] != access["token"]
            wait_until(partial(is_ended, client, access["key"]))
            client.create_stream(f"{access['key']}-active")
            assert f"{access['key']}-active" in browser.get("/streams").text


@frameworks
def test_what_a_page_gets_when_it_fails(
    server: Server, client: Client, build: Any, kind: Any, key: str
) -> None:
    def app_of(url: str, **options: Any) -> Browsing:
        answers = kind(url, server.api_key, **options)
        return browse(build(answers, answers.lifespan))

    with app_of(server.url, prefix="test-") as browser:
        assert browser.get("/answers/test-none").status_code == 404
        client.create_stream(key)
        taken = browser.post("/answers", params={"key": key})
        assert (taken.status_code, key in taken.text) == (409, False)
        # A defect of the program.
        with pytest.raises(ValueError, match="begins with"):
            browser.post("/answers", params={"key": "other"})
    with app_of(f"http://127.0.0.1:{free_port()}") as browser:
        for gone in (browser.get("/answers/answer-1"), browser.post("/answers")):
            assert gone.status_code == 503
            assert "127.0.0.1" not in gone.text
    wrong = kind(server.url, "wrong")
    app: Starlette = build(wrong, wrong.lifespan)
    with browse(app) as browser, pytest.raises(ApiError, match="key"):
        browser.get("/answers/answer-1")


@frameworks
def test_a_setting_that_is_missing_ends_the_start(
    build: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TINISTREAMER_URL", "STREAMER_URL"):
        monkeypatch.delenv(name, raising=False)
    answers = kind()
    app = browse(build(answers, answers.lifespan))
    with pytest.raises(ValueError, match="set TINISTREAMER_URL"), app:
        pass


@frameworks
def test_an_app_without_the_lifespan(server: Server, build: Any, kind: Any) -> None:
    @asynccontextmanager
    async def other(app: Any) -> AsyncGenerator[None]:
        del app
        yield

    app: Starlette = build(kind(server.url, server.api_key), other)
    with (
        browse(app) as browser,
        pytest.raises(RuntimeError, match="lifespan=Answers"),
    ):
        browser.post("/answers")


def test_a_request_cannot_choose_the_subject(server: Server) -> None:
    answers = for_fastapi.Answers(server.url, server.api_key)
    app = of_fastapi(answers, answers.lifespan)
    parameters = app.openapi()["paths"]["/answers/{key}"]["get"]["parameters"]
    assert [each["name"] for each in parameters] == ["key"]
