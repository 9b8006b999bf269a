"""The HTTP client of a writer that hears signals, with threads."""

from __future__ import annotations

from contextlib import nullcontext

import httpx


def hearing_client(
    shared: httpx.Client, *, is_own: bool
) -> httpx.Client | nullcontext[httpx.Client]:
    """Returns a client whose connection another thread can close.

    Only a new connection reports its socket, and one from a pool does not. A caller's own client
    may have proxies or certificates, so it is used all the same. Then the last long poll may go on
    for its 20 seconds after the end of the writer.
    """
    return httpx.Client() if is_own else nullcontext(shared)
