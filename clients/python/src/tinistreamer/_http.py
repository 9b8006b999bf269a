"""Requests to the broker and what its answers mean, without I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from ._errors import ApiError, api_error
from ._events import Event
from ._follower import CONNECT_TIMEOUT, Follower
from ._generated.types import Operation
from ._positions import Streams
from ._surrogates import well_formed

T = TypeVar("T")


@dataclass(frozen=True)
class Broker:
    """Where the broker is, and what opens it to a backend."""

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
                "The API key is missing: pass api_key, one of the broker's keys (STREAMER_API_KEY where the broker runs)"
            )
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"A broker's URL begins with http:// or https://, unlike {self.url!r}")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @property
    def headers(self) -> dict[str, str]:
        """What authorizes a request."""
        return {"X-API-KEY": self.api_key}

    def request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        operation: Operation[T],
        timeout: float | None = None,
    ) -> httpx.Request:
        """The operation as a request of this HTTP client. `timeout` is in seconds, for each phase of it."""
        return client.build_request(
            operation.method,
            self.url + operation.path,
            params={
                name: value for name, value in (operation.params or {}).items() if value is not None
            },
            content=operation.content
            if operation.body is None
            else well_formed(json.dumps(operation.body, ensure_ascii=False)).encode(),
            headers=self.headers
            if operation.body is None
            else {**self.headers, "Content-Type": "application/json"},
            timeout=self.timeout if timeout is None else timeout,
        )


def read_answer(operation: Operation[T], response: httpx.Response) -> T:
    """What the broker answered. Raises `ApiError`."""
    if response.status_code != 200:
        raise error_of(response)
    try:
        return operation.parse(response)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError(
            200, "unexpected-answer", "The answer has not the shape of the broker's"
        ) from error


def error_of(response: httpx.Response) -> ApiError:
    """The error in an answer, whose body was read."""
    return api_error(response.status_code, response.content, response.headers.get("Retry-After"))


def describe(error: Exception) -> str:
    """What went wrong on the way to the broker, for a person."""
    return f"The broker could not be reached: {error or type(error).__name__}"


def following_headers(headers: dict[str, str], accept: str) -> dict[str, str]:
    """The headers of a request for events. Compressed, they would wait for one another."""
    return {**headers, "Accept": accept, "Accept-Encoding": "identity", "Cache-Control": "no-store"}


def stream_timeout(follower: Follower[Streams[Event]]) -> httpx.Timeout:
    """Heartbeats are read like all else, so that silence is a read that takes too long."""
    return httpx.Timeout(CONNECT_TIMEOUT, read=follower.silence)


def poll_timeout(follower: Follower[Streams[Event]], wait: int) -> httpx.Timeout:
    """A long poll is silent when there is no answer after its wait."""
    return httpx.Timeout(CONNECT_TIMEOUT, read=wait + follower.silence)


def check_following(
    follower: Follower[Streams[Event]], response: httpx.Response, accept: str
) -> None:
    """Looks at the head of an answer to a subscription. Raises `ApiError` if no events follow; then its body was read."""
    if response.status_code == 204:
        follower.streams.complete()
    elif response.status_code != 200:
        raise error_of(response)
    elif response.headers.get("Content-Type", "").partition(";")[0].strip() != accept:
        raise ApiError(200, "unexpected-answer", f"The answer is no {accept}")
    follower.connected()
