"""The asynchronous writer."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

from .._errors import PublishError, Stopped, TinistreamerError
from .._events import encode, named
from .._failure import Failure, failure_of
from .._finish import Ending, cancelled, ended, failed, finish_stream
from .._generated.models import SignalRecord
from .._generated.types import Operation
from .._log import brief, log, place_of
from .._stop import STOP_SIGNAL, Stop
from .._tasks.concurrency import sleep, wait_for
from .._tasks.source import AsyncItems, AsyncSource
from .._writer_options import WriterOptions
from .hearing import AsyncListener
from .http_client import AsyncHttp
from .lease import AsyncLeaseKeeper
from .sender import AsyncSender
from .writer_state import AsyncWriterState


class AsyncWriter:
    """Writes events into one active stream. Several tasks may use it at once.

    Tasks of its own send the events, keep the lease of the stream, and hear signals.

    The end of an `async with` block finishes the stream. When an exception leaves the block, the
    writer waits for at most `flush_timeout` seconds until the written events are stored. Then the
    stream fails. After a stop it is cancelled, and an `Exception` such as `Stopped` ends there. A
    writer that cannot send any more raises `PublishError`.
    """

    def __init__(self, http: AsyncHttp, options: WriterOptions) -> None:
        self._state = AsyncWriterState(http, options)
        self._outbox = self._state.outbox
        self._sender = AsyncSender(self._state)
        self._lease = AsyncLeaseKeeper(self._state)
        self._listener = AsyncListener(self._state)
        # A writer that its program drops keeps no lease. The process may end without this.
        weakref.finalize(self, self._state.drop).atexit = False

    async def __aenter__(self) -> AsyncWriter:
        async with self._state.changed:
            self._lease.start()
            if self._state.options.cancel_on_stop:
                self._state.block.enter(is_due=self._outbox.stop is not None)
                self._listener.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        # First of all: from here on nothing cancels the task because of a stop.
        is_interruption = self._state.block.leave(error)
        try:
            return await self._leave(error) or is_interruption
        finally:
            await self._end()

    async def _leave(self, error: BaseException | None) -> bool:
        """Finishes the stream at the end of the block. Returns whether the error ends here."""
        if self._outbox.settled:
            return self._outbox.has_raised(error)
        if self._outbox.stop is not None:
            await self._break_off_quietly(self._cancelled())
            if isinstance(error, Exception) and not self._outbox.has_raised(error):
                log.warning("After a stop, %s left the block of a writer", place_of(error))
            return isinstance(error, Exception)
        if error is not None:
            failure = failure_of(error, self._state.options.failure)
            await self._break_off_quietly(self._failed(failure))
            return False
        try:
            await self.finish()
        except Stopped as stopped:
            if not self._outbox.has_raised(stopped):
                raise
        return False

    async def _break_off_quietly(self, ending: Ending) -> None:
        try:
            await self._flush_for_a_while()
        finally:
            # Also when something interrupts the wait.
            try:
                await self._break_off(ending)
            except PublishError as failure:
                # The exception of the block goes on.
                log.warning("The stream could not be finished: %s", brief(failure))

    @property
    def acknowledged(self) -> int:
        """The number of events of this writer that the broker has confirmed."""
        return self._outbox.acknowledged

    @property
    def pending(self) -> int:
        """The number of events that the broker has not confirmed yet."""
        return self._outbox.pending

    async def write(self, event: str, data: Any = None) -> None:
        """Hands an event over, to be sent at once. Waits while `max_pending` events are pending.

        `data` is a string, or a value that is stored as its JSON text: JSON, a pydantic model, a
        dataclass, or lists and dictionaries of them. A string may end with the first half of a
        surrogate pair. That half waits for the next string of the same event name; without one it
        becomes U+FFFD. Raises `InvalidEvent` where the broker would refuse the event, `Stopped`
        after a stop, `WriterClosed`, or `PublishError`.
        """
        changed = self._state.changed
        async with changed:
            self._outbox.check_open()
            line = encode(event, data)
            self._lease.start()
            await changed.wait_for(lambda: not self._outbox.must_wait(event, data))
            self._outbox.add(event, data, line)
            changed.notify_all()
            self._sender.start()

    async def pipe_from(self, source: AsyncItems, event: str = "token") -> None:
        """Writes each item of a source as an event. Raises as `write` does, and what it raises.

        An item that is a `NewEvent` has a name of its own. The adapters for models make such items.

        At a stop it closes the source, and raises `Stopped`, also with `write_after_stop`. It
        closes the source after any other error as well.
        """
        reading = AsyncSource(source)
        async with self._state.changed:
            self._state.add_source(reading)
            self._lease.start()
            self._listener.start()
        is_complete = False
        try:
            while (item := await reading.next()) is not None:
                await self.write(*named(event, *item))
            async with self._state.changed:
                if reading.is_interrupted:
                    raise self._outbox.failure or self._outbox.stopped()
            is_complete = True
        finally:
            self._state.remove_source(reading)
            if not is_complete:
                await reading.aclose()

    async def stopped(self, timeout: float | None = None) -> Stop | None:
        """Waits until somebody stops the stream, and returns the stop.

        Returns None when the writer ends or fails before, and after `timeout` seconds.
        """
        state = self._state
        async with state.changed:
            self._lease.start()
            self._listener.start()
            await wait_for(
                state.changed, lambda: self._outbox.stop is not None or state.is_over, timeout
            )
            return self._outbox.stop

    async def signals(self) -> AsyncGenerator[SignalRecord, None]:
        """Yields the signals of the stream, from the first one on, and waits for more.

        Ends with the writer or the stream. Raises `TinistreamerError` when the broker refuses to
        send signals. The writer then goes on.
        """
        count = 0
        while new := await self._signals_after(count):
            for signal in new:
                yield signal
            count += len(new)
        if self._state.hearing.failure is not None:
            raise self._state.hearing.failure

    async def _signals_after(self, count: int) -> list[SignalRecord]:
        """Waits for signals after the first `count`. Returns none at the end."""
        state, hearing = self._state, self._state.hearing
        async with state.changed:
            self._lease.start()
            self._listener.start()
            await state.changed.wait_for(
                lambda: len(hearing.signals) > count or hearing.is_over or state.is_over
            )
            return hearing.signals[count:]

    async def flush(self) -> None:
        """Returns when all written events are stored. Raises `PublishError`."""
        changed = self._state.changed
        async with changed:
            self._outbox.release()
            changed.notify_all()
            await changed.wait_for(self._is_flushed)
            if self._outbox.failure is not None:
                raise self._outbox.failure

    async def finish(self) -> None:
        """Waits until all events are stored, and ends the stream.

        Raises `WriterClosed` and `PublishError`. It is `StreamNotActive` when somebody else has
        finished the stream, and `Stopped` when somebody else has cancelled it.
        """
        await self._drain()
        options = self._state.options
        await self._settle(ended(options.key, options.generation))

    async def cancel(self, reason: str | None = None, by: str | None = None) -> None:
        """Drops the unsent events, and cancels the stream, if it is not finished.

        Subscribers get `reason` and `by`. Without both, after a stop, they are `stop`, and who has
        sent the signal. Raises `WriterClosed` and `PublishError`.
        """
        await self._break_off(self._cancelled(reason, by))

    async def fail(self, code: str | None = None, message: str | None = None) -> None:
        """Reports to subscribers that the producer failed, if the stream is not finished.

        Takes no more events. Waits for at most `flush_timeout` seconds until the written events are
        stored, and drops the others. For `code` and `message`, see `Failure`. Raises `ValueError`
        for an invalid code, `WriterClosed` and `PublishError`.
        """
        ending = self._failed(Failure(code, message))
        self._outbox.check_unsettled()
        await self._flush_for_a_while()
        await self._break_off(ending)

    async def close(self) -> None:
        """Waits until all events are stored, ends the lease, and leaves the stream active.

        Raises `WriterClosed` and `PublishError`.
        """
        await self._drain()
        await self._lease.release()
        self._outbox.settled = True
        await self._end()

    def _cancelled(self, reason: str | None = None, by: str | None = None) -> Ending:
        options, stop = self._state.options, self._outbox.stop
        if stop is not None and reason is None and by is None:
            reason, by = STOP_SIGNAL, stop.by
        return cancelled(options.key, options.generation, reason, by)

    def _failed(self, failure: Failure) -> Ending:
        return failed(self._state.options.key, self._state.options.generation, failure)

    def _is_flushed(self) -> bool:
        return self._outbox.failure is not None or not self._outbox.pending

    async def _drain(self) -> None:
        changed = self._state.changed
        async with changed:
            self._outbox.check_unsettled()
            self._outbox.end()
            changed.notify_all()
        await self.flush()
        await self._sender.join()

    async def _flush_for_a_while(self) -> None:
        """Takes no more events, and waits until all are stored, until a failure, or a timeout."""
        changed = self._state.changed
        async with changed:
            self._outbox.end()
            changed.notify_all()
            await wait_for(changed, self._is_flushed, self._state.options.flush_timeout)

    async def _break_off(self, ending: Ending) -> None:
        """Drops the unsent events, and finishes the stream."""
        changed = self._state.changed
        async with changed:
            self._outbox.check_unsettled()
            self._outbox.drop()
            changed.notify_all()
        await self._sender.stop()
        await self._settle(ending)
        await self._sender.join()

    async def _settle(self, ending: Ending) -> None:
        options = self._state.options
        # A writer that has failed has already used its time for attempts.
        retry_for = 0.0 if self._outbox.failure else options.retry_for
        steps = finish_stream(options.key, ending, retry_for)
        outcome: object = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Operation):
                    outcome = await self._state.attempt(step)
                else:
                    await sleep(step)
                    outcome = None
        except StopIteration:
            self._outbox.settled = True
            await self._end()
            return
        except TinistreamerError as error:
            await self._state.look_for_stop(error)
            failure = self._outbox.error_of(error)
            await self._end()
        # Outside of the handler, so that the traceback shows one error.
        raise failure

    async def _end(self) -> None:
        """Ends the lease and the hearing, also where the stream could not be finished."""
        await self._state.leave()
        await self._listener.stop()
        await self._lease.stop()
