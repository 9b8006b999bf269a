"""Sending over a WebSocket, with threads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ._errors import TinistreamerError, Unreachable
from ._http import Broker
from ._outbox import Outbox, closed_by
from ._websocket import CLOSE_TIMEOUT, HANDSHAKE_ERRORS, close_of, handshake_error, upload_url
from ._writer_options import Ack


class WebSocketSender:
    """Sends each event at once; a second thread takes the answers."""

    def __init__(
        self,
        broker: Broker,
        outbox: Outbox,
        changed: threading.Condition,
        acknowledge: Callable[[Callable[[], Ack]], None],
    ) -> None:
        self._broker = broker
        self._outbox = outbox
        self._changed = changed
        self._acknowledge = acknowledge
        self._failure: Exception | None = None

    def run(self) -> None:
        """Sends until the writer is at its end. Raises what it can't get over."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox.unsent or self._outbox.is_drained)
                if self._outbox.is_drained:
                    return
            try:
                self._connect()
            except TinistreamerError as error:
                with self._changed:
                    delay = self._outbox.broken(error)
                    self._changed.wait_for(lambda: self._outbox.is_drained, delay)

    def _connect(self) -> None:
        with self._changed:
            url = upload_url(self._broker, self._outbox)
            timeout = self._outbox.attempt_timeout
        try:
            connection = connect(
                url,
                additional_headers=self._broker.headers,
                open_timeout=timeout,
                close_timeout=CLOSE_TIMEOUT,
                compression=None,
                max_size=None,
            )
        except HANDSHAKE_ERRORS as error:
            raise handshake_error(error) from error
        self._failure = None
        with connection:
            receiver = threading.Thread(
                target=self._receive, args=(connection, timeout), daemon=True
            )
            receiver.start()
            try:
                self._transmit(connection)
            finally:
                connection.close()
                receiver.join()

    def _transmit(self, connection: ClientConnection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._failure or self._outbox.unsent or self._outbox.is_drained
                )
                if self._failure is not None:
                    raise self._failure
                if self._outbox.is_drained:
                    return
                lines = self._outbox.take()
            # The receiver finds out why a connection was closed, after the answers that came before.
            with suppress(ConnectionClosed):
                for line in lines:
                    connection.send(line)

    def _receive(self, connection: ClientConnection, timeout: float) -> None:
        try:
            while True:
                self._receive_one(connection, timeout)
        except ConnectionClosed as error:
            failure: Exception = closed_by(*close_of(error))
        except Exception as error:  # noqa: BLE001 - raised by the thread that sends
            failure = error
        with self._changed:
            self._failure = failure
            self._changed.notify_all()
        # So that a send that is held up ends.
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)

    def _receive_one(self, connection: ClientConnection, timeout: float) -> None:
        try:
            answer = connection.recv(timeout)
        except TimeoutError as error:
            if self._outbox.is_overdue(timeout):
                raise Unreachable(f"The broker did not answer for {timeout:g} seconds") from error
        else:
            self._acknowledge(partial(self._outbox.replied, answer))
