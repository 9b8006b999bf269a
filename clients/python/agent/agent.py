"""The agent of the scenarios in tests/clients: does one job over the public interface.

With `--sync` it uses the synchronous interface. With `--forks` alone it forks such agents.
"""

from __future__ import annotations

import json
import sys
from typing import Any

# httpx imports its command line where click is installed, which takes a fifth of an agent's start.
_modules: dict[str, Any] = sys.modules
_modules["click"] = None

import asynchronous  # noqa: E402
import forks  # noqa: E402
import synchronous  # noqa: E402


def main() -> None:
    """Reads the job and does it."""
    arguments = sys.argv[1:]
    if arguments == ["--forks"]:
        arguments = forks.next_agent()
    # Without a buffer, which would also take the lines after the job.
    with open(0, "rb", buffering=0, closefd=False) as unbuffered:
        job = json.loads(unbuffered.readline())
    if "--sync" in arguments:
        synchronous.run(job)
    else:
        asynchronous.run(job)


if __name__ == "__main__":
    main()
