"""Forks agents from one process, which has imported the library once.

tests/clients/forks.mjs is the other side, and describes the protocol.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any, cast

# The library, or what it uses, imports these when it needs them. That takes as long as the library
# itself.
_IMPORTED_LATE = (
    "anyio._backends._asyncio",
    "certifi",
    "encodings.idna",
    "httpcore",
    "websockets.asyncio.client",
    "websockets.sync.client",
)

# Of prctl(2), which Python does not have.
_PR_SET_PDEATHSIG = 1


def next_agent() -> list[str]:
    """Forks the agents that the input asks for. Returns in each of them, with its arguments."""
    for name in _IMPORTED_LATE:
        importlib.import_module(name)
    # No scenario uses TLS, and an agent would read all certificates for each of its clients.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = os.devnull
    # A collection in an agent would copy the pages of all that is imported.
    gc.freeze()
    # By the numbers of the agents that run. A descriptor becomes readable when its process ends.
    pidfds: dict[int, int] = {}
    # Without a buffer, which would hide the next line from `select`.
    with open(0, "rb", buffering=0, closefd=False) as requests:
        while True:
            readable, _, _ = select.select([0, *pidfds.values()], [], [])
            for number, pidfd in list(pidfds.items()):
                if pidfd in readable:
                    del pidfds[number]
                    _say(agent=number, **_ending(pidfd))
            if 0 not in readable:
                continue
            if not (line := requests.readline()):
                # The tests are over. The kernel ends the agents.
                sys.exit()
            request = json.loads(line)
            number = request["agent"]
            if "arguments" not in request:
                if number in pidfds:
                    signal.pidfd_send_signal(pidfds[number], signal.SIGKILL)
            elif (pid := os.fork()) != 0:
                pidfds[number] = os.pidfd_open(pid)
            else:
                for pidfd in pidfds.values():
                    os.close(pidfd)
                _connect(number, request["path"])
                arguments: list[str] = request["arguments"]
                return arguments


def _ending(pidfd: int) -> dict[str, Any]:
    """Returns how a process has ended, as Node does."""
    ending = cast("os.waitid_result", os.waitid(os.P_PIDFD, pidfd, os.WEXITED))
    os.close(pidfd)
    if ending.si_code == os.CLD_EXITED:
        return {"code": ending.si_status, "signal": None}
    return {"code": None, "signal": signal.Signals(ending.si_status).name}


def _connect(number: int, path: str) -> None:
    """Makes an agent of this process: it gets input and output of its own."""
    # Otherwise it would go on when the process that has forked it is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        _say(agent=number, pid=os.getpid())
        for descriptor in range(3):
            with listener.accept()[0] as stream:
                os.dup2(stream.fileno(), descriptor)


def _say(**message: Any) -> None:
    # In one piece, because also the agents write here.
    os.write(1, json.dumps(message).encode() + b"\n")
