"""Subscriptions over HTTP: server-sent events, NDJSON and long polls."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import nullcontext

import httpx

from .._errors import Unreachable
from .._events import Event
from .._follower import Follower
from .._frames import Frame, parse_poll
from .._http import check_response, describe, poll_timeout, stream_timeout, subscribe_headers
from .._positions import Streams
from .._request import MEDIA_TYPES, HttpTransport
from .._tasks.connection import AsyncConnection
from .iteration import AsyncConnect


def stream_connector(
    http_client: httpx.AsyncClient | None, transport: HttpTransport
) -> AsyncConnect:
    """Returns the function that connects for one response that goes on."""

    async def connect(
        follower: Follower[Streams[Event]], connection: AsyncConnection
    ) -> AsyncGenerator[list[Frame], None]:
        media_type, decode = MEDIA_TYPES[transport], follower.decoder(transport)
        try:
            attempt = follower.begin_attempt()
            async with (
                http_client_of(http_client) as client,
                client.stream(
                    "GET",
                    attempt.url,
                    headers=subscribe_headers(attempt.headers, media_type),
                    timeout=stream_timeout(follower),
                    extensions=connection.extensions,
                ) as response,
            ):
                connection.hold(response)
                if response.status_code not in {200, 204}:
                    await response.aread()
                check_response(follower, response, media_type)
                yield []
                async for chunk in response.aiter_bytes():
                    yield decode(chunk)
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        finally:
            connection.release()

    return connect


def poll_connector(http_client: httpx.AsyncClient | None) -> AsyncConnect:
    """Returns the function that sends one long poll after another."""

    async def connect(
        follower: Follower[Streams[Event]], connection: AsyncConnection
    ) -> AsyncGenerator[list[Frame], None]:
        media_type = MEDIA_TYPES["poll"]
        # The broker responds to the first poll at once, so that a refusal is known early.
        wait = 0
        try:
            async with http_client_of(http_client) as client:
                while True:
                    attempt = follower.begin_poll(wait)
                    response = await client.get(
                        attempt.url,
                        headers=subscribe_headers(attempt.headers, media_type),
                        timeout=poll_timeout(follower, wait),
                        extensions=connection.extensions,
                    )
                    connection.hold(response)
                    check_response(follower, response, media_type)
                    poll = parse_poll(response.content)
                    yield follower.decode_poll(poll)
                    if poll.is_complete:
                        follower.streams.complete()
                        return
                    wait = follower.poll_wait
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        finally:
            connection.release()

    return connect


def http_client_of(
    http_client: httpx.AsyncClient | None,
) -> httpx.AsyncClient | nullcontext[httpx.AsyncClient]:
    """Returns the caller's client, which stays open, or a new one."""
    return nullcontext(http_client) if http_client is not None else httpx.AsyncClient()
