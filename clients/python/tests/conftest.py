"""A broker in a process of its own, and a proxy that breaks connections."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import hypothesis
import pytest
from blocking import Backend, backend_of
from interfaces import Api, Async, Sync
from proxy import Proxy

from tinistreamer import Client

# No test measures time: a loaded machine would fail it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[3]
API_KEY = "a-key-for-tests"
PROGRAM = Path(os.environ.get("TINISTREAMER_BIN", ROOT / "target" / "debug" / "tinistreamer"))


@dataclass(frozen=True)
class Server:
    """A running broker."""

    url: str
    api_key: str

    def follow_url(self, transport: str, key: str, url: str | None = None) -> str:
        return f"{self.many_url(transport, url)}?key={key}"

    def many_url(self, transport: str, url: str | None = None) -> str:
        base = (url or self.url).replace("http", "ws", 1) if transport == "ws" else url or self.url
        return f"{base}/api/client/{transport}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _no_hidden_failure(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After a stop, a writer's block takes an exception, also one of a test. Tests use KeyError."""
    yield
    for record in caplog.get_records("call"):
        hidden = record.getMessage().partition("After a stop, ")[2].partition(" ")[0]
        assert hidden in {"", "KeyError", "Stopped"}, record.getMessage()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("broker")
    # A copy: a build may replace the original meanwhile.
    binary = shutil.copy(PROGRAM, folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "STREAMER_API_KEY": API_KEY,
        "STREAMER_SECRET_KEY": secrets.token_hex(32),
        "STREAMER_REDIS_URL": "memory:",
        "STREAMER_ADDRESS": "127.0.0.1",
        "STREAMER_PORT": str(port),
        "STREAMER_SERVER_ADDRESS": url,
        "STREAMER_HEARTBEAT": "1",
        "STREAMER_LOG": "warn",
    }
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([binary], cwd=folder, env=settings, stdout=log, stderr=log) as broker,
    ):
        try:
            for _ in range(200):
                try:
                    if httpx.get(f"{url}/api/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert broker.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield Server(url, API_KEY)
        finally:
            broker.terminate()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(int(server.url.rpartition(":")[2]))
    yield proxy
    proxy.close()


@pytest.fixture
def key() -> str:
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture(params=[Sync(), Async()], ids=["sync", "async"])
def api(request: pytest.FixtureRequest) -> Api:
    chosen: Api = request.param
    return chosen


@pytest.fixture(params=["sync", "async"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with backend_of(request.param) as backend:
        yield backend


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, server.api_key) as client:
        yield client
