"""How a writer sends over a WebSocket."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .._errors import TinistreamerError, Unreachable
from .._outbox import closed_by
from .._tasks.concurrency import AsyncWorker, wait_for
from .._tasks.websocket import abort, receive
from .._websocket import CLOSE_TIMEOUT, HANDSHAKE_ERRORS, close_of, handshake_error, upload_url
from .writer_state import AsyncWriterState


class AsyncWebSocketSender:
    """Sends each event at once. A second task receives the replies."""

    def __init__(self, state: AsyncWriterState) -> None:
        self._state = state
        self._broker = state.http.broker
        self._outbox = state.outbox
        self._changed = state.changed
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Sends until the end of the writer. Raises an error that is final."""
        while True:
            async with self._changed:
                await self._state.wait_for_events()
                if self._outbox.is_drained:
                    return
                url = upload_url(self._broker, self._outbox)
                timeout = self._outbox.attempt_timeout
            try:
                await self._send_over(await self._open(url, timeout), timeout)
            except TinistreamerError as error:
                async with self._changed:
                    delay = self._outbox.broken(error)
                    await wait_for(self._changed, lambda: self._outbox.is_drained, delay)

    async def _open(self, url: str, timeout: float) -> ClientConnection:
        try:
            return await connect(
                url,
                additional_headers=self._broker.headers,
                open_timeout=timeout,
                close_timeout=CLOSE_TIMEOUT,
                compression=None,
                max_size=None,
            )
        except HANDSHAKE_ERRORS as error:
            raise handshake_error(error) from error

    async def _send_over(self, websocket: ClientConnection, timeout: float) -> None:
        self._failure = None
        async with websocket:
            receiver = AsyncWorker(
                partial(self._receive, websocket, timeout), "tinistreamer-receiver"
            )
            try:
                await self._transmit(websocket)
            finally:
                await receiver.stop()
                await websocket.close()
                await receiver.join()

    async def _transmit(self, websocket: ClientConnection) -> None:
        while True:
            async with self._changed:
                await self._state.wait_for_events(lambda: self._failure)
                if self._failure is not None:
                    raise self._failure
                if self._outbox.is_drained:
                    return
                lines = self._outbox.take()
            # The receiver reports why a connection was closed, after the replies before that.
            with suppress(ConnectionClosed):
                for line in lines:
                    await websocket.send(line)

    async def _receive(self, websocket: ClientConnection, timeout: float) -> None:
        try:
            while True:
                await self._receive_one(websocket, timeout)
        except ConnectionClosed as error:
            failure: Exception = closed_by(*close_of(error))
        except Exception as error:  # noqa: BLE001 - the sending task raises it
            failure = error
        async with self._changed:
            self._failure = failure
            self._changed.notify_all()
        abort(websocket)

    async def _receive_one(self, websocket: ClientConnection, timeout: float) -> None:
        try:
            reply = await receive(websocket, timeout)
        except TimeoutError as error:
            if self._outbox.is_overdue(timeout):
                raise Unreachable(f"The broker did not answer for {timeout:g} seconds") from error
        else:
            await self._state.acknowledge(partial(self._outbox.replied, reply))
