"""The synchronous writer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
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

    def __call__(self, operation: Operation[T], timeout: float | None = None) -> T: ...


class Writer:
    """Writes events into one active stream. May be used by several threads at once.

    A thread of its own sends them. Leaving the `with` block finishes the stream. When the block is left by an exception, what was
    written is stored first, for which there are `flush_timeout` seconds, and the stream is cancelled. `PublishError` is raised
    when sending has failed for good.
    """

    def __init__(self, broker: Broker, execute: Execute, options: WriterOptions) -> None:
        self._broker = broker
        self._execute = execute
        self._outbox = Outbox(options, broker.timeout)
        self._changed = threading.Condition()
        self._sender: threading.Thread | None = None
        self._send = self._choose_sender()

    def _choose_sender(self) -> Callable[[], None]:
        if self._outbox.options.transport == "ndjson":
            return self._send_ndjson
        with websocket_extra():
            from ._ws_writer import WebSocketSender  # noqa: PLC0415

        return WebSocketSender(self._broker, self._outbox, self._changed, self._acknowledge).run

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._outbox.settled:
            return
        if kind is None:
            self.finish()
            return
        try:
            self._flush_for_a_while()
        finally:
            # Also when this wait is interrupted in turn.
            self._cancel_after_error()

    def _cancel_after_error(self) -> None:
        try:
            self.cancel()
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

    def write(self, event: str, data: Any = None) -> None:
        """Hands an event over; it is sent at once. Waits while `max_pending` events are unacknowledged.

        `data` is a string, or any other JSON value, which is stored as its JSON text. When a string ends with the first half of a
        surrogate pair, that half goes out with the next string of the same event name; a half that stays alone becomes U+FFFD.
        Raises `InvalidEvent` for what the broker would refuse, `WriterClosed`, or `PublishError`.
        """
        with self._changed:
            self._outbox.check_open()
            line = encode(event, data)
            self._changed.wait_for(lambda: not self._outbox.is_full)
            self._outbox.put(self._outbox.join(event, data, line))
            self._changed.notify_all()
            if self._sender is None:
                # A daemon: a writer that is never left must not keep the process.
                self._sender = threading.Thread(
                    target=self._run, name="tinistreamer-writer", daemon=True
                )
                self._sender.start()

    def flush(self) -> None:
        """Returns when all that was written is stored. Raises `PublishError`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._outbox.failure is not None or not self._outbox.pending
            )
            if self._outbox.failure is not None:
                raise self._outbox.failure

    def finish(self) -> None:
        """Waits until all is stored and ends the stream. Raises `WriterClosed`, `PublishError`."""
        self._drain()
        self._settle("end")

    def cancel(self) -> None:
        """Drops what was not sent and cancels the stream. Raises `WriterClosed`, `PublishError`."""
        with self._changed:
            self._outbox.check_unsettled()
            self._outbox.drop()
            self._changed.notify_all()
        self._settle("cancel")
        self._join()

    def close(self) -> None:
        """Waits until all is stored and leaves the stream active. Raises `WriterClosed`, `PublishError`."""
        self._drain()
        self._outbox.settled = True

    def _drain(self) -> None:
        with self._changed:
            self._outbox.check_unsettled()
            self._outbox.end()
            self._changed.notify_all()
        self.flush()
        self._join()

    def _flush_for_a_while(self) -> None:
        """Takes no more events, and waits until all is stored, or can't be, or `flush_timeout` is over."""
        with self._changed:
            self._outbox.end()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._outbox.failure is not None or not self._outbox.pending,
                self._outbox.options.flush_timeout,
            )

    def _join(self) -> None:
        # on_ack may end its own writer.
        if self._sender is not None and self._sender is not threading.current_thread():
            self._sender.join()

    def _settle(self, how: Ending) -> None:
        options = self._outbox.options
        # A writer that has failed has already used its time for attempts.
        retry_for = 0.0 if self._outbox.failure else options.retry_for
        steps = finish_stream(options.key, how, retry_for)
        answer: object = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Operation):
                    answer = self._attempt(step)
                else:
                    time.sleep(step)
                    answer = None
        except StopIteration:
            self._outbox.settled = True
            return
        except TinistreamerError as error:
            failure = publish_error(self._outbox.acknowledged, error)
        # Outside of the handler, so that the traceback shows one error.
        raise failure

    def _attempt(self, operation: Operation[object]) -> object:
        try:
            return self._execute(operation)
        except TinistreamerError as error:
            return error

    def _run(self) -> None:
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - handed to whoever writes, flushes or finishes next
            with self._changed:
                self._outbox.fail(error)
                self._changed.notify_all()

    def _send_ndjson(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox.unsent or self._outbox.is_drained)
                if self._outbox.is_drained:
                    return
                upload = self._outbox.take_upload()
                timeout = self._outbox.attempt_timeout
            try:
                summary = self._execute(upload, timeout)
            except TinistreamerError as error:
                with self._changed:
                    delay = self._outbox.broken(error)
                    self._changed.wait_for(lambda: self._outbox.is_drained, delay)
            else:
                self._acknowledge(partial(self._outbox.uploaded, summary))

    def _acknowledge(self, take: Callable[[], Ack]) -> None:
        with self._changed:
            before = self._outbox.acknowledged
            try:
                ack = take()
            finally:
                self._changed.notify_all()
        if self._outbox.options.on_ack is not None and ack.count > before:
            self._outbox.options.on_ack(ack)
