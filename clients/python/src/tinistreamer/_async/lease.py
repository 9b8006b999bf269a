"""How a writer keeps its lease."""

from __future__ import annotations

from .._generated.models import Renewed
from .._lease import SHORT_TIMEOUT
from .._log import brief, log
from .._tasks.concurrency import AsyncWorker, wait_for
from .._tasks.connection import AsyncConnection
from .writer_state import AsyncWriterState


class AsyncLeaseKeeper:
    """Renews the lease of a writer in a task of its own, also while the writer is silent."""

    def __init__(self, state: AsyncWriterState) -> None:
        self._state = state
        self._worker: AsyncWorker | None = None
        # Of a caller's client, a connection may serve other requests at the same time.
        self._connection = AsyncConnection() if state.http.is_own else None

    def start(self) -> None:
        """Renews from now on. The caller has locked the state."""
        if self._worker is None and not (self._state.is_over or self._state.lease.is_over):
            self._worker = AsyncWorker(self._run, "tinistreamer-lease")

    async def stop(self) -> None:
        """Renews no more, and ends a renewal that is on its way."""
        if self._connection is not None:
            self._connection.close()
        if self._worker is not None:
            await self._worker.stop()

    async def release(self) -> None:
        """Ends the lease, so that the stream can wait for its next writer. Best effort."""
        state = self._state
        async with state.changed:
            may_exist, state.lease.is_over = state.lease.may_exist, True
            state.changed.notify_all()
            # A renewal that comes after the release would begin the lease anew.
            await wait_for(state.changed, lambda: not state.lease.is_renewing, SHORT_TIMEOUT)
        if may_exist:
            outcome = await state.attempt(state.lease.release(), SHORT_TIMEOUT)
            if not isinstance(outcome, Renewed):
                log.debug("The lease was not ended, and runs out by itself")

    async def _run(self) -> None:
        try:
            await self._renew()
        except Exception as error:  # noqa: BLE001 - such as a client that was closed too early
            if not self._state.is_over:
                log.warning("The lease is not renewed any more: %s", brief(error))

    async def _renew(self) -> None:
        state = self._state
        while await self._wait():
            operation = state.lease.renew()
            outcome = await state.attempt(operation, state.lease.timeout, self._connection)
            async with state.changed:
                state.lease.is_renewing = False
                state.changed.notify_all()
                if state.is_over or state.lease.is_over:
                    return
                is_stopped = state.lease.answered(outcome) and state.outbox.stop is None
            if is_stopped:
                await state.stopped(await state.find_stop())

    async def _wait(self) -> bool:
        """Waits until a renewal is due. Returns False when there is none any more."""
        state = self._state

        def is_over() -> bool:
            return state.is_over or state.lease.is_over

        async with state.changed:
            await wait_for(state.changed, is_over, state.lease.left)
            if state.is_left:
                # A dropped writer: then its sender has no more to do than what was written.
                state.outbox.ended = True
                state.changed.notify_all()
            return not is_over()
