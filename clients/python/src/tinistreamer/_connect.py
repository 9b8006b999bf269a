"""Following over HTTP, with threads: server-sent events, NDJSON and long polls."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from typing import Any

import httpx

from ._errors import Unreachable
from ._events import Event
from ._follower import Follower
from ._frames import Frame, parse_poll
from ._http import check_response, describe, poll_timeout, stream_timeout, subscribe_headers
from ._link import Link
from ._positions import Streams
from ._request import MEDIA_TYPES, HttpTransport
from ._subscription import Connect


def connect_stream(http_client: httpx.Client | None, transport: HttpTransport) -> Connect:
    """Connects for an answer that goes on and on."""

    def connect(
        follower: Follower[Streams[Event]], link: Link
    ) -> Generator[list[Frame], None, None]:
        media_type, decode = MEDIA_TYPES[transport], follower.decoder(transport)
        try:
            request = follower.begin_attempt()
            with (
                nullcontext(http_client) if http_client is not None else httpx.Client() as client,
                client.stream(
                    "GET",
                    request.url,
                    headers=subscribe_headers(request.headers, media_type),
                    timeout=stream_timeout(follower),
                    extensions=_traced(link),
                ) as response,
            ):
                _hold(link, response)
                if response.status_code not in {200, 204}:
                    response.read()
                check_response(follower, response, media_type)
                yield []
                for chunk in response.iter_bytes():
                    yield decode(chunk)
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        finally:
            link.hold(None)

    return connect


def connect_polls(http_client: httpx.Client | None) -> Connect:
    """Connects for one answer after the other."""

    def connect(
        follower: Follower[Streams[Event]], link: Link
    ) -> Generator[list[Frame], None, None]:
        # The first answer tells at once whether the broker takes what is asked for.
        wait = 0
        try:
            with nullcontext(http_client) if http_client is not None else httpx.Client() as client:
                while True:
                    request = follower.begin_poll(wait)
                    response = client.get(
                        request.url,
                        headers=subscribe_headers(request.headers, MEDIA_TYPES["poll"]),
                        timeout=poll_timeout(follower, wait),
                        extensions=_traced(link),
                    )
                    _hold(link, response)
                    check_response(follower, response, MEDIA_TYPES["poll"])
                    answer = parse_poll(response.content)
                    yield follower.decode_poll(answer)
                    if answer.is_complete:
                        follower.streams.complete()
                        return
                    wait = follower.poll_wait
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        finally:
            link.hold(None)

    return connect


def _traced(link: Link) -> dict[str, Any]:
    def trace(event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            link.hold(info["return_value"].get_extra_info("socket"))

    return {"trace": trace}


def _hold(link: Link, response: httpx.Response) -> None:
    # A connection out of the client's pool was made before anybody traced it.
    if (stream := response.extensions.get("network_stream")) is not None:
        link.hold(stream.get_extra_info("socket"))
