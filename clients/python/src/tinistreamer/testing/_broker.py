"""A real broker for the tests of an application."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tinistreamer import Client
from tinistreamer.testing._line import Line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

# How long the broker may take to start, and a lease to run out. On a busy machine too.
_TIMEOUT = 60.0

# The shortest lease, in seconds.
_SHORTEST_LEASE = 2


class TestBroker:
    """A running broker, with its streams in memory. A `with` block stops it at its end."""

    # Not a class of tests.
    __test__ = False

    def __init__(self, process: subprocess.Popen[bytes], line: Line, port: int, key: str) -> None:
        """Use `start_broker`."""
        self._process = process
        self._direct = Client(f"http://127.0.0.1:{port}", key)
        self.line = line
        """What is between the application and the broker."""
        self.url = f"http://127.0.0.1:{line.port}"
        """Its address. The connection goes over `line`."""
        self.api_key = key
        self.client = Client(self.url, key)
        """A client with the API key."""

    def let_lease_run_out(self, key: str) -> None:
        """Lets the lease of this stream run out, as if its producer had died.

        The broker abandons the stream. Nothing passes the line meanwhile. It takes about three
        seconds. Raises `ApiError` with the code `no-active-stream` if the stream is not active.
        """
        deadline = time.monotonic() + _TIMEOUT
        self.line.unplug()
        try:
            self._direct.renew_stream(key, lease=_SHORTEST_LEASE)
            while self._direct.stream_info(key).status == "active":
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the lease of {key} did not run out")
                time.sleep(0.05)
        finally:
            self.line.plug()

    def stop(self) -> None:
        """Stops it, at once."""
        self.client.close()
        self._direct.close()
        self.line.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def start_broker(
    settings: Mapping[str, str] | None = None, *, program: str | Path | None = None
) -> TestBroker:
    """Starts a broker on a free port, in well under a second.

    `settings` are settings of the broker, such as `{"STREAMER_MAX_CLIENTS": "1"}`. `program` is
    another program than the one that the extra `broker` installs; so is the variable
    `TINISTREAMER_BIN`. Raises `RuntimeError` when the program is not installed or does not start.
    """
    settings = settings or {}
    line = Line()
    inherited = {name: it for name, it in os.environ.items() if not name.startswith("STREAMER_")}
    address = {"STREAMER_SERVER_ADDRESS": f"http://127.0.0.1:{line.port}"}
    # Files, because nobody reads a pipe later.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                [_program(program), "dev", "--port", "0"],
                # Away from the application's .env and Rocket.toml, which are for its own broker.
                cwd=tempfile.gettempdir(),
                env={**inherited, **address, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        except BaseException:
            line.close()
            raise
        deadline = time.monotonic() + _TIMEOUT
        known_key = settings.get("STREAMER_API_KEY")
        while True:
            has_ended = process.poll() is not None
            out.seek(0)
            text = out.read().decode()
            port = re.search(r" listens on http://[^ ]*:(\d+) ", text)
            key = re.search(r"^export STREAMER_API_KEY=(\S+)$", text, re.MULTILINE)
            if port and (known_key or key) and not has_ended:
                line.lead_to(int(port[1]))
                return TestBroker(process, line, int(port[1]), known_key or (key[1] if key else ""))
            if has_ended or time.monotonic() > deadline:
                process.kill()
                process.wait()
                line.close()
                log.seek(0)
                raise RuntimeError(f"the broker does not start: {log.read(10_000).decode()}")
            time.sleep(0.005)


def _program(program: str | Path | None) -> str:
    """The path of the broker's program."""
    if known := program or os.environ.get("TINISTREAMER_BIN"):
        return str(Path(known).resolve())
    # Where pip puts programs, also when the environment is not activated.
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("tinistreamer", path=scripts) or shutil.which("tinistreamer")
    if found is None:
        raise RuntimeError(
            'the broker is not installed: pip install "tinistreamer[broker]", or set '
            "TINISTREAMER_BIN to its program"
        )
    return found
