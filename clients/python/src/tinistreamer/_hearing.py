"""The signals that a writer has heard, and when it asks for more. No I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ._backoff import Backoff
from ._errors import TinistreamerError, is_transient, retry_after_of
from ._generated.api.streams.read_signals import read_signals
from ._generated.models import SignalRecord, Signals
from ._generated.types import Operation
from ._log import brief, log
from ._stop import Stop, stop_among

POLL_WAIT = 20
"""Seconds for which the broker may hold an answer back."""

_SHORTEST_POLL = 1.0
"""Seconds between two polls when the first one has brought nothing.

Something between that does not wait must not make a loop without a pause.
"""

RESPONSE_TIMEOUT = POLL_WAIT + 15.0
"""Seconds after which a long poll without an answer has failed."""


class Hearing:
    """The signals of one writer's stream, from the first one on.

    It keeps them all: the broker takes at most 1,000 with 1 MiB for a stream.
    """

    def __init__(
        self,
        key: str,
        generation: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.signals: list[SignalRecord] = []
        self.is_over = False
        """Whether no more signals come."""
        self.failure: TinistreamerError | None = None
        """Why the hearing ended before the stream; None when it did not."""
        self._key = key
        self._generation = generation
        self.next_at = clock()
        """The time of the next poll."""
        self.clock = clock
        self._asked_at = clock()
        self._backoff = Backoff(1.0, 30.0)

    @property
    def after(self) -> int:
        """The number of the last signal."""
        return self.signals[-1].seq if self.signals else 0

    def poll(self) -> Operation[Signals]:
        """Returns the next request. The broker answers it when there is a signal."""
        self._asked_at = self.clock()
        return self.read(self.after, POLL_WAIT)

    def read(self, after: int, wait: int | None = None) -> Operation[Signals]:
        """Returns a request for the signals after a number."""
        return read_signals(key=self._key, after=after, generation=self._generation, wait=wait)

    def heard(self, answer: Signals) -> Stop | None:
        """Takes the answer to a poll. Returns the stop that it reports."""
        self._backoff.reset()
        new = [signal for signal in answer.signals if signal.seq > self.after]
        self.next_at = self._asked_at + (0.0 if new else _SHORTEST_POLL)
        self.signals += new
        # A finished stream answers at once: then the next poll shows whether more signals follow.
        self.is_over = answer.stream_status != "active" and not answer.signals
        stop = stop_among(answer.signals)
        if stop is None and self.is_over and answer.stream_status == "cancelled":
            return stop_among(self.signals) or Stop(by=None)
        return stop

    def failed(self, error: TinistreamerError) -> None:
        """Takes the failure of a poll: another one follows after a delay, or none."""
        if is_transient(error):
            log.warning("Signals could not be read: %s", brief(error))
            delay = self._backoff.next(math.inf, retry_after_of(error))
            self.next_at = self.clock() + (delay or 0.0)
        else:
            log.warning("The writer hears no more signals: %s", brief(error))
            self.failure, self.is_over = error, True

    @property
    def left(self) -> float:
        """The seconds until the next poll."""
        return max(self.next_at - self.clock(), 0.0)
