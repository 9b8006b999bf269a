"""How the connection of a subscription changes, for callers who want to know. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ._errors import TinistreamerError
from ._log import brief, log

ConnectionState = Literal["connecting", "open", "waiting", "closed"]


@dataclass(frozen=True)
class ConnectionChange:
    """A change of a subscription's connection."""

    state: ConnectionState
    """`connecting`, `open` (the broker has accepted it), `waiting` (it failed) or `closed`."""
    attempt: int
    """The number of the attempt to connect, from 1 on. It begins again after the next event."""
    error: Exception | None = None
    """Why the connection failed, or why the subscription is over; None: it ended normally."""
    retry_in: float | None = None
    """The seconds until the next attempt, while it waits."""


OnConnection = Callable[[ConnectionChange], object]


class ConnectionReporter:
    """Reports each change once, to the caller and to the log."""

    def __init__(self, on_connection: OnConnection | None = None) -> None:
        self._on_connection = on_connection
        self._attempt = 0
        self._row_has_ended = True
        self._state: ConnectionState | None = None
        # Another thread may close the subscription.
        self._lock = threading.Lock()

    def connecting(self) -> None:
        """A new attempt begins."""
        self._attempt = 1 if self._row_has_ended else self._attempt + 1
        self._row_has_ended = False
        self._report("connecting")

    def open(self) -> None:
        """The broker has accepted the subscription. A long poll is accepted more than once."""
        if self._state == "connecting":
            self._report("open")

    def end_row(self) -> None:
        """An event has come, or the streams were changed: the next attempt is the first again."""
        self._row_has_ended = True

    def waiting(self, error: TinistreamerError, seconds: float) -> None:
        """The connection has failed."""
        log.info("A subscription connects again in %.1f s: %s", seconds, brief(error))
        self._report("waiting", error, seconds)

    def closed(self, error: Exception | None = None) -> None:
        """The subscription is over."""
        self._report("closed", error)

    def _report(
        self,
        state: ConnectionState,
        error: Exception | None = None,
        retry_in: float | None = None,
    ) -> None:
        with self._lock:
            if self._state == "closed":
                return
            self._state = state
        log.debug("The connection of a subscription is %s, attempt %d", state, self._attempt)
        if self._on_connection is not None:
            self._on_connection(ConnectionChange(state, self._attempt, error, retry_in))
