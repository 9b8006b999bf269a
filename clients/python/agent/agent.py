"""The agent of the scenarios in tests/clients: does one job over the public interface.

With `--sync` it uses the synchronous interface.
"""

from __future__ import annotations

import json
import sys

import asynchronous
import synchronous


def main() -> None:
    """Reads the job and does it."""
    # Without a buffer, which would also take the lines after the job.
    with open(0, "rb", buffering=0, closefd=False) as unbuffered:
        job = json.loads(unbuffered.readline())
    if "--sync" in sys.argv[1:]:
        synchronous.run(job)
    else:
        asynchronous.run(job)


if __name__ == "__main__":
    main()
