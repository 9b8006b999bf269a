"""Following over HTTP, with asyncio: server-sent events, NDJSON and long polls."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import nullcontext

import httpx

from ._asubscription import Connect
from ._errors import Unreachable
from ._events import Event
from ._follower import Follower
from ._frames import Frame, parse_poll
from ._http import check_response, describe, poll_timeout, stream_timeout, subscribe_headers
from ._line import Line
from ._positions import Streams
from ._request import MEDIA_TYPES, HttpTransport


def aconnect_stream(http_client: httpx.AsyncClient | None, transport: HttpTransport) -> Connect:
    """Connects for an answer that goes on and on."""

    async def connect(
        follower: Follower[Streams[Event]], _: Line
    ) -> AsyncGenerator[list[Frame], None]:
        media_type, decode = MEDIA_TYPES[transport], follower.decoder(transport)
        try:
            request = follower.begin_attempt()
            async with (
                nullcontext(http_client)
                if http_client is not None
                else httpx.AsyncClient() as client,
                client.stream(
                    "GET",
                    request.url,
                    headers=subscribe_headers(request.headers, media_type),
                    timeout=stream_timeout(follower),
                ) as response,
            ):
                if response.status_code not in {200, 204}:
                    await response.aread()
                check_response(follower, response, media_type)
                yield []
                async for chunk in response.aiter_bytes():
                    yield decode(chunk)
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error

    return connect


def aconnect_polls(http_client: httpx.AsyncClient | None) -> Connect:
    """Connects for one answer after the other."""

    async def connect(
        follower: Follower[Streams[Event]], _: Line
    ) -> AsyncGenerator[list[Frame], None]:
        # The first answer tells at once whether the broker takes what is asked for.
        wait = 0
        try:
            async with (
                nullcontext(http_client)
                if http_client is not None
                else httpx.AsyncClient() as client
            ):
                while True:
                    request = follower.begin_poll(wait)
                    response = await client.get(
                        request.url,
                        headers=subscribe_headers(request.headers, MEDIA_TYPES["poll"]),
                        timeout=poll_timeout(follower, wait),
                    )
                    check_response(follower, response, MEDIA_TYPES["poll"])
                    answer = parse_poll(response.content)
                    yield follower.decode_poll(answer)
                    if answer.is_complete:
                        follower.streams.complete()
                        return
                    wait = follower.poll_wait
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error

    return connect
