"""HTTP requests to the broker, and the meaning of its responses. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from ._errors import ApiError, api_error
from ._events import Event
from ._follower import CONNECT_TIMEOUT, Follower
from ._generated.api.clients.send_signal import send_signal
from ._generated.models import SendSignal, SignalSent
from ._generated.types import Operation
from ._json import to_json
from ._positions import Streams

T = TypeVar("T")


@dataclass(frozen=True)
class Broker:
    """The broker's address, and the key that gives a backend access to it."""

    url: str
    api_key: str = field(repr=False)
    timeout: float

    def __post_init__(self) -> None:
        if not self.url:
            raise TypeError(
                'The broker\'s URL is missing: pass url, for example "http://127.0.0.1:8000"'
            )
        if not self.api_key:
            raise TypeError(
                "The API key is missing: pass api_key, one of the broker's keys "
                "(STREAMER_API_KEY where the broker runs)"
            )
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"A broker's URL begins with http:// or https://, unlike {self.url!r}")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authorize a request."""
        return {"X-API-KEY": self.api_key}

    def request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        operation: Operation[T],
        timeout: float | httpx.Timeout | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> httpx.Request:
        """Builds the request of an operation for this HTTP client.

        `timeout` is in seconds, for each phase of the request.
        """
        headers, content = self.headers, operation.content
        if operation.body is not None:
            headers["Content-Type"] = "application/json"
            content = to_json(operation.body).encode()
        parameters = operation.params or {}
        return client.build_request(
            operation.method,
            self.url + operation.path,
            params={name: value for name, value in parameters.items() if value is not None},
            content=content,
            headers=headers,
            timeout=self.timeout if timeout is None else timeout,
            extensions=extensions,
        )

    def long_poll_timeout(self, seconds: float) -> httpx.Timeout:
        """Returns the timeouts of a request that the broker answers late."""
        return httpx.Timeout(self.timeout, read=seconds)


def parse_response(operation: Operation[T], response: httpx.Response) -> T:
    """Returns the parsed response. Raises `ApiError`."""
    if response.status_code != 200:
        raise error_of(response)
    try:
        return operation.parse(response)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError(
            200, "unexpected-answer", "The answer has not the shape of the broker's"
        ) from error


def signal_request(
    client: httpx.Client | httpx.AsyncClient,
    url: str,
    token: str | None,
    body: SendSignal,
    timeout: float,
) -> httpx.Request:
    """Builds the request of a subscriber that sends a signal. `timeout` is as in `request`."""
    return client.build_request(
        "POST",
        url,
        content=to_json(body.to_dict()).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        timeout=timeout,
    )


def parse_signal_sent(response: httpx.Response) -> SignalSent:
    """Returns the response to a signal. Raises `ApiError`."""
    # Only the function that parses is of interest. It is the same with an API key.
    return parse_response(send_signal(SendSignal(name=""), key=""), response)


def error_of(response: httpx.Response) -> ApiError:
    """Returns the error in a response whose body was read."""
    retry_after = response.headers.get("Retry-After")
    return api_error(response.status_code, response.content, retry_after)


def describe(error: Exception) -> str:
    """Describes for a person why the broker could not be reached."""
    return f"The broker could not be reached: {error or type(error).__name__}"


def subscribe_headers(headers: dict[str, str], accept: str) -> dict[str, str]:
    """Returns the headers of a request for events.

    They turn compression off: a compressor would hold events back.
    """
    return {
        **headers,
        "Accept": accept,
        "Accept-Encoding": "identity",
        "Cache-Control": "no-store",
    }


def stream_timeout(follower: Follower[Streams[Event]]) -> httpx.Timeout:
    """Returns the timeouts of a response that goes on.

    Heartbeats arrive as data, so that silence is a read that takes too long.
    """
    return httpx.Timeout(CONNECT_TIMEOUT, read=follower.silence)


def poll_timeout(follower: Follower[Streams[Event]], wait: int) -> httpx.Timeout:
    """Returns the timeouts of a long poll. Its silence starts after `wait` seconds."""
    return httpx.Timeout(CONNECT_TIMEOUT, read=wait + follower.silence)


def check_response(
    follower: Follower[Streams[Event]], response: httpx.Response, accept: str
) -> None:
    """Checks the status and the media type of a response to a subscription.

    Raises `ApiError` when no events follow. The body must be read before, unless the status is 200.
    """
    if response.status_code == 204:
        follower.streams.complete()
    elif response.status_code != 200:
        raise error_of(response)
    elif response.headers.get("Content-Type", "").partition(";")[0].strip() != accept:
        raise ApiError(200, "unexpected-answer", f"The answer is no {accept}")
    follower.connected()
