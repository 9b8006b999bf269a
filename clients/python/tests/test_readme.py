"""Examples of the README, exactly as it prints them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Server, free_port
from interfaces import DEADLINE, wait_until

import tinistreamer
from tinistreamer import AsyncClient, Client, StreamNotActive

README = Path(__file__).parents[1] / "README.md"
HANGING = """

async def model(question):
    yield question
    await asyncio.sleep(3600)
"""


def test_the_server_stops_while_a_model_hangs(
    server: Server, client: Client, tmp_path: Path
) -> None:
    found = re.search(
        r"## With FastAPI.*?```py\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    program = found[1].replace("http://127.0.0.1:8000", server.url)
    program = re.sub(r"^GRACE = .*$", "GRACE = 0.1", program, flags=re.MULTILINE)
    (tmp_path / "app.py").write_text(program + HANGING, encoding="utf-8")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "app:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "STREAMER_API_KEY": server.api_key}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log) as app,
    ):
        try:
            key = ask(port)
            wait_until(lambda: len(client.stream_events(key)) == 2)
            app.send_signal(signal.SIGTERM)
            app.wait(DEADLINE)
        finally:
            app.kill()
    log_text = (tmp_path / "log").read_text()
    assert [event.event for event in client.stream_events(key)] == ["start", "token", "fail"], (
        log_text
    )
    assert "Traceback" not in log_text


def ask(port: int) -> str:
    """Asks a question as soon as the server listens, and returns the key of the answer."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/chat", params={"question": "why"}, timeout=DEADLINE
            )
        except httpx.TransportError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return httpx.URL(answer.json()["url"]).params["key"]


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
