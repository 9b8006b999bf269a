"""The example with FastAPI, exactly as the README prints it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from conftest import Server, free_port
from interfaces import DEADLINE, wait_until

from tinistreamer import Client

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
    assert [event.event for event in client.stream_events(key)] == ["start", "token", "cancel"], (
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
