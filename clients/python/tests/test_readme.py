"""Examples of the README, exactly as it prints them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from apps import running, uvicorn
from conftest import Server
from fake_models import fake_model, responses, text_delta
from interfaces import DEADLINE, wait_until
from test_django import wsgi_request

import tinistreamer
from tinistreamer import AsyncClient, Client, StreamNotActive

README = Path(__file__).parents[1] / "README.md"
HANGING = """

import asyncio


async def model(question):
    yield question
    await asyncio.sleep(3600)
"""


def test_the_server_stops_while_a_model_hangs(
    server: Server, client: Client, tmp_path: Path
) -> None:
    program = block("from fastapi import").replace("Answers()", "Answers(grace=0.1)")
    (tmp_path / "app.py").write_text(program + HANGING, encoding="utf-8")
    with (
        fake_model() as unused,
        running(uvicorn("app:app"), tmp_path, tmp_path / "log", server, unused) as app,
    ):
        key = app.ask()["key"]
        wait_until(lambda: len(client.stream_events(key)) == 2)
        assert app.get(f"/answers/{key}").json()["key"] == key
        assert key in app.get("/streams").json()
        app.process.send_signal(signal.SIGTERM)
        app.process.wait(DEADLINE)
        assert [event.event for event in client.stream_events(key)] == ["start", "token", "fail"], (
            app.log
        )
        assert "Traceback" not in app.log


def test_the_answer_of_a_model(
    server: Server, client: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create_stream(key)

    async def check(names: dict[str, Any]) -> None:
        async with AsyncClient(server.url, server.api_key) as backend, names["model"]:
            await names["ask_model"](backend, key, "why")

    with fake_model() as model:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        model.steps = responses(text_delta("a"), status="completed")
        asyncio.run(asyncio.wait_for(check(run("from openai import")), DEADLINE))
    assert [event.event for event in client.stream_events(key)][1:] == ["token", "finish", "end"]


def texts_of(question: str) -> list[str]:
    return [question]


def test_views_of_django(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINISTREAMER_URL", server.url)
    monkeypatch.setenv("TINISTREAMER_API_KEY", server.api_key)
    names = run("from django.urls import", model=texts_of)
    request = wsgi_request("POST")
    monkeypatch.setattr(request, "POST", {"question": "why"})
    ask, access = (pattern.callback for pattern in names["urlpatterns"])
    key = json.loads(ask(request).content)["key"]
    assert json.loads(access(wsgi_request("GET"), key=key).content)["key"] == key
    wait_until(lambda: len(client.stream_events(key)) == 3)
    assert client.stream_events(key)[1].data == "why"
    names["answers"].close()


def block(first_line: str) -> str:
    """Returns the example that begins with this line."""
    blocks = re.findall(r"```py\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if text.startswith(first_line)]
    return str(found)


async def model() -> AsyncGenerator[str, None]:
    yield "a"
    await asyncio.sleep(3600)


async def slow_model() -> AsyncGenerator[str, None]:
    yield "a"
    raise TimeoutError("secret")


def run(first_line: str, **names: Any) -> dict[str, Any]:
    """Runs an example with these names. Returns all names that it has then."""
    known = {name: getattr(tinistreamer, name) for name in tinistreamer.__all__}
    known.update(names)
    exec(block(first_line), known)
    return known


def last_event(client: Client, key: str) -> tuple[str, str | None]:
    last = client.stream_events(key)[-1]
    return (last.event, last.data)


def test_the_failure_of_a_model(server: Server, client: Client, key: str) -> None:
    client.create_stream(key)
    answer = run("def describe", model=slow_model)["answer"]

    async def check() -> None:
        async with AsyncClient(server.url, server.api_key) as backend:
            with pytest.raises(TimeoutError):
                await answer(backend, key)

    asyncio.run(asyncio.wait_for(check(), DEADLINE))
    failure = '{"code":"model-too-slow","message":"The model did not answer in time"}'
    assert last_event(client, key) == ("fail", failure)


def test_an_answer_that_is_stopped(
    server: Server, client: Client, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    permissions: Any = ["read", "signal"]
    access = client.create_stream(key, permissions=permissions, subject="user-7")
    answer = run("async def stoppable_answer", model=model)["stoppable_answer"]
    read = run("async def read_at_most", Access=type(access))["read_at_most"]

    async def check() -> str:
        async with AsyncClient(server.url, server.api_key) as backend:
            answering = asyncio.create_task(answer(backend, key))
            text: str = await read(access, 1)
            await answering
        return text

    assert asyncio.run(asyncio.wait_for(check(), DEADLINE)) == "a"
    assert last_event(client, key) == ("cancel", '{"reason":"stop","by":"user-7"}')
    assert capsys.readouterr().out == "complete, or stopped\n"


def test_signals_that_are_printed(
    client: Client, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client.create_stream("chat-1", if_exists="replace")
    client.send_signal("chat-1", "steer", data={"to": key})
    client.end_stream("chat-1")
    with pytest.raises(StreamNotActive):
        run("with client.publish", client=client)
    assert capsys.readouterr().out == f"steer {{'to': '{key}'}} api-key\n"


def test_an_access_from_the_backend(
    client: Client, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    access = client.create_stream(key)
    client.end_stream(key)
    urls: list[str] = []

    class Backend:
        """The HTTP client of the example."""

        @staticmethod
        def post(url: str) -> httpx.Response:
            urls.append(url)
            return httpx.Response(200, json=access.to_dict())

    run("def ask_backend", httpx=Backend, backend="http://backend")
    assert urls == ["http://backend/chat-1/access"]
    assert capsys.readouterr().out == "start \nend \n"
