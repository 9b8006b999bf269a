"""How a writer hears signals."""

from __future__ import annotations

from .._errors import TinistreamerError
from .._generated.models import Signals
from .._hearing import RESPONSE_TIMEOUT
from .._log import brief, log
from .._tasks.concurrency import AsyncWorker, wait_for
from .._tasks.connection import AsyncConnection
from .writer_state import AsyncWriterState


class AsyncListener:
    """Makes one long poll after another, in a task of its own."""

    def __init__(self, state: AsyncWriterState) -> None:
        self._state = state
        self._connection = AsyncConnection()
        self._worker: AsyncWorker | None = None
        # Nobody needs signals after that.
        state.on_failure = self._interrupt

    def start(self) -> None:
        """Listens from now on. The caller has locked the state."""
        if self._worker is None and not self._state.is_over:
            self._worker = AsyncWorker(self._run, "tinistreamer-signals")

    async def stop(self) -> None:
        """Closes the connection at once."""
        self._interrupt()
        if self._worker is not None:
            await self._worker.join()

    def _interrupt(self) -> None:
        self._connection.close()
        if self._worker is not None:
            self._worker.cancel()

    async def _run(self) -> None:
        try:
            await self._listen()
        except Exception as error:  # noqa: BLE001 - such as a client that was closed too early
            if not self._state.is_over:
                log.warning("The writer hears no more signals: %s", brief(error))
            async with self._state.changed:
                self._state.hearing.is_over = True
                self._state.changed.notify_all()

    async def _listen(self) -> None:
        state = self._state
        timeout = state.http.broker.long_poll_timeout(RESPONSE_TIMEOUT)
        async with state.http.hearing_client() as client:
            while await self._wait():
                try:
                    answer = await state.http.execute(
                        state.hearing.poll(), timeout, client=client, connection=self._connection
                    )
                except TinistreamerError as error:
                    await self._failed(error)
                else:
                    await self._heard(answer)

    async def _wait(self) -> bool:
        """Waits until a poll is due. Returns False when there is none any more."""
        state = self._state
        async with state.changed:
            if not state.hearing.is_over:
                await wait_for(state.changed, lambda: state.is_over, state.hearing.left)
            return not (state.is_over or state.hearing.is_over)

    async def _heard(self, answer: Signals) -> None:
        async with self._state.changed:
            stop = self._state.hearing.heard(answer)
            self._state.changed.notify_all()
        if stop is not None:
            await self._state.stopped(stop)

    async def _failed(self, error: TinistreamerError) -> None:
        async with self._state.changed:
            # The end of the writer closes the connection: that is no failure.
            if not self._state.is_over:
                self._state.hearing.failed(error)
                self._state.changed.notify_all()
