"""The asynchronous writer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Protocol, TypeVar

from .._errors import PublishError, TinistreamerError, publish_error
from .._events import encode
from .._extra import websocket_extra
from .._finish import Ending, finish_stream
from .._generated.types import Operation
from .._http import Broker
from .._outbox import Outbox
from .._tasks.concurrency import AsyncCondition, AsyncWorker, sleep, wait_for
from .._writer_options import Ack, WriterOptions

T = TypeVar("T")

_log = logging.getLogger("tinistreamer")


class AsyncExecute(Protocol):
    """Sends a request, and returns the broker's response."""

    async def __call__(self, operation: Operation[T], timeout: float | None = None) -> T: ...


class AsyncWriter:
    """Writes events into one active stream. Several tasks may use it at once.

    A task of its own sends the events. The end of an `async with` block finishes the stream.
    When an exception leaves the block, a cancellation included, the writer cancels the stream.
    It waits before that, for at most `flush_timeout` seconds, until the written events are stored.
    A writer that cannot send any more raises `PublishError`.
    """

    def __init__(self, broker: Broker, execute: AsyncExecute, options: WriterOptions) -> None:
        self._broker = broker
        self._execute = execute
        self._outbox = Outbox(options, broker.timeout)
        self._changed = AsyncCondition()
        self._sender: AsyncWorker | None = None
        self._send = self._choose_sender()

    def _choose_sender(self) -> Callable[[], Awaitable[None]]:
        if self._outbox.options.transport == "ndjson":
            return self._send_ndjson
        with websocket_extra():
            from .websocket_sender import AsyncWebSocketSender  # noqa: PLC0415

        sender = AsyncWebSocketSender(self._broker, self._outbox, self._changed, self._acknowledge)
        return sender.run

    async def __aenter__(self) -> AsyncWriter:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._outbox.settled:
            return
        if kind is None:
            await self.finish()
            return
        try:
            await self._flush_for_a_while()
        finally:
            # Also when something interrupts the wait.
            await self._cancel_after_error()

    async def _cancel_after_error(self) -> None:
        try:
            await self.cancel()
        except PublishError as failure:
            # The exception of the block goes on. A stream that was finished elsewhere is normal.
            level = logging.DEBUG if failure.code == "no-active-stream" else logging.WARNING
            key = self._outbox.options.key
            _log.log(level, "The stream %r could not be cancelled: %s", key, failure)

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

        `data` is a string, or another JSON value, which is stored as its JSON text. A string may
        end with the first half of a surrogate pair. That half waits for the next string of the same
        event name; without one it becomes U+FFFD. Raises `InvalidEvent` where the broker would
        refuse the event, `WriterClosed`, or `PublishError`.
        """
        async with self._changed:
            self._outbox.check_open()
            line = encode(event, data)
            await self._changed.wait_for(lambda: not self._outbox.is_full)
            self._outbox.put(self._outbox.join(event, data, line))
            self._changed.notify_all()
            if self._sender is None:
                self._sender = AsyncWorker(self._run, "tinistreamer-writer")

    async def flush(self) -> None:
        """Returns when all written events are stored. Raises `PublishError`."""
        async with self._changed:
            await self._changed.wait_for(self._is_flushed)
            if self._outbox.failure is not None:
                raise self._outbox.failure

    async def finish(self) -> None:
        """Waits until all events are stored, and ends the stream.

        Raises `WriterClosed` and `PublishError`, which is `StreamNotActive` when somebody else has
        finished the stream.
        """
        await self._drain()
        await self._settle("end")

    async def cancel(self) -> None:
        """Drops the unsent events, and cancels the stream.

        Raises as `finish` does.
        """
        async with self._changed:
            self._outbox.check_unsettled()
            self._outbox.drop()
            self._changed.notify_all()
        if self._sender is not None:
            await self._sender.stop()
        await self._settle("cancel")
        await self._join()

    async def close(self) -> None:
        """Waits until all events are stored, and leaves the stream active.

        Raises `WriterClosed` and `PublishError`.
        """
        await self._drain()
        self._outbox.settled = True

    def _is_flushed(self) -> bool:
        return self._outbox.failure is not None or not self._outbox.pending

    async def _drain(self) -> None:
        async with self._changed:
            self._outbox.check_unsettled()
            self._outbox.end()
            self._changed.notify_all()
        await self.flush()
        await self._join()

    async def _flush_for_a_while(self) -> None:
        """Takes no more events, and waits until all are stored, until a failure, or a timeout."""
        async with self._changed:
            self._outbox.end()
            self._changed.notify_all()
            await wait_for(self._changed, self._is_flushed, self._outbox.options.flush_timeout)

    async def _join(self) -> None:
        if self._sender is not None:
            await self._sender.join()

    async def _settle(self, how: Ending) -> None:
        options = self._outbox.options
        # A writer that has failed has already used its time for attempts.
        retry_for = 0.0 if self._outbox.failure else options.retry_for
        steps = finish_stream(options.key, how, retry_for, options.generation)
        outcome: object = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Operation):
                    outcome = await self._attempt(step)
                else:
                    await sleep(step)
                    outcome = None
        except StopIteration:
            self._outbox.settled = True
            return
        except TinistreamerError as error:
            failure = publish_error(self._outbox.acknowledged, error)
        # Outside of the handler, so that the traceback shows one error.
        raise failure

    async def _attempt(self, operation: Operation[object]) -> object:
        try:
            return await self._execute(operation)
        except TinistreamerError as error:
            return error

    async def _run(self) -> None:
        try:
            await self._send()
        except Exception as error:  # noqa: BLE001 - the next call of this writer raises it
            async with self._changed:
                self._outbox.fail(error)
                self._changed.notify_all()

    async def _send_ndjson(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._outbox.unsent or self._outbox.is_drained)
                if self._outbox.is_drained:
                    return
                upload = self._outbox.take_upload()
                timeout = self._outbox.attempt_timeout
            try:
                summary = await self._execute(upload, timeout)
            except TinistreamerError as error:
                async with self._changed:
                    delay = self._outbox.broken(error)
                    await wait_for(self._changed, lambda: self._outbox.is_drained, delay)
            else:
                await self._acknowledge(partial(self._outbox.uploaded, summary))

    async def _acknowledge(self, take_reply: Callable[[], Ack]) -> None:
        async with self._changed:
            before = self._outbox.acknowledged
            try:
                ack = take_reply()
            finally:
                self._changed.notify_all()
        if self._outbox.options.on_ack is not None and ack.count > before:
            self._outbox.options.on_ack(ack)
