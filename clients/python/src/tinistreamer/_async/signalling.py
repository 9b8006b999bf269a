"""How a subscription sends signals to the producers of its streams."""

from __future__ import annotations

import secrets
from typing import Any

import httpx

from .._errors import ApiError, TinistreamerError, Unreachable
from .._events import Event
from .._follower import Follower
from .._generated.models import SendSignal
from .._http import describe, parse_signal_sent, signal_request
from .._positions import Streams
from .._request import signal_url
from .._retry import Retry
from .._stop import STOP_SIGNAL
from .._tasks.concurrency import sleep
from .credentials import AsyncCredentials
from .http import http_client_of

_RETRY_FOR = 30.0
"""Seconds for which a signal is tried again."""

_TIMEOUT = 10.0


class AsyncSignalling:
    """Sends signals with the token of a subscription, also before it begins and after its end."""

    def __init__(
        self,
        follower: Follower[Streams[Event]],
        credentials: AsyncCredentials,
        http_client: httpx.AsyncClient | None,
    ) -> None:
        self._follower = follower
        self._credentials = credentials
        self._http_client = http_client

    async def request_stop(self, key: str | None = None) -> int | None:
        """Sends the signal `stop`. Returns its number; None when the stream is finished."""
        try:
            return await self.send(key, STOP_SIGNAL, None)
        except ApiError as error:
            if error.code == "no-active-stream" and error.stream_status is not None:
                return None
            raise

    async def send(self, key: str | None, name: str, data: Any) -> int:
        """Sends a signal, and returns its number. Tries again after transient failures."""
        # The broker stores a signal with the same id once.
        body = SendSignal(name=name, data=data, id=secrets.token_hex(16))
        retry = Retry(_RETRY_FOR)
        may_ask = self._credentials.can_ask
        async with http_client_of(self._http_client) as client:
            while True:
                await self._credentials.obtain(self._follower)
                token = self._follower.token
                timeout = min(_TIMEOUT, max(retry.remaining, 1.0))
                try:
                    return await self._attempt(client, key, token, body, timeout)
                except TinistreamerError as error:
                    if may_ask and isinstance(error, ApiError) and error.status == 401:
                        may_ask = False
                        await self._credentials.replace(self._follower, token)
                    else:
                        await sleep(retry.after(error))

    async def _attempt(
        self,
        client: httpx.AsyncClient,
        key: str | None,
        token: str | None,
        body: SendSignal,
        timeout: float,
    ) -> int:
        url = signal_url(self._follower.streams.url, key)
        try:
            response = await client.send(signal_request(client, url, token, body, timeout))
        except httpx.RequestError as error:
            raise Unreachable(describe(error)) from error
        return parse_signal_sent(response).seq
