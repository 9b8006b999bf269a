"""How a backend sends its requests."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import httpx

from .._errors import Unreachable
from .._generated.types import Operation
from .._http import Broker, describe, parse_response
from .._tasks.connection import AsyncConnection
from .._tasks.hearing import hearing_client

T = TypeVar("T")

# Each writer that hears signals holds a connection. They must not use up those of all others.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


class AsyncHttp:
    """Sends the requests of a backend with the API key. Several tasks may use it at once."""

    def __init__(self, broker: Broker, http_client: httpx.AsyncClient | None) -> None:
        self.broker = broker
        self.is_own = http_client is None
        """Whether the HTTP client is not the caller's."""
        self._client = http_client or httpx.AsyncClient(limits=_LIMITS)

    async def aclose(self) -> None:
        """Closes the connections, unless the HTTP client is the caller's."""
        if self.is_own:
            await self._client.aclose()

    def hearing_client(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """Returns the HTTP client for long polls."""
        return hearing_client(self._client, is_own=self.is_own)

    async def execute(
        self,
        operation: Operation[T],
        timeout: float | httpx.Timeout | None = None,
        *,
        client: httpx.AsyncClient | None = None,
        connection: AsyncConnection | None = None,
    ) -> T:
        """Sends a request. Raises `ApiError` and `Unreachable`.

        `client` is another HTTP client than the backend's. `connection` can close the connection
        that the request makes.
        """
        chosen = client or self._client
        extensions = connection.extensions if connection is not None else None
        try:
            request = self.broker.request(chosen, operation, timeout, extensions)
            response = await chosen.send(request)
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        finally:
            if connection is not None and chosen is self._client:
                # It is idle now, and may serve another request next.
                connection.release()
        return parse_response(operation, response)
