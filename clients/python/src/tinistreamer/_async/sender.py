"""How a writer sends its events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from .._errors import TinistreamerError
from .._extra import websocket_extra
from .._tasks.concurrency import AsyncWorker, wait_for
from .writer_state import AsyncWriterState


class AsyncSender:
    """Sends the events of a writer in a task of its own, which begins with the first event."""

    def __init__(self, state: AsyncWriterState) -> None:
        self._state = state
        self._send = self._choose()
        self._worker: AsyncWorker | None = None

    def _choose(self) -> Callable[[], Awaitable[None]]:
        if self._state.options.transport == "ndjson":
            return partial(_send_ndjson, self._state)
        with websocket_extra():
            from .websocket_sender import AsyncWebSocketSender  # noqa: PLC0415

        return AsyncWebSocketSender(self._state).run

    def start(self) -> None:
        """Sends from now on. The caller has locked the state."""
        if self._worker is None:
            self._worker = AsyncWorker(self._run, "tinistreamer-writer")

    async def stop(self) -> None:
        """Ends a request that is on its way."""
        if self._worker is not None:
            await self._worker.stop()

    async def join(self) -> None:
        """Waits until all is sent, or until nothing can be sent any more."""
        if self._worker is not None:
            await self._worker.join()

    async def _run(self) -> None:
        try:
            await self._send()
        except Exception as error:  # noqa: BLE001 - the next call of the writer raises it
            await self._state.fail(error)


async def _send_ndjson(state: AsyncWriterState) -> None:
    outbox = state.outbox
    while True:
        async with state.changed:
            await state.wait_for_events()
            if outbox.is_drained:
                return
            upload = outbox.take_upload()
            timeout = outbox.attempt_timeout
        try:
            summary = await state.http.execute(upload, timeout)
        except TinistreamerError as error:
            async with state.changed:
                delay = outbox.broken(error)
                await wait_for(state.changed, lambda: outbox.is_drained, delay)
        else:
            await state.acknowledge(partial(outbox.uploaded, summary))
