"""Applications in processes of their own, as their users run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
from conftest import Server, free_port
from fake_models import FakeModel
from interfaces import DEADLINE


class App:
    """A running application."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8")

    def post(self, path: str, **body: str) -> httpx.Response:
        """Sends JSON."""
        return httpx.post(f"{self.url}{path}", json=body, timeout=DEADLINE)

    def get(self, path: str) -> httpx.Response:
        """Gets a page."""
        return httpx.get(f"{self.url}{path}", timeout=DEADLINE)

    def ask(self, **headers: str) -> dict[str, str]:
        """Asks a question. Returns the access to the answer."""
        response = httpx.post(
            f"{self.url}/answers", json={"question": "why"}, headers=headers, timeout=DEADLINE
        )
        assert response.status_code == 200, response.text + self.log
        access: dict[str, str] = response.json()
        assert set(access) == {"key", "sse_url", "token"}
        return access


def environment(server: Server, model: FakeModel) -> dict[str, str]:
    """Returns the environment of an application, with a broker and a model."""
    return {
        **os.environ,
        "TINISTREAMER_URL": server.url,
        "TINISTREAMER_API_KEY": server.api_key,
        "OPENAI_BASE_URL": f"{model.url}/v1",
        "OPENAI_API_KEY": "k",
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": "k",
    }


@contextmanager
def running(
    command: list[str], folder: Path, log: Path, server: Server, model: FakeModel
) -> Generator[App]:
    """Runs an application. `{port}` in the command is its port."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, *(part.format(port=port) for part in command)],
            cwd=folder,
            env=environment(server, model),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            app = App(process, url, log)
            _wait_for(app)
            yield app
        finally:
            process.kill()


def uvicorn(app: str) -> list[str]:
    """Returns the command that serves an ASGI application."""
    return ["-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "{port}"]


def _wait_for(app: App) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            app.get("/")
        except httpx.TransportError:
            assert app.process.poll() is None, app.log
            assert time.monotonic() < end, app.log
            time.sleep(0.05)
        else:
            return


def check_program(program: Path, lines: int) -> None:
    """Checks that an example is short, and formatted with the defaults of ruff."""
    assert len(program.read_text(encoding="utf-8").splitlines()) <= lines
    for command in (["format", "--check"], ["check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", program.name]
        subprocess.run(ruff, cwd=program.parent, check=True, stdout=subprocess.DEVNULL)
