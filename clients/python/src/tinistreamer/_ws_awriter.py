"""Sending over a WebSocket, with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ._errors import TinistreamerError, Unreachable
from ._http import Broker
from ._outbox import Outbox, closed_by
from ._websocket import CLOSE_TIMEOUT, HANDSHAKE_ERRORS, close_of, handshake_error, upload_url
from ._writer_options import Ack


class AsyncWebSocketSender:
    """Sends each event at once; a second task takes the answers."""

    def __init__(
        self,
        broker: Broker,
        outbox: Outbox,
        changed: asyncio.Condition,
        acknowledge: Callable[[Callable[[], Ack]], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._outbox = outbox
        self._changed = changed
        self._acknowledge = acknowledge

    async def run(self) -> None:
        """Sends until the writer is at its end. Raises what it can't get over."""
        while await self._wait_for_work():
            try:
                await self._connect()
            except TinistreamerError as error:
                await asyncio.sleep(self._outbox.broken(error))

    async def _wait_for_work(self) -> bool:
        async with self._changed:
            await self._changed.wait_for(lambda: self._outbox.unsent or self._outbox.is_drained)
        return not self._outbox.is_drained

    async def _connect(self) -> None:
        url = upload_url(self._broker, self._outbox)
        timeout = self._outbox.attempt_timeout
        try:
            connection = await connect(
                url,
                additional_headers=self._broker.headers,
                open_timeout=timeout,
                close_timeout=CLOSE_TIMEOUT,
                compression=None,
                max_size=None,
            )
        except HANDSHAKE_ERRORS as error:
            raise handshake_error(error) from error
        async with connection:
            tasks = {
                asyncio.create_task(self._transmit(connection)),
                asyncio.create_task(self._receive(connection, timeout)),
            }
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _transmit(self, connection: ClientConnection) -> None:
        try:
            while await self._wait_for_work():
                for line in self._outbox.take():
                    await connection.send(line)
        except ConnectionClosed:
            # The receiver finds out why, after the answers that came before.
            await asyncio.Future()

    async def _receive(self, connection: ClientConnection, timeout: float) -> None:
        while True:
            try:
                with anyio.fail_after(timeout):
                    answer = await connection.recv()
            except TimeoutError as error:
                if self._outbox.is_overdue(timeout):
                    raise Unreachable(
                        f"The broker did not answer for {timeout:g} seconds"
                    ) from error
            except ConnectionClosed as error:
                raise closed_by(*close_of(error)) from error
            else:
                await self._acknowledge(partial(self._outbox.replied, answer))
