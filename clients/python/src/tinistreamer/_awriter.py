"""The asynchronous writer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol, TypeVar

from ._errors import PublishError, TinistreamerError, publish_error
from ._events import encode
from ._extra import websocket_extra
from ._finish import Ending, finish_stream
from ._generated.types import Operation
from ._http import Broker
from ._outbox import Outbox
from ._writer_options import Ack, WriterOptions

T = TypeVar("T")

_log = logging.getLogger("tinistreamer")


class Execute(Protocol):
    """Sends a request and returns what the broker answers."""

    async def __call__(self, operation: Operation[T], timeout: float | None = None) -> T: ...


class AsyncWriter:
    """Writes events into one active stream. May be used by several tasks at once.

    A task of its own sends them. Leaving the `async with` block finishes the stream. When the block is left by an exception, a
    cancellation included, what was written is stored first, for which there are `flush_timeout` seconds, and the stream is
    cancelled. `PublishError` is raised when sending has failed for good.
    """

    def __init__(self, broker: Broker, execute: Execute, options: WriterOptions) -> None:
        self._broker = broker
        self._execute = execute
        self._outbox = Outbox(options, broker.timeout)
        self._changed = asyncio.Condition()
        self._sender: asyncio.Task[None] | None = None
        self._send = self._choose_sender()

    def _choose_sender(self) -> Callable[[], Awaitable[None]]:
        if self._outbox.options.transport == "ndjson":
            return self._send_ndjson
        with websocket_extra():
            from ._ws_awriter import AsyncWebSocketSender  # noqa: PLC0415

        return AsyncWebSocketSender(
            self._broker, self._outbox, self._changed, self._acknowledge
        ).run

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
            # Also when this wait is interrupted in turn.
            await self._cancel_after_error()

    async def _cancel_after_error(self) -> None:
        try:
            await self.cancel()
        except PublishError as failure:
            # What the block raised matters more. That the stream was stopped elsewhere is no failure.
            level = logging.DEBUG if failure.code == "no-active-stream" else logging.WARNING
            _log.log(
                level, "The stream %r could not be cancelled: %s", self._outbox.options.key, failure
            )

    @property
    def acknowledged(self) -> int:
        """How many events of this writer the broker has confirmed."""
        return self._outbox.acknowledged

    @property
    def pending(self) -> int:
        """How many events are not confirmed yet."""
        return self._outbox.pending

    async def write(self, event: str, data: Any = None) -> None:
        """Hands an event over; it is sent at once. Waits while `max_pending` events are unacknowledged.

        `data` is a string, or any other JSON value, which is stored as its JSON text. When a string ends with the first half of a
        surrogate pair, that half goes out with the next string of the same event name; a half that stays alone becomes U+FFFD.
        Raises `InvalidEvent` for what the broker would refuse, `WriterClosed`, or `PublishError`.
        """
        self._outbox.check_open()
        line = encode(event, data)
        async with self._changed:
            await self._changed.wait_for(lambda: not self._outbox.is_full)
            self._outbox.put(self._outbox.join(event, data, line))
            self._changed.notify_all()
        if self._sender is None:
            self._sender = asyncio.create_task(self._run(), name="tinistreamer-writer")

    async def flush(self) -> None:
        """Returns when all that was written is stored. Raises `PublishError`."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._outbox.failure is not None or not self._outbox.pending
            )
        if self._outbox.failure is not None:
            raise self._outbox.failure

    async def finish(self) -> None:
        """Waits until all is stored and ends the stream. Raises `WriterClosed`, `PublishError`."""
        await self._drain()
        await self._settle("end")

    async def cancel(self) -> None:
        """Drops what was not sent and cancels the stream. Raises `WriterClosed`, `PublishError`."""
        self._outbox.check_unsettled()
        self._outbox.drop()
        await self._notify()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        await self._settle("cancel")

    async def close(self) -> None:
        """Waits until all is stored and leaves the stream active. Raises `WriterClosed`, `PublishError`."""
        await self._drain()
        self._outbox.settled = True

    async def _drain(self) -> None:
        self._outbox.check_unsettled()
        self._outbox.end()
        await self._notify()
        await self.flush()
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _flush_for_a_while(self) -> None:
        """Takes no more events, and waits until all is stored, or can't be, or `flush_timeout` is over."""
        self._outbox.end()
        await self._notify()
        with suppress(PublishError, asyncio.TimeoutError):
            await asyncio.wait_for(self.flush(), self._outbox.options.flush_timeout)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _settle(self, how: Ending) -> None:
        options = self._outbox.options
        # A writer that has failed has already used its time for attempts.
        retry_for = 0.0 if self._outbox.failure else options.retry_for
        steps = finish_stream(options.key, how, retry_for)
        answer: object = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Operation):
                    answer = await self._attempt(step)
                else:
                    await asyncio.sleep(step)
                    answer = None
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
        except Exception as error:  # noqa: BLE001 - handed to whoever writes, flushes or finishes next
            self._outbox.fail(error)
            await self._notify()

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
                await asyncio.sleep(self._outbox.broken(error))
            else:
                await self._acknowledge(partial(self._outbox.uploaded, summary))

    async def _acknowledge(self, take: Callable[[], Ack]) -> None:
        before = self._outbox.acknowledged
        try:
            ack = take()
        finally:
            await self._notify()
        if self._outbox.options.on_ack is not None and ack.count > before:
            self._outbox.options.on_ack(ack)
